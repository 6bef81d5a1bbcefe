"""What would give a wrong answer for ever: pools and forks, coroutines and restarts, answers that never come."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import django.db
import pytest
from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory, override_settings
from judge import Judge
from project import Project
from services import Postgres, Silence
from stage import until
from web import GUNICORN, Kubelet

from liveness import Unit, endpoint
from liveness.django import middleware, monitor, readiness
from liveness.django.probes import DatabaseProbe, NotReady, ReadinessProbe

PROBES = """
from liveness.django.probes import NotReady, ReadinessProbe

class Orm(ReadinessProbe):
    def ready(self, request):
        from django.contrib.contenttypes.models import ContentType
        ContentType.objects.count()

class Async(ReadinessProbe):
    async def ready(self, request):
        from django.contrib.contenttypes.models import ContentType
        await ContentType.objects.acount()
"""
INSTALLED = ["django.contrib.contenttypes", "liveness.django"]


# Connections and processes


def test_a_probe_of_ones_own_opens_no_pool_of_the_process(postgres: Postgres, tmp_path: Path) -> None:
    pytest.importorskip("psycopg_pool", reason="there is no psycopg_pool")
    pooled = postgres.configured(OPTIONS={"pool": {"min_size": 1, "max_size": 2}})
    project = Project(tmp_path, pooled, INSTALLED_APPS=INSTALLED, DJK8S_READINESS_PROBES=["probes.Orm"])
    project.write("probes.py", PROBES)
    assert project.manage("migrate").returncode == 0
    project.write(
        "ask.py",
        "import django; django.setup()\n"
        "from django.db import connection\n"
        "from liveness.django import readiness\n"
        "assert readiness.current().ready() is None\n"
        "print(len(connection._connection_pools))\n",
    )
    asked = project.start("ask.py", DJANGO_SETTINGS_MODULE="settings")
    assert asked.communicate(timeout=60)[0] == "0\n"


def test_a_database_without_its_driver_is_no_matter_of_who_does_not_ask_it(databases: Callable[..., Any]) -> None:
    class Elsewhere(ReadinessProbe):
        def ready(self, request: HttpRequest | None) -> None:
            with django.db.connections["default"].cursor() as cursor:
                cursor.execute("SELECT 1")

    sqlite = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
    databases(default=sqlite, other={"ENGINE": "no.such.backend", "NAME": "x"})
    assert readiness.Readiness([Elsewhere()]).ready() is None
    assert readiness.Readiness([DatabaseProbe()]).ready() is not None


@pytest.mark.parametrize("kind", ["gunicorn", "uvicorn"])
def test_an_async_probe_is_ready_again_after_a_restart_of_the_database(
    postgres: Postgres, tmp_path: Path, kind: str
) -> None:
    project = Project(
        tmp_path, postgres.configured(), INSTALLED_APPS=INSTALLED, DJK8S_READINESS_PROBES=["probes.Async"]
    )
    project.write("probes.py", PROBES)
    assert project.manage("migrate").returncode == 0
    with project.serve(kind) as server:
        for _ in range(2):
            until(lambda: server.get("/readyz").status == 200)
            until(lambda: postgres.sessions() == 0)
            postgres.stop()
            assert server.get("/readyz").status == 503
            postgres.start()
        until(lambda: server.get("/readyz").status == 200)


class Threaded(ReadinessProbe):
    """Does what the asynchronous ORM does: it works in a thread."""

    async def ready(self, request: HttpRequest | None) -> None:
        await sync_to_async(threading.get_ident)()


def test_an_async_probe_is_ready_in_a_child_that_was_forked_after_it_was_asked() -> None:
    async def process_wide() -> None:
        await sync_to_async(threading.get_ident)()

    # The executor of the process has a thread from here on, which no child has.
    asyncio.run(process_wide())
    assert readiness.Readiness([Threaded()]).ready() is None
    child = os.fork()
    if not child:
        os._exit(0 if readiness.Readiness([Threaded()]).ready() is None else 1)
    assert os.waitpid(child, 0)[1] == 0


class Swallow:
    """Between a database and who asks it: passes everything on, but for a while keeps each SELECT 1 to itself."""

    def __init__(self, port: int) -> None:
        self._to = port
        self.is_on = True
        self.swallowed = 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._connections: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._begin(self._serve)

    def _begin(self, what: Callable[..., None], *arguments: socket.socket) -> None:
        thread = threading.Thread(target=what, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _serve(self) -> None:
        while True:
            try:
                one, _ = self._server.accept()
            except OSError:
                return
            other = socket.create_connection(("127.0.0.1", self._to))
            self._connections += [one, other]
            self._begin(self._pass, one, other)
            self._begin(self._pass, other, one)

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                if self.is_on and b"SELECT 1" in data:
                    self.swallowed += 1
                    continue
                target.sendall(data)
        except OSError:
            pass
        end(target)

    def close(self) -> None:
        end(self._server)
        self._server.close()
        for connection in self._connections:
            end(connection)
        for thread in self._threads:
            thread.join(20)
        for connection in self._connections:
            connection.close()


def end(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


@pytest.fixture
def swallow(postgres: Postgres) -> Iterator[Swallow]:
    made = Swallow(postgres.configured()["PORT"])
    yield made
    made.close()


def test_a_question_that_is_never_answered_is_asked_again(
    swallow: Swallow, postgres: Postgres, databases: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "LIMIT", 1.0)
    databases(default=postgres.configured(PORT=swallow.port))
    made = readiness.Readiness([DatabaseProbe()])
    assert made.ready() is not None
    assert swallow.swallowed == 1
    swallow.is_on = False
    until(lambda: made.ready() is None)


def test_a_question_of_a_probe_of_ones_own_that_is_never_answered_is_asked_again(
    swallow: Swallow, postgres: Postgres, databases: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Own(ReadinessProbe):
        def ready(self, request: HttpRequest | None) -> None:
            with django.db.connections["default"].cursor() as cursor:
                cursor.execute("SELECT 1")

    monkeypatch.setattr(readiness, "LIMIT", 1.0)
    databases(default=postgres.configured(PORT=swallow.port))
    made = readiness.Readiness([Own()])
    assert made.ready() is not None
    swallow.is_on = False
    until(lambda: made.ready() is None)


def test_a_database_that_never_answers_holds_up_nobody_in_a_gevent_worker(
    swallow: Swallow, postgres: Postgres, tmp_path: Path
) -> None:
    """All its requests share one thread, which nothing may keep: not libpq, which would wait by itself."""
    project = Project(tmp_path, postgres.configured(PORT=swallow.port))
    with project.serve(command=[*GUNICORN, "--worker-class", "gevent", "app:app"]) as server:
        kubelet = Kubelet(server.port, ["/livez", "/readyz"], period=0.2, timeout=5)
        until(lambda: swallow.swallowed and len(kubelet.probes["/readyz"]) > 5)
        probes = kubelet.end()
        assert [probe for probe in probes["/livez"] if not probe.passed] == []
        assert [probe for probe in probes["/readyz"] if probe.passed] == []
        swallow.is_on = False
        until(lambda: server.get("/readyz").status == 200)


TICKS = """
import threading, time
import django
django.setup()
from liveness.django.database import new_connection, query

def ask():
    try:
        query(new_connection("default"))
    except Exception as error:
        print("ended:", error)

thread = threading.Thread(target=ask)
begin = last = time.monotonic()
thread.start()
gap = 0
while thread.is_alive():
    time.sleep(0.01)
    gap, last = max(gap, time.monotonic() - last), time.monotonic()
print(last - begin > 2.5, gap < 2, gap)
"""


def test_a_name_server_that_never_answers_holds_up_no_other_thread(postgres: Postgres, tmp_path: Path) -> None:
    private = ["unshare", "--mount", "--propagation", "private"]
    if os.geteuid() or subprocess.run([*private, "true"], check=False).returncode:
        pytest.skip("only root has mounts of its own")
    project = Project(tmp_path, postgres.configured(HOST="db.shop.invalid"))
    project.write("ticks.py", TICKS)
    address = f"127.{os.getpid() >> 8 & 255}.{os.getpid() & 255}.9"
    project.write("resolv.conf", f"nameserver {address}\noptions timeout:3 attempts:1\n")
    program = 'mount --bind resolv.conf /etc/resolv.conf && exec "$@"'
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind((address, 53))
        done = subprocess.run(
            [*private, "sh", "-c", program, "sh", sys.executable, "ticks.py"],
            cwd=tmp_path, env=project.environment(DJANGO_SETTINGS_MODULE="settings"),
            stdout=subprocess.PIPE, timeout=60, text=True, check=True,
        )  # fmt: skip
    assert "True True" in done.stdout, done.stdout
    assert "ended:" in done.stdout


def test_what_was_slow_once_is_waited_for_by_the_next_probe_of_a_kubelet() -> None:
    # The period of the readiness probe in examples/django, and of most.
    assert endpoint.TIMEOUT_TTL < 5


# What the application sets up on its connections


@pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning")
def test_a_connection_that_the_application_could_not_set_up_is_none(
    postgres: Postgres, databases: Callable[..., Any], tmp_path: Path
) -> None:
    made = readiness.Readiness([DatabaseProbe()])
    databases(default=postgres.configured(OPTIONS={"assume_role": "no_such_role"}))
    assert made.ready() is not None
    file = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "db")}
    for command, is_ready in (("PRAGMA nonsense(", False), ("PRAGMA journal_mode=wal;", True)):
        databases(default={**file, "OPTIONS": {"init_command": command}})
        assert (made.ready() is None) is is_ready
    # Django drops a SQLite connection whose init_command fails without closing it. Python 3.13 warns of that: here, and
    # not in the next test.
    gc.collect()


# A Monitor


def test_a_unit_is_not_ready_before_its_database_was_asked(
    silence: Silence, databases: Callable[..., Any], rundir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIVENESS_RUNDIR", str(rundir))
    databases(default=silence.configured())
    judge = Judge(rundir)
    started: list[Any] = []
    thread = threading.Thread(target=lambda: started.append(monitor.start(60, unit="u")))
    thread.start()
    said = set()
    while thread.is_alive():
        said.add(judge.python("u", "ready").partition(" (")[0].partition(":")[0])
    thread.join()
    try:
        assert said <= {"not loaded", "not set", "not ready"}
        until(lambda: judge("u", "ready") == "not ready: DatabaseProbe (default) timed out (monitor)")
        assert judge("u").startswith("healthy")
    finally:
        started[0].stop()
        started[0].unit.reset()


def test_a_unit_that_was_loaded_is_declared_healthy_if_told_and_an_alarm_stands(
    rundir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIVENESS_RUNDIR", str(rundir))
    judge = Judge(rundir)
    unit = Unit("u")
    unit.load([])
    for declare, said in ((False, "not set"), (True, "healthy")):
        made = monitor.start(60, unit=unit, declare=declare)
        assert made is not None
        assert judge("u").startswith(said)
        made.stop()
    unit.set(7, "queue lost")
    made = monitor.start(60, unit=unit, declare=True)
    assert made is not None
    assert judge("u") == "error 7: queue lost"
    made.stop()
    unit.reset()


def test_starts_at_once_and_by_turns_are_one(
    rundir: Path, silence: Silence, databases: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIVENESS_RUNDIR", str(rundir))
    # So that each of them waits in the middle.
    databases(default=silence.configured())
    with ThreadPoolExecutor(4) as many:
        found = set(many.map(lambda _: monitor.start(60, unit="u"), range(4)))
    (one,) = found
    other = monitor.start(60, unit="v")
    assert monitor.start(60, unit="u") is one
    assert monitor.start(60, unit="v") is other
    for made in (one, other):
        assert made is not None
        made.stop()
        made.unit.reset()


def test_in_an_app_config_a_rundir_that_cannot_be_written_ends_no_program(tmp_path: Path) -> None:
    project = Project(tmp_path, INSTALLED_APPS=["shop.apps.Shop", "liveness.django"])
    (tmp_path / "shop").mkdir()
    project.write("shop/__init__.py", "")
    project.write(
        "shop/apps.py",
        "from django.apps import AppConfig\n"
        "class Shop(AppConfig):\n"
        "    name = 'shop'\n"
        "    def ready(self):\n"
        "        from liveness.django import monitor\n"
        "        monitor.start()\n",
    )
    project.write("any.py", "import django; django.setup(); print('goes on')")
    ran = project.start("any.py", DJANGO_SETTINGS_MODULE="settings", LIVENESS_RUNDIR="/proc/nowhere")
    said = ran.communicate(timeout=60)[0]
    assert said.endswith("goes on\n")
    assert "no Monitor was started: /proc/nowhere" in said


# Views, loops, refusals


def test_the_views_need_neither_a_login_nor_a_transaction(tmp_path: Path, silence: Silence) -> None:
    middlewares = [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.auth.middleware.LoginRequiredMiddleware",
    ]
    project = Project(
        tmp_path,
        {**silence.configured(), "ATOMIC_REQUESTS": True},
        urls="from django.urls import include, path\nurlpatterns = [path('', include('liveness.django.urls'))]\n",
        MIDDLEWARE=middlewares,
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
        SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    )
    with project.serve() as server:
        assert server.get("/livez", timeout=5).status == 200
        assert server.get("/readyz", timeout=5).status == 503


def test_a_loop_whose_threads_all_hang_answers(silence: Silence) -> None:
    async def passed_on(request: HttpRequest) -> HttpResponse:
        return HttpResponse("passed on")

    async def ask() -> int:
        loop = asyncio.get_running_loop()
        gate = threading.Event()
        with ThreadPoolExecutor(1) as only:
            loop.set_default_executor(only)
            hanging = loop.run_in_executor(None, gate.wait, 60)
            try:
                made = middleware.ProbeMiddleware(passed_on)
                answer = await asyncio.wait_for(made(RequestFactory().get("/readyz")), 20)
            finally:
                gate.set()
                await hanging
        return int(answer.status_code)

    with override_settings(DJK8S_READINESS_PROBES=[Refuses]):
        assert asyncio.run(ask()) == 503


class Refuses(ReadinessProbe):
    def ready(self, request: HttpRequest | None) -> None:
        raise NotReady("no")


class Silent(NotReady):
    def __init__(self) -> None:
        pass


class Odd:
    def __str__(self) -> str:
        raise ValueError("no text")


@pytest.mark.parametrize(
    "refusal",
    [Silent(), NotReady(status=float("inf")), NotReady(status=100), NotReady(Odd())],  # type: ignore[arg-type]
    ids=["no init", "infinite", "no answer", "no text"],
)
def test_a_refusal_that_is_none_is_an_answer_all_the_same(refusal: NotReady) -> None:
    answer = refusal.response()
    assert (answer.status_code, answer.content) == (503, b"Not ready")


def test_a_child_that_was_forked_has_a_thread_of_its_own_for_the_loop() -> None:
    async def passed_on(request: HttpRequest) -> HttpResponse:
        return HttpResponse("passed on")

    def ask() -> int:
        made = middleware.ProbeMiddleware(passed_on)
        request = RequestFactory().get("/readyz")
        return int(asyncio.run(asyncio.wait_for(made(request), 20)).status_code)

    with override_settings(DJK8S_READINESS_PROBES=[Refuses]):
        assert ask() == 503
        child = os.fork()
        if not child:
            os._exit(0 if ask() == 503 else 1)
        begin = time.monotonic()
        _, status = os.waitpid(child, 0)
    assert status == 0
    assert time.monotonic() - begin < 20
