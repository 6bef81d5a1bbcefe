"""Real PostgreSQL, memcached and Redis on free ports, each in a folder of its own; and a port that never answers."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest
from stage import NOBODY, until
from web import free_port

POSTGRESQL = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), default=None)


def need(program: str, package: str) -> str:
    """Where it is. Leaves the test out, aloud, if it is not here."""
    found = shutil.which(program, path=f"{os.environ['PATH']}{os.pathsep}{POSTGRESQL}{os.pathsep}/usr/sbin")
    if found is None:
        pytest.skip(f"there is no {program} (Debian's package {package}; tests/tools.sh installs it as root)")
    return found


class Service:
    """A program in a folder of its own; a context manager that ends it. Not as root: some refuse, none needs it."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="liveness-service-"))
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        if os.geteuid() == 0:
            os.chown(self.folder, NOBODY, NOBODY)
        self.folder.chmod(0o755)

    def command(self) -> Sequence[str]:
        raise NotImplementedError

    def answers(self) -> bool:
        raise NotImplementedError

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                as_nobody(self.command()), cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        until(self._is_up, 60)

    def _is_up(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "log").read_text()
        return self.answers()

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self.process is None:
            return
        if self.process.poll() is None:
            # A stopped one must go on, to end.
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(number)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def __enter__(self) -> Any:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def as_nobody(command: Sequence[str]) -> list[str]:
    if os.geteuid() != 0:
        return list(command)
    return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *command]


class Postgres(Service):
    """A cluster with a role ``app`` that is no superuser, and a database ``app`` of its own."""

    PASSWORD = "secret"
    #: Three of them are kept for superusers.
    CONNECTIONS = 15

    def __init__(self) -> None:
        self._postgres = need("postgres", "postgresql")
        initdb = need("initdb", "postgresql")
        super().__init__()
        word = self.folder / "word"
        word.write_text(self.PASSWORD)
        options = ["--no-sync", "-E", "UTF8", "--locale=C", "-A", "scram-sha-256", "-U", "super", f"--pwfile={word}"]
        subprocess.run(as_nobody([initdb, *options, "data"]), cwd=self.folder, check=True, capture_output=True)

    def command(self) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": self.folder, "fsync": "off",
            "max_connections": self.CONNECTIONS,
        }  # fmt: skip
        return [self._postgres, "-D", "data", *(f"--{name}={value}" for name, value in settings.items())]

    def answers(self) -> bool:
        try:
            self.run("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def start(self) -> None:
        super().start()
        if not self.run("SELECT 1 FROM pg_roles WHERE rolname = 'app'"):
            self.run(f"CREATE ROLE app LOGIN PASSWORD '{self.PASSWORD}'")
            self.run("CREATE DATABASE app OWNER app")

    def stop(self, number: int = signal.SIGINT) -> None:
        # Fast: without waiting for clients to go.
        super().stop(number)

    def run(self, query: Any, user: str = "super", database: str = "postgres") -> list[Any]:
        with self.connect(user, database) as connection:
            done = connection.execute(query)
            return done.fetchall() if done.description else []

    def connect(self, user: str = "app", database: str = "app") -> psycopg.Connection[Any]:
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user=user, password=self.PASSWORD, dbname=database, autocommit=True
        )

    def sessions(self) -> int:
        """How many connections of the role app there are."""
        ((count,),) = self.run("SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'")
        return int(count)

    def configured(self, **changes: Any) -> dict[str, Any]:
        """What Django's DATABASES has for it."""
        return {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": "127.0.0.1", "PORT": self.port, "NAME": "app", "USER": "app", "PASSWORD": self.PASSWORD, **changes,
        }  # fmt: skip


class Memcached(Service):
    """One server; on a socket of the file system rather than on a port if so asked."""

    def __init__(self, *options: str, on_socket: bool = False) -> None:
        self._memcached = need("memcached", "memcached")
        self._options = options
        self._on_socket = on_socket
        super().__init__()

    @property
    def location(self) -> str:
        return f"unix:{self.folder}/socket" if self._on_socket else f"127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        where = ["-s", f"{self.folder}/socket"] if self._on_socket else ["-l", "127.0.0.1", "-p", str(self.port)]
        return [self._memcached, "-m", "16", "-t", "1", *where, *self._options]

    def stop(self, number: int = signal.SIGKILL) -> None:
        # It has nothing to save, and would take a second for that.
        super().stop(number)

    def answers(self) -> bool:
        if self._on_socket:
            return (self.folder / "socket").exists()
        return accepts(self.port)


class Redis(Service):
    """One server, with a password if so asked."""

    def __init__(self, password: str = "") -> None:
        self._redis = need("redis-server", "redis-server")
        self.password = password
        super().__init__()

    @property
    def location(self) -> str:
        return f"redis://{':' + self.password + '@' if self.password else ''}127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        protected = ["--requirepass", self.password] if self.password else []
        return [self._redis, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", *protected]

    def answers(self) -> bool:
        return accepts(self.port)


def accepts(port: int) -> bool:
    """Something accepts connections there."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


class Silence:
    """Accepts connections and never answers: what a hung server looks like. Its backlog accepts, nobody else does."""

    def __init__(self, port: int = 0) -> None:
        self._server = socket.create_server(("127.0.0.1", port), backlog=1000, reuse_port=False)
        self.port: int = self._server.getsockname()[1]

    def __enter__(self) -> Silence:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()

    def configured(self) -> dict[str, Any]:
        """What Django's DATABASES has for it."""
        return {"ENGINE": "django.db.backends.postgresql", "HOST": "127.0.0.1", "PORT": self.port, "NAME": "app"}
