"""Checks in parallel."""

from __future__ import annotations

import time

from ..errors import BadArgument
from . import lock
from .arguments import name_of, seconds
from .check import Check
from .pending import PendingRun
from .results import Report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# The Checks of bare callables and module names that are running or awaited: a second run() must join the running one.
_shared: dict[object, _Shared] = {}


def run(checks: Iterable[Check | Callable[[], object] | str], deadline: float | None = None) -> Report:
    """
    Runs all checks in parallel, and returns a report.

    A callable or a module name stands for a Check of that name with the default limits. The call takes as long as the
    slowest check, at most its timeout, and at most ``deadline`` seconds. A check without a result by then has timed
    out. The log has a line when a check begins to fail, and when it passes again.

    Raises BadArgument for invalid arguments, and in the event loop of a check with ``loop``, which it would block.
    """
    limit = None if deadline is None else seconds("deadline", deadline)
    with _Prepared(_listed(checks)) as prepared:
        _refuse_own_loops(prepared)
        asked = time.monotonic()
        pending = [(check, check._begin()) for check in prepared]
        results = []
        for check, found in pending:
            result = check._answer(found, asked, limit) if isinstance(found, PendingRun) else found
            check._log(result)
            results.append(result)
    return Report(results)


def prepare(checks: Iterable[Check | Callable[[], object] | str]) -> list[Check]:
    """A list of Checks to keep and to run again. Raises BadArgument for invalid checks and duplicate names."""
    found = [check if isinstance(check, Check) else _check_of(check) for check in _listed(checks)]
    _refuse_duplicate_names(found)
    return found


class _Shared:
    """The Check of a bare callable or a module name, and the number of run() calls that wait for it."""

    __slots__ = ("callers", "check")

    def __init__(self, check: Check) -> None:
        self.check = check
        self.callers = 0


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
        with lock.current:
            shared = _shared.get(key)
            if shared is None:
                shared = _shared[key] = _Shared(_check_of(call))
            shared.callers += 1
        self._shared.append(shared)
        return shared.check

    def __exit__(self, *_: object) -> None:
        with lock.current:
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


def _refuse_own_loops(checks: list[Check]) -> None:
    loops = {check._loop: check.name for check in checks if check._loop is not None}
    if not loops:
        return
    import asyncio

    try:
        name = loops.get(asyncio.get_running_loop())
    except RuntimeError:
        return
    if name is not None:
        raise BadArgument(
            f"{name}: run() would block the event loop of this check (write await asyncio.to_thread(run, checks))"
        )


def _check_of(call: Callable[[], object] | str) -> Check:
    return Check(call if isinstance(call, str) else name_of(call), call)
