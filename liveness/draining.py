"""Draining: the time between the signal to end and the application's own stop."""

from __future__ import annotations

import os
import signal
import time
from _thread import start_new_thread

from . import log
from .errors import BadArgument, LivenessError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .unit import Unit


def install(unit: Unit, number: int, seconds: float) -> None:
    """
    Puts a drain in front of the handler that the signal has now. See ``liveness.drain``.

    Raises BadArgument for invalid arguments, and ValueError outside the main thread, as ``signal.signal`` does.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 <= seconds <= 86400:
        raise BadArgument(f"seconds: {seconds!r}: must be a number from 0 to 86400")
    stop = signal.getsignal(number)
    if stop is None:
        raise BadArgument(f"number: {number!r}: the handler of this signal was not set by Python, so it cannot follow")
    pid, is_draining = os.getpid(), False

    def handle(number: int, frame: object) -> None:
        nonlocal is_draining
        # A forked child inherits this handler. When its parent ends it, the unit goes on.
        if is_draining or os.getpid() != pid:
            _stop(number, frame, stop)
            return
        is_draining = True
        _declare(unit)
        # Not threading.Thread, which takes a lock that the interrupted code may hold.
        start_new_thread(_send_again, (number, seconds))

    signal.signal(number, handle)


def _declare(unit: Unit) -> None:
    try:
        unit.set_ready(False, "draining")
    except LivenessError as error:
        # The stop must follow in any case.
        log.warning("%s", error)


def _send_again(number: int, seconds: float) -> None:
    time.sleep(seconds)
    # To this process, since only its main thread may handle the signal.
    os.kill(os.getpid(), number)


def _stop(number: int, frame: object, stop: object) -> None:
    signal.signal(number, stop)  # type: ignore[arg-type]
    if callable(stop):
        stop(number, frame)
    else:
        os.kill(os.getpid(), number)
