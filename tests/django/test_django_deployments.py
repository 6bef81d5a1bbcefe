"""Projects as they are deployed: below a prefix, with a third party's pool or driver, behind the per-site cache."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from project import MIDDLEWARE, Project
from services import Postgres
from stage import until
from web import GUNICORN, Server

MOOD = """
import pathlib
from liveness.django.probes import NotReady, ReadinessProbe

class MoodProbe(ReadinessProbe):
    def ready(self, request):
        if pathlib.Path("mood").read_text() == "bad":
            raise NotReady("mood: bad")
"""
COUNT = """
from django.db import connection
from django.http import HttpResponse
from django.urls import path

def count(request):
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        return HttpResponse("counted")

urlpatterns = [path("count", count)]
"""


def passes(server: Server, path: str) -> bool:
    answer = server.get(path)
    return (answer.status, answer.text) == (200, "Ok")


@pytest.mark.parametrize("kind", ["gunicorn", "uvicorn"])
def test_a_forced_script_name_does_not_hide_the_probes(tmp_path: Path, kind: str) -> None:
    with Project(tmp_path, FORCE_SCRIPT_NAME="/shop").serve(kind) as server:
        for path in ("/livez", "/healthz", "/readyz"):
            assert passes(server, path)
        assert server.get("/hello").status == 200


def test_below_the_script_name_of_gunicorn_the_kubelet_asks_with_the_prefix(tmp_path: Path) -> None:
    environment = {"SCRIPT_NAME": "/shop"}
    with Project(tmp_path).serve(environment=environment, started="/shop/hello") as server:
        for path in ("/shop/livez", "/shop/readyz"):
            assert passes(server, path)
        assert server.get("/shop/hello").status == 200


def test_below_the_root_path_of_uvicorn_the_kubelet_asks_without_the_prefix(tmp_path: Path) -> None:
    project = Project(tmp_path)
    # Which application, an ASGI one, the first kind decides.
    command = ["-m", "uvicorn", "--port", "{port}", "--root-path", "/shop", "app:app"]
    with project.serve("uvicorn", command=command) as server:
        for path in ("/livez", "/readyz"):
            assert passes(server, path)


def test_probes_give_back_what_they_took_from_a_third_partys_pool(tmp_path: Path, postgres: Postgres) -> None:
    pooled = postgres.configured(
        ENGINE="django_db_geventpool.backends.postgresql_psycopg3",
        CONN_MAX_AGE=0,
        OPTIONS={"MAX_CONNS": 4, "REUSE_CONNS": 4},
    )
    project = Project(tmp_path, pooled, urls=COUNT)
    command = [*GUNICORN, "--worker-class", "gevent", "app:app"]
    with project.serve(command=command) as server:
        for _ in range(3):
            for _ in range(7):
                assert passes(server, "/readyz")
            assert server.get("/count", timeout=5).text == "counted"
        postgres.stop()
        assert server.get("/readyz").status == 503
        postgres.start()
        until(lambda: passes(server, "/readyz"))
        for _ in range(7):
            assert passes(server, "/readyz")
            assert server.get("/count", timeout=5).text == "counted"
        assert postgres.sessions() <= 4


def test_a_probe_of_ones_own_gives_back_what_it_took_from_a_third_partys_pool(
    tmp_path: Path, postgres: Postgres
) -> None:
    own = """
from liveness.django.probes import ReadinessProbe

class OwnProbe(ReadinessProbe):
    def ready(self, request):
        from django.db import connection
        connection.cursor().execute("SELECT 1")
"""
    engine = "django_db_geventpool.backends.postgresql_psycopg3"
    pooled = postgres.configured(ENGINE=engine, CONN_MAX_AGE=0, OPTIONS={"MAX_CONNS": 4})
    project = Project(tmp_path, pooled, urls=COUNT, DJK8S_READINESS_PROBES=["probes.OwnProbe"])
    project.write("probes.py", own)
    with project.serve(command=[*GUNICORN, "--worker-class", "gevent", "app:app"]) as server:
        for _ in range(10):
            assert passes(server, "/readyz")
        assert server.get("/count", timeout=5).text == "counted"


VIEWS = """
from django.urls import include, path
urlpatterns = [path("", include("liveness.django.urls"))]
"""
CACHED = [
    "django.middleware.cache.UpdateCacheMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.cache.FetchFromCacheMiddleware",
]


@pytest.fixture(params=[[], [MIDDLEWARE]], ids=["views", "middleware"])
def cached(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Project, Server]]:
    """With the per-site cache."""
    settings: dict[str, Any] = {"MIDDLEWARE": [*request.param, *CACHED]}
    project = Project(tmp_path, urls=VIEWS, DJK8S_READINESS_PROBES=["probes.MoodProbe"], **settings)
    project.write("probes.py", MOOD)
    project.write("mood", "good")
    with project.serve() as server:
        yield project, server


def test_the_per_site_cache_keeps_no_verdict(cached: tuple[Project, Server]) -> None:
    project, server = cached
    answer = server.get("/readyz")
    assert (answer.status, answer.text) == (200, "Ok")
    assert answer.headers["cache-control"] == "private, max-age=0, no-store"
    project.write("mood", "bad")
    answer = server.get("/readyz")
    assert (answer.status, answer.text) == (503, "mood: bad")
    project.write("mood", "good")
    assert passes(server, "/readyz")
