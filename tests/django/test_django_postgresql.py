"""The short way to a PostgreSQL, by libpq alone: it must see all that the driver of the application would see."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from project import Project
from services import Postgres, Silence
from stage import ROOT, until

from liveness.django import postgresql
from liveness.django.database import Database, limited

Configure = Callable[..., Any]


def is_short(configured: dict[str, Any], databases: Configure) -> bool:
    databases(default=configured)
    return postgresql.can_ask(limited("default"))


def ask() -> None:
    with Database("default") as database:
        database.ask()


# Which way


def test_one_named_host_is_asked_the_short_way(postgres: Postgres, databases: Configure) -> None:
    for host in ("127.0.0.1", "localhost", str(postgres.folder)):
        assert is_short(postgres.configured(HOST=host), databases)
        ask()


@pytest.mark.parametrize(
    "changes",
    [
        {"HOST": "127.0.0.1,127.0.0.1", "PORT": "{closed},{port}"},
        {"HOST": "", "OPTIONS": {"host": "127.0.0.1"}},
        {"OPTIONS": {"hostaddr": "127.0.0.1"}, "HOST": "nowhere.invalid"},
        {"OPTIONS": {"isolation_level": 2}},
        {"OPTIONS": {"assume_role": "app"}},
    ],
)
def test_what_the_driver_does_more_for_is_left_to_it(
    postgres: Postgres, databases: Configure, changes: dict[str, Any]
) -> None:
    with Silence() as silence:
        closed = silence.port
    if "PORT" in changes:
        changes = {**changes, "PORT": changes["PORT"].format(closed=closed, port=postgres.port)}
    assert not is_short(postgres.configured(**changes), databases)
    ask()


def test_a_service_of_the_environment_is_left_to_the_driver(
    postgres: Postgres, databases: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGHOSTADDR", "127.0.0.1")
    assert not is_short(postgres.configured(HOST="nowhere.invalid"), databases)
    ask()


ENGINE = """
from django.db.backends.postgresql import base

class DatabaseWrapper(base.DatabaseWrapper):
    def get_new_connection(self, parameters):
        raise RuntimeError("no token for today")
"""


def test_a_backend_that_connects_in_a_way_of_its_own_is_asked_in_it(
    postgres: Postgres, databases: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tokens").mkdir()
    (tmp_path / "tokens" / "__init__.py").touch()
    (tmp_path / "tokens" / "base.py").write_text(ENGINE)
    monkeypatch.syspath_prepend(tmp_path)
    assert not is_short(postgres.configured(ENGINE="tokens"), databases)
    with pytest.raises(RuntimeError, match="no token for today"):
        ask()


# What comes of it


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("word", ["it's \\ a=b", "пароль", ""])
def test_a_password_may_be_anything(postgres: Postgres, databases: Configure, word: str) -> None:
    from psycopg import sql

    postgres.run(sql.SQL("CREATE ROLE other LOGIN PASSWORD {}").format(word or None))
    try:
        databases(default=postgres.configured(USER="other", PASSWORD=word))
        if word:
            ask()
        else:
            with pytest.raises(Exception, match="password"):
                ask()
    finally:
        postgres.run("DROP ROLE other")


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"PASSWORD": "wrong"}, 'password authentication failed for user "app"'),
        ({"NAME": "no_such"}, 'database "no_such" does not exist'),
        ({"HOST": "no.such.invalid"}, "not known|resolve|resolution"),
        ({"OPTIONS": {"nonsense": 1}}, "nonsense"),
        ({"OPTIONS": {"connect_timeout": "soon"}}, "soon"),
        ({"OPTIONS": {"sslmode": "require"}}, "SSL"),
        ({"NAME": "x" * 100}, "longer than"),
    ],
)
def test_the_error_says_what_is_wrong(
    postgres: Postgres, databases: Configure, changes: dict[str, Any], text: str
) -> None:
    databases(default=postgres.configured(**changes))
    with pytest.raises(Exception, match=text) as raised:
        ask()
    assert "secret" not in str(raised.value)


def test_the_next_address_of_a_name_is_tried(
    postgres: Postgres, databases: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name of two addresses, the first of which refuses: what a headless Service has while a pod goes."""
    databases(default=postgres.configured(HOST="db"))
    two = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, postgres.port)) for address in ("127.0.0.2", "127.0.0.1")
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: two)
    ask()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: two[:1])
    with pytest.raises(Exception, match="refused"):
        ask()


def test_what_the_server_remarks_is_not_printed(
    postgres: Postgres, databases: Configure, capfd: pytest.CaptureFixture[str]
) -> None:
    """As it does with every connection after the machine's collations have changed."""
    postgres.run("CREATE DATABASE remarked OWNER app TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'")
    try:
        postgres.run("UPDATE pg_database SET datcollversion = '0' WHERE datname = 'remarked'")
        databases(default=postgres.configured(NAME="remarked"))
        ask()
        assert "collation version mismatch" in (postgres.folder / "log").read_text()
        assert capfd.readouterr() == ("", "")
    finally:
        postgres.run("DROP DATABASE remarked")


class Talker:
    """A server that says the same to everybody, byte by byte if so asked, and then nothing."""

    def __init__(self, words: bytes, pause: float = 0) -> None:
        self._words, self._pause = words, pause
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self.is_connected = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            self.is_connected = True
            with connection:
                self._talk(connection)
            self.is_connected = False

    def _talk(self, connection: socket.socket) -> None:
        try:
            connection.recv(1000)
            for byte in self._words:
                connection.sendall(bytes([byte]))
                if self._ended.wait(self._pause):
                    return
            while not self._ended.is_set() and connection.recv(1000):
                pass
        except OSError:
            pass

    def end(self) -> None:
        self._ended.set()
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join(20)


@pytest.fixture(
    params=[
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", 0),
        (b"S" * 1000, 0.05),
        (b"NR\0\0\x03\xe8" + bytes(1000), 0.05),
        (b"", 0),
    ],
    ids=["http", "tls that drips", "drips", "silent"],
)
def talker(request: pytest.FixtureRequest) -> Iterator[Talker]:
    made = Talker(*request.param)
    yield made
    made.end()


def test_what_is_no_postgresql_is_given_up_and_let_go(talker: Talker, postgres: Postgres, databases: Configure) -> None:
    databases(default=postgres.configured(PORT=talker.port, OPTIONS={"connect_timeout": 2}))
    begin = time.monotonic()
    with pytest.raises(Exception, match=r"\w"):
        ask()
    # libpq tries without encryption again.
    assert time.monotonic() - begin < 10
    until(lambda: not talker.is_connected)


TICKS = """
import threading, time
import django
django.setup()
from liveness.django.database import Database

def ask():
    try:
        Database("default").ask()
    except Exception as error:
        print("ended:", error)

thread = threading.Thread(target=ask)
begin = last = time.monotonic()
thread.start()
gap = 0
while thread.is_alive():
    time.sleep(0.01)
    gap, last = max(gap, time.monotonic() - last), time.monotonic()
print(last - begin > 1.5, gap < 1, gap)
"""


@pytest.mark.parametrize("implementation", ["binary", "python"])
def test_a_name_server_that_never_answers_holds_up_no_other_thread(
    postgres: Postgres, tmp_path: Path, implementation: str
) -> None:
    private = ["unshare", "--mount", "--propagation", "private"]
    if os.geteuid() or subprocess.run([*private, "true"], check=False).returncode:
        pytest.skip("only root has mounts of its own")
    project = Project(tmp_path, postgres.configured(HOST="db.shop.invalid"))
    project.write("ticks.py", TICKS)
    project.write("resolv.conf", "nameserver 127.0.0.9\noptions timeout:2 attempts:1\n")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.9", 53))
        done = subprocess.run(
            [
                *private,
                "sh",
                "-c",
                'mount --bind resolv.conf /etc/resolv.conf && exec "$@"',
                "sh",
                sys.executable,
                "ticks.py",
            ],
            cwd=tmp_path,
            env={
                **os.environ,
                "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}",
                "DJANGO_SETTINGS_MODULE": "settings",
                "PSYCOPG_IMPL": implementation,
            },
            stdout=subprocess.PIPE,
            timeout=60,
            text=True,
            check=True,
        )
    assert "True True" in done.stdout, done.stdout
    assert "ended:" in done.stdout
