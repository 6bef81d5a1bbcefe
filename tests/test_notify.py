"""`liveness run --notify`: what a program says in systemd's protocol is the state of its unit."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from judge import Judge
from services import Postgres, Redis, as_nobody, need
from stage import NOBODY, ROOT, Puppet, needs_root, start_of, until
from web import free_port

from liveness import notify
from liveness.mailbox import path_in

RUN = [sys.executable, "-m", "liveness", "run", "--notify"]
# What a program in any language does: a datagram to the socket that the environment names.
SAY = """
import array, socket, subprocess
def say(text, *descriptors):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as box:
        box.connect(os.environ["NOTIFY_SOCKET"])
        extra = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        box.sendmsg([text if isinstance(text, bytes) else text.encode()], extra)
def wait():
    reader, writer = os.pipe()
    say("BARRIER=1", writer)
    os.close(writer)
    os.read(reader, 1)
    os.close(reader)
def tell(text):
    say(text)
    wait()
"""

Start = Callable[..., Puppet]


@pytest.fixture
def start(rundir: Path) -> Iterator[Start]:
    """Starts a puppet below `liveness run --notify`; its ``process`` is the parent, its ``pid`` its own."""
    made: list[Puppet] = []

    def make(*options: str, **more: Any) -> Puppet:
        made.append(Puppet(rundir, before=(*RUN, *options, "--"), **more))
        made[-1](SAY)
        return made[-1]

    yield make
    for puppet in made:
        # The program is a process group of its own; forks of it would keep its pipes open.
        try:
            os.killpg(puppet.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        puppet.kill()


def ended(puppet: Puppet) -> int:
    """The exit status of the parent."""
    return puppet.process.wait(20)


# The life of a program


def test_a_program_is_healthy_from_ready_on_and_not_ready_when_it_stops(
    start: Start, rundir: Path, judge: Judge
) -> None:
    program = start()
    assert judge() == f"not set (no error code in {rundir}/u)"
    program("tell('STATUS=loading')")
    assert judge() == f"not set (no error code in {rundir}/u)"
    program("tell('READY=1')")
    assert judge() == f"healthy: process {program.process.pid}, error 0, fresh heartbeats: 0"
    assert judge(mode="ready").startswith("healthy")
    program("tell('RELOADING=1'); tell('READY=1')")
    assert judge(mode="ready").startswith("healthy")
    program("tell('STOPPING=1')")
    assert judge(mode="ready") == "not ready: stopping"
    assert judge().startswith("healthy")
    program.tell("os._exit(5)")
    assert ended(program) == 5
    assert judge() == f"not loaded (no pid in {rundir}/u)"
    assert [file for file in (rundir / "u").iterdir() if not file.is_dir()] == []


def test_a_program_that_hangs_is_found_by_its_watchdog(start: Start, rundir: Path, judge: Judge) -> None:
    program = start("--watchdog", "2")
    assert program("os.environ['WATCHDOG_USEC'], os.environ['WATCHDOG_PID']") == ["2000000", str(program.pid)]
    # The watchdog begins with READY=1.
    program("tell('WATCHDOG=1')")
    assert not (rundir / "u/beat/watchdog").exists()
    program("tell('READY=1\\nSTATUS=serving')")
    first, second = (rundir / "u/beat/watchdog").read_text().splitlines()
    assert (first.split()[1:], second) == (["2", str(program.pid), start_of(program.pid)], "serving")
    end = time.monotonic() + 4
    while time.monotonic() < end:
        program("tell('WATCHDOG=1')")
        assert judge.python().startswith("healthy")
        time.sleep(0.3)
    os.kill(program.pid, signal.SIGSTOP)
    begin = time.monotonic()
    until(lambda: judge.python().startswith("no heartbeat 'watchdog' for "), 9)
    assert time.monotonic() - begin < 3.5
    assert judge() in (f"no heartbeat 'watchdog' for {age} s (limit 2 s)" for age in (3, 4, 5, 6))
    os.kill(program.pid, signal.SIGCONT)
    program("tell('WATCHDOG=1')")
    assert judge().startswith("healthy")


def test_a_program_without_a_watchdog_is_not_asked_for_signs_of_life(start: Start, rundir: Path) -> None:
    program = start()
    assert program("[name for name in os.environ if name.startswith('WATCHDOG')]") == []
    program("tell('READY=1'); tell('WATCHDOG=1')")
    assert not (rundir / "u/beat/watchdog").exists()


def test_a_program_may_set_its_watchdog_itself(start: Start, rundir: Path, judge: Judge) -> None:
    program = start()
    program("tell('READY=1\\nWATCHDOG_USEC=1500000')")
    assert (rundir / "u/beat/watchdog").read_text().split()[1] == "2"
    until(lambda: judge.python().startswith("no heartbeat 'watchdog'"))
    program(f"tell('WATCHDOG_USEC={2**64 - 1}')")
    assert judge().startswith("healthy")


def test_a_watchdog_that_the_program_triggers_fails_at_once_and_for_good(start: Start, judge: Judge) -> None:
    program = start("--watchdog", "60")
    program("tell('READY=1'); tell('WATCHDOG=trigger')")
    assert judge() == "error 1: the program has triggered its watchdog"
    program("tell('WATCHDOG=1'); tell('READY=1\\nERRNO=0')")
    assert judge() == "error 1: the program has triggered its watchdog"


def test_an_errno_is_an_error_until_the_program_is_ready_again(start: Start, judge: Judge) -> None:
    program = start()
    program("tell('ERRNO=2')")
    assert judge() == "error 2: No such file or directory"
    program("tell('READY=1')")
    assert judge().startswith("healthy")
    program("tell('STATUS=disk lost\\nERRNO=5')")
    assert judge() == "error 5: disk lost"
    program("tell('STATUS=disk found\\nREADY=1'); tell('ERRNO=0'); tell('ERRNO=x')")
    assert judge().startswith("healthy")


def test_a_program_that_does_not_end_after_it_said_so_is_found(start: Start, rundir: Path, judge: Judge) -> None:
    program = start("--watchdog", "1", "--stop-timeout", "2")
    program("tell('READY=1'); tell('STOPPING=1')")
    assert not (rundir / "u/beat/watchdog").exists()
    until(lambda: judge.python().startswith("job 'stopping' has run for "))
    assert judge().endswith("(limit 2 s)")
    program("tell('EXTEND_TIMEOUT_USEC=60000000')")
    assert judge().startswith("healthy")
    assert judge(mode="ready") == "not ready: stopping"


def test_what_an_operator_has_declared_is_not_taken_back_by_a_status(start: Start, rundir: Path, judge: Judge) -> None:
    program = start("--watchdog", "60")
    program("tell('READY=1')")
    command = [sys.executable, "-m", "liveness", "set", "7", "by hand"]
    program(f"subprocess.run({command!r}, check=True)")
    program("tell('STATUS=fine'); tell('WATCHDOG=1'); tell('RELOADING=1')")
    assert judge() == "error 7: by hand"


def test_a_state_that_cannot_be_written_is_written_later(start: Start, rundir: Path, judge: Judge) -> None:
    program = start("--watchdog", "60", stderr=subprocess.PIPE)
    (rundir / "u/error").mkdir()
    program("tell('READY=1')")
    assert judge() == "cannot read error"
    (rundir / "u/error").rmdir()
    until(lambda: judge.python().startswith("healthy"))
    assert program.process.stderr is not None
    assert "cannot write, will try again" in program.process.stderr.readline()


# Who may say it


def test_only_the_main_process_is_heard_unless_all_are(start: Start, judge: Judge) -> None:
    def child_says_ready(program: Puppet) -> None:
        # The child has ended before it is heard: all that is left of it is its number.
        program.signal(signal.SIGSTOP)
        program("pid = os.fork()\nif not pid:\n say('READY=1'); os._exit(0)\nos.waitpid(pid, 0)")
        program.signal(signal.SIGCONT)
        program("wait()")

    program = start(stderr=subprocess.PIPE)
    child_says_ready(program)
    assert judge().startswith("not set")
    assert program.process.stderr is not None
    assert "is ignored, since" in program.process.stderr.readline()
    program("tell('READY=1')")
    assert judge().startswith("healthy")
    heard = start("--access", "all", unit="all")
    child_says_ready(heard)
    assert judge("all").startswith("healthy")


@needs_root
def test_of_all_only_those_of_another_user_that_the_program_started_are_heard(
    start: Start, rundir: Path, judge: Judge
) -> None:
    program = start("--access", "all")
    as_another = f"os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})"
    box = f"{rundir}/u/notify"
    send = f"s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.sendto(b'READY=1', {box!r})"
    # A stranger.
    subprocess.run([sys.executable, "-c", f"import os, socket; {as_another}; {send}"], check=True)
    program("wait()")
    assert judge().startswith("not set")
    program(f"pid = os.fork()\nif not pid:\n {as_another}; tell('READY=1'); os._exit(0)\nos.waitpid(pid, 0)")
    assert judge().startswith("healthy")


@pytest.mark.parametrize("pid", ["1", "0", "-1", "x", "99999999", str(2**70), ""])
def test_the_main_process_is_one_of_the_program(start: Start, judge: Judge, pid: str) -> None:
    program = start()
    program(f"tell('MAINPID={pid}\\nREADY=1')")
    assert judge().startswith("healthy")
    # And is still the one that is heard.
    program("tell('ERRNO=2')")
    assert judge().startswith("error 2")


# Which process is judged


def test_a_program_that_goes_on_in_the_background_is_judged_by_the_process_that_goes_on(
    start: Start, rundir: Path, judge: Judge
) -> None:
    program = start("--watchdog", "60")
    fifo = rundir / "fifo"
    os.mkfifo(fifo)
    program(f"child = os.fork()\nif not child:\n open({str(fifo)!r}).read(); os._exit(7)")
    child = program("child")
    program("tell('READY=1'); say(f'MAINPID={child}')")
    program.tell("os._exit(0)")
    until(lambda: not Path(f"/proc/{program.pid}").exists())
    assert judge().startswith("healthy")
    assert (rundir / "u/beat/watchdog").read_text().split()[2] == str(child)
    fifo.write_text("")
    assert ended(program) == 7


def test_a_main_process_whose_death_only_its_own_parent_sees_is_found(start: Start, judge: Judge) -> None:
    program = start()
    program("child = subprocess.Popen(['sleep', '100'])")
    program("tell(f'MAINPID={child.pid}\\nREADY=1')")
    assert judge().startswith("healthy")
    program("child.kill(); child.wait()")
    pid = program("child.pid")
    until(lambda: judge.python() == f"error 1: the main process {pid} is gone", 9)
    program("say('READY=1')")
    # What is left of the program gets the signals.
    program.process.send_signal(signal.SIGTERM)
    assert ended(program) == 128 + signal.SIGTERM


def test_a_parent_that_is_killed_is_unhealthy_and_its_program_is_told_to_end(start: Start, judge: Judge) -> None:
    program = start()
    program("tell('READY=1')")
    program.process.kill()
    program.process.wait()
    assert judge() == f"process {program.process.pid} is gone"
    until(lambda: not Path(f"/proc/{program.pid}").exists())


# Signals, children, exit status


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2, signal.SIGRTMIN + 3])
def test_a_signal_is_passed_on(start: Start, number: int) -> None:
    program = start()
    program("got = []")
    program(f"signal.signal({int(number)}, lambda number, frame: got.append(number))")
    program.signal(number)
    until(lambda: program("got") == [number])
    program(f"signal.signal({int(number)}, signal.SIG_DFL)")
    program.signal(number)
    assert ended(program) == 128 + number


def test_a_program_that_crashes_ends_its_parent_with_the_number_of_the_signal(start: Start, judge: Judge) -> None:
    program = start()
    program("tell('READY=1')")
    program.tell("os.kill(os.getpid(), signal.SIGSEGV)")
    assert ended(program) == 128 + signal.SIGSEGV
    assert judge().startswith("not loaded")


def test_a_program_gets_its_signals_as_it_would_alone(rundir: Path) -> None:
    command = ["grep", "-E", "^Sig(Ign|Blk|Cgt)", "/proc/self/status"]
    environment = {**os.environ, "LIVENESS_RUNDIR": str(rundir), "PYTHONPATH": str(ROOT)}
    shown, alone = (
        subprocess.run([*prefix, *command], env=environment, capture_output=True, text=True, check=True).stdout.split()
        for prefix in ([*RUN, "--"], [])
    )
    # Signals 32 and 33 are the C library's own, see nptl(7).
    mine = ~(0b11 << 31)
    assert [int(mask, 16) & mine for mask in shown[1::2]] == [int(mask, 16) & mine for mask in alone[1::2]]


def test_orphans_are_collected(start: Start) -> None:
    program = start()
    program("reader, writer = os.pipe()")
    program(
        "pid = os.fork()\n"
        "if not pid:\n"
        " grandchild = os.fork()\n"
        " if grandchild: os.write(writer, str(grandchild).encode()); os._exit(0)\n"
        " os._exit(3)\n"
        "os.waitpid(pid, 0)"
    )
    orphan = program("int(os.read(reader, 20))")
    until(lambda: not Path(f"/proc/{orphan}").exists())
    assert program.process.poll() is None


def test_a_program_in_a_terminal_reads_from_it_and_gets_a_key_once(rundir: Path) -> None:
    script = "trap 'echo interrupted' INT; read -r line; echo got $line; while :; do read -r line && exit 3; done"
    command = [*RUN, "--", "sh", "-c", script]
    environment = {**os.environ, "LIVENESS_RUNDIR": str(rundir), "LIVENESS_UNIT_NAME": "u", "PYTHONPATH": str(ROOT)}
    # Makes a session of its own, with a terminal that reads what we write.
    inside = f"import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn({command!r})))"
    with subprocess.Popen(
        [sys.executable, "-c", inside], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        said = b""

        def hears(word: bytes) -> None:
            nonlocal said
            while word not in said:
                more = os.read(process.stdout.fileno(), 1000)  # type: ignore[union-attr]
                assert more, said
                said += more

        try:
            for text, answer in ((b"hello\n", b"got hello"), (b"\x03", b"interrupted")):
                process.stdin.write(text)
                process.stdin.flush()
                hears(answer)
            process.stdin.write(b"end\n")
            process.stdin.flush()
            assert process.wait(20) == 3
            assert said.count(b"interrupted") == 1
        finally:
            # The terminal goes with it, and what is in its session.
            process.kill()


@needs_root
def test_as_the_first_process_of_a_container_it_does_the_same(rundir: Path, judge: Judge) -> None:
    need("unshare", "util-linux")
    program = Puppet(rundir, before=("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", *RUN, "--"))
    program(SAY)
    assert (program.pid, program("os.getppid()")) == (2, 1)
    program("tell('READY=1')")
    health_sh = str(ROOT / "health.sh")
    assert program(f"subprocess.run(['sh', {health_sh!r}]).returncode") == 0
    program("subprocess.run(['sh', '-c', 'sleep 0 & exec true'])")
    until(lambda: program("sorted(name for name in os.listdir('/proc') if name.isdigit())") == ["1", "2"])
    # Nobody else can send a signal to it, and it must not end by one that it passes on.
    program.tell("os.kill(1, signal.SIGTERM)")
    assert program.process.wait(20) == 128 + signal.SIGTERM
    program.kill()


def test_a_program_that_cannot_be_run_leaves_nothing(rundir: Path, judge: Judge) -> None:
    (rundir / "odd").write_text("#!/no/such/shell\n")
    (rundir / "odd").chmod(0o755)
    for command, code in ((f"{rundir}/odd", 126), ("not-a-program", 127)):
        done = run(rundir, command)
        assert (done.returncode, done.stderr.count("\n")) == (code, 1), done.stderr
        assert judge().startswith("not loaded")
        assert not (rundir / "u/notify").exists()


def run(
    rundir: Path, *command: str, unit: str = "u", options: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LIVENESS_RUNDIR": str(rundir), "LIVENESS_UNIT_NAME": unit, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [*RUN, *options, "--", *command], env=environment, capture_output=True, text=True, check=False, timeout=60
    )


def test_a_path_too_long_for_a_socket_is_refused_before_anything_is_written(rundir: Path) -> None:
    done = run(rundir, "true", unit="x" * 100)
    assert (done.returncode, "too long for a socket" in done.stderr) == (1, True)
    assert list(rundir.iterdir()) == []
    fitting = "x" * (107 - len(path_in(f"{rundir}/")))
    assert run(rundir, "true", unit=fitting).returncode == 0


def test_what_only_such_a_program_has_is_refused_without_it(rundir: Path) -> None:
    command = [sys.executable, "-m", "liveness", "run", "--watchdog", "9", "--", "true"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert (done.returncode, "--watchdog needs --notify" in done.stderr) == (2, True)
    for wrong in ("0", "x", "9999999999"):
        done = run(rundir, "true", options=("--watchdog", wrong))
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)


# Messages


def test_a_barrier_falls_when_what_was_said_before_has_its_effect(start: Start, judge: Judge) -> None:
    program = start()
    for number in range(1, 50):
        program(f"tell('ERRNO={number}')")
        assert judge.python().startswith(f"error {number}: ")


def test_descriptors_that_come_with_a_message_are_not_kept(start: Start) -> None:
    program = start()
    before = os.listdir(f"/proc/{program.process.pid}/fd")
    program("for _ in range(50): say('FDSTORE=1\\nFDNAME=x', 0, 1, 2); say('', *[0] * 253)")
    program("wait()")
    assert len(os.listdir(f"/proc/{program.process.pid}/fd")) == len(before)


def test_no_message_ends_the_parent(start: Start, judge: Judge) -> None:
    program = start("--watchdog", "60")
    program("say('READY=1\\n' + 'x' * 5000); say(b'READY=1\\0'); tell('READY=2')")
    assert judge().startswith("not set")
    program("tell('READY=1')")
    words = ["READY", "STATUS", "MAINPID", "WATCHDOG", "WATCHDOG_USEC", "ERRNO", "EXTEND_TIMEOUT_USEC", "=", "\n", "\0"]
    dice = random.Random(1)
    for _ in range(300):
        text = "".join(dice.choice([*words, "-1", "9" * 30, "\x1b[31m", "é", " "]) for _ in range(dice.randrange(9)))
        program(f"say({text.encode() + bytes(dice.choices(range(256), k=3))!r})")
    program("say('STATUS=' + 'x' * 5000); say('x' * 4000); say(''); tell('WATCHDOG_USEC=0'); tell('READY=1')")
    assert judge().startswith("healthy")


@pytest.mark.parametrize(
    ("text", "found"),
    [("0", 0), ("1", 1), ("1000000", 1), ("1000001", 2), (str(2**64 - 1), 0), ("x", None), ("", None), ("²", None)],
)
def test_a_number_of_microseconds_is_one_of_seconds_that_is_not_shorter(text: str, found: int | None) -> None:
    assert notify.seconds(text) == found


# The example, and programs that others wrote


@pytest.fixture
def supervise(rundir: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts any command below `liveness run --notify`, and ends it."""
    started: list[subprocess.Popen[bytes]] = []

    def start(command: list[str], *options: str, folder: Path | None = None) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "LIVENESS_RUNDIR": str(rundir), "LIVENESS_UNIT_NAME": "u", "PYTHONPATH": str(ROOT)}
        started.append(
            subprocess.Popen([*RUN, *options, "--", *command], cwd=folder or rundir, env=environment, stderr=2)
        )
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


Supervise = Callable[..., "subprocess.Popen[bytes]"]


def test_the_example_is_found_when_it_hangs_and_ends_when_it_is_told(
    supervise: Supervise, rundir: Path, judge: Judge
) -> None:
    parent = supervise([sys.executable, str(ROOT / "examples" / "notify.py")], "--watchdog", "2")
    until(lambda: judge.python().startswith("healthy"))
    lease = (rundir / "u/beat/watchdog").read_text()
    until(lambda: (rundir / "u/beat/watchdog").read_text() != lease)
    (program,) = children(parent.pid)
    os.kill(program, signal.SIGSTOP)
    until(lambda: judge.python().startswith("no heartbeat 'watchdog'"), 9)
    os.kill(program, signal.SIGCONT)
    until(lambda: judge.python().startswith("healthy"))
    parent.terminate()
    assert parent.wait(20) == 0
    assert judge().startswith("not loaded")


def test_postgresql_tells_when_it_is_ready_and_when_it_stops(supervise: Supervise, judge: Judge) -> None:
    server = Postgres()
    try:
        parent = supervise(as_nobody(server.command()), folder=server.folder)
        until(lambda: judge.python().startswith("healthy"), 60)
        assert server.run("SELECT 1") == [(1,)]
        with server.connect("super", "postgres"):
            # A smart shutdown waits for this client to go.
            parent.terminate()
            until(lambda: judge.python(mode="ready") == "not ready: stopping")
            assert judge().startswith("healthy")
        assert parent.wait(30) == 0
        assert judge().startswith("not loaded")
    finally:
        shutil.rmtree(server.folder, ignore_errors=True)


def test_redis_tells_when_it_is_ready(supervise: Supervise, judge: Judge) -> None:
    server = Redis()
    try:
        parent = supervise(as_nobody([*server.command(), "--supervised", "systemd"]), folder=server.folder)
        until(lambda: judge.python().startswith("healthy"), 60)
        assert server.answers()
        os.kill(int(Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text()), signal.SIGKILL)
        assert parent.wait(30) == 128 + signal.SIGKILL
        assert judge().startswith("not loaded")
    finally:
        shutil.rmtree(server.folder, ignore_errors=True)


def test_haproxy_stays_healthy_while_it_takes_a_new_configuration(
    supervise: Supervise, tmp_path: Path, judge: Judge
) -> None:
    haproxy = need("haproxy", "haproxy")
    config = tmp_path / "haproxy.cfg"
    waits = "".join(f"  timeout {what} 1s\n" for what in ("connect", "client", "server"))
    config.write_text(f"defaults\n  mode http\n{waits}frontend f\n  bind 127.0.0.1:{free_port()}\n")
    parent = supervise([haproxy, "-Ws", "-f", str(config)])
    until(lambda: judge.python().startswith("healthy"), 30)
    (master,) = children(parent.pid)
    (worker,) = children(master)
    parent.send_signal(signal.SIGUSR2)

    def is_replaced() -> bool:
        assert judge.python(mode="ready").startswith("healthy")
        return len(children(master)) == 1 and children(master) != [worker]

    until(is_replaced)
    parent.terminate()
    assert parent.wait(30) == 0


def children(pid: int) -> list[int]:
    return [int(number) for number in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


# After the example in sd_notify(3) for programs without libsystemd.
IN_C = r"""
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void say(const char *text) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strncpy(address.sun_path, getenv("NOTIFY_SOCKET"), sizeof address.sun_path - 1);
  int box = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sendto(box, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&address,
         offsetof(struct sockaddr_un, sun_path) + strlen(address.sun_path));
  close(box);
}

static volatile sig_atomic_t stopping, hanging;
static void on_signal(int number) { if (number == SIGTERM) stopping = 1; else hanging = 1; }

int main(void) {
  useconds_t interval = atol(getenv("WATCHDOG_USEC")) / 4;
  if (atol(getenv("WATCHDOG_PID")) != getpid()) return 9;
  signal(SIGTERM, on_signal);
  signal(SIGUSR1, on_signal);
  say("READY=1\nSTATUS=serving");
  while (!stopping) {
    if (!hanging) say("WATCHDOG=1");
    usleep(interval);
  }
  say("STOPPING=1");
  return 4;
}
"""


def test_a_program_in_c_is_found_when_it_hangs(supervise: Supervise, tmp_path: Path, judge: Judge) -> None:
    (tmp_path / "program.c").write_text(IN_C)
    subprocess.run(
        [need("gcc", "gcc"), "-Wall", "-Werror", "-o", tmp_path / "program", tmp_path / "program.c"], check=True
    )
    parent = supervise([str(tmp_path / "program")], "--watchdog", "2")
    until(lambda: judge.python().startswith("healthy"))
    end = time.monotonic() + 3.5
    while time.monotonic() < end:
        assert judge.python().startswith("healthy")
        time.sleep(0.05)
    parent.send_signal(signal.SIGUSR1)
    until(lambda: judge.python().startswith("no heartbeat 'watchdog'"), 9)
    parent.terminate()
    assert parent.wait(20) == 4


def test_a_shell_script_speaks_through_systemd_notify(supervise: Supervise, tmp_path: Path, judge: Judge) -> None:
    notify_program = need("systemd-notify", "systemd")
    script = tmp_path / "script"
    script.write_text(f"{notify_program} --ready --status=serving\nread -r line <{tmp_path}/fifo\nexit 6\n")
    os.mkfifo(tmp_path / "fifo")
    # It waits behind a barrier until it was heard, and says that the shell is the main process.
    parent = supervise(["sh", str(script)], "--access", "all")
    until(lambda: judge.python().startswith("healthy"))
    (tmp_path / "fifo").write_text("end\n")
    assert parent.wait(20) == 6
