"""Caches: memcached with one of two servers down, on a socket, behind SASL and TLS; Redis. All of them real."""

from __future__ import annotations

import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import caches
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from services import Memcached, Redis, Silence
from stage import until

from liveness.django.cache import address, ask
from liveness.django.probes import MemcachedProbe, ReadinessProbe, RedisProbe
from liveness.django.readiness import Readiness

DOWN = "cache: could not connect to cache"
PLAIN = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
BACKENDS = ("PyMemcacheCache", "PyLibMCCache")


def caching(location: object, backend: str = "PyMemcacheCache", **options: Any) -> Any:
    configured = {
        "BACKEND": f"django.core.cache.backends.memcached.{backend}",
        "LOCATION": location,
        "OPTIONS": options,
    }
    return override_settings(CACHES={"default": PLAIN, "shared": configured})


def said(probe: ReadinessProbe | None = None) -> str:
    refusal = Readiness([probe or MemcachedProbe()]).ready()
    return "Ok" if refusal is None else refusal.content


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    if request.param == "PyLibMCCache":
        pytest.importorskip("pylibmc", reason="there is no pylibmc, which not every machine can build")
    return str(request.param)


def test_every_server_must_answer(memcached: Memcached, backend: str) -> None:
    with Memcached() as other:
        for location in ([memcached.location, other.location], f"{memcached.location};{other.location}"):
            with caching(location, backend):
                assert said() == "Ok"
                other.stop()
                assert said() == DOWN
                other.start()
                assert said() == "Ok"


def test_a_server_on_a_socket_is_asked(backend: str) -> None:
    with Memcached(on_socket=True) as server:
        with caching(server.location, backend):
            assert said() == "Ok"
        with caching(server.location + "x", backend):
            assert said() == DOWN


def test_a_server_that_hangs_is_given_up_in_time(memcached: Memcached) -> None:
    with caching(memcached.location):
        made = Readiness([MemcachedProbe()])
        assert made.ready() is None
        memcached.signal(signal.SIGSTOP)
        begin = time.monotonic()
        refusal = made.ready()
        assert refusal is not None
        assert refusal.content == DOWN
        assert time.monotonic() - begin < 1
        memcached.signal(signal.SIGCONT)
        until(lambda: made.ready() is None)


def test_where_one_must_log_in_the_binary_protocol_is_spoken() -> None:
    """A server with SASL speaks no other; of this one only the protocol is the same."""
    with Memcached("-B", "binary") as server:
        with caching(server.location, username="u", password="p"):
            assert said() == "Ok"
        with caching(server.location):
            assert said() == DOWN


def test_what_is_no_memcached_is_no_answer(redis: Redis, silence: Silence) -> None:
    for port in (redis.port, silence.port):
        with caching(f"127.0.0.1:{port}"):
            assert said() == DOWN


@pytest.fixture
def tls(memcached: Memcached, tmp_path: Path) -> Iterator[tuple[ssl.SSLContext, int]]:
    """A context, and a port where TLS ends before the server."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key", "-out", "cert", "-days", "9",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    with socket.create_server(("127.0.0.1", 0)) as outside:

        def pass_on() -> None:
            with (
                context.wrap_socket(outside.accept()[0], server_side=True) as client,
                socket.create_connection(("127.0.0.1", memcached.port)) as server,
            ):
                server.sendall(client.recv(100))
                client.sendall(server.recv(100))

        thread = threading.Thread(target=pass_on)
        thread.start()
        yield ssl.create_default_context(cafile=str(tmp_path / "cert")), outside.getsockname()[1]
        thread.join(20)


def test_a_server_behind_tls_is_asked(tls: tuple[ssl.SSLContext, int]) -> None:
    context, port = tls
    with caching(f"127.0.0.1:{port}", tls_context=context):
        assert said() == "Ok"


@pytest.mark.parametrize(
    ("location", "found"),
    [
        ("10.0.0.7:11212", ("10.0.0.7", 11212)),
        ("cache.example.org", ("cache.example.org", 11211)),
        (" cache:1 ", ("cache", 1)),
        ("cache:1:7", ("cache", 1)),
        ("[::1]:1", ("::1", 1)),
        ("inet6:[::1]:1", ("::1", 1)),
        (("cache", 1), ("cache", 1)),
        ("unix:/run/m.sock", "/run/m.sock"),
        ("/run/m.sock", "/run/m.sock"),
    ],
)
def test_a_location_is_read_as_the_clients_read_it(location: object, found: object) -> None:
    assert address(location) == found


@pytest.mark.parametrize("location", ["", "a b:c", 7, ("a",), "::1"])
def test_what_is_no_location_is_an_error(location: object) -> None:
    with pytest.raises(ValueError, match="not the location"):
        address(location)
    with caching([location]):
        assert said() == DOWN


def test_nobody_is_asked_where_there_is_no_memcached() -> None:
    for backend in ("locmem.LocMemCache", "redis.RedisCache", "db.DatabaseCache"):
        caches = {"default": {"BACKEND": f"django.core.cache.backends.{backend}", "LOCATION": "redis://127.0.0.1:1"}}
        with override_settings(CACHES=caches):
            made = Readiness([MemcachedProbe()])
            assert made.checks == []
            assert made.ready() is None


def test_a_backend_that_cannot_be_imported_is_not_ready() -> None:
    with override_settings(CACHES={"default": {"BACKEND": "no.such.Cache"}}):
        assert said() == DOWN


def test_an_answer_that_ends_early_is_none(silence: Silence) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            with server.accept()[0] as client:
                client.recv(100)

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(OSError, match="not the answer of a memcached"):
            ask(server.getsockname())
        thread.join()


DJANGO, DJANGO_REDIS = "django.core.cache.backends.redis.RedisCache", "django_redis.cache.RedisCache"
REDIS_DOWN = "cache: could not connect to redis"

each_redis_backend = pytest.mark.parametrize("backend", [DJANGO, DJANGO_REDIS])


def redis_caching(backend: str, *locations: str, **options: Any) -> Any:
    return override_settings(
        CACHES={"default": {"BACKEND": backend, "LOCATION": list(locations), "OPTIONS": options}, "plain": PLAIN}
    )


@each_redis_backend
def test_every_redis_is_asked_by_a_probe_that_is_not_among_the_defaults(redis: Redis, backend: str) -> None:
    with Redis(password="secret") as other:
        with redis_caching(backend, redis.location, other.location):
            assert said(RedisProbe()) == "Ok"
            other.stop()
            assert said(RedisProbe()) == REDIS_DOWN
            assert said() == "Ok"
        other.start()
        with redis_caching(backend, other.location.replace("secret", "wrong")):
            assert said(RedisProbe()) == REDIS_DOWN


def test_the_options_of_a_redis_cache_are_those_of_the_probe() -> None:
    with Redis(password="secret") as server:
        plain = server.location.replace(":secret@", "")
        pool = {"pool_class": "redis.BlockingConnectionPool", "timeout": 20, "max_connections": 1}
        parser = {"parser_class": "redis.connection.DefaultParser", "serializer": "no.such.Serializer"}
        cases: list[tuple[str, dict[str, Any]]] = [
            (DJANGO, {"password": "secret", **pool, **parser}),
            (DJANGO_REDIS, {"PASSWORD": "secret", "CONNECTION_POOL_KWARGS": {"max_connections": 1}}),
            (DJANGO_REDIS, {"PASSWORD": "secret", "CLIENT_CLASS": "django_redis.client.ShardClient"}),
        ]
        for number, (backend, options) in enumerate(cases):
            # django-redis keeps a pool for each URL, with the options that it saw first.
            with redis_caching(backend, f"{plain[:-1]}{2 * number}", **options):
                assert said(RedisProbe()) == "Ok"
            with redis_caching(backend, f"{plain[:-1]}{2 * number + 1}"):
                assert said(RedisProbe()) == REDIS_DOWN


def test_a_semicolon_in_a_password_is_no_separator_for_django_redis() -> None:
    with Redis(password="se;cret") as server:
        configured = {"BACKEND": DJANGO_REDIS, "LOCATION": f"{server.location},{server.location}"}
        with override_settings(CACHES={"default": configured}):
            made = Readiness([RedisProbe()])
            assert [check.name for check in made.checks] == ["RedisProbe (default 1)", "RedisProbe (default 2)"]
            assert made.ready() is None


def test_a_pool_that_the_application_has_used_up_says_nothing_of_redis(redis: Redis) -> None:
    with redis_caching(DJANGO_REDIS, redis.location, CONNECTION_POOL_KWARGS={"max_connections": 1}):
        cache: Any = caches["default"]
        pool = cache.client.get_client().connection_pool
        used = pool.get_connection()
        assert said(RedisProbe()) == "Ok"
        pool.release(used)


@each_redis_backend
def test_a_redis_that_hangs_is_given_up_in_time(redis: Redis, backend: str) -> None:
    with redis_caching(backend, redis.location):
        redis.signal(signal.SIGSTOP)
        begin = time.monotonic()
        assert said(RedisProbe()) == REDIS_DOWN
        assert time.monotonic() - begin < 1
        redis.signal(signal.SIGCONT)


def test_a_redis_probe_with_no_redis_to_ask_is_refused_at_the_start() -> None:
    with override_settings(CACHES={"default": PLAIN}), pytest.raises(ImproperlyConfigured, match="no Redis cache"):
        Readiness([RedisProbe()])


@each_redis_backend
def test_a_url_that_cannot_be_parsed_puts_nothing_of_its_password_into_the_log(
    redis: Redis, backend: str, caplog: pytest.LogCaptureFixture
) -> None:
    with redis_caching(backend, redis.location.replace("redis://", "redis://:hunter2#secret@")):
        assert said(RedisProbe()) == REDIS_DOWN
    (line,) = caplog.messages
    assert "'default': LOCATION 1 is not a valid URL" in line
    assert "hunter2" not in caplog.text
