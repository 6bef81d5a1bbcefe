"""
The checks of an application, kept from request to request.

A check that hangs is known by its Check: who made a new one for each request would start one thread more each time.
"""

from __future__ import annotations

import os
import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from types import MethodType
from typing import Any, NamedTuple

from flask import Flask, copy_current_request_context
from urllib3.util import Url

from .. import endpoint
from ..checks import Check, await_within
from .dependencies import Dependency
from .errors import HealthError

#: Checks that are kept of an application.
LIMIT = 1000


class Limits(NamedTuple):
    """What all checks of a request have in common, in seconds."""

    timeout: float
    ttl: float

    def check(self, name: str, call: Callable[[], object]) -> Check:
        """A check with them; to be told again with each request."""
        printable = name if name.isprintable() else ascii(name)
        return Check(printable, call, timeout=self.timeout, max_age=self.ttl, timeout_ttl=endpoint.TIMEOUT_TTL)

    def tell(self, check: Check) -> None:
        """They may be others than when it was made; it is the same check all the same, and may be hanging."""
        check.timeout, check.max_age, check.failure_max_age = self.timeout, self.ttl, self.ttl


class Function:
    """
    A function of the application: called, it raises HealthError if what that returns is not true.

    It runs in a thread, in a copy of the context of the request that asked for it first.
    """

    def __init__(self, function: Callable[[], object]) -> None:
        self._function = function
        self._timeout = endpoint.DEADLINE
        self._in_context = self._ask

    def bind(self, timeout: float) -> None:
        """For the current request. If it is running, it goes on in the context that it has."""
        self._timeout = timeout
        self._in_context = copy_current_request_context(self._ask)

    def __call__(self) -> None:
        refusals: list[str] = []
        try:
            self._in_context(refusals)
        except Exception:
            # What an application does at the end of a request may rely on what it does at the beginning.
            if not refusals:
                raise
        if refusals[0]:
            raise HealthError(refusals[0])

    def _ask(self, refusals: list[str]) -> None:
        answer = self._function()
        if hasattr(answer, "__await__"):
            # Here, where the context is.
            answer = await_within(answer, self._timeout)
        refusals.append("" if answer else f"returned {answer!r}")


class Kept:
    """The checks of an application, by what they are."""

    __slots__ = ("_checks", "_lock", "_pid", "_said")

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._checks: OrderedDict[tuple[Any, ...], tuple[object, Check, Any]] = OrderedDict()
        self._said: set[str] = set()

    @classmethod
    def of(cls, app: Flask) -> Kept:
        """Those of this process: what a parent's threads were at, the lock even, nobody here will finish."""
        kept: Kept | None = app.extensions.get("liveness.flask")
        if kept is None or kept._pid != os.getpid():
            with _lock:
                kept = app.extensions.get("liveness.flask")
                if kept is None or kept._pid != os.getpid():
                    kept = app.extensions["liveness.flask"] = cls()
        return kept

    def say_once(self, app: Flask, text: str) -> None:
        """Logs what is wrong with the settings; not again with every request."""
        if text not in self._said and len(self._said) < LIMIT:
            self._said.add(text)
            app.logger.error("liveness: %s", text)

    def function(self, group: str, name: str, function: Callable[[], object], limits: Limits) -> Check:
        """The check of one of the application's functions, for the current request."""
        # In quotes where it could be taken for another one: no two checks may have one name.
        shown = group if group in ("health", "readiness", "version_function") else ascii(group)

        def make() -> tuple[Check, Function]:
            call = Function(function)
            return limits.check(f"{shown} {name}", call), call

        check, call = self._get(("function", group, name), function, make, limits)
        call.bind(limits.timeout)
        return check

    def dependency(self, name: str, url: Url, depth: int, limits: Limits) -> tuple[Check, Dependency]:
        """The check of a dependency, and the dependency."""

        def make() -> tuple[Check, Dependency]:
            call = Dependency(url, depth)
            return limits.check(f"dependency {name}", call), call

        # Of another depth it is another one: with one for both, two services could wait for each other.
        check, call = self._get(("dependency", name, str(url), depth), None, make, limits)
        call.cut_off_a_hang(limits.timeout)
        return check, call

    def _get(
        self, key: tuple[Any, ...], source: object, make: Callable[[], tuple[Check, Any]], limits: Limits
    ) -> tuple[Check, Any]:
        with self._lock:
            known = self._checks.get(key)
            if known is None or not _are_the_same(known[0], source):
                known = self._checks[key] = (source, *make())
            self._checks.move_to_end(key)
            if len(self._checks) > LIMIT:
                self._checks.popitem(last=False)
            limits.tell(known[1])
            return known[1], known[2]


def _are_the_same(one: object, other: object) -> bool:
    if one is other:
        return True
    # The method of an object is another object each time, and equal.
    return isinstance(one, MethodType) and isinstance(other, MethodType) and one == other


def depth_of(header: str | None, own: int) -> int:
    """
    How far a request may go on from here: as far as our settings say, and as the header of who asks.

    A header that is none counts as no header: whoever sends it gets what anybody gets.
    """
    return min(own, int(header)) if header is not None and re.fullmatch("[0-9]", header) else own


# Two first requests at once must not make two of them.
_lock = threading.Lock()


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork_in_child)
