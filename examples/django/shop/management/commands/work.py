"""The worker: does the open orders, and tells Kubernetes how it is."""

import signal
import time
from typing import Any

from django.core.management.base import BaseCommand
from django.db import OperationalError

import liveness
from liveness.django import monitor
from shop.models import Order

TTL = 30  # seconds; more than the longest order takes
PAUSE = 0.5  # seconds between two looks for an order


class Command(BaseCommand):
    """Works until SIGTERM."""

    help = "Does the open orders."

    def handle(self, *args: Any, **options: Any) -> None:
        """Begins the life of the unit, and ends it."""
        self.draining = False
        signal.signal(signal.SIGTERM, self.drain)
        liveness.load([])
        # Before set(), so that a hang is found from the beginning.
        liveness.beat(TTL)
        # From here on health.sh ready says whether the database is there; before set(), so that it is not ready until
        # that was asked.
        started = monitor.start(interval=5)
        liveness.set()
        while not self.draining:
            liveness.beat(TTL)
            self.work()
            time.sleep(PAUSE)
        if started is not None:
            started.stop()
        liveness.reset()

    def drain(self, number: int, frame: object) -> None:
        """No new order, please; the one in hand goes on, so we are alive."""
        self.draining = True
        liveness.set_ready(False, "draining")

    def work(self) -> None:
        """Does one order. A database that is away is for the probe to tell, and comes back."""
        try:
            order = Order.objects.filter(done=False).first()
            if order is not None:
                order.done = True
                order.save()
                self.stdout.write(f"done: {order.pk}")
        except OperationalError as error:
            self.stderr.write(f"no database: {error}")
