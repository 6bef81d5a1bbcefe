"""One run of one check, and the wait for its result."""

from __future__ import annotations

import os
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .results import Result


class PendingRun:
    """A run that was started at ``started`` on time.monotonic() and has no result yet, or has just got it."""

    __slots__ = ("_done", "_pid", "result", "started")

    def __init__(self, started: float) -> None:
        self.started = started
        self.result: Result | None = None
        self._pid = os.getpid()
        self._done = threading.Event()

    def is_of_this_process(self) -> bool:
        """Whether it runs here. A forked child inherits the pending runs of its parent, but not their threads."""
        return self._pid == os.getpid()

    def end(self, result: Result) -> None:
        """Sets the result and wakes everyone who waits for it."""
        self.result = result
        self._done.set()

    def wait(self, allowed: float) -> Result | None:
        """The result, or None if there is none ``allowed`` seconds after the start of the run."""
        # Do not wait for a result that exists: an Event of gevent may miss a set() that came just before.
        if self.result is None:
            self._done.wait(max(0.0, self.started + allowed - time.monotonic()))
        return self.result
