"""The addresses of dependencies: where another service is asked for its health."""

from __future__ import annotations

import os
import re
from base64 import b64encode
from collections.abc import Mapping
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit

from .errors import HealthError

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
# Characters that may stand in a path or a query as they are; see RFC 3986.
_SAFE = "/?%:@!$&'()*+,;=~"


def url_of(address: str, check: str | None, prefix: str, environment: Mapping[str, str] = os.environ) -> SplitResult:
    """
    The URL of a check of another service, or of its whole health if ``check`` is None.

    ``address`` is one of these: a host, perhaps with a port, which stands for ``<scheme>://<host><prefix>/health``; a
    host with a path, ``<scheme>://<host>/<path>``; or a URL of http or https. The name of the check is appended to the
    path. The scheme is that of the environment variable PREFERRED_URL_SCHEME, else of SCHEME, else http.

    Raises HealthError, without the address, which may contain a password, for any other text.
    """
    if not address:
        raise HealthError("no address: neither a host nor a URL")
    if not _SCHEME.match(address):
        scheme = environment.get("PREFERRED_URL_SCHEME") or environment.get("SCHEME") or "http"
        address = f"{scheme}://{address}" if "/" in address else f"{scheme}://{address}{prefix}/health"
    url = _parsed(address)
    return url._replace(path=f"{url.path.rstrip('/')}/{check}") if check else url


def redirected(url: SplitResult, location: str) -> SplitResult:
    """The URL that a redirect leads to. Raises HealthError for another host, and for http in place of https."""
    try:
        found = _parsed(urljoin(url.geturl(), location))
    except (ValueError, HealthError) as error:
        raise HealthError("redirects to an invalid URL") from error
    if found.hostname != url.hostname or found.scheme not in (url.scheme, "https"):
        raise HealthError(f"redirects to another host, {found.scheme}://{found.hostname}: not followed")
    return found


def target_of(url: SplitResult) -> str:
    """Path and query, as they are sent."""
    return quote(url.path or "/", _SAFE) + (f"?{quote(url.query, _SAFE)}" if url.query else "")


def host_of(url: SplitResult) -> str:
    """Host and port of the URL, without user and password."""
    return url.netloc.rpartition("@")[2]


def authorization_of(url: SplitResult) -> str | None:
    """The value of the header Authorization for the user and the password in the URL."""
    if url.username is None:
        return None
    text = f"{unquote(url.username)}:{unquote(url.password or '')}"
    try:
        data = text.encode("latin-1")
    except UnicodeEncodeError:
        data = text.encode("utf-8", "replace")
    return f"Basic {b64encode(data).decode()}"


def shown(url: SplitResult) -> str:
    """The URL for the log: without user, password, query and fragment, which may be secrets."""
    return url._replace(netloc=host_of(url), query="", fragment="").geturl()


def _parsed(text: str) -> SplitResult:
    try:
        url = urlsplit(text)
        # Reading the port raises ValueError if it is not a number.
        is_valid = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        is_valid = False
    if not is_valid:
        raise HealthError("neither a host nor a URL of http or https")
    return url
