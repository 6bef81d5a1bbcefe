"""The blueprint as a Flask extension, which can keep its requests out of the access log."""

from __future__ import annotations

from flask import Flask

from .. import access_log
from .blueprint import DEFAULT_URL_PREFIX, z_blueprint

# Of this process, as the loggers are: a factory that makes one application after the other adds nothing to them.
_hidden: set[str] = set()


class ManagementEndpoints:
    """
    Registers the endpoints below ``prefix``: at once, or with ``init_app()``.

    With ``no_log`` successful requests for them are left out of the access log of gunicorn, uvicorn and werkzeug;
    failures are logged as ever.
    """

    def __init__(self, app: Flask | None = None, prefix: str | None = DEFAULT_URL_PREFIX, no_log: bool = False) -> None:
        self.prefix = prefix
        self.no_log = no_log
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Registers the endpoints with this application. Raises ValueError if it has them already, as Flask does."""
        app.register_blueprint(z_blueprint, url_prefix=self.prefix)
        if self.no_log:
            prefix = DEFAULT_URL_PREFIX if self.prefix is None else self.prefix.rstrip("/")
            paths = {f"{prefix}/{name}" for name in ("health", "info", "version")} - _hidden
            if paths:
                access_log.hide(sorted(paths))
            _hidden.update(paths)
