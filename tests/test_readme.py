"""What the README shows works as it is shown."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from judge import HEALTH_SH, Judge
from peers import UP, Peer
from reasons import all_reasons, is_shown
from stage import ROOT, Puppet, until

from liveness.flask import settings

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)


def blocks(language: str) -> list[str]:
    return [text for name, text in BLOCKS if name == language]


@pytest.fixture
def worker(rundir: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The Python example as a process, with a queue whose jobs come by its standard input."""
    (rundir / "app_checks.py").write_text("def health(*args, **kwargs): return True\n")
    code = blocks("python")[0]
    (rundir / "app.py").write_text(
        "import select, sys\n"
        "line = None\n"
        "def stopping(): return line == ''\n"
        "def take_job(timeout):\n"
        "  global line\n"
        "  if not select.select([sys.stdin], [], [], 0.05)[0]: return None\n"
        "  line = sys.stdin.readline()\n"
        "  return line.strip()\n"
        "def work_on(job):\n  exec(job, globals())\n  print('done', flush=True)\n" + code
    )
    process = subprocess.Popen(
        [sys.executable, str(rundir / "app.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
        env={**os.environ, "LIVENESS_RUNDIR": str(rundir), "LIVENESS_UNIT_NAME": "u", "PYTHONPATH": str(ROOT)},
    )
    yield process
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        assert stream is not None
        stream.close()


def test_the_monitor_of_the_readme_takes_a_pod_out_while_its_database_is_away(puppet: Puppet, judge: Judge) -> None:
    code = blocks("python")[1]
    with socket.create_server(("127.0.0.1", 0)) as database:
        quick = code.replace("5432", str(database.getsockname()[1])).replace("interval=10", "interval=0.05")
        puppet("liveness.load(); liveness.set()")
        puppet(quick)
        until(lambda: judge.python(mode="ready").startswith("healthy"))
    until(lambda: judge.python(mode="ready") == "not ready: database failed (monitor)")
    assert judge().startswith("healthy")


def job(worker: subprocess.Popen[bytes], code: str) -> None:
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write(code.encode() + b"\n")
    assert worker.stdout.readline() == b"done\n"


def test_the_flask_application_of_the_readme_answers_its_probes(rundir: Path) -> None:
    names: dict[str, Any] = {}
    exec(blocks("python")[2], names)
    client = names["app"].test_client()
    assert [client.get(f"/z/health/{name}").status_code for name in ("liveness", "readiness")] == [200, 200]
    with Peer(UP) as users:
        names["app"].config["Z_ENDPOINTS"]["service_dependencies"]["users"] = users.address
        assert client.get("/z/health").json["components"] == {"users": {"status": "UP"}, "database": {"status": "UP"}}
    assert set(names["app"].config["Z_ENDPOINTS"]) <= set(settings.DEFAULTS)


def test_the_five_lines_of_python_are_a_worker_that_is_probed(
    worker: subprocess.Popen[bytes], judge: Judge, rundir: Path
) -> None:
    until(lambda: judge.python().startswith("healthy"))
    job(worker, "pass")
    assert judge() == f"healthy: process {worker.pid}, error 0, fresh heartbeats: 1"
    job(worker, 'liveness.set(7, "queue lost")')
    assert judge() == "error 7: queue lost"
    job(worker, "liveness.set()")
    job(worker, 'liveness.set_ready(False, "draining")')
    assert judge(mode="ready") == "not ready: draining"
    assert judge().startswith("healthy")
    assert worker.stdin is not None
    worker.stdin.close()
    assert worker.wait(20) == 0
    assert judge() == f"not loaded (no pid in {rundir}/u)"


def test_the_worker_of_the_readme_beats_when_it_has_nothing_to_do(
    worker: subprocess.Popen[bytes], rundir: Path, judge: Judge
) -> None:
    until(lambda: judge.python().startswith("healthy"))
    main = rundir / "u" / "beat" / "main"
    first = main.read_text()
    until(lambda: main.read_text() != first)


def probes() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(blocks("yaml")[0])
    return found


@pytest.mark.parametrize("probe", ["startupProbe", "livenessProbe", "readinessProbe"])
def test_the_probes_in_the_yaml_pass_on_a_healthy_unit_and_fail_on_another(
    puppet: Puppet, rundir: Path, probe: str
) -> None:
    command = probes()[probe]["exec"]["command"]
    environment = {"PATH": f"{HEALTH_SH.parent}:{os.environ['PATH']}", "LIVENESS_RUNDIR": str(rundir)}

    def status(unit: str) -> int:
        return subprocess.run(command, env={**environment, "LIVENESS_UNIT_NAME": unit}, check=False).returncode

    puppet("liveness.load()")
    puppet("liveness.set()")
    assert (status("u"), status("v")) == (0, 1)
    puppet("liveness.set_ready(False, 'draining')")
    assert status("u") == (1 if probe == "readinessProbe" else 0)
    puppet("liveness.set(1)")
    assert status("u") == 1


def test_the_probes_in_the_yaml_are_such_as_the_api_takes() -> None:
    for name, probe in probes().items():
        assert {*probe} <= {"exec", "periodSeconds", "failureThreshold"}, name
        assert all(isinstance(probe[key], int) for key in ("periodSeconds", "failureThreshold") if key in probe)
    startup = probes()["startupProbe"]
    assert f"up to {startup['periodSeconds'] * startup['failureThreshold']} s" in README


def test_the_state_volume_is_mounted_where_the_environment_says() -> None:
    container = yaml.safe_load(blocks("yaml")[1])
    assert container["env"] == [{"name": "LIVENESS_RUNDIR", "value": container["volumeMounts"][0]["mountPath"]}]
    pod = yaml.safe_load(README.split("# and in the pod: ")[1].split("\n")[0])
    assert pod["volumes"][0]["name"] == container["volumeMounts"][0]["name"]


def table(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its first two lines."""
    section = README.split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (.*) \|$", section, re.M)
    return [row.split(" | ") for row in rows[1:]]


def test_each_reason_in_the_readme_is_one_that_the_probe_gives_and_none_is_missing() -> None:
    shown = {text for reason, _ in table("What the probe says") for text in re.findall(r"`([^`]*)`", reason)}
    reasons = all_reasons()
    assert [reason for reason in reasons if not is_shown(reason, shown)] == []
    assert [text for text in shown if not any(is_shown(reason, {text}) for reason in reasons)] == []


def test_the_files_in_the_readme_are_those_that_the_verbs_write(puppet: Puppet, rundir: Path) -> None:
    shown = {cells[0].strip("`").partition("/")[0] for cells in table("What the process writes")}
    puppet("liveness.load(); liveness.set(); liveness.set_ready()")
    puppet("from liveness.monitor import Monitor; monitor = Monitor([lambda: True], 10).start()")
    for verb in ("beat(30)", "expect('worker', 1)", "deadline(30).__enter__()"):
        puppet(f"liveness.{verb}")
    assert {path.name for path in (rundir / "u").iterdir()} == shown


def test_what_the_readme_calls_in_each_kind_of_worker_can_be_called(puppet: Puppet) -> None:
    puppet("liveness.load()")
    calls = [call for row in table("Loops, processes, jobs") for call in re.findall(r"`(.*?)`", row[1])]
    assert len(calls) >= 8
    for call in calls:
        puppet(f"{call} pass" if call.startswith("with ") else call)


def test_the_options_in_the_readme_are_those_of_the_help() -> None:
    help_text = subprocess.run([HEALTH_SH, "-h"], capture_output=True, text=True, check=True).stdout
    usage = re.search(r"Usage: (health\.sh .*)", help_text)
    assert usage is not None
    assert f"`{usage[1]}`" in README


def test_the_commands_in_the_readme_are_targets_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text()
    (commands,) = blocks("sh")
    for command in commands.splitlines():
        assert re.search(rf"^{command.removeprefix('make ')}:", makefile, re.MULTILINE), command


def test_the_links_of_the_readme_lead_somewhere() -> None:
    for link in re.findall(r"\]\(([^)]+)\)", README):
        assert (ROOT / link).exists(), link
