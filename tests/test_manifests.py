"""The manifests in examples/kubernetes are valid, explained, and true to the rules that no schema knows."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from judge import HEALTH_SH
from manifests import PROBES, VALIDATE, complaints, spec_of, unexplained_numbers
from stage import ROOT, until
from web import free_port, request

FILES = sorted((ROOT / "examples" / "kubernetes").glob("*.yaml"))

each_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


CONTAINERS = [
    pytest.param(file, container, id=f"{file.stem}-{container['name']}")
    for file in FILES
    for container in spec_of(file)["containers"]
]
each_container = pytest.mark.parametrize(("file", "container"), CONTAINERS)


def environment_of(container: dict[str, Any]) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in container["env"]}


def test_there_is_one_for_each_way_to_deploy() -> None:
    assert {file.stem for file in FILES} == {
        "aio", "alpine", "asgi", "gunicorn", "http-worker", "jobs", "non-root", "notify", "plain", "pool",
        "shell-less", "two-containers", "two-processes", "worker", "wsgi",
    }  # fmt: skip


def test_they_are_valid_for_the_oldest_and_the_newest_kubernetes() -> None:
    assert complaints(FILES) == ""


def test_the_validation_can_fail(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(FILES[0].read_text().replace("periodSeconds: 10", "periodSecond: 10"))
    assert subprocess.run([*VALIDATE, str(wrong)], capture_output=True, check=False).returncode != 0


@each_file
def test_every_number_is_explained(file: Path) -> None:
    assert unexplained_numbers(file) == []


@each_file
def test_what_it_selects_is_what_it_makes(file: Path) -> None:
    spec = yaml.safe_load(file.read_text())["spec"]
    assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"]


@each_container
def test_it_has_all_three_probes_with_thresholds_that_kubernetes_takes(file: Path, container: dict[str, Any]) -> None:
    for probe in PROBES:
        # 1 is the default, and for startup and liveness the only one there may be.
        assert container[probe].get("successThreshold", 1) == 1
        assert ("ready" in asked_by(container[probe])) == (probe == "readinessProbe")


def asked_by(probe: dict[str, Any]) -> list[str]:
    """The command of an exec probe; the path of an HTTP probe, in words."""
    if "exec" in probe:
        return list(probe["exec"]["command"])
    return [{"/startupz": "startup", "/livez": "live", "/readyz": "ready"}[probe["httpGet"]["path"]]]


@each_container
def test_the_state_is_on_a_memory_volume_where_process_and_probe_look(file: Path, container: dict[str, Any]) -> None:
    rundir = environment_of(container)["LIVENESS_RUNDIR"]
    (mount,) = (mount for mount in container["volumeMounts"] if mount["mountPath"] == rundir)
    (volume,) = (volume for volume in spec_of(file)["volumes"] if volume["name"] == mount["name"])
    assert volume["emptyDir"]["medium"] == "Memory"
    # An option would be another place than that of the process.
    for probe in PROBES:
        assert "-d" not in asked_by(container[probe])


@each_container
def test_the_probes_ask_for_the_units_that_the_process_has(file: Path, container: dict[str, Any]) -> None:
    for probe in PROBES:
        command = asked_by(container[probe])
        asked = [command[place + 1] for place, option in enumerate(command) if option == "-u"]
        # With none on the command line, both find it in the same environment.
        assert asked == units_of(container)


def units_of(container: dict[str, Any]) -> list[str]:
    """Those that the program is told on its command line."""
    command = container["command"]
    return list(command[command.index("/app/pair.py") + 1 :]) if "/app/pair.py" in command else []


@each_file
def test_containers_on_one_volume_have_a_unit_name_each(file: Path) -> None:
    containers = spec_of(file)["containers"]
    names = [environment_of(container).get("LIVENESS_UNIT_NAME") for container in containers]
    assert len(set(names)) == len(names)
    assert len(names) == 1 or None not in names


@each_container
def test_its_program_is_healthy_within_the_time_that_startup_gives_it(
    file: Path, container: dict[str, Any], rundir: Path, tmp_path: Path
) -> None:
    startup = container["startupProbe"]
    command = [part.replace("/app/", f"{ROOT}/examples/") for part in container["command"]]
    command = [part.replace("/spool", str(tmp_path)) for part in command]
    port = 0
    if "ports" in container:
        # On this host it listens for nobody else.
        port, wanted = free_port(), str(container["ports"][0]["containerPort"])
        assert sum(wanted in part for part in command) == 1
        command = [part.replace(wanted, str(port)).replace("0.0.0.0", "127.0.0.1") for part in command]
        command += ["127.0.0.1"] if file.stem == "http-worker" else []
    # tini is the image's; Python is ours.
    command = [sys.executable if part == "python3" else part for part in command[command.index("python3") :]]
    environment = {
        **os.environ,
        **environment_of(container),
        **({"DATA": str(tmp_path)} if "DATA" in environment_of(container) else {}),
        "LIVENESS_RUNDIR": str(rundir),
        "PATH": f"{HEALTH_SH.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'examples'}",
    }
    begin = time.monotonic()
    daemon = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        for probe in PROBES:
            until(lambda probe=probe: passes(container[probe], environment, port))  # type: ignore[misc]
        assert time.monotonic() - begin < startup["periodSeconds"] * startup["failureThreshold"]
    finally:
        os.killpg(daemon.pid, signal.SIGKILL)
        daemon.wait()
    # A child that was killed may need a moment to end.
    until(lambda: not passes(container["livenessProbe"], environment, port))


def passes(probe: dict[str, Any], environment: dict[str, str], port: int) -> bool:
    if "httpGet" in probe:
        assert probe["httpGet"]["port"] == "probes"
        try:
            return request(port, probe["httpGet"]["path"]).status == 200
        except OSError:
            return False
    command = probe["exec"]["command"]
    return subprocess.run(command, env=environment, capture_output=True, check=False).returncode == 0


@each_file
def test_a_signal_leaves_time_to_end(file: Path) -> None:
    assert spec_of(file)["terminationGracePeriodSeconds"] >= 5
