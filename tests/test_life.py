"""Lives: who holds a unit, who may write to it, and what happens when that cannot be told."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from judge import Judge
from stage import BECOME_NOBODY, ROOT, Puppet, PuppetError, needs_root, start_of, until

from liveness import LivenessError, Unit
from liveness.directory import Unreadable
from liveness.life import Life

Puppets = Callable[..., Puppet]


def files(unit: Path) -> list[str]:
    return sorted(str(path.relative_to(unit)) for path in unit.rglob("*") if path.is_file())


def healthy(pid: int, beats: int = 0) -> str:
    return f"healthy: process {pid}, error 0, fresh heartbeats: {beats}"


# Two loads at one moment

# Stops a process before its next call that changes the directory, until it is told to take another step.
STEPS = """
def stepwise(name):
    def wrapped(*arguments, function=getattr(os, name), **keywords):
        if threading.current_thread() is loader and "/u/" in str(arguments[0]):
            os.write(halted, b"x")
            os.read(steps, 1)
        return function(*arguments, **keywords)
    setattr(os, name, wrapped)
halts, halted = os.pipe()
steps, step = os.pipe()
for name in ("open", "link", "rename", "unlink"): stepwise(name)
def load():
    global outcome
    try: liveness.load(); liveness.set(); outcome = "holds"
    except liveness.TakenOver: outcome = "lost"
    except BaseException as error: outcome = repr(error)
    os.write(halted, b"e")
def begin():
    global loader, outcome
    outcome = ""
    loader = threading.Thread(target=load, daemon=True)
    loader.start()
    return os.read(halts, 1).decode()
def go(times):
    for _ in range(times):
        if outcome: return outcome
        os.write(step, b"x")
        if os.read(halts, 1) == b"e": return outcome
    return outcome
"""


def test_of_two_loads_at_one_moment_one_holds_the_unit_and_both_know_which(puppets: Puppets, judge: Judge) -> None:
    # Each takes a random number of steps in turn, until both have ended.
    pair = [puppets(), puppets()]
    for puppet in pair:
        puppet("import logging; logging.disable(logging.CRITICAL)")
        puppet(STEPS)
    chance = random.Random(4711)
    lost = tried = 0
    end = time.monotonic() + 15
    while time.monotonic() < end:
        tried += 1
        for puppet in pair:
            puppet("begin()")
        outcomes = ["", ""]
        history = []
        while not all(outcomes):
            turn = chance.randrange(2)
            times = chance.choice([1, 1, 2, 3, 5, 30])
            history.append((turn, times))
            outcomes[turn] = outcomes[turn] or pair[turn](f"go({times})")
        holders = [puppet for puppet, outcome in zip(pair, outcomes, strict=True) if outcome == "holds"]
        lost += outcomes.count("lost")
        words = judge.python()
        # Two that hold have loaded one after the other: then the first was replaced, and finds out at its next verb.
        assert words in [healthy(puppet.pid) for puppet in holders], (outcomes, words, history)
        assert set(outcomes) <= {"holds", "lost"}, (outcomes, history)
        if len(holders) == 2:
            loser = next(puppet for puppet in holders if words != healthy(puppet.pid))
            with pytest.raises(PuppetError, match="TakenOver"):
                loser("loader = None; liveness.set()")
    assert lost > 20, (lost, tried)


def test_siblings_that_load_one_unit_at_one_moment_never_break_it(rundir: Path, judge: Judge) -> None:
    # The main program of a pool forgets its guard, and every worker loads.
    program = (
        "import os, sys, time, liveness, logging\n"
        "logging.disable(logging.CRITICAL)\n"
        "while time.time() < float(sys.argv[1]): pass\n"
        "try: liveness.load(); liveness.set(); print('holds', flush=True)\n"
        "except liveness.TakenOver: print('lost', flush=True)\n"
        "sys.stdin.read()\n"
    )
    environment = {
        **os.environ, "LIVENESS_RUNDIR": str(rundir), "LIVENESS_UNIT_NAME": "u", "PYTHONPATH": str(ROOT)
    }  # fmt: skip
    for _ in range(10):
        begin = str(time.time() + 0.5)
        pair = [
            subprocess.Popen(
                [sys.executable, "-c", program, begin],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
            )
            for _ in range(3)
        ]  # fmt: skip
        said = [process.stdout.readline().strip() for process in pair if process.stdout]
        holders = [process.pid for process, words in zip(pair, said, strict=True) if words == "holds"]
        assert judge.python() in [healthy(pid) for pid in holders], said
        for process in pair:
            process.communicate()


# What cannot be read is not taken for another's


def test_an_unreadable_life_is_neither_ours_nor_over(puppet: Puppet, rundir: Path, judge: Judge) -> None:
    puppet("unit = liveness.unit.find(); liveness.load(); liveness.set(); unit.beat(600)")
    # Another inode with the same content, so that a look at the files is not enough.
    for name in ("pid", "start"):
        text = (rundir / "u" / name).read_text()
        (rundir / "u" / name).unlink()
        (rundir / "u" / name).write_text(text)
    assert puppet("unit.life.standing()") == "ours"
    puppet("import resource; many = resource.getrlimit(resource.RLIMIT_NOFILE)")
    puppet("resource.setrlimit(resource.RLIMIT_NOFILE, (3, many[1]))")
    assert puppet("unit.life.standing()") == "unknown"
    # Healthy may not be declared in a life that is perhaps another's; an alarm may.
    with pytest.raises(PuppetError, match="LivenessError: .*cannot write 0: "):
        puppet("liveness.set()")
    with pytest.raises(PuppetError, match="LivenessError: .*cannot write 7: .*it was removed instead"):
        puppet("liveness.set(7)")
    assert judge() == f"not set (no error code in {rundir}/u)"
    puppet("resource.setrlimit(resource.RLIMIT_NOFILE, many)")
    puppet("liveness.set()")
    assert judge() == healthy(puppet.pid, 1)


def test_a_moment_without_descriptors_does_not_end_the_heartbeat_of_a_spawned_worker(
    puppet: Puppet, judge: Judge, rundir: Path
) -> None:
    puppet("liveness.load(); liveness.set()")
    worker = puppet.spawn()
    worker("liveness.beat(60)")
    worker("import resource; many = resource.getrlimit(resource.RLIMIT_NOFILE)")
    worker("resource.setrlimit(resource.RLIMIT_NOFILE, (3, many[1]))")
    worker("liveness.beat(61); liveness.beat(62)")
    worker("resource.setrlimit(resource.RLIMIT_NOFILE, many)")
    worker("liveness.beat(63)")
    assert (rundir / "u" / "beat" / f"worker.{worker.pid}").read_text().split()[1] == "63"
    assert judge() == healthy(puppet.pid, 1)
    worker.kill()


def test_reset_without_descriptors_leaves_nothing_that_is_healthy_and_says_so(
    puppet: Puppet, judge: Judge, rundir: Path
) -> None:
    puppet("liveness.load(); liveness.set(); liveness.beat(600)")
    puppet("import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (3, 4096))")
    with pytest.raises(PuppetError, match="LivenessError: .*cannot remove the state: too many open files"):
        puppet("liveness.reset()")
    # The heartbeats cannot be listed; everything else is gone.
    assert files(rundir / "u") == ["beat/main"]
    assert judge() == f"not loaded (no pid in {rundir}/u)"


@needs_root
@pytest.mark.parametrize("mode", [0o755, 0o700])
def test_reset_without_a_right_to_the_directory_empties_the_pid_and_says_so(
    puppet: Puppet, judge: Judge, rundir: Path, mode: int
) -> None:
    puppet("liveness.load(); liveness.set()")
    rundir.chmod(mode)
    puppet(BECOME_NOBODY)
    with pytest.raises(PuppetError, match="LivenessError: .*cannot remove the state: permission denied"):
        puppet("liveness.reset()")
    assert judge() == "pid is not a number"


def test_reset_removes_the_rest_when_one_file_cannot_be_removed(rundir: Path, judge: Judge) -> None:
    unit = Unit("u", rundir)
    unit.load()
    unit.set()
    unit.beat(600)
    (rundir / "u" / "ready").mkdir()
    with pytest.raises(LivenessError, match=r"/u/ready: cannot remove the state: is a directory \(remove it\)"):
        unit.reset()
    assert files(rundir / "u") == []
    (rundir / "u" / "ready").rmdir()
    unit.reset()


def test_a_load_that_cannot_read_whose_life_it_is_removes_nothing(puppet: Puppet, rundir: Path) -> None:
    (rundir / "u").mkdir()
    os.mkfifo(rundir / "u" / "pid")
    (rundir / "u" / "error").write_text("0")
    with pytest.raises(PuppetError, match="/u: cannot load: cannot read pid: not a regular file"):
        puppet("liveness.load()")
    assert files(rundir / "u") == ["error"]


def test_a_load_that_fails_after_its_pid_was_written_takes_the_pid_back(
    rundir: Path, judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> bool:
        raise Unreadable("start", OSError(24, "Too many open files"))

    unit = Unit("u", rundir)
    with monkeypatch.context() as patch:
        patch.setattr(Life, "_is_on_disk", fail)
        with pytest.raises(LivenessError, match="/u: cannot write: cannot read start: too many open files"):
            unit.load()
    assert judge() == f"not loaded (no pid in {rundir}/u)"
    unit.load()
    unit.set()
    assert judge() == healthy(os.getpid())
    unit.reset()


# Membership


def test_a_one_off_program_of_the_same_container_leaves_no_heartbeat_behind(
    puppets: Puppets, judge: Judge, rundir: Path
) -> None:
    # Two puppets are siblings: the second does not descend from the first.
    worker, one_off = puppets(), puppets(stderr=subprocess.PIPE)
    worker("liveness.load(); liveness.beat(600); liveness.set()")
    one_off("liveness.beat(1); liveness.beat(2); liveness.beat(1, 'other'); liveness.expect('worker', 4, within=1)")
    one_off("with liveness.deadline(1): pass")
    one_off("liveness.heartbeat(1).__enter__() and None")
    assert files(rundir / "u" / "beat") == ["main"]
    # It may declare, as an operator does with `kubectl exec`.
    one_off("liveness.set_ready(False, 'by hand')")
    assert judge(mode="ready") == "not ready: by hand"
    one_off("liveness.set_ready()")
    one_off.signal(signal.SIGKILL)
    assert one_off.process.stderr is not None
    said = one_off.process.stderr.read()
    assert said.count(f"was not started by process {worker.pid}, which holds this unit, so nothing is written") == 1
    time.sleep(2)
    assert judge() == healthy(worker.pid, 1)


def test_every_descendant_of_the_holder_may_beat(puppet: Puppet, judge: Judge, rundir: Path) -> None:
    puppet("liveness.load(); liveness.set()")
    child = puppet.spawn()
    grandchild = child.spawn()
    grandchild("liveness.beat(60)")
    # A child that was forked by a program that was spawned.
    forked = child("pid = os.fork()\nif not pid: liveness.beat(60); time.sleep(1000)") or child("pid")
    until(lambda: judge() == healthy(puppet.pid, 2))
    assert files(rundir / "u" / "beat") == sorted([f"worker.{grandchild.pid}", f"worker.{forked}"])
    os.kill(forked, signal.SIGKILL)
    grandchild.kill()
    child.kill()


def test_a_program_that_loads_and_then_executes_another_is_still_the_holder(rundir: Path, judge: Judge) -> None:
    program = (
        "import os, sys, liveness\n"
        "if len(sys.argv) < 2:\n"
        "    liveness.load(); os.execv(sys.executable, [sys.executable, sys.argv[0], 'again'])\n"
        "liveness.beat(60); liveness.set(); print(flush=True); sys.stdin.read()\n"
    )
    (rundir / "program.py").write_text(program)
    process = subprocess.Popen(
        [sys.executable, str(rundir / "program.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env={**os.environ, "LIVENESS_RUNDIR": str(rundir), "LIVENESS_UNIT_NAME": "u", "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()
    assert judge() == healthy(process.pid, 1)
    assert files(rundir / "u" / "beat") == ["main"]
    process.communicate()


def test_a_first_beat_in_a_unit_that_nobody_has_loaded_is_an_error(puppet: Puppet, rundir: Path) -> None:
    (rundir / "u").mkdir()
    for verb in ("beat(9)", "expect('worker', 2)", "deadline(9).__enter__()"):
        with pytest.raises(PuppetError, match=r"/u: nobody has loaded this unit \(call load\(\) first\)"):
            puppet(f"liveness.{verb}")
    assert files(rundir / "u") == []


def test_a_worker_of_a_unit_that_a_shell_script_has_written_may_beat(rundir: Path, judge: Judge) -> None:
    # Without a start file, as the founding contract allows.
    (rundir / "u").mkdir()
    (rundir / "worker.py").write_text("import liveness, sys; liveness.beat(60); print(flush=True); sys.stdin.read()")
    script = f"mkdir -p u; printf 0 >u/error; printf %s $$ >u/pid; {sys.executable} worker.py; :"
    process = subprocess.Popen(
        ["sh", "-c", script], cwd=rundir, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env={**os.environ, "LIVENESS_RUNDIR": str(rundir), "LIVENESS_UNIT_NAME": "u", "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()
    assert judge() == healthy(process.pid, 1)
    process.communicate()


# Checkpoint and restore


def restored(puppet: Puppet, rundir: Path) -> str:
    """Makes a process one that was restored: in memory and on the disk is another start time than the kernel's."""
    old = str(int(start_of(puppet.pid)) - 100)
    (rundir / "u" / "start").write_text(old)
    puppet(f"liveness.unit.find().life.held.start = {old!r}")
    return old


def test_the_next_beat_of_a_restored_process_makes_it_healthy_again(puppet: Puppet, judge: Judge, rundir: Path) -> None:
    puppet("liveness.load(); liveness.beat(600); liveness.set()")
    restored(puppet, rundir)
    assert judge() == f"pid {puppet.pid} belongs to another process"
    puppet("liveness.beat(601)")
    assert (rundir / "u" / "start").read_text() == start_of(puppet.pid)
    assert judge() == healthy(puppet.pid, 1)
    puppet("liveness.set(7)")
    assert judge() == "error 7"


def test_a_restored_process_may_load_again(puppet: Puppet, judge: Judge, rundir: Path) -> None:
    puppet("liveness.load(); liveness.set()")
    restored(puppet, rundir)
    puppet("liveness.load(); liveness.beat(9); liveness.set()")
    assert judge() == healthy(puppet.pid, 1)


def test_the_children_of_a_restored_process_are_still_its_own(puppet: Puppet, judge: Judge, rundir: Path) -> None:
    puppet("liveness.load(); liveness.beat(600); liveness.set()")
    puppet("hear, told = os.pipe(); back, answer = os.pipe()")
    puppet("unit = liveness.unit.find(); liveness.load(); liveness.set()")
    old = restored(puppet, rundir)
    child = puppet(
        "def fork():\n"
        "  pid = os.fork()\n"
        "  if pid: return pid\n"
        "  os.read(hear, 1)\n"
        "  try: liveness.beat(60); liveness.set(7, 'child'); said = 'fine'\n"
        "  except BaseException as error: said = repr(error)\n"
        "  os.write(answer, said.encode()); time.sleep(1000)"
    ) or puppet("fork()")
    puppet("liveness.beat(601)")
    assert (rundir / "u" / "start").read_text() != old
    puppet("os.write(told, b'x')")
    assert puppet("os.read(back, 1000).decode()") == "fine"
    assert judge() == "error 7: child"
    puppet("liveness.set()")
    assert judge() == healthy(puppet.pid, 2)
    os.kill(child, signal.SIGKILL)


# A clock that goes back


def test_a_clock_that_goes_back_does_not_stop_a_heartbeat(rundir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As for a process that is restored on a machine that was booted later.
    from liveness import heartbeats, proc

    now = [5000.0]
    monkeypatch.setattr(heartbeats, "clock_gettime", lambda _: now[0])
    monkeypatch.setattr(proc, "clock", lambda: now[0])
    unit = Unit("u", rundir)
    unit.load()
    unit.beat(9)
    now[0] = 100.0
    unit.beat(9)
    assert (rundir / "u" / "beat" / "main").read_text().split()[0] == "100"
    unit.reset()


# Descriptors


def test_verbs_and_probes_leave_no_descriptor_open(puppet: Puppet, rundir: Path) -> None:
    puppet("from liveness import probe; logging.disable(logging.CRITICAL)")
    puppet("def count(): return len(os.listdir('/proc/self/fd'))")
    puppet(
        "def life():\n"
        "  liveness.load()\n"
        "  liveness.beat(9); liveness.beat(9, 'w.1'); liveness.beat(8, error=7, reason='x'); liveness.expect('w', 1)\n"
        "  with liveness.deadline(9): probe.ready('u'); liveness.set(3); liveness.set(); liveness.set_ready(False)\n"
        "  liveness.end_beat('w.1'); os.mkdir(f'{unit.path}/beat/w.1')\n"
        "  try: liveness.beat(9, 'w.1')\n"
        "  except liveness.LivenessError: pass\n"
        "  os.rmdir(f'{unit.path}/beat/w.1'); probe.live('u'); liveness.reset()"
    )
    puppet("unit = liveness.unit.find(); life()")
    before = puppet("count()")
    puppet("for _ in range(50): life()")
    assert puppet("count()") == before
