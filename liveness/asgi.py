"""
HTTP probes for any ASGI application, answered before the application; on request also a heartbeat of its event loop.

    app = ProbeMiddleware(app, heartbeat=10)

/livez, /startupz, /healthz and /readyz are answered as ``liveness.endpoint`` describes.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from . import endpoint
from .errors import BadArgument
from .formats import LARGEST_TTL, whole_within
from .lifespan import Life

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .checks import Check, Report
    from .lifespan import App, Receive, Scope, Send
    from .unit import Unit

__all__ = ["ProbeMiddleware", "probe_app"]


class ProbeMiddleware:
    """
    Answers the probe paths below root_path, and passes everything else to ``app`` unchanged.

    ``unit`` and ``checks`` are those of ``liveness.endpoint.Probes``. With ``heartbeat``, the ttl in whole seconds, the
    server's lifespan events also run the unit: load and beat before the application starts, set after it has started,
    not ready when the server stops, and reset at the end; a timer beats from the event loop in between. In a worker
    process of a program that has loaded the unit, such as ``liveness run``, they only beat and end the heartbeat.

    Raises BadArgument for invalid arguments.
    """

    def __init__(
        self,
        app: App,
        *,
        unit: str | bool | Unit | None = None,
        checks: Iterable[Check | Callable[[], object] | str] = (),
        heartbeat: int | None = None,
    ) -> None:
        self._app = app
        self._probes = endpoint.Probes(unit, checks)
        self._unit = unit
        if heartbeat is not None:
            whole_within("heartbeat", heartbeat, 1, LARGEST_TTL, "whole seconds")
            if unit is False:
                raise BadArgument("heartbeat: needs a unit (remove unit=False)")
        self._ttl = heartbeat
        # The run of the checks that is under way, which all requests wait for; and its event loop.
        self._run: tuple[asyncio.AbstractEventLoop, asyncio.Future[Report]] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        if scope["type"] == "http" and (path := _path(scope)) in endpoint.PATHS:
            await self._answer(_request(scope, path), send)
        elif scope["type"] == "lifespan" and self._ttl is not None:
            await Life(self._unit, self._ttl, receive, send).run(self._app, scope)
        else:
            await self._app(scope, receive, send)

    async def _answer(self, request: endpoint.Request, send: Send) -> None:
        report = await self._report() if self._probes.needs_checks(request) else None
        await _respond(send, *self._probes.answer(request, report))

    async def _report(self) -> Report:
        loop = asyncio.get_running_loop()
        if self._run is None or self._run[0] is not loop or self._run[1].done():
            # A thread of its own: those of the loop are the application's, and may all be busy.
            executor = ThreadPoolExecutor(1, "liveness-readiness")
            self._run = loop, loop.run_in_executor(executor, self._probes.run_checks)
            executor.shutdown(wait=False)
        # A client that hangs up does not cancel the run for the others.
        return await asyncio.shield(self._run[1])


def probe_app(
    *, unit: str | bool | Unit | None = None, checks: Iterable[Check | Callable[[], object] | str] = ()
) -> ProbeMiddleware:
    """An ASGI application with nothing but the probe paths, to mount in another one. All other paths are not found."""
    return ProbeMiddleware(_not_found, unit=unit, checks=checks)


def _path(scope: Scope) -> str:
    """The path below root_path, with which servers and mounts begin the path or not."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "").rstrip("/")
    return path[len(root) :] if root and path.startswith(f"{root}/") else path


def _request(scope: Scope, path: str) -> endpoint.Request:
    client = scope.get("client") or ("", 0)
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    return endpoint.Request(scope["method"], path, scope["query_string"].decode("latin-1"), headers, client[0])


async def _respond(send: Send, status: int, headers: Iterable[tuple[str, str]], body: bytes) -> None:
    encoded = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})


async def _not_found(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await _respond(send, *endpoint.not_found(scope["method"]))
    elif scope["type"] == "websocket":
        await send({"type": "websocket.close"})
    else:
        # As the ASGI specification wants it of an application without lifespan events.
        raise ValueError(f"no {scope['type']} here")
