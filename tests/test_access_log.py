"""Real servers, real access logs: successful probes are not in them, and failures are."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from stage import ROOT, until

import liveness
from liveness.access_log import ProbeFilter, hide

WSGI = """
from liveness import access_log
access_log.hide(["/livez", "/z/health/"])

def app(environ, start_response):
    path = environ["PATH_INFO"]
    start_response("503 DOWN" if path.endswith("down") else "200 OK", [("Content-Type", "text/plain")])
    return [b"x"]
"""
ASGI = """
from liveness import access_log
access_log.hide(["/livez", "/z/health/"])

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    status = 503 if scope["path"].endswith("down") else 200
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": b"x"})
"""
WERKZEUG = (
    WSGI
    + """
import sys
from werkzeug.serving import run_simple
run_simple("127.0.0.1", int(sys.argv[1]), app)
"""
)

SERVERS = {
    "gunicorn": (WSGI, ["-m", "gunicorn", "--bind", "127.0.0.1:{port}", "--access-logfile", "-", "app:app"]),
    "gunicorn-gthread": (
        WSGI,
        ["-m", "gunicorn", "--bind", "127.0.0.1:{port}", "--access-logfile", "-", "--threads", "2",
         "--access-logformat", "%(h)s %(r)s %(s)s", "app:app"],
    ),
    "uvicorn": (ASGI, ["-m", "uvicorn", "--port", "{port}", "app:app"]),
    "werkzeug": (WERKZEUG, ["app.py", "{port}"]),
}  # fmt: skip


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """Its port, and the file that it logs to."""
    program, arguments = SERVERS[request.param]
    (tmp_path / "app.py").write_text(program)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log = tmp_path / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, *(argument.format(port=port) for argument in arguments)],
            cwd=tmp_path,
            stdout=out,
            stderr=out,
            env={**os.environ, "PYTHONPATH": f"{ROOT}:{tmp_path}", "PYTHONUNBUFFERED": "1"},
        )
    try:
        until(lambda: answers(port, process, log), 30)
        yield port, log
    finally:
        process.terminate()
        process.wait(20)


def answers(port: int, process: subprocess.Popen[bytes], log: Path) -> bool:
    assert process.poll() is None, log.read_text()
    try:
        return get(port, "/started") == 200
    except OSError:
        return False


def get(port: int, path: str, method: str = "GET") -> int:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_successful_probes_are_not_logged_and_failures_are(server: tuple[int, Path]) -> None:
    port, log = server
    hidden = ("/livez", "/livez?verbose=1", "/z/health/readiness", "/livez/x")
    shown = ("/livezz", "/z/healthy", "/livez/down", "/z/health/down?a=1", "/other?path=/livez")
    for path in hidden:
        assert get(port, path) == 200
    assert get(port, "/livez", "HEAD") == 200
    for path in shown:
        get(port, path)
    assert get(port, "/livez", "POST") == 200
    get(port, "/the-last")
    until(lambda: "/the-last" in log.read_text())
    lines = log.read_text()
    # Not every server logs what comes after the question mark.
    assert [path for path in shown if path.partition("?")[0] not in lines] == []
    logged = [line for line in lines.splitlines() if "/livez" in line or "/z/health/" in line]
    assert len([line for line in logged if " 503" in line]) == 2
    assert "POST /livez" in lines
    assert "readiness" not in lines
    assert "verbose" not in lines
    assert "HEAD /livez" not in lines
    assert not any("GET /livez " in line for line in logged)


def test_what_is_no_line_of_an_access_log_is_kept() -> None:
    keeps = ProbeFilter(["/livez"]).filter
    for message, args in (
        ("GET /livez 200", ()),
        ("%s", ("GET /livez HTTP/1.1",)),
        ("%s %s %s", (1, 2, 3)),
        ("%s %s %s", ("GET /livez HTTP/1.1", "odd", "-")),
        ("%(a)s", ({"a": 1},)),
        ("%s %s %s %s %s", (1, 2, 3, 4, 5)),
    ):
        assert keeps(logging.LogRecord("x", 20, "", 0, message, args, None))


def test_it_can_be_taken_away_again() -> None:
    made = hide(["/livez"], ["a.logger.of.a.test"])
    logger = logging.getLogger("a.logger.of.a.test")
    assert logger.filters == [made]
    logger.removeFilter(made)


@pytest.mark.parametrize("paths", ["/livez", ["livez"], [""], ["/"], [7]])
def test_paths_that_cannot_be_are_refused(paths: list[str]) -> None:
    with pytest.raises(liveness.BadArgument, match="paths: "):
        hide(paths, [])
