"""The worker of examples/http_worker.py: a hang is found by HTTP, and only that."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from stage import ROOT, until
from web import Server


@pytest.fixture
def worker(tmp_path: Path, rundir: Path) -> Iterator[Server]:
    environment = {"LIVENESS_RUNDIR": str(rundir), "LIVENESS_UNIT_NAME": "u"}
    command = [
        "-c",
        "import http_worker, signal, time; signal.signal(signal.SIGUSR1, lambda *_: time.sleep(600)); "
        f"http_worker.SPOOL = http_worker.Path({str(tmp_path / 'spool')!r}); "
        "http_worker.main({port}, '127.0.0.1')",
    ]
    environment["PYTHONPATH"] = f"{ROOT}{os.pathsep}{ROOT / 'examples'}"
    (tmp_path / "spool").mkdir()
    with Server(tmp_path, command=command, environment=environment, started="/livez") as server:
        yield server


def test_it_passes_every_probe_and_ends_on_a_signal(worker: Server, rundir: Path) -> None:
    for path in ("/startupz", "/livez", "/readyz"):
        until(lambda path=path: worker.get(path).text == "ok")  # type: ignore[misc]
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(20) == 0
    assert not (rundir / "u" / "pid").exists()


def test_without_its_spool_it_is_not_ready_and_alive(worker: Server, tmp_path: Path) -> None:
    (tmp_path / "spool").rmdir()
    assert worker.get("/readyz").text == "liveness: u: not ready: spool failed"
    assert worker.get("/livez").text == "ok"


def test_its_loop_that_hangs_is_found(worker: Server) -> None:
    until(lambda: worker.get("/livez").text == "ok")
    # The main thread waits in the handler of the signal; the other threads go on.
    worker.process.send_signal(signal.SIGUSR1)
    until(lambda: worker.get("/livez").text.startswith("liveness: u: no heartbeat 'main' for "))
    assert worker.get("/readyz").status == 503
    # It would not hear a gentler signal.
    worker.process.kill()
