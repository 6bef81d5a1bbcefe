"""
Checks: run them in parallel, each within its time limit and all within a deadline, and report.

A check is a callable, sync or async, or the dotted path of a module, of which ``health`` is called. It fails by raising
or by returning something that equals False (0 does; None does not).
"""

from __future__ import annotations

import os
from _thread import RLock

from .errors import BadArgument, CheckFailed, LivenessError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading
    from collections.abc import Awaitable, Callable, Iterable

PASSED, FAILED, TIMED_OUT = "passed", "failed", "timed out"
DEGRADED = "degraded"

_REASON_LENGTH = 1000

# Held for a few lines at a time, never while a check runs.
_lock = RLock()
# Checks that were asked for as bare callables, as long as somebody waits for them or they run: the next one to ask must
# find that they do.
_at_large: dict[object, _Adopted] = {}


# One after the other, for load()


def names(checks: Iterable[str]) -> list[str]:
    """The dotted paths of the modules to ask. Raises BadArgument if they are anything else."""
    if isinstance(checks, str):
        raise BadArgument(f"checks: {checks!r}: one name in place of a list of names (write [{checks!r}])")
    found = list(checks)
    for name in found:
        if not isinstance(name, str) or not name:
            raise BadArgument(f"checks: {name!r}: not the dotted path of a module")
    return found


def require(checks: Iterable[str], args: tuple[object, ...], kwargs: dict[str, object]) -> None:
    """
    Imports each module and calls its ``health(*args, **kwargs)``, one after the other.

    Raises CheckFailed for the first whose result equals False, or is a coroutine, which nobody would await and which
    would pass for a success. Raises LivenessError for a module without ``health``. Every other exception, in the import
    too, passes through untouched.
    """
    for name in names(checks):
        result = _health_of(name)(*args, **kwargs)
        if hasattr(result, "__await__"):
            if hasattr(result, "close"):
                result.close()
            raise CheckFailed(name, "health() is a coroutine function, which load() cannot await (make it a plain one)")
        refusal = _refusal(result)
        if refusal:
            raise CheckFailed(name, f"health() {refusal}")


def _health_of(module: str) -> Callable[..., object]:
    import importlib

    health: Callable[..., object] | None = getattr(importlib.import_module(module), "health", None)
    if health is None:
        raise LivenessError(f"{module}: has no health() (define health(*args, **kwargs) in it)")
    return health


def _refusal(result: object) -> str:
    """Why what a check returned is no success; nothing if it is one."""
    kind = type(result)
    if hasattr(kind, "gi_frame") or hasattr(kind, "ag_frame"):
        return "is a generator, of which nothing has run (take the yield out of it)"
    if callable(result):
        return f"returned {result!r}, which is to be called itself"
    # 0 is a refusal too, and so is what knows that it is false, such as a verdict or a report; None and [] are not.
    if bool(result == False) or (hasattr(kind, "__bool__") and result is not None and not result):  # noqa: E712
        return f"returned {result!r} (True or None say that all is well)"
    return ""


# All at once


class Check:
    """
    A check with its limits.

    ``name`` is what reports call it. ``call`` is a callable without arguments, sync or async, or the dotted path of a
    module. ``timeout``, in seconds, is how long anybody waits for an answer; what comes later counts for nothing. A
    result is used again for ``ttl`` seconds, a failure for ``failure_ttl`` (that of all results unless told); with 0,
    every run runs. One that gave no answer in time is asked again, but for ``timeout_ttl`` seconds nobody waits for
    it: it counts as timed out until it has answered in time. A check that is not ``critical`` degrades the verdict,
    and does not fail it.

    However often it is asked for, it runs once at a time: who asks meanwhile waits for the same answer, but not longer
    than its limit after it began. Once that has passed it has failed for everybody, at once, until it returns. So make
    a Check once, and keep it. It runs in a daemon thread, which does not delay the end of the process; an async one
    has an event loop of its own there, and is cancelled at its limit.

    Raises BadArgument for arguments that cannot be.
    """

    __slots__ = (
        "_call",
        "_flight",
        "_last",
        "_late",
        "_said",
        "critical",
        "failure_ttl",
        "name",
        "timeout",
        "timeout_ttl",
        "ttl",
    )

    def __init__(
        self,
        name: str,
        call: Callable[[], object] | str,
        *,
        timeout: float = 1.0,
        ttl: float = 0.0,
        failure_ttl: float | None = None,
        timeout_ttl: float = 0.0,
        critical: bool = True,
    ) -> None:
        if not isinstance(name, str) or not name or not name.isprintable():
            raise BadArgument(f"name: {name!r}: must be printable text")
        if not callable(call) and not (isinstance(call, str) and _is_dotted_path(call)):
            raise BadArgument(f"{name}: call: {call!r}: neither a callable nor the dotted path of a module")
        self.name = name
        self.timeout = _seconds(f"{name}: timeout", timeout)
        if not self.timeout:
            raise BadArgument(f"{name}: timeout: {timeout!r}: must be more than 0 seconds")
        self.ttl = _seconds(f"{name}: ttl", ttl)
        self.failure_ttl = self.ttl if failure_ttl is None else _seconds(f"{name}: failure_ttl", failure_ttl)
        self.timeout_ttl = _seconds(f"{name}: timeout_ttl", timeout_ttl)
        self.critical = bool(critical)
        self._call = call
        self._flight: _Flight | None = None
        self._last: Result | None = None
        # When it last ended too late, and has not ended in time since.
        self._late: float | None = None
        # The outcome that was logged last: a check that goes on failing is not logged again.
        self._said = PASSED

    def __repr__(self) -> str:
        return f"Check({self.name!r}, timeout={self.timeout:g}, critical={self.critical})"

    def _begin(self) -> _Flight | Result:
        """A run that is under way, or what is known without one."""
        import time

        begun: _Flight | None = None
        try:
            with _lock:
                now = time.monotonic()
                last = self._last
                if last is not None and now - last.ended < (self.ttl if last.passed else self.failure_ttl):
                    return last
                flight = self._flight
                # A child process inherits what its parent's threads were at, and none of the threads.
                if flight is not None and flight.pid == os.getpid():
                    return flight
                begun = self._flight = _Flight(now)
            self._start(begun)
            return begun
        except BaseException:
            # That of a signal handler: there may be no thread, and then this run would never end.
            if begun is not None:
                self._forget(begun)
            raise

    def _forget(self, flight: _Flight) -> None:
        with _lock:
            if self._flight is flight:
                self._flight = None

    def _start(self, flight: _Flight) -> None:
        import threading

        thread = threading.Thread(target=self._run, args=(flight,), name=f"liveness-check-{self.name}", daemon=True)
        try:
            # start() would wait until the thread has begun: two who wake each other in turn, on two cores, and that for
            # nothing, since it is the result that is waited for. The name is not public; without it start() waits.
            thread._started.wait = lambda timeout=None: True  # type: ignore[attr-defined]
        except AttributeError:
            pass
        try:
            thread.start()
        except RuntimeError as error:
            self._end(flight, FAILED, f"cannot run: {error}")

    def _run(self, flight: _Flight) -> None:
        try:
            call = _health_of(self._call) if isinstance(self._call, str) else self._call
            result = call()
            if hasattr(result, "__await__"):
                result = await_within(result, self.timeout)
            reason = _refusal(result)
            outcome = FAILED if reason else PASSED
        # SystemExit too: a check does not end the thread that asks.
        except BaseException as error:
            outcome, reason = FAILED, _text(error)
        self._end(flight, outcome, reason)

    def _end(self, flight: _Flight, outcome: str, reason: str) -> None:
        import time

        with _lock:
            lasted = time.monotonic() - flight.started
            if lasted >= self.timeout:
                outcome, reason = TIMED_OUT, self._no_answer()
            self._late = time.monotonic() if outcome == TIMED_OUT else None
            flight.result = self._result(outcome, lasted, reason)
            if self._flight is flight:
                self._flight = None
                # What comes after the limit is no news by now.
                self._last = None if outcome == TIMED_OUT else flight.result
        flight.done.set()

    def _answer(self, flight: _Flight, asked: float, limit: float | None) -> Result:
        """
        Waits for the end of it, until as long after its start as the time limit, or the deadline, allows.

        For who joins late there is so much less to wait; once the time is over, nothing.
        """
        import time

        allowed = self.timeout if limit is None else min(self.timeout, limit)
        joined = asked - flight.started
        late = self._late
        unawaited = late is not None and asked - late < self.timeout_ttl
        if unawaited:
            allowed = 0.0
        # What is there is not waited for: gevent's events can miss one that was set a moment ago.
        if flight.result is None:
            flight.done.wait(max(0.0, flight.started + allowed - time.monotonic()))
        with _lock:
            if flight.result is not None:
                return flight.result
        lasted = time.monotonic() - flight.started
        if unawaited and joined < self.timeout:
            reason = "no answer in time when last asked, and none yet"
        elif joined >= allowed:
            reason = f"still running since {lasted:.1f} s"
        elif limit is not None and limit < self.timeout:
            reason = f"no answer within the deadline of {limit:g} s"
        else:
            reason = self._no_answer()
        return self._result(TIMED_OUT, lasted, reason)

    def _no_answer(self) -> str:
        return f"no answer within {self.timeout:g} s"

    def _result(self, outcome: str, duration: float, reason: str) -> Result:
        import time

        return Result(self.name, outcome, duration, reason[:_REASON_LENGTH], self.critical, time.monotonic())

    def _log(self, result: Result) -> None:
        if result.outcome == self._said:
            return
        self._said = result.outcome
        # A handler that raises is no reason for a check to fail, or for who asks to end.
        try:
            import logging

            log = logging.getLogger("liveness")
            if result.passed:
                log.warning("liveness: check %r passes again", self.name)
            else:
                log.warning("liveness: check %r %s: %s", self.name, result.outcome, result.reason)
        except Exception:
            pass


class _Adopted:
    """The Check of a bare callable, and how many ask for it now."""

    __slots__ = ("askers", "check")

    def __init__(self, check: Check) -> None:
        self.check = check
        self.askers = 0


class _Flight:
    """One run of one check."""

    __slots__ = ("done", "pid", "result", "started")

    def __init__(self, now: float) -> None:
        import threading

        self.started = now
        self.pid = os.getpid()
        self.done: threading.Event = threading.Event()
        self.result: Result | None = None


class Result:
    """What came of one check."""

    __slots__ = ("critical", "duration", "ended", "name", "outcome", "reason")

    def __init__(self, name: str, outcome: str, duration: float, reason: str, critical: bool, ended: float) -> None:
        self.name = name
        #: ``passed``, ``failed`` or ``timed out``.
        self.outcome = outcome
        #: In seconds: how long it ran, or has been waited for.
        self.duration = duration
        #: Type and text of the exception, or what else was wrong; empty if it passed. Not for the public.
        self.reason = reason
        self.critical = critical
        #: On time.monotonic().
        self.ended = ended

    @property
    def passed(self) -> bool:
        """It has passed."""
        return self.outcome == PASSED

    def __repr__(self) -> str:
        return f"Result({self.name!r}, {self.outcome!r}, {self.reason!r})"


class Report:
    """What came of all checks; true unless a critical one did not pass."""

    __slots__ = ("results",)

    def __init__(self, results: Iterable[Result]) -> None:
        #: In the order of the checks.
        self.results = tuple(results)

    @property
    def verdict(self) -> str:
        """``passed``; ``failed`` if a critical check did not pass; ``degraded`` if only others did not."""
        bad = [result for result in self.results if not result.passed]
        if any(result.critical for result in bad):
            return FAILED
        return DEGRADED if bad else PASSED

    def __bool__(self) -> bool:
        return self.verdict != FAILED

    @property
    def summary(self) -> str:
        """One line for the public: the names of what did not pass, without a reason. Empty if all did."""
        return ", ".join(f"{result.name} {result.outcome}" for result in self.results if not result.passed)

    def as_dict(self, detailed: bool = False) -> dict[str, object]:
        """For JSON: the verdict, and each check by name; with its duration and reason only if ``detailed``."""
        return {"verdict": self.verdict, "checks": {result.name: _as_dict(result, detailed) for result in self.results}}

    def __repr__(self) -> str:
        return f"Report({self.verdict!r}, {list(self.results)!r})"


def _as_dict(result: Result, detailed: bool) -> dict[str, object]:
    found: dict[str, object] = {"outcome": result.outcome, "critical": result.critical}
    if detailed:
        found["duration"] = round(result.duration, 6)
        if result.reason:
            found["reason"] = result.reason
    return found


def run(checks: Iterable[Check | Callable[[], object] | str], deadline: float | None = None) -> Report:
    """
    Runs all checks at once, and reports.

    A callable or a module's name stands for a Check of that name with the default limits. It takes as long as the
    slowest of them, at most its time limit, and at most ``deadline`` seconds; what has not answered by then has timed
    out. A failure is logged when it begins, and when it ends.

    Raises BadArgument for arguments that cannot be, and nothing else.
    """
    import time

    limit = None if deadline is None else _seconds("deadline", deadline)
    with _Asking(_listed(checks)) as wanted:
        asked = time.monotonic()
        flights = [(check, check._begin()) for check in wanted]
        results = []
        for check, flight in flights:
            result = check._answer(flight, asked, limit) if isinstance(flight, _Flight) else flight
            check._log(result)
            results.append(result)
    return Report(results)


def prepare(checks: Iterable[Check | Callable[[], object] | str]) -> list[Check]:
    """A Check for each, to keep and to run again. Raises BadArgument for what is none, and for two of one name."""
    found = [check if isinstance(check, Check) else _check_of(check) for check in _listed(checks)]
    _refuse_two_of_one_name(found)
    return found


class _Asking:
    """The checks of one run; a bare callable has the same one as long as anybody asks for it, or it runs."""

    def __init__(self, asked: list[Check | Callable[[], object] | str]) -> None:
        self._asked = asked
        self._adopted: list[_Adopted] = []

    def __enter__(self) -> list[Check]:
        try:
            wanted = [check if isinstance(check, Check) else self._adopt(check) for check in self._asked]
            _refuse_two_of_one_name(wanted)
        except BadArgument:
            self.__exit__()
            raise
        return wanted

    def _adopt(self, call: Callable[[], object] | str) -> Check:
        key: object = call
        try:
            hash(call)
        except TypeError:
            key = id(call)
        with _lock:
            known = _at_large.get(key)
            if known is None:
                known = _at_large[key] = _Adopted(_check_of(call))
            known.askers += 1
        self._adopted.append(known)
        return known.check

    def __exit__(self, *_: object) -> None:
        with _lock:
            for adopted in self._adopted:
                adopted.askers -= 1
            for key, adopted in list(_at_large.items()):
                if not adopted.askers and adopted.check._flight is None:
                    del _at_large[key]


def _listed(checks: Iterable[Check | Callable[[], object] | str]) -> list[Check | Callable[[], object] | str]:
    if isinstance(checks, str) or not hasattr(checks, "__iter__"):
        raise BadArgument(f"checks: {checks!r}: not a list of checks (write [...])")
    return list(checks)


def _refuse_two_of_one_name(checks: list[Check]) -> None:
    seen = set()
    for check in checks:
        if check.name in seen:
            raise BadArgument(f"checks: {check.name!r}: two of this name (give each a name: Check(name, call))")
        seen.add(check.name)


def _check_of(call: Callable[[], object] | str) -> Check:
    return Check(call if isinstance(call, str) else _name_of(call), call)


def _name_of(call: object) -> str:
    name = getattr(call, "__qualname__", None) or type(call).__qualname__
    return f"{getattr(call, '__module__', None) or '?'}.{name}"


def _is_dotted_path(text: str) -> bool:
    return all(part.isidentifier() for part in text.split("."))


def _seconds(what: str, value: float) -> float:
    number = float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else -1.0
    # Longer than that no lock can wait for.
    if not 0 <= number <= 1e6:
        raise BadArgument(f"{what}: {value!r}: must be seconds, from 0 to 1,000,000")
    return number


def await_within(awaitable: Awaitable[object], timeout: float) -> object:
    """
    What it comes to, in an event loop of its own, in the context of this thread.

    Raises TimeoutError if it takes longer than ``timeout`` seconds, and whatever it raises.
    """
    import asyncio

    async def within_its_limit() -> tuple[object, BaseException | None]:
        try:
            return await asyncio.wait_for(_await_all(awaitable), timeout), None
        except BaseException as error:
            return None, error

    result, error = asyncio.run(within_its_limit())
    if error is not None:
        raise error
    return result


async def _await_all(awaitable: Awaitable[object]) -> object:
    try:
        return await awaitable
    except (SystemExit, KeyboardInterrupt) as error:
        # An event loop would end at once, with a word of its own.
        raise RuntimeError(_text(error)) from error


def _text(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:
        text = "(its text cannot be had)"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _after_fork_in_child() -> None:
    global _lock
    _lock = RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
