"""Dependencies: other services with health endpoints of this kind."""

from __future__ import annotations

import json
import math
import re
from http.client import HTTPException
from typing import Any
from urllib.parse import SplitResult

from . import client
from .addresses import authorization_of, host_of, redirected, shown
from .errors import HealthError

#: The number of redirects that are followed.
REDIRECTS = 3
#: Seconds after which a request that hangs is given up. Nobody waits that long: while it hangs, this application
#: answers at once.
LIMIT = 10.0
#: The header with the number of services that a request may still go through. Without it, two services that name each
#: other would ask each other without end.
CASCADE = "Liveness-Cascade"

_HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "User-Agent": "liveness",
    "Connection": "close",
}


def depth_of(header: str | None, own: int) -> int:
    """How many services a request may go through: the setting ``own``, or less if the header is a smaller digit."""
    return min(own, int(header)) if header is not None and re.fullmatch("[0-9]", header) else own


class Dependency:
    """
    Another service. Calling it raises HealthError if the service is not up.

    ``depth`` is the number of services that the service may go through in turn.
    """

    def __init__(self, url: SplitResult, depth: int) -> None:
        self._url = url
        self._headers = {**_HEADERS, CASCADE: str(depth)}
        self._authorization = authorization_of(url)
        #: The JSON object of the last response.
        self.details: dict[str, Any] = {}

    def __call__(self) -> None:
        found: dict[str, Any] = {}
        try:
            answer = self._get()
            found = _object_of(answer.body)
            if answer.status != 200:
                raise HealthError(f"status {answer.status}")
            if found.get("status") != "UP":
                raise HealthError("its response does not have the status UP")
        except (HealthError, HTTPException, OSError, ValueError) as error:
            raise HealthError(f"{shown(self._url)}: {_text_of(error)}") from error
        finally:
            self.details = found

    def _get(self) -> client.Answer:
        url = self._url
        for _ in range(REDIRECTS + 1):
            headers = dict(self._headers)
            if self._authorization and host_of(url) == host_of(self._url):
                headers["Authorization"] = self._authorization
            answer = client.get(url, headers, LIMIT)
            if answer.location is None:
                return answer
            url = redirected(url, answer.location)
        raise HealthError(f"more than {REDIRECTS} redirects")


def _object_of(body: bytes) -> dict[str, Any]:
    try:
        # A service with wrongly encoded text may be up all the same.
        text = body.decode(json.detect_encoding(body), "replace")
        # NaN and Infinity are not JSON, and must not get into the response of this application.
        found = json.loads(text, parse_constant=lambda _: None, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise HealthError("its response is not JSON") from error
    if not isinstance(found, dict):
        raise HealthError("its response is not a JSON object")
    return found


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def _text_of(error: Exception) -> str:
    if isinstance(error, HealthError):
        return str(error)
    text = re.sub(r"://\S*@", "://", str(error))
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
