"""What the manual says is so."""

from __future__ import annotations

import inspect
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from judge import HEALTH_SH, Judge
from manifests import spec_of
from manual import EXAMPLES, MANUAL, TEXI, example
from reasons import all_reasons, is_shown
from services import need
from stage import ROOT, Puppet, start_of, until, uptime
from web import free_port

import liveness
from liveness import access_log, cli, endpoint, linux, probe, resources
from liveness.checks import Check, run
from liveness.flask import settings
from liveness.monitor import Monitor


@pytest.mark.skipif(shutil.which("makeinfo") is None, reason="there is no makeinfo")
@pytest.mark.parametrize("form", ["info", "html"])
def test_the_manual_is_made_without_a_warning(tmp_path: Path, form: str) -> None:
    kind = {"html": "--html", "info": "--plaintext"}[form]
    done = subprocess.run(
        ["makeinfo", "--no-split", kind, "-o", str(tmp_path / form), str(TEXI)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert len((tmp_path / form).read_text()) > 20_000


def test_the_manual_is_of_this_version() -> None:
    version = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert version is not None
    assert f"@set VERSION {version[1]}\n" in MANUAL


def test_every_example_is_run() -> None:
    examples = len(re.findall("^@example$", MANUAL, re.M))
    # But for the usage of health.sh, which another test holds.
    assert examples == len(EXAMPLES) + 1


def test_every_line_of_a_menu_has_a_description() -> None:
    for menu in re.findall(r"@menu\n(.*?)@end menu", MANUAL, re.S):
        for line in menu.splitlines():
            assert re.fullmatch(r"\* [^:]+:: +\S.*\.", line), line


def test_every_question_is_in_the_index() -> None:
    questions = MANUAL.split("@node Questions people ask")[1].split("@end table")[0].split("@item ")[1:]
    assert len(questions) >= 9
    for question in questions:
        assert "@cindex" in question.partition("\n")[2][:40], question


def test_the_first_daemon_is_one(rundir: Path, judge: Judge) -> None:
    for name in ("app_checks.py", "daemon.py"):
        (rundir / name).write_text(example(name))
    program = "import builtins, time; builtins.work = lambda: time.sleep(0.01); import daemon"
    environment = {
        "PATH": f"{HEALTH_SH.parent}:{os.environ['PATH']}",
        "PYTHONPATH": f"{ROOT}:{rundir}",
        "LIVENESS_RUNDIR": str(rundir),
        "LIVENESS_UNIT_NAME": "mypod",
    }
    daemon = subprocess.Popen([sys.executable, "-c", program], env=environment)
    try:
        until(lambda: judge.python("mypod").startswith("healthy"))
        command, said = example("sh").splitlines()
        done = subprocess.run(
            command.removeprefix("$ "), shell=True, env=environment, capture_output=True, text=True, check=True
        )
        assert done.stdout == said.replace("4711", str(daemon.pid)) + "\n"
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(20) == 0
        assert judge("mypod").startswith("not loaded")
    finally:
        daemon.kill()
        daemon.wait()


def test_a_unit_can_be_written_in_a_shell(rundir: Path) -> None:
    daemon = subprocess.Popen(["sh", "-c", example("minimal")], env={**os.environ, "LIVENESS_RUNDIR": str(rundir)})
    try:
        judge = Judge(rundir)
        until(lambda: judge("web") == f"healthy: process {daemon.pid}, error 0, fresh heartbeats: 0")
    finally:
        daemon.kill()
        daemon.wait()


def with_the_command(rundir: Path) -> dict[str, str]:
    """An environment with `liveness` on PATH and the unit u."""
    command = rundir / "liveness"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m liveness "$@"\n')
    command.chmod(0o755)
    return {
        "PATH": f"{rundir}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "LIVENESS_RUNDIR": str(rundir),
        "LIVENESS_UNIT_NAME": "u",
    }


def test_a_shell_program_can_be_a_unit(rundir: Path) -> None:
    environment = with_the_command(rundir)
    done = subprocess.run(
        ["sh", "-c", example("shell")], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    first, second, third = done.stdout.splitlines()
    assert (first, second) == ("working on the first", "working on the second")
    assert re.fullmatch(r"liveness: u: healthy: process \d+, error 0, fresh heartbeats: 1", third)


def test_a_program_that_speaks_sd_notify_is_started_as_the_manual_says(rundir: Path, judge: Judge) -> None:
    need("redis-server", "redis-server")
    command = yaml.safe_load(example("notify.yaml"))["command"]
    assert command[0] == "liveness"
    environment = {**os.environ, "LIVENESS_RUNDIR": str(rundir), "LIVENESS_UNIT_NAME": "u", "PYTHONPATH": str(ROOT)}
    # On a free port, and without a file of its own.
    here = ["--bind", "127.0.0.1", "--port", str(free_port()), "--save", ""]
    command = [sys.executable, "-m", "liveness", *command[1:], *here]
    server = subprocess.Popen(command, env=environment, cwd=rundir, stdout=subprocess.DEVNULL)
    try:
        until(lambda: judge.python().startswith("healthy"))
    finally:
        server.terminate()
        server.wait(20)
    assert judge().startswith("not loaded")


def test_the_hook_of_the_manual_takes_a_pod_out_before_it_gets_a_signal(
    puppet: Puppet, rundir: Path, judge: Judge
) -> None:
    puppet("liveness.load(); liveness.set()")
    command = yaml.safe_load(example("drain.yaml"))["lifecycle"]["preStop"]["exec"]["command"]
    environment = with_the_command(rundir)
    subprocess.run([part.replace("sleep 5", "sleep 0") for part in command], env=environment, check=True)
    assert judge(mode="ready") == "not ready: draining"
    assert judge().startswith("healthy")


def test_the_commands_in_the_manual_are_those_that_there_are() -> None:
    (commands,) = (action for action in cli._parser("liveness")._actions if action.choices)
    assert isinstance(commands.choices, dict)
    node = MANUAL.split("@node Invoking liveness")[1].split("@end table")[0]
    assert set(re.findall(r"^@itemx? liveness (\w[\w-]*)", node, re.M)) == set(commands.choices)
    for name, parser in commands.choices.items():
        for option in {option for action in parser._actions for option in action.option_strings} - {"-h", "--help"}:
            assert option in node, (name, option)


def test_what_checks_and_monitors_take_is_in_the_manual() -> None:
    for function in (Check, run, Monitor):
        shown = re.search(rf"@deftypefun \w+ {function.__name__} \((.*)\)", MANUAL)
        assert shown is not None
        assert shown[1] == takes(function)
    for name in ("disk_free", "memory_below", "tcp_port", "thread_alive"):
        assert f"@item {name}({', '.join(bare(getattr(resources, name)))})" in MANUAL


@pytest.mark.parametrize("number", range(len([1 for kind, _ in EXAMPLES if kind == "python"])))
def test_the_examples_in_python_run(puppet: Puppet, rundir: Path, number: int) -> None:
    (rundir / "app_checks.py").write_text(example("app_checks.py"))
    puppet(f"rundir, batches, import_all = {str(rundir)!r}, [[1], list(range(20000))], len")
    puppet("is_connected = [True, False].pop")
    puppet("liveness.load()")
    puppet([text for kind, text in EXAMPLES if kind == "python"][number])


def test_the_manifest_in_the_manual_is_that_of_the_readme() -> None:
    container = yaml.safe_load(example("yaml"))
    readme = (ROOT / "README.md").read_text()
    shown = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", readme, re.S)[0])
    assert {key: container[key] for key in shown} == shown
    assert container["env"][0]["value"] == container["volumeMounts"][0]["mountPath"]


def test_the_probes_of_flask_in_the_manual_are_those_of_its_manifest() -> None:
    container = spec_of(ROOT / "examples" / "flask" / "shop.yaml")["containers"][0]
    shown = yaml.safe_load(example("flask.yaml"))
    assert shown == {name: container[name] for name in shown}


def test_the_settings_for_flask_in_the_manual_are_those_that_there_are() -> None:
    table = MANUAL.split("@node Settings for Flask")[1].split("@table @code")[1].split("@end table")[0]
    assert set(re.findall(r"^@item (\w+)$", table, re.M)) == {*settings.DEFAULTS, "BACKEND_TIMEOUT"}
    assert f"{endpoint.DEADLINE:g} unless told" in table


def test_there_is_a_line_for_the_access_log_of_each_server() -> None:
    node = MANUAL.split("@node Access logs")[1].split("@node ")[0]
    assert re.findall(r'\["/livez"\], \["([a-z.]+)"\]', node) == list(access_log.LOGGERS)


def test_the_verbs_in_the_manual_take_what_the_functions_do() -> None:
    shown = dict(re.findall(r"^@defun (\w+) \((.*)\)$", MANUAL, re.M))
    assert {*shown} == {name for name in [*liveness.__all__, "set"] if inspect.isfunction(getattr(liveness, name))}
    for name, parameters in shown.items():
        assert parameters == takes(getattr(liveness, name)), name
    for name in ("live", "ready"):
        assert f"Verdict {name} ({', '.join(bare(getattr(probe, name)))})" in MANUAL
    for name in ("load", "set", "reset"):
        assert f"@code{{{name}({', '.join(bare(getattr(linux, name)))})}}" in MANUAL
    assert f"@deftp {{Class}} Unit ({', '.join(bare(liveness.Unit))})" in MANUAL


def takes(function: object) -> str:
    """Its parameters without their types and without the names of another unit, as the manual writes them."""
    assert callable(function)
    parameters = list(inspect.signature(function).parameters.values())
    if any(parameter.name == "options" for parameter in parameters):
        # Those of beat().
        parameters.pop()
        options = inspect.signature(liveness.beat).parameters.values()
        parameters += [option for option in options if option.kind is option.KEYWORD_ONLY]
    shown = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in parameters
        if parameter.name not in ("unitname", "rundir")
    ]
    return str(inspect.Signature(shown))[1:-1].replace("'", '"')


def bare(function: object) -> list[str]:
    """Its parameters without their types."""
    assert callable(function)
    parameters = inspect.signature(function).parameters.values()
    return [str(parameter.replace(annotation=inspect.Parameter.empty)) for parameter in parameters]


def test_each_reason_in_the_manual_is_one_that_the_probe_gives_and_none_is_missing() -> None:
    node = MANUAL.split("@node Reasons")[1].split("@end table")[0]
    shown = set(re.findall(r"^@itemx? (.*)$", node, re.M))
    reasons = all_reasons()
    assert [reason for reason in reasons if not is_shown(reason, shown)] == []
    assert [text for text in shown if not any(is_shown(reason, {text}) for reason in reasons)] == []


LEASES = [
    [re.sub(r"@\w+\{([^}]*)\}", r"`\1`", cell.strip()) for cell in row.split("@tab")]
    for row in MANUAL.split("@node Leases")[1].split("@headitem")[1].split("@end multitable")[0].split("@item ")[1:]
]


@pytest.mark.parametrize(("lease", "state", "verdict"), LEASES, ids=[" ".join(row[:2]) for row in LEASES])
def test_each_row_of_the_table_of_leases_is_so(
    puppet: Puppet, rundir: Path, judge: Judge, lease: str, state: str, verdict: str
) -> None:
    puppet("liveness.load(); liveness.set()")
    mode, _, reason = re.fullmatch(r"(live|ready) (passes|fails)[:]? ?(.*)", verdict, re.S).groups()  # type: ignore[union-attr]
    write_lease(rundir, puppet.pid, lease.strip("`"), state, re.sub(r".*: | \(.*", "", reason.strip("`")))
    others = re.findall(r"`(\w+/\w+\.)([\d*])`", state)
    if "no other" not in state:
        for start, instance in others:
            for number in range(2 if "two of" in state else 1):
                name = f"{start}{instance}".replace("*", str(number + 7))
                write_lease(rundir, puppet.pid, name, "fresh, code 0", "")
    said = judge(mode=mode)
    if " passes" in verdict:
        assert said.startswith("healthy")
    else:
        assert re.sub(r"\d+", "N", said) == re.sub(r"\d+", "N", reason.strip("`"))
    if mode == "ready":
        assert judge().startswith("healthy")


def write_lease(rundir: Path, pid: int, name: str, state: str, reason: str) -> None:
    file = rundir / "u" / name
    file.parent.mkdir(exist_ok=True)
    at, ttl = int(uptime()), 1000
    if state.startswith("stale"):
        at, ttl = at - 5, 1
    start = "1" if state.startswith("owner dead") else start_of(pid)
    code = re.search(r"(?:code|number) (\d+)", state)
    number = code[1] if code else "4" if name.startswith("expect/") else "0"
    file.write_text(f"{at} {ttl} {pid} {start}{'' if number == '0' else f' {number}'}\n{reason}\n")


def test_the_options_in_the_manual_are_those_of_the_help() -> None:
    help_text = subprocess.run([HEALTH_SH, "-h"], capture_output=True, text=True, check=True).stdout
    usage = re.search(r"Usage: (health\.sh .*)", help_text)
    assert usage is not None
    assert f"@example\n{usage[1]}\n@end example" in MANUAL
    options = set(re.findall(r"^@item (\S+)", MANUAL.split("@node Options")[1].split("@end table")[0], re.M))
    assert options == set(re.findall(r"^  (-\w|live|ready)\b", help_text, re.M))
