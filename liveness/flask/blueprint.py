"""The endpoints."""

from __future__ import annotations

import json
import os
from typing import Any

from flask import Blueprint, Response, abort, current_app, request

from .. import endpoint
from ..checks import TIMED_OUT, Check, Result, run
from ..probe import Verdict
from .dependencies import CASCADE, Dependency, url_of
from .errors import HealthError
from .info import Info
from .kept import Kept, Limits, depth_of
from .settings import Settings

__all__ = [
    "DEFAULT_URL_PREFIX",
    "HealthError",
    "cascading_checks",
    "checks_with_pluggable_functions",
    "z_blueprint",
]

DEFAULT_URL_PREFIX = "/z"
#: The checks below /health that ask the dependencies, too; add "readiness" if nothing can be served without them.
cascading_checks: list[str] = []
#: The checks that call functions of the application.
checks_with_pluggable_functions: list[str] = ["health", "readiness", "version_function"]

#: One for any number of applications: whatever it knows of one is kept with that one.
z_blueprint = Blueprint("management_endpoints", __name__, url_prefix=DEFAULT_URL_PREFIX)

_HEADERS = list(endpoint.HEADERS.items())
_TERSE = {well: json.dumps({"status": "UP" if well else "DOWN"}).encode() for well in (True, False)}
# Longer names are nothing that anybody has configured.
_NAME_LENGTH = 128


@z_blueprint.get("/version")
def version() -> Any:
    """The environment variable VERSION, or what the application's ``version_function`` returns."""
    if "version_function" not in checks_with_pluggable_functions:
        abort(404)
    settings = Settings(current_app)
    function = settings.version_function()
    if settings.errors:
        return _text("\n".join(settings.errors), 500)
    if function is None:
        return _text(os.environ.get("VERSION") or "unknown", endpoint.OK)
    found = function()
    return _text(found, endpoint.OK) if isinstance(found, str) else found


@z_blueprint.get("/info")
def info() -> Response:
    """What this application is, and what it runs on."""
    settings = Settings(current_app)
    if not settings.is_on("show_info"):
        abort(404)
    found = Info(
        current_app.name,
        enable_service_instance_id=settings.is_on("enable_service_instance_id"),
        show_command_line=settings.is_on("show_command_line"),
    )
    return _json(found, endpoint.OK)


@z_blueprint.get("/health/<check_name>")
def nested_health_check(check_name: str) -> Response:
    """One check in short: liveness and ping, which wait for nothing, readiness, or one of ``cascading_checks``."""
    if len(check_name) > _NAME_LENGTH:
        abort(404)
    if check_name in ("liveness", "ping"):
        return _liveness()
    if check_name != "readiness" and check_name not in cascading_checks:
        abort(404)
    asked = _Asked()
    if check_name in cascading_checks:
        asked.ask_dependencies(check_name)
    if check_name in checks_with_pluggable_functions:
        asked.ask_functions(check_name)
    return asked.status()


@z_blueprint.get("/health")
def health() -> Response:
    """Every dependency and every function, each with its status."""
    asked = _Asked()
    asked.ask_dependencies(None)
    for group in dict.fromkeys(checks_with_pluggable_functions):
        asked.ask_functions(group)
    asked.settings.version_function()
    return asked.report()


def _liveness() -> Response:
    # Its unit, and nothing else: not even a mistake in the settings ends a process that is alive.
    settings = current_app.config.get("Z_ENDPOINTS")
    if settings is None or (type(settings) is dict and "unit" not in settings):
        return _status(True)
    verdict = Settings(current_app).joined().live()
    return _status(verdict is None or verdict.healthy)


class _Asked:
    """What one request asks for, all at once, and what came of it."""

    def __init__(self) -> None:
        # The application, and not what stands for it here.
        self._app = current_app._get_current_object()  # type: ignore[attr-defined]
        self._kept = Kept.of(self._app)
        self.settings = Settings(self._app)
        for key in self.settings.ignored:
            self._kept.say_once(self._app, f"Z_ENDPOINTS: {key}: no such setting")
        before = len(self.settings.errors)
        self._limits = Limits(self.settings.timeout(self._app.config.get("BACKEND_TIMEOUT")), self.settings.ttl())
        # Those are no matter of readiness, unless it asks dependencies.
        self._errors_of_limits = self.settings.errors[before:]
        del self.settings.errors[before:]
        # In the order of the report: name, and check, or what is known of it already.
        self._wanted: list[tuple[str, Check | None, Dependency | None]] = []
        self._verdict: Verdict | None = None

    def ask_dependencies(self, check: str | None) -> None:
        self.settings.errors += self._errors_of_limits
        depth = depth_of(request.headers.get(CASCADE), self.settings.depth())
        prefix = self.settings.prefix()
        for name, address in self.settings.dependencies().items():
            try:
                url = url_of(address, check, prefix)
            except HealthError as error:
                self.settings.errors.append(f"Z_ENDPOINTS: service_dependencies[{name!r}]: {error}")
                self._wanted.append((name, None, None))
                continue
            if depth:
                self._wanted.append((name, *self._kept.dependency(name, url, depth - 1, self._limits)))

    def ask_functions(self, group: str) -> None:
        for name, function in self.settings.functions(group).items():
            self._wanted.append((name, self._kept.function(group, name, function, self._limits), None))

    def status(self) -> Response:
        """Waits for all, and tells whether all is well."""
        self._run()
        return _status(self._is_well)

    def report(self) -> Response:
        """Waits for all, and tells of each."""
        self._run()
        components: dict[str, Any] = {}
        for name, check, dependency in self._wanted:
            result = self._results.get(check.name) if check else None
            details = self._details(dependency, result)
            components[name] = {**details, "status": _word(result is not None and result.passed)}
        report: dict[str, Any] = {"components": components, "status": _word(self._is_well)}
        if self._verdict is not None:
            report["unit"] = {"status": _word(self._verdict.healthy), "reason": self._verdict.reason}
        if self.settings.errors:
            report["errors"] = self.settings.errors
        status = endpoint.status(self._is_well)
        try:
            return _json(report, status)
        except RecursionError:
            # A dependency has answered with brackets in brackets in brackets.
            return _status(self._is_well)

    def _run(self) -> None:
        # The word of the state unit, if there is one.
        self._verdict = self.settings.joined().ready()
        checks = [check for _, check, _ in self._wanted if check is not None]
        report = run(checks, deadline=self._limits.timeout)
        self._results = {result.name: result for result in report.results}
        for text in self.settings.errors:
            self._kept.say_once(self._app, text)
        known = len(checks) == len(self._wanted) and not self.settings.errors
        self._is_well = bool(report) and known and (self._verdict is None or self._verdict.healthy)

    def _details(self, dependency: Dependency | None, result: Result | None) -> dict[str, Any]:
        """What a dependency has answered; nothing if it has not."""
        if dependency is None or result is None or result.outcome == TIMED_OUT:
            return {}
        return dependency.details if self.settings.is_on("show_details") else {}


def _word(well: bool) -> str:
    return "UP" if well else "DOWN"


def _status(well: bool) -> Response:
    return _answer(_TERSE[well], endpoint.status(well), "application/json")


def _json(found: object, status: int) -> Response:
    return _answer(json.dumps(found).encode(), status, "application/json")


def _text(text: str, status: int) -> Response:
    return _answer(text.encode("utf-8", "replace"), status, "text/plain; charset=utf-8")


def _answer(body: bytes, status: int, kind: str) -> Response:
    return Response(body, status, [("Content-Type", kind), *_HEADERS])
