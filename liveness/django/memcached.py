"""The servers of memcached caches, and how to ask one."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator
from typing import Any, NamedTuple

from django.core.cache import caches
from django.core.cache.backends.memcached import BaseMemcachedCache
from django.utils.module_loading import import_string

from . import conf

PORT = 11211
_TEXT = b"version\r\n", b"VERSION "
# Of the binary protocol, all that a server with SASL speaks; this one it answers to who has not logged in, too.
_BINARY = b"\x80\x0b" + bytes(22), b"\x81\x0b"


class Server(NamedTuple):
    """Where it is, and how it is spoken to."""

    #: Host and port, or the path of a socket.
    address: tuple[str, int] | str
    tls: ssl.SSLContext | None = None
    is_binary: bool = False


def aliases() -> Iterator[str]:
    """The caches that are memcached. Raises ImportError for a backend that cannot be imported."""
    for alias, configured in caches.settings.items():
        # By the class: to make every cache there is takes longer than the question.
        if issubclass(import_string(configured["BACKEND"]), BaseMemcachedCache):
            yield alias


def servers() -> Iterator[Server]:
    """All of them. Raises what a cache raises that cannot be made."""
    for alias in aliases():
        # Not one of this thread's list: to close it would first make a client.
        cache: Any = caches.create_connection(alias)
        options = cache._options
        for location in cache._servers:
            yield Server(address(location), options.get("tls_context"), bool(options.get("username")))


def address(location: object) -> tuple[str, int] | str:
    """
    That of a LOCATION, as the two client libraries write it: host:port, unix:/path, /path, host:port:weight.

    Raises ValueError for anything else.
    """
    if isinstance(location, (tuple, list)) and len(location) == 2:
        return str(location[0]), int(location[1])
    if not isinstance(location, str):
        raise ValueError(f"not the location of a memcached: {location!r}")
    text = location.strip()
    if text.startswith(("unix:", "/")):
        return text.removeprefix("unix:")
    found = re.fullmatch(r"(?:inet6?:)?(?:\[([^]]+)\]|([^:]+))(?::(\d+))?(?::\d+)?", text)
    if found is None:
        raise ValueError(f"not the location of a memcached: {location!r}")
    return found[1] or found[2], int(found[3] or PORT)


def ask(server: Server) -> None:
    """Asks for the version. Raises OSError if there is no answer, or one that is none of a memcached."""
    question, answer = _BINARY if server.is_binary else _TEXT
    with _connected(server) as connection:
        connection.sendall(question)
        said = b""
        while len(said) < len(answer):
            more = connection.recv(64)
            if not more:
                break
            said += more
    if not said.startswith(answer):
        raise OSError(f"{server.address}: not the answer of a memcached: {said!r}")


def _connected(server: Server) -> socket.socket:
    limit = conf.timeout()
    if isinstance(server.address, str):
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.settimeout(limit)
            connection.connect(server.address)
        except BaseException:
            connection.close()
            raise
        return connection
    connection = socket.create_connection(server.address, limit)
    if server.tls is None:
        return connection
    try:
        return server.tls.wrap_socket(connection, server_hostname=server.address[0])
    except BaseException:
        connection.close()
        raise
