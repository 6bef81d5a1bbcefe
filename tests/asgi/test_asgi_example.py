"""The application of examples/asgi_app.py, with one worker and with several."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from http_table import run_example
from stage import ROOT
from web import Server

UVICORN = ["-m", "uvicorn", "--port", "{port}", "asgi_app:app"]


@pytest.mark.parametrize(
    "command",
    [UVICORN, ["-m", "liveness", "run", "--", sys.executable, *UVICORN[:-1], "--workers", "2", UVICORN[-1]]],
    ids=["one", "two"],
)
def test_it_serves_and_without_its_data_it_is_not_ready_and_alive(
    command: list[str], tmp_path: Path, rundir: Path
) -> None:
    run_example(command, tmp_path, rundir)


def test_the_lines_of_the_readme_are_an_application_with_probes(tmp_path: Path, rundir: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    (code,) = (block for block in blocks if "liveness.asgi" in block)
    (tmp_path / "asgi_app.py").write_text(code)
    environment = {"LIVENESS_RUNDIR": str(rundir), "LIVENESS_UNIT_NAME": "u"}
    with Server(tmp_path, command=UVICORN, environment=environment) as server:
        assert [server.get(path).text for path in ("/livez", "/readyz")] == ["ok", "ok"]
