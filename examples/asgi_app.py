"""
A web application on plain ASGI, with probes and a heartbeat of its event loop.

    uvicorn --host 0.0.0.0 --port 8001 asgi_app:app
    liveness run -- uvicorn --host 0.0.0.0 --port 8001 --workers 2 asgi_app:app

In the first form, the middleware loads the unit and ends it. In the second form, ``liveness run`` does, and each worker
beats. DATA is a directory without which nothing can be served. LIVENESS_RUNDIR and LIVENESS_UNIT_NAME determine where
the state is written.
"""

import os
from typing import Any

from liveness.asgi import ProbeMiddleware
from liveness.checks import Check

TTL = 10  # seconds that the event loop may be blocked


def data() -> bool:
    return os.path.isdir(os.environ.get("DATA", "/tmp"))


async def hello(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"hello\n"})


# FastAPI and Starlette: app.add_middleware(ProbeMiddleware, checks=[...], heartbeat=TTL)
app = ProbeMiddleware(hello, checks=[Check("data", data, timeout=0.5)], heartbeat=TTL)
