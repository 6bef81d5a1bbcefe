"""
HTTP probes for any WSGI application, answered before the application.

    application = ProbeMiddleware(application)

/livez, /startupz, /healthz and /readyz are answered as ``liveness.endpoint`` describes.
"""

from __future__ import annotations

from . import endpoint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from .checks import Check
    from .unit import Unit

__all__ = ["ProbeMiddleware", "probe_app"]

_VARIABLES = {name: f"HTTP_{name.upper().replace('-', '_')}" for name in endpoint.REQUEST_HEADERS}


class ProbeMiddleware:
    """
    Answers the probe paths below SCRIPT_NAME, and passes every other request to ``app`` unchanged.

    ``unit`` and ``checks`` are those of ``liveness.endpoint.Probes``, and so are the errors.
    """

    def __init__(
        self,
        app: WSGIApplication,
        *,
        unit: str | bool | Unit | None = None,
        checks: Iterable[Check | Callable[[], object] | str] = (),
    ) -> None:
        self._app = app
        self._probes = endpoint.Probes(unit, checks)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """The WSGI application."""
        if environ.get("PATH_INFO") not in endpoint.PATHS:
            return self._app(environ, start_response)
        return _started(self._probes.answer(_request(environ)), start_response)


def probe_app(
    *, unit: str | bool | Unit | None = None, checks: Iterable[Check | Callable[[], object] | str] = ()
) -> ProbeMiddleware:
    """A WSGI application with nothing but the probe paths, to mount in another one. All other paths are not found."""
    return ProbeMiddleware(_not_found, unit=unit, checks=checks)


def _request(environ: WSGIEnvironment) -> endpoint.Request:
    return endpoint.Request(
        environ["REQUEST_METHOD"],
        environ["PATH_INFO"],
        environ.get("QUERY_STRING", ""),
        {name: environ[variable] for name, variable in _VARIABLES.items() if variable in environ},
        environ.get("REMOTE_ADDR", ""),
    )


def _not_found(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    return _started(endpoint.not_found(environ["REQUEST_METHOD"]), start_response)


def _started(answer: endpoint.Response, start_response: StartResponse) -> Iterable[bytes]:
    start_response(answer.status_line, answer.headers)
    return [answer.body]
