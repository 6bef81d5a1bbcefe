"""The endpoints."""

from __future__ import annotations

import json
import os
from typing import Any

from flask import Blueprint, Flask, Response, abort, current_app

from .. import endpoint
from .errors import HealthError
from .health import HealthRequest, is_live, word
from .info import Info
from .settings import Settings

__all__ = ["DEFAULT_URL_PREFIX", "HealthError", "cascading_checks", "checks_with_pluggable_functions", "z_blueprint"]

DEFAULT_URL_PREFIX = "/z"
#: The checks below /health that also ask the dependencies. Add "readiness" if nothing can be served without them.
cascading_checks: list[str] = []
#: The checks that call functions of the application.
checks_with_pluggable_functions: list[str] = ["health", "readiness", "version_function"]

#: For any number of applications: everything that belongs to one application is kept in that application.
z_blueprint = Blueprint("management_endpoints", __name__, url_prefix=DEFAULT_URL_PREFIX)

# No check has a longer name.
_NAME_LENGTH = 128


@z_blueprint.get("/version")
def version() -> Any:
    """The environment variable VERSION, or the return value of the application's ``version_function``."""
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
    """The application, and what it runs on."""
    settings = Settings(current_app)
    if not settings.is_on("show_info"):
        abort(404)
    id_is_on, command_line_is_on = settings.is_on("enable_service_instance_id"), settings.is_on("show_command_line")
    return _json(Info(current_app.name, id_is_on, command_line_is_on), endpoint.OK)


@z_blueprint.get("/health/<check_name>")
def nested_health_check(check_name: str) -> Response:
    """One check: liveness or ping, which wait for nothing, readiness, or one of ``cascading_checks``."""
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    if check_name in ("liveness", "ping"):
        return liveness(app)
    if len(check_name) > _NAME_LENGTH or (check_name != "readiness" and check_name not in cascading_checks):
        abort(404)
    return check(app, check_name)


@z_blueprint.get("/health")
def health() -> Response:
    """All dependencies and all functions, each with its status."""
    asked = HealthRequest(current_app._get_current_object())  # type: ignore[attr-defined]
    asked.add_dependencies(None)
    for group in dict.fromkeys(checks_with_pluggable_functions):
        asked.add_functions(group)
    # An invalid one is an error in the report.
    asked.settings.version_function()
    report = asked.report()
    try:
        return _json(report, endpoint.status(report["status"] == "UP"))
    except RecursionError:
        # The response of a dependency is nested too deeply.
        return status(report["status"] == "UP")


def liveness(app: Flask) -> Response:
    """The response of liveness and ping. It needs no context of a request."""
    return status(is_live(app))


def check(app: Flask, check_name: str) -> Response:
    """The response of readiness, or of one of ``cascading_checks``, in the context of a request."""
    asked = HealthRequest(app)
    if check_name in cascading_checks:
        asked.add_dependencies(check_name)
    if check_name in checks_with_pluggable_functions:
        asked.add_functions(check_name)
    return status(asked.report()["status"] == "UP")


def status(is_up: bool) -> Response:
    """A response with only the status: 200 or 503."""
    return _json({"status": word(is_up)}, endpoint.status(is_up))


def _json(found: object, status: int) -> Response:
    return Response(json.dumps(found), status, endpoint.HEADERS, content_type="application/json")


def _text(text: str, status: int) -> Response:
    return Response(text.encode("utf-8", "replace"), status, endpoint.HEADERS, content_type="text/plain; charset=utf-8")
