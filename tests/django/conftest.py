"""Django, set up once for what is tested in this process; and the services, each started when a test first wants it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import django
import pytest
from django.conf import settings
from services import Memcached, Postgres, Redis, Silence

if not settings.configured:
    settings.configure(
        SECRET_KEY="x" * 50,
        ALLOWED_HOSTS=["testserver"],
        ROOT_URLCONF="django_urls",
        USE_TZ=True,
        INSTALLED_APPS=["liveness.django"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    )
    django.setup()


@pytest.fixture(scope="session")
def a_postgres() -> Iterator[Postgres]:
    with Postgres() as postgres:
        yield postgres


@pytest.fixture
def postgres(a_postgres: Postgres) -> Iterator[Postgres]:
    """Running, with an empty database."""
    if a_postgres.process is None:
        a_postgres.start()
    yield a_postgres
    if a_postgres.process is None:
        a_postgres.start()
    a_postgres.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'")
    a_postgres.run("DROP OWNED BY app", database="app")


@pytest.fixture
def memcached() -> Iterator[Memcached]:
    with Memcached() as server:
        yield server


@pytest.fixture
def redis() -> Iterator[Redis]:
    with Redis() as server:
        yield server


@pytest.fixture
def silence() -> Iterator[Silence]:
    with Silence() as server:
        yield server


@pytest.fixture
def databases(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Sets what is configured in DATABASES, for this process and this test."""
    from django.db.utils import ConnectionHandler

    from liveness.django import database, probes

    def configure(**configured: Any) -> ConnectionHandler:
        handler = ConnectionHandler(configured)
        monkeypatch.setattr(django.db, "connections", handler)
        for module in (database, probes):
            monkeypatch.setattr(module, "connections", handler)
        return handler

    return configure
