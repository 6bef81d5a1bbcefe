"""Real servers, real access logs: successful probes are not in them, and failures are."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from stage import until
from web import Server

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

# Also the settings and the URLs of its project.
RUNSERVER = """
from django.conf import settings
from django.http import HttpResponse
from django.urls import re_path
from liveness import access_log

if __name__ == "app":
    access_log.hide(["/livez", "/z/health/"])

DEBUG, SECRET_KEY, ROOT_URLCONF, INSTALLED_APPS, USE_TZ = True, "x", "app", [], True

def view(request):
    return HttpResponse("x", status=503 if request.path.endswith("down") else 200)

urlpatterns = [re_path("", view)]
"""

PROGRAMS = {
    "gunicorn": WSGI, "gunicorn-gthread": WSGI, "uvicorn": ASGI, "hypercorn": ASGI, "granian": ASGI,
    "granian-wsgi": WSGI, "werkzeug": WERKZEUG, "runserver": RUNSERVER,
}  # fmt: skip
GRANIAN = ["-m", "granian", "--host", "127.0.0.1", "--port", "{port}", "--access-log", "--interface"]
#: How those are started that no other test needs.
COMMANDS = {
    "hypercorn": ["-m", "hypercorn", "--bind", "127.0.0.1:{port}", "--access-logfile", "-", "app:app"],
    "granian": [*GRANIAN, "asgi", "app:app"],
    "granian-wsgi": [*GRANIAN, "wsgi", "app:app"],
    "runserver": ["-m", "django", "runserver", "--settings=app", "--noreload", "--skip-checks", "127.0.0.1:{port}"],
}


@pytest.fixture(params=PROGRAMS)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "app.py").write_text(PROGRAMS[request.param])
    with Server(tmp_path, request.param, started="/started", command=COMMANDS.get(request.param)) as server:
        yield server


def test_successful_probes_are_not_logged_and_failures_are(server: Server) -> None:
    hidden = ("/livez", "/livez?verbose=1", "/z/health/readiness", "/livez/x")
    shown = ("/livezz", "/z/healthy", "/livez/down", "/z/health/down?a=1", "/other?path=/livez")
    for path in hidden:
        assert server.get(path).status == 200
    assert server.get("/livez", method="HEAD").status == 200
    for path in shown:
        server.get(path)
    assert server.get("/livez", method="POST").status == 200
    # Not every server logs what comes after the question mark.
    until(lambda: all(path.partition("?")[0] in server.log.read_text() for path in shown))
    lines = server.whole_log()
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
        ("%(method)s", ({"method": "GET", "path": "/livez"},)),
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
