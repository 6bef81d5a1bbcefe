"""
Keeps successful probes out of a server's access log: a kubelet sends one every few seconds, and nobody reads them.

    access_log.hide(["/z/health", "/livez"])

works for gunicorn, uvicorn, hypercorn, granian, werkzeug and Django's runserver, before or after they configure their
loggers. Failed probes stay in the log. Daphne writes its access log without a logger, so it cannot be filtered.
"""

from __future__ import annotations

import logging
import re

from .errors import BadArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

#: The access loggers of the servers that are supported.
LOGGERS = ("gunicorn.access", "uvicorn.access", "hypercorn.access", "granian.access", "werkzeug", "django.server")

# The first argument of a record of werkzeug, perhaps in color, and of runserver.
_REQUEST_LINE = re.compile(r"(?:\x1b\[[0-9;]*m)*([A-Z]+) (\S+)(?: HTTP/[0-9.]+)?")


class ProbeFilter(logging.Filter):
    """
    Drops the records of successful GET and HEAD requests for ``paths`` and for everything below them.

    Statuses from 200 to 399 are successful, as for a kubelet. Raises BadArgument for a path that does not begin with a
    slash, and for the path of only a slash.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        super().__init__()
        if isinstance(paths, str):
            raise BadArgument(f"paths: {paths!r}: must be a list of paths (write [{paths!r}])")
        self.paths = tuple(paths)
        for path in self.paths:
            if not isinstance(path, str) or not path.startswith("/") or path.rstrip("/") == "":
                raise BadArgument(f"paths: {path!r}: must begin with a slash, and not be only a slash")

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is kept."""
        try:
            found = _request(record)
        except Exception:
            # Some other record of the logger. No record may be lost because of this filter.
            return True
        if found is None:
            return True
        method, path, status = found
        if method not in ("GET", "HEAD") or not 200 <= status < 400:
            return True
        path = path.partition("?")[0]
        return not any(path == hidden or path.startswith(f"{hidden.rstrip('/')}/") for hidden in self.paths)


def _request(record: logging.LogRecord) -> tuple[str, str, int] | None:
    """Method, path and status of the request that a record is about; None if it is not a record of an access log."""
    args = record.args
    if isinstance(args, dict):
        if "m" in args:
            # gunicorn and hypercorn: the atoms of access_log_format, as text; see gunicorn's documentation of it.
            return str(args["m"]), str(args["U"]), int(str(args["s"]).split()[0])
        # granian: see its option --access-log-fmt.
        return str(args["method"]), str(args["path"]), int(args["status"])
    if isinstance(args, tuple) and len(args) == 5:
        # uvicorn: address, method, path, version, status.
        return str(args[1]), str(args[2]), int(str(args[4]))
    if isinstance(args, tuple) and len(args) == 3:
        # werkzeug and runserver: request line, status, size.
        line = _REQUEST_LINE.match(str(args[0]))
        return (line[1], line[2], int(str(args[1]))) if line else None
    return None


def hide(paths: Iterable[str], loggers: Iterable[str] = LOGGERS) -> ProbeFilter:
    """
    Adds a ProbeFilter to the loggers, and returns it. ``logging.getLogger(name).removeFilter`` removes it.

    The loggers need not exist yet. Raises the errors of ProbeFilter.
    """
    made = ProbeFilter(paths)
    for name in loggers:
        logging.getLogger(name).addFilter(made)
    return made
