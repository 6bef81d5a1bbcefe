"""
What the middlewares cost: a request to an application without one, and with one that lets it pass.

    make bench

Writes bench/middlewares.json: microseconds of one request and of one probe, without a server. Each round measures the
average of 200 in a row. Default: 200 rounds.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from timing import calls, shuffled, summary, write  # noqa: E402

from liveness import Unit, asgi, wsgi  # noqa: E402

EACH = 200


def wsgi_app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


def ask_wsgi(app: Any, path: str) -> Callable[[], None]:
    """One request; ends the benchmark if it fails."""
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": "", "REMOTE_ADDR": "192.0.2.1"}

    def ask() -> None:
        statuses: list[str] = []
        b"".join(app(environ, lambda status, _: statuses.append(status)))
        if statuses != ["200 OK"]:
            raise SystemExit(f"{path}: {statuses}")

    return ask


def ask_asgi(app: Any, path: str) -> Callable[[], Awaitable[None]]:
    """The same, to await."""
    scope = {
        "type": "http", "method": "GET", "path": path, "root_path": "", "query_string": b"",
        "headers": [(b"host", b"shop"), (b"user-agent", b"kube-probe/1.33"), (b"accept", b"*/*")],
        "client": ("192.0.2.1", 1),
    }  # fmt: skip

    async def ask() -> None:
        statuses: list[int] = []

        async def send(message: Any) -> None:
            statuses.append(message.get("status", 0))

        await app(scope, None, send)
        if statuses[0] != 200:
            raise SystemExit(f"{path}: {statuses}")

    return ask


async def awaited(functions: dict[str, Callable[[], Awaitable[None]]], rounds: int) -> dict[str, list[float]]:
    """As ``calls`` of timing, in one event loop."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in shuffled(functions):
            begin = time.perf_counter()
            for _ in range(EACH):
                await function()
            times[name].append((time.perf_counter() - begin) / EACH * 1e6)
    return times


def measure(rundir: str, rounds: int) -> dict[str, object]:
    unit = Unit("bench", rundir)
    unit.load()
    unit.beat(1000)
    unit.set()
    times = calls(
        {
            "WSGI": ask_wsgi(wsgi_app, "/orders"),
            "WSGI, liveness": ask_wsgi(wsgi.ProbeMiddleware(wsgi_app, unit=unit), "/orders"),
            "WSGI, /livez": ask_wsgi(wsgi.ProbeMiddleware(wsgi_app, unit=unit), "/livez"),
        },
        EACH,
        rounds,
    )
    functions = {
        "ASGI": ask_asgi(asgi_app, "/orders"),
        "ASGI, liveness": ask_asgi(asgi.ProbeMiddleware(asgi_app, unit=unit), "/orders"),
        "ASGI, /livez": ask_asgi(asgi.ProbeMiddleware(asgi_app, unit=unit), "/livez"),
    }
    times |= asyncio.run(awaited(functions, rounds))
    unit.reset()
    added = {
        f"{kind}, passes through": summary(
            [whole - plain for whole, plain in zip(times[f"{kind}, liveness"], times[kind], strict=True)]
        )
        for kind in ("WSGI", "ASGI")
    }
    return {"request, us": {name: summary(values) for name, values in times.items()}, "added, us": added}


def main(rounds: int) -> None:
    # On tmpfs, as in a pod.
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as rundir:
        write(measure(rundir, rounds), Path(__file__).with_suffix(".json"), rounds)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
