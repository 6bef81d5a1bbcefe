"""before_hooks: liveness and readiness are answered ahead of whatever else answers requests of an application."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest
from web import Server

APP = """
from flask import Flask, current_app, g, redirect, request
from liveness.flask import ManagementEndpoints

{make}
@app.get("/")
def root(): return "x"

@app.teardown_request
def end(error):
    if {before_hooks} and request.path.startswith("/z"): g.what_no_hook_has_set

answers = [True]
app.config["Z_ENDPOINTS"] = {{"check_functions": {{"readiness": {{
    "f": lambda: answers[0] and current_app is not None and request.path == "/z/health/readiness"}}}}}}

@app.post("/z/health/readiness")
def turn():
    answers[0] = not answers[0]
    return "x"

ManagementEndpoints(app, before_hooks={before_hooks})
"""
# What answers a kubelet instead, and what it answers.
HOOKS = {
    "a login": (
        "app = Flask('x')\n@app.before_request\ndef login():\n"
        "    if request.path != '/' and request.method == 'GET': return redirect('https://sso.example.com/login')\n",
        302,
    ),
    "Talisman": (
        "from flask_talisman import Talisman\napp = Flask('x')\nTalisman(app)\n",
        302,
    ),
    "TRUSTED_HOSTS": ("app = Flask('x')\napp.config['TRUSTED_HOSTS'] = ['shop.example.com']\n", 400),
    "host_matching": ("app = Flask('x', host_matching=True, static_host='shop.example.com')\n", 404),
}


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("before_hooks", [False, True])
def test_only_with_before_hooks_the_probes_are_answered_by_their_checks(
    tmp_path: Path, hook: str, before_hooks: bool
) -> None:
    if hook == "TRUSTED_HOSTS" and version("flask").split(".")[:2] < ["3", "1"]:
        pytest.skip("new in Flask 3.1")
    make, status = HOOKS[hook]
    (tmp_path / "app.py").write_text(APP.format(make=make, before_hooks=before_hooks))
    with Server(tmp_path, "gunicorn") as server:
        for name in ("liveness", "ping", "readiness"):
            answer = server.get(f"/z/health/{name}")
            assert answer.status == (200 if before_hooks else status)
            if before_hooks:
                assert answer.json() == {"status": "UP"}
                head = server.get(f"/z/health/{name}", method="HEAD")
                assert (head.status, head.body) == (200, b"")
        # All others are the application's.
        assert server.get("/z/health").status == (500 if before_hooks else status)


def test_with_before_hooks_readiness_is_down_when_its_function_says_so(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP.format(make=HOOKS["a login"][0], before_hooks=True))
    with Server(tmp_path, "gunicorn") as server:
        for status in (200, 503, 200):
            assert server.get("/z/health/readiness").status == status
            assert server.get("/z/health/liveness").status == 200
            server.get("/z/health/readiness", method="POST")
