"""The command `liveness`: the verdict, the table, and the verbs for shell programs and operators."""

from __future__ import annotations

import json
import os
import pty
import random
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
COMMANDS = ("check", "status", "run", "set", "ready", "unready", "beat", "reset")


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


def ok(rundir: Path, *arguments: str) -> str:
    done = cli(rundir, *arguments)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def loaded(puppet: Puppet) -> Puppet:
    puppet("liveness.load([]); liveness.set()")
    return puppet


# check


@pytest.mark.parametrize("mode", ["live", "ready"])
def test_check_says_what_health_sh_says(puppet: Puppet, rundir: Path, mode: str) -> None:
    for step in ("", "liveness.load([])", "liveness.set()", "liveness.set_ready(False, 'draining')", "liveness.set(7)"):
        if step:
            puppet(step)
        for options in ([], ["-q"], ["-v"], ["-u", "u", "-u", "other"]):
            shell = subprocess.run(
                ["sh", HEALTH_SH, *options, mode], capture_output=True, text=True, check=False, env=environment(rundir)
            )
            ours = cli(rundir, "check", *options, mode)
            assert (ours.returncode, ours.stdout, ours.stderr) == (shell.returncode, shell.stdout, shell.stderr)


def test_check_says_it_in_json(puppet: Puppet, rundir: Path) -> None:
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


def test_a_shell_program_can_say_how_a_unit_is(puppet: Puppet, rundir: Path, judge: Judge) -> None:
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


def test_a_beat_from_the_command_line_is_that_of_the_process_that_loaded(
    puppet: Puppet, rundir: Path, judge: Judge
) -> None:
    loaded(puppet)
    ok(rundir, "beat", "30")
    ok(rundir, "beat", "1", "-n", "poller")
    assert (rundir / "u/beat/main").read_text().split()[1:] == ["30", str(puppet.pid), start_of(puppet.pid)]
    assert judge() == f"healthy: process {puppet.pid}, error 0, fresh heartbeats: 2"
    until(lambda: judge.python().startswith("no heartbeat 'poller'"))


@pytest.mark.parametrize("command", [["set", "0"], ["ready"], ["unready", "x"], ["beat", "9"]])
def test_a_word_on_a_unit_that_nobody_has_loaded_is_refused(rundir: Path, command: list[str]) -> None:
    (rundir / "u").mkdir()
    done = cli(rundir, *command)
    assert done.returncode == 1
    assert done.stderr.startswith("liveness: ")
    assert "no pid in" in done.stderr or "no living process" in done.stderr
    assert list((rundir / "u").iterdir()) == []


def test_a_beat_for_a_dead_process_is_refused(puppet: Puppet, rundir: Path) -> None:
    loaded(puppet)
    puppet.kill()
    done = cli(rundir, "beat", "9")
    assert (done.returncode, "no living process" in done.stderr) == (1, True)
    assert not (rundir / "u/beat/main").exists()


def test_a_reset_of_nothing_is_no_error(rundir: Path) -> None:
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
def test_a_command_that_is_killed_at_any_moment_leaves_the_old_word_or_the_new(
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


def test_its_status_and_arguments_are_its_own(rundir: Path) -> None:
    done = cli(rundir, "run", "--", "sh", "-c", 'echo "$#:$*"; exit 42', "sh", "--check", "-h", "a b")
    assert (done.returncode, done.stdout) == (42, "3:--check -h a b\n")
    assert cli(rundir, "run", "sh", "-c", "exit 5").returncode == 5


def test_a_program_gets_its_signals_as_it_would_alone(rundir: Path) -> None:
    shown = ok(rundir, "run", "--", "grep", "-E", "^Sig(Ign|Blk)", "/proc/self/status")
    alone = subprocess.run(
        ["grep", "-E", "^Sig(Ign|Blk)", "/proc/self/status"], capture_output=True, text=True, check=True
    ).stdout
    assert shown == alone


def test_its_checks_come_first(rundir: Path, judge: Judge) -> None:
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


def test_what_cannot_be_run_leaves_nothing_that_looks_healthy(rundir: Path, judge: Judge) -> None:
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


def test_one_that_is_killed_before_it_runs_leaves_nothing_that_looks_healthy(rundir: Path, judge: Judge) -> None:
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
    assert beats in ("  main 0/30 s, poller 0/60 s", "  main 1/30 s, poller 1/60 s", "  main 2/30 s, poller 2/60 s")
    assert max(map(len, done.stdout.splitlines())) <= 80
    other("liveness.set()")
    assert cli(rundir, "status").returncode == 0


def test_status_tells_of_the_process_what_the_kernel_does(puppet: Puppet, rundir: Path) -> None:
    loaded(puppet)
    puppet("held = bytearray(50_000_000)")
    (row,) = json.loads(ok(rundir, "status", "--json"))
    assert (row["unit"], row["healthy"], row["ready"], row["pid"]) == ("u", True, True, puppet.pid)
    assert row["memory"] > 50_000_000
    assert row["threads"] == 1
    assert row["files"] == puppet("len(os.listdir('/proc/self/fd'))") - 1
    assert 0 <= row["age"] < 600
    assert row["cpu_percent"] > 0


def test_status_shows_what_there_is_of_a_dead_one(puppet: Puppet, rundir: Path) -> None:
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


def test_there_is_color_on_a_terminal_alone_and_only_if_it_is_wanted(puppet: Puppet, rundir: Path) -> None:
    loaded(puppet)
    assert "\x1b[32m" in in_a_terminal(rundir)
    assert "\x1b" not in in_a_terminal(rundir, NO_COLOR="1")
    assert "\x1b" not in in_a_terminal(rundir, TERM="dumb")
    assert "\x1b" not in ok(rundir, "status")


@pytest.mark.parametrize(
    "arguments", [["check"], ["check", "--json"], ["check", "-v"], ["status"], ["status", "--json"]]
)
def test_that_nobody_reads_what_is_said_changes_no_status(puppet: Puppet, rundir: Path, arguments: list[str]) -> None:
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


def test_a_reader_that_has_seen_enough_is_no_error(puppet: Puppet, rundir: Path) -> None:
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
        (["beat", "9", "-n", "../x"], "not a heartbeat's"),
        (["check", "-u", "a/b"], "not a unit name"),
        (["check", "-d", "run"], "not an absolute path"),
        (["run", "--chek", "x"], "did you mean --check?"),
    ],
)
def test_misuse_is_told_in_one_line_with_what_was_meant(
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
    assert "Exit status: 0 healthy or done, 1 not, 2 misuse." in said
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
