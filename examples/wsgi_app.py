"""
A web application on plain WSGI, with probes.

    liveness run -- gunicorn --bind 0.0.0.0:8002 --workers 2 --threads 4 wsgi_app:app

``liveness run`` loads the unit, and declares it healthy. DATA is a directory without which nothing can be served.
LIVENESS_RUNDIR and LIVENESS_UNIT_NAME determine where the state is written.
"""

import os
from collections.abc import Iterable
from typing import Any

from liveness.checks import Check
from liveness.wsgi import ProbeMiddleware


def data() -> bool:
    return os.path.isdir(os.environ.get("DATA", "/tmp"))


def hello(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello\n"]


# Flask: app.wsgi_app = ProbeMiddleware(app.wsgi_app, checks=[...])
app = ProbeMiddleware(hello, checks=[Check("data", data, timeout=0.5)])
