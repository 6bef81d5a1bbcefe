"""Heartbeats: found when they stop, never called dead before, and harmless to the loop that beats."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judge import Judge
from stage import BECOME_NOBODY, ROOT, Puppet, PuppetError, needs_root, start_of, until, uptime

from liveness import BadArgument, LivenessError, Unit, formats, heartbeats, proc
from liveness.directory import Directory

Puppets = Callable[..., Puppet]


def on_disk(rundir: Path, name: str = "main") -> list[str]:
    return (rundir / "u" / "beat" / name).read_text().split()


class Clock:
    """The boot clock by hand, and /proc/uptime as it would show it."""

    def __init__(self, now: float, offset: float) -> None:
        self.now = now
        self.offset = offset

    def boottime(self, _: int) -> float:
        return self.now

    def uptime(self) -> float:
        # Hundredths, cut off.
        return int((self.now + self.offset) * 100) / 100


@settings(max_examples=60, deadline=None)
@given(
    phase=st.floats(0, 1, exclude_max=True),
    offset=st.sampled_from([0.0, -1234.567, 3.003]),
    ttl=st.integers(1, 9),
    pauses=st.lists(st.floats(0, 1), min_size=1, max_size=30),
)
def test_a_loop_that_calls_at_any_interval_up_to_its_ttl_is_never_called_dead(
    tmp_path_factory: pytest.TempPathFactory, phase: float, offset: float, ttl: int, pauses: list[float]
) -> None:
    clock = Clock(5000 + phase, offset)
    rundir = tmp_path_factory.mktemp("r")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(heartbeats, "clock_gettime", clock.boottime)
        patch.setattr(proc, "clock", clock.uptime)
        unit = Unit("u", rundir)
        unit.load([])
        for share in pauses:
            unit.beat(ttl)
            clock.now += share * ttl
            beat = formats.decode_lease((rundir / "u" / "beat" / "main").read_bytes())
            assert beat is not None
            # The moment before the next call.
            assert beat.is_fresh(max(beat.at, int(clock.uptime() - 0.000001))), (clock.now, beat.at)
        unit.beat(ttl)
        clock.now += ttl + 1.02
        beat = formats.decode_lease((rundir / "u" / "beat" / "main").read_bytes())
        assert beat is not None
        assert not beat.is_fresh(int(clock.uptime()))
        unit.reset()


def test_calls_at_0_and_2_and_10_seconds_keep_a_ttl_of_8_whatever_the_phase(puppet: Puppet, judge: Judge) -> None:
    puppet("liveness.load([])")
    puppet("liveness.set()")
    puppet(
        "def work():\n"
        "  begin = time.clock_gettime(time.CLOCK_BOOTTIME)\n"
        "  for at in (0, 1.9, 9.8):\n"
        "    time.sleep(max(0, begin + at - time.clock_gettime(time.CLOCK_BOOTTIME)))\n"
        "    liveness.beat(8)\n"
    )
    until(lambda: 0.0 < uptime() % 1 < 0.2)
    puppet.tell("work()")
    until(lambda: judge.python().endswith("fresh heartbeats: 1"))
    end = time.monotonic() + 9.6
    while time.monotonic() < end:
        assert judge.python().startswith("healthy")
        time.sleep(0.002)
    puppet.answer()
    assert judge().startswith("healthy")


def test_a_loop_that_stops_is_found_within_its_ttl_and_a_second_and_not_before(puppet: Puppet, judge: Judge) -> None:
    puppet("liveness.load([])")
    puppet("liveness.set()")
    for phase in (0.05, 0.5, 0.93):
        until(lambda phase=phase: 0 <= uptime() % 1 - phase < 0.03)  # type: ignore[misc]
        called = time.monotonic()
        puppet("liveness.beat(2)")
        until(lambda: not judge.python().startswith("healthy"))
        found = time.monotonic() - called
        # A busy machine may look late, never early.
        assert 2 - 0.02 < found < 3 + 2
        assert judge().startswith("no heartbeat 'main' for ")


def test_a_beat_says_when_how_long_and_whose(puppet: Puppet, rundir: Path) -> None:
    puppet("liveness.load([])")
    before = int(uptime())
    puppet("liveness.beat(30)")
    at, *rest = on_disk(rundir)
    assert before <= int(at) <= int(uptime())
    assert rest == ["30", str(puppet.pid), start_of(puppet.pid)]


def test_a_beat_is_written_once_a_second_at_most(puppet: Puppet, rundir: Path) -> None:
    done = subprocess.run(
        ["strace", "-f", "-e", "trace=rename", sys.executable, "-B", "-c",
         "import time, liveness\n"
         f"unit = liveness.Unit('u', {str(rundir)!r})\n"
         "unit.load([])\n"
         "end = time.monotonic() + 3\n"
         "while time.monotonic() < end: unit.beat(9)"],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True, timeout=60,
    )  # fmt: skip
    assert 2 <= done.stderr.count('/beat/main"') <= 5


def test_other_arguments_are_written_at_once(rundir: Path) -> None:
    # A loop that announces a long pause must not be held to the ttl that it gave before.
    unit = Unit("u", rundir)
    unit.load([])
    for ttl in (30, 300, 5, 30):
        unit.beat(ttl)
        assert on_disk(rundir)[1] == str(ttl)
    unit.reset()


@pytest.mark.parametrize("ttl", [0, -1, 1_000_000_000, 1.5, 30.0, "30", None, True])
def test_a_wrong_ttl_is_refused(rundir: Path, ttl: int) -> None:
    with pytest.raises(BadArgument, match="^ttl: .* must be whole seconds from 1 to 999999999"):
        Unit("u", rundir).beat(ttl)


def test_the_largest_ttl_is_read_by_every_probe(puppet: Puppet, judge: Judge) -> None:
    puppet("liveness.load([])")
    puppet("liveness.set()")
    puppet("liveness.beat(999999999)")
    assert judge().endswith("fresh heartbeats: 1")


def test_the_loader_beats_as_main_and_every_other_process_as_a_worker(puppets: Puppets, rundir: Path) -> None:
    puppet = puppets()
    puppet("liveness.load([])")
    puppet("liveness.beat(9)")
    spawned = puppet.spawn()
    spawned("liveness.beat(9)")
    child = puppet(
        "def fork():\n"
        "  pid = os.fork()\n"
        "  if not pid: liveness.beat(9); os._exit(0)\n"
        "  os.waitpid(pid, 0)\n"
        "  return pid"
    ) or puppet("fork()")
    puppet("liveness.Unit().beat(9)")
    assert {path.name for path in (rundir / "u" / "beat").iterdir()} == {
        "main",
        f"worker.{child}",
        f"worker.{spawned.pid}",
    }
    spawned.kill()


def test_a_child_writes_its_first_beat_at_once_though_its_parent_has_just_beaten(puppet: Puppet, rundir: Path) -> None:
    puppet("liveness.load([])")
    puppet("liveness.beat(9, 'loop')")
    child = puppet(
        "def fork():\n"
        "  liveness.beat(9, 'loop')\n"
        "  pid = os.fork()\n"
        "  if not pid: liveness.beat(9, 'loop'); os._exit(0)\n"
        "  os.waitpid(pid, 0)\n"
        "  return pid"
    ) or puppet("fork()")
    assert on_disk(rundir, "loop")[2] == str(child)


def test_one_name_for_two_loops_is_warned_of(puppets: Puppets, rundir: Path, caplog: pytest.LogCaptureFixture) -> None:
    unit, puppet = Unit("u", rundir), puppets()
    unit.load()
    puppet("liveness.beat(9, 'loop')")
    puppet("liveness.beat(9, 'other')")
    unit.beat(9, "loop")
    unit.beat(8, "loop")
    assert len(caplog.messages) == 1
    assert f"heartbeat 'loop' is also renewed by process {puppet.pid}, which is alive" in caplog.messages[0]
    caplog.clear()
    puppet.kill()
    unit.beat(9, "other")
    assert caplog.messages == []


def test_the_first_beat_of_a_name_sweeps_the_dead_of_its_role_and_nothing_else(puppets: Puppets, rundir: Path) -> None:
    puppet = puppets()
    puppet("liveness.load([])")
    beats = rundir / "u" / "beat"
    beats.mkdir()
    living = f"1 1 {puppet.pid} {start_of(puppet.pid)}"
    reused = f"1 1 {puppet.pid} 1"
    gone = "1 1 4194304 1"
    for name, text in {
        "worker.1": gone, "worker.2": reused, "worker.3": living, "worker.4": "what", "worker": gone, "other.1": gone,
    }.items():  # fmt: skip
        (beats / name).write_text(text)
    puppet("liveness.beat(9, 'worker.9')")
    assert sorted(path.name for path in beats.iterdir()) == ["other.1", "worker", "worker.3", "worker.4", "worker.9"]


def test_a_beat_made_while_the_checks_run_is_the_loaders(puppet: Puppet, rundir: Path, judge: Judge) -> None:
    (rundir / "early.py").write_text("import liveness\ndef health(): liveness.beat(9)\n")
    puppet("liveness.load(['early'])")
    puppet("liveness.set()")
    assert judge() == f"healthy: process {puppet.pid}, error 0, fresh heartbeats: 1"
    assert on_disk(rundir)[2] == str(puppet.pid)


def test_end_beat_takes_a_heartbeat_back(rundir: Path, judge: Judge) -> None:
    unit = Unit("u", rundir)
    unit.end_beat()
    unit.load([])
    unit.set()
    unit.end_beat("never")
    unit.beat(1)
    unit.beat(1, "loop")
    unit.end_beat()
    assert judge().endswith("fresh heartbeats: 1")
    unit.end_beat("loop")
    assert judge().endswith("fresh heartbeats: 0")
    unit.beat(1)
    assert judge().endswith("fresh heartbeats: 1")
    unit.reset()


def test_heartbeat_beats_and_ends_it_unless_the_loop_failed(rundir: Path, judge: Judge) -> None:
    unit = Unit("u", rundir)
    unit.load([])
    unit.set()
    with unit.heartbeat(9, "loop") as beat:
        assert judge().endswith("fresh heartbeats: 1")
        for _ in range(3):
            beat()
    assert judge().endswith("fresh heartbeats: 0")
    with pytest.raises(KeyError), unit.heartbeat(1, "loop"):
        raise KeyError
    until(lambda: judge.python().startswith("no heartbeat 'loop' for "))
    unit.reset()


def test_a_forked_child_that_leaves_the_block_of_a_heartbeat_ends_nothing(puppet: Puppet, judge: Judge) -> None:
    puppet("liveness.load([])")
    puppet("liveness.set()")
    puppet("block = liveness.heartbeat(9)")
    puppet("block.__enter__() and None")
    puppet("pid = os.fork()\nif not pid: block.__exit__(None, None, None); os._exit(0)\nos.waitpid(pid, 0)")
    assert judge().endswith("fresh heartbeats: 1")
    puppet("block.__exit__(None, None, None)")
    assert judge().endswith("fresh heartbeats: 0")


# Outages


def test_an_outage_reaches_the_log_once_and_the_loop_never(
    puppet: Puppet, rundir: Path, judge: Judge, caplog: pytest.LogCaptureFixture
) -> None:
    unit = Unit("u", rundir)
    unit.load([])
    unit.set()
    unit.beat(9)
    (rundir / "u").rename(rundir / "away")
    (rundir / "u").mkdir()
    for name in ("pid", "start"):
        (rundir / "away" / name).rename(rundir / "u" / name)
    (rundir / "u" / "beat").write_text("in the way")
    for ttl in (1, 2, 3):
        unit.beat(ttl)
    assert caplog.messages == [
        f"liveness: {rundir}/u: heartbeat 'main' cannot be written, and goes stale: not a directory"
    ]
    (rundir / "u" / "beat").unlink()
    for ttl in (1, 2, 3):
        unit.beat(ttl)
    assert caplog.messages[1:] == [f"liveness: {rundir}/u: heartbeat 'main' is written again"]
    unit.reset()


def test_an_outage_costs_one_attempt_a_second(rundir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unit = Unit("u", rundir)
    attempts = []

    def refuse(self: Directory, name: str, *_: object) -> bool:
        attempts.append(name)
        raise OSError(28, "No space left on device")

    unit.load([])
    unit.beat(9)
    monkeypatch.setattr(Directory, "write", refuse)
    end = time.monotonic() + 2
    while time.monotonic() < end:
        unit.beat(9)
    assert 1 <= len(attempts) <= 4
    unit.reset()


def test_a_first_beat_without_a_directory_or_in_one_that_is_a_link_is_an_error(rundir: Path) -> None:
    with pytest.raises(LivenessError, match=r"/u: nobody has loaded this unit \(call load\(\) first"):
        Unit("u", rundir).beat(9)
    (rundir / "real").mkdir()
    (rundir / "u").symlink_to("real")
    with pytest.raises(LivenessError, match="/u: is a symbolic link"):
        Unit("u", rundir).beat(9)
    assert list((rundir / "real").iterdir()) == []


@needs_root
def test_a_loop_that_lost_its_privileges_goes_stale_and_goes_on(puppets: Puppets, judge: Judge) -> None:
    puppet = puppets(stderr=subprocess.PIPE)
    puppet("liveness.load([])")
    puppet("liveness.beat(1)")
    puppet("liveness.set()")
    puppet(BECOME_NOBODY)
    puppet("end = time.monotonic() + 2.5")
    puppet("while time.monotonic() < end: liveness.beat(1)")
    until(lambda: judge().startswith("no heartbeat 'main' for "))
    puppet.signal(signal.SIGKILL)
    assert puppet.process.stderr is not None
    assert puppet.process.stderr.read().count("cannot be written, and goes stale: permission denied") == 1


def test_a_proc_that_fails_is_an_outage(
    rundir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    unit = Unit("u", rundir)
    unit.load([])

    def fail() -> float:
        raise OSError(24, "Too many open files")

    unit.beat(9)
    monkeypatch.setattr(proc, "clock", fail)
    unit.beat(8)
    assert "cannot be written, and goes stale: too many open files" in caplog.text
    monkeypatch.undo()
    unit.beat(7)
    assert "is written again" in caplog.text
    unit.reset()


def test_a_later_beat_of_a_signal_handler_is_not_undone_by_the_one_it_interrupted(
    rundir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(5000.5, 0)
    monkeypatch.setattr(heartbeats, "clock_gettime", clock.boottime)
    monkeypatch.setattr(proc, "clock", clock.uptime)
    unit = Unit("u", rundir)
    unit.load([])
    unit.beat(9)
    clock.now += 1
    write = Directory.write

    def interrupted(self: Directory, *arguments: Any) -> bool:
        monkeypatch.setattr(Directory, "write", write)
        clock.now += 1
        unit.beat(9)
        return write(self, *arguments)

    monkeypatch.setattr(Directory, "write", interrupted)
    unit.beat(9)
    assert on_disk(rundir)[0] == "5002"
    unit.reset()


# Stacks


def hung(program: str, rundir: Path, seconds: float) -> subprocess.CompletedProcess[str]:
    """Runs a program in a process of its own for that long, and kills it if it has not ended."""
    # logging first: its hooks for forks then come between ours and the fork.
    text = "import logging, liveness, os, sys, threading, time\n"
    text += f"unit = liveness.Unit('u', {str(rundir)!r})\nunit.load([])\n{program}"
    process = subprocess.Popen(
        [sys.executable, "-c", text], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
    return subprocess.CompletedProcess([], process.returncode, out, err)


def test_a_process_that_hangs_prints_every_threads_stack_before_its_ttl_and_2_seconds_are_over(rundir: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c",
         "import liveness, threading, time\n"
         f"unit = liveness.Unit('u', {str(rundir)!r})\nunit.load([])\n"
         "def another_thread(): time.sleep(1000)\n"
         "threading.Thread(target=another_thread, daemon=True).start()\n"
         "def work_that_hangs():\n"
         "  unit.beat(1, traceback=True)\n"
         "  print(flush=True)\n"
         "  time.sleep(1000)\n"
         "work_that_hangs()"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        process.stdout.readline()
        called = time.monotonic()
        first = process.stderr.readline()
        took = time.monotonic() - called
        assert first.startswith(b"Timeout")
        # Two seconds more than promised: this machine may be busy.
        assert 1.9 < took < 5
        printed = b""
        while not (b"in work_that_hangs" in printed and b"in another_thread" in printed):
            line = process.stderr.readline()
            assert line, printed
            printed += line
    finally:
        process.kill()
        process.communicate()


def test_a_healthy_process_prints_no_stacks_and_neither_does_one_that_ended_its_beat(rundir: Path) -> None:
    done = hung(
        "def beat(): unit.beat(1, traceback=True)\n"
        "end = time.monotonic() + 3\n"
        "while time.monotonic() < end: beat(); time.sleep(0.97)\n"
        "beat(); unit.end_beat(); time.sleep(2.5)\n"
        "beat(); unit.beat(1); time.sleep(2.5)\n"
        "beat(); unit.reset(); time.sleep(2.5)\n"
        "unit.load([]); beat()\n",
        rundir,
        30,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_process_that_is_taken_over_prints_no_stacks(rundir: Path) -> None:
    done = hung(
        "unit.beat(1, traceback=True)\n"
        "if not os.fork():\n"
        "  unit.reset(); os._exit(0)\n"
        "os.wait()\n"
        "time.sleep(1)\n"
        "unit.beat(1, traceback=True)\n"
        "time.sleep(3)\n",
        rundir,
        30,
    )
    assert done.returncode == 0
    assert "Timeout" not in done.stderr


def test_a_beat_that_cannot_be_written_is_no_hang(rundir: Path) -> None:
    done = hung(
        "unit.beat(1, traceback=True)\n"
        "os.rename(unit.path + '/beat', unit.path + '/away'); open(unit.path + '/beat', 'w').close()\n"
        "end = time.monotonic() + 4\n"
        "while time.monotonic() < end: unit.beat(1, traceback=True); time.sleep(0.3)\n",
        rundir,
        30,
    )
    assert done.returncode == 0
    assert "Timeout" not in done.stderr
    assert done.stderr.count("goes stale") == 1


def test_only_one_heartbeat_of_a_process_can_have_the_stacks_at_a_time(rundir: Path) -> None:
    unit = Unit("u", rundir)
    unit.load([])
    unit.beat(9, "one", traceback=True)
    with pytest.raises(BadArgument, match="traceback: 'two': heartbeat 'one' has it already"):
        unit.beat(9, "two", traceback=True)
    unit.end_beat("one")
    unit.beat(9, "two", traceback=True)
    unit.reset()
    unit.load([])
    unit.beat(9, "three", traceback=True)
    unit.reset()


@pytest.mark.parametrize(
    "stderr",
    ["sys.stderr = None", "import io; sys.stderr = io.StringIO()", "sys.stderr.close()", "os.close(2)",
     "sys.stderr = None; os.close(2)", "del sys.stderr"],
)  # fmt: skip
def test_a_replaced_or_missing_stderr_is_no_error(rundir: Path, stderr: str) -> None:
    done = hung(f"{stderr}\nunit.beat(1, traceback=True); unit.beat(2, traceback=True); print('fine')", rundir, 30)
    assert (done.returncode, done.stdout) == (0, "fine\n")


def test_stacks_go_to_the_containers_log_when_stderr_is_something_in_memory(rundir: Path) -> None:
    done = hung(
        "import io; sys.stderr = io.StringIO()\nunit.beat(1, traceback=True)\ntime.sleep(2.5); os._exit(0)", rundir, 30
    )
    assert done.stderr.startswith("Timeout")


FORKS = {
    "fork": "pid = os.fork()\nif not pid: sys.exit(3)\nassert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3",
    "fork in many threads": (
        "def fork():\n"
        "  for _ in range(50):\n"
        "    pid = os.fork()\n"
        "    if not pid: beat(); os._exit(3)\n"
        "    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3\n"
        "threads = [threading.Thread(target=fork) for _ in range(3)]\n"
        "for t in threads: t.start()\n"
        "n = 0\n"
        "while any(t.is_alive() for t in threads): n += 1; unit.beat(1 + n % 2, traceback=True)\n"
    ),
    "a child that beats": "pid = os.fork()\nif not pid: beat(); beat(); sys.exit(3)\nos.waitpid(pid, 0)",
    "multiprocessing fork": (
        "import multiprocessing as m; p = m.get_context('fork').Process(target=beat)\np.start(); p.join()"
    ),
    "multiprocessing forkserver": (
        "import multiprocessing as m\n"
        "p = m.get_context('forkserver').Process(target=time.sleep, args=(0,))\n"
        "p.start(); p.join(); assert p.exitcode == 0"
    ),
    "subprocess": (
        "import subprocess; subprocess.run(['true'], check=True); subprocess.run(['true'], preexec_fn=os.getpid)"
    ),
    "a fork that fails": (
        "import resource\n"
        "resource.setrlimit(resource.RLIMIT_NPROC, (0, 0)); os.setuid(65534) if os.getuid() == 0 else None\n"
        "try: os.fork()\n"
        "except OSError: pass"
    ),
    "a signal handler that forks": (
        "import signal\n"
        "def handler(*_):\n"
        "  pid = os.fork()\n"
        "  if not pid: os._exit(0)\n"
        "  os.waitpid(pid, 0)\n"
        "  signal.setitimer(signal.ITIMER_REAL, 0.0007)\n"
        "signal.signal(signal.SIGALRM, handler)\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.001)\n"
        "end = time.monotonic() + 1\n"
        "n = 0\n"
        "while time.monotonic() < end: n += 1; unit.beat(1 + n % 2, traceback=True)\n"
        "signal.setitimer(signal.ITIMER_REAL, 0)\n"
    ),
    "forks in threads, with another module's hooks": (
        "stop = time.monotonic() + 3\n"
        "def fork():\n"
        "  while time.monotonic() < stop:\n"
        "    pid = os.fork()\n"
        "    if not pid: unit.beat(60, str(os.getpid()), True); os._exit(3)\n"
        "    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3\n"
        "threads = [threading.Thread(target=fork) for _ in range(3)]\n"
        "for t in threads: t.start()\n"
        "for t in threads: t.join()\n"
    ),
    "a signal handler that ends the life while the timer is armed": (
        "import liveness.stacks as stacks\n"
        "stderr = stacks._stderr\n"
        "def interrupted():\n"
        "  stacks._stderr = stderr\n"
        "  unit.reset()\n"
        "  return stderr()\n"
        "stacks._stderr = interrupted\n"
        "unit.beat(30, traceback=True)\n"
        "pid = os.fork()\n"
        "if not pid: sys.exit(3)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3\n"
        "unit.load([])\n"
    ),
}


@pytest.mark.parametrize("how", FORKS)
def test_no_fork_and_no_exit_hangs_on_the_timer(rundir: Path, how: str) -> None:
    done = hung(f"def beat(): unit.beat(9, traceback=True)\nbeat()\n{FORKS[how]}\nbeat()\nprint('end')", rundir, 30)
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["end"]), done.stderr


def test_who_forks_waits_for_every_thread_that_is_arming() -> None:
    # One thread has seen no fork and is about to arm; another arms and is done; then there is a fork.
    program = """
import os, threading, time
# Runs after the hooks that are registered later, so just before the fork.
os.register_at_fork(before=lambda: time.sleep(1))
import faulthandler
from liveness import stacks
real, inside = faulthandler.dump_traceback_later, threading.Event()
def slow(*arguments, **options):
    if threading.current_thread() is not threading.main_thread():
        inside.set()
        time.sleep(0.5)
    real(*arguments, **options)
faulthandler.dump_traceback_later = slow
owner = ("u", "main")
stacks.claim(owner)
other = threading.Thread(target=stacks.arm, args=(owner, 600))
other.start()
inside.wait()
stacks.arm(owner, 600)
pid = os.fork()
if not pid:
    # With a timer that it inherited, this never ends.
    faulthandler.cancel_dump_traceback_later()
    os._exit(3)
deadline = time.monotonic() + 20
while (found := os.waitpid(pid, os.WNOHANG)) == (0, 0) and time.monotonic() < deadline:
    time.sleep(0.01)
if not found[0]:
    os.kill(pid, 9)
print(os.waitstatus_to_exitcode(found[1]) if found[0] else "hangs", flush=True)
os._exit(0)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.stdout == "3\n", done.stderr


def test_a_parent_still_prints_its_stacks_after_a_fork(rundir: Path) -> None:
    done = hung(
        "unit.beat(1, traceback=True)\npid = os.fork()\nif not pid: os._exit(0)\nos.waitpid(pid, 0)\ntime.sleep(1000)",
        rundir,
        4,
    )
    assert "Timeout" in done.stderr


def test_a_child_prints_stacks_of_its_own(rundir: Path) -> None:
    done = hung(
        "unit.beat(900, traceback=True)\n"
        "def child_that_hangs(): time.sleep(3); os._exit(0)\n"
        "pid = os.fork()\n"
        "if not pid: unit.beat(1, traceback=True); child_that_hangs()\n"
        "os.waitpid(pid, 0)",
        rundir,
        30,
    )
    assert "Timeout" in done.stderr
    assert "in child_that_hangs" in done.stderr


def test_a_spawned_worker_that_survives_its_parent_does_not_beat_in_the_next_life(
    puppets: Puppets, judge: Judge, rundir: Path
) -> None:
    parent, heir = puppets(stderr=subprocess.PIPE), puppets()
    parent("liveness.load([])")
    orphan = parent.spawn()
    orphan("liveness.beat(1)")
    parent.signal(signal.SIGKILL)
    parent.process.wait()
    heir("liveness.load([])")
    heir("liveness.set()")
    orphan("liveness.beat(2)")
    orphan("liveness.beat(3)")
    orphan("liveness.end_beat()")
    assert judge() == f"healthy: process {heir.pid}, error 0, fresh heartbeats: 0"
    orphan.kill()
    assert parent.process.stderr is not None
    assert parent.process.stderr.read().count(f"the life of process {parent.pid} is over") == 1


def test_a_worker_that_was_there_before_its_parent_loaded_joins_it_and_not_the_dead_life_before(
    puppets: Puppets, judge: Judge
) -> None:
    old, parent = puppets(), puppets()
    old("liveness.load([])")
    old.kill()
    worker = parent.spawn()
    # It neither loaded the dead process's life nor descends from that process.
    worker("liveness.beat(8)")
    parent("liveness.load([])")
    parent("liveness.set()")
    assert judge() == f"healthy: process {parent.pid}, error 0, fresh heartbeats: 0"
    worker("liveness.beat(9)")
    assert judge() == f"healthy: process {parent.pid}, error 0, fresh heartbeats: 1"
    worker.kill()


def test_the_worker_among_the_examples_prints_its_stacks_when_it_hangs(rundir: Path) -> None:
    (rundir / "spool").mkdir()
    worker = subprocess.Popen(
        [sys.executable, str(ROOT / "examples" / "worker.py"), str(rundir / "spool")],
        stderr=subprocess.PIPE,
        env={**os.environ, "LIVENESS_RUNDIR": str(rundir), "LIVENESS_UNIT_NAME": "u", "PYTHONPATH": str(ROOT)},
    )
    try:
        judge = Judge(rundir)
        until(lambda: judge.python().startswith("healthy"))
        # A job that nobody ever writes.
        os.mkfifo(rundir / "spool" / "job")
        until(lambda: judge.python().startswith("no heartbeat 'main'"))
        time.sleep(1)
    finally:
        worker.kill()
        err = worker.communicate()[1]
    assert b"in work_on" in err


def test_a_successor_that_takes_the_name_of_a_dead_one_while_that_is_swept_is_kept(
    rundir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = Unit("u", rundir)
    unit.load([])
    (rundir / "u" / "beat").mkdir()
    (rundir / "u" / "beat" / "w.1").write_text("1 1 4194304 1\n")
    remove = Directory.remove_lease

    def just_then(self: Directory, name: str, is_removable: Callable[[formats.Lease], bool]) -> None:
        unit.beat(9, "w.1")
        remove(self, name, is_removable)

    monkeypatch.setattr(Directory, "remove_lease", just_then)
    unit.beat(9, "w.2")
    assert on_disk(rundir, "w.1")[2] == str(os.getpid())
    assert sorted(os.listdir(rundir / "u" / "beat")) == ["w.1", "w.2"]
    unit.reset()


def test_two_successors_that_sweep_at_once_are_no_outage(
    rundir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    unit = Unit("u", rundir)
    unit.load([])
    (rundir / "u" / "beat").mkdir()
    (rundir / "u" / "beat" / "w.1").write_text("1 1 4194304 1\n")
    remove = Directory.remove_lease

    def too_late(self: Directory, name: str, is_removable: Callable[[formats.Lease], bool]) -> None:
        self.remove(name)
        remove(self, name, is_removable)

    monkeypatch.setattr(Directory, "remove_lease", too_late)
    unit.beat(9, "w.2")
    assert os.listdir(rundir / "u" / "beat") == ["w.2"]
    assert caplog.messages == []
    unit.reset()


@needs_root
def test_a_beat_folder_that_may_not_be_listed_is_an_outage(rundir: Path) -> None:
    program = (
        "import fcntl, importlib, logging, os, liveness\n"
        f"unit = liveness.Unit('u', {str(rundir)!r})\nunit.load([])\nos.mkdir(unit.path + '/beat')\n"
        f"os.chmod(unit.path + '/beat', 0o333)\n{BECOME_NOBODY}\n"
        "unit.beat(9, 'w.1'); print('fine')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.stdout == "fine\n"
    assert "cannot read beat" in done.stderr


def test_a_stderr_that_nobody_reads_holds_up_neither_a_beat_nor_a_fork(rundir: Path) -> None:
    program = (
        "import os, sys, threading, time, liveness\n"
        f"unit = liveness.Unit('u', {str(rundir)!r})\nunit.load([])\nunit.beat(60, traceback=True)\n"
        "def fill():\n  while True: sys.stderr.write('x' * 1000 + chr(10)); sys.stderr.flush()\n"
        "threading.Thread(target=fill, daemon=True).start()\n"
        "time.sleep(1)\n"
        "unit.beat(61, traceback=True)\n"
        "pid = os.fork()\nif not pid: os._exit(0)\nos.waitpid(pid, 0)\n"
        "print('fine', flush=True)\nos._exit(0)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**environment, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        # Of its stderr not a byte is read meanwhile.
        assert process.stdout.readline() == "fine\n"
    finally:
        process.kill()
        process.communicate()


# What a loop says of itself


def test_a_loop_reports_an_error_with_its_beat_and_the_next_plain_beat_takes_it_back(
    puppet: Puppet, judge: Judge
) -> None:
    puppet("liveness.load(); liveness.beat(600); liveness.set()")
    puppet("liveness.beat(600, error=7, reason='queue lost')")
    assert judge() == "error 7: queue lost (main)"
    puppet("liveness.beat(600, error=7, reason='queue still lost')")
    assert judge() == "error 7: queue still lost (main)"
    puppet("liveness.beat(600, error=8)")
    assert judge() == "error 8 (main)"
    puppet("liveness.beat(600)")
    assert judge() == f"healthy: process {puppet.pid}, error 0, fresh heartbeats: 1"


def test_the_reason_of_a_beat_is_one_line_of_printable_ascii_and_at_most_160_bytes(rundir: Path, judge: Judge) -> None:
    unit = Unit("u", rundir)
    unit.load()
    unit.set()
    for reason, shown in (("a\nb\x1b", "a\\nb\\x1b"), ("é", "\\xe9"), ("x" * 161, "x" * 157 + "..."), (None, None)):
        unit.beat(600, error=10**20 - 1, reason=reason)  # type: ignore[arg-type]
        assert judge() == f"error {'9' * 20}{'' if shown is None else f': {shown}'} (main)"
    unit.reset()


@pytest.mark.parametrize("error", [-1, 10**20, 1.5, "7", None, True])
def test_a_wrong_error_code_of_a_beat_is_refused(rundir: Path, error: int) -> None:
    unit = Unit("u", rundir)
    unit.load()
    with pytest.raises(BadArgument, match="^error: .* must be a whole number from 0 to 9{20}"):
        unit.beat(9, error=error)
    unit.reset()


def test_a_worker_that_reports_an_error_and_dies_is_judged_by_its_death(puppet: Puppet, judge: Judge) -> None:
    puppet("liveness.load(); liveness.beat(600); liveness.set()")
    worker, other = puppet.spawn(), puppet.spawn()
    worker("liveness.beat(600, error=7, reason='sick')")
    other("liveness.beat(600)")
    assert judge() == f"error 7: sick (worker.{worker.pid})"
    worker.kill()
    until(lambda: judge() == f"healthy: process {puppet.pid}, error 0, fresh heartbeats: 2")
    other.kill()
    until(lambda: judge() == "no heartbeat of any 'worker'")


# The dead


def test_a_worker_that_was_killed_counts_for_nothing_from_that_moment_on(puppet: Puppet, judge: Judge) -> None:
    # On version 1 its promise counted until its ttl was over, here for ten minutes.
    puppet("liveness.load(); liveness.set()")
    first, second = puppet.spawn(), puppet.spawn()
    first("liveness.beat(600)")
    second("liveness.beat(600)")
    for worker in (first, second):
        worker.kill()
    puppet("for child in children: child.wait()")
    assert judge() == "no heartbeat of any 'worker'"


def test_a_loop_of_a_plain_name_that_died_with_its_process_is_named(puppet: Puppet, judge: Judge) -> None:
    puppet("liveness.load(); liveness.set()")
    consumer = puppet.spawn()
    consumer("liveness.beat(600, 'consumer')")
    consumer.kill()
    until(lambda: judge() == f"heartbeat 'consumer': process {consumer.pid} is gone")


def test_a_pool_whose_children_crash_at_once_is_unhealthy(puppet: Puppet, judge: Judge) -> None:
    # On version 1 such a pool was healthy in 145 of 145 looks.
    puppet("liveness.load(); liveness.set()")
    puppet(
        "def crash():\n"
        "  while not stop.is_set():\n"
        "    pid = os.fork()\n"
        "    if not pid: liveness.beat(30); os._exit(1)\n"
        "    os.waitpid(pid, 0); stop.wait(0.3)"
    )
    puppet("stop = threading.Event(); threading.Thread(target=crash).start()")
    until(lambda: judge.python() == "no heartbeat of any 'worker'")
    said = []
    for _ in range(100):
        said.append(judge.python())
        time.sleep(0.02)
    puppet("stop.set()")
    # A look may meet a child in the moment of its life.
    assert said.count("no heartbeat of any 'worker'") > 80, said


# First beats


@needs_root
def test_a_first_beat_of_workers_that_dropped_their_privileges_is_an_error(puppet: Puppet) -> None:
    puppet("liveness.load(); liveness.set()")
    puppet(
        "def worker():\n"
        "  hear, told = os.pipe()\n"
        "  if not os.fork():\n"
        "    os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "    try: liveness.beat(30); said = 'fine'\n"
        "    except liveness.LivenessError as error: said = str(error)\n"
        "    os.write(told, said.encode()); os._exit(0)\n"
        "  os.wait()\n"
        "  return os.read(hear, 1000).decode()"
    )
    assert "cannot write: permission denied (mount a writable volume at " in puppet("worker()")


def test_a_first_beat_without_descriptors_is_an_error_each_time_until_it_is_written(
    puppet: Puppet, judge: Judge
) -> None:
    puppet("liveness.load(); liveness.set()")
    puppet("import resource; many = resource.getrlimit(resource.RLIMIT_NOFILE)")
    puppet("resource.setrlimit(resource.RLIMIT_NOFILE, (3, many[1]))")
    for _ in range(2):
        with pytest.raises(PuppetError, match="LivenessError: .*cannot write: "):
            puppet("liveness.beat(30)")
    puppet("resource.setrlimit(resource.RLIMIT_NOFILE, many)")
    puppet("liveness.beat(30)")
    assert judge() == f"healthy: process {puppet.pid}, error 0, fresh heartbeats: 1"


def test_what_an_exception_interrupts_is_written_by_the_next_call(rundir: Path) -> None:
    class TooLateError(BaseException):
        pass

    unit = Unit("u", rundir)
    unit.load()
    unit.beat(5)
    rename = os.rename
    with pytest.MonkeyPatch.context() as patch:

        def interrupted(*_: object) -> None:
            raise TooLateError

        patch.setattr(os, "rename", interrupted)
        with pytest.raises(TooLateError):
            unit.beat(600)
    assert os.rename is rename
    assert on_disk(rundir)[1] == "5"
    unit.beat(600)
    assert on_disk(rundir)[1] == "600"
    unit.reset()


# Ends


def test_a_job_thread_cannot_end_the_heartbeat_of_the_main_loop(puppet: Puppet, judge: Judge) -> None:
    # On version 1 a main loop that hung afterwards was healthy.
    puppet("liveness.load(); liveness.beat(1); liveness.set()")
    puppet("said = []")
    puppet(
        "def job():\n"
        "  liveness.beat(1)\n"
        "  try: liveness.end_beat()\n"
        "  except liveness.LivenessError as error: said.append(str(error))"
    )
    puppet("thread = threading.Thread(target=job); thread.start(); thread.join()")
    (refusal,) = puppet("said")
    assert "/beat/main: cannot end this heartbeat: thread " in refusal
    assert refusal.endswith("renews it (call end_beat() there, or give each loop a name)")
    until(lambda: judge.python().startswith("no heartbeat 'main' for "))
    puppet("liveness.end_beat()")
    assert judge().startswith("healthy")


def test_the_heartbeat_of_a_thread_that_has_ended_may_be_ended_by_another(puppet: Puppet, judge: Judge) -> None:
    puppet("liveness.load(); liveness.set()")
    puppet("thread = threading.Thread(target=liveness.beat, args=(9, 'poller')); thread.start(); thread.join()")
    puppet("stop = threading.Event(); threading.Thread(target=stop.wait).start()")
    puppet("liveness.end_beat('poller')")
    assert judge().endswith("fresh heartbeats: 0")
    puppet("stop.set()")


def test_one_name_for_two_threads_is_warned_of_once(puppets: Puppets) -> None:
    puppet = puppets(stderr=subprocess.PIPE)
    puppet("liveness.load(); liveness.beat(9)")
    for ttl in (8, 7):
        puppet(f"thread = threading.Thread(target=liveness.beat, args=({ttl},)); thread.start(); thread.join()")
    puppet.signal(signal.SIGKILL)
    assert puppet.process.stderr is not None
    assert puppet.process.stderr.read().count("heartbeat 'main' is also renewed by thread ") == 1


def test_no_process_ends_the_heartbeat_of_another_one(puppet: Puppet, judge: Judge, rundir: Path) -> None:
    puppet("liveness.load(); liveness.beat(600, 'consumer'); liveness.expect('worker', 0); liveness.set()")
    child = puppet.spawn()
    with pytest.raises(PuppetError, match=f"cannot end this heartbeat: process {puppet.pid}, which is alive"):
        child("liveness.end_beat('consumer')")
    # The child takes the name over, and the parent takes it back.
    child("liveness.beat(600, 'consumer')")
    puppet("liveness.beat(601, 'consumer')")
    with pytest.raises(PuppetError, match=f"cannot end this heartbeat: process {puppet.pid}, which is alive"):
        child("liveness.end_beat('consumer')")
    assert on_disk(rundir, "consumer")[2] == str(puppet.pid)
    child.kill()


def test_a_one_off_program_ends_nothing_of_the_unit(puppets: Puppets, rundir: Path) -> None:
    worker, one_off = puppets(), puppets()
    worker("liveness.load(); liveness.beat(600, 'consumer'); liveness.expect('worker', 4); liveness.set()")
    one_off("liveness.beat(30, 'consumer'); liveness.end_beat('consumer'); liveness.expect('worker', 0)")
    one_off("with liveness.heartbeat(30, 'consumer') as beat: beat()")
    assert on_disk(rundir, "consumer")[2] == str(worker.pid)
    assert (rundir / "u" / "expect" / "worker").exists()


def test_a_cancelled_task_and_a_closed_generator_end_their_heartbeat(puppet: Puppet, rundir: Path) -> None:
    puppet("liveness.load(); liveness.set()")
    puppet(
        "import asyncio\n"
        "async def loop():\n"
        "  with liveness.heartbeat(1, 'task') as beat:\n"
        "    while True: beat(); await asyncio.sleep(0.01)\n"
        "async def main():\n"
        "  task = asyncio.create_task(loop()); await asyncio.sleep(0.05)\n"
        "  seen = os.listdir(liveness.unit.find().path + '/beat'); task.cancel()\n"
        "  try: await task\n"
        "  except asyncio.CancelledError: return seen\n"
        "def generate():\n"
        "  with liveness.heartbeat(1, 'generator') as beat:\n"
        "    while True: beat(); yield\n"
    )
    assert puppet("asyncio.run(main())") == ["task"]
    puppet("generator = generate(); next(generator)")
    assert os.listdir(rundir / "u" / "beat") == ["generator"]
    puppet("generator.close()")
    assert os.listdir(rundir / "u" / "beat") == []


def test_the_ttl_must_be_longer_than_the_wait_and_the_job_together(rundir: Path, judge: Judge) -> None:
    unit = Unit("u", rundir)
    unit.load()
    unit.beat(3)
    unit.set()
    until(lambda: uptime() % 1 > 0.9)
    unit.beat(3)
    # A wait of 2 and a job of 2 seconds with one beat: 3 are too few, 5 are enough.
    until(lambda: judge.python().startswith("no heartbeat 'main' for 4 s (limit 3 s)"), 6)
    unit.beat(5)
    end = time.monotonic() + 4
    while time.monotonic() < end:
        assert judge.python().startswith("healthy")
        time.sleep(0.05)
    unit.reset()
