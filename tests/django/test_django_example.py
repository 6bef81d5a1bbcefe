"""The project in examples/django runs, and its manifests fit it."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from judge import HEALTH_SH
from services import Postgres
from stage import ROOT, until
from web import Server

EXAMPLE = ROOT / "examples" / "django"
FILES = sorted(EXAMPLE.glob("*.yaml"))
PROBES = ("startupProbe", "livenessProbe", "readinessProbe")

each_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    ignored = shutil.ignore_patterns("db.sqlite3", "__pycache__")
    return Path(shutil.copytree(EXAMPLE, tmp_path / "project", ignore=ignored))


def container_of(name: str) -> dict[str, Any]:
    (container,) = spec_of(EXAMPLE / f"{name}.yaml")["containers"]
    assert isinstance(container, dict)
    return container


def spec_of(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(file.read_text())["spec"]["template"]["spec"]
    return found


def environment(folder: Path, **changes: str) -> dict[str, str]:
    path = f"{ROOT}{os.pathsep}{folder}"
    programs = f"{HEALTH_SH.parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PYTHONPATH": path, "PATH": programs, "PYTHONUNBUFFERED": "1", **changes}


def manage(folder: Path, *arguments: str, **changes: str) -> None:
    subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=folder, env=environment(folder, **changes), check=True, capture_output=True,
    )  # fmt: skip


def served(folder: Path, **changes: str) -> Server:
    """By the command of the manifest, on a port of ours."""
    program, *arguments = container_of("web")["command"]
    command = ["-m", program, *(part.replace("0.0.0.0:8000", "127.0.0.1:{port}") for part in arguments)]
    return Server(folder, command=command, started="/livez", environment=environment(folder, **changes))


def test_the_web_server_is_ready_when_the_database_is_migrated(folder: Path) -> None:
    web = container_of("web")
    live, ready = (web[probe]["httpGet"]["path"] for probe in ("livenessProbe", "readinessProbe"))
    with served(folder, SECURE_SSL_REDIRECT="1", ALLOWED_HOSTS="shop.example.org") as server:
        assert (server.get(live).status, server.get(ready).status) == (200, 503)
        manage(folder, "migrate")
        until(lambda: server.get(ready).status == 200)
        assert server.get("/").status == 400
        assert server.get("/", headers={"Host": "shop.example.org"}).status == 301


@pytest.fixture
def worker(folder: Path, rundir: Path, postgres: Postgres) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, str]]]:
    where = {
        "PGHOST": "127.0.0.1", "PGPORT": str(postgres.port), "PGDATABASE": "app", "PGUSER": "app",
        "PGPASSWORD": postgres.PASSWORD, "LIVENESS_RUNDIR": str(rundir),
    }  # fmt: skip
    manage(folder, "wait4db", "-s", "1", **where)
    manage(folder, "migrate", **where)
    found = environment(folder, **where)
    command = container_of("worker")["command"]
    process = subprocess.Popen([sys.executable, *command[1:]], cwd=folder, env=found, stdout=subprocess.DEVNULL)
    yield process, found
    process.kill()
    process.wait()


def passes(probe: str, environment: dict[str, str]) -> bool:
    command = container_of("worker")[probe]["exec"]["command"]
    return subprocess.run(command, env=environment, capture_output=True, check=False).returncode == 0


def test_the_worker_does_its_orders_and_says_how_it_is(
    worker: tuple[subprocess.Popen[bytes], dict[str, str]], postgres: Postgres
) -> None:
    process, found = worker
    for probe in PROBES:
        until(lambda probe=probe: passes(probe, found))  # type: ignore[misc]
    postgres.run("INSERT INTO shop_order (done) VALUES (false)", "app", "app")
    until(lambda: postgres.run("SELECT done FROM shop_order", "app", "app") == [(True,)])
    postgres.stop()
    until(lambda: not passes("readinessProbe", found))
    assert passes("livenessProbe", found)
    postgres.start()
    until(lambda: passes("readinessProbe", found))
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert not passes("livenessProbe", found)


def test_the_manifests_are_valid_for_the_oldest_and_the_newest_kubernetes() -> None:
    package = importlib.util.find_spec("kubernetes_validate")
    assert package is not None
    assert package.origin is not None
    schemas = (Path(package.origin).parent / "kubernetes-json-schema").glob("v*-local-strict")
    versions = sorted([int(number) for number in schema.name[1:].split("-")[0].split(".")] for schema in schemas)
    for version in (versions[0], versions[-1]):
        command = [sys.executable, "-m", "kubernetes_validate", "--strict", "-k", "{}.{}.{}".format(*version)]
        done = subprocess.run([*command, *map(str, FILES)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@each_file
def test_every_number_in_a_manifest_is_explained(file: Path) -> None:
    for line in file.read_text().splitlines():
        field, _, rest = line.strip().partition(": ")
        value, _, why = rest.partition("  # ")
        if re.match(r"\d+", value) and field != "apiVersion":
            assert why, line


@each_file
def test_a_manifest_selects_what_it_makes_and_has_all_three_probes(file: Path) -> None:
    spec = yaml.safe_load(file.read_text())["spec"]
    assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"]
    for container in spec_of(file)["containers"]:
        for probe in PROBES:
            assert container[probe].get("successThreshold", 1) == 1
            assert container[probe]["timeoutSeconds"] >= 1


def test_the_state_of_the_worker_is_on_a_memory_volume_where_process_and_probe_look() -> None:
    worker = container_of("worker")
    (rundir,) = (entry["value"] for entry in worker["env"] if entry["name"] == "LIVENESS_RUNDIR")
    (mount,) = (mount for mount in worker["volumeMounts"] if mount["mountPath"] == rundir)
    (volume,) = spec_of(EXAMPLE / "worker.yaml")["volumes"]
    assert (volume["name"], volume["emptyDir"]["medium"]) == (mount["name"], "Memory")
