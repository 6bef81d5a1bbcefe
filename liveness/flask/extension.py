"""The blueprint as a Flask extension, with options for the access log and for applications with hooks."""

from __future__ import annotations

from flask import Flask

from .. import access_log
from .blueprint import DEFAULT_URL_PREFIX, z_blueprint
from .middleware import ProbeMiddleware

# Of this process, like the loggers: a factory that makes many applications must not add a filter for each.
_hidden: set[str] = set()


class ManagementEndpoints:
    """
    Registers the endpoints below ``prefix``: at once, or with ``init_app()``.

    With ``no_log``, successful requests for them are not in the access log of the servers that ``liveness.access_log``
    supports. Failures stay. With ``before_hooks``, liveness, ping and readiness are answered before all before_request
    functions and extensions of the application, and before TRUSTED_HOSTS and host_matching.
    """

    def __init__(
        self,
        app: Flask | None = None,
        prefix: str | None = DEFAULT_URL_PREFIX,
        no_log: bool = False,
        *,
        before_hooks: bool = False,
    ) -> None:
        self.prefix = prefix
        self.no_log = no_log
        self.before_hooks = before_hooks
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Registers the endpoints with this application. Raises ValueError if it has them already, as Flask does."""
        app.register_blueprint(z_blueprint, url_prefix=self.prefix)
        prefix = DEFAULT_URL_PREFIX if self.prefix is None else self.prefix.rstrip("/")
        if self.before_hooks:
            app.wsgi_app = ProbeMiddleware(app, prefix)  # type: ignore[method-assign]
        if self.no_log:
            paths = {f"{prefix}/{name}" for name in ("health", "info", "version")} - _hidden
            if paths:
                access_log.hide(sorted(paths))
            _hidden.update(paths)
