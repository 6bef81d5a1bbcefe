"""The verdict is true, in Python and in every shell, on real processes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import judge as judge_module
import pytest
from judge import Judge
from stage import BECOME_NOBODY, ROOT, Puppet, needs_root, start_of, until, uptime

import liveness
from liveness import probe
from liveness.formats import FOLDERS

Puppets = Callable[..., Puppet]


def loaded(puppet: Puppet) -> Puppet:
    puppet("liveness.load([])")
    puppet("liveness.set()")
    return puppet


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2][:1].decode()


def test_a_daemon_goes_through_its_life(puppet: Puppet, judge: Judge, rundir: Path) -> None:
    assert judge() == f"not loaded (no pid in {rundir}/u)"
    puppet("liveness.load([])")
    assert judge() == f"not set (no error code in {rundir}/u)"
    puppet("liveness.set()")
    assert judge() == f"healthy: process {puppet.pid}, error 0, fresh heartbeats: 0"
    puppet("liveness.set(7, 'queue lost')")
    assert judge() == "error 7: queue lost"
    puppet("liveness.set(7)")
    assert judge() == "error 7"
    puppet("liveness.set()")
    puppet("liveness.set_ready(False, 'draining')")
    assert judge().startswith("healthy")
    assert judge(mode="ready") == "not ready: draining"
    puppet("liveness.set_ready(False)")
    assert judge(mode="ready") == "not ready"
    puppet("liveness.set_ready()")
    assert judge(mode="ready").startswith("healthy")
    puppet("liveness.reset()")
    assert judge() == f"not loaded (no pid in {rundir}/u)"


def test_a_verdict_says_what_it_is_about(puppet: Puppet, rundir: Path) -> None:
    loaded(puppet)
    good, bad = probe.live("u", rundir), probe.ready("v", rundir)
    assert good
    assert not bad
    assert str(good) == f"liveness: u: healthy: process {puppet.pid}, error 0, fresh heartbeats: 0"
    assert repr(bad) == f"Verdict('v', healthy=False, reason='not loaded (no pid in {rundir}/v)')"
    assert good == probe.live("u", rundir)
    assert good != bad
    with pytest.raises(TypeError):
        hash(good)


def test_a_killed_process_is_gone(puppet: Puppet, judge: Judge) -> None:
    loaded(puppet)
    puppet.kill()
    assert judge() == f"process {puppet.pid} is gone"


def test_a_process_nobody_buries_is_a_zombie(puppet: Puppet, judge: Judge) -> None:
    loaded(puppet)
    puppet.signal(signal.SIGKILL)
    until(lambda: state_of(puppet.pid) == "Z")
    assert judge() == f"process {puppet.pid} is a zombie"


def test_a_program_whose_main_thread_has_ended_lives_while_another_thread_does(
    puppet: Puppet, judge: Judge, rundir: Path
) -> None:
    loaded(puppet)
    puppet(f"go_on = lambda: os.path.exists({str(rundir / 'end')!r})")
    puppet("def work():\n  while not go_on(): time.sleep(0.01)\n  os._exit(0)")
    puppet("threading.Thread(target=work).start()")
    puppet.tell("import ctypes; ctypes.CDLL(None).pthread_exit(None)")
    until(lambda: state_of(puppet.pid) == "Z")
    assert judge().startswith("healthy")
    (rundir / "end").touch()
    until(lambda: len(list(Path(f"/proc/{puppet.pid}/task").iterdir())) <= 1)
    until(lambda: judge() == f"process {puppet.pid} is a zombie")


def test_a_stopped_process_without_heartbeats_is_alive(puppet: Puppet, judge: Judge) -> None:
    loaded(puppet)
    puppet.signal(signal.SIGSTOP)
    until(lambda: state_of(puppet.pid) == "T")
    assert judge().startswith("healthy")


def test_a_stopped_process_is_found_by_its_heartbeat_and_heals_when_it_goes_on(puppet: Puppet, judge: Judge) -> None:
    puppet("liveness.load([])")
    puppet("liveness.beat(1)")
    puppet("liveness.set()")
    assert judge().startswith("healthy: ")
    puppet.signal(signal.SIGSTOP)
    until(lambda: judge().startswith("no heartbeat 'main' for "))
    puppet.signal(signal.SIGCONT)
    puppet("liveness.beat(9)")
    assert judge().startswith("healthy")


NAMES = [b"a b", b") S 1 (", b"a) Z 0 0", b"\nz)\n(", b"tab\tnew\n) R 2 3", b"()", b"\xff\xfe\x80", b") ) ) ) ) )"]


@pytest.mark.parametrize("name", NAMES)
def test_a_command_name_may_hold_anything(puppet: Puppet, judge: Judge, name: bytes) -> None:
    loaded(puppet)
    puppet(f"open('/proc/self/comm', 'wb').write({name!r})")
    assert Path(f"/proc/{puppet.pid}/stat").read_bytes().partition(b" (")[2].startswith(name)
    if not name.isascii():
        # yash takes text only; see the manual.
        judge.exact_only = True
    assert judge().startswith("healthy")


def test_a_pid_that_belongs_to_another_process_is_not_ours(puppet: Puppet, judge: Judge, rundir: Path) -> None:
    loaded(puppet)
    (rundir / "u" / "start").write_text(str(int(start_of(puppet.pid)) - 1))
    assert judge() == f"pid {puppet.pid} belongs to another process"
    (rundir / "u" / "start").write_text("0" + start_of(puppet.pid))
    assert judge() == f"pid {puppet.pid} belongs to another process"


PID_AGAIN = """
import os, sys, time, pathlib, subprocess
import liveness
from judge import Judge
judge = Judge(pathlib.Path(os.environ["LIVENESS_RUNDIR"]))
assert os.getpid() == 1
def fork_as(pid, what):
    while True:
        pathlib.Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1))
        child = os.fork()
        if not child:
            what()
            os._exit(0)
        if child == pid:
            return
        os.kill(child, 9)
        os.waitpid(child, 0)
def first():
    liveness.load([])
    liveness.set()
    os.write(ready, b"x")
    time.sleep(1000)
def second():
    os.write(ready, b"x")
    time.sleep(1000)
hear, ready = os.pipe()
fork_as(500, first)
os.read(hear, 1)
print(judge())
os.kill(500, 9)
os.waitpid(500, 0)
print(judge())
# A clock tick is 10 ms: within one, two processes of one number could not be told apart.
time.sleep(0.05)
fork_as(500, second)
os.read(hear, 1)
print(judge())
os.kill(500, 9)
os.waitpid(500, 0)
"""


def in_pid_namespace(program: str, rundir: Path) -> list[str]:
    """What a program prints that runs as process 1 of a pid namespace of its own."""
    environment = {
        **os.environ,
        "LIVENESS_RUNDIR": str(rundir),
        "LIVENESS_UNIT_NAME": "u",
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}",
    }
    done = subprocess.run(
        ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@needs_root
def test_the_number_of_a_dead_process_does_not_vouch_for_the_next_one_to_get_it(rundir: Path) -> None:
    assert in_pid_namespace(PID_AGAIN, rundir) == [
        "healthy: process 500, error 0, fresh heartbeats: 0",
        "process 500 is gone",
        "pid 500 belongs to another process",
    ]


@needs_root
def test_process_1_of_a_container_is_probed_like_any_other(rundir: Path) -> None:
    program = """
import os, pathlib, liveness
from judge import Judge
judge = Judge(pathlib.Path(os.environ["LIVENESS_RUNDIR"]))
liveness.load([])
print(judge())
liveness.beat(9)
liveness.set()
print(judge())
"""
    assert in_pid_namespace(program, rundir) == [
        f"not set (no error code in {rundir}/u)",
        "healthy: process 1, error 0, fresh heartbeats: 1",
    ]


@needs_root
def test_a_restart_on_a_volume_that_kept_the_old_state_starts_unhealthy_though_its_pid_is_the_same(
    rundir: Path,
) -> None:
    live = "import liveness; liveness.load([]); liveness.beat(900); liveness.set_ready(False); liveness.set()"
    in_pid_namespace(live, rundir)
    assert (rundir / "u" / "pid").read_text() == "1"
    program = """
import os, pathlib, liveness
from judge import Judge
judge = Judge(pathlib.Path(os.environ["LIVENESS_RUNDIR"]))
print(judge())
liveness.load([])
print(judge())
liveness.set()
print(judge(mode="ready"))
"""
    assert in_pid_namespace(program, rundir) == [
        "pid 1 belongs to another process",
        f"not set (no error code in {rundir}/u)",
        "healthy: process 1, error 0, fresh heartbeats: 0",
    ]


@needs_root
def test_a_proc_that_hides_other_processes_proves_no_death(puppet: Puppet, rundir: Path) -> None:
    loaded(puppet)
    script = rundir / "health.sh"
    shutil.copy(judge_module.HEALTH_SH, script)
    ask = f"{script} -d {rundir} -u u"
    for options, said in (
        ("hidepid=1", b"liveness: u: cannot read /proc\n"),
        ("hidepid=2", b"liveness: u: cannot read /proc\n"),
    ):
        done = subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c",
             f"mount -t proc -o {options} proc /proc && exec setpriv --reuid 65534 --regid 65534 --clear-groups {ask}"],
            capture_output=True, timeout=30, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (1, said)


@needs_root
def test_without_proc_there_is_no_verdict_but_unhealthy(puppet: Puppet, rundir: Path) -> None:
    loaded(puppet)
    ask = f"{judge_module.HEALTH_SH} -d {rundir}"
    program = f"from liveness import probe; print(probe.live('u', {str(rundir)!r})); print(probe.live(None, '/x'))"
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c",
         f"mount -t tmpfs none /proc; {ask} -u u; {ask}; exec '{sys.executable}' -c \"{program}\""],
        capture_output=True, timeout=30, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.stderr == b"liveness: u: cannot read /proc\nliveness: ?: cannot read /proc\n"
    assert done.stdout == done.stderr


# Prefork workers


def prefork(puppet: Puppet, count: int, ttl: int = 1) -> list[int]:
    """A loaded parent with that many children who have beaten once; they go on while the file `go` is there."""
    puppet("import pathlib")
    puppet("liveness.load([])")
    puppet(
        "def worker():\n"
        f"  liveness.beat({ttl})\n"
        "  os.write(told, b'x')\n"
        f"  while True:\n    liveness.beat({ttl})\n    time.sleep(0.05)"
    )
    puppet("def fork():\n  pid = os.fork()\n  if not pid: worker()\n  os.read(hear, 1)\n  return pid")
    puppet("hear, told = os.pipe()")
    pids = [puppet("fork()") for _ in range(count)]
    puppet("liveness.set()")
    return pids


def test_a_hung_worker_among_healthy_ones_is_found(puppet: Puppet, judge: Judge) -> None:
    first, second = prefork(puppet, 2)
    assert judge() == f"healthy: process {puppet.pid}, error 0, fresh heartbeats: 2"
    os.kill(first, signal.SIGSTOP)
    until(lambda: judge().startswith(f"no heartbeat 'worker.{first}' for "))
    os.kill(first, signal.SIGCONT)
    until(lambda: judge().startswith("healthy"))
    puppet(f"os.kill({first}, 9); os.kill({second}, 9)")


def test_a_worker_that_died_and_was_buried_is_passed_over_while_another_beats(puppet: Puppet, judge: Judge) -> None:
    first, second = prefork(puppet, 2)
    puppet(f"os.kill({first}, 9); os.waitpid({first}, 0)")
    stale = time.monotonic() + 3
    while time.monotonic() < stale:
        assert judge().startswith("healthy")
    assert judge() == f"healthy: process {puppet.pid}, error 0, fresh heartbeats: 1"
    puppet(f"os.kill({second}, 9); os.waitpid({second}, 0)")
    until(lambda: judge() == "no heartbeat of any 'worker'")


def test_a_role_of_zombies_is_dead(puppet: Puppet, judge: Judge) -> None:
    pids = prefork(puppet, 2)
    puppet(f"for pid in {pids}: os.kill(pid, 9)")
    until(lambda: judge() == "no heartbeat of any 'worker'")
    assert {state_of(pid) for pid in pids} == {"Z"}


def test_a_successor_under_a_new_name_keeps_its_role_alive_and_sweeps_up(
    puppet: Puppet, judge: Judge, rundir: Path
) -> None:
    (first,) = prefork(puppet, 1)
    puppet(f"os.kill({first}, 9); os.waitpid({first}, 0)")
    until(lambda: judge() == "no heartbeat of any 'worker'")
    second = puppet("fork()")
    assert judge() == f"healthy: process {puppet.pid}, error 0, fresh heartbeats: 1"
    until(lambda: [path.name for path in (rundir / "u" / "beat").iterdir()] == [f"worker.{second}"])
    puppet(f"os.kill({second}, 9); os.waitpid({second}, 0)")


def test_a_successor_that_hangs_before_its_first_beat_is_missed(puppet: Puppet, judge: Judge) -> None:
    (first,) = prefork(puppet, 1)
    puppet(f"os.kill({first}, 9); os.waitpid({first}, 0)")
    puppet("def hang():\n  pid = os.fork()\n  if not pid: time.sleep(1000)\n  return pid")
    second = puppet("hang()")
    until(lambda: judge() == "no heartbeat of any 'worker'")
    puppet(f"os.kill({second}, 9)")


# Heartbeats


def lease(
    rundir: Path, file: str, at: float, ttl: int, pid: int, start: str | None = None, code: str = "", reason: str = ""
) -> None:
    path = rundir / "u" / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{int(at)} {ttl} {pid} {start or start_of(pid)}{code and ' '}{code}\n{reason}")


def beat(rundir: Path, name: str, at: float, ttl: int, pid: int, start: str | None = None) -> None:
    lease(rundir, f"beat/{name}", at, ttl, pid, start)


def test_a_beat_from_before_a_reboot_is_stale(puppet: Puppet, judge: Judge, rundir: Path) -> None:
    loaded(puppet)
    beat(rundir, "main", uptime() + 1000, 30, puppet.pid)
    assert judge() == "heartbeat 'main' is from the future"
    (rundir / "u" / "beat" / "main").unlink()
    beat(rundir, "worker.1", uptime() + 1000, 30, puppet.pid)
    assert judge() == "heartbeat 'worker.1' is from the future"
    beat(rundir, "worker.1", uptime() + 1000, 30, puppet.pid, "1")
    assert judge() == "no heartbeat of any 'worker'"


@pytest.mark.parametrize("age", [0, 100, -1000])
def test_a_dead_heartbeat_of_a_plain_name_is_a_failure_whatever_its_age(
    puppet: Puppet, judge: Judge, rundir: Path, age: int
) -> None:
    loaded(puppet)
    beat(rundir, "worker", uptime() - age, 30, puppet.pid, "1")
    beat(rundir, "worker.2", uptime(), 30, puppet.pid)
    assert judge() == f"heartbeat 'worker': process {puppet.pid} is gone"


def test_a_killed_worker_with_a_plain_name_is_found_at_once(puppet: Puppet, judge: Judge) -> None:
    loaded(puppet)
    puppet("hear, told = os.pipe()")
    puppet("def work():\n  liveness.beat(900, 'consumer')\n  os.write(told, b'x')\n  time.sleep(1000)")
    puppet("def fork():\n  pid = os.fork()\n  if not pid: work()\n  os.read(hear, 1)\n  return pid")
    child = puppet("fork()")
    assert judge().startswith("healthy")
    os.kill(child, signal.SIGKILL)
    until(lambda: judge() == f"heartbeat 'consumer': process {child} is gone")
    puppet(f"os.waitpid({child}, 0)")
    assert judge() == f"heartbeat 'consumer': process {child} is gone"


def test_a_loop_that_reports_an_error_is_a_failure_until_its_next_good_beat(puppet: Puppet, judge: Judge) -> None:
    loaded(puppet)
    puppet("liveness.beat(9, error=7, reason='queue lost')")
    assert judge() == "error 7: queue lost (main)"
    puppet("liveness.beat(9)")
    assert judge() == f"healthy: process {puppet.pid}, error 0, fresh heartbeats: 1"


def test_a_job_that_runs_for_too_long_is_a_failure_until_it_ends(puppet: Puppet, judge: Judge) -> None:
    loaded(puppet)
    puppet("job = liveness.deadline(1, 'import'); job.__enter__()")
    assert judge() == f"healthy: process {puppet.pid}, error 0, fresh heartbeats: 0"
    until(lambda: judge().startswith("job 'import' has run for "))
    puppet("job.__exit__(None, None, None)")
    assert judge().startswith("healthy")


def test_a_job_of_a_killed_worker_is_ignored(puppet: Puppet, judge: Judge, rundir: Path) -> None:
    loaded(puppet)
    puppet("hear, told = os.pipe()")
    puppet("def work():\n  with liveness.deadline(1, 'import'):\n    os.write(told, b'x')\n    time.sleep(1000)")
    puppet("def fork():\n  pid = os.fork()\n  if not pid: work()\n  os.read(hear, 1)\n  return pid")
    child = puppet("fork()")
    until(lambda: judge().startswith("job 'import' has run for "))
    os.kill(child, signal.SIGKILL)
    until(lambda: judge().startswith("healthy"))
    assert (rundir / "u" / "job" / "import").exists()
    puppet(f"os.waitpid({child}, 0)")
    assert judge().startswith("healthy")


def test_too_few_workers_are_a_failure_once_their_time_to_begin_is_over(puppet: Puppet, judge: Judge) -> None:
    first, second = prefork(puppet, 2, ttl=99)
    puppet("liveness.expect('worker', 2, within=1)")
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        assert judge() == f"healthy: process {puppet.pid}, error 0, fresh heartbeats: 2"
    puppet(f"os.kill({first}, 9); os.waitpid({first}, 0)")
    assert judge() == "1 of 2 'worker' heartbeats"
    puppet("liveness.expect('worker', 0)")
    assert judge() == f"healthy: process {puppet.pid}, error 0, fresh heartbeats: 1"
    puppet(f"os.kill({second}, 9); os.waitpid({second}, 0)")


def test_a_background_check_changes_the_ready_verdict_only(puppet: Puppet, judge: Judge, rundir: Path) -> None:
    loaded(puppet)
    for code, reason, said in (("1", "database failed", "not ready: database failed (monitor)"), ("0", "", "healthy")):
        lease(rundir, "check/monitor", uptime(), 900, puppet.pid, code=code, reason=reason)
        assert judge() == f"healthy: process {puppet.pid}, error 0, fresh heartbeats: 0"
        assert judge(mode="ready").startswith(said)
    (rundir / "u" / "check" / "monitor").write_bytes(b"\xff")
    assert judge().startswith("healthy")
    assert judge(mode="ready") == "check 'monitor' is malformed"


def test_a_plain_name_is_not_of_the_role_that_it_names(puppet: Puppet, judge: Judge, rundir: Path) -> None:
    loaded(puppet)
    beat(rundir, "worker", uptime(), 30, puppet.pid)
    beat(rundir, "worker.2", uptime() - 100, 30, puppet.pid, "1")
    assert judge() == "no heartbeat of any 'worker'"


def test_the_last_dot_divides_role_and_instance(puppet: Puppet, judge: Judge, rundir: Path) -> None:
    loaded(puppet)
    beat(rundir, "queue.a.1", uptime(), 30, puppet.pid)
    beat(rundir, "queue.b.1", uptime() - 100, 30, puppet.pid, "1")
    assert judge() == "no heartbeat of any 'queue.b'"
    beat(rundir, "queue.b.", uptime(), 30, puppet.pid)
    assert judge() == f"healthy: process {puppet.pid}, error 0, fresh heartbeats: 2"


def test_no_verdict_is_false_while_heartbeats_come_and_go(puppet: Puppet, judge: Judge) -> None:
    loaded(puppet)
    puppet("stop = threading.Event()")
    puppet(
        "def come_and_go(i):\n"
        "  while not stop.is_set():\n"
        "    liveness.beat(9, f'loop{i}')\n"
        "    liveness.beat(9, f'role.{i}')\n"
        "    liveness.end_beat(f'loop{i}')\n"
        "    liveness.end_beat(f'role.{i}')"
    )
    puppet("threads = [threading.Thread(target=come_and_go, args=(i,)) for i in range(3)]")
    puppet("for thread in threads: thread.start()")
    # One that is buried, and one of its role that stays: it must be seen at every look.
    beat(judge.rundir, "role.old", uptime() - 100, 30, puppet.pid, "1")
    beat(judge.rundir, "role.zzz", uptime(), 900, puppet.pid)
    try:
        for _ in range(100):
            said = [judge.shell(shell) for shell in judge_module.EXACT] + [str(probe.live("u", judge.rundir))]
            said += [judge.short(shell) for shell in judge_module.EXACT]
            assert all("healthy" in words for words in said), said
    finally:
        puppet("stop.set()")


def test_no_verdict_is_false_while_short_lived_children_beat_and_do_jobs(puppet: Puppet, judge: Judge) -> None:
    loaded(puppet)
    # The one worker that stays: while it is seen at every look, dead workers are passed over.
    puppet("liveness.beat(900, 'worker.first')")
    puppet("liveness.expect('worker', 1, within=1)")
    puppet(
        "def child(number):\n"
        "  with liveness.deadline(9), liveness.deadline(9, 'job'):\n"
        "    liveness.beat(9)\n"
        "    liveness.beat(9, f'loop-{os.getpid()}')\n"
        "    liveness.end_beat(f'loop-{os.getpid()}')\n"
        "    if number % 3 == 0: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    if number % 3 == 1: liveness.end_beat()\n"
        "  os._exit(0)"
    )
    puppet(
        "def fork_again_and_again():\n"
        "  for number in range(1000000):\n"
        "    pid = os.fork()\n"
        "    if not pid:\n"
        "      try: child(number)\n"
        "      finally: os._exit(1)\n"
        "    status = os.waitpid(pid, 0)[1]\n"
        "    assert os.WIFSIGNALED(status) or status == 0\n"
    )
    puppet(
        "def forker():\n"
        "  pid = os.fork()\n"
        "  if not pid:\n"
        "    try: fork_again_and_again()\n"
        "    finally: os._exit(1)\n"
        "  return pid"
    )
    forkers = [puppet("forker()") for _ in range(2)]
    try:
        for _ in range(60):
            said = [judge.shell(shell) for shell in judge_module.EXACT] + [str(probe.live("u", judge.rundir))]
            said += [str(probe.ready("u", judge.rundir)) for _ in range(10)]
            assert all("healthy" in words for words in said), said
        # They have not stopped, and have left what the probes had to pass over.
        assert puppet(f"[os.waitpid(pid, os.WNOHANG)[0] for pid in {forkers}]") == [0, 0]
    finally:
        for pid in forkers:
            os.kill(pid, signal.SIGKILL)


# What happens while a probe is at work


def verdicts_across(rundir: Path, held_up_at: str, event: Callable[[], None]) -> dict[str, tuple[int, str]]:
    """
    What every probe answers if something happens between two of its steps: for each command, its status and its line.

    The probes are held up where they open the named file, until the event is over.
    """
    if not can_delay():
        pytest.skip("no strace that can delay a system call")
    commands = [[*shell, str(judge_module.HEALTH_SH)] for shell in judge_module.EXACT + judge_module.VERDICT_ONLY]
    commands.append([sys.executable, "-m", "liveness.probe"])
    with tempfile.TemporaryDirectory() as folder:
        traces = [Path(folder, str(number)) for number in range(len(commands))]
        options = ["-P", held_up_at, "-e", "trace=open,openat", "-e", "inject=open,openat:delay_enter=3000000:when=1"]
        processes = [
            subprocess.Popen(
                ["strace", "-qq", "-o", str(trace), *options, *command, "-d", str(rundir), "-u", "u", "ready"],
                stderr=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
            for trace, command in zip(traces, commands, strict=True)
        ]
        until(lambda: all(trace.exists() and b"open" in trace.read_bytes() for trace in traces))
        event()
        assert [process.poll() for process in processes] == [None] * len(processes), "the delay was too short"
        lines = [process.communicate(timeout=30)[1].decode() for process in processes]
    return {
        " ".join(command): (process.returncode, line)
        for command, process, line in zip(commands, processes, lines, strict=True)
    }


def can_delay() -> bool:
    if shutil.which("strace") is None:
        return False
    options = ["-qq", "-o", "/dev/null", "-e", "trace=openat", "-e", "inject=openat:delay_enter=1:when=1"]
    return subprocess.run(["strace", *options, "true"], capture_output=True, check=False).returncode == 0


@pytest.fixture
def other() -> Iterator[subprocess.Popen[bytes]]:
    """A process that does not belong to the unit."""
    process = subprocess.Popen(["sleep", "1000"])
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize("file", ["beat/main", "beat/worker.1", "check/main", "check/worker.1", "job/import"])
def test_a_process_that_removes_its_lease_and_ends_while_a_probe_looks_at_it_is_not_reported_as_gone(
    puppet: Puppet, rundir: Path, other: subprocess.Popen[bytes], file: str
) -> None:
    loaded(puppet)
    lease(rundir, file, uptime(), 900, other.pid)

    def end() -> None:
        (rundir / "u" / file).unlink()
        other.kill()
        other.wait()

    # The lease has been read by then, and the process that wrote it is looked up next.
    verdicts = verdicts_across(rundir, f"/proc/{other.pid}/stat", end)
    assert set(verdicts.values()) == {(0, "")}, verdicts


def test_a_process_that_ends_while_a_probe_looks_at_its_lease_is_reported(
    puppet: Puppet, rundir: Path, other: subprocess.Popen[bytes]
) -> None:
    loaded(puppet)
    beat(rundir, "main", uptime(), 900, other.pid)

    def end() -> None:
        other.kill()
        other.wait()

    verdicts = verdicts_across(rundir, f"/proc/{other.pid}/stat", end)
    assert {status for status, _ in verdicts.values()} == {1}, verdicts
    assert f"liveness: u: heartbeat 'main': process {other.pid} is gone\n" in {line for _, line in verdicts.values()}


def test_a_lease_that_another_process_takes_over_while_a_probe_looks_at_it_counts_for_that_process(
    puppet: Puppet, rundir: Path, other: subprocess.Popen[bytes]
) -> None:
    loaded(puppet)
    beat(rundir, "main", uptime(), 900, other.pid)

    def replace() -> None:
        beat(rundir, "main", uptime(), 900, puppet.pid)
        other.kill()
        other.wait()

    verdicts = verdicts_across(rundir, f"/proc/{other.pid}/stat", replace)
    assert set(verdicts.values()) == {(0, "")}, verdicts


@pytest.mark.parametrize("folder", ["beat", "check"])
def test_a_successor_that_appears_while_a_probe_reads_the_lease_of_a_dead_process_is_seen(
    puppet: Puppet, rundir: Path, folder: str
) -> None:
    loaded(puppet)
    lease(rundir, f"{folder}/worker.1", uptime(), 900, puppet.pid, "1")
    dead = str(rundir / "u" / folder / "worker.1")
    verdicts = verdicts_across(rundir, dead, lambda: lease(rundir, f"{folder}/worker.2", uptime(), 900, puppet.pid))
    assert set(verdicts.values()) == {(0, "")}, verdicts


def test_a_worker_that_appears_while_a_probe_reads_the_expectation_is_counted(puppet: Puppet, rundir: Path) -> None:
    loaded(puppet)
    lease(rundir, "expect/worker", 1, 1, puppet.pid, code="1")
    expectation = str(rundir / "u" / "expect" / "worker")
    verdicts = verdicts_across(rundir, expectation, lambda: beat(rundir, "worker.1", uptime(), 900, puppet.pid))
    assert set(verdicts.values()) == {(0, "")}, verdicts


@pytest.mark.parametrize("file", ["beat/main", "check/main", "job/import"])
def test_a_lease_that_is_written_while_a_probe_is_held_up_is_not_from_the_future(
    puppet: Puppet, rundir: Path, file: str
) -> None:
    loaded(puppet)
    lease(rundir, file, uptime(), 900, puppet.pid)

    def write_in_a_later_second() -> None:
        second = int(uptime())
        until(lambda: int(uptime()) > second)
        # Not in place: a probe may be reading.
        lease(rundir, "new", uptime(), 900, puppet.pid)
        (rundir / "u" / "new").rename(rundir / "u" / file)

    verdicts = verdicts_across(rundir, str(rundir / "u" / file), write_in_a_later_second)
    assert set(verdicts.values()) == {(0, "")}, verdicts


@pytest.mark.parametrize("file", ["beat/second", "job/import", "check/main"])
def test_a_probe_that_is_held_up_does_not_count_its_own_delay(puppet: Puppet, rundir: Path, file: str) -> None:
    loaded(puppet)
    beat(rundir, "first", uptime(), 900, puppet.pid)
    lease(rundir, file, uptime(), 900, puppet.pid)

    def write_a_lease_that_ends_within_a_second() -> None:
        lease(rundir, file, uptime() - 5, 5, puppet.pid)

    first = str(rundir / "u" / "beat" / "first")
    verdicts = verdicts_across(rundir, first, write_a_lease_that_ends_within_a_second)
    assert set(verdicts.values()) == {(0, "")}, verdicts


@needs_root
def test_no_probe_takes_an_old_life_for_a_new_one_while_it_is_wiped(rundir: Path) -> None:
    # A new process 1, on what an old process 1 left that was healthy to its end.
    program = """
import os, pathlib, random, threading, time
import liveness
from judge import EXACT, Judge
rundir = pathlib.Path(os.environ["LIVENESS_RUNDIR"])
judge = Judge(rundir)
said = set()
unit = None
def ask(say):
    while unit != "end":
        if unit:
            said.add(say(unit))
askers = [threading.Thread(target=ask, args=(say,))
          for say in (judge.python, *(lambda unit, shell=shell, ask=ask: ask(shell, unit)
                                      for shell in EXACT[:2] for ask in (judge.shell, judge.short)))]
for asker in askers: asker.start()
for life in range(100):
    name = f"u{life}"
    (rundir / name / "beat").mkdir(parents=True)
    for file, text in (("start", "1"), ("error", "0"), ("ready", "0"), ("beat/main", "1 900 1 1"), ("pid", "1")):
        (rundir / name / file).write_text(text)
    unit = name
    time.sleep(random.random() / 100)
    liveness.Unit(name, rundir).load([])
    time.sleep(random.random() / 200)
    unit = None
unit = "end"
for asker in askers: asker.join()
print(*sorted(words.partition(" (")[0] for words in said), sep="\\n")
"""
    said = set(in_pid_namespace(program, rundir))
    # The third is that of a probe between the old pid and the new.
    assert said >= {"pid 1 belongs to another process", "not set"}
    assert said <= {"pid 1 belongs to another process", "not set", "not loaded"}


# Bad input


FILES = [
    "pid",
    "start",
    "error",
    "ready",
    "beat",
    "beat/main",
    "job",
    "job/x",
    "check",
    "check/x",
    "expect",
    "expect/x",
]


def with_every_file(puppet: Puppet, rundir: Path, file: str) -> None:
    """A healthy unit with every file and folder; with ``expect/`` only for a file there, which needs the long way."""
    loaded(puppet)
    puppet("liveness.beat(99)")
    puppet("liveness.set_ready()")
    for lease_file, code in (("job/x", ""), ("check/x", ""), *([("expect/x", "1")] if "expect" in file else [])):
        lease(rundir, lease_file, uptime(), 900, puppet.pid, code=code)


@pytest.mark.parametrize("file", FILES)
def test_what_cannot_be_read_is_unhealthy_and_never_waited_for(
    puppet: Puppet, judge: Judge, rundir: Path, file: str
) -> None:
    with_every_file(puppet, rundir, file)
    assert judge(mode="ready").startswith("healthy")
    path = rundir / "u" / file
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()

    makers: dict[str, Callable[[], None]] = {
        "fifo": lambda: os.mkfifo(path),
        "directory": path.mkdir,
        "dangling": lambda: path.symlink_to("nowhere"),
        "loop": lambda: path.symlink_to(path.name),
        "zero": lambda: path.symlink_to("/dev/zero"),
        "null": lambda: path.symlink_to("/dev/null"),
        "socket": lambda: os.mknod(path, 0o140644),
    }
    for kind, make in makers.items():
        if kind == "directory" and file in FOLDERS:
            continue
        make()
        assert judge(mode="ready") == f"cannot read {file}", kind
        if file.startswith("check"):
            assert judge().startswith("healthy"), kind
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink()


def probe_as_nobody(rundir: Path, mode: str = "live") -> list[str]:
    """What all probes say to a user who is not root and owns nothing."""
    script = rundir / "health.sh"
    shutil.copy(judge_module.HEALTH_SH, script)
    become = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    said = []
    for shell in judge_module.EXACT:
        for arguments, environment in (
            (["-v", "-d", str(rundir), "-u", "u", mode], {}),
            ([mode], {"LIVENESS_RUNDIR": str(rundir), "LIVENESS_UNIT_NAME": "u"}),
        ):
            done = subprocess.run(
                [*become, *shell, str(script), *arguments], capture_output=True, timeout=30, check=False,
                env={**os.environ, **environment},
            )  # fmt: skip
            said.append((done.stdout + done.stderr).decode() if done.returncode or arguments[1:] else "healthy")
    program = f"{BECOME_NOBODY}; from liveness import probe; print(probe.{mode}('u', {str(rundir)!r}))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, timeout=30, env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )  # fmt: skip
    said.append((done.stdout + done.stderr).decode())
    return said


@needs_root
@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("mode", [0, 0o444])
def test_what_may_not_be_read_is_unhealthy(puppet: Puppet, rundir: Path, file: str, mode: int) -> None:
    with_every_file(puppet, rundir, file)
    assert {words.partition("healthy")[1] for words in probe_as_nobody(rundir, "ready")} == {"healthy"}
    path = rundir / "u" / file
    if mode and not path.is_dir():
        return
    path.chmod(mode)
    assert set(probe_as_nobody(rundir, "ready")) == {f"liveness: u: cannot read {file}\n"}
    if file.startswith("check"):
        assert {words.partition("healthy")[1] for words in probe_as_nobody(rundir)} == {"healthy"}


@needs_root
@pytest.mark.parametrize("folder", ["", "u"])
def test_a_folder_that_may_not_be_searched_is_not_taken_for_an_empty_one(
    puppets: Puppets, rundir: Path, folder: str
) -> None:
    outer = rundir / "outer"
    outer.mkdir()
    loaded(puppets(rundir=outer))
    (outer / folder).chmod(0o644)
    shutil.copy(judge_module.HEALTH_SH, rundir / "health.sh")
    assert set(probe_in(outer)) == {"liveness: u: cannot read pid\n"}
    (outer / folder).chmod(0o755)


def probe_in(rundir: Path) -> list[str]:
    script = rundir.parent / "health.sh"
    become = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    return [
        subprocess.run(
            [*become, *shell, str(script), "-d", str(rundir), "-u", "u"], capture_output=True, timeout=30, check=False
        ).stderr.decode()
        for shell in judge_module.EXACT
    ]


def test_a_unit_that_is_a_file_cannot_be_read(judge: Judge, rundir: Path) -> None:
    (rundir / "u").write_text("")
    assert judge() == "cannot read pid"


@pytest.mark.parametrize("name", ["a b", "*", "a\nb", "é", "-x", "a" * 101, "a'b", "$(x)"])
def test_a_heartbeat_whose_name_no_writer_gives_is_refused(
    puppet: Puppet, judge: Judge, rundir: Path, name: str
) -> None:
    loaded(puppet)
    beat(rundir, name, uptime(), 30, puppet.pid)
    assert judge() == f"bad name in {rundir}/u/beat"


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("name", ["a b", "*", "a\nb", "-x", "a" * 101, "$(x)"])
def test_a_lease_with_a_name_that_no_writer_gives_is_refused(
    puppet: Puppet, judge: Judge, rundir: Path, folder: str, name: str
) -> None:
    loaded(puppet)
    lease(rundir, f"{folder}/{name}", uptime(), 30, puppet.pid)
    assert judge(mode="ready") == f"bad name in {rundir}/u/{folder}"


def test_temporary_files_are_no_heartbeats(puppet: Puppet, judge: Judge, rundir: Path) -> None:
    loaded(puppet)
    beat(rundir, ".main.0123456789ab", uptime() - 100, 1, puppet.pid)
    assert judge() == f"healthy: process {puppet.pid}, error 0, fresh heartbeats: 0"


def test_a_thousand_heartbeats_are_read(puppet: Puppet, judge: Judge, rundir: Path) -> None:
    loaded(puppet)
    for number in range(1000):
        beat(rundir, f"worker.{number}", uptime(), 900, puppet.pid)
    assert judge() == f"healthy: process {puppet.pid}, error 0, fresh heartbeats: 1000"


@pytest.mark.minute
def test_ten_thousand_leases_are_judged(puppet: Puppet, judge: Judge, rundir: Path) -> None:
    loaded(puppet)
    start = start_of(puppet.pid)
    for folder, count in (("beat", 4000), ("job", 3000), ("check", 3000)):
        for number in range(count):
            lease(rundir, f"{folder}/w.{number}", uptime(), 900, puppet.pid, start)
    assert judge(mode="ready") == f"healthy: process {puppet.pid}, error 0, fresh heartbeats: 4000"
    judge.exact_only = True
    lease(rundir, "check/w.2999", uptime(), 900, puppet.pid, start, "1", "database failed")
    assert judge(mode="ready") == "not ready: database failed (w.2999)"
    lease(rundir, "beat/w.2000", uptime(), 900, puppet.pid, start, "7", "queue lost")
    assert judge(mode="ready") == "error 7: queue lost (w.2000)"


def test_names_that_cannot_be_are_an_error(rundir: Path) -> None:
    for name in ("", "a/b", "..", ".a", "-a", "a b", "a\n", "é", "a" * 201):
        with pytest.raises(liveness.BadArgument, match="not a unit name"):
            probe.live(name, rundir)
    with pytest.raises(liveness.BadArgument, match="not an absolute path"):
        probe.live("u", "run")
    with pytest.raises(liveness.BadArgument, match="control characters"):
        probe.live("u", "/run\n")


def test_names_come_from_the_argument_then_the_environment_then_the_host(
    puppet: Puppet, rundir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded(puppet)
    assert probe.live("u", rundir)
    host = Path("/proc/sys/kernel/hostname").read_text().strip()
    assert probe.live(rundir=rundir).unitname == host
    monkeypatch.setenv("LIVENESS_UNIT_NAME", "")
    monkeypatch.setenv("LIVENESS_RUNDIR", "")
    assert probe.live("u-of-nobody").reason == "not loaded (no pid in /run/u-of-nobody)"
    assert probe.live(rundir=rundir).unitname == host
    monkeypatch.setenv("LIVENESS_UNIT_NAME", "u")
    monkeypatch.setenv("LIVENESS_RUNDIR", str(rundir))
    assert probe.live()
    assert probe.live("v").reason == f"not loaded (no pid in {rundir}/v)"


def test_a_verdict_can_be_asked_for_in_many_threads_at_once(puppet: Puppet, rundir: Path) -> None:
    loaded(puppet)
    verdicts: list[bool] = []

    def ask() -> None:
        for _ in range(50):
            puppet_is_healthy = probe.live("u", rundir).healthy
            verdicts.append(puppet_is_healthy)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert verdicts == [True] * 400
