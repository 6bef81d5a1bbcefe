"""``python -m liveness.probe`` takes the arguments of health.sh, and gives its answers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from judge import HEALTH_SH
from stage import ROOT, Puppet, needs_root

ARGUMENTS: list[list[str]] = [
    [], ["live"], ["ready"], ["-q"], ["-v"], ["-v", "ready"], ["-q", "-v"], ["-q", "ready"],
    ["-u", "u"], ["-u", "unready"], ["-u", "other"], ["-u", "u", "-u", "unready"], ["-u", "u", "-u", "other", "-v"],
    ["-v", "-u", "unready", "-u", "u", "ready"], ["-u", "u", "-u", "u", "-v"],
    ["-d", "/nowhere"], ["-d", "/nowhere", "-d", "<rundir>"], ["-d", "<rundir>/"], ["-d", "/" + "x" * 300],
    ["-d"], ["-u"], ["-v", "-u"], ["-d", ""], ["-d", "run"], ["-d", "r\nun"], ["-d", "/a\nb"], ["-d", "/a\x7f"],
    ["-d", "/a b"], ["-u", ""], ["-u", "."], ["-u", "-q"], ["-u", "a/b"], ["-u", "é"], ["-u", "x" * 200],
    ["-u", "x" * 201], ["-u", "a", "-u", "b c"], ["-u", "$(id)"],
    ["-x"], ["--"], [""], [" "], ["-qv"], ["x" * 100], ["é"], ["a\nb"], ["LIVE"],
    ["live", "live"], ["live", "ready"], ["ready", "-q", "live"], ["bogus", "-h"], ["-d", "run", "-v"],
]  # fmt: skip

ENVIRONMENTS: list[dict[str, str]] = [
    {"LIVENESS_UNIT_NAME": "a b"},
    {"LIVENESS_UNIT_NAME": "other"},
    {"LIVENESS_UNIT_NAME": ""},
    {"LIVENESS_UNIT_NAME": "-u"},
    {"LIVENESS_RUNDIR": ""},
    {"LIVENESS_RUNDIR": "run"},
    {"LIVENESS_RUNDIR": "/a\tb"},
]


def answers(puppet: Puppet, rundir: Path, arguments: list[str], **environment: str) -> list[tuple[int, bytes, bytes]]:
    """Status, standard output and standard error of both."""
    found = []
    # An isolated interpreter would not find the package.
    for command in (["sh", str(HEALTH_SH)], [sys.executable, "-m", "liveness.probe"]):
        done = subprocess.run(
            [*command, *(argument.replace("<rundir>", str(rundir)) for argument in arguments)],
            capture_output=True,
            check=False,
            timeout=30,
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(ROOT),
                "LIVENESS_RUNDIR": str(rundir),
                "LIVENESS_UNIT_NAME": "u",
                **environment,
            },
        )
        err = done.stderr.replace(b"(python -m liveness.probe -h", b"(health.sh -h")
        found.append((done.returncode, done.stdout, err))
    return found


@pytest.fixture
def units(puppet: Puppet) -> Puppet:
    """One that is ready, and one that is not."""
    puppet("liveness.load([]); liveness.set(); liveness.beat(900)")
    puppet("two = liveness.Unit('unready'); two.load([]); two.set(); two.set_ready(False, 'draining')")
    return puppet


@pytest.mark.parametrize("arguments", ARGUMENTS, ids=lambda arguments: ascii(arguments)[:40])
def test_both_answer_alike(units: Puppet, rundir: Path, arguments: list[str]) -> None:
    shell, python = answers(units, rundir, arguments)
    assert shell == python


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=str)
def test_both_read_the_same_environment(units: Puppet, rundir: Path, environment: dict[str, str]) -> None:
    shell, python = answers(units, rundir, [], **environment)
    assert shell == python
    shell, python = answers(units, rundir, ["-u", "u", "-d", str(rundir), "-v"], **environment)
    assert shell == python
    assert python[0] == 0


@needs_root
def test_both_say_so_where_the_machine_has_no_name(units: Puppet, rundir: Path) -> None:
    program = "printf '\\n' >/proc/sys/kernel/hostname; exec \"$@\""
    if subprocess.run(["unshare", "--uts", "true"], check=False).returncode:
        pytest.skip("no namespaces here")
    for command in (["sh", str(HEALTH_SH)], [sys.executable, "-m", "liveness.probe"]):
        done = subprocess.run(
            ["unshare", "--uts", "sh", "-c", program, "sh", *command],
            capture_output=True, text=True, check=False,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "LIVENESS_RUNDIR": str(rundir)},
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (1, "liveness: ?: cannot read /proc\n")


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_both_have_the_same_help(units: Puppet, rundir: Path, option: str) -> None:
    (shell, *_), (python, *_) = answers(units, rundir, [option]), answers(units, rundir, ["-v", option, "bogus"])
    both = [text.decode().partition("[live|ready]\n") for text in (shell[1], answers(units, rundir, [option])[1][1])]
    assert both[0][2] == both[1][2]
    assert "-v " in both[0][2]
    assert (shell[0], python[0]) == (0, 0)


def test_it_answers_where_nobody_listens(units: Puppet, rundir: Path) -> None:
    command = f"{sys.executable} -m liveness.probe -d {rundir}"
    for redirection in (">&- 2>&-", ">/dev/full 2>/dev/full"):
        for arguments, status in (("-v -u u", 0), ("-u other", 1), ("-x", 2), ("-h", 0)):
            done = subprocess.run(f"exec {command} {arguments} {redirection}", shell=True, cwd=ROOT, check=False)
            assert done.returncode == status, (redirection, arguments)
