"""
A shop with a database and two other services, and the endpoints by which Kubernetes asks how it is.

    gunicorn --chdir examples/flask 'shop:create_app()'

DATABASE is the file of the database, USERS and STOCK are the two services: a URL, or a host and perhaps a port.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import Any

from flask import Flask, Response, jsonify, request

from liveness.flask import ManagementEndpoints


def create_app(**settings: Any) -> Flask:
    app = Flask("shop")
    app.config.update(
        DATABASE=os.environ.get("DATABASE", "/data/shop.db"),
        # For all checks of a request together: less than the timeoutSeconds of the probe, which is 1.
        BACKEND_TIMEOUT=0.8,
        Z_ENDPOINTS={
            # Shown in /z/health, for people. They are no matter of readiness: a pod that leaves its Service because
            # another service is down mends nothing.
            "service_dependencies": {
                "users": os.environ.get("USERS", "users"),
                "stock": os.environ.get("STOCK", "http://stock/actuator/health"),
            },
            # Without its database this pod can answer nothing, and another may.
            "check_functions": {"readiness": {"database": lambda: has_orders(app)}},
        },
        **settings,
    )
    # A kubelet asks every few seconds: what succeeds is not in the access log.
    ManagementEndpoints(app, no_log=True)
    with closing(connect(app)) as database, database:
        database.execute("create table if not exists orders (item text not null)")

    @app.post("/orders")
    def order() -> tuple[Response, int]:
        item = request.form["item"]
        with closing(connect(app)) as database, database:
            database.execute("insert into orders values (?)", [item])
        return jsonify(item=item), 201

    @app.get("/orders")
    def orders() -> Response:
        with closing(connect(app)) as database:
            return jsonify([item for (item,) in database.execute("select item from orders order by rowid")])

    return app


def connect(app: Flask) -> sqlite3.Connection:
    return sqlite3.connect(app.config["DATABASE"], timeout=5)


def has_orders(app: Flask) -> bool:
    # In a mode that makes no new, empty database of one that is gone.
    with closing(sqlite3.connect(f"file:{app.config['DATABASE']}?mode=rw", uri=True, timeout=0.5)) as database:
        return bool(database.execute("select count(*) >= 0 from orders").fetchone()[0])
