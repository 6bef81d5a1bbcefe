"""
Answers HTTP probes before anything else of the application has a say.

    MIDDLEWARE = ["liveness.django.middleware.ProbeMiddleware", …]

First in the list it comes before the check of the Host header, the redirect to HTTPS, sessions, and whatever else asks
a database.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.http import HttpRequest, HttpResponse

from . import conf, readiness
from .probes import NotReady, answer


class ProbeMiddleware:
    """
    Answers GET on exactly the configured paths, and passes everything else on untouched, sync or async.

    Raises ImproperlyConfigured if there are no probes or no paths, or if there is something else among them, and
    ImportError for a probe that cannot be imported.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)
        # Who asks at the same time asks once: loop and answer of those who wait now.
        self._asking: tuple[asyncio.AbstractEventLoop, asyncio.Future[NotReady | None]] | None = None
        self._routes: dict[str, Callable[[HttpRequest], Any]] | None = self._read()
        # Weakly: it goes with us.
        setting_changed.connect(self._forget)

    def __call__(self, request: HttpRequest) -> Any:
        """The answer; in an async application something to await, without a step of our own in between."""
        routes = self._routes
        if routes is None:
            routes = self._read()
        if request.path in routes and request.method == "GET":
            return routes[request.path](request)
        return self.get_response(request)

    def health(self, request: HttpRequest) -> HttpResponse:
        """200: who can answer is alive; 503 if the unit that it has joined is not."""
        return answer(readiness.current().live())

    def ready(self, request: HttpRequest) -> HttpResponse:
        """200 if every probe says so; else what the first says that does not."""
        return answer(readiness.current().ready(request))

    def _read(self) -> dict[str, Callable[[HttpRequest], Any]]:
        readiness.current()
        ready, health = (self._ready, self._health) if self._is_async else (self.ready, self.health)
        routes: dict[str, Callable[[HttpRequest], Any]] = dict.fromkeys(conf.paths("DJK8S_READY_PATHS"), ready)
        routes.update(dict.fromkeys(conf.paths("DJK8S_HEALTH_PATHS"), health))
        if not routes:
            raise ImproperlyConfigured("DJK8S_READY_PATHS, DJK8S_HEALTH_PATHS: no path: nothing would be answered")
        self._routes = routes
        return routes

    def _forget(self, *, setting: str, **_: object) -> None:
        if setting.startswith(conf.PREFIX):
            # Read with the next request: there a mistake has a place to be seen.
            self._routes = None

    async def _health(self, request: HttpRequest) -> HttpResponse:
        return self.health(request)

    async def _ready(self, request: HttpRequest) -> HttpResponse:
        loop = asyncio.get_running_loop()
        asking = self._asking
        if asking is None or asking[0] is not loop or asking[1].done():
            # In one thread, however many ask: else as many probes as it has threads would stop the executor.
            asking = self._asking = loop, loop.run_in_executor(_thread(), readiness.current().ready, request)
        # One who hangs up does not take the answer from the others.
        return answer(await asyncio.shield(asking[1]))


_executor: tuple[int, ThreadPoolExecutor] | None = None


def _thread() -> ThreadPoolExecutor:
    """Of its own: that of the loop is the application's, and its threads may all hang. Of this process, too."""
    global _executor
    if _executor is None or _executor[0] != os.getpid():
        _executor = os.getpid(), ThreadPoolExecutor(1, "liveness-readiness")
    return _executor[1]
