"""The readiness probes, and how a probe reports that the application is not ready."""

import abc
from collections.abc import Iterable
from contextlib import suppress
from functools import partial

from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.http import HttpRequest, HttpResponse

from .. import endpoint
from .cache import Servers, memcached_servers, redis_servers
from .database import has_database, query_alias, require


class NotReady(Exception):
    """The application cannot serve requests now. Has the text and the HTTP status of the response."""

    # For a subclass that does not call our __init__.
    content: str = "Not ready"
    status: int = endpoint.UNAVAILABLE

    def __init__(self, content: str = "Not ready", status: int = endpoint.UNAVAILABLE) -> None:
        super().__init__(content)
        self.content = content
        self.status = status

    def response(self) -> HttpResponse:
        """The response to an HTTP probe. An invalid status becomes 503, an invalid text "Not ready"."""
        # A mistake in a refusal must not become a traceback.
        with suppress(Exception):
            # No client takes a status below 200 for a final response.
            if int(self.status) >= 200:
                return _response(self.content, self.status)
        return _response(self.content if isinstance(self.content, (str, bytes)) else "Not ready", endpoint.UNAVAILABLE)


def answer(refusal: NotReady | None) -> HttpResponse:
    """The response to an HTTP probe: 200 and Ok, or what the refusal says."""
    return HttpResponse(b"Ok", headers=_HEADERS | {"Content-Length": "2"}) if refusal is None else refusal.response()


# The cache middleware of Django before 5.2.15 caches a response that has "no-store" alone.
_HEADERS = {"Content-Type": "text/plain", "Cache-Control": endpoint.CACHE_CONTROL}


def _response(text: object, status: int) -> HttpResponse:
    content = text if isinstance(text, bytes) else str(text).encode("utf-8", "replace")
    response = HttpResponse(content, status=int(status), headers=_HEADERS | {"Content-Length": str(len(content))})
    # Else Django logs each 5xx as an error of the request, and mails it. Ours is logged when the state changes.
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response


class ReadinessProbe(abc.ABC):
    """
    One condition for taking requests. One instance serves the whole process, and never runs twice at the same time.

    It runs in a thread whose connections to databases and caches are its own, and are closed at its end.
    """

    #: The text of the response if the probe raises anything but NotReady, or does not finish in time.
    unavailable = "Not ready"
    #: If False, a failure is logged as degraded, and the application stays ready.
    critical = True

    @abc.abstractmethod
    def ready(self, request: HttpRequest | None) -> object:
        """Raises NotReady. What it returns is ignored. ``request`` is None in a command and in a Monitor."""


class ServersProbe(ReadinessProbe):
    """Asks several servers, at the same time unless a subclass overrides ``ready``."""

    @abc.abstractmethod
    def servers(self) -> Servers:
        """The servers, read once. Raises ImproperlyConfigured for wrong settings."""

    def ready(self, request: HttpRequest | None) -> None:
        """Asks one server after the other. Raises NotReady if one does not answer."""
        try:
            for ask in self.servers().values():
                ask()
        except Exception as error:
            raise NotReady(self.unavailable) from error


class DatabaseProbe(ServersProbe):
    """Each database takes a new connection, and answers a query. Aliases without a database are skipped."""

    unavailable = "db: could not connect to database"
    #: The aliases of the databases. Default: all.
    databases: Iterable[str] | None = None

    def servers(self) -> Servers:
        """Raises ImproperlyConfigured if ``databases`` contains an alias without a database."""
        named = filter(has_database, connections) if self.databases is None else self.databases
        return {alias: partial(query_alias, alias) for alias in require(named, f"{type(self).__name__}.databases")}


class MigrationProbe(ReadinessProbe):
    """No migration is unapplied. After it has passed once it does not look again: it imports every migration."""

    unavailable = "db: could not look for unapplied migrations"
    #: The aliases of the databases.
    databases: Iterable[str] = ("default",)

    def __init__(self) -> None:
        """Raises ImproperlyConfigured if ``databases`` contains an alias without a database."""
        self._aliases = require(self.databases, f"{type(self).__name__}.databases")
        self._has_passed = False

    def ready(self, request: HttpRequest | None) -> None:
        """Raises NotReady if a migration is unapplied, or if that cannot be found out."""
        if self._has_passed:
            return
        from django.db.migrations.executor import MigrationExecutor

        try:
            executors = [MigrationExecutor(connections[alias]) for alias in self._aliases]
            unapplied = [executor.migration_plan(executor.loader.graph.leaf_nodes()) for executor in executors]
        except Exception as error:
            raise NotReady(self.unavailable) from error
        if any(unapplied):
            raise NotReady("db: there are unapplied migrations")
        # Even if this run has taken too long, the next one passes at once.
        self._has_passed = True


class MemcachedProbe(ServersProbe):
    """Each server of each memcached cache answers. It is asked without the client of the cache."""

    unavailable = "cache: could not connect to cache"

    def servers(self) -> Servers:
        """Empty in a project without memcached."""
        return memcached_servers()


class RedisProbe(ServersProbe):
    """Each server of each Redis cache, of Django or django-redis, answers a PING. Not among the default probes."""

    unavailable = "cache: could not connect to redis"

    def servers(self) -> Servers:
        """Raises ImproperlyConfigured in a project without a Redis cache."""
        found = redis_servers()
        if not found:
            raise ImproperlyConfigured("RedisProbe: CACHES has no Redis cache (remove it from DJK8S_READINESS_PROBES)")
        return found
