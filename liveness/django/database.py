"""
A connection to a configured database, apart from those of the application.

A probe must find out whether the database answers, and must not leave a thread for ever in one that does not.
"""

from __future__ import annotations

import os
import select
import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from django.core.cache import caches
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

#: Seconds to connect in, and for a host that has vanished. Nobody waits so long for a probe; but a thread that waited
#: for ever on a connection of yesterday would never see that the database is back.
LIMIT = 5
_LIMITS: dict[str, dict[str, int]] = {
    "postgresql": {
        "connect_timeout": LIMIT,
        "keepalives_idle": LIMIT,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": LIMIT * 1000,
    },
    "mysql": {"connect_timeout": LIMIT, "read_timeout": LIMIT, "write_timeout": LIMIT},
}


def limited(alias: str) -> BaseDatabaseWrapper:
    """
    A new wrapper with limits on its time, which is in nobody's list: who asks for it closes it.

    Raises ConnectionDoesNotExist for an alias that is not configured, and ImproperlyConfigured for a bad backend.
    """
    if alias not in connections.settings:
        raise connections.exception_class(f"The connection {alias!r} is not configured.")
    connection = connections.create_connection(alias)
    options = dict(connection.settings_dict["OPTIONS"])
    # A pool that the application has used up says nothing of the database, and ours must not be the first to make it.
    options.pop("pool", None)
    # The dictionary itself is that of all threads.
    connection.settings_dict = {
        **connection.settings_dict,
        "OPTIONS": {**_LIMITS.get(connection.vendor, {}), **options},
    }
    return connection


def shut(connection: BaseDatabaseWrapper) -> None:
    """Closes a connection of this thread for good, one to a database in memory too."""
    try:
        connection.close()
        # SQLite's own close() keeps a database in memory; the one of another thread has a connection of its own.
        BaseDatabaseWrapper.close(connection)
    except Exception:
        # What could not even be closed is dropped.
        connection.connection = None


def use_own() -> list[BaseDatabaseWrapper]:
    """
    Gives this thread connections of its own, with limits on their time, for whatever it asks through Django.

    Those of a pool would be the process's: a child that is forked later would share their sockets, and read what is
    meant for another.
    """
    made = []
    for alias in connections:
        try:
            connections[alias] = limited(alias)
        except Exception:
            # Its driver is missing, perhaps; who asks it finds out.
            continue
        made.append(connections[alias])
    return made


def shut_all() -> None:
    """Closes every connection to a database or a cache that this thread has opened through Django."""
    for connection in connections.all(initialized_only=True):
        shut(connection)
    try:
        caches.close_all()
    except Exception:
        # As with a database.
        pass


def let_go(error: BaseException) -> None:
    """
    Takes from an exception what it came from, and the frames that it came through.

    Some hold a connection, as those of psycopg do, and so do the frames: one that failed would stay open until the
    exception is forgotten, or until the garbage is collected.
    """
    found: BaseException | None = error
    while found is not None:
        following = found.__cause__ or found.__context__
        found.__cause__ = found.__context__ = found.__traceback__ = None
        found = following


def cut_off(connection: Any) -> None:
    """
    Ends the socket of a driver's connection under whoever waits for it, if the driver tells which that is.

    The connection is not closed: it belongs to the thread that waits.
    """
    try:
        descriptor = os.dup(connection.fileno())
    except Exception:
        return
    try:
        with socket.socket(fileno=descriptor) as other:
            other.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


class Left:
    """
    A connection that has answered and is still open, for who waits for the answer to close.

    The process that PostgreSQL has for it ends then, on whichever core it is woken, and libpq keeps the interpreter
    while it tells it to: closed by the thread that has asked, it would keep the answer from who waits.
    """

    def __init__(self) -> None:
        # Lists, of which one step is atomic: a lock could be held in the moment of a fork. Of each who waits its pid.
        self._waiting: list[int] = []
        self._databases: list[Database] = []

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Within it somebody waits, and then closes it."""
        pid = os.getpid()
        try:
            self._waiting.append(pid)
            yield
        finally:
            # If a signal was faster, it is another's: then the thread that has asked closes it.
            with suppress(ValueError):
                self._waiting.remove(pid)
            self.close()

    @contextmanager
    def by_this_thread(self) -> Iterator[None]:
        """Within it what this thread has asked last is left open, if it can be closed without waiting for anybody."""
        _here.left = self
        try:
            yield
        finally:
            _here.left = None

    def put(self, database: Database) -> None:
        """One more that is to be closed."""
        self._databases.append(database)

    def close_unless_awaited(self) -> None:
        """For who has put it there: nobody may be waiting, or no more."""
        if os.getpid() not in self._waiting:
            self.close()

    def close(self) -> None:
        """Closes it, if no other thread has."""
        while self._databases:
            try:
                database = self._databases.pop()
            except IndexError:
                return
            database.close()


class _Here(threading.local):
    left: Left | None = None


_here = _Here()


class Database:
    """
    One connection, made when it is first needed; a context manager that closes it.

    It is that of the driver: what Django sets up on each connection of an application takes longer than the question.
    """

    def __init__(self, alias: str) -> None:
        if _here.left is not None:
            # Of one probe, one after the other: the role may be allowed no more.
            _here.left.close()
        self._wrapper = limited(alias)
        self._query = f"SELECT 1{self._wrapper.features.bare_select_suffix}"
        self._connection: Any = None

    def ask(self) -> None:
        """Asks. Raises what the driver raises, and then begins anew with the next question."""
        try:
            if self._connection is None:
                self._connection = self._connect()
            libpq = getattr(self._connection, "pgconn", None)
            # eventlet takes poll() away.
            if libpq is not None and hasattr(select, "poll"):
                _ask_libpq(libpq, self._query)
            else:
                self._ask_cursor()
        except BaseException:
            self.close()
            raise

    def _ask_cursor(self) -> None:
        cursor = self._connection.cursor()
        try:
            cursor.execute(self._query)
            if cursor.fetchone() is None:
                raise RuntimeError("no row in answer to a SELECT")
        finally:
            cursor.close()

    def _connect(self) -> Any:
        parameters = self._wrapper.get_connection_params()
        # Any: a backend has more than the base of all.
        wrapper: Any = self._wrapper
        if wrapper.vendor == "sqlite":
            # Without the functions that Django adds to it, which take by far the most of the time.
            self._connection = wrapper.Database.connect(**parameters)
            for command in filter(str.strip, wrapper.init_commands):
                self._connection.execute(command)
            return self._connection
        connection = wrapper.get_new_connection(parameters)
        if "assume_role" in wrapper.settings_dict["OPTIONS"]:
            # What the application does first may be what fails.
            wrapper.connection = self._connection = connection
            wrapper.init_connection_state()
        if wrapper.vendor == "postgresql":
            # Else each question begins a transaction, in which it would sit.
            connection.autocommit = True
        return connection

    def close(self) -> None:
        """Closes it. One that is closed is no error."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            connection.close()
        except Exception:
            # It has ended already.
            pass

    def cut_off(self) -> None:
        """Ends a question that another thread waits for, though the other end is there and says nothing."""
        cut_off(self._connection)

    def __enter__(self) -> Database:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The socket of psycopg 3 never blocks.
        if _here.left is not None and hasattr(self._connection, "pgconn"):
            _here.left.put(self)
        else:
            self.close()


def _ask_libpq(connection: Any, query: str) -> None:
    """
    Asks a connection of psycopg 3 as its cursor does, which takes longer to make than to ask.

    It waits in poll(), and not in libpq, so that where threads are greenlets the others run meanwhile. Raises what
    psycopg raises, and RuntimeError if anything but one row comes.
    """
    from psycopg.pq import ExecStatus

    rows = 0
    connection.send_query(query.encode())
    while (answer := _next_of(connection)) is not None:
        if answer.status != ExecStatus.TUPLES_OK:
            said = answer.error_message.decode("utf-8", "replace").strip()
            raise RuntimeError(f"no row in answer to a SELECT: {said}")
        rows += answer.ntuples
    if rows != 1:
        raise RuntimeError(f"{rows} rows in answer to a SELECT")


def _next_of(connection: Any) -> Any:
    while (is_unsent := connection.flush()) or connection.is_busy():
        waiting = select.poll()
        waiting.register(connection.socket, select.POLLIN | (select.POLLOUT if is_unsent else 0))
        waiting.poll()
        connection.consume_input()
    return connection.get_result()
