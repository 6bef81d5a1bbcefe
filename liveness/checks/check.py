"""The Check: a callable with its limits, and its last result."""

from __future__ import annotations

import threading
import time

from .. import log
from ..errors import BadArgument
from . import lock
from .arguments import refuse_bad_arguments, seconds, text_of
from .awaiting import value_of
from .pending import PendingRun
from .results import FAILED, PASSED, TIMED_OUT, Result
from .return_values import refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

_REASON_LENGTH = 1000


class Check:
    """
    A check with its limits.

    ``name`` is its name in reports. ``call`` is a callable without arguments, sync or async, or the dotted path of a
    module. ``timeout`` is the longest wait for a result, in seconds; a later result is discarded. Results are cached
    for ``max_age`` seconds, failures for ``failure_max_age``. Default: 0, which runs the check every time, and
    ``max_age``. After a timeout the check is run again as usual, but for ``timeout_ttl`` seconds nobody waits for the
    result: it counts as timed out until it has once finished in time. Default: 0. A check that is not ``critical``
    degrades the verdict instead of failing it.

    A check never runs twice at the same time. Callers that need it while it runs wait for the same result, until
    ``timeout`` seconds after its start. From then on it has timed out for every caller, without a wait, until it
    returns. So create a Check once, and keep it. It runs in a daemon thread, which does not delay the end of the
    process. An async check has its own event loop in that thread, and is cancelled at its timeout.

    With ``loop``, an async check is awaited in that event loop of the application. Use it for every client that belongs
    to that loop: it cannot be used in another one.

    Raises BadArgument for invalid arguments.
    """

    __slots__ = (
        "_call", "_last", "_logged", "_loop", "_pending", "_timed_out_at", "critical", "failure_max_age", "max_age",
        "name", "timeout", "timeout_ttl",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        call: Callable[[], object] | str,
        *,
        timeout: float = 1.0,
        max_age: float = 0.0,
        failure_max_age: float | None = None,
        timeout_ttl: float = 0.0,
        critical: bool = True,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        refuse_bad_arguments(name, call, loop)
        self.name = name
        self.timeout = seconds(f"{name}: timeout", timeout)
        if not self.timeout:
            raise BadArgument(f"{name}: timeout: {timeout!r}: must be more than 0 seconds")
        self.max_age = seconds(f"{name}: max_age", max_age)
        self.failure_max_age = (
            self.max_age if failure_max_age is None else seconds(f"{name}: failure_max_age", failure_max_age)
        )
        self.timeout_ttl = seconds(f"{name}: timeout_ttl", timeout_ttl)
        self.critical = bool(critical)
        self._loop = loop
        self._call = call
        self._pending: PendingRun | None = None
        self._last: Result | None = None
        # When the last run ended, if that run timed out.
        self._timed_out_at: float | None = None
        # The outcome that was logged last: a check that continues to fail is not logged again.
        self._logged = PASSED

    def __repr__(self) -> str:
        return f"Check({self.name!r}, timeout={self.timeout:g}, critical={self.critical})"

    def _begin(self) -> PendingRun | Result:
        """A pending run, started now or earlier, or a cached result."""
        begun: PendingRun | None = None
        try:
            with lock.current:
                now = time.monotonic()
                last = self._last
                if last is not None and now - last.ended < (self.max_age if last.passed else self.failure_max_age):
                    return last
                pending = self._pending
                if pending is not None and pending.is_of_this_process():
                    return pending
                begun = self._pending = PendingRun(now)
            self._start(begun)
            return begun
        except BaseException:
            # Raised by a signal handler: perhaps no thread was started, and then this run would never end.
            with lock.current:
                if begun is not None and self._pending is begun:
                    self._pending = None
            raise

    def _start(self, pending: PendingRun) -> None:
        thread = threading.Thread(target=self._run, args=(pending,), name=f"liveness-check-{self.name}", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            self._end(pending, FAILED, f"cannot run: {error}")

    def _run(self, pending: PendingRun) -> None:
        try:
            reason = refusal(value_of(self._call, self.timeout, self._loop))
            outcome = FAILED if reason else PASSED
        # Also SystemExit: a check must not end this thread without a result.
        except BaseException as error:
            outcome, reason = FAILED, text_of(error)
        self._end(pending, outcome, reason)

    def _end(self, pending: PendingRun, outcome: str, reason: str) -> None:
        with lock.current:
            ended = time.monotonic()
            if ended - pending.started >= self.timeout:
                outcome, reason = TIMED_OUT, self._no_answer()
            self._timed_out_at = ended if outcome == TIMED_OUT else None
            result = self._result(outcome, ended - pending.started, reason)
            if self._pending is pending:
                self._pending = None
                # A late result is not cached.
                self._last = None if outcome == TIMED_OUT else result
            pending.end(result)

    def _answer(self, pending: PendingRun, asked: float, limit: float | None) -> Result:
        """
        Waits for the result until ``timeout``, or ``limit`` if that is shorter, after the start of the run.

        A caller that joins later waits less; after that time it does not wait at all.
        """
        allowed = self.timeout if limit is None else min(self.timeout, limit)
        timed_out_at = self._timed_out_at
        is_not_awaited = timed_out_at is not None and asked - timed_out_at < self.timeout_ttl
        result = pending.wait(0.0 if is_not_awaited else allowed)
        if result is not None:
            return result
        lasted, joined = time.monotonic() - pending.started, asked - pending.started
        if is_not_awaited and joined < self.timeout:
            reason = "timed out the last time, and has not answered yet"
        elif is_not_awaited or joined >= allowed:
            reason = f"still running after {lasted:.1f} s"
        else:
            reason = self._no_answer() if allowed == self.timeout else f"no answer within the deadline of {limit:g} s"
        return self._result(TIMED_OUT, lasted, reason)

    def _no_answer(self) -> str:
        return f"no answer within {self.timeout:g} s"

    def _result(self, outcome: str, duration: float, reason: str) -> Result:
        return Result(self.name, outcome, duration, reason[:_REASON_LENGTH], self.critical, time.monotonic())

    def _log(self, result: Result) -> None:
        if result.outcome == self._logged:
            return
        self._logged = result.outcome
        if result.passed:
            log.warning("check %r passes again", self.name)
        else:
            log.warning("check %r %s: %s", self.name, result.outcome, result.reason)
