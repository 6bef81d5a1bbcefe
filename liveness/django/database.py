"""Database connections for the probes, with time limits. Those of the application stay untouched."""

import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

from django.core.cache import caches
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

#: Seconds for a connection attempt and for a query. A thread that waited for ever would never find the database back.
LIMIT = 5

# The drivers of other engines may refuse these options.
_POSTGRESQL = {"connect_timeout": LIMIT}
_MYSQL = {"connect_timeout": LIMIT, "read_timeout": LIMIT, "write_timeout": LIMIT}
_OPTIONS = {
    "django.db.backends.postgresql": _POSTGRESQL,
    "django.contrib.gis.db.backends.postgis": _POSTGRESQL,
    "django.db.backends.mysql": _MYSQL,
    "django.contrib.gis.db.backends.mysql": _MYSQL,
}


def has_database(alias: str) -> bool:
    """Whether there is a database. The alias "default" may be empty in a project that routes every query."""
    return bool(connections.settings[alias]["ENGINE"] != "django.db.backends.dummy")


def require(aliases: Iterable[str], setting: str) -> list[str]:
    """The aliases. Raises ImproperlyConfigured, naming the setting, for an alias without a database."""
    found = [aliases] if isinstance(aliases, str) else list(aliases)
    for alias in found:
        if alias not in connections.settings or not has_database(alias):
            raise ImproperlyConfigured(f"{setting}: DATABASES has no database {alias!r} (name another alias)")
    return found


def new_connection(alias: str) -> BaseDatabaseWrapper:
    """
    A new connection to the database, with time limits and without Django's pool. The caller closes it.

    Raises ImproperlyConfigured for an alias without a database, and for a bad backend.
    """
    require([alias], "cannot connect")
    connection = connections.create_connection(alias)
    configured = connection.settings_dict
    # A pool that the application has used up does not mean that the database is down. And a child that is forked later
    # would share the sockets of a pool that a probe has opened.
    options = {name: value for name, value in configured["OPTIONS"].items() if name != "pool"}
    # A new dictionary: all threads share the one of the settings.
    connection.settings_dict = {**configured, "OPTIONS": {**_OPTIONS.get(configured["ENGINE"], {}), **options}}
    return connection


def query(connection: BaseDatabaseWrapper) -> None:
    """Sends a query and reads the answer. Raises what Django raises."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT 1{connection.features.bare_select_suffix}")
        if cursor.fetchone() is None:
            raise RuntimeError("no row in answer to a SELECT")


def query_alias(alias: str) -> None:
    """The same on the connection of this thread."""
    query(connections[alias])


@contextmanager
def own_connections() -> Iterator[Sequence[BaseDatabaseWrapper]]:
    """New connections to all databases for this thread. Closes them, and its connections to caches, at the end."""
    for alias in connections:
        # An engine whose driver is missing fails when a probe uses it.
        with suppress(Exception):
            connections[alias] = new_connection(alias)
    try:
        yield connections.all(initialized_only=True)
    finally:
        for connection in connections.all(initialized_only=True):
            close(connection)
        with suppress(Exception):
            caches.close_all()


def close(connection: BaseDatabaseWrapper) -> None:
    """Closes a connection of this thread through its wrapper, which gives it back to a third party's pool."""
    try:
        connection.close()
        if connection.connection is not None:
            # The SQLite backend keeps a database in memory open.
            BaseDatabaseWrapper.close(connection)
    except Exception:
        # A broken connection may not even close. Dropping it closes its socket.
        connection.connection = None


def hang_up(connection: BaseDatabaseWrapper) -> None:
    """Ends the network connection under the query of another thread, which gets an error and closes the connection."""
    # Some drivers have no fileno().
    with suppress(Exception), socket.socket(fileno=os.dup(connection.connection.fileno())) as shared:
        shared.shutdown(socket.SHUT_RDWR)
