"""The application of examples/wsgi_app.py, under the command in its head."""

from __future__ import annotations

import sys
from pathlib import Path

from http_table import run_example

GUNICORN = ["-m", "gunicorn", "--bind", "127.0.0.1:{port}", "--threads", "2", "wsgi_app:app"]


def test_it_serves_and_without_its_data_it_is_not_ready_and_alive(tmp_path: Path, rundir: Path) -> None:
    run_example(["-m", "liveness", "run", "--", sys.executable, *GUNICORN], tmp_path, rundir)
