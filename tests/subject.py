"""A Flask application on a real server, to be told what it is."""

from __future__ import annotations

from typing import Any

from web import Answer, Server

APP = """
import os, threading, time

import flask
from flask import Flask, current_app, g, request
from werkzeug.middleware.dispatcher import DispatcherMiddleware

import liveness
from liveness.flask import Info, ManagementEndpoints, blueprint, z_blueprint

app = Flask("subject")
app.register_blueprint(z_blueprint)

@app.post("/do")
def do():
    exec(request.get_data(as_text=True), globals())
    return {"value": globals().pop("value", None)}

def create_second():
    made = Flask("second")
    ManagementEndpoints(made, prefix="/admin")
    made.config["Z_ENDPOINTS"] = {"check_functions": {"readiness": {"no": lambda: False}}}
    return made

def create_third():
    made = Flask("third")
    endpoints.init_app(made)
    made.register_blueprint(z_blueprint, url_prefix="/again", name="again")
    return made

endpoints = ManagementEndpoints()
app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/second": create_second(), "/third": create_third()})

if __name__ == "__main__":
    import sys
    from werkzeug.serving import run_simple
    run_simple("127.0.0.1", int(sys.argv[1]), app, threaded=True)
"""
# As it was at first.
RESET = """
for key in ("Z_ENDPOINTS", "BACKEND_TIMEOUT"):
    app.config.pop(key, None)
blueprint.cascading_checks[:] = []
blueprint.checks_with_pluggable_functions[:] = ["health", "readiness", "version_function"]
for key in ("VERSION", "SCHEME", "PREFERRED_URL_SCHEME", "HOSTNAME", "NAMESPACE", "LIVENESS_RUNDIR"):
    os.environ.pop(key, None)
for hooks in (app.teardown_request_funcs, app.before_request_funcs):
    hooks.clear()
app.name = "subject"
"""


class Subject:
    """The application: ``do()`` runs code in it."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def do(self, code: str, **names: object) -> Any:
        """Runs it there, with these names, and returns what it calls ``value``."""
        text = "".join(f"{name} = {value!r}\n" for name, value in names.items()) + code
        answer = self.server.get("/do", method="POST", body=text)
        assert answer.status == 200, f"{answer.text}\n{self.server.log.read_text()}"
        return answer.json()["value"]

    def configure(self, settings: str, **names: object) -> None:
        """Z_ENDPOINTS is what this text says."""
        self.do(f"app.config['Z_ENDPOINTS'] = {settings}", **names)

    def get(self, path: str, **options: Any) -> Answer:
        return self.server.get(path, **options)

    def components(self) -> dict[str, Any]:
        found: dict[str, Any] = self.get("/z/health").json()["components"]
        return found

    @property
    def log(self) -> str:
        return self.server.log.read_text()
