"""
The checks of an application, kept from request to request.

A check that hangs is known by its Check: who made a new one for each request would start one thread more each time.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

from flask import Flask, copy_current_request_context
from urllib3.util import Url

from .. import endpoint
from ..checks import Check
from .dependencies import Dependency
from .errors import HealthError

#: Checks that are kept of an application.
LIMIT = 1000
#: Of those, so many of requests that have come through other services: each way is one more.
CHAINED = 64
#: The longest way of one request through services that have each other for dependencies.
HOPS = 6

_ID = re.compile(r"[0-9a-f]{16}")


class Limits(NamedTuple):
    """What all checks of a request have in common, in seconds."""

    timeout: float
    ttl: float

    def check(self, name: str, call: Callable[[], object]) -> Check:
        printable = name if name.isprintable() else ascii(name)
        return Check(printable, call, timeout=self.timeout, ttl=self.ttl, timeout_ttl=endpoint.TIMEOUT_TTL)


class Function:
    """
    A function of the application: called, it raises HealthError if what that returns is not true.

    It runs in a thread, in a copy of the context of the request that asked for it first.
    """

    def __init__(self, function: Callable[[], object]) -> None:
        self._function = function
        self._in_context = self._ask

    def bind(self) -> None:
        """For the current request. If it is running, it goes on in the context that it has."""
        self._in_context = copy_current_request_context(self._ask)

    def __call__(self) -> object:
        answers: list[object] = []
        try:
            self._in_context(answers)
        except Exception:
            # What an application does at the end of a request may rely on what it does at the beginning.
            if not answers:
                raise
        return answers[0]

    def _ask(self, answers: list[object]) -> None:
        answer = self._function()
        if hasattr(answer, "__await__"):
            answers.append(_require_later(answer))
        else:
            _require(answer)
            answers.append(None)


def _require(answer: object) -> None:
    if not answer:
        raise HealthError(f"returned {answer!r}")


async def _require_later(answer: Awaitable[object]) -> None:
    _require(await answer)


class Kept:
    """The checks of an application, by what they are."""

    __slots__ = ("_checks", "_ids", "_lock", "_pid", "_said")

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._checks: OrderedDict[tuple[Any, ...], tuple[object, Check, Any]] = OrderedDict()
        # By URL: what the service there is called in the header CASCADE.
        self._ids: dict[str, str] = {}
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

        def make() -> tuple[Check, Function]:
            call = Function(function)
            return limits.check(f"{group} {name}", call), call

        check, call = self._get(("function", group, name, *limits), function, make)
        call.bind()
        return check

    def is_asking(self, url: Url, chain: tuple[str, ...]) -> bool:
        """
        The service there waits for an answer of ours.

        With one worker that serves one request at a time it could not answer, and would seem to be down.
        """
        return self._ids.get(str(url)) in chain

    def dependency(self, name: str, url: Url, chain: tuple[str, ...], limits: Limits) -> tuple[Check, Dependency]:
        """The check of a dependency, and the dependency. Raises HealthError if there are too many."""

        def make() -> tuple[Check, Dependency]:
            call = Dependency(url, chain, partial(self._learn, str(url)))
            return limits.check(f"dependency {name}", call), call

        kind = "dependency" if len(chain) == 1 else "chained"
        check, call = self._get((kind, name, str(url), chain, *limits), None, make)
        call.cut_off_a_hang(limits.timeout)
        return check, call

    def _learn(self, url: str, name: str) -> None:
        if _ID.fullmatch(name):
            self._ids[url] = name

    def _get(self, key: tuple[Any, ...], source: object, make: Callable[[], tuple[Check, Any]]) -> tuple[Check, Any]:
        with self._lock:
            known = self._checks.get(key)
            # Made of a function that is another now.
            if known is None or known[0] is not source:
                if key[0] == "chained":
                    self._make_room()
                known = self._checks[key] = (source, *make())
            self._checks.move_to_end(key)
            if len(self._checks) > LIMIT:
                self._checks.popitem(last=False)
            return known[1], known[2]

    def _make_room(self) -> None:
        # Anybody may send a way of his own with every request; a thread for each would be no end of threads.
        chained = [key for key in self._checks if key[0] == "chained"]
        if len(chained) < CHAINED:
            return
        for key in chained:
            if not self._checks[key][2].is_asked():
                del self._checks[key]
                return
        raise HealthError("too many requests of other services hang")


# Two first requests at once must not make two of them.
_lock = threading.Lock()


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork_in_child)


def id_of(app_name: str, addresses: Iterable[str]) -> str:
    """What an application is called in the header CASCADE: the same in all its processes."""
    text = "\n".join([app_name, *sorted(addresses)])
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def chain_of(header: str, own: str) -> tuple[str, ...]:
    """
    The way of a request that its dependencies are asked on behalf of, this application last.

    Nothing if they must not be asked: it has been here before, or has come a long way, or from who knows where.
    """
    way = tuple(header.split())
    if own in way or len(way) >= HOPS or not all(_ID.fullmatch(name) for name in way):
        return ()
    return (*way, own)
