"""Answers HTTP probes before the rest of the application, if it is the first in MIDDLEWARE."""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponse

from . import conf, readiness
from .probes import NotReady, answer


class ProbeMiddleware:
    """
    Answers GET and HEAD on the configured paths, and passes everything else on untouched, sync or async.

    Raises ImproperlyConfigured for a mistake in the settings, and ImportError for a probe that cannot be imported.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)
        # Requests that come while the probes run wait for the same run: its event loop and its future.
        self._running: tuple[asyncio.AbstractEventLoop, asyncio.Future[NotReady | None]] | None = None
        # Now, so that a mistake is found at the start.
        conf.paths()
        readiness.current()

    def __call__(self, request: HttpRequest) -> Any:
        """The response; in an async application an awaitable, without a coroutine of ours for other requests."""
        # Not path, which begins with the script prefix, if the application has one.
        is_ready = conf.paths().get(request.path_info)
        if is_ready is None or request.method not in ("GET", "HEAD"):
            return self.get_response(request)
        if self._is_async:
            return self._respond_async(request, is_ready)
        return self.ready(request) if is_ready else self.health(request)

    def health(self, request: HttpRequest) -> HttpResponse:
        """200; 503 if the unit that the application has joined is not alive."""
        return _respond(request, readiness.current().live())

    def ready(self, request: HttpRequest) -> HttpResponse:
        """200 if all critical probes pass; else the status and text of the first that does not."""
        return _respond(request, readiness.current().ready(request))

    async def _respond_async(self, request: HttpRequest, is_ready: bool) -> HttpResponse:
        if not is_ready:
            return self.health(request)
        loop = asyncio.get_running_loop()
        running = self._running
        if running is None or running[0] is not loop or running[1].done():
            running = self._running = loop, loop.run_in_executor(_thread(), readiness.current().ready, request)
        # A client that hangs up must not cancel the run for the others.
        return _respond(request, await asyncio.shield(running[1]))


def _respond(request: HttpRequest, refusal: NotReady | None) -> HttpResponse:
    response = answer(refusal)
    if request.method == "HEAD":
        # Content-Length stays that of the response to GET.
        response.content = b""
    return response


_executor: tuple[int, ThreadPoolExecutor] | None = None


def _thread() -> ThreadPoolExecutor:
    """One thread of our own, in this process. Those of the event loop are the application's, and may all hang."""
    global _executor
    if _executor is None or _executor[0] != os.getpid():
        _executor = os.getpid(), ThreadPoolExecutor(1, "liveness-readiness")
    return _executor[1]
