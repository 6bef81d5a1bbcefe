"""The application of examples/wsgi_app.py, under the command in its head."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from stage import ROOT, until
from web import Server

GUNICORN = ["-m", "gunicorn", "--bind", "127.0.0.1:{port}", "--threads", "2", "wsgi_app:app"]


def test_it_serves_and_without_its_data_it_is_not_ready_and_alive(tmp_path: Path, rundir: Path) -> None:
    command = ["-m", "liveness", "run", "--", sys.executable, *GUNICORN]
    environment = {
        "LIVENESS_RUNDIR": str(rundir),
        "LIVENESS_UNIT_NAME": "u",
        "DATA": str(tmp_path / "data"),
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'examples'}",
    }
    (tmp_path / "data").mkdir()
    with Server(tmp_path, command=command, environment=environment) as server:
        assert server.get("/").text == "hello\n"
        for path in ("/startupz", "/livez", "/readyz"):
            until(lambda path=path: server.get(path).text == "ok")  # type: ignore[misc]
        (tmp_path / "data").rmdir()
        assert server.get("/readyz").text == "liveness: u: not ready: data failed"
        assert server.get("/livez").text == "ok"
