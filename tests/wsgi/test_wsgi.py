"""Probes ahead of a WSGI application, under real servers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import http_table
import pytest
from stage import ROOT, Puppet
from web import Server

from liveness import BadArgument
from liveness.wsgi import ProbeMiddleware, probe_app

APP = """
import hashlib
from checks import CHECKS
from liveness.wsgi import ProbeMiddleware, probe_app

def app(environ, start_response):
    if environ["PATH_INFO"] == "/upload":
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [hashlib.sha256(body).hexdigest().encode()]
    if environ["PATH_INFO"] == "/stream":
        start_response("200 OK", [("X-Kept", "yes")])
        return (b"%d " % number for number in range(3))
    start_response("404 Not Found", [("Content-Type", "text/plain")])
    return [environ["SCRIPT_NAME"].encode() + b"|" + environ["PATH_INFO"].encode()]

app = ProbeMiddleware(app, checks=CHECKS)

def mounted(environ, start_response, bare=probe_app(checks=CHECKS)):
    # As a dispatcher does it: what has led here moves from PATH_INFO to SCRIPT_NAME.
    if environ["PATH_INFO"].startswith("/health/"):
        shifted = {**environ, "SCRIPT_NAME": "/health", "PATH_INFO": environ["PATH_INFO"].removeprefix("/health")}
        return bare(shifted, start_response)
    return app(environ, start_response)
"""
SERVERS = {
    "gunicorn": ["-m", "gunicorn", "--bind", "127.0.0.1:{port}"],
    "gunicorn-gthread": ["-m", "gunicorn", "--threads", "4", "--bind", "127.0.0.1:{port}"],
    "waitress": ["-m", "waitress", "--listen", "127.0.0.1:{port}"],
}

each_server = pytest.mark.parametrize("command", SERVERS.values(), ids=SERVERS)


@pytest.fixture
def serve(tmp_path: Path, rundir: Path) -> Callable[..., Server]:
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "checks.py").write_text(http_table.CHECKS)

    def serve(*command: str, **environment: str) -> Server:
        unit = {"LIVENESS_RUNDIR": str(rundir), "LIVENESS_UNIT_NAME": "u"}
        return Server(tmp_path, command=command, environment={**unit, **environment})

    return serve


@each_server
def test_it_answers_as_the_table_says(
    command: list[str], serve: Callable[..., Server], tmp_path: Path, puppet: Puppet
) -> None:
    with serve(*command, "app:app") as server:
        http_table.hold(server.port, tmp_path, puppet)


@each_server
def test_every_other_request_reaches_the_application_unchanged(
    command: list[str], serve: Callable[..., Server]
) -> None:
    with serve(*command, "app:app") as server:
        for path in ("/", "/livez/", "/api/livez", "/LIVEZ", "/readyz/database"):
            assert (server.get(path).status, server.get(path).text) == (404, f"|{path}")
        assert server.get("/stream").text == "0 1 2 "
        assert server.get("/stream").headers["x-kept"] == "yes"
        assert len(server.get("/upload", method="POST", body="x" * 300_000).text) == 64


def test_the_bare_application_is_mounted_below_a_path(
    serve: Callable[..., Server], tmp_path: Path, puppet: Puppet
) -> None:
    with serve(*SERVERS["waitress"], "app:mounted") as server:
        http_table.hold(server.port, tmp_path, puppet, "/health")
        assert server.get("/health/other").status == 404
        assert server.get("/health/other").text == "not found"


def test_the_paths_are_below_script_name(serve: Callable[..., Server], tmp_path: Path, puppet: Puppet) -> None:
    with serve(*SERVERS["waitress"], "--url-prefix", "/shop", "app:app") as server:
        http_table.hold(server.port, tmp_path, puppet, "/shop")
    with serve(*SERVERS["gunicorn"], "app:app", SCRIPT_NAME="/shop") as server:
        http_table.hold(server.port, tmp_path, puppet, "/shop")


def test_the_iterable_of_the_application_is_the_one_that_the_server_gets() -> None:
    body = iter([b"x"])
    assert ProbeMiddleware(lambda environ, start_response: body)({"PATH_INFO": "/"}, lambda *_: None) is body  # type: ignore[arg-type]


@pytest.mark.parametrize("arguments", [{"unit": "../x"}, {"unit": 7}, {"checks": "database"}, {"checks": [7]}])
def test_invalid_arguments_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(BadArgument):
        probe_app(**arguments)


def test_it_needs_no_framework() -> None:
    program = "import sys, liveness.wsgi; print([name for name in sys.modules if 'flask' in name or 'asyncio' in name])"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {program}"],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "[]"
