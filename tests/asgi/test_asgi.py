"""Probes ahead of an ASGI application, under real servers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import http_table
import pytest
from stage import Puppet, until
from web import Server, request
from websockets.sync.client import connect

from liveness import BadArgument
from liveness.asgi import ProbeMiddleware

PLAIN = """
from checks import CHECKS
from liveness.asgi import ProbeMiddleware, probe_app

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        raise NotImplementedError
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": scope["path"] + " " + message["text"]})
        return
    status, body = 404, f"{scope['root_path']}|{scope['path']}".encode()
    if scope["path"] == "/upload":
        status, size, more = 200, 0, True
        while more:
            message = await receive()
            size, more = size + len(message["body"]), message["more_body"]
        body = str(size).encode()
    await send({"type": "http.response.start", "status": status, "headers": [(b"x-kept", b"yes")]})
    for part in (body, b" and ", b"more"):
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body"})

bare = probe_app(checks=CHECKS)
app = ProbeMiddleware(app, checks=CHECKS)
"""
STARLETTE = """
from checks import CHECKS
from liveness.asgi import ProbeMiddleware, probe_app
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount

app = Starlette(
    routes=[Mount("/health", probe_app(checks=CHECKS))],
    middleware=[Middleware(ProbeMiddleware, checks=CHECKS)],
)
"""
FASTAPI = """
from checks import CHECKS
from fastapi import FastAPI
from liveness.asgi import ProbeMiddleware, probe_app

app = FastAPI()
app.add_middleware(ProbeMiddleware, checks=CHECKS)
app.mount("/health", probe_app(checks=CHECKS))
"""
UVICORN = ["-m", "uvicorn", "--port", "{port}", "app:app"]
HYPERCORN = ["-m", "hypercorn", "--bind", "127.0.0.1:{port}", "app:app"]

Serve = Callable[..., Server]

each_server = pytest.mark.parametrize("command", [UVICORN, HYPERCORN], ids=["uvicorn", "hypercorn"])


@pytest.fixture
def serve(tmp_path: Path, rundir: Path) -> Serve:
    (tmp_path / "checks.py").write_text(http_table.CHECKS)

    def serve(program: str, *command: str, **options: Any) -> Server:
        (tmp_path / "app.py").write_text(program)
        unit = {"LIVENESS_RUNDIR": str(rundir), "LIVENESS_UNIT_NAME": "u"}
        return Server(tmp_path, command=command, environment=unit, **options)

    return serve


@each_server
@pytest.mark.parametrize("program", [PLAIN, STARLETTE, FASTAPI], ids=["plain", "starlette", "fastapi"])
def test_it_answers_as_the_table_says(
    program: str, command: list[str], serve: Serve, tmp_path: Path, puppet: Puppet
) -> None:
    with serve(program, *command) as server:
        http_table.hold(server.port, tmp_path, puppet)


@pytest.mark.parametrize("program", [STARLETTE, FASTAPI], ids=["starlette", "fastapi"])
def test_the_bare_application_is_mounted_below_a_path(
    program: str, serve: Serve, tmp_path: Path, puppet: Puppet
) -> None:
    with serve(program, *UVICORN) as server:
        http_table.hold(server.port, tmp_path, puppet, "/health")
        assert (server.get("/health/other").status, server.get("/health/other").text) == (404, "not found")


def test_the_bare_application_can_be_served_by_itself(serve: Serve, tmp_path: Path, puppet: Puppet) -> None:
    with serve(PLAIN, *UVICORN[:-1], "app:bare") as server:
        http_table.hold(server.port, tmp_path, puppet)
        assert server.get("/").status == 404
        with pytest.raises(Exception, match="HTTP 403"), connect(f"ws://127.0.0.1:{server.port}/livez"):
            pass


@each_server
def test_the_paths_are_below_root_path(command: list[str], serve: Serve, tmp_path: Path, puppet: Puppet) -> None:
    # A proxy takes /shop away from the path, and a kubelet asks the server itself.
    with serve(PLAIN, *command[:-1], "--root-path", "/shop", command[-1]) as server:
        http_table.hold(server.port, tmp_path, puppet)


@each_server
def test_every_other_request_reaches_the_application_unchanged(command: list[str], serve: Serve) -> None:
    with serve(PLAIN, *command) as server:
        for path in ("/", "/livez/", "/api/livez", "/LIVEZ", "/readyz/database"):
            assert (server.get(path).status, server.get(path).text) == (404, f"|{path} and more")
        upload = server.get("/upload", method="POST", body="x" * 300_000)
        assert (upload.text, upload.headers["x-kept"]) == ("300000 and more", "yes")
        with connect(f"ws://127.0.0.1:{server.port}/livez") as websocket:
            for text in ("one", "two"):
                websocket.send(text)
                assert websocket.recv() == f"/livez {text}"


SLOW = """
import asyncio, time
from liveness.asgi import ProbeMiddleware
from liveness.checks import Check

def hang():
    time.sleep(600)

async def app(scope, receive, send):
    assert scope["type"] == "http"
    # Keeps every thread of the loop busy.
    await asyncio.gather(*(asyncio.to_thread(time.sleep, 600) for _ in range(64)))

app = ProbeMiddleware(app, checks=[Check("database", hang)])
"""


def test_a_check_that_hangs_stops_neither_the_event_loop_nor_a_probe(
    serve: Serve, puppet: Puppet, tmp_path: Path
) -> None:
    puppet("liveness.load(); liveness.set()")
    with serve(SLOW, *UVICORN, started="/livez") as server:
        try:
            request(server.port, "/", timeout=0.2)
        except OSError:
            pass
        for _ in range(3):
            answer = server.get("/readyz", timeout=1)
            assert (answer.status, answer.text) == (503, "liveness: u: not ready: database timed out")
            assert server.get("/livez", timeout=0.5).text == "ok"
        server.process.kill()


def test_probes_at_one_time_wait_for_one_run_of_the_checks() -> None:
    calls = []

    def check() -> None:
        calls.append(1)
        started.wait(5)

    import threading

    started = threading.Event()
    app = ProbeMiddleware(_unused, unit=False, checks=[check])

    async def probe() -> list[Any]:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "path": "/readyz", "method": "GET", "query_string": b"", "headers": []}
        await app(scope, _unused, send)  # type: ignore[arg-type]
        return sent

    async def probes() -> list[list[Any]]:
        tasks = [asyncio.create_task(probe()) for _ in range(50)]
        await asyncio.sleep(0)
        # A client that hangs up.
        tasks[0].cancel()
        threads = [thread for thread in threading.enumerate() if "liveness-readiness" in thread.name]
        assert len(threads) == 1
        started.set()
        return await asyncio.gather(*tasks[1:])

    assert {answer[0]["status"] for answer in asyncio.run(probes())} == {200}
    assert calls == [1]
    # In another event loop it runs again.
    assert {answer[0]["status"] for answer in asyncio.run(probes())} == {200}
    until(lambda: not any("liveness-readiness" in thread.name for thread in threading.enumerate()))


async def _unused(*_: object) -> None:
    raise AssertionError


@pytest.mark.parametrize(
    "arguments",
    [
        {"unit": "../x"},
        {"checks": [7]},
        {"heartbeat": 0},
        {"heartbeat": 1.5},
        {"heartbeat": True},
        {"heartbeat": 10, "unit": False},
    ],
)
def test_invalid_arguments_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(BadArgument):
        ProbeMiddleware(_unused, **arguments)
