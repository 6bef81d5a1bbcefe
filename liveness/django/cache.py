"""The servers of the memcached and Redis caches in CACHES, and how to ask each of them."""

import re
import socket
import ssl
from collections.abc import Callable
from functools import partial
from typing import Any

from django.core.cache import caches
from django.utils.module_loading import import_string

from . import conf

Address = tuple[str, int] | str
#: A function that raises an exception if a server does not answer, and one for each name in the log.
Server = Callable[[], object]
Servers = dict[str, Server]

_TEXT = b"version\r\n", b"VERSION "
# The binary protocol, the only one that a server with SASL speaks. It answers this request without a login.
_BINARY = b"\x80\x0b" + bytes(22), b"\x81\x0b"


def memcached_servers() -> Servers:
    """Each memcached server. Raises ValueError for a bad LOCATION, ImportError for a bad BACKEND."""
    found: Servers = {}
    for alias, configured in caches.settings.items():
        if _is_a(configured, "django.core.cache.backends.memcached.BaseMemcachedCache"):
            options = configured.get("OPTIONS") or {}
            for location in _locations(configured):
                where, is_binary = address(location), bool(options.get("username"))
                found[f"{alias} {location}"] = partial(ask, where, options.get("tls_context"), is_binary)
    return found


def redis_servers() -> Servers:
    """Each Redis server, of Django's own backend or django-redis. Raises ImportError for a bad BACKEND."""
    found: Servers = {}
    for alias, configured in caches.settings.items():
        for backend, (pool_of, separators) in _POOLS.items():
            for index in range(len(_locations(configured, separators)) if _is_a(configured, backend) else 0):
                # Named by a number: the URL may contain a password.
                found[f"{alias} {index + 1}"] = partial(_ping, alias, index, pool_of)
    return found


def _is_a(configured: dict[str, Any], name: str) -> bool:
    # By name: the package of a backend that is not in use may not be installed.
    backend = import_string(configured["BACKEND"])
    return any(f"{parent.__module__}.{parent.__qualname__}" == name for parent in backend.__mro__)


def _locations(configured: dict[str, Any], separators: str = "[;,]") -> list[Any]:
    location = configured.get("LOCATION", "")
    return re.split(separators, location) if isinstance(location, str) else list(location)


def address(location: object) -> Address:
    """From a LOCATION: host:port, unix:/path, /path, host:port:weight, a pair. Raises ValueError for anything else."""
    if isinstance(location, (tuple, list)) and len(location) == 2:
        return str(location[0]), int(location[1])
    text = location.strip() if isinstance(location, str) else ""
    if text.startswith(("unix:", "/")):
        return text.removeprefix("unix:")
    found = re.fullmatch(r"(?:inet6?:)?(?:\[([^]]+)\]|([^:]+))(?::(\d+))?(?::\d+)?", text)
    if found is None:
        raise ValueError(f"not the location of a memcached: {location!r}")
    return found[1] or found[2], int(found[3] or 11211)


def ask(where: Address, tls: ssl.SSLContext | None = None, is_binary: bool = False) -> None:
    """Requests the version. Raises OSError unless a memcached server answers."""
    limit, received = conf.timeout(), b""
    request, answer = _BINARY if is_binary else _TEXT
    with socket.socket(socket.AF_UNIX) if isinstance(where, str) else socket.create_connection(where, limit) as plain:
        plain.settimeout(limit)
        if isinstance(where, str):
            plain.connect(where)
        with tls.wrap_socket(plain, server_hostname=where[0]) if tls else plain as connection:
            connection.sendall(request)
            while len(received) < len(answer) and (more := connection.recv(64)):
                received += more
    if not received.startswith(answer):
        raise OSError(f"{where}: not the answer of a memcached: {received!r}")


def _django_pool(alias: str, index: int) -> Any:
    configured = caches.settings[alias]
    options = {"pool_class": "redis.ConnectionPool", **(configured.get("OPTIONS") or {})}
    options.pop("serializer", None)
    for name in ("pool_class", "parser_class"):
        if isinstance(options.get(name), str):
            options[name] = import_string(options[name])
    return options.pop("pool_class").from_url(_locations(configured)[index], **options)


def _django_redis_pool(alias: str, index: int) -> Any:
    cache: Any = caches.create_connection(alias)
    made = cache.client.connect(index)
    # With shards it is a dictionary of the clients for all locations.
    return (list(made.values())[index] if isinstance(made, dict) else made).connection_pool


_POOLS = {
    "django.core.cache.backends.redis.RedisCache": (_django_pool, "[;,]"),
    "django_redis.cache.RedisCache": (_django_redis_pool, ","),
}


def _ping(alias: str, index: int, pool_of: Callable[[str, int], Any]) -> None:
    try:
        pool = pool_of(alias, index)
    except ValueError:
        # Without its text, which may contain a part of the password.
        text = f"CACHES: {alias!r}: LOCATION {index + 1} is not a valid URL (write # in a password as %23)"
        raise ValueError(text) from None
    limits = {"socket_connect_timeout": conf.timeout(), "socket_timeout": conf.timeout()}
    # A connection of its own: if the application has used up the pool, the server may still be well.
    connection = pool.connection_class(**{**pool.connection_kwargs, **limits})
    try:
        connection.connect()
        connection.send_command("PING")
        connection.read_response()
    finally:
        connection.disconnect()
