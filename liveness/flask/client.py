"""One HTTP request to another service, with limits on its time and on the length of its response."""

from __future__ import annotations

import os
import ssl
import time
import zlib
from collections.abc import Mapping
from functools import lru_cache
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from typing import NamedTuple
from urllib.parse import SplitResult

import certifi

from .addresses import target_of
from .errors import HealthError

#: The longest body that is read, in bytes. No health report is that long.
BODY_LIMIT = 1 << 20


class Answer(NamedTuple):
    """A response; ``location`` is where it redirects to, if it does."""

    status: int
    location: str | None
    body: bytes


def get(url: SplitResult, headers: Mapping[str, str], seconds: float) -> Answer:
    """
    Sends a GET request on a new connection.

    Each wait for the service takes at most ``seconds``, and the whole body too. Proxies and .netrc of the environment
    are not used. Raises HealthError for a body that is too long or cannot be unpacked, and otherwise OSError,
    http.client.HTTPException or ValueError.
    """
    host = url.hostname or ""
    if url.scheme == "https":
        connection: HTTPConnection = HTTPSConnection(host, url.port or 443, timeout=seconds, context=_ssl_context())
    else:
        connection = HTTPConnection(host, url.port or 80, timeout=seconds)
    try:
        connection.request("GET", target_of(url), headers=dict(headers))
        with connection.getresponse() as response:
            if 300 <= response.status < 400:
                return Answer(response.status, response.getheader("Location"), b"")
            body = _body_of(response, time.monotonic() + seconds)
            return Answer(response.status, None, _unpacked(body, response.getheader("Content-Encoding", "")))
    finally:
        connection.close()


def _body_of(response: HTTPResponse, deadline: float) -> bytes:
    body = b""
    # read1 returns with what has arrived: a service that sends its body byte by byte is noticed.
    while part := response.read1(1 << 16):
        body += part
        if len(body) > BODY_LIMIT:
            raise HealthError(f"its response is longer than {BODY_LIMIT} bytes")
        if time.monotonic() > deadline:
            raise TimeoutError("timed out")
    return body


def _unpacked(body: bytes, encoding: str) -> bytes:
    # The request asks for "identity", but some servers pack every response.
    if encoding.lower() not in ("gzip", "x-gzip", "deflate"):
        return body
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(body, BODY_LIMIT)
    except zlib.error as error:
        raise HealthError("its response cannot be unpacked") from error


@lru_cache(maxsize=1)
def _ssl_context() -> ssl.SSLContext:
    """Trusts the system's certificates, those of certifi, and those that the environment names, as requests does."""
    context = ssl.create_default_context()
    for file in (os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE"), certifi.where()):
        if file and os.path.exists(file):
            context.load_verify_locations(**{"capath" if os.path.isdir(file) else "cafile": file})
    return context
