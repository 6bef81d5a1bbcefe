"""The commands of manage.py, each in a process of its own."""

from __future__ import annotations

import io
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from project import Project
from services import Postgres, Silence
from stage import Puppet

from liveness.django.management.commands.wait4db import wait_for_database

PROBES = """
from liveness.django.probes import NotReady, ReadinessProbe

class FineProbe(ReadinessProbe):
    def ready(self, request):
        assert request is None

class RefusingProbe(ReadinessProbe):
    def ready(self, request):
        raise NotReady("queue: full")

class BrokenProbe(ReadinessProbe):
    def ready(self, request):
        raise ZeroDivisionError("by zero")

class HungProbe(ReadinessProbe):
    def ready(self, request):
        import time
        time.sleep(60)
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return with_probe(tmp_path, "FineProbe")


def with_probe(folder: Path, name: str, **settings: Any) -> Project:
    project = Project(folder, DJK8S_READINESS_PROBES=[f"probes.{name}"], **settings)
    project.write("probes.py", PROBES)
    return project


@pytest.mark.parametrize("option", ["-R", "--ready", "-L", "--live", "-H", "--health"])
def test_what_is_well_is_ok_and_0(project: Project, option: str) -> None:
    done = project.manage("probe", option)
    assert (done.returncode, done.stdout, done.stderr) == (0, "Ok\n", "")


def test_what_is_quiet_says_nothing_on_stdout(project: Project, tmp_path: Path) -> None:
    assert project.manage("probe", "--live", "--quiet", "--skip-checks").stdout == ""
    refusing = with_probe(tmp_path, "RefusingProbe")
    done = refusing.manage("probe", "-q", "-R")
    assert (done.returncode, done.stdout) == (1, "")


def test_what_is_refused_is_its_text_and_1_and_one_line_in_the_log(tmp_path: Path) -> None:
    done = with_probe(tmp_path, "RefusingProbe").manage("probe", "--ready")
    assert (done.returncode, done.stdout) == (1, "queue: full\n")
    assert done.stderr == "RefusingProbe: not ready: queue: full\n"


def test_what_breaks_is_1_without_a_traceback(tmp_path: Path) -> None:
    done = with_probe(tmp_path, "BrokenProbe").manage("probe", "--ready")
    assert (done.returncode, done.stdout) == (1, "Not ready\n")
    assert done.stderr == "BrokenProbe: not ready: ZeroDivisionError: by zero\n"


def test_what_hangs_is_1_in_its_time(tmp_path: Path) -> None:
    project = with_probe(tmp_path, "HungProbe", DJK8S_TIMEOUT=0.1)
    begin = time.monotonic()
    done = project.manage("probe", "--ready")
    assert (done.returncode, done.stdout) == (1, "Not ready\n")
    assert "no answer within 0.1 s" in done.stderr
    assert time.monotonic() - begin < 10


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        ([], 1, "CommandError: specify one of --live, --health, or --ready"),
        (["--live", "--ready"], 1, "CommandError: cannot specify both a live/health and readiness check"),
        (["-H", "-R"], 1, "CommandError: cannot specify both a live/health and readiness check"),
        (["--no-such"], 2, "unrecognized arguments: --no-such"),
    ],
)
def test_a_question_that_is_none_is_misuse(project: Project, options: list[str], status: int, words: str) -> None:
    done = project.manage("probe", *options)
    assert done.returncode == status
    assert done.stderr.strip().endswith(words)
    assert done.stdout == ""


def test_a_mistake_in_the_settings_is_1_and_says_which(tmp_path: Path) -> None:
    project = Project(tmp_path, DJK8S_READINESS_PROBES=[])
    done = project.manage("probe", "--ready")
    assert done.returncode == 1
    assert done.stderr == "CommandError: DJK8S_READINESS_PROBES: no probe (without one nothing would be checked)\n"
    assert project.manage("probe", "--live").returncode == 0


def test_a_broken_urlconf_and_a_broken_probe_do_not_make_a_process_less_alive(tmp_path: Path) -> None:
    project = Project(tmp_path, urls="import no_such_module", DJK8S_READINESS_PROBES=["no.such.Probe"])
    assert project.manage("check").returncode == 1
    done = project.manage("probe", "--live")
    assert (done.returncode, done.stdout, done.stderr) == (0, "Ok\n", "")


def test_the_command_judges_the_unit_it_is_told(tmp_path: Path, rundir: Path, puppets: Callable[..., Puppet]) -> None:
    project = with_probe(tmp_path, "FineProbe", DJK8S_UNIT="web")
    names = {"LIVENESS_RUNDIR": str(rundir)}
    done = project.manage("probe", "--live", **names)
    assert (done.returncode, done.stdout) == (1, f"liveness: web: not loaded (no pid in {rundir}/web)\n")
    puppet = puppets("web")
    puppet("liveness.load([])")
    puppet("liveness.set()")
    for option in ("--live", "--ready"):
        assert project.manage("probe", option, **names).stdout == "Ok\n"
    puppet("liveness.set_ready(False, 'draining')")
    assert project.manage("probe", "--live", **names).returncode == 0
    done = project.manage("probe", "--ready", **names)
    assert (done.returncode, done.stdout) == (1, "liveness: web: not ready: draining\n")


def test_call_command_ends_with_the_status() -> None:
    out = io.StringIO()
    with pytest.raises(SystemExit) as end:
        call_command("probe", "--live", stdout=out)
    assert (end.value.code, out.getvalue()) == (0, "Ok\n")


# wait4db


@pytest.fixture
def waiting(tmp_path: Path, postgres: Postgres) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    project = Project(tmp_path, postgres.configured())
    started: list[subprocess.Popen[str]] = []

    def start(*options: str) -> subprocess.Popen[str]:
        started.append(project.start("manage.py", "wait4db", *options))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def line_with(process: subprocess.Popen[str], words: str) -> str:
    """The next line that has them."""
    assert process.stdout is not None
    for line in process.stdout:
        if words in line:
            return line
    raise AssertionError(f"it has ended without {words!r}: {process.wait()}")


def test_wait4db_ends_when_the_database_has_answered_for_a_while(waiting: Callable[..., Any]) -> None:
    process = waiting("--stable", "1", "--interval", "1")
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert said == "Connection alive for > 0s\nConnection alive for > 1s\n"


def test_wait4db_begins_anew_when_the_database_is_restarted(waiting: Callable[..., Any], postgres: Postgres) -> None:
    process = waiting("-s", "2", "-i", "1", "-t", "60", "-d", "default", "--skip-checks")
    line_with(process, "Connection alive for > 1s")
    postgres.stop()
    line_with(process, "Database not ready")
    postgres.start()
    assert line_with(process, "Connection alive") == "Connection alive for > 0s\n"
    assert line_with(process, "> 2s")
    assert process.wait(20) == 0


def test_a_restart_between_two_questions_is_noticed(waiting: Callable[..., Any], postgres: Postgres) -> None:
    process = waiting("-s", "3", "-i", "1")
    line_with(process, "Connection alive for > 0s")
    postgres.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'")
    line_with(process, "Database not ready")
    assert line_with(process, "Connection alive") == "Connection alive for > 0s\n"


def test_wait4db_is_an_error_at_the_time_out(databases: Callable[..., Any], postgres: Postgres) -> None:
    databases(default=postgres.configured(PASSWORD="wrong"))
    err = io.StringIO()
    with pytest.raises(CommandError, match="'default': no connection within 1 s: .*password authentication failed"):
        call_command("wait4db", "-t", "1", "-i", "1", stderr=err)
    assert re.match(r"Database not ready after 0.\d", err.getvalue())
    assert err.getvalue().count("\n") <= 2


def test_a_silent_database_does_not_hold_up_wait4db(databases: Callable[..., Any], silence: Silence) -> None:
    databases(default=silence.configured())
    begin = time.monotonic()
    with pytest.raises(TimeoutError, match="no answer within"):
        wait_for_database(timeout=0.5, interval=0.1, stderr=io.StringIO())
    assert time.monotonic() - begin < 2


def test_wait4db_goes_on_when_a_silent_database_speaks(tmp_path: Path, postgres: Postgres) -> None:
    project = Project(tmp_path, postgres.configured(OPTIONS={"connect_timeout": 2}))
    postgres.stop()
    with Silence(postgres.port):
        process = project.start("manage.py", "wait4db", "-s", "1", "-i", "1", "-t", "60")
        line_with(process, "Database not ready")
    postgres.start()
    assert line_with(process, "Connection alive for > 0s")
    process.communicate(timeout=20)
    assert process.returncode == 0


def test_wait4db_fails_at_once_for_an_alias_without_a_database(databases: Callable[..., Any]) -> None:
    databases(default={})
    begin = time.monotonic()
    with pytest.raises(CommandError, match="DATABASES has no database 'default'"):
        call_command("wait4db")
    assert time.monotonic() - begin < 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["-t", "0"], "--timeout: 0: must be more than 0 seconds"),
        (["-s", "0"], "--stable: 0"),
        (["-i", "0"], "--interval: 0"),
        (["-d", "other"], "DATABASES has no database 'other'"),
    ],
)
def test_what_wait4db_cannot_do_is_an_error(options: list[str], words: str) -> None:
    with pytest.raises(CommandError, match=re.escape(words)):
        call_command("wait4db", *options)
