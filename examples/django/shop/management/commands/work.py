"""The worker: does the open orders, and reports its state to Kubernetes."""

import signal
import time
from typing import Any

from django.core.management.base import BaseCommand
from django.db import OperationalError

import liveness
from liveness.django import monitor
from shop.models import Order

TTL = 30  # seconds; longer than the pause plus the longest order
PAUSE = 0.5  # seconds between two queries for an order


class Command(BaseCommand):
    """Works until SIGTERM."""

    help = "Does the open orders."

    def handle(self, *args: Any, **options: Any) -> None:
        """Begins the life of the unit, and ends it."""
        self.draining = False
        signal.signal(signal.SIGTERM, self.drain)
        liveness.load()
        # Before set(), so that a hang is found from the start.
        liveness.beat(TTL)
        # From here on `health.sh ready` fails while the database does not answer.
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
        """Takes no new order, but finishes the current one: not ready, and alive."""
        self.draining = True
        liveness.set_ready(False, "draining")

    def work(self) -> None:
        """Does one order. If the database is away, the worker is not ready, but goes on: it may come back."""
        try:
            order = Order.objects.filter(done=False).first()
            if order is not None:
                order.done = True
                order.save()
                self.stdout.write(f"done: {order.pk}")
        except OperationalError as error:
            self.stderr.write(f"no database: {error}")
