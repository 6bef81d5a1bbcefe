"""The one table of what the HTTP endpoints answer; every integration runs it on a real server."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from stage import ROOT, Puppet, until
from web import Answer, Server, request

#: A module that the served application imports. The checks depend on files in the working directory.
CHECKS = """
from pathlib import Path
from liveness.checks import Check

def database():
    if Path("database-down").exists():
        raise OSError("no route to db.internal")

def cache():
    return not Path("cache-down").exists()

CHECKS = [Check("database", database), Check("cache", cache, critical=False)]
"""
JSON = {"Accept": "application/health+json"}
# waitress removes X-Forwarded-For by default, so it cannot be told from a request of this host by that.
FROM_A_PROXY = {"Via": "1.1 proxy"}


class Row(NamedTuple):
    """A request in a state, and the answer. Where numbers differ from run to run, the body is a list of its parts."""

    state: str
    asked: str
    status: int
    body: str | list[str]
    headers: Mapping[str, str] = {}


HEALTHY, LOST, DRAINING = "", "liveness.set(7, 'queue lost')", "liveness.set_ready(False, 'draining')"
DATABASE, CACHE = "database-down", "cache-down"

ROWS = [
    *(Row(HEALTHY, f"GET {path}", 200, "ok") for path in ("/livez", "/readyz", "/startupz", "/healthz")),
    *(
        Row(LOST, f"GET {path}", 503, "liveness: u: error 7: queue lost")
        for path in ("/livez", "/readyz", "/startupz", "/healthz")
    ),
    Row(DRAINING, "GET /livez", 200, "ok"),
    Row(DRAINING, "GET /readyz", 503, "liveness: u: not ready: draining"),
    Row(DATABASE, "GET /livez", 200, "ok"),
    Row(DATABASE, "GET /readyz", 503, "liveness: u: not ready: database failed"),
    Row(DATABASE, "GET /readyz?exclude=database", 200, "ok"),
    Row(DATABASE, "GET /readyz?exclude=cache", 503, "liveness: u: not ready: database failed"),
    Row(LOST, "GET /readyz?exclude=unit", 503, "liveness: u: error 7: queue lost"),
    Row(CACHE, "GET /readyz", 200, "ok"),
    *(Row(HEALTHY, f"HEAD {path}", 200, "") for path in ("/livez", "/readyz")),
    Row(LOST, "HEAD /livez", 503, ""),
    *(Row(HEALTHY, f"{method} /livez", 405, "method not allowed") for method in ("POST", "PUT", "DELETE", "OPTIONS")),
    # In the format of kube-apiserver; reasons only for this host, without a proxy in between.
    Row(
        HEALTHY, "GET /readyz?verbose", 200, "[+]unit ok\n[+]database ok\n[+]cache ok\nreadyz check passed\n",
        FROM_A_PROXY,
    ),
    Row(HEALTHY, "GET /livez?verbose", 200, "[+]unit ok\nlivez check passed\n", FROM_A_PROXY),
    Row(HEALTHY, "GET /livez?verbose", 200, ["[+]unit ok: process ", ", error 0, ", "livez check passed\n"]),
    Row(
        DATABASE, "GET /readyz?verbose", 503,
        "[+]unit ok\n[-]database failed: reason withheld\n[+]cache ok\nreadyz check failed\n", FROM_A_PROXY,
    ),
    Row(DATABASE, "GET /readyz?verbose", 503, ["[-]database failed: OSError: no route to db.internal\n"]),
    Row(
        DATABASE, "GET /readyz?verbose&exclude=database&exclude=x", 200,
        "[+]unit ok\n[+]database excluded: ok\n[+]cache ok\n"
        'warn: some health checks cannot be excluded: no matches for "x"\nreadyz check passed\n', FROM_A_PROXY,
    ),
    Row(
        CACHE, "GET /readyz?verbose", 200,
        "[+]unit ok\n[+]database ok\n[-]cache failed (not critical): reason withheld\nreadyz check passed\n",
        FROM_A_PROXY,
    ),
    Row(
        LOST, "GET /livez?verbose", 503, "[-]unit failed: error 7: queue lost\nlivez check failed\n", FROM_A_PROXY,
    ),
]  # fmt: skip


class JsonRow(NamedTuple):
    """The same for application/health+json."""

    state: str
    path: str
    status: int
    body: dict[str, Any]


PASS, FAIL, WARN = [{"status": "pass"}], [{"status": "fail"}], [{"status": "warn"}]
JSON_ROWS = [
    JsonRow(HEALTHY, "/livez", 200, {"status": "pass", "checks": {"unit": PASS}}),
    JsonRow(HEALTHY, "/readyz", 200, {"status": "pass", "checks": {"unit": PASS, "database": PASS, "cache": PASS}}),
    JsonRow(CACHE, "/readyz", 200, {"status": "warn", "checks": {"unit": PASS, "database": PASS, "cache": WARN}}),
    JsonRow(CACHE, "/readyz?exclude=cache", 200, {"status": "pass", "checks": {"unit": PASS, "database": PASS}}),
    JsonRow(
        DATABASE, "/readyz", 503,
        {
            "status": "fail", "output": "liveness: u: not ready: database failed",
            "checks": {"unit": PASS, "database": FAIL, "cache": PASS},
        },
    ),
    JsonRow(
        LOST, "/livez", 503,
        {
            "status": "fail", "output": "liveness: u: error 7: queue lost",
            "checks": {"unit": [{"status": "fail", "output": "error 7: queue lost"}]},
        },
    ),
]  # fmt: skip


def hold(port: int, folder: Path, puppet: Puppet, below: str = "") -> None:
    """
    Fails unless the server on the port answers as the table says.

    ``folder`` is the working directory of the server, which judges the unit of the puppet.
    """
    puppet("liveness.load()")
    for row in ROWS:
        method, _, path = row.asked.partition(" ")
        arrange(row.state, folder, puppet)
        answer = request(port, below + path, method, row.headers)
        check_headers(answer, row.asked)
        assert answer.status == row.status, (row, answer)
        if isinstance(row.body, str):
            assert answer.text == row.body, (row, answer)
        else:
            assert [part for part in row.body if part not in answer.text] == [], (row, answer)
        if method == "HEAD":
            assert answer.headers["content-length"] == str(len(request(port, below + path).body))
        assert answer.headers.get("allow") == ("GET, HEAD" if row.status == 405 else None)
    for found in JSON_ROWS:
        arrange(found.state, folder, puppet)
        answer = request(port, below + found.path, headers={**JSON, **FROM_A_PROXY})
        check_headers(answer, "GET", "application/health+json")
        assert (answer.status, answer.json()) == (found.status, found.body), (found, answer)
        detailed = request(port, below + found.path, headers=JSON).json()
        assert detailed["status"] == found.body["status"]
        assert detailed["checks"].keys() == found.body["checks"].keys()
        if found.state == DATABASE:
            assert detailed["checks"]["database"][0]["output"] == "OSError: no route to db.internal"
    arrange(HEALTHY, folder, puppet)


def arrange(state: str, folder: Path, puppet: Puppet) -> None:
    """Brings unit and files into a state."""
    for name in (DATABASE, CACHE):
        (folder / name).unlink(missing_ok=True)
    puppet("liveness.set(); liveness.set_ready()")
    if state in (DATABASE, CACHE):
        (folder / state).touch()
    elif state:
        puppet(state)


def check_headers(answer: Answer, asked: str, kind: str = "text/plain; charset=utf-8") -> None:
    """Fails unless nothing keeps the answer, and it is what it says it is."""
    assert answer.headers["cache-control"] == "private, max-age=0, no-store", asked
    assert answer.headers["content-type"] == kind, asked
    assert answer.headers["x-content-type-options"] == "nosniff", asked
    assert "location" not in answer.headers
    if not asked.startswith("HEAD"):
        assert int(answer.headers["content-length"]) == len(answer.body) <= 10240, asked


def run_example(command: list[str], folder: Path, rundir: Path) -> None:
    """Serves examples/asgi_app.py or wsgi_app.py, which is ready as long as its data exists, and alive in any case."""
    environment = {
        "LIVENESS_RUNDIR": str(rundir),
        "LIVENESS_UNIT_NAME": "u",
        "DATA": str(folder / "data"),
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'examples'}",
    }
    (folder / "data").mkdir()
    with Server(folder, command=command, environment=environment) as server:
        assert server.get("/").text == "hello\n"
        for path in ("/startupz", "/livez", "/readyz"):
            until(lambda path=path: server.get(path).text == "ok")  # type: ignore[misc]
        (folder / "data").rmdir()
        assert server.get("/readyz").text == "liveness: u: not ready: data failed"
        assert server.get("/livez").text == "ok"
