"""
What a request costs with the endpoints for Flask, beside a plain view and Flask Management Endpoints.

    python bench/of_flask.py [ROUNDS]

Writes bench/of_flask.json: microseconds of one request through the WSGI application, without a server, on average of
50 in a row, and requests per second, over 100 rounds by default; milliseconds of /z/health with three dependencies that
take 100 ms each, and of one request to one of them, of a fifth as many.
"""

from __future__ import annotations

import http.server
import importlib
import json
import logging
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from flask import Flask, Response  # noqa: E402
from timing import Summary, calls, ratios, show, shuffled, summary, write  # noqa: E402
from werkzeug.test import EnvironBuilder  # noqa: E402

from liveness.flask import z_blueprint  # noqa: E402

#: How the two packages are called in the results.
OURS, ORIGINAL = "liveness.flask", "flask_management_endpoints"
DEPENDENCIES, DELAY = 3, 0.1


def original() -> Any:
    """The blueprint of the package that is succeeded; None if it is not installed."""
    try:
        return importlib.import_module(ORIGINAL).z_blueprint
    except ImportError:
        return None


def application(blueprint: Any) -> Flask:
    """One with a plain view, and with these endpoints if there are any."""
    app = Flask("bench")

    @app.get("/plain")
    def plain() -> Response:
        return Response(json.dumps({"status": "UP"}), 200, content_type="application/json")

    if blueprint is not None:
        app.register_blueprint(blueprint)
    app.config["BACKEND_TIMEOUT"] = 5
    return app


def asking(app: Flask, path: str) -> Callable[[], None]:
    """One request; ends the benchmark if it fails."""
    environment = EnvironBuilder(path).get_environ()

    def ask() -> None:
        statuses: list[str] = []
        body = app(dict(environment), lambda status, _: statuses.append(status))  # type: ignore[arg-type]
        b"".join(body)
        body.close()  # type: ignore[attr-defined]
        if not statuses[0].startswith("200 "):
            raise SystemExit(f"{path}: {statuses[0]}")

    return ask


def requests(rounds: int) -> dict[str, object]:
    candidates = {"a plain view": asking(application(None), "/plain")}
    for name, blueprint in ((OURS, z_blueprint), (ORIGINAL, original())):
        if blueprint is not None:
            candidates[f"a plain view, {name}"] = asking(application(blueprint), "/plain")
            candidates[f"/z/health/liveness, {name}"] = asking(application(blueprint), "/z/health/liveness")
    times = calls(candidates, 50, rounds)
    plain = times["a plain view"]
    return {
        "request, us": {name: summary(values) for name, values in times.items()},
        "requests a second": {name: summary([1e6 / value for value in values]) for name, values in times.items()},
        "times a plain view": {name: ratios(values, plain) for name, values in times.items() if values is not plain},
    }


@contextmanager
def dependencies() -> Iterator[list[str]]:
    """Services that take their time; their addresses."""

    class Slow(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            time.sleep(DELAY)
            body = b'{"status": "UP"}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    servers = [http.server.ThreadingHTTPServer(("127.0.0.1", 0), Slow) for _ in range(DEPENDENCIES)]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield [f"127.0.0.1:{server.server_port}" for server in servers]
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


def health(rounds: int) -> dict[str, Summary]:
    with dependencies() as addresses:
        candidates: dict[str, Callable[[], object]] = {
            "one request to one of them": lambda: urllib.request.urlopen(f"http://{addresses[0]}/").read()
        }
        for name, blueprint in ((OURS, z_blueprint), (ORIGINAL, original())):
            if blueprint is not None:
                app = application(blueprint)
                app.config["Z_ENDPOINTS"] = {"service_dependencies": {f"{a}": a for a in addresses}}
                candidates[f"/z/health, {name}"] = asking(app, "/z/health")
        times: dict[str, list[float]] = {name: [] for name in candidates}
        for number in range(rounds):
            for name, ask in shuffled(candidates):
                begin = time.perf_counter()
                ask()
                times[name].append((time.perf_counter() - begin) * 1000)
            show(number + 1, rounds)
    return {name: summary(values) for name, values in times.items()}


def measure(rounds: int) -> dict[str, object]:
    return {**requests(rounds), "three dependencies of 100 ms, ms": health(max(2, rounds // 5))}


def main(rounds: int) -> None:
    if original() is None:
        raise SystemExit(f"{ORIGINAL}: not installed (make bench does)")
    logging.disable()
    write(measure(rounds), Path(__file__).with_suffix(".json"), rounds)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
