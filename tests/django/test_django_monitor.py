"""A Monitor in the worker, so that health.sh is the exec probe: Celery, gunicorn, a command, an AppConfig."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from judge import HEALTH_SH, Judge
from project import Project
from services import Postgres, Redis
from stage import Puppet, until

import liveness
from liveness import LivenessError, proc
from liveness.django import monitor
from liveness.django.probes import NotReady, ReadinessProbe

INTERVAL = 0.5
SETTINGS: dict[str, Any] = {"DJK8S_READINESS_PROBES": ["liveness.django.probes.DatabaseProbe"]}
CELERY = """
import os
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
from celery import Celery
from celery.signals import worker_init
from liveness.django import monitor

app = Celery("shop", broker=os.environ["BROKER"])

@worker_init.connect
def start_monitor(**kwargs):
    monitor.start(interval=0.5)

@app.task
def write(name, text):
    with open(name, "w") as file:
        file.write(text)
"""
COMMAND = """
import time
from django.core.management.base import BaseCommand
from liveness.django import monitor

class Command(BaseCommand):
    def handle(self, *args, **options):
        monitor.start(interval=0.5)
        while True:
            time.sleep(0.1)
"""
CONFIG = """
from django.apps import AppConfig

class ShopConfig(AppConfig):
    name = "shop"

    def ready(self):
        from liveness.django import monitor
        monitor.start(interval=0.5)
"""
WORKER = """
import os, time
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
import django
django.setup()
print("set up", flush=True)
while True:
    time.sleep(0.1)
"""


class Names:
    """The unit of a worker, and how health.sh finds it."""

    def __init__(self, rundir: Path) -> None:
        self.environment = {"LIVENESS_RUNDIR": str(rundir), "LIVENESS_UNIT_NAME": "u"}

    def says(self, mode: str = "ready") -> str:
        done = subprocess.run(
            ["sh", str(HEALTH_SH), mode],
            env={**os.environ, **self.environment}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return "healthy" if done.returncode == 0 else done.stderr.strip().partition(": ")[2].partition(": ")[2]


@pytest.fixture
def names(rundir: Path) -> Names:
    return Names(rundir)


@pytest.fixture
def begun() -> Iterator[Callable[[subprocess.Popen[str]], subprocess.Popen[str]]]:
    """Ends with the test what it has begun."""
    processes: list[subprocess.Popen[str]] = []

    def begin(process: subprocess.Popen[str]) -> subprocess.Popen[str]:
        processes.append(process)
        return process

    yield begin
    for process in processes:
        process.terminate()
        try:
            process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def pythons_below(pid: int) -> set[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {int(child) for child in children}


def test_a_celery_worker_says_by_itself_that_its_database_is_down(
    tmp_path: Path, postgres: Postgres, redis: Redis, names: Names, begun: Callable[..., Any]
) -> None:
    project = Project(tmp_path, postgres.configured(), **SETTINGS)
    project.write("shop.py", CELERY)
    environment = {**names.environment, "BROKER": redis.location}
    options = ("-m", "celery", "-A", "shop", "worker", "--concurrency", "1", "--without-gossip", "--without-mingle")
    worker = begun(project.start(*options, **environment))
    until(lambda: names.says() == "healthy", 60)
    send = "import shop; shop.write.delay('done', 'by a task')"
    subprocess.run([sys.executable, "-c", send], cwd=tmp_path, env=project.environment(**environment), check=True)
    until((tmp_path / "done").exists, 60)
    processes = pythons_below(worker.pid)
    for signal_down in (signal.SIGINT, signal.SIGSTOP):
        begin = time.monotonic()
        if signal_down == signal.SIGSTOP:
            postgres.signal(signal_down)
        else:
            postgres.stop(signal_down)
        until(lambda: names.says() != "healthy")
        # Two intervals, the time limit of a probe, and as much as this machine may take for all that.
        assert time.monotonic() - begin < 2 * INTERVAL + 0.8 + 1
        assert names.says().startswith("not ready: DatabaseProbe ")
        assert names.says("live") == "healthy"
        # No second Django was started for any of this.
        assert pythons_below(worker.pid) == processes
        if signal_down == signal.SIGSTOP:
            postgres.signal(signal.SIGCONT)
        else:
            postgres.start()
        until(lambda: names.says() == "healthy")
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    for pid in processes:
        os.kill(pid, signal.SIGKILL)
    assert "gone" in names.says("live")


def test_a_worker_that_is_a_command_starts_it_in_its_handle(
    tmp_path: Path, names: Names, begun: Callable[..., Any]
) -> None:
    project = Project(tmp_path, INSTALLED_APPS=["shop", "liveness.django"], **SETTINGS)
    (tmp_path / "shop" / "management" / "commands").mkdir(parents=True)
    project.write("shop/management/commands/consume.py", COMMAND)
    worker = begun(project.start("manage.py", "consume", **names.environment))
    until(lambda: names.says() == "healthy", 60)
    worker.kill()
    worker.wait()
    assert "gone" in names.says("live")


@pytest.fixture
def shop(tmp_path: Path) -> Project:
    project = Project(tmp_path, INSTALLED_APPS=["shop", "liveness.django"], **SETTINGS)
    (tmp_path / "shop").mkdir()
    project.write("shop/__init__.py", "")
    project.write("shop/apps.py", CONFIG)
    project.write("worker.py", WORKER)
    return project


def test_one_line_in_an_app_config_is_enough(shop: Project, names: Names, begun: Callable[..., Any]) -> None:
    begun(shop.start("worker.py", **names.environment))
    until(lambda: names.says() == "healthy", 60)


def test_a_command_beside_the_worker_neither_speaks_for_it_nor_vouches_for_a_dead_one(
    shop: Project, names: Names, begun: Callable[..., Any]
) -> None:
    assert shop.manage("check", **names.environment).returncode == 0
    assert shop.manage("probe", "--ready", **names.environment).stdout == "Ok\n"
    assert names.says("live").startswith("not loaded")
    worker = begun(shop.start("worker.py", **names.environment))
    until(lambda: names.says() == "healthy", 60)
    assert shop.manage("check", **names.environment).returncode == 0
    assert names.says() == "healthy"
    worker.kill()
    worker.wait()
    assert shop.manage("probe", "--live", **names.environment).stdout == "Ok\n"
    assert "gone" in names.says("live")


def test_in_an_app_config_a_state_that_cannot_be_read_is_logged_and_the_program_goes_on(
    shop: Project, names: Names, begun: Callable[..., Any], rundir: Path
) -> None:
    (rundir / "u" / "pid").mkdir(parents=True)
    program = begun(shop.start("worker.py", **names.environment))
    assert program.stdout is not None
    said = program.stdout.readline()
    assert "liveness: no Monitor was started: " in said
    assert "cannot read pid" in said
    assert program.stdout.readline() == "set up\n"


def test_a_second_program_leaves_the_unit_of_a_living_one_alone(
    shop: Project, names: Names, begun: Callable[..., Any], rundir: Path
) -> None:
    first = begun(shop.start("worker.py", **names.environment))
    until(lambda: names.says() == "healthy", 60)
    second = begun(shop.start("worker.py", **names.environment))
    assert second.stdout is not None
    said = second.stdout.readline()
    assert (
        f"process {first.pid}, which is alive, holds this unit: no Monitor was started in process {second.pid}" in said
    )
    second.kill()
    second.wait()
    assert (rundir / "u" / "pid").read_text() == str(first.pid)
    assert {result.name for result in (rundir / "u" / "check").iterdir()} == {"monitor"}
    assert names.says() == "healthy"


GUNICORN = """
import liveness

def on_starting(server):
    liveness.load([])
    liveness.set()

def {hook}:
    from liveness.django import monitor
    monitor.start(interval=0.5)
"""


@pytest.mark.parametrize("hook", ["post_fork(server, worker)", "post_worker_init(worker)"])
def test_each_worker_of_gunicorn_has_one_below_the_unit_of_its_parent(
    tmp_path: Path, names: Names, rundir: Path, hook: str
) -> None:
    project = Project(tmp_path, **SETTINGS, DJK8S_UNIT=True)
    project.write("gunicorn.conf.py", GUNICORN.format(hook=hook))
    command = ["-m", "gunicorn", "--bind", "127.0.0.1:{port}", "--workers", "2", "app:app"]
    environment = {**names.environment, "DJANGO_SETTINGS_MODULE": "settings"}
    with project.serve(command=command, environment=environment) as server:
        until(lambda: len(results(rundir)) == 2)
        # The second to start says for a moment that it is not ready.
        until(lambda: names.says() == "healthy" and server.get("/readyz").status == 200)
        assert server.get("/livez").status == 200
        assert (rundir / "u" / "pid").read_text() == str(server.process.pid)
        one = int(sorted(results(rundir))[0].partition(".")[2])
        os.kill(one, signal.SIGKILL)
        # A worker that died and was replaced is passed over.
        until(lambda: f"monitor.{one}" not in results(rundir) and len(results(rundir)) == 2)
        assert names.says("live") == "healthy"


def results(rundir: Path) -> set[str]:
    folder = rundir / "u" / "check"
    return {result.name for result in folder.glob("*") if not result.name.startswith(".")}


def test_middleware_views_and_command_judge_the_unit_that_was_joined(
    tmp_path: Path, rundir: Path, puppets: Callable[..., Puppet], names: Names
) -> None:
    urls = """
from django.urls import include, path
urlpatterns = [path("views/", include("liveness.django.urls"))]
"""
    project = Project(tmp_path, urls=urls, DJK8S_UNIT="u", **SETTINGS)
    puppet = puppets("u")
    with project.serve(environment={"LIVENESS_RUNDIR": str(rundir)}) as server:

        def said(path: str) -> tuple[int, str]:
            answers = [server.get(path), server.get(f"/views{path}")]
            assert answers[0][::2] == answers[1][::2]
            return answers[0].status, answers[0].text

        assert said("/livez") == (503, f"liveness: u: not loaded (no pid in {rundir}/u)")
        puppet("liveness.load([])")
        puppet("liveness.set()")
        for path in ("/livez", "/healthz", "/readyz"):
            assert said(path) == (200, "Ok")
        puppet("liveness.set_ready(False, 'draining')")
        assert said("/livez") == (200, "Ok")
        assert said("/readyz") == (503, "liveness: u: not ready: draining")
        puppet("liveness.set(7, 'queue lost')")
        assert said("/livez") == (503, "liveness: u: error 7: queue lost")
        assert "django.request" not in server.log.read_text()


# In this process


@pytest.fixture
def here(rundir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("LIVENESS_RUNDIR", str(rundir))
    monkeypatch.setenv("LIVENESS_UNIT_NAME", "here")
    liveness.load([])
    liveness.reset()
    yield rundir
    for known in monitor._monitors.values():
        known.stop()
    monitor._monitors.clear()
    liveness.reset()


def test_a_unit_that_the_application_has_loaded_is_left_as_it_is(here: Path) -> None:
    liveness.load([])
    started = monitor.start(0.05)
    assert started is not None
    until(lambda: started.report is not None)
    assert Judge(here).python("here").startswith("not set")


def test_with_declare_a_loaded_unit_is_declared_healthy_unless_the_application_has_declared_it(here: Path) -> None:
    for code, verdict in ((None, "healthy: "), (7, "error 7")):
        liveness.load([])
        if code is not None:
            liveness.set(code)
        started = monitor.start(0.05, declare=True)
        assert started is not None
        assert Judge(here).python("here").startswith(verdict)
        started.stop()


def test_a_new_unit_is_alive_at_once_and_not_ready_before_the_first_result(here: Path) -> None:
    with override_settings(DJK8S_READINESS_PROBES=[f"{__name__}.SlowLater"], DJK8S_TIMEOUT=20):
        started = monitor.start(1000)
    assert started is not None
    # The probe has passed once, within start(), and runs again now.
    assert Judge(here).python("here").startswith("healthy: ")
    assert Judge(here).python("here", "ready") == "not ready: not checked yet (monitor)"
    SlowLater.gate.set()
    until(lambda: Judge(here).python("here", "ready").startswith("healthy: "))


def test_a_pid_file_that_cannot_be_read_is_neither_absent_nor_of_another_process(here: Path) -> None:
    pid = here / "here" / "pid"
    pid.mkdir()
    with pytest.raises(LivenessError, match="cannot tell which process holds this unit: cannot read pid"):
        monitor.start(0.05)
    assert not (here / "here" / "check").exists()
    pid.rmdir()
    assert monitor.start(0.05) is not None


def test_a_holder_that_proc_hides_is_not_replaced(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "here" / "pid").write_text("1")

    def hidden(pid: int | str) -> None:
        raise OSError("cannot read /proc")

    with monkeypatch.context() as patch:
        patch.setattr(proc, "find", hidden)
        with pytest.raises(LivenessError, match="cannot tell which process holds this unit: cannot read /proc"):
            monitor.start(0.05)
    assert (here / "here" / "pid").read_text() == "1"


def test_a_second_start_is_the_first_one(here: Path) -> None:
    first = monitor.start(0.05)
    assert first is not None
    assert monitor.start(7) is first
    first.stop()
    again = monitor.start(0.05, name="again")
    assert again is not None
    assert (again.is_running, again.name) == (True, "again")


def test_a_unit_is_named_by_the_call_or_by_the_setting_or_is_the_default_one(here: Path) -> None:
    with override_settings(DJK8S_UNIT="named"):
        for wanted, name in ((None, "named"), (True, "here"), ("told", "told"), (liveness.Unit("own", here), "own")):
            started = monitor.start(0.05, unit=wanted)
            assert started is not None
            assert Path(started.unit.path).name == name
            until(lambda name=name: Judge(here).python(name, "ready").startswith("healthy"))  # type: ignore[misc]
            started.stop()
            started.unit.reset()
    with pytest.raises(ImproperlyConfigured, match="DJK8S_UNIT"):
        monitor.start(unit="../x")


def test_the_result_of_the_monitor_names_the_probe_that_failed(here: Path) -> None:
    with override_settings(DJK8S_READINESS_PROBES=[f"{__name__}.Refusing"], DJK8S_TIMEOUT=0.3):
        started = monitor.start(0.05)
    assert started is not None
    assert started.deadline == 0.3
    until(lambda: Judge(here).python("here", "ready") == "not ready: Refusing failed (monitor)")
    assert Judge(here).python("here").startswith("healthy")


class SlowLater(ReadinessProbe):
    gate = threading.Event()
    runs = 0

    def ready(self, request: object) -> None:
        SlowLater.runs += 1
        if SlowLater.runs > 1:
            self.gate.wait(60)


class Refusing(ReadinessProbe):
    def ready(self, request: object) -> None:
        raise NotReady("no")
