"""Databases: PostgreSQL that is down, full, locked, silent or restarted; SQLite; migrations. All of them real."""

from __future__ import annotations

import gc
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from project import Project
from services import Postgres, Silence
from stage import until

from liveness.checks import run
from liveness.django import database, probes, readiness
from liveness.django.database import close, new_connection, query
from liveness.django.probes import DatabaseProbe, MigrationProbe, NotReady

DOWN = "db: could not connect to database"
SQLITE = {"ENGINE": "django.db.backends.sqlite3"}

Configure = Callable[..., Any]


def said(probe: probes.ReadinessProbe | None = None) -> str:
    """What the probe refuses with, through a check as ever."""
    made = readiness.Readiness([probe or DatabaseProbe()])
    refusal = made.ready()
    return "Ok" if refusal is None else refusal.content


def test_a_database_that_answers_is_ready_and_no_connection_stays(postgres: Postgres, databases: Configure) -> None:
    databases(default=postgres.configured(), other=postgres.configured(CONN_MAX_AGE=None))
    for _ in range(5):
        assert said() == "Ok"
    until(lambda: postgres.sessions() == 0)


@pytest.mark.parametrize("changes", [{"PASSWORD": "wrong"}, {"NAME": "no_such"}, {"USER": "nobody"}, {"PORT": 1}])
def test_one_that_cannot_be_used_is_not_ready(
    postgres: Postgres, databases: Configure, changes: dict[str, Any]
) -> None:
    databases(default=postgres.configured(), other=postgres.configured(**changes))
    assert said() == DOWN


def test_one_without_a_free_connection_is_not_ready(postgres: Postgres, databases: Configure) -> None:
    databases(default=postgres.configured())
    held = []
    try:
        while said() == "Ok":
            held.append(postgres.connect())
            assert len(held) <= postgres.CONNECTIONS
        assert said() == DOWN
    finally:
        for connection in held:
            connection.close()
    until(lambda: said() == "Ok")


def test_one_that_is_stopped_and_started_again_is_not_ready_and_ready_again(
    postgres: Postgres, databases: Configure
) -> None:
    databases(default=postgres.configured())
    made = readiness.Readiness([DatabaseProbe()])
    assert made.ready() is None
    postgres.stop()
    refusal = made.ready()
    assert refusal is not None
    assert refusal.content == DOWN
    postgres.start()
    assert made.ready() is None


def test_one_that_hangs_is_given_up_in_time_and_found_again(postgres: Postgres, databases: Configure) -> None:
    databases(default=postgres.configured())
    made = readiness.Readiness([DatabaseProbe()])
    before = threading.active_count()
    assert postgres.process is not None
    postgres.signal(signal.SIGSTOP)
    try:
        begin = time.monotonic()
        refusal = made.ready()
        assert refusal is not None
        assert (refusal.content, refusal.status) == (DOWN, 503)
        assert time.monotonic() - begin < 1
        begin = time.monotonic()
        for _ in range(50):
            assert made.ready() is not None
        assert time.monotonic() - begin < 0.3
        assert threading.active_count() <= before + 1
    finally:
        postgres.signal(signal.SIGCONT)
    until(lambda: made.ready() is None)
    until(lambda: threading.active_count() == before)
    until(lambda: postgres.sessions() == 0)


def test_a_thread_that_waits_for_a_dead_peer_does_not_wait_for_ever(
    postgres: Postgres, silence: Silence, databases: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = databases(default=silence.configured())
    monkeypatch.setitem(database._OPTIONS["django.db.backends.postgresql"], "connect_timeout", 2)
    made = readiness.Readiness([DatabaseProbe()])
    threads, files = threading.active_count(), len(os.listdir("/proc/self/fd"))
    gc.disable()
    try:
        assert made.ready() is not None
        until(lambda: threading.active_count() == threads)
        assert len(os.listdir("/proc/self/fd")) == files
    finally:
        gc.enable()
    assert made.ready() is not None
    # The name leads elsewhere now, while the connection of before is still open and still silent.
    handler.settings["default"].update(postgres.configured())
    until(lambda: made.ready() is None, 10)


def test_an_answer_that_nobody_waits_for_any_more_leaves_nothing_open(
    postgres: Postgres, databases: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leave(*_: object) -> None:
        raise InterruptedError

    databases(default=postgres.configured())
    made = readiness.Readiness([DatabaseProbe()])
    threads, files = threading.active_count(), len(os.listdir("/proc/self/fd"))
    before = signal.signal(signal.SIGALRM, leave)
    gc.disable()
    try:
        for is_interrupted in (False, True):
            postgres.signal(signal.SIGSTOP)
            try:
                if is_interrupted:
                    # The one before was too late: nobody waits for this but with a new Readiness.
                    made = readiness.Readiness([DatabaseProbe()])
                    signal.setitimer(signal.ITIMER_REAL, 0.2)
                    with pytest.raises(InterruptedError):
                        made.ready()
                else:
                    assert made.ready() is not None
                    assert made.ready() is not None
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
                postgres.signal(signal.SIGCONT)
            until(lambda: threading.active_count() <= threads)
            assert len(os.listdir("/proc/self/fd")) <= files
    finally:
        gc.enable()
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("is_first", [True, False])
def test_none_stays_open_until_another_probe_has_answered(
    postgres: Postgres, databases: Configure, is_first: bool
) -> None:
    class Slow(probes.ReadinessProbe):
        def ready(self, request: object) -> None:
            opened.wait(60)

    opened = threading.Event()
    databases(default=postgres.configured())
    order = [DatabaseProbe(), Slow()] if is_first else [Slow(), DatabaseProbe()]
    made = readiness.Readiness(order)
    made.timeout = 60
    for check in made.checks:
        check.timeout = 60
    asking = threading.Thread(target=made.ready)
    before = len(os.listdir("/proc/self/fd"))
    asking.start()
    try:
        check = next(check for check in made.checks if check.name == "DatabaseProbe (default)")
        until(lambda: check._last is not None)
        until(lambda: len(os.listdir("/proc/self/fd")) <= before)
        assert asking.is_alive()
    finally:
        opened.set()
        asking.join()


def test_whoever_runs_the_checks_finds_everything_closed(postgres: Postgres, databases: Configure) -> None:
    """A process that forks now leaves no socket to its child."""
    databases(default=postgres.configured())
    (check,) = readiness.Readiness([DatabaseProbe()]).checks
    check.timeout = 60
    assert run([check])
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        assert run([check])
        assert len(os.listdir("/proc/self/fd")) <= before


def test_the_limits_leave_the_options_of_the_project_alone(databases: Configure) -> None:
    options = {"connect_timeout": 17, "application_name": "shop", "pool": True}
    handler = databases(
        default={"ENGINE": "django.db.backends.postgresql", "NAME": "x", "OPTIONS": options},
        other={"ENGINE": "django.db.backends.postgresql", "NAME": "x"},
    )
    found = new_connection("default").get_connection_params()
    assert (found["connect_timeout"], found["application_name"]) == (17, "shop")
    assert new_connection("other").get_connection_params()["connect_timeout"] == 5
    # The pool is the application's.
    assert "pool" not in new_connection("default").settings_dict["OPTIONS"]
    assert handler.settings["default"]["OPTIONS"] == options


def test_an_engine_that_is_not_known_gets_no_options(databases: Configure) -> None:
    engine = {"ENGINE": "mysql.connector.django", "NAME": "x", "OPTIONS": {"charset": "utf8mb4"}}
    databases(default={**engine, "HOST": "127.0.0.1", "PORT": 1})
    assert new_connection("default").settings_dict["OPTIONS"] == {"charset": "utf8mb4"}
    # It is the server that is missed, and not an option.
    with pytest.raises(Exception, match="connect to MySQL server"):
        query(new_connection("default"))


def test_a_connection_that_is_kept_between_two_questions_sits_in_no_transaction(
    postgres: Postgres, databases: Configure
) -> None:
    databases(default=postgres.configured())
    connection = new_connection("default")
    query(connection)
    assert postgres.run("SELECT state FROM pg_stat_activity WHERE usename = 'app'") == [("idle",)]
    query(connection)
    close(connection)


TENANTS = """
from django.db import connections
from django.db.backends.postgresql import base

class DatabaseWrapper(base.DatabaseWrapper):
    def get_connection_params(self):
        with connections["default"].cursor() as cursor:
            cursor.execute("SELECT 'app'")
            (name,) = cursor.fetchone()
        return {**super().get_connection_params(), "dbname": name}
"""


def test_an_engine_that_asks_another_database_uses_up_no_pool_of_the_application(
    postgres: Postgres, databases: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("psycopg_pool", reason="there is no psycopg_pool")
    (tmp_path / "tenants").mkdir()
    (tmp_path / "tenants" / "__init__.py").touch()
    (tmp_path / "tenants" / "base.py").write_text(TENANTS)
    monkeypatch.syspath_prepend(tmp_path)
    pool = {"min_size": 1, "max_size": 2, "timeout": 2}
    handler = databases(
        default=postgres.configured(OPTIONS={"pool": pool}), other=postgres.configured(ENGINE="tenants", NAME="x")
    )
    for _ in range(4):
        assert said() == "Ok"
    try:
        with handler["default"].cursor() as cursor:
            cursor.execute("SELECT 1")
    finally:
        handler["default"].close()
        handler["default"].close_pool()


def test_what_a_probe_of_ones_own_opens_in_its_thread_is_closed(postgres: Postgres, databases: Configure) -> None:
    class Own(probes.ReadinessProbe):
        def ready(self, request: object) -> None:
            from django.db import connections

            with connections["default"].cursor() as cursor:
                cursor.execute("SELECT 1")
            assert postgres.sessions() == 1

    databases(default=postgres.configured(CONN_MAX_AGE=None))
    for _ in range(3):
        assert said(Own()) == "Ok"
    until(lambda: postgres.sessions() == 0)


def test_a_connection_of_the_thread_that_asks_stays_as_it_is(postgres: Postgres, databases: Configure) -> None:
    handler = databases(default=postgres.configured())
    with handler["default"].cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (before,) = cursor.fetchone()
        assert said() == "Ok"
        cursor.execute("SELECT pg_backend_pid()")
        assert cursor.fetchone() == (before,)
    handler["default"].close()


def test_sqlite_leaves_no_file_open(databases: Configure, tmp_path: Path) -> None:
    handler = databases(default={**SQLITE, "NAME": tmp_path / "a"}, other={**SQLITE, "NAME": ":memory:"})
    made = readiness.Readiness([DatabaseProbe()])
    assert made.ready() is None
    assert [
        fd for fd in os.listdir("/proc/self/fd") if os.path.realpath(f"/proc/self/fd/{fd}") == f"{tmp_path}/a"
    ] == []
    handler.settings["default"]["NAME"] = tmp_path / "no" / "such"
    refusal = made.ready()
    assert refusal is not None
    assert refusal.content == DOWN


def test_the_first_refusal_in_the_order_of_the_settings_is_heard(databases: Configure) -> None:
    class Refusing(probes.ReadinessProbe):
        def ready(self, request: object) -> None:
            raise NotReady("mine")

    databases(default={**SQLITE, "NAME": "/no/such/file"})
    for order, text in (([Refusing(), DatabaseProbe()], "mine"), ([DatabaseProbe(), Refusing()], DOWN)):
        refusal = readiness.Readiness(order).ready()
        assert refusal is not None
        assert refusal.content == text


def test_a_connection_to_a_database_in_memory_is_closed_too(databases: Configure) -> None:
    """Python 3.13 warns of one that is not, which fails a test here."""

    class Own(probes.ReadinessProbe):
        def ready(self, request: object) -> None:
            from django.db import connections

            connections["default"].cursor().close()

    databases(default={**SQLITE, "NAME": ":memory:"})
    assert said(Own()) == "Ok"
    gc.collect()


def test_an_alias_that_is_not_configured_is_an_error(databases: Configure) -> None:
    databases(default={**SQLITE, "NAME": ":memory:"})
    with pytest.raises(ImproperlyConfigured, match="DATABASES has no database 'other'"):
        new_connection("other")


@pytest.mark.parametrize("empty", [{}, {"ENGINE": "django.db.backends.dummy"}])
def test_an_alias_without_a_database_is_skipped(
    postgres: Postgres, databases: Configure, empty: dict[str, Any]
) -> None:
    databases(default=empty, users=postgres.configured())
    assert said() == "Ok"
    databases(default=empty, users=postgres.configured(PORT=1))
    assert said() == DOWN
    databases(default=empty)
    assert said() == "Ok"


def test_only_the_databases_that_a_probe_names_are_asked(postgres: Postgres, databases: Configure) -> None:
    class Mine(DatabaseProbe):
        databases = ("default",)

    databases(default=postgres.configured(), reports=postgres.configured(PORT=1))
    assert said(Mine()) == "Ok"
    assert said() == DOWN


@pytest.mark.parametrize("kind", [DatabaseProbe, MigrationProbe])
@pytest.mark.parametrize("names", ["other", ("default", "other"), ("default", "nowhere")])
def test_a_probe_of_a_database_that_does_not_exist_is_refused_at_the_start(
    databases: Configure, kind: type[DatabaseProbe], names: Any
) -> None:
    databases(default={**SQLITE, "NAME": ":memory:"}, nowhere={})
    mine = type("Mine", (kind,), {"databases": names})
    with pytest.raises(ImproperlyConfigured, match=r"Mine\.databases: DATABASES has no database '(other|nowhere)'"):
        readiness.Readiness([mine()])


def test_a_database_that_is_not_critical_degrades_and_is_named_in_the_log(
    postgres: Postgres, databases: Configure, caplog: pytest.LogCaptureFixture
) -> None:
    class Reports(DatabaseProbe):
        databases = ("reports",)
        critical = False

    class Essential(DatabaseProbe):
        databases = ("default",)

    databases(default=postgres.configured(), reports=postgres.configured(PORT=1))
    made = readiness.Readiness([Reports(), Essential()])
    assert made.ready() is None
    assert made.ready() is None
    (line,) = caplog.messages
    assert line.startswith("Reports (reports): degraded: ")
    assert run(made.checks).verdict == "degraded"


class Delay:
    """Between a database and its clients: each piece of data arrives a while later."""

    def __init__(self, port: int, seconds: float) -> None:
        self._to, self._seconds = port, seconds
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._open = [self._server]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                one = self._server.accept()[0]
            except OSError:
                return
            other = socket.create_connection(("127.0.0.1", self._to))
            self._open += [one, other]
            for pair in ((one, other), (other, one)):
                threading.Thread(target=self._pass, args=pair, daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                time.sleep(self._seconds)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self) -> None:
        for one in self._open:
            one.close()


@pytest.fixture
def delay(postgres: Postgres) -> Iterator[Delay]:
    """The round trip takes 40 ms."""
    made = Delay(postgres.port, 0.02)
    yield made
    made.close()


def test_databases_far_away_are_asked_at_the_same_time_and_the_log_names_the_one_that_fails(
    postgres: Postgres, databases: Configure, delay: Delay, caplog: pytest.LogCaptureFixture
) -> None:
    far = {f"far{number}": postgres.configured(PORT=delay.port) for number in range(6)}
    databases(default=postgres.configured(), **far)
    before = threading.active_count()
    assert said() == "Ok"
    until(lambda: threading.active_count() <= before + 2 * len(far))
    databases(default=postgres.configured(), **far, broken=postgres.configured(PORT=1))
    assert said() == DOWN
    (line,) = caplog.messages
    assert line.startswith("DatabaseProbe (broken): not ready: OperationalError: ")


def test_a_driver_that_is_missing_is_not_ready(databases: Configure) -> None:
    databases(default={"ENGINE": "django.db.backends.mysql", "NAME": "x"})
    with pytest.raises(ImproperlyConfigured):
        new_connection("default")
    assert said() == DOWN


MODELS = """
from django.db import models

class Thing(models.Model):
    name = models.CharField(max_length=9)
"""


@pytest.fixture
def migrating(postgres: Postgres, tmp_path: Path) -> Project:
    project = Project(
        tmp_path,
        postgres.configured(),
        INSTALLED_APPS=["things", "liveness.django"],
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
        DJK8S_READINESS_PROBES=["liveness.django.probes.DatabaseProbe", "liveness.django.probes.MigrationProbe"],
    )
    (tmp_path / "things").mkdir()
    project.write("things/__init__.py", "")
    project.write("things/models.py", MODELS)
    assert project.manage("makemigrations", "things").returncode == 0
    return project


def test_unapplied_migrations_are_not_ready_and_applied_ones_are(migrating: Project, postgres: Postgres) -> None:
    with migrating.serve() as server:
        answer = server.get("/readyz")
        assert (answer.status, answer.text) == (503, "db: there are unapplied migrations")
        assert server.get("/livez").status == 200
        assert migrating.manage("migrate").returncode == 0
        until(lambda: server.get("/readyz").status == 200)
        # It has passed, and is not looked at again.
        postgres.run("DELETE FROM django_migrations", "app", "app")
        assert server.get("/readyz").status == 200
    done = migrating.manage("probe", "--ready")
    assert (done.returncode, done.stdout) == (1, "db: there are unapplied migrations\n")


def test_migrations_that_cannot_be_looked_for_are_not_ready(databases: Configure, silence: Silence) -> None:
    databases(default=silence.configured())
    begin = time.monotonic()
    assert said(MigrationProbe()) == "db: could not look for unapplied migrations"
    assert time.monotonic() - begin < 1
    databases(default={**SQLITE, "NAME": "/no/such/file"})
    with pytest.raises(NotReady):
        MigrationProbe().ready(None)
