"""
What is asked for a readiness verdict, and how a probe says no.

    class QueueProbe(ReadinessProbe):
        def ready(self, request):
            if queue.is_full():
                raise NotReady("queue: full")
"""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING

from django.http import HttpResponse

from .. import endpoint

if TYPE_CHECKING:
    from django.http import HttpRequest

    from .database import Database


_SQLITE = "django.db.backends.sqlite3"
# What connects by its parameters alone; another might ask a database or a cache for them.
_PLAIN = {_SQLITE, "django.db.backends.postgresql", "django.db.backends.mysql", "django.db.backends.oracle"}


class NotReady(Exception):
    """The application cannot serve now: the text and the HTTP status of the answer."""

    # For a subclass that does not call ours.
    content: str = "Not ready"
    status: int = endpoint.UNAVAILABLE

    def __init__(self, content: str = "Not ready", status: int = endpoint.UNAVAILABLE) -> None:
        super().__init__(content)
        self.content = content
        self.status = status

    def response(self) -> HttpResponse:
        """The answer to an HTTP probe. Django does not log it as an error of the request, nor mail it to the admins."""
        try:
            # Below 200 no client would take it for the answer.
            if int(self.status) >= 200:
                return response(self.content, self.status)
        except Exception:
            # What is no status, or no text, must not become the traceback of an error.
            pass
        return response(self.content if isinstance(self.content, (str, bytes)) else "Not ready", endpoint.UNAVAILABLE)


def response(text: object, status: int) -> HttpResponse:
    """The answer of a probe: plain text that nobody keeps, with its length. Raises ValueError for a bad status."""
    content = text if isinstance(text, bytes) else str(text).encode("utf-8", "replace")
    made = HttpResponse(content, status=int(status), headers=_headers(content))
    # Django logs every 5xx as an error, but for one that says it has been logged. Ours is, when the state changes.
    made._has_been_logged = True  # type: ignore[attr-defined]
    return made


def answer(refusal: NotReady | None) -> HttpResponse:
    """The answer of a probe: what was refused, or that all is well."""
    return HttpResponse(_OK, headers=_OK_HEADERS) if refusal is None else refusal.response()


def _headers(content: bytes) -> dict[str, str]:
    return {"Content-Type": "text/plain", "Content-Length": str(len(content)), **endpoint.HEADERS}


_OK = b"Ok"
_OK_HEADERS = _headers(_OK)


class ReadinessProbe(abc.ABC):
    """
    One thing to ask before work is taken. One instance serves for the life of the process.

    It runs in a thread of its own, which closes the connections to databases and caches that it has opened there, and
    at most once at a time: who asks meanwhile gets the same answer.
    """

    #: What is answered if it raises anything but NotReady, or gives no answer in time.
    unavailable = "Not ready"

    @abc.abstractmethod
    def ready(self, request: HttpRequest | None) -> object:
        """
        Raises NotReady if the application is not. What it returns does not matter; a coroutine is awaited.

        ``request`` is that of one who asks, or None in a command and in a Monitor.
        """


class DatabaseProbe(ReadinessProbe):
    """Every configured database takes a new connection, and answers a query on it."""

    unavailable = "db: could not connect to database"
    #: That which is asked now, for who wants to end it.
    asking: Database | None = None

    def is_local(self) -> bool:
        """All are SQLite: there is nobody but the disk to wait for, and no thread is needed that could be given up."""
        return self._has_only({_SQLITE})

    def is_alone(self) -> bool:
        """It uses no connection but those that it makes, and closes, itself."""
        return self._has_only(_PLAIN)

    def _has_only(self, engines: set[str]) -> bool:
        from django.db import connections

        configured = {database["ENGINE"] for database in connections.settings.values()}
        return type(self).ready is DatabaseProbe.ready and configured <= engines

    def ready(self, request: HttpRequest | None) -> None:
        """Raises NotReady if one does not."""
        from django.db import connections

        from .database import Database

        try:
            for alias in connections:
                with Database(alias) as database:
                    self.asking = database
                    database.ask()
        except Exception as error:
            raise NotReady(self.unavailable) from error
        finally:
            self.asking = None


class MigrationProbe(ReadinessProbe):
    """
    No migration is unapplied. It looks until that is so, once; for it imports every migration there is.

    For more databases than the default one, make a subclass with others.
    """

    unavailable = "db: could not look for unapplied migrations"
    #: The aliases of those to look at.
    databases: tuple[str, ...] = ("default",)

    def __init__(self) -> None:
        self._is_over = False

    def ready(self, request: HttpRequest | None) -> None:
        """Raises NotReady while there is one, or if that cannot be found out."""
        if self._is_over:
            return
        try:
            unapplied = [step for alias in self.databases for step in _unapplied(alias)]
        except Exception as error:
            raise NotReady(self.unavailable) from error
        if unapplied:
            raise NotReady("db: there are unapplied migrations")
        # Though it took longer than anybody waits, the next to ask finds this.
        self._is_over = True


def _unapplied(alias: str) -> list[object]:
    from django.db.migrations.executor import MigrationExecutor

    from .database import limited, shut

    connection = limited(alias)
    try:
        executor = MigrationExecutor(connection)
        return list(executor.migration_plan(executor.loader.graph.leaf_nodes()))
    finally:
        shut(connection)


class MemcachedProbe(ReadinessProbe):
    """Every server of every memcached cache answers, asked one by one without the cache's client."""

    unavailable = "cache: could not connect to cache"

    def is_local(self) -> bool:
        """No cache is memcached: there is nobody to wait for."""
        from .memcached import aliases

        try:
            return type(self).ready is MemcachedProbe.ready and not any(True for _ in aliases())
        except Exception:
            # Of one that cannot be imported nobody knows.
            return False

    def ready(self, request: HttpRequest | None) -> None:
        """Raises NotReady if one does not."""
        from .memcached import ask, servers

        try:
            for server in servers():
                ask(server)
        except Exception as error:
            raise NotReady(self.unavailable) from error


class RedisProbe(ReadinessProbe):
    """Every server of every Redis cache of Django's own backend answers a PING. Not among the default probes."""

    unavailable = "cache: could not connect to redis"

    def ready(self, request: HttpRequest | None) -> None:
        """Raises NotReady if one does not."""
        from django.core.cache import caches
        from django.core.cache.backends.redis import RedisCache

        try:
            for alias in caches:
                cache = caches.create_connection(alias)
                if isinstance(cache, RedisCache):
                    _ping(cache)
        except Exception as error:
            raise NotReady(self.unavailable) from error


def _ping(cache: object) -> None:
    from . import conf

    client = cache._cache  # type: ignore[attr-defined]
    limits = {"socket_connect_timeout": conf.timeout(), "socket_timeout": conf.timeout()}
    for url in client._servers:
        # A pool of our own: one that the application has used up says nothing of the server.
        pool = client._pool_class.from_url(url, **{**client._pool_options, **limits})
        try:
            client._client(connection_pool=pool).ping()
        finally:
            pool.disconnect()
