"""
The Monitor: runs checks again and again, in a thread, and writes what it finds into the unit's state.

So the probe, which only reads, sees the result of checks that it could never afford to run.
"""

from __future__ import annotations

# Before our hook for forks is registered, so that in a child its locks are made anew before we log.
import logging
import math
import os
import random
import threading
import time
import weakref

from . import checks as checks_module
from . import state
from .errors import BadArgument, LivenessError, TakenOver
from .unit import Unit, find

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

_log = logging.getLogger("liveness")

_running: weakref.WeakSet[Monitor] = weakref.WeakSet()


class Monitor:
    """
    Runs ``checks`` every ``interval`` seconds, and declares the unit not ready, or in error, while they fail.

    ``into`` is ``ready``, for what only takes a pod out of its Services, such as a database that is down; or ``error``,
    with the code ``code``, for what a restart would mend. The reason names the checks, without what they raised, which
    is in the log. Before the first run it says "not checked yet". It takes back only what it said itself: a ``set(7)``
    or ``set_ready(False)`` of the application's stays, and a unit that the application has not yet declared healthy is
    not declared so by it.

    It declares after ``failures`` failed runs in a row, and takes back after ``successes`` that did not fail: one each,
    since a kubelet counts for itself. Each interval is longer or shorter by up to the share ``jitter`` of it, at
    random, so that many processes do not ask one database in step. A run takes at most ``deadline`` seconds, or if that
    is None, the longest time limit of its checks.

    It never beats for the application. It has a heartbeat of its own, of the name ``name``, or ``monitor`` in the
    process that loaded the unit and ``monitor.<pid>`` in any other, which lasts three intervals and a deadline: so its
    own death shows.

    ``unit`` is the default one if None. Use it as a context manager, or ``start`` and ``stop`` it. In a forked child it
    is stopped, which is logged. If another process loads the unit, it stops, which is logged, too.

    Raises BadArgument for arguments that cannot be.
    """

    def __init__(
        self,
        unit: Unit | None,
        checks: Iterable[checks_module.Check | Callable[[], object] | str],
        interval: float,
        into: str = "ready",
        *,
        failures: int = 1,
        successes: int = 1,
        deadline: float | None = None,
        jitter: float = 0.1,
        code: int = 1,
        name: str | None = None,
    ) -> None:
        self.checks = checks_module.prepare(checks)
        if not self.checks:
            raise BadArgument("checks: none at all: a monitor of nothing would say that all is well")
        self.interval = _positive("interval", interval)
        if into not in ("ready", "error"):
            raise BadArgument(f"into: {into!r}: must be 'ready' or 'error'")
        self.into = into
        self.failures = _count("failures", failures)
        self.successes = _count("successes", successes)
        longest = max(check.timeout for check in self.checks)
        self.deadline = longest if deadline is None else _positive("deadline", deadline)
        if isinstance(jitter, bool) or not isinstance(jitter, (int, float)) or not 0 <= jitter < 1:
            raise BadArgument(f"jitter: {jitter!r}: must be 0 or more, and less than 1")
        self.jitter = float(jitter)
        self.code = _count("code", code)
        if name is not None and not state.is_name(name, 100):
            raise BadArgument(
                f"name: {name!r}: not a heartbeat's: 1 to 100 of A-Z a-z 0-9 . _ -, first neither . nor -"
            )
        self.name = name
        self.unit = find() if unit is None else unit
        #: What came of the last run; None before the first has ended.
        self.report: checks_module.Report | None = None
        self._thread: threading.Thread | None = None
        self._over = threading.Event()
        # Held while something is written: who stops it knows that nothing is written after.
        self._writing = threading.RLock()
        self._streak = 0
        self._last_passed: bool | None = None
        # What we wrote last, and what was there before that we must bring back.
        self._ours: bytes | None = None
        self._before: bytes | None = None
        self._in_trouble = False

    def __repr__(self) -> str:
        return f"Monitor({self.unit!r}, {len(self.checks)} checks, every {self.interval:g} s, into={self.into!r})"

    @property
    def is_running(self) -> bool:
        """It was started, and has neither been stopped nor come to an end by itself."""
        return self._thread is not None and self._thread.is_alive() and not self._over.is_set()

    def start(self) -> Monitor:
        """
        Says "not checked yet", and begins. Call it after ``load``; before or after ``set``, as you like.

        Raises LivenessError if it runs already, or if the state cannot be written.
        """
        if self.is_running:
            raise LivenessError(f"{self.unit.path}: the monitor runs already (stop() it first)")
        self._over = threading.Event()
        self._streak, self._last_passed = 0, None
        if self.name is None:
            self.name = self._default_name()
        # Daemon: a check that hangs never delays the end of the process.
        self._thread = threading.Thread(target=self._run, name="liveness-monitor", daemon=True)
        self._say("not checked yet")
        _running.add(self)
        self._thread.start()
        return self

    def stop(self) -> None:
        """
        Stops at once, without waiting for a check: nothing is written any more. What was said last stays.

        One that does not run is no error.
        """
        self._over.set()
        with self._writing:
            if self._thread is not None and self.name is not None:
                self._thread = None
                _running.discard(self)
                self._try(lambda: self.unit.end_beat(self.name))

    def __enter__(self) -> Monitor:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _default_name(self) -> str:
        # The same rule as for any heartbeat; the unit knows whether we loaded it.
        return "monitor" if self.unit.is_loaded_here else f"monitor.{os.getpid()}"

    # In its thread

    def _run(self) -> None:
        over = self._over
        while not over.is_set():
            begin = time.monotonic()
            self._write(over, None)
            report = checks_module.run(self.checks, self.deadline)
            self._write(over, lambda report=report: self._found(report))  # type: ignore[misc]
            pause = self.interval * random.uniform(1 - self.jitter, 1 + self.jitter)
            over.wait(max(0.0, begin + pause - time.monotonic()))

    def _write(self, over: threading.Event, found: Callable[[], None] | None) -> None:
        with self._writing:
            if over.is_set():
                return
            self._beat()
            if found is not None:
                self._try(found)

    def _try(self, action: Callable[[], None]) -> None:
        try:
            action()
        except TakenOver as error:
            self._over.set()
            _log.warning("liveness: the monitor stops: %s", error)
        except Exception as error:
            if not self._in_trouble:
                _log.warning("liveness: the monitor cannot write: %s", error)
            self._in_trouble = True
        else:
            self._in_trouble = False

    def _beat(self) -> None:
        self.unit.beat(math.ceil(3 * self.interval + self.deadline) + 1, self.name)

    def _found(self, report: checks_module.Report) -> None:
        self.report = report
        passed = bool(report)
        self._streak = self._streak + 1 if passed is self._last_passed else 1
        self._last_passed = passed
        if passed and self._streak >= self.successes:
            self._take_back()
        elif not passed and self._streak >= self.failures:
            self._say(report.summary)

    # Its word beside the application's

    def _say(self, reason: str) -> None:
        ours = state.encode_code(self.code, reason)

        def decide(found: bytes | None) -> bytes | None:
            if found is not None and found != self._ours:
                if state.decode_code(found)[0] != "0":
                    return found
                self._before = found
            elif found is None:
                self._before = None
            return ours

        self.unit.restate(self.into, decide)
        self._ours = ours

    def _take_back(self) -> None:
        # Even with nothing to take back this finds out whether the unit is still ours to write.
        ours = self._ours
        self.unit.restate(self.into, lambda found: self._before if ours is not None and found == ours else found)
        self._ours = None


def _positive(what: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 1e6:
        raise BadArgument(f"{what}: {value!r}: must be seconds, more than 0 and at most 1,000,000")
    return float(value)


def _count(what: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < 10**state.CODE_DIGITS:
        raise BadArgument(f"{what}: {value!r}: must be a whole number, 1 or more")
    return value


def _after_fork_in_child() -> None:
    for monitor in list(_running):
        monitor._over = threading.Event()
        monitor._over.set()
        monitor._writing = threading.RLock()
        monitor._thread = None
        _running.discard(monitor)
        _log.warning(
            "liveness: the monitor of %s is stopped in the child process %s (a worker that wants one starts its own)",
            monitor.unit.path,
            os.getpid(),
        )


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
