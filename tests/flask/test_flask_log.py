"""no_log: successful probes are not in the access log of a real server, and failures are."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from stage import until
from web import Server

from liveness.flask import ManagementEndpoints

APP = """
from flask import Flask
from liveness.flask import ManagementEndpoints

app = Flask("logged")
ManagementEndpoints(app, no_log=True)
app.config["Z_ENDPOINTS"] = {"check_functions": {"readiness": {"no": lambda: False}}}

@app.get("/zebra")
def zebra(): return "x"

@app.get("/")
def root(): return "x"
"""
WERKZEUG = APP + "import sys; from werkzeug.serving import run_simple; run_simple('127.0.0.1', int(sys.argv[1]), app)\n"
UVICORN = APP + "from a2wsgi import WSGIMiddleware; app = WSGIMiddleware(app)\n"
PROGRAMS = {"gunicorn": APP, "gunicorn-gthread": APP, "werkzeug": WERKZEUG, "uvicorn": UVICORN}


@pytest.mark.parametrize("kind", PROGRAMS)
def test_successful_probes_are_not_logged_and_failures_are(kind: str, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(PROGRAMS[kind])
    with Server(tmp_path, kind) as server:
        for path in ("liveness", "ping", "../info", "../version"):
            assert server.get(f"/z/health/{path}".replace("health/../", "")).status == 200
        assert server.get("/z/health/readiness").status == 503
        assert server.get("/z/health").status == 503
        assert server.get("/z/health/unknown").status == 404
        assert server.get("/zebra").status == 200
        shown = ("/z/health/readiness", "/z/health/unknown", "/z/health ", "/zebra")
        until(lambda: all(path in server.log.read_text() for path in shown))
        log = server.whole_log()
    for path in ("/liveness", "/ping", "/z/info", "/z/version"):
        assert path not in log


@pytest.mark.parametrize(
    ("prefix", "path"),
    [("/admin", "/admin/health"), ("/admin/", "/admin/health"), (None, "/z/health"), ("", "/health")],
)
def test_the_prefix_is_that_of_the_endpoints(prefix: str | None, path: str) -> None:
    from flask import Flask

    app = Flask("x")
    ManagementEndpoints(app, prefix=prefix, no_log=True)
    record = logging.LogRecord("x", 20, "", 0, "%s %s %s", (f"GET {path}/liveness HTTP/1.1", "200", "-"), None)
    assert not logging.getLogger("werkzeug").filter(record)
    assert app.test_client().get(f"{path}/liveness").status_code == 200


def test_a_factory_that_makes_many_applications_adds_one_filter() -> None:
    from flask import Flask

    for _ in range(3):
        ManagementEndpoints(Flask("x"), prefix="/once", no_log=True)
    filters = [
        found for found in logging.getLogger("werkzeug").filters if "/once/health" in getattr(found, "paths", ())
    ]
    assert len(filters) == 1
