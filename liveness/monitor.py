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
import sys
import threading
import time
import weakref

from . import checks as checks_module
from . import proc, state
from .errors import BadArgument, LivenessError, TakenOver
from .unit import Unit, find, lives

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

_LINUX = sys.platform == "linux"

_running: weakref.WeakSet[Monitor] = weakref.WeakSet()


class Monitor:
    """
    Runs ``checks`` every ``interval`` seconds, and declares the unit not ready, or in error, while they fail.

    ``into`` is ``ready``, for what only takes a pod out of its Services, such as a database that is down; or ``error``,
    with the code ``code``, for what a restart would mend. The reason names the checks, without what they raised, which
    is in the log. Before the first run it says "not checked yet".

    It takes back only what it said itself, or what a Monitor said that is no more: a ``set(7)`` or ``set_ready(False)``
    of the application's stays, and a unit that the application has not yet declared healthy is not declared so by it.
    While it has something to say, a ``set()`` or ``set_ready()`` of the same process does not undo it, and counts from
    the moment that the checks pass. One Monitor of a process may speak into each of the two. Several processes of a
    unit may have one each: then each says what it found at its own next run.

    It declares after ``failures`` failed runs in a row, and takes back after ``successes`` that did not fail: one each,
    since a kubelet counts for itself. Each interval is longer or shorter by up to the share ``jitter`` of it, at
    random, so that many processes do not ask one database in step. A run takes at most ``deadline`` seconds, or if that
    is None, the longest time limit of its checks.

    It never beats for the application. It has a heartbeat of its own, which lasts three intervals and a deadline, so
    that its own death shows: ``name``, or ``monitor`` (into error ``monitor-error``) in the process that loaded the
    unit, and in any other the same with its pid, ``monitor.<pid>``.

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
        self._given_name = name
        #: Of its heartbeat; known when it starts.
        self.name = name
        self.unit = find() if unit is None else unit
        self._me = _myself()
        #: What came of the last run; None before the first has ended.
        self.report: checks_module.Report | None = None
        self._thread: threading.Thread | None = None
        self._over = threading.Event()
        # Held while something is written: who stops it knows that nothing is written after.
        self._writing = threading.RLock()
        self._streak = 0
        self._last_passed: bool | None = None
        # What we have to say now, if anything.
        self._word: str | None = None
        # When an alarm could not be written and was raised in another way: what was there before.
        self._forced: str | None = None
        self._in_trouble = False
        # What to log as soon as nothing is held.
        self._news: list[str] = []

    def __repr__(self) -> str:
        return f"Monitor({self.unit!r}, {len(self.checks)} checks, every {self.interval:g} s, into={self.into!r})"

    @property
    def is_running(self) -> bool:
        """It was started, and has neither been stopped nor come to an end by itself."""
        return self._thread is not None and self._thread.is_alive() and not self._over.is_set()

    def start(self) -> Monitor:
        """
        Says "not checked yet", and begins. Call it after ``load``.

        Raises LivenessError if it runs already, if another of this process speaks into the same file or beats under the
        same name, if nobody has loaded the unit, or if its state cannot be written.
        """
        path = self.unit.path
        if self.is_running:
            raise LivenessError(f"{path}: the monitor runs already (stop() it first)")
        if _LINUX and not os.path.lexists(f"{path}/pid"):
            raise LivenessError(f"{path}: nobody has loaded this unit (call load() before the monitor starts)")
        name = self._given_name or self._default_name()
        for other in list(_running):
            if other.unit.path == path and self.into == other.into:
                raise LivenessError(f"{path}: another monitor speaks into {self.into!r} (give one monitor all checks)")
            if other.unit.path == path and name == other.name:
                raise LivenessError(f"{path}: another monitor has the heartbeat {name!r} (give each a name)")
        self.name = name
        self._me = _myself()
        over = self._over = threading.Event()
        self._streak, self._last_passed = 0, None
        # Daemon: a check that hangs never delays the end of the process.
        thread = threading.Thread(target=self._run, args=(over,), name="liveness-monitor", daemon=True)
        _running.add(self)
        self._thread = thread
        try:
            self._say("not checked yet")
            self.unit.speak_beside(self.into, self._speak_again)
            thread.start()
        except BaseException:
            over.set()
            self._leave()
            raise
        return self

    def stop(self) -> None:
        """
        Stops at once, without waiting for a check: nothing is written any more. What it said is taken back.

        One that does not run is no error.
        """
        self._over.set()
        # Not for ever: a signal handler may have interrupted what the other thread waits for.
        held = self._writing.acquire(timeout=1)
        try:
            if self._thread is not None and self.name is not None:
                self._leave()
                self._try(self._take_back)
                self._try(lambda: self.unit.end_beat(self.name))
        finally:
            if held:
                self._writing.release()
        self._log_news()

    def _leave(self) -> None:
        self._thread = None
        _running.discard(self)
        self.unit.speak_beside(self.into, None)

    def __enter__(self) -> Monitor:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _default_name(self) -> str:
        name = "monitor" if self.into == "ready" else f"monitor-{self.into}"
        # The same rule as for any heartbeat; the unit knows whether we loaded it.
        return name if self.unit.is_loaded_here else f"{name}.{os.getpid()}"

    # In its thread

    def _run(self, over: threading.Event) -> None:
        while not over.is_set():
            begin = time.monotonic()
            self._write(over, None)
            report = checks_module.run(self.checks, self.deadline)
            self._write(over, report)
            self._log_news()
            pause = self.interval * random.uniform(1 - self.jitter, 1 + self.jitter)
            over.wait(max(0.0, begin + pause - time.monotonic()))

    def _write(self, over: threading.Event, report: checks_module.Report | None) -> None:
        with self._writing:
            if over.is_set():
                return
            self._beat()
            if report is not None:
                self._try(lambda: self._found(report))
            if over.is_set() and self.name is not None:
                # Whoever stopped us could not wait for this.
                self._try(lambda: self.unit.end_beat(self.name))

    def _try(self, action: Callable[[], None]) -> None:
        try:
            action()
        except TakenOver as error:
            self._over.set()
            self._leave()
            self._news.append(f"the monitor stops: {error}")
        except Exception as error:
            if not self._in_trouble:
                self._news.append(f"the monitor cannot write: {error}")
            self._in_trouble = True
        else:
            self._in_trouble = False

    def _log_news(self) -> None:
        while self._news:
            _log(logging.WARNING, f"liveness: {self._news.pop(0)}")

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
        elif self._word is not None:
            # Still what we said last: somebody may have said that all is well.
            self._say(self._word)

    # Its word beside the application's

    def _speak_again(self, has_loaded: bool) -> None:
        """The application has said that all is well, or has begun a new life: what we have to say still holds."""
        if not self.is_running:
            return
        if has_loaded:
            self._me = _myself()
            self._beat()
        word = self._word
        if word is not None:
            self._try(lambda: self._say(word))

    def _say(self, reason: str) -> None:
        self._word = reason
        before = "-"

        def decide(found: bytes | None) -> bytes | None:
            nonlocal before
            beneath = self._beneath(found)
            if beneath is not None:
                before = beneath
            elif found is None:
                before = "-"
            elif state.decode_code(found)[0] == "0":
                before = "0"
            else:
                return found
            return self._encoded(reason, before)

        try:
            self.unit.restate(self.into, decide, is_alarm=True)
        except TakenOver:
            raise
        except LivenessError:
            self._forced = before
            raise
        self._forced = None

    def _take_back(self) -> None:
        self._word = None

        def decide(found: bytes | None) -> bytes | None:
            before = self._beneath(found)
            if before is None:
                return found
            return b"0" if before == "0" else None

        # Even with nothing to take back this finds out whether the unit is still ours to write.
        self.unit.restate(self.into, decide)
        self._forced = None

    def _beneath(self, found: bytes | None) -> str | None:
        """What stood there before a word that is ours to take back; None if there is no such word."""
        if not found and self._forced is not None:
            return self._forced
        owner = _owner(found)
        return owner.before if owner is not None and self._is_ours_or_nobodys(owner) else None

    def _encoded(self, reason: str, before: str) -> bytes:
        # No reader looks at a third line: there stands whose word it is, and what to bring back after it.
        line = f"monitor {self.name} {self._me.pid} {self._me.start} {before}\n"
        return state.encode_code(self.code, reason) + line.encode()

    def _is_ours_or_nobodys(self, owner: _Owner) -> bool:
        if (owner.pid, owner.start) == (str(self._me.pid), self._me.start):
            # Of this process: ours, or that of one that was stopped.
            return not any(
                other is not self and (other.unit.path, other.name) == (self.unit.path, owner.name)
                for other in list(_running)
            )
        return lives(owner.pid, owner.start) is False


class _Owner:
    """Who has written a Monitor's word, and what was there before: ``0``, or ``-`` for no file."""

    __slots__ = ("before", "name", "pid", "start")

    def __init__(self, name: str, pid: str, start: str, before: str) -> None:
        self.name = name
        self.pid = pid
        self.start = start
        self.before = before


def _owner(found: bytes | None) -> _Owner | None:
    fields = (found or b"").split(b"\n")[2:3]
    words = fields[0].decode("ascii", "replace").split(" ") if fields else []
    if len(words) != 5 or words[0] != "monitor" or words[4] not in ("0", "-"):
        return None
    if not state.is_count(words[2].encode(), 7) or not words[3]:
        return None
    return _Owner(*words[1:])


def _myself() -> proc.Process:
    # Elsewhere, on a developer's laptop, checks run and no word is written.
    return proc.myself() if _LINUX else proc.Process(os.getpid(), "R", 0, 1, "0")


def _positive(what: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 1e6:
        raise BadArgument(f"{what}: {value!r}: must be seconds, more than 0 and at most 1,000,000")
    return float(value)


def _count(what: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < 10**state.CODE_DIGITS:
        raise BadArgument(f"{what}: {value!r}: must be a whole number, 1 or more")
    return value


def _log(level: int, text: str) -> None:
    # A handler that raises must not end the thread.
    try:
        logging.getLogger("liveness").log(level, "%s", text)
    except Exception:
        pass


def _after_fork_in_child() -> None:
    for monitor in list(_running):
        monitor._over = threading.Event()
        monitor._over.set()
        monitor._writing = threading.RLock()
        monitor._leave()
        _log(
            logging.INFO,
            f"liveness: the monitor of {monitor.unit.path} is stopped in the child process {os.getpid()} (a worker "
            f"that wants one starts its own)",
        )


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
