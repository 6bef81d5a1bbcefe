"""
The checks of an application, kept from request to request.

A Check knows that its function or its dependency hangs. A new Check for each request would start one more thread each
time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import SplitResult

from flask import Flask

from .. import endpoint
from ..checks import Check
from .dependencies import Dependency
from .functions import Function
from .settings import Settings

#: The number of checks that are kept for an application, and of messages that are not logged again.
LIMIT = 1000


class Registry:
    """The checks of one application."""

    def __init__(self) -> None:
        self._checks: dict[object, tuple[Check, Any]] = {}
        self._logged: set[str] = set()

    @classmethod
    def of(cls, app: Flask) -> Registry:
        """The registry of the application. Two first requests at the same time get the same one."""
        found: Registry = app.extensions.setdefault("liveness.flask", cls())
        return found

    def log_once(self, app: Flask, text: str) -> None:
        """Logs what is wrong with the settings, but not again with every request."""
        if text not in self._logged and len(self._logged) < LIMIT:
            self._logged.add(text)
            app.logger.error("liveness: %s", text)

    def function(self, group: str, name: str, function: Callable[[], object], settings: Settings) -> Check:
        """The check of one of the application's functions, bound to the current request."""
        # Quoted unless it is a usual name: two checks must not have the same name.
        shown = group if group in ("health", "readiness", "version_function") else ascii(group)
        # Each access to a method of an object makes another object.
        identity = id(getattr(function, "__self__", None)), id(getattr(function, "__func__", function))
        check, call = self._get((group, name, identity), f"{shown} {name}", lambda: Function(function), settings)
        call.bind(settings.timeout)
        return check

    def dependency(self, name: str, url: SplitResult, depth: int, settings: Settings) -> tuple[Check, Dependency]:
        """The check of a dependency, and the dependency."""
        # One check for each depth: with one for all, two services could wait for each other.
        return self._get((name, url, depth), f"dependency {name}", lambda: Dependency(url, depth), settings)

    def _get(self, key: object, name: str, make: Callable[[], Any], settings: Settings) -> tuple[Check, Any]:
        found = self._checks.get(key)
        if found is None:
            if len(self._checks) >= LIMIT:
                self._checks.clear()
            call = make()
            made = Check(name if name.isprintable() else ascii(name), call, timeout_ttl=endpoint.TIMEOUT_TTL)
            found = self._checks.setdefault(key, (made, call))
        check = found[0]
        # The settings may have changed. The check is the same, and may hang.
        check.timeout, check.max_age, check.failure_max_age = settings.timeout, settings.max_age, settings.max_age
        return found
