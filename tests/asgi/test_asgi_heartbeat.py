"""The heartbeat of an event loop, and the life of a unit along the lifespan of an application."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from judge import Judge
from stage import ROOT, until
from web import Server, free_port, request

PLAIN = """
import os, time
from liveness.asgi import ProbeMiddleware

async def app(scope, receive, send):
    assert scope["type"] == "http"
    if scope["path"] == "/block":
        time.sleep(4)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})

app = ProbeMiddleware(app, heartbeat=2)
"""
STARLETTE = """
import asyncio
from contextlib import asynccontextmanager
from pathlib import Path
from starlette.applications import Starlette
from liveness.asgi import ProbeMiddleware

async def stage(name):
    Path(name).touch()
    while Path(name).exists():
        await asyncio.sleep(0.01)

@asynccontextmanager
async def lifespan(app):
    await stage("starting")
    if Path("broken").exists():
        raise RuntimeError("no database")
    yield
    await stage("stopping")

app = Starlette(lifespan=lifespan)
app.add_middleware(ProbeMiddleware, heartbeat=2)
"""
UVICORN = ["-m", "uvicorn", "--port", "{port}", "app:app"]
HYPERCORN = ["-m", "hypercorn", "--bind", "127.0.0.1:{port}", "app:app"]
Start = Callable[..., "subprocess.Popen[bytes]"]

each_server = pytest.mark.parametrize("command", [UVICORN, HYPERCORN], ids=["uvicorn", "hypercorn"])


@pytest.fixture
def environment(rundir: Path) -> dict[str, str]:
    return {"LIVENESS_RUNDIR": str(rundir), "LIVENESS_UNIT_NAME": "u"}


@pytest.fixture
def start(tmp_path: Path, environment: dict[str, str]) -> Iterator[Start]:
    """Starts a server that need not answer."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*command: str) -> subprocess.Popen[bytes]:
        path = {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}", "PYTHONUNBUFFERED": "1"}
        with (tmp_path / "log").open("ab") as log:
            started.append(
                subprocess.Popen(
                    [sys.executable, *command],
                    cwd=tmp_path, env={**os.environ, **environment, **path}, stdout=log, stderr=log,
                    start_new_session=True,
                )
            )  # fmt: skip
        return started[-1]

    yield start
    for process in started:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()


@each_server
def test_the_server_loads_beats_sets_and_resets(
    command: list[str], tmp_path: Path, environment: dict[str, str], judge: Judge, rundir: Path
) -> None:
    (tmp_path / "app.py").write_text(PLAIN)
    with Server(tmp_path, command=command, environment=environment) as server:
        until(lambda: judge.python().startswith("healthy"))
        assert judge() == f"healthy: process {server.get('/').text}, error 0, fresh heartbeats: 1"
        beat = rundir / "u" / "beat" / "main"
        first = beat.read_text()
        until(lambda: beat.read_text() != first)
        assert server.get("/livez").text == "ok"
    assert judge() == f"not loaded (no pid in {rundir}/u)"


def test_a_blocked_event_loop_is_found(tmp_path: Path, environment: dict[str, str], judge: Judge) -> None:
    (tmp_path / "app.py").write_text(PLAIN)
    with Server(tmp_path, command=UVICORN, environment=environment) as server:
        try:
            request(server.port, "/block", timeout=0.1)
        except OSError:
            pass
        until(lambda: judge.python().startswith("no heartbeat 'main' for "))
        until(lambda: judge.python().startswith("healthy"))


def test_it_is_not_healthy_before_the_application_has_started_and_not_ready_while_it_stops(
    tmp_path: Path, start: Start, judge: Judge, rundir: Path
) -> None:
    (tmp_path / "app.py").write_text(STARLETTE)
    port = free_port()
    process = start(*(part.format(port=port) for part in UVICORN))
    until((tmp_path / "starting").exists)
    assert judge() == f"not set (no error code in {rundir}/u)"
    (tmp_path / "starting").unlink()
    until(lambda: judge.python(mode="ready").startswith("healthy"))
    process.terminate()
    until((tmp_path / "stopping").exists)
    assert judge(mode="ready") == "not ready: shutting down"
    assert judge().startswith("healthy")
    (tmp_path / "stopping").unlink()
    process.wait(20)
    assert judge() == f"not loaded (no pid in {rundir}/u)"


def test_an_application_that_fails_to_start_leaves_nothing(
    tmp_path: Path, start: Start, judge: Judge, rundir: Path
) -> None:
    (tmp_path / "app.py").write_text(STARLETTE)
    (tmp_path / "broken").touch()
    process = start(*(part.format(port=free_port()) for part in UVICORN))
    until((tmp_path / "starting").exists)
    (tmp_path / "starting").unlink()
    assert process.wait(20) != 0
    assert "no database" in (tmp_path / "log").read_text()
    assert judge() == f"not loaded (no pid in {rundir}/u)"


def workers(rundir: Path) -> list[str]:
    return sorted(file.name for file in (rundir / "u" / "beat").glob("*"))


def test_the_workers_of_a_unit_that_another_process_has_loaded_only_beat(
    tmp_path: Path, start: Start, judge: Judge, rundir: Path
) -> None:
    (tmp_path / "app.py").write_text(PLAIN)
    port = free_port()
    command = ["-m", "uvicorn", "--workers", "2", "--port", str(port), "app:app"]
    process = start("-m", "liveness", "run", "--", sys.executable, *command)
    until(lambda: len(workers(rundir)) == 2 and judge.python().startswith("healthy"), 60)
    assert all(name.startswith("worker.") for name in workers(rundir))
    assert request(port, "/livez").text == "ok"
    hung = int(workers(rundir)[0].removeprefix("worker."))
    os.kill(hung, signal.SIGSTOP)
    until(lambda: judge.python().startswith(f"no heartbeat 'worker.{hung}' for "))
    os.kill(hung, signal.SIGKILL)
    # Its successor beats, and has removed what the dead one left.
    until(lambda: len(workers(rundir)) == 2 and f"worker.{hung}" not in workers(rundir), 60)
    assert judge.python().startswith("healthy")
    os.kill(process.pid, signal.SIGTERM)
    process.wait(20)
    assert workers(rundir) == []
    assert judge() == f"process {process.pid} is gone"


def test_several_workers_without_a_process_that_has_loaded_are_refused_by_name(
    tmp_path: Path, start: Start, judge: Judge
) -> None:
    (tmp_path / "app.py").write_text(PLAIN)
    start("-m", "uvicorn", "--workers", "2", "--port", str(free_port()), "app:app")
    until(lambda: "has loaded this unit" in (tmp_path / "log").read_text(), 60)
    assert "liveness run -- uvicorn --workers N" in (tmp_path / "log").read_text()
    until(lambda: judge.python().startswith("healthy"))


def test_a_process_that_has_loaded_already_only_beats(
    tmp_path: Path, environment: dict[str, str], judge: Judge, rundir: Path
) -> None:
    load = "import liveness\nliveness.load()\nliveness.set(7, 'queue lost')\n"
    (tmp_path / "app.py").write_text(load + PLAIN)
    with Server(tmp_path, command=UVICORN, environment=environment):
        assert workers(rundir) == ["main"]
        assert judge() == "error 7: queue lost"
    assert workers(rundir) == []


def test_an_invalid_unit_name_stops_the_start(tmp_path: Path, start: Start, environment: dict[str, str]) -> None:
    environment["LIVENESS_UNIT_NAME"] = "../x"
    (tmp_path / "app.py").write_text(PLAIN)
    process = start(*(part.format(port=free_port()) for part in UVICORN))
    assert process.wait(20) != 0
    assert "../x" in (tmp_path / "log").read_text()


def test_without_a_heartbeat_the_lifespan_is_the_applications(tmp_path: Path, environment: dict[str, Any]) -> None:
    (tmp_path / "app.py").write_text(STARLETTE.replace(", heartbeat=2", "").replace('await stage("starting")', ""))
    with Server(tmp_path, command=UVICORN, environment=environment, started="/livez") as server:
        assert server.get("/livez").text.startswith("liveness: u: not loaded")
        server.process.terminate()
        until((tmp_path / "stopping").exists)
        (tmp_path / "stopping").unlink()
