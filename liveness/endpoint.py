"""
Verdicts as HTTP, without a framework: one table of behaviour for all integrations.

``Probes`` answers /livez, /startupz, /healthz and /readyz. ``Joined`` and ``status`` are for integrations with formats
of their own. The integrations add what their framework needs.
"""

from __future__ import annotations

import hmac
import os
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import parse_qs

from . import checks as checks_module
from . import probe
from .bodies import UNIT, Findings
from .errors import BadArgument
from .unit import Unit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from .checks import Check, Report

#: HTTP status codes. For a kubelet, 200 to 399 mean success.
OK, UNAVAILABLE, NOT_ALLOWED = 200, 503, 405
#: Seconds for all checks of one request together. A kubelet waits 1 s by default, and the response also takes time.
DEADLINE = 0.8
#: Seconds after the timeout of a check in which no request waits for that check: in a worker that serves one request at
#: a time, each wait also delays the liveness probe. Shorter than the usual period of a probe, so that the next probe
#: waits for the check again.
TIMEOUT_TTL = 3.0
#: Headers of every response: a cached verdict must not be used.
HEADERS = {"Cache-Control": "no-store"}
#: The same as in kube-apiserver, for caches that keep a response with "no-store" alone.
CACHE_CONTROL = "private, max-age=0, no-store"

#: The path with the ready verdict. The other paths have the live verdict.
READY = "/readyz"
PATHS = frozenset({"/livez", "/startupz", "/healthz", READY})
#: The request headers that an answer depends on. With one of the last four, a proxy has passed the request on.
REQUEST_HEADERS = ("accept", "authorization", *(_PROXY := ("forwarded", "via", "x-forwarded-for", "x-real-ip")))

_METHODS = ("GET", "HEAD")
_JSON = "application/health+json"
# Not all of 127.0.0.0/8: a sidecar of Istio passes requests from outside on from 127.0.0.6.
_LOOPBACK = {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
_HEADERS = [
    # Those of kube-apiserver.
    ("Cache-Control", CACHE_CONTROL),
    ("X-Content-Type-Options", "nosniff"),
]


class Request(NamedTuple):
    """What an answer depends on."""

    method: str
    #: Below the root of the application; one of PATHS.
    path: str
    #: Not decoded, without the question mark.
    query: str = ""
    #: The value of each of REQUEST_HEADERS that the request has.
    headers: Mapping[str, str] = {}
    #: The IP address of the other end of the connection; empty if it is not known.
    client: str = ""


class Response(NamedTuple):
    """An answer. Its headers include Content-Type and Content-Length."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def status_line(self) -> str:
        """The status with its phrase: ``200 OK``."""
        return f"{self.status} {HTTPStatus(self.status).phrase}"


class Probes:
    """
    The answers to HTTP probes.

    ``unit`` is the state to judge: None for the default unit, the name of a unit, a Unit, or False for none, in which
    case a process that answers is alive. ``checks`` also decide the ready verdict: Checks, callables or module names,
    which run in parallel and within 0.8 seconds. Raises BadArgument for anything else.
    """

    def __init__(
        self, unit: str | bool | Unit | None = None, checks: Iterable[Check | Callable[[], object] | str] = ()
    ) -> None:
        self._unit = Joined(True if unit is None else unit)
        self._checks = checks_module.prepare(checks)
        if any(check.name == UNIT for check in self._checks):
            raise BadArgument(f"checks: {UNIT!r}: stands for the state of the unit (give the check another name)")

    def needs_checks(self, request: Request) -> bool:
        """Whether the answer depends on checks, which take up to 0.8 seconds."""
        return bool(self._checks) and request.path == READY and request.method in _METHODS

    def run_checks(self) -> Report:
        """Runs all checks."""
        return checks_module.run(self._checks, DEADLINE)

    def answer(self, request: Request, report: Report | None = None) -> Response:
        """The answer to a request. ``report`` is the result of run_checks; if it is needed and None, they are run."""
        if request.method not in _METHODS:
            return _response(request, NOT_ALLOWED, "method not allowed", [("Allow", ", ".join(_METHODS))])
        if report is None and self.needs_checks(request):
            report = self.run_checks()
        verdict = self._unit.ready() if request.path == READY else self._unit.live()
        query = _query(request.query)
        findings = Findings(verdict, report, query.get("exclude", ()), _shows_details(request))
        code = status(findings.healthy)
        if _accepts_json(request):
            return _response(request, code, findings.json(), kind=_JSON)
        if "verbose" in query:
            return _response(request, code, findings.listing(request.path[1:]))
        return _response(request, code, findings.line or "ok")


def not_found(method: str) -> Response:
    """The answer of a bare server or application to a path that is not one of PATHS."""
    body = b"not found"
    headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
    return Response(404, headers, b"" if method == "HEAD" else body)


def _response(
    request: Request,
    code: int,
    text: str,
    headers: Iterable[tuple[str, str]] = (),
    kind: str = "text/plain; charset=utf-8",
) -> Response:
    body = text.encode("ascii", "replace")
    found = [("Content-Type", kind), ("Content-Length", str(len(body))), *_HEADERS, *headers]
    return Response(code, found, b"" if request.method == "HEAD" else body)


def _query(text: str) -> dict[str, list[str]]:
    try:
        return parse_qs(text, keep_blank_values=True, max_num_fields=100)
    except ValueError:
        # Too many fields. Nothing is excluded, so the verdict is the stricter one.
        return {}


def _accepts_json(request: Request) -> bool:
    ranges = request.headers.get("accept", "").lower().split(",")
    parts = [[part.strip() for part in media_range.split(";")] for media_range in ranges]
    return any(kind == _JSON and "q=0" not in parameters for kind, *parameters in parts)


def _shows_details(request: Request) -> bool:
    """Whether the client may see reasons and durations: it has the token, or without a token it is this host."""
    token = os.environ.get("LIVENESS_TOKEN")
    if token:
        shown = request.headers.get("authorization", "").encode("utf-8", "replace")
        return hmac.compare_digest(shown, f"Bearer {token}".encode("utf-8", "replace"))
    return request.client in _LOOPBACK and not any(name in request.headers for name in _PROXY)


def status(healthy: object) -> int:
    """The status code: 200 for a true value, else 503."""
    return OK if healthy else UNAVAILABLE


class Joined:
    """
    The unit, if any, whose verdict is also part of an application's verdict; true if there is one.

    ``unit`` is a Unit, the name of a unit, True for the default unit, or None or False for no unit. Raises BadArgument
    for any other value, and for an invalid name.
    """

    __slots__ = ("_names",)

    def __init__(self, unit: str | bool | Unit | None) -> None:
        self._names: tuple[str | None, str | None] | None
        if unit is None or unit is False:
            self._names = None
        elif unit is True:
            self._names = None, None
        elif isinstance(unit, Unit):
            self._names = unit.unitname, unit.rundir
        elif isinstance(unit, str) and unit:
            self._names = Unit(unit).unitname, None
        else:
            raise BadArgument(f"unit: {unit!r}: must be the name of a unit, True for the default unit, or None")

    def __bool__(self) -> bool:
        return self._names is not None

    def live(self) -> probe.Verdict | None:
        """The live verdict on the unit, or None if there is no unit."""
        return self._judge(probe.live)

    def ready(self) -> probe.Verdict | None:
        """The ready verdict on the unit, or None if there is no unit."""
        return self._judge(probe.ready)

    def _judge(self, verdict: Callable[[str | None, str | None], probe.Verdict]) -> probe.Verdict | None:
        if self._names is None:
            return None
        try:
            return verdict(*self._names)
        except BadArgument as error:
            # The environment contains an invalid name. health.sh also fails then.
            return probe.Verdict("?", False, str(error))
