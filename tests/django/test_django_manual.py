"""What the manual shows of Django is run."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from manual import MANUAL, example
from project import Project
from services import Postgres, Redis
from stage import ROOT, until

from liveness.django import conf
from liveness.django.management.commands import probe, wait4db

CHAPTER = MANUAL.split("@chapter Django")[1].split("@chapter ")[0]


def healthy(folder: Path) -> Callable[[], bool]:
    names = {"LIVENESS_RUNDIR": str(folder), "LIVENESS_UNIT_NAME": "u"}
    command = ["sh", str(ROOT / "health.sh"), "-q", "ready"]
    return lambda: subprocess.run(command, env=names, check=False).returncode == 0


def test_settings_urls_and_a_probe_of_ones_own_work_as_shown(tmp_path: Path) -> None:
    project = Project(tmp_path, urls=example("django-urls"), DJK8S_READINESS_PROBES=["probes.QueueProbe"])
    (tmp_path / "settings.py").write_text((tmp_path / "settings.py").read_text() + example("django-settings"))
    counted = "import pathlib\ndef queue_length():\n    return int(pathlib.Path('length').read_text())\n"
    project.write("probes.py", counted + example("django-probes"))
    project.write("length", "0")
    with project.serve() as server:
        for path in ("/livez", "/readyz", "/status/live", "/status/ready"):
            assert server.get(path).status == 200
        project.write("length", "1001")
        for path in ("/readyz", "/status/ready"):
            assert (server.get(path).status, server.get(path).text) == (503, "queue: too long")


def test_a_database_that_may_be_away_is_left_out_or_degrades_as_shown(tmp_path: Path, postgres: Postgres) -> None:
    databases = {"default": {}, "users": postgres.configured(), "reports": postgres.configured(PORT=1)}
    names = ["probes.Reports", "probes.EssentialDatabases"]
    project = Project(tmp_path, DATABASES=databases, DJK8S_READINESS_PROBES=names)
    project.write("probes.py", example("django-databases"))
    refused = project.manage("probe", "--ready")
    assert "EssentialDatabases.databases: DATABASES has no database 'default'" in refused.stderr
    databases["default"] = postgres.configured()
    project = Project(tmp_path, DATABASES=databases, DJK8S_READINESS_PROBES=names)
    with project.serve() as server:
        # On a busy machine the first connection may take longer than the limit.
        until(lambda: server.get("/readyz").status == 200)
        assert "Reports (reports): degraded: " in server.log.read_text()


def test_the_hook_for_celery_works_as_shown(tmp_path: Path, rundir: Path, redis: Redis) -> None:
    project = Project(tmp_path)
    app = f"from celery import Celery\napp = Celery('shop', broker={redis.location!r})\n"
    project.write("shop.py", app + example("django-celery"))
    names = {"LIVENESS_RUNDIR": str(rundir), "LIVENESS_UNIT_NAME": "u", "DJANGO_SETTINGS_MODULE": "settings"}
    worker = project.start("-m", "celery", "-A", "shop", "worker", "--pool", "solo", **names)
    try:
        until(healthy(rundir), 60)
    finally:
        worker.send_signal(signal.SIGKILL)
        worker.communicate()


def test_the_hooks_for_gunicorn_work_as_shown(tmp_path: Path, rundir: Path) -> None:
    project = Project(tmp_path)
    project.write("gunicorn.conf.py", example("django-gunicorn"))
    names = {"LIVENESS_RUNDIR": str(rundir), "LIVENESS_UNIT_NAME": "u", "DJANGO_SETTINGS_MODULE": "settings"}
    with project.serve(environment=names):
        until(healthy(rundir))


def test_migrations_take_turns_as_shown(tmp_path: Path, postgres: Postgres) -> None:
    project = Project(tmp_path, postgres.configured(), INSTALLED_APPS=["django.contrib.contenttypes"])
    project.write("turns.py", f"import django\ndjango.setup()\n{example('django-lock')}")
    names = {"DJANGO_SETTINGS_MODULE": "settings"}
    both = [project.start("turns.py", **names) for _ in range(2)]
    said = [process.communicate(timeout=60)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert sorted("No migrations to apply" in text for text in said) == [False, True]


def test_the_settings_and_options_in_the_manual_are_those_that_there_are() -> None:
    node = CHAPTER.split("@node Settings for Django")[1].split("@end table")[0]
    assert set(re.findall(r"^@itemx? (DJK8S_\w+)", node, re.M)) == set(conf.DEFAULTS)
    node = CHAPTER.split("@node Commands for Django")[1].split("@end table")[0]
    for command in (probe.Command(), wait4db.Command()):
        parser: Any = command.create_parser("manage.py", "x")
        ours = {option for action in parser._actions for option in action.option_strings if option.startswith("--")}
        django = {"--help", "--version", "--verbosity", "--settings", "--pythonpath", "--traceback", "--no-color"}
        for option in ours - django - {"--force-color", "--skip-checks"}:
            assert option in node
    for name, default in (("timeout", wait4db.TIMEOUT), ("stable", wait4db.STABLE), ("interval", wait4db.INTERVAL)):
        assert f"[--{name} {default}]" in node
