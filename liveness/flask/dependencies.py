"""Other services that have health endpoints: where they are, and how they are asked."""

from __future__ import annotations

import json
import math
import os
import re
import socket
import ssl
import threading
import time
from base64 import b64encode
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urljoin

import urllib3
from urllib3.exceptions import HTTPError, LocationParseError, ProtocolError
from urllib3.util import Url, parse_url

from .errors import HealthError

#: Bytes of an answer; more than any health report has.
BODY_LIMIT = 1 << 20
#: Redirects, on one host.
REDIRECTS = 3
#: Seconds after which a request that hangs is cut off, when the service is asked anew. Not the time that anybody waits:
#: as long as it hangs, who asks is answered at once.
CUT_OFF = 10.0
#: Seconds for which a connection is kept. After longer its other end may be gone without a word, and a new one would be
#: answered.
IDLE = 2.0
#: How many services further a request may go, so that two that name each other do not ask without end.
CASCADE = "Liveness-Cascade"

# Nothing of a redirect or a retry is left to the library: it knows no total time.
_OPTIONS: dict[str, Any] = {"retries": False, "redirect": False, "preload_content": False}
_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "liveness"}
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def url_of(address: str, check: str | None, prefix: str, environment: Mapping[str, str] | None = None) -> Url:
    """
    Where a service is asked for a check, or for its whole health if that is None.

    A mere host, perhaps with a port, is asked at ``<scheme>://<host><prefix>/health[/<check>]``; one with a path there,
    at ``<scheme>://<host>/<path>[/<check>]``; a URL of http or https as it is, ``[/<check>]`` added. The scheme is that
    of the environment: PREFERRED_URL_SCHEME, else SCHEME, else http. Raises HealthError for what is none of these.
    """
    environment = os.environ if environment is None else environment
    scheme = environment.get("PREFERRED_URL_SCHEME") or environment.get("SCHEME") or "http"
    if not address:
        raise HealthError("no address: neither a host nor a URL")
    if not _SCHEME.match(address):
        address = f"{scheme}://{address}" if "/" in address else f"{scheme}://{address}{prefix}/health"
    try:
        url = parse_url(address)
    except LocationParseError as error:
        raise HealthError("neither a host nor a URL") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise HealthError("neither a host nor a URL of http or https")
    if check:
        return url._replace(path=f"{(url.path or '').rstrip('/')}/{check}")
    return url


def shown(url: Url) -> str:
    """Without the user, the password and the query, which are nobody's business."""
    return str(url._replace(auth=None, query=None, fragment=None))


def authorization(auth: str) -> str:
    """The header for a user and a password as they stand in a URL."""
    text = ":".join(unquote(part) for part in auth.partition(":")[::2])
    try:
        data = text.encode("latin-1")
    except UnicodeEncodeError:
        data = text.encode("utf-8", "replace")
    return f"Basic {b64encode(data).decode()}"


class Dependency:
    """
    A service that is asked for its health: called, it raises HealthError if it is not up.

    It may ask its own dependencies ``depth`` services further. One thread at a time calls it.
    """

    def __init__(self, url: Url, depth: int) -> None:
        self._url = url
        self._headers = {**_HEADERS, CASCADE: str(depth)}
        if url.auth:
            self._headers["Authorization"] = authorization(url.auth)
        self._connection: _Noted | None = None
        self._began: float | None = None
        #: The JSON object that it answered with last.
        self.details: dict[str, Any] = {}

    def __call__(self) -> None:
        _current.dependency = self
        self._began = time.monotonic()
        try:
            status, body = self._fetch()
        except (HTTPError, OSError) as error:
            self.details = {}
            raise HealthError(f"{shown(self._url)}: {_without_url(error)}") from error
        finally:
            self._began = self._connection = None
        self.details = {}
        self.details = found = _object(body)
        if status != 200:
            raise HealthError(f"{shown(self._url)}: status {status}")
        if found.get("status") != "UP":
            raise HealthError(f"{shown(self._url)}: does not say that its status is UP")

    def _fetch(self) -> tuple[int, bytes]:
        url = self._url
        for _ in range(REDIRECTS + 1):
            answer = self._ask(url)
            try:
                location = answer.get_redirect_location()
                if not location:
                    return answer.status, _body(answer)
            finally:
                # Else what is still to come of it would go on coming for as long as nothing collects the connection.
                answer.close()
            url = _redirected(url, location)
        raise HealthError(f"{shown(self._url)}: more than {REDIRECTS} redirects")

    def _ask(self, url: Url) -> urllib3.BaseHTTPResponse:
        pool = _pools.of(url)
        headers = dict(self._headers)
        if _origin(url) != _origin(self._url) and (_origin(self._url)[1], _origin(url)[1]) != (80, 443):
            # For another server on that host they are not.
            headers.pop("Authorization", None)
        try:
            return pool.urlopen("GET", url.request_uri, headers=headers, **_OPTIONS)
        except ProtocolError:
            # A connection that was kept, and that the other side closed just now.
            return pool.urlopen("GET", url.request_uri, headers=headers, **_OPTIONS)

    def note(self, connection: _Noted) -> None:
        """This connection serves it now."""
        self._connection = connection

    def cut_off_a_hang(self, timeout: float) -> None:
        """
        Ends a request that is under way for longer than anybody waits, so that a new one can be made.

        On a connection that was kept it is made at once: the other end may be gone.
        """
        began, connection = self._began, self._connection
        if began is None or connection is None:
            return
        if time.monotonic() - began < (timeout if connection.was_kept else max(CUT_OFF, 2 * timeout)):
            return
        try:
            # Not close(): that would take the number of the socket away from the thread that reads from it.
            connection.sock.shutdown(socket.SHUT_RDWR)
        except (OSError, AttributeError):
            pass


def _object(body: bytes) -> dict[str, Any]:
    try:
        # One that writes its umlauts wrongly may be up all the same.
        text = body.decode(json.detect_encoding(body), "replace")
        # NaN and its like are no JSON, and would make none of ours.
        found = json.loads(text, parse_constant=lambda _: None, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise HealthError("its answer is no JSON") from error
    if not isinstance(found, dict):
        raise HealthError("its answer is no JSON object")
    return found


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def _body(answer: urllib3.BaseHTTPResponse) -> bytes:
    parts = []
    size = 0
    # read1, which returns with what there is: nothing more is taken than one part above the limit.
    while part := answer.read1(16384):
        size += len(part)
        if size > BODY_LIMIT:
            raise HealthError(f"its answer is longer than {BODY_LIMIT} bytes")
        parts.append(part)
    return b"".join(parts)


def _redirected(url: Url, location: str) -> Url:
    """Where it points to, if that is on the same host, and no step back from https."""
    try:
        found = parse_url(urljoin(str(url), location))
    except (LocationParseError, ValueError) as error:
        raise HealthError(f"{shown(url)}: redirects to nowhere") from error
    if found.host != url.host or found.scheme not in (url.scheme, "https"):
        raise HealthError(f"{shown(url)}: redirects to another host, {found.scheme}://{found.host}: not followed")
    return found


def _origin(url: Url) -> tuple[str | None, int]:
    return url.scheme, url.port or (443 if url.scheme == "https" else 80)


def _without_url(error: Exception) -> str:
    text = re.sub(r"://\S*@", "://", str(error))
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


# Connections


_current = threading.local()


class _Noted:
    """A connection that tells the dependency that uses it, and is not used again after a while."""

    sock: Any
    was_kept = False
    _last: float | None = None

    def request(self, *args: Any, **kwargs: Any) -> None:
        now = time.monotonic()
        if self.sock is not None and self._last is not None and now - self._last > IDLE:
            # It opens itself anew.
            self.close()  # type: ignore[attr-defined]
        self.was_kept = self.sock is not None and self._last is not None
        _current.dependency.note(self)
        super().request(*args, **kwargs)  # type: ignore[misc]
        self._last = now

    def connect(self) -> None:
        self._last = None
        super().connect()  # type: ignore[misc]


class _Connection(_Noted, urllib3.connection.HTTPConnection):
    pass


class _TlsConnection(_Noted, urllib3.connection.HTTPSConnection):
    pass


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class _Pools:
    """Kept connections, of this process only: with a parent's, two would read one another's answers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._clear()

    def _clear(self) -> None:
        self._pid = os.getpid()
        self._manager: urllib3.PoolManager | None = None

    def of(self, url: Url) -> urllib3.HTTPConnectionPool:
        with self._lock:
            if self._pid != os.getpid():
                self._clear()
            if self._manager is None:
                # No proxies: that is another manager, and the environment's are for the world outside.
                self._manager = urllib3.PoolManager(
                    num_pools=100, maxsize=4, timeout=urllib3.Timeout(connect=CUT_OFF, read=CUT_OFF)
                )
                self._manager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
            if url.scheme == "https" and "ssl_context" not in self._manager.connection_pool_kw:
                self._manager.connection_pool_kw["ssl_context"] = _ssl_context()
            return self._manager.connection_from_host(url.host, url.port, url.scheme)


def _ssl_context() -> ssl.SSLContext:
    """The system's certificates, those of certifi, and those that the environment names as requests has it."""
    context = ssl.create_default_context()
    files = [os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")]
    try:
        import certifi

        files.append(certifi.where())
    except ImportError:
        pass
    for file in files:
        if file and os.path.isdir(file):
            context.load_verify_locations(capath=file)
        elif file and os.path.exists(file):
            context.load_verify_locations(cafile=file)
    return context


_pools = _Pools()


def _after_fork_in_child() -> None:
    # The lock too, which another thread of the parent may have held.
    global _pools
    _pools = _Pools()


os.register_at_fork(after_in_child=_after_fork_in_child)
