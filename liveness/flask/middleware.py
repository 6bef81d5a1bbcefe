"""Liveness and readiness ahead of the application: before its hooks, extensions and host checks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask, Response

from .blueprint import check, liveness, status


class ProbeMiddleware:
    """
    Answers GET and HEAD requests for liveness, ping and readiness, and passes all others to ``app.wsgi_app``.

    Otherwise the kubelet may get the redirect of a login page, which it counts as a success, or an error of
    TRUSTED_HOSTS.
    """

    def __init__(self, app: Flask, prefix: str) -> None:
        self._app = app
        self._next = app.wsgi_app
        self._checks = {f"{prefix}/health/{name}": name for name in ("liveness", "ping", "readiness")}

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        name = self._checks.get(environ.get("PATH_INFO", ""))
        if name is None or environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return self._next(environ, start_response)
        response = self._readiness(environ) if name == "readiness" else liveness(self._app)
        return response(environ, start_response)

    def _readiness(self, environ: dict[str, Any]) -> Response:
        response = None
        try:
            with self._app.request_context(environ):
                response = check(self._app, "readiness")
        except Exception:
            # If there is a response, a teardown function has failed: the hooks that it may rely on did not run.
            if response is None:
                self._app.logger.exception("liveness: readiness failed")
        return response or status(False)
