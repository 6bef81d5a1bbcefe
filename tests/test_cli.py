"""The command `liveness`: the verdict, the table, and the verbs for shell programs and operators."""

from __future__ import annotations

import json
import os
import pty
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from judge import HEALTH_SH, Judge
from stage import ROOT, Puppet, start_of, until

from liveness import cli as cli_module
from liveness import probe, status

Puppets = Callable[..., Puppet]
LIVENESS = [sys.executable, "-m", "liveness"]
COMMANDS = ("check", "status", "run", "set", "ready", "unready", "beat", "end-beat", "reset")


def environment(rundir: Path, **more: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "LIVENESS_RUNDIR": str(rundir),
        "LIVENESS_UNIT_NAME": "u",
        **more,
    }


def cli(rundir: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*LIVENESS, *arguments], capture_output=True, text=True, check=False, timeout=60, cwd=rundir,
        env=environment(rundir, **more),
    )  # fmt: skip


def ok(rundir: Path, *arguments: str, **more: str) -> str:
    done = cli(rundir, *arguments, **more)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def loaded(puppet: Puppet) -> Puppet:
    puppet("liveness.load([]); liveness.set()")
    return puppet


# check


@pytest.mark.parametrize("mode", ["live", "ready"])
def test_check_prints_what_health_sh_prints(puppet: Puppet, rundir: Path, mode: str) -> None:
    for step in ("", "liveness.load([])", "liveness.set()", "liveness.set_ready(False, 'draining')", "liveness.set(7)"):
        if step:
            puppet(step)
        for options in ([], ["-q"], ["-v"], ["-u", "u", "-u", "other"]):
            shell = subprocess.run(
                ["sh", HEALTH_SH, *options, mode], capture_output=True, text=True, check=False, env=environment(rundir)
            )
            ours = cli(rundir, "check", *options, mode)
            assert (ours.returncode, ours.stdout, ours.stderr) == (shell.returncode, shell.stdout, shell.stderr)


def test_check_prints_the_verdicts_as_json(puppet: Puppet, rundir: Path) -> None:
    loaded(puppet)
    done = cli(rundir, "check", "--json", "-u", "u", "-u", "other")
    assert done.returncode == 1
    assert json.loads(done.stdout) == {
        "healthy": False,
        "units": [
            {"unit": "u", "healthy": True, "reason": f"process {puppet.pid}, error 0, fresh heartbeats: 0"},
            {"unit": "other", "healthy": False, "reason": f"not loaded (no pid in {rundir}/other)"},
        ],
    }
    assert json.loads(ok(rundir, "check", "--json"))["healthy"] is True


# The verbs, on a unit that another process has loaded


def test_a_shell_program_can_declare_the_state_of_a_unit(puppet: Puppet, rundir: Path, judge: Judge) -> None:
    loaded(puppet)
    assert ok(rundir, "set", "7", "queue lost") == ""
    assert judge() == "error 7: queue lost"
    ok(rundir, "set", "0")
    ok(rundir, "unready", "draining by hand")
    assert judge(mode="ready") == "not ready: draining by hand"
    assert judge().startswith("healthy")
    ok(rundir, "ready")
    assert judge(mode="ready").startswith("healthy")
    ok(rundir, "reset")
    assert judge().startswith("not loaded")


def test_a_beat_from_the_command_line_belongs_to_the_process_that_loaded(
    puppet: Puppet, rundir: Path, judge: Judge
) -> None:
    loaded(puppet)
    ok(rundir, "beat", "30")
    ok(rundir, "beat", "1", "-n", "poller")
    assert (rundir / "u/beat/main").read_text().split()[1:] == ["30", str(puppet.pid), start_of(puppet.pid)]
    assert judge() == f"healthy: process {puppet.pid}, error 0, fresh heartbeats: 2"
    until(lambda: judge.python().startswith("no heartbeat 'poller'"))


@pytest.mark.parametrize("command", [["set", "0"], ["ready"], ["unready", "x"], ["beat", "9"], ["end-beat", "x"]])
@pytest.mark.parametrize("exists", [False, True])
def test_a_verb_on_a_unit_that_nobody_has_loaded_is_refused(rundir: Path, command: list[str], exists: bool) -> None:
    if exists:
        (rundir / "zzz").mkdir()
    done = cli(rundir, *command, "-u", "zzz")
    assert (done.returncode, done.stderr) == (
        1,
        f"liveness: not loaded (no pid in {rundir}/zzz): start the program with liveness run, or call liveness.load() "
        "in it\n",
    )
    assert list(rundir.rglob("*")) == ([rundir / "zzz"] if exists else [])


def test_set_without_a_code_asks_for_the_code_alone(rundir: Path) -> None:
    done = cli(rundir, "set")
    assert (done.returncode, "REASON" in done.stderr, "CODE" in done.stderr) == (2, False, True)


def test_a_beat_for_a_dead_process_is_refused(puppet: Puppet, rundir: Path) -> None:
    loaded(puppet)
    puppet.kill()
    done = cli(rundir, "beat", "9")
    assert (done.returncode, "no living process" in done.stderr) == (1, True)
    assert not (rundir / "u/beat/main").exists()


def test_a_reset_without_any_state_is_not_an_error(rundir: Path) -> None:
    ok(rundir, "reset")


@pytest.mark.parametrize(
    ("commands", "allowed"),
    [
        ((["set", "7"], ["set", "0"]), {"healthy:", "error 7"}),
        ((["unready", "x"], ["ready"]), {"healthy:", "not ready: x"}),
        ((["beat", "900"], ["beat", "901"]), {"healthy:"}),
        # In the middle of a reset there is less and less, and nothing that looks healthy.
        ((["reset"],), {"healthy:", "not loaded", "not set"}),
    ],
    ids=["set", "ready", "beat", "reset"],
)
def test_a_command_that_is_killed_at_any_moment_leaves_the_old_state_or_the_new(
    puppet: Puppet, rundir: Path, judge: Judge, commands: tuple[list[str], ...], allowed: set[str]
) -> None:
    said = set()
    for number in range(20):
        if commands == (["reset"],) or not number:
            loaded(puppet)
        process = subprocess.Popen(
            [*LIVENESS, *commands[number % len(commands)]], env=environment(rundir), stderr=subprocess.DEVNULL
        )
        time.sleep(random.random() / 8)
        process.send_signal(random.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT]))
        process.wait()
        said.add(judge.python(mode="ready").partition(" process")[0].partition(" (")[0])
    assert said <= allowed
    loaded(puppet)
    assert judge(mode="ready").startswith("healthy")


# run


def test_a_program_in_any_language_is_probed_under_its_own_pid(rundir: Path, judge: Judge) -> None:
    with subprocess.Popen(
        [*LIVENESS, "run", "-u", "other", "--", "sh", "-c", 'echo "$$ $LIVENESS_UNIT_NAME $LIVENESS_RUNDIR"; read x'],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(rundir),
    ) as program:  # fmt: skip
        assert program.stdout is not None
        assert program.stdout.readline() == f"{program.pid} other {rundir}\n"
        assert judge("other") == f"healthy: process {program.pid}, error 0, fresh heartbeats: 0"
        program.communicate("over\n")
        assert program.returncode == 1 or program.returncode == 0
    assert judge("other") == f"process {program.pid} is gone"


def test_a_program_keeps_its_exit_status_and_its_arguments(rundir: Path) -> None:
    done = cli(rundir, "run", "--", "sh", "-c", 'echo "$#:$*"; exit 42', "sh", "--check", "-h", "a b")
    assert (done.returncode, done.stdout) == (42, "3:--check -h a b\n")
    assert cli(rundir, "run", "sh", "-c", "exit 5").returncode == 5


def test_a_program_gets_its_signals_as_it_would_alone(rundir: Path) -> None:
    shown = ok(rundir, "run", "--", "grep", "-E", "^Sig(Ign|Blk)", "/proc/self/status")
    alone = subprocess.run(
        ["grep", "-E", "^Sig(Ign|Blk)", "/proc/self/status"], capture_output=True, text=True, check=True
    ).stdout
    assert shown == alone


def test_a_program_runs_only_after_its_checks_have_passed(rundir: Path, judge: Judge) -> None:
    (rundir / "fine.py").write_text("def health(): print('asked', flush=True)")
    (rundir / "bad.py").write_text("def health(): return False")
    (rundir / "worse.py").write_text("def health(): raise ValueError('no queue')")
    assert ok(rundir, "run", "--check", "fine", "--", "echo", "ran") == "asked\nran\n"
    done = cli(rundir, "run", "--check", "fine", "--check", "bad", "--", "echo", "ran")
    assert (done.returncode, done.stdout) == (1, "asked\n")
    assert "bad: health() returned False" in done.stderr
    assert judge().startswith("not loaded")
    done = cli(rundir, "run", "--check", "worse", "--", "echo", "ran")
    assert (done.returncode, done.stderr) == (1, "liveness: a check raised ValueError: no queue\n")
    done = cli(rundir, "run", "--check", "not_there", "--", "echo", "ran")
    assert (done.returncode, "ModuleNotFoundError" in done.stderr) == (1, True)
    assert judge().startswith("not loaded")


def test_a_program_that_cannot_be_run_leaves_nothing_that_looks_healthy(rundir: Path, judge: Judge) -> None:
    (rundir / "plain").write_text("no program")
    (rundir / "odd").write_text("#!/no/such/shell\n")
    (rundir / "odd").chmod(0o755)
    for command, code, words in (
        ("not-a-program", 127, "not found"),
        (f"{rundir}/plain", 126, "permission denied"),
        (f"{rundir}/odd", 126, "no such file"),
    ):
        done = cli(rundir, "run", "--", command)
        assert (done.returncode, words in done.stderr) == (code, True), done.stderr
        assert done.stderr.count("\n") == 1
        assert judge().startswith("not loaded")
    assert cli(rundir, "run").returncode == 2
    assert cli(rundir, "run", "--").returncode == 2


def test_a_program_that_is_killed_before_it_runs_leaves_nothing_that_looks_healthy(rundir: Path, judge: Judge) -> None:
    for _ in range(20):
        process = subprocess.Popen([*LIVENESS, "run", "--", "sleep", "100"], env=environment(rundir))
        time.sleep(random.random() / 5)
        process.send_signal(random.choice([signal.SIGKILL, signal.SIGTERM]))
        process.wait()
        assert not judge.python().startswith("healthy")


# status


def test_status_shows_every_unit(puppets: Puppets, rundir: Path) -> None:
    one, other = puppets(), puppets("other-unit")
    loaded(one)("liveness.beat(30); liveness.beat(60, 'poller')")
    loaded(other)("liveness.set(7, 'queue lost')")
    (rundir / "no-unit").mkdir()
    (rundir / "a file").touch()
    done = cli(rundir, "status")
    assert done.returncode == 1
    head, first, reason, second, beats = done.stdout.splitlines()
    assert head.split() == ["UNIT", "VERDICT", "READY", "PID", "AGE", "CPU%", "MEM", "THR", "FILES"]
    assert first.split()[:4] == ["other-unit", "UNHEALTHY", "no", str(other.pid)]
    assert reason == "  error 7: queue lost"
    assert second.split()[:4] == ["u", "healthy", "yes", str(one.pid)]
    assert re.fullmatch(r"  heartbeats: main \d/30 s, poller \d/60 s", beats)
    assert max(map(len, done.stdout.splitlines())) <= 80
    other("liveness.set()")
    assert cli(rundir, "status").returncode == 0


def test_status_shows_jobs_checks_and_expectations(puppet: Puppet, rundir: Path) -> None:
    loaded(puppet)("liveness.beat(30); liveness.expect('worker', 4, within=90)")
    puppet("block = liveness.deadline(600, 'import'); block.__enter__()")
    puppet("from liveness.monitor import Monitor; from liveness.checks import Check")
    puppet("monitor = Monitor([Check('database', lambda: False)], 0.02).start()")
    puppet("while monitor.report is None: time.sleep(0.01)")
    worker = puppet.spawn()
    worker("liveness.beat(60, 'worker.1', error=7, reason='queue lost')")
    dead = puppet.spawn()
    dead("liveness.beat(60, 'worker.2')")
    dead.kill()
    puppet("children[1].wait()")
    done = cli(rundir, "status")
    head, unit, reason, *rest = (re.sub(r"\b[0-9]/", "0/", line) for line in done.stdout.splitlines())
    assert unit.split()[:3] == ["u", "UNHEALTHY", "no"], head
    assert reason == "  error 7: queue lost (worker.1)"
    assert rest == [
        "  heartbeats: main 0/30 s, worker.1 0/60 s: queue lost, worker.2 (process gone)",
        "  jobs: import 0/600 s",
        "  checks: monitor 0/17 s: database failed",
        "  expected: worker 1 of 4",
    ]
    (row,) = json.loads(cli(rundir, "status", "--json").stdout)
    assert row["beats"]["worker.1"]["reason"] == "queue lost"
    assert row["checks"]["monitor"]["code"] == 1
    assert row["jobs"]["import"]["ttl"] == 600
    assert (row["expectations"]["worker"]["fresh"], row["expectations"]["worker"]["code"]) == (1, 4)
    assert (row["beats"]["worker.1"]["alive"], row["beats"]["worker.2"]["alive"]) == (True, False)
    puppet("monitor.stop()")
    worker.kill()


def test_status_shows_the_process_as_the_kernel_does(puppet: Puppet, rundir: Path) -> None:
    loaded(puppet)
    puppet("held = bytearray(50_000_000)")
    (row,) = json.loads(ok(rundir, "status", "--json"))
    assert (row["unit"], row["healthy"], row["ready"], row["pid"]) == ("u", True, True, puppet.pid)
    assert row["memory"] > 50_000_000
    assert row["threads"] == 1
    assert row["files"] == puppet("len(os.listdir('/proc/self/fd'))") - 1
    assert 0 <= row["age"] < 600
    assert row["cpu_percent"] > 0


def test_status_shows_a_unit_whose_process_is_gone(puppet: Puppet, rundir: Path) -> None:
    loaded(puppet)
    puppet.kill()
    (row,) = json.loads(cli(rundir, "status", "--json").stdout)
    assert (row["healthy"], row["pid"], row["age"], row["memory"]) == (False, puppet.pid, None, None)
    assert row["reason"] == f"process {puppet.pid} is gone"
    (rundir / "broken").mkdir()
    (rundir / "broken" / "pid").mkdir()
    assert "cannot read pid" in cli(rundir, "status").stdout


def test_status_without_any_unit_says_so(rundir: Path) -> None:
    done = cli(rundir, "status")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"liveness: {rundir}: no units")
    assert cli(rundir, "status", "-d", "/not/there").returncode == 1
    done = cli(rundir, "status", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (1, [])


def test_status_works_without_psutil(puppet: Puppet, rundir: Path) -> None:
    loaded(puppet)
    (rundir / "psutil.py").write_text("raise ImportError")
    done = cli(rundir, "status", PYTHONPATH=f"{rundir}:{ROOT}")
    assert done.stdout.splitlines()[1].split() == ["u", "healthy", "yes", str(puppet.pid), "-", "-", "-", "-", "-"]


@pytest.mark.parametrize("columns", [20, 40, 60, 80, 132])
def test_the_table_fits_its_terminal(puppets: Puppets, rundir: Path, columns: int) -> None:
    loaded(puppets("deployment-7d9f8b6c5d-x2x4z"))("liveness.set(3, 'x' * 200); liveness.beat(900)")
    units = status.rows(str(rundir))
    lines = status.table(units, columns, colored=False).splitlines()
    # The name of a unit is never cut.
    assert [len(line) for line in lines if "deployment" not in line and len(line) > max(columns, 26)] == []
    assert any("deployment-7d9f8b6c5d-x2x4z" in line for line in lines)
    assert "UNHEALTHY" in "".join(lines)


def test_many_heartbeats_take_three_lines_at_most_and_no_line_ends_in_the_middle_of_one(
    puppet: Puppet, rundir: Path
) -> None:
    loaded(puppet)("for number in range(40): liveness.beat(30, f'worker.{number:02}')")
    lines = status.table(status.rows(str(rundir)), 60, colored=False).splitlines()[2:]
    assert len(lines) == 3
    assert [line.startswith("  heartbeats: " if line is lines[0] else "    ") for line in lines] == [True] * 3
    assert [bool(re.search(r"\d/30 s,( \.\.\.)?$", line)) for line in lines] == [True] * 3
    assert len(json.loads(ok(rundir, "status", "--json"))[0]["beats"]) == 40


def test_an_error_without_a_reason_is_shown_by_its_code(puppet: Puppet, rundir: Path, judge: Judge) -> None:
    loaded(puppet)("liveness.set(7, None)")
    assert judge() == "error 7"
    assert cli(rundir, "status").stdout.splitlines()[2] == "  error 7"


def in_a_terminal(rundir: Path, **more: str) -> str:
    """What it prints on a terminal."""
    leader, follower = pty.openpty()
    with subprocess.Popen(
        [*LIVENESS, "status"], stdout=follower, stderr=follower, env={**environment(rundir), "TERM": "xterm", **more}
    ) as process:
        os.close(follower)
        said = b""
        try:
            while data := os.read(leader, 1000):
                said += data
        except OSError:
            # Linux says so of a terminal that nobody has open any more.
            pass
        process.wait()
    os.close(leader)
    return said.decode()


def test_only_a_terminal_gets_colors_unless_the_environment_decides(puppet: Puppet, rundir: Path) -> None:
    loaded(puppet)
    assert "\x1b[32m" in in_a_terminal(rundir)
    assert "\x1b" not in in_a_terminal(rundir, NO_COLOR="1")
    assert "\x1b" not in in_a_terminal(rundir, TERM="dumb")
    assert "\x1b" not in ok(rundir, "status")
    # For `watch -c`, whose pipe is not a terminal.
    assert "\x1b[32m" in ok(rundir, "status", CLICOLOR_FORCE="1")
    assert "\x1b" not in ok(rundir, "status", CLICOLOR_FORCE="0")
    assert "\x1b" not in ok(rundir, "status", CLICOLOR_FORCE="1", NO_COLOR="1")
    assert "\x1b[32m" in ok(rundir, "status", "--color")
    assert "\x1b[32m" in ok(rundir, "status", "--color=always", NO_COLOR="1")
    assert "\x1b" not in ok(rundir, "status", "--color", "auto")
    assert "\x1b" not in ok(rundir, "status", "--color=never", CLICOLOR_FORCE="1")


@pytest.mark.parametrize(
    "arguments", [["check"], ["check", "--json"], ["check", "-v"], ["status"], ["status", "--json"]]
)
def test_an_output_that_cannot_be_written_does_not_change_the_exit_status(
    puppet: Puppet, rundir: Path, arguments: list[str]
) -> None:
    def statuses() -> list[int]:
        found = [cli(rundir, *arguments).returncode]
        for redirection in (">/dev/full 2>/dev/full", ">&-", "2>&-", ">&- 2>&-"):
            command = f"exec {' '.join([*LIVENESS, *arguments])} {redirection}"
            done = subprocess.run(["sh", "-c", command], env=environment(rundir), stderr=subprocess.PIPE, check=False)
            assert b"Traceback" not in done.stderr
            found.append(done.returncode)
        reader, writer = os.pipe()
        os.close(reader)
        found.append(
            subprocess.run(
                [*LIVENESS, *arguments], stdout=writer, stderr=writer, env=environment(rundir), check=False
            ).returncode
        )
        os.close(writer)
        return found

    assert set(statuses()) == {1}
    loaded(puppet)
    assert set(statuses()) == {0}
    puppet("liveness.set(7)")
    assert set(statuses()) == {1}


def test_the_verbs_work_with_everything_closed(puppet: Puppet, rundir: Path, judge: Judge) -> None:
    loaded(puppet)
    for arguments in ("set 3 all is lost", "set 0", "beat 9", "run -u other -- true"):
        command = f"exec {' '.join(LIVENESS)} {arguments} <&- >&- 2>&-"
        assert subprocess.run(["sh", "-c", command], env=environment(rundir), check=False).returncode == 0
        if "lost" in arguments:
            assert judge() == "error 3: all is lost"


def test_a_reader_that_closes_the_pipe_early_is_not_an_error(puppet: Puppet, rundir: Path) -> None:
    loaded(puppet)
    command = f"{' '.join(LIVENESS)} status 2>'{rundir}/err' | true; echo done"
    done = subprocess.run(["sh", "-c", command], env=environment(rundir), capture_output=True, text=True, check=True)
    assert done.stdout == "done\n"
    assert (rundir / "err").read_text() == ""


# Misuse


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "required: COMMAND"),
        (["chek"], "did you mean check?"),
        (["check", "--jsno"], "did you mean --json?"),
        (["check", "redy"], "did you mean ready?"),
        (["check", "live", "ready"], "unknown argument: ready"),
        (["status", "-u", "x"], "unknown argument: -u"),
        (["set"], "required: CODE"),
        (["set", "x"], "not a whole number: x"),
        (["set", "-1"], "-1"),
        (["set", "9" * 21], "must be a whole number from 0"),
        (["set", "²"], "not a whole number"),
        (["set", " "], "not a whole number"),
        (["beat", "0"], "ttl: 0: must be whole seconds"),
        (["beat", "9", "-n", "../x"], "must be 1 to 100 of"),
        (["check", "-u", "a/b"], "not a unit name"),
        (["check", "-d", "run"], "not an absolute path"),
        (["run", "--chek", "x"], "did you mean --check?"),
    ],
)
def test_wrong_usage_is_reported_in_one_line_with_a_suggestion(
    puppet: Puppet, rundir: Path, arguments: list[str], words: str
) -> None:
    loaded(puppet)
    done = cli(rundir, *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_each_command_is_complete(rundir: Path, command: str) -> None:
    said = ok(rundir, command, "--help")
    assert said.startswith(f"usage: python -m liveness {command}")
    assert "Exit status: 0 healthy or done, 1 unhealthy or failed, 2 wrong usage." in said
    assert command in ok(rundir, "--help")
    (commands,) = (action for action in cli_module._parser("liveness")._actions if action.choices)
    assert isinstance(commands.choices, dict)
    assert all(action.help for action in commands.choices[command]._actions)


def test_a_quick_command_loads_only_what_it_needs(rundir: Path) -> None:
    program = "import sys; from liveness.cli import main; main(['check', '-q']); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-S", "-c", program], capture_output=True, text=True, check=True, env=environment(rundir)
    )
    assert not {"liveness.status", "liveness.monitor", "json", "psutil", "threading", "logging"} & set(
        done.stdout.split()
    )


def test_the_verdict_of_the_command_is_that_of_the_module(puppet: Puppet, rundir: Path) -> None:
    loaded(puppet)
    assert ok(rundir, "check", "-v") == f"{probe.live('u', rundir)}\n"


def test_end_beat_removes_a_heartbeat_of_the_holder_or_of_a_process_that_ended(
    puppet: Puppet, rundir: Path, judge: Judge
) -> None:
    loaded(puppet)
    ok(rundir, "beat", "1", "-n", "poller")
    assert (rundir / "u" / "beat" / "poller").exists()
    ok(rundir, "end-beat", "poller")
    ok(rundir, "end-beat", "poller")
    assert judge().startswith("healthy: ")
    child = puppet.spawn()
    child("liveness.beat(900, 'consumer')")
    done = cli(rundir, "end-beat", "consumer")
    assert (done.returncode, done.stderr) == (
        1,
        f"liveness: {rundir}/u/beat/consumer: cannot end this heartbeat: process {child.pid}, which is alive, renews "
        "it (end it there, or give each loop a name)\n",
    )
    child.kill()
    until(lambda: judge() == f"heartbeat 'consumer': process {child.pid} is gone")
    ok(rundir, "end-beat", "consumer")
    assert judge().startswith("healthy: ")


def test_the_version_is_that_of_the_changes(rundir: Path) -> None:
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert newest is not None
    assert ok(rundir, "--version") == f"liveness {newest[1]}\n"


def test_a_star_import_leaves_the_builtins_alone() -> None:
    import builtins

    import liveness

    assert set(liveness.__all__).isdisjoint(dir(builtins))


def test_a_reason_that_begins_with_a_dash_follows_two(puppet: Puppet, rundir: Path, judge: Judge) -> None:
    loaded(puppet)
    ok(rundir, "set", "7", "--", "-oops")
    assert judge() == "error 7: -oops"
    done = cli(rundir, "set", "7", "-oops")
    assert done.returncode == 2
    assert "unknown argument: -oops (write -- before text that begins with -)" in done.stderr
    assert cli(rundir, "set").stderr == (
        "python -m liveness set: the following arguments are required: CODE (see python -m liveness set -h)\n"
    )
