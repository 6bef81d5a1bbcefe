"""
Checks: run them in parallel, each within its timeout and all within a deadline, and report the results.

A check is a callable, sync or async, or the dotted path of a module, which stands for its function ``health``. A check
fails by raising an exception, or by returning a value that equals False (0 does; None does not).
"""

from __future__ import annotations

import os
from _thread import RLock

from . import log
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
# The Checks of bare callables and module names that are running or awaited: a second run() must join the running one.
_shared: dict[object, _Shared] = {}


# One check after another, for load()


def listed(checks: Iterable[Callable[[], object] | str]) -> list[Callable[[], object] | str]:
    """The checks of a load as a list. Raises BadArgument for anything but module names and callables."""
    if isinstance(checks, str) or not hasattr(checks, "__iter__"):
        raise BadArgument(f"checks: {checks!r}: must be a list of module names or callables (write [...])")
    found = list(checks)
    for check in found:
        if not callable(check) and not (isinstance(check, str) and check):
            raise BadArgument(f"checks: {check!r}: neither the dotted path of a module nor a callable")
    return found


def require(checks: Iterable[Callable[[], object] | str], args: tuple[object, ...], kwargs: dict[str, object]) -> None:
    """
    Runs each check, one after the other: a module's ``health(*args, **kwargs)``, or a callable without arguments.

    Raises CheckFailed for the first check whose result equals False, or is a coroutine, which would not be awaited.
    Raises LivenessError for a module without ``health``. Every other exception passes through, also one of the import.
    """
    for check in checks:
        if isinstance(check, str):
            name, function = check, "health()"
            result = _health_of(check)(*args, **kwargs)
        else:
            name, function = _name_of(check), "it"
            result = check()
        if hasattr(result, "__await__"):
            if hasattr(result, "close"):
                result.close()
            raise CheckFailed(
                name, f"{function} is a coroutine function, which load() cannot await (make it a plain one)"
            )
        refusal = _refusal(result)
        if refusal:
            raise CheckFailed(name, f"{function} {refusal}")


def _health_of(module: str) -> Callable[..., object]:
    import importlib

    health: Callable[..., object] | None = getattr(importlib.import_module(module), "health", None)
    if health is None:
        raise LivenessError(f"{module}: has no health() (define health(*args, **kwargs) in it)")
    return health


def _refusal(result: object) -> str:
    """Why the result of a check does not mean success; empty if it does."""
    kind = type(result)
    if hasattr(kind, "gi_frame") or hasattr(kind, "ag_frame"):
        return "returned a generator, whose code has not run (remove the yield)"
    if callable(result):
        return f"returned {result!r}, which was not called (return its result)"
    if isinstance(result, tuple) and result and result[0] is False:
        return f"returned {result!r} (True or None mean success; raise an exception to give a reason)"
    # 0 is a failure, and so is an object that defines itself as false, such as a Verdict. None and [] are not.
    if bool(result == False) or (hasattr(kind, "__bool__") and result is not None and not result):  # noqa: E712
        return f"returned {result!r} (True or None mean success)"
    return ""


# In parallel


class Check:
    """
    A check with its limits.

    ``name`` is its name in reports. ``call`` is a callable without arguments, sync or async, or the dotted path of a
    module. ``timeout`` is the longest wait for a result, in seconds; a later result is discarded. Results are cached
    for ``ttl`` seconds, failures for ``failure_ttl``. Default: 0, which runs the check every time, and ``ttl``. After a
    timeout the check is run again as usual, but for ``timeout_ttl`` seconds nobody waits for the result: it counts as
    timed out until it has once finished in time. Default: 0. A check that is not ``critical`` degrades the verdict
    instead of failing it.

    A check never runs twice at the same time. Callers that need it while it runs wait for the same result, until
    ``timeout`` seconds after its start. From then on it has timed out for every caller, without a wait, until it
    returns. So create a Check once, and keep it. It runs in a daemon thread, which does not delay the end of the
    process. An async check has its own event loop in that thread, and is cancelled at its timeout.

    Raises BadArgument for invalid arguments.
    """

    __slots__ = (
        "_call",
        "_last",
        "_logged",
        "_pending",
        "_timed_out_at",
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
        self._pending: _PendingRun | None = None
        self._last: Result | None = None
        # When the last run ended, if that run timed out.
        self._timed_out_at: float | None = None
        # The outcome that was logged last: a check that continues to fail is not logged again.
        self._logged = PASSED

    def __repr__(self) -> str:
        return f"Check({self.name!r}, timeout={self.timeout:g}, critical={self.critical})"

    def _begin(self) -> _PendingRun | Result:
        """A pending run, started now or earlier, or a cached result."""
        import time

        begun: _PendingRun | None = None
        try:
            with _lock:
                now = time.monotonic()
                last = self._last
                if last is not None and now - last.ended < (self.ttl if last.passed else self.failure_ttl):
                    return last
                pending = self._pending
                # A forked child inherits the pending runs of its parent, but not the threads.
                if pending is not None and pending.pid == os.getpid():
                    return pending
                begun = self._pending = _PendingRun(now)
            self._start(begun)
            return begun
        except BaseException:
            # Raised by a signal handler: perhaps no thread was started, and then this run would never end.
            if begun is not None:
                self._forget(begun)
            raise

    def _forget(self, pending: _PendingRun) -> None:
        with _lock:
            if self._pending is pending:
                self._pending = None

    def _start(self, pending: _PendingRun) -> None:
        import threading

        thread = threading.Thread(target=self._run, args=(pending,), name=f"liveness-check-{self.name}", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            self._end(pending, FAILED, f"cannot run: {error}")

    def _run(self, pending: _PendingRun) -> None:
        try:
            call = _health_of(self._call) if isinstance(self._call, str) else self._call
            result = call()
            if hasattr(result, "__await__"):
                result = await_within(result, self.timeout)
            reason = _refusal(result)
            outcome = FAILED if reason else PASSED
        # Also SystemExit: a check must not end this thread without a result.
        except BaseException as error:
            outcome, reason = FAILED, _text(error)
        self._end(pending, outcome, reason)

    def _end(self, pending: _PendingRun, outcome: str, reason: str) -> None:
        import time

        with _lock:
            lasted = time.monotonic() - pending.started
            if lasted >= self.timeout:
                outcome, reason = TIMED_OUT, self._no_answer()
            self._timed_out_at = time.monotonic() if outcome == TIMED_OUT else None
            pending.result = self._result(outcome, lasted, reason)
            if self._pending is pending:
                self._pending = None
                # A late result is not cached.
                self._last = None if outcome == TIMED_OUT else pending.result
        pending.done.set()

    def _answer(self, pending: _PendingRun, asked: float, limit: float | None) -> Result:
        """
        Waits for the result until ``timeout``, or ``limit`` if that is shorter, after the start of the run.

        A caller that joins later waits less; after that time it does not wait at all.
        """
        import time

        allowed = self.timeout if limit is None else min(self.timeout, limit)
        joined = asked - pending.started
        timed_out_at = self._timed_out_at
        is_not_awaited = timed_out_at is not None and asked - timed_out_at < self.timeout_ttl
        if is_not_awaited:
            allowed = 0.0
        # Do not wait for a result that exists: an Event of gevent may miss a set() that came just before.
        if pending.result is None:
            pending.done.wait(max(0.0, pending.started + allowed - time.monotonic()))
        with _lock:
            if pending.result is not None:
                return pending.result
        lasted = time.monotonic() - pending.started
        if is_not_awaited and joined < self.timeout:
            reason = "timed out the last time, and has not answered yet"
        elif joined >= allowed:
            reason = f"still running after {lasted:.1f} s"
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
        if result.outcome == self._logged:
            return
        self._logged = result.outcome
        if result.passed:
            log.warning("check %r passes again", self.name)
        else:
            log.warning("check %r %s: %s", self.name, result.outcome, result.reason)


class _Shared:
    """The Check of a bare callable or a module name, and the number of run() calls that wait for it."""

    __slots__ = ("callers", "check")

    def __init__(self, check: Check) -> None:
        self.check = check
        self.callers = 0


class _PendingRun:
    """One run of one check."""

    __slots__ = ("done", "pid", "result", "started")

    def __init__(self, now: float) -> None:
        import threading

        self.started = now
        self.pid = os.getpid()
        self.done: threading.Event = threading.Event()
        self.result: Result | None = None


class Result:
    """The result of one check."""

    __slots__ = ("critical", "duration", "ended", "name", "outcome", "reason")

    def __init__(self, name: str, outcome: str, duration: float, reason: str, critical: bool, ended: float) -> None:
        self.name = name
        #: ``passed``, ``failed`` or ``timed out``.
        self.outcome = outcome
        #: Seconds that the check has run, so far if it timed out.
        self.duration = duration
        #: Type and text of the exception, or another reason; empty if the check passed. May contain internals.
        self.reason = reason
        self.critical = critical
        #: On time.monotonic().
        self.ended = ended

    @property
    def passed(self) -> bool:
        """Whether the check passed."""
        return self.outcome == PASSED

    def __repr__(self) -> str:
        return f"Result({self.name!r}, {self.outcome!r}, {self.reason!r})"


class Report:
    """The results of all checks; true unless a critical check did not pass."""

    __slots__ = ("results",)

    def __init__(self, results: Iterable[Result]) -> None:
        #: In the order of the checks.
        self.results = tuple(results)

    @property
    def verdict(self) -> str:
        """``passed``; ``failed`` if a critical check did not pass; ``degraded`` if only other checks did not."""
        bad = [result for result in self.results if not result.passed]
        if any(result.critical for result in bad):
            return FAILED
        return DEGRADED if bad else PASSED

    def __bool__(self) -> bool:
        return self.verdict != FAILED

    @property
    def summary(self) -> str:
        """One line for the public: the checks that did not pass, without reasons. Empty if all passed."""
        return ", ".join(f"{result.name} {result.outcome}" for result in self.results if not result.passed)

    def as_dict(self, detailed: bool = False) -> dict[str, object]:
        """For JSON: the verdict and the checks by name. Durations and reasons are included if ``detailed``."""
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
    Runs all checks in parallel, and returns a report.

    A callable or a module name stands for a Check of that name with the default limits. The call takes as long as the
    slowest check, at most its timeout, and at most ``deadline`` seconds. A check without a result by then has timed
    out. The log has a line when a check begins to fail, and when it passes again.

    Raises BadArgument for invalid arguments, and nothing else.
    """
    import time

    limit = None if deadline is None else _seconds("deadline", deadline)
    with _Prepared(_listed(checks)) as prepared:
        asked = time.monotonic()
        pending = [(check, check._begin()) for check in prepared]
        results = []
        for check, found in pending:
            result = check._answer(found, asked, limit) if isinstance(found, _PendingRun) else found
            check._log(result)
            results.append(result)
    return Report(results)


def prepare(checks: Iterable[Check | Callable[[], object] | str]) -> list[Check]:
    """A list of Checks to keep and to run again. Raises BadArgument for invalid checks and duplicate names."""
    found = [check if isinstance(check, Check) else _check_of(check) for check in _listed(checks)]
    _refuse_duplicate_names(found)
    return found


class _Prepared:
    """The Checks of one run(). Callables and module names get a Check that is shared while it is in use."""

    def __init__(self, given: list[Check | Callable[[], object] | str]) -> None:
        self._given = given
        self._shared: list[_Shared] = []

    def __enter__(self) -> list[Check]:
        try:
            checks = [check if isinstance(check, Check) else self._share(check) for check in self._given]
            _refuse_duplicate_names(checks)
        except BadArgument:
            self.__exit__()
            raise
        return checks

    def _share(self, call: Callable[[], object] | str) -> Check:
        key: object = call
        try:
            hash(call)
        except TypeError:
            key = id(call)
        with _lock:
            shared = _shared.get(key)
            if shared is None:
                shared = _shared[key] = _Shared(_check_of(call))
            shared.callers += 1
        self._shared.append(shared)
        return shared.check

    def __exit__(self, *_: object) -> None:
        with _lock:
            for shared in self._shared:
                shared.callers -= 1
            for key, shared in list(_shared.items()):
                if not shared.callers and shared.check._pending is None:
                    del _shared[key]


def _listed(checks: Iterable[Check | Callable[[], object] | str]) -> list[Check | Callable[[], object] | str]:
    if isinstance(checks, str) or not hasattr(checks, "__iter__"):
        raise BadArgument(f"checks: {checks!r}: must be a list of checks (write [...])")
    return list(checks)


def _refuse_duplicate_names(checks: list[Check]) -> None:
    seen = set()
    for check in checks:
        if check.name in seen:
            raise BadArgument(
                f"checks: {check.name!r}: two checks have this name (give each its own: Check(name, call))"
            )
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
    # A lock cannot wait much longer than that.
    if not 0 <= number <= 1e6:
        raise BadArgument(f"{what}: {value!r}: must be seconds, from 0 to 1,000,000")
    return number


def await_within(awaitable: Awaitable[object], timeout: float) -> object:
    """
    The result of the awaitable, which runs in an event loop of its own in this thread.

    Raises TimeoutError if it takes longer than ``timeout`` seconds, and every exception of the awaitable.
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
        # Else the event loop would stop at once, and print a traceback.
        raise RuntimeError(_text(error)) from error


def _text(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:
        text = "(its text is not available)"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _after_fork_in_child() -> None:
    global _lock
    _lock = RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
