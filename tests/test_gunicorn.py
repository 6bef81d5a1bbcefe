"""gunicorn with the hooks: what gunicorn replaces restarts nothing, and what it does not replace is found."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from judge import Judge
from manual import example
from stage import ROOT, kill_session, until, uptime
from web import free_port, request

#: How each kind of worker is chosen. The last class is that of uvicorn.
KINDS = {
    "sync": "worker_class = 'sync'",
    "gthread": "worker_class = 'gthread'\nthreads = 2",
    "gevent": "worker_class = 'gevent'",
    "uvicorn": "worker_class = 'uvicorn_worker.UvicornWorker'",
}
APP = """
import asyncio, os, pathlib, time
while pathlib.Path("slow").exists():
    time.sleep(0.05)
if pathlib.Path("alarm").exists():
    import liveness
    liveness.set(7, "queue lost")

def answer(path):
    if path == "/hang":
        time.sleep(600)
    return str(os.getpid()).encode()

def wsgi(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [answer(environ["PATH_INFO"])]

async def asgi(scope, receive, send):
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": answer(scope["path"])})
"""
CONFIGURATION = """
import liveness.gunicorn
from liveness.gunicorn import *
bind = "127.0.0.1:{port}"
workers = 2
timeout = 2
graceful_timeout = 2
control_socket_disable = True
liveness.gunicorn.ttl = 5
"""


class Gunicorn:
    """A master with its workers, in a folder with its configuration and application."""

    def __init__(self, folder: Path, rundir: Path) -> None:
        self.folder = folder
        self.rundir = rundir
        self.port = free_port()
        self.beat = rundir / "u" / "beat"
        self.log = folder / "log"
        self.started: set[int] = set()
        (folder / "app.py").write_text(APP)

    def configure(self, kind: str = "sync", more: str = "") -> None:
        text = CONFIGURATION.format(port=self.port) + f"{KINDS[kind]}\n{more}\n"
        (self.folder / "gunicorn.conf.py").write_text(text)

    def start(self, kind: str = "sync", more: str = "") -> subprocess.Popen[bytes]:
        self.configure(kind, more)
        with self.log.open("ab") as log:
            self.master = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", "app:asgi" if kind == "uvicorn" else "app:wsgi"],
                cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env={
                    **os.environ, "LIVENESS_RUNDIR": str(self.rundir), "LIVENESS_UNIT_NAME": "u",
                    "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1",
                },
            )  # fmt: skip
        return self.master

    def workers(self) -> list[int]:
        """Those that have a heartbeat."""
        names = os.listdir(self.beat) if self.beat.exists() else []
        return sorted(int(name.removeprefix("worker.")) for name in names if name.startswith("worker."))

    def is_up(self, count: int = 2) -> bool:
        assert self.master.poll() is None, self.log.read_text()
        return len(self.workers()) == count

    def expectation(self) -> list[str]:
        """Its fields. Nothing for the moment between an expectation and the next."""
        try:
            return (self.rundir / "u" / "expect" / "worker").read_text().split()
        except FileNotFoundError:
            return []

    def expects(self, count: int) -> bool:
        return self.expectation()[-1:] == [str(count)]

    def is_settled(self) -> bool:
        """Whether the time in which the workers must have started is over."""
        at, within = [*self.expectation(), "0", "0"][:2]
        return at != "0" and uptime() > int(at) + int(within) + 1

    def get(self, path: str = "/") -> int:
        return int(request(self.port, path).text)

    def end(self) -> None:
        kill_session(self.master)


class Watch:
    """Asks for the verdict all the time, and notes for how long at a stretch it was not healthy."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._ended = threading.Event()
        self.longest = 0.0
        self.said: set[str] = set()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def _look(self) -> None:
        begin = None
        while not self._ended.is_set():
            said = self._judge.python()
            if said.startswith("healthy"):
                begin = None
            else:
                begin = begin or time.monotonic()
                self.said.add(said)
                self.longest = max(self.longest, time.monotonic() - begin)
            time.sleep(0.02)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        # Between the death of a worker and the moment in which the master learns of it, a probe may fail; the kubelet
        # restarts a container after several failures, ten seconds apart.
        assert self.longest < 2, self.said


@pytest.fixture
def server(tmp_path: Path, rundir: Path) -> Iterator[Gunicorn]:
    made = Gunicorn(tmp_path, rundir)
    yield made
    made.end()


each_kind = pytest.mark.parametrize("kind", KINDS)


@each_kind
def test_idle_workers_of_each_kind_beat_from_their_loop(server: Gunicorn, judge: Judge, kind: str) -> None:
    server.start(kind)
    until(server.is_up)
    assert judge() == f"healthy: process {server.master.pid}, error 0, fresh heartbeats: 2"
    first = {pid: (server.beat / f"worker.{pid}").read_text() for pid in server.workers()}
    with Watch(judge):
        until(lambda: all((server.beat / f"worker.{pid}").read_text() != first[pid] for pid in first))
    assert judge(mode="ready").startswith("healthy")
    server.master.terminate()
    assert server.master.wait(20) == 0
    assert judge().startswith("not loaded")


@each_kind
def test_a_hung_worker_that_gunicorn_kills_and_replaces_restarts_nothing(
    server: Gunicorn, judge: Judge, kind: str
) -> None:
    server.start(kind)
    until(server.is_up)
    hung, _ = server.workers()
    with Watch(judge):
        os.kill(hung, signal.SIGSTOP)
        until(lambda: hung not in server.workers() and server.is_up())
    assert judge().startswith("healthy")


# In a thread, and in gevent's patched sleep, a request does not block the loop.
@pytest.mark.parametrize("kind", ["sync", "uvicorn"])
def test_a_request_that_blocks_the_loop_restarts_nothing(server: Gunicorn, judge: Judge, kind: str) -> None:
    server.start(kind, "workers = 1")
    until(lambda: server.is_up(1))
    (before,) = server.workers()

    def ask() -> None:
        with suppress(OSError, ValueError):
            server.get("/hang")

    with Watch(judge):
        client = threading.Thread(target=ask, daemon=True)
        client.start()
        until(lambda: before not in server.workers() and server.is_up(1))
        client.join(20)


def test_workers_that_hang_and_are_not_replaced_are_found(server: Gunicorn, judge: Judge) -> None:
    server.start("sync")
    until(server.is_up)
    for pid in (server.master.pid, *server.workers()):
        os.kill(pid, signal.SIGSTOP)
    until(lambda: re.match(r"no heartbeat 'worker.\d+' for \d s \(limit 5 s\)", judge.python()))


def test_workers_that_never_come_up_are_never_healthy(server: Gunicorn, judge: Judge, tmp_path: Path) -> None:
    (tmp_path / "slow").touch()
    server.start("sync", "liveness.gunicorn.boot_time = 3")
    until(lambda: judge.python().startswith("not set"))
    (tmp_path / "slow").unlink()
    until(lambda: judge.python().startswith("healthy") and server.is_up())


def test_workers_that_are_replaced_and_never_come_up_again_are_found(
    server: Gunicorn, judge: Judge, tmp_path: Path
) -> None:
    server.start("sync", "liveness.gunicorn.boot_time = 3")
    until(server.is_up)
    until(server.is_settled)
    assert judge().startswith("healthy")
    (tmp_path / "slow").touch()
    begin = time.monotonic()
    for pid in server.workers():
        os.kill(pid, signal.SIGKILL)
    until(lambda: judge.python() == "0 of 2 'worker' heartbeats")
    assert time.monotonic() - begin > 2
    # Workers that end while they start do not renew the time.
    before = set(children(server))
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    until(lambda: not before & set(children(server)) and len(children(server)) == 2)
    assert judge() == "0 of 2 'worker' heartbeats"
    (tmp_path / "slow").unlink()
    until(lambda: judge.python().startswith("healthy"))


def test_a_killed_only_worker_has_time_to_be_replaced(server: Gunicorn, judge: Judge, tmp_path: Path) -> None:
    server.start("sync", "workers = 1\nliveness.gunicorn.boot_time = 6")
    until(lambda: server.is_up(1))
    until(server.is_settled)
    (tmp_path / "slow").touch()
    with Watch(judge):
        begin = time.monotonic()
        os.kill(server.workers()[0], signal.SIGKILL)
        # Longer than what a Watch lets pass.
        until(lambda: time.monotonic() - begin > 3)
        assert server.workers() == []
        (tmp_path / "slow").unlink()
        until(lambda: server.is_up(1))


def test_workers_that_end_after_max_requests_take_their_heartbeats_along(server: Gunicorn, judge: Judge) -> None:
    server.start("sync", "max_requests = 3")
    until(server.is_up)
    with Watch(judge):
        seen = {server.get() for _ in range(30)}
        assert len(seen) > 4
        until(lambda: server.is_up() and set(server.workers()) == set(children(server)))


def children(server: Gunicorn) -> list[int]:
    pid = server.master.pid
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_the_number_of_workers_follows_the_signals(server: Gunicorn, judge: Judge) -> None:
    server.start()
    until(server.is_up)
    with Watch(judge):
        for number, count in ((signal.SIGTTIN, 3), (signal.SIGTTOU, 2), (signal.SIGTTOU, 1)):
            server.master.send_signal(number)
            until(lambda count=count: server.is_up(count) and server.expects(count))  # type: ignore[misc]


@pytest.mark.parametrize("more", ["", "preload_app = True"], ids=["", "preload"])
def test_a_reload_replaces_the_workers_and_restarts_nothing(server: Gunicorn, judge: Judge, more: str) -> None:
    server.start(more=more)
    until(server.is_up)
    before = set(server.workers())
    with Watch(judge):
        server.configure(more=f"{more}\nworkers = 3")
        server.master.send_signal(signal.SIGHUP)
        until(lambda: server.is_up(3) and not before & set(server.workers()))
    until(lambda: server.expects(3))


def test_a_new_master_takes_over_and_the_old_one_may_go(server: Gunicorn, judge: Judge) -> None:
    server.start()
    until(server.is_up)
    before = set(server.workers())
    with Watch(judge):
        new = exchange(server)
        until(lambda: server.is_up() and not before & set(server.workers()))
        server.master.send_signal(signal.SIGQUIT)
        assert server.master.wait(20) == 0
        until(lambda: judge.python() == f"healthy: process {new}, error 0, fresh heartbeats: 2")
        assert server.get() in server.workers()
    os.kill(new, signal.SIGTERM)
    until(lambda: judge.python().startswith("not loaded"))


def test_an_old_master_takes_over_again_when_it_is_reloaded(server: Gunicorn, judge: Judge) -> None:
    server.start()
    until(server.is_up)
    new = exchange(server)
    until(server.is_up)
    os.kill(new, signal.SIGTERM)
    until(lambda: judge.python().startswith("not loaded"))
    server.master.send_signal(signal.SIGHUP)
    until(lambda: judge.python() == f"healthy: process {server.master.pid}, error 0, fresh heartbeats: 2")


def exchange(server: Gunicorn) -> int:
    """Has a new master started, and waits until it holds the unit."""
    pid = server.rundir / "u" / "pid"
    server.master.send_signal(signal.SIGUSR2)
    until(lambda: pid.exists() and pid.read_text() not in ("", str(server.master.pid)))
    return int(pid.read_text())


def test_an_alarm_of_the_application_is_not_taken_back(server: Gunicorn, judge: Judge, tmp_path: Path) -> None:
    (tmp_path / "alarm").touch()
    server.start()
    until(server.is_up)
    assert judge() == "error 7: queue lost"


# What gunicorn refuses to start with


def refusal(server: Gunicorn, more: str) -> str:
    server.start(more=more)
    assert server.master.wait(20) == 1
    return server.log.read_text()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may start workers of another user")
def test_workers_of_another_user_are_refused_with_a_way_out(server: Gunicorn) -> None:
    said = refusal(server, "user = 'nobody'")
    assert re.search(r"Error: user: gunicorn's master runs as user 0 and its workers would run as user \d+", said)
    assert "runAsUser" in said


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("liveness.gunicorn.ttl = 2", "liveness.gunicorn.ttl: 2: must be more than gunicorn's timeout, 2 s"),
        ("liveness.gunicorn.ttl = 2.5", "liveness.gunicorn.ttl: 2.5: must be whole seconds"),
        ("liveness.gunicorn.boot_time = 0", "liveness.gunicorn.boot_time: 0: must be whole seconds"),
        ("import os; os.environ['LIVENESS_RUNDIR'] = '/proc'", "Error: /proc"),
    ],
)
def test_wrong_settings_are_refused(server: Gunicorn, more: str, words: str) -> None:
    assert words in refusal(server, more)


@pytest.mark.parametrize(
    ("more", "ttl"),
    [
        ("timeout = 40; graceful_timeout = 3", 55), ("timeout = 3; graceful_timeout = 90", 105),
        ("timeout = 0", 999_999_999), ("liveness.gunicorn.ttl = 77", 77),
    ],
)  # fmt: skip
def test_the_ttl_is_above_the_time_outs_of_gunicorn(server: Gunicorn, more: str, ttl: int) -> None:
    server.start(more=f"liveness.gunicorn.ttl = None\n{more}")
    until(server.is_up)
    assert {int((server.beat / f"worker.{pid}").read_text().split()[1]) for pid in server.workers()} == {ttl}


def test_hooks_of_ones_own_call_these_as_shown_in_the_manual(server: Gunicorn, judge: Judge) -> None:
    server.start(more=example("gunicorn-hooks"))
    until(server.is_up)
    assert judge().startswith("healthy")
    assert "a worker begins" in server.log.read_text()


def test_the_line_in_the_manual_is_enough(server: Gunicorn, judge: Judge) -> None:
    server.start()
    server.end()
    line = example("gunicorn")
    (server.folder / "gunicorn.conf.py").write_text(line)
    environment = {**os.environ, "LIVENESS_RUNDIR": str(server.rundir), "LIVENESS_UNIT_NAME": "u"}
    server.master = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{server.port}", "app:wsgi"],
        cwd=server.folder, start_new_session=True, env={**environment, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    until(lambda: judge.python().startswith(f"healthy: process {server.master.pid}, "))
