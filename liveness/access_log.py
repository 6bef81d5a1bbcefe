"""
Keeps successful probes out of a server's access log: a kubelet asks every few seconds, and nobody reads that.

    access_log.hide(["/z/health", "/livez"])

works for gunicorn, uvicorn and werkzeug, before or after they set up their logs. What fails is logged as ever.
"""

from __future__ import annotations

import logging
import re

from .errors import BadArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

#: The loggers of the servers that are known here.
LOGGERS = ("gunicorn.access", "uvicorn.access", "werkzeug")

# What werkzeug logs: its request line, perhaps in color.
_REQUEST_LINE = re.compile(r"(?:\x1b\[[0-9;]*m)*([A-Z]+) (\S+)(?: HTTP/[0-9.]+)?")


class ProbeFilter(logging.Filter):
    """
    Lets everything through but successful requests for ``paths``, and for what is below them.

    Successful is any status from 200 to 399, as a kubelet counts. Raises BadArgument for a path that does not begin
    with a slash.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        super().__init__()
        if isinstance(paths, str):
            raise BadArgument(f"paths: {paths!r}: one path in place of a list of paths (write [{paths!r}])")
        self.paths = tuple(paths)
        for path in self.paths:
            if not isinstance(path, str) or not path.startswith("/") or path.rstrip("/") == "":
                raise BadArgument(f"paths: {path!r}: must begin with a slash, and be more than one")

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is kept."""
        try:
            found = _request(record)
        except Exception:
            # Not for us; whatever it is, it is kept.
            return True
        if found is None:
            return True
        method, path, status = found
        if method not in ("GET", "HEAD") or not 200 <= status < 400:
            return True
        path = path.partition("?")[0]
        return not any(path == hidden or path.startswith(f"{hidden.rstrip('/')}/") for hidden in self.paths)


def _request(record: logging.LogRecord) -> tuple[str, str, int] | None:
    """Method, path and status of a line of an access log; None if it is none."""
    args = record.args
    if isinstance(args, dict):
        # gunicorn: the atoms of its format, all of them text; see its documentation of access_log_format.
        return str(args["m"]), str(args["U"]), int(str(args["s"]).split()[0])
    if isinstance(args, tuple) and len(args) == 5:
        # uvicorn: address, method, path, version, status.
        return str(args[1]), str(args[2]), int(str(args[4]))
    if isinstance(args, tuple) and len(args) == 3:
        # werkzeug: request line, status, size.
        line = _REQUEST_LINE.match(str(args[0]))
        return (line[1], line[2], int(str(args[1]))) if line else None
    return None


def hide(paths: Iterable[str], loggers: Iterable[str] = LOGGERS) -> ProbeFilter:
    """
    Adds a ProbeFilter to these loggers, and returns it; ``logging.getLogger(name).removeFilter`` takes it away again.

    The loggers need not be there yet. Raises BadArgument as ProbeFilter does.
    """
    made = ProbeFilter(paths)
    for name in loggers:
        logging.getLogger(name).addFilter(made)
    return made
