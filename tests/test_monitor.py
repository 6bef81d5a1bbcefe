"""The Monitor runs checks again and again, and the probe sees their result; nothing else writes its lease."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from judge import Judge
from stage import ROOT, Puppet, needs_root, until

import liveness
from liveness import LivenessError, Unit
from liveness import monitor as monitor_module
from liveness.checks import Check
from liveness.directory import Directory
from liveness.monitor import Monitor


class Database:
    """A check whose outcome a test decides."""

    def __init__(self) -> None:
        self.is_up = True
        self.asked = 0

    def __call__(self) -> bool:
        self.asked += 1
        return self.is_up

    def asked_again(self, times: int = 2) -> None:
        """Waits until runs that began after this call have ended."""
        before = self.asked
        until(lambda: self.asked >= before + times)


Make = Callable[..., Monitor]
Puppets = Callable[..., Puppet]


@pytest.fixture
def database() -> Database:
    return Database()


@pytest.fixture
def unit(rundir: Path) -> Iterator[Unit]:
    unit = Unit("u", rundir)
    unit.load()
    unit.set()
    yield unit
    unit.reset()


@pytest.fixture
def monitor(unit: Unit, database: Database) -> Iterator[Make]:
    made: list[Monitor] = []

    def make(**options: object) -> Monitor:
        arguments = {"interval": 0.02, "unit": unit, **options}
        made.append(Monitor([Check("db", database, timeout=30)], **arguments))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for monitor in made:
        monitor.stop()


@pytest.fixture
def short_renewal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases of Monitors go stale after 2 seconds and not after 17."""
    monkeypatch.setattr(monitor_module, "RENEWAL", 0.1)


def results(rundir: Path) -> set[str]:
    """The names of the results in check/."""
    folder = rundir / "u" / "check"
    return {name for name in os.listdir(folder) if not name.startswith(".")} if folder.exists() else set()


def says(judge: Judge, words: str, mode: str = "ready") -> None:
    until(lambda: judge.python(mode=mode).startswith(words))
    assert judge(mode=mode).startswith(words)


def test_the_probe_sees_what_the_checks_find(monitor: Make, database: Database, judge: Judge) -> None:
    with monitor():
        says(judge, "healthy")
        database.is_up = False
        says(judge, "not ready: db failed (monitor)")
        says(judge, "healthy", "live")
        database.is_up = True
        says(judge, "healthy")


def test_into_error_it_fails_liveness_and_readiness(monitor: Make, database: Database, judge: Judge) -> None:
    with monitor(into="error", code=9):
        database.is_up = False
        says(judge, "error 9: db failed (monitor)", "live")
        says(judge, "error 9: db failed (monitor)")
        database.is_up = True
        says(judge, "healthy", "live")


@pytest.mark.parametrize(("into", "words"), [("ready", "not ready"), ("error", "error 1")])
def test_before_its_first_run_nothing_is_checked_yet(unit: Unit, judge: Judge, into: str, words: str) -> None:
    gate = threading.Event()

    def waits() -> None:
        gate.wait(60)

    with Monitor([Check("slow", waits, timeout=60)], 0.02, unit=unit, into=into):
        assert judge(mode="ready") == f"{words}: not checked yet (monitor)"
        gate.set()
        says(judge, "healthy")


def test_a_check_that_hangs_is_a_failure_with_its_name(unit: Unit, judge: Judge) -> None:
    gate = threading.Event()

    def waits() -> None:
        gate.wait(60)

    with Monitor([Check("slow", waits, timeout=0.05)], 0.02, unit=unit):
        says(judge, "not ready: slow timed out (monitor)")
        gate.set()
        says(judge, "healthy")


def test_a_failure_and_a_recovery_within_one_second_are_both_seen(
    monitor: Make, database: Database, judge: Judge
) -> None:
    with monitor(interval=0.005):
        for _ in range(20):
            database.is_up = False
            until(lambda: judge.python(mode="ready") == "not ready: db failed (monitor)", 0.9)
            database.is_up = True
            until(lambda: judge.python(mode="ready").startswith("healthy"), 0.9)


def test_it_declares_after_as_many_failures_and_takes_back_after_as_many_successes(unit: Unit, judge: Judge) -> None:
    answers = iter([True, True, True, False, False, True, False, False, False, True, True, False, True, True, True])
    said = []

    def scripted() -> bool:
        said.append(judge.python(mode="ready").split(",")[0].split(" process")[0])
        return next(answers, True)

    with Monitor([Check("x", scripted, timeout=60)], 0.001, unit=unit, failures=3, successes=3):
        until(lambda: len(said) > 15)
    not_yet, well, bad = "not ready: not checked yet (monitor)", "healthy:", "not ready: x failed (monitor)"
    # The verdict when a run began, so one later than the answer.
    assert said[:16] == [not_yet] * 3 + [well] * 6 + [bad] * 6 + [well]


def test_what_is_not_critical_only_shows_in_the_report(unit: Unit, judge: Judge) -> None:
    with Monitor([Check("side", lambda: False, critical=False)], 0.02, unit=unit) as monitor:
        until(lambda: monitor.report)
        says(judge, "healthy")
        assert monitor.report is not None
        assert monitor.report.verdict == "degraded"


# The application's declarations and the Monitor's lease


@pytest.mark.parametrize("into", ["ready", "error"])
def test_neither_the_application_nor_the_monitor_ever_undoes_the_other(
    monitor: Make, unit: Unit, database: Database, judge: Judge, into: str
) -> None:
    with monitor(into=into, interval=0.001):
        for number in range(2, 30):
            database.is_up = number % 2 == 0
            unit.set(number, "lost")
            database.asked_again()
            assert judge.python() == f"error {number}: lost"
            unit.set()
            unit.set_ready(False, "draining")
            unit.set_ready()
        database.is_up = False
        database.asked_again()
        unit.set()
        unit.set_ready()
        assert judge(mode="ready").endswith(": db failed (monitor)")
        database.is_up = True
        says(judge, "healthy")
        assert (Path(unit.path) / "error").read_bytes() == b"0"
        assert (Path(unit.path) / "ready").read_bytes() == b"0"


def test_an_alarm_of_another_process_at_any_moment_of_a_run_stands(
    monitor: Make, puppet: Puppet, unit: Unit, database: Database, judge: Judge
) -> None:
    # Version 1 lost some of these: Monitor and application wrote one file.
    with monitor(into="error", interval=0.001, jitter=0):
        puppet(f"unit = liveness.Unit('u', {unit.rundir!r})")
        for number in range(2, 150):
            database.is_up = number % 3 > 0
            puppet(f"unit.set({number}, 'lost')")
            database.asked_again()
            assert judge.python() == f"error {number}: lost"


def test_a_unit_that_was_not_declared_healthy_is_not_declared_so_by_it(rundir: Path, judge: Judge) -> None:
    unit, database = Unit("u", rundir), Database()
    unit.load()
    with Monitor([Check("db", database)], 0.02, unit=unit, into="error"):
        database.asked_again(3)
        assert judge() == f"not set (no error code in {rundir}/u)"
        assert not (rundir / "u" / "ready").exists()
    unit.reset()


# Several Monitors


def test_of_two_processes_with_a_monitor_each_one_failing_is_named_whatever_the_other_writes(
    puppet: Puppet, judge: Judge
) -> None:
    puppet("from liveness.monitor import Monitor; liveness.load(); liveness.set()")
    puppet("good = Monitor([lambda: True], 0.01).start()")
    worker = puppet.spawn()
    worker("from liveness.monitor import Monitor")
    worker("def db(): return False")
    worker("bad = Monitor([db], 1000, name='db').start()")
    says(judge, f"not ready: puppet.db failed (db.{worker.pid})")
    end = time.monotonic() + 1
    while time.monotonic() < end:
        assert judge.python(mode="ready") == f"not ready: puppet.db failed (db.{worker.pid})"
    worker("bad.stop()")
    says(judge, "healthy")
    worker.kill()


def test_several_of_one_process_must_all_pass_and_have_a_name_each(
    monitor: Make, unit: Unit, database: Database, judge: Judge
) -> None:
    with monitor():
        with pytest.raises(LivenessError, match="another Monitor has the name 'monitor'"):
            monitor().start()
        with monitor(into="error"), Monitor([Check("other", lambda: False)], 0.02, unit=unit, name="other"):
            says(judge, "not ready: other failed (other)")
        says(judge, "healthy")


def test_a_worker_that_joins_does_not_take_the_pod_out_and_the_last_one_to_die_does(
    puppet: Puppet, rundir: Path, judge: Judge
) -> None:
    puppet("from liveness.monitor import Monitor; liveness.load(); liveness.set()")
    puppet(f"def db(): return os.path.exists({str(rundir / 'db')!r}) or time.sleep(0.3)")
    (rundir / "db").touch()
    puppet(
        "def work():\n  pid = os.fork()\n  if not pid:\n    Monitor([db], 0.02).start(); time.sleep(1000)\n  return pid"
    )
    first = puppet("work()")
    until(lambda: results(rundir) == {f"monitor.{first}"})
    says(judge, "healthy")
    second = puppet("work()")
    while len(results(rundir)) < 2:
        assert judge.python(mode="ready").startswith("healthy")
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        assert judge.python(mode="ready").startswith("healthy")
    # A killed worker is passed over while another's result is fresh.
    puppet(f"os.kill({first}, 9); os.waitpid({first}, 0)")
    assert judge(mode="ready").startswith("healthy")
    puppet(f"os.kill({second}, 9); os.waitpid({second}, 0)")
    assert judge(mode="ready") == "not ready: no result of any 'monitor'"
    assert judge().startswith("healthy")


def test_a_pool_whose_last_monitor_died_while_its_checks_failed_does_not_turn_ready(
    puppet: Puppet, judge: Judge
) -> None:
    puppet("from liveness.monitor import Monitor; liveness.load(); liveness.set()")
    worker = puppet.spawn()
    worker("from liveness.monitor import Monitor; Monitor([lambda: False], 0.02).start() and None")
    until(lambda: "failed" in judge.python(mode="ready"))
    worker.kill()
    says(judge, "not ready: no result of any 'monitor'")


def test_a_monitor_of_a_plain_name_that_died_with_its_process_fails_readiness_alone(
    puppet: Puppet, judge: Judge, rundir: Path
) -> None:
    # The unit's own process died, and another took over without a wipe: as a lease that was left behind.
    puppet("liveness.load(); liveness.set()")
    (rundir / "u" / "check").mkdir()
    (rundir / "u" / "check" / "monitor").write_text("1 900 4194304 1\n")
    assert judge(mode="ready") == "not ready: no result of 'monitor': process 4194304 is gone"
    assert judge().startswith("healthy")


# Its start and its end


def test_before_a_load_there_is_nothing_to_monitor(rundir: Path) -> None:
    (rundir / "u").mkdir()
    with pytest.raises(LivenessError, match=r"nobody has loaded this unit \(call load\(\) first"):
        Monitor([lambda: True], 1, unit=Unit("u", rundir)).start()


def test_on_what_a_dead_process_has_left_it_does_not_start(puppets: Puppets, rundir: Path) -> None:
    dead = puppets()
    dead("liveness.load()")
    dead.kill()
    with pytest.raises(LivenessError, match=f"cannot start a Monitor: .* was not started by process {dead.pid}"):
        Monitor([lambda: True], 1, unit=Unit("u", rundir)).start()


@pytest.mark.parametrize(("into", "folder"), [("ready", "check"), ("error", "beat")])
def test_a_first_result_that_cannot_be_written_is_an_error(unit: Unit, into: str, folder: str) -> None:
    (Path(unit.path) / folder).write_text("in the way")
    monitor = Monitor([lambda: True], 1, unit=unit, into=into)
    with pytest.raises(LivenessError, match=f"/{folder}/monitor: cannot write: not a directory"):
        monitor.start()
    assert not monitor.is_running
    (Path(unit.path) / folder).unlink()
    with monitor:
        assert monitor.is_running


def test_load_is_refused_while_it_runs(monitor: Make, unit: Unit, judge: Judge) -> None:
    with monitor():
        for again in (unit, Unit("u", unit.rundir)):
            with pytest.raises(LivenessError, match=r"a Monitor of this process writes into this unit \(stop\(\)"):
                again.load()
        says(judge, "healthy")
    unit.load()
    unit.set()


def test_it_may_be_started_again(monitor: Make, database: Database, judge: Judge) -> None:
    running = monitor()
    for _ in range(3):
        with running:
            with pytest.raises(LivenessError, match="already runs"):
                running.start()
            says(judge, "healthy")
    running.stop()


def test_its_result_goes_with_it(monitor: Make, unit: Unit, database: Database, judge: Judge) -> None:
    database.is_up = False
    for into, folder in (("ready", "check"), ("error", "beat")):
        with monitor(into=into):
            until(lambda: judge.python(mode="ready").endswith("db failed (monitor)"))
        assert judge(mode="ready").startswith("healthy")
        assert os.listdir(Path(unit.path) / folder) == []


def test_it_stops_at_once_though_a_check_hangs(unit: Unit, judge: Judge) -> None:
    gate, came = threading.Event(), threading.Event()

    def waits() -> bool:
        came.set()
        gate.wait(60)
        return False

    hanging = Monitor([Check("slow", waits, timeout=60)], 0.02, unit=unit)
    hanging.start()
    assert came.wait(20)
    hanging.stop()
    assert not hanging.is_running
    thread = next(thread for thread in threading.enumerate() if thread.name == "liveness-monitor")
    gate.set()
    thread.join(20)
    assert judge(mode="ready").startswith("healthy")
    assert os.listdir(Path(unit.path) / "check") == []


def test_no_result_stays_behind_though_it_is_stopped_in_the_middle_of_a_write(
    monitor: Make, unit: Unit, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename, inside, go_on = os.rename, threading.Event(), threading.Event()

    def held_up(source: str, target: str) -> None:
        if threading.current_thread().name == "liveness-monitor":
            inside.set()
            go_on.wait(20)
        rename(source, target)

    running = monitor().start()
    thread = next(thread for thread in threading.enumerate() if thread.name == "liveness-monitor")
    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", held_up)
        database.is_up = False
        assert inside.wait(20)
        running.stop()
        go_on.set()
        thread.join(20)
    assert os.listdir(Path(unit.path) / "check") == []


def test_a_restart_in_the_middle_of_a_write_keeps_the_new_result(
    monitor: Make, unit: Unit, database: Database, judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename, inside, gate = os.rename, threading.Event(), threading.Event()

    def slow(source: str, target: str) -> None:
        if threading.current_thread().name == "liveness-monitor":
            inside.set()
            time.sleep(0.3)
        rename(source, target)

    running = monitor().start()
    thread = next(thread for thread in threading.enumerate() if thread.name == "liveness-monitor")
    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", slow)
        database.is_up = False
        assert inside.wait(20)
        running.stop()
    with Monitor([Check("slow", lambda: gate.wait(60), timeout=60)], 1000, unit=unit):
        thread.join(20)
        assert judge(mode="ready") == "not ready: not checked yet (monitor)"
        gate.set()


def test_a_write_that_outlasts_the_patience_of_stop_leaves_the_lease_of_the_successor(
    monitor: Make, unit: Unit, database: Database, judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename, inside, go_on, gate = os.rename, threading.Event(), threading.Event(), threading.Event()

    def held_up(source: str, target: str) -> None:
        if threading.current_thread() is thread:
            inside.set()
            go_on.wait(20)
        rename(source, target)

    running = monitor().start()
    database.is_up = False
    says(judge, "not ready: ")
    thread = next(thread for thread in threading.enumerate() if thread.name == "liveness-monitor")
    with monkeypatch.context() as patch:
        patch.setattr(monitor_module, "_PATIENCE", 0.01)
        patch.setattr(os, "rename", held_up)
        assert inside.wait(20)
        running.stop()
        with Monitor([Check("slow", lambda: gate.wait(60), timeout=60)], 1000, unit=unit):
            go_on.set()
            thread.join(20)
            assert judge(mode="ready").startswith("not ready: ")
            gate.set()


def test_one_that_was_refused_removes_nothing_of_its_successor(
    monitor: Make, unit: Unit, puppet: Puppet, judge: Judge
) -> None:
    first = monitor().start()
    says(judge, "healthy")
    # On purpose: this process is its parent, and holds the unit.
    puppet("liveness.reset(); liveness.load(); liveness.set()")
    until(lambda: not first.is_running)
    unit.load()
    unit.set()
    gate = threading.Event()
    with Monitor([Check("slow", lambda: gate.wait(60), timeout=60)], 1000, unit=unit):
        first.stop()
        assert judge(mode="ready") == "not ready: not checked yet (monitor)"
        with pytest.raises(LivenessError, match="a Monitor of this process writes into this unit"):
            unit.load()
        gate.set()


def test_a_signal_handler_may_stop_it_while_it_is_being_started(unit: Unit, monkeypatch: pytest.MonkeyPatch) -> None:
    running = Monitor([lambda: True], 0.02, unit=unit)
    write = Directory.write

    def interrupted(*arguments: Any) -> bool:
        # As a handler does that runs at this moment in this thread.
        running.stop()
        return write(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Directory, "write", interrupted)
        running.start()
    assert not running.is_running
    assert os.listdir(Path(unit.path) / "check") == []
    unit.load()


def test_a_signal_handler_may_stop_it_at_any_moment_while_it_is_being_stopped(unit: Unit) -> None:
    results = Path(unit.path) / "check"

    def stop_interrupted_at(line: int) -> bool:
        """Calls stop(), and again at its n-th line, as a signal handler would. Returns whether it has so many."""
        running = Monitor([lambda: True], 0.001, unit=unit).start()
        seen = 0

        def trace(*_: object) -> Any:
            nonlocal seen
            seen += 1
            if seen == line:
                running.stop()
                assert os.listdir(results) == []
            return trace

        sys.settrace(trace)
        try:
            running.stop()
        finally:
            sys.settrace(None)
        assert os.listdir(results) == []
        return seen >= line

    line = 1
    while stop_interrupted_at(line):
        line += 1
    assert line > 50


def test_its_thread_ends_at_once(unit: Unit) -> None:
    with Monitor([lambda: True], 1000, unit=unit) as running:
        until(lambda: running.report)
        thread = next(thread for thread in threading.enumerate() if thread.name == "liveness-monitor")
    thread.join(20)
    assert not thread.is_alive()


def test_it_stops_when_another_process_has_loaded_the_unit(puppets: Puppets, judge: Judge) -> None:
    first, second = puppets(stderr=subprocess.PIPE), puppets()
    first("from liveness.monitor import Monitor; liveness.load(); liveness.set()")
    first("import liveness.monitor; liveness.monitor.RENEWAL = 0.1; monitor = Monitor([lambda: False], 0.02).start()")
    says(judge, "not ready: ")
    second("liveness.load(); liveness.set()")
    until(lambda: not first("monitor.is_running"))
    assert judge(mode="ready").startswith(f"healthy: process {second.pid}")
    first.signal(signal.SIGKILL)
    assert first.process.stderr is not None
    assert first.process.stderr.read().count("the Monitor 'check/monitor' stops: nothing is written") == 1


def test_one_in_a_spawned_worker_ends_with_the_life_that_it_joined(puppets: Puppets, judge: Judge) -> None:
    first, second = puppets(), puppets()
    first("liveness.load(); liveness.set()")
    orphan = first.spawn()
    orphan("import liveness.monitor; liveness.monitor.RENEWAL = 0.1; from liveness.monitor import Monitor")
    orphan("monitor = Monitor([lambda: False], 0.02).start()")
    says(judge, "not ready: puppet.<lambda> failed")
    first.signal(signal.SIGKILL)
    first.process.wait()
    second("liveness.load(); liveness.set()")
    until(lambda: not orphan("monitor.is_running"))
    says(judge, "healthy")
    orphan.kill()


# Outages, suspensions, starved threads


@pytest.mark.usefixtures("short_renewal")
def test_a_result_that_cannot_be_written_goes_stale_and_is_logged_once(
    monitor: Make, judge: Judge, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> bool:
        raise OSError(28, "No space left on device")

    with monitor(deadline=0.1):
        says(judge, "healthy")
        with monkeypatch.context() as patch:
            patch.setattr(Directory, "write", full)
            says(judge, "not ready: no result of 'monitor' for ")
        assert judge().startswith("healthy")
        assert caplog.text.count("result 'monitor' cannot be written, and goes stale: no space left on device") == 1
        says(judge, "healthy")
        assert "result 'monitor' is written again" in caplog.text


@pytest.mark.usefixtures("short_renewal")
@pytest.mark.parametrize(
    ("into", "words"), [("ready", "not ready: no result of 'monitor'"), ("error", "no heartbeat 'monitor'")]
)
def test_the_end_of_its_thread_shows(monitor: Make, unit: Unit, judge: Judge, into: str, words: str) -> None:
    running = monitor(into=into, deadline=0.2)
    running.start()
    says(judge, "healthy")
    assert running._run is not None
    running._run._is_over = True
    running._run._remove = lambda: None  # type: ignore[method-assign]
    says(judge, f"{words} for 3 s (limit 2 s)", "ready")


@pytest.mark.usefixtures("short_renewal")
def test_a_long_interval_is_not_taken_for_a_death(monitor: Make, judge: Judge) -> None:
    with monitor(interval=1000, deadline=0.2):
        says(judge, "healthy")
        end = time.monotonic() + 4
        while time.monotonic() < end:
            assert judge.python(mode="ready").startswith("healthy")
            time.sleep(0.05)


def test_a_moment_without_descriptors_does_not_end_it_in_a_spawned_worker(puppet: Puppet, judge: Judge) -> None:
    puppet("from liveness.monitor import Monitor; liveness.load(); liveness.set()")
    worker = puppet.spawn()
    worker("from liveness.monitor import Monitor; import resource; ok = True")
    worker("monitor = Monitor([lambda: ok], 0.02).start()")
    says(judge, "healthy")
    worker("many = resource.getrlimit(resource.RLIMIT_NOFILE)")
    worker("resource.setrlimit(resource.RLIMIT_NOFILE, (3, many[1])); time.sleep(1.5)")
    worker("resource.setrlimit(resource.RLIMIT_NOFILE, many)")
    assert worker("monitor.is_running")
    worker("ok = False")
    says(judge, "not ready: puppet.<lambda> failed")
    worker.kill()


def test_a_thread_that_is_starved_of_the_interpreter_never_fails_the_live_verdict(puppet: Puppet, judge: Judge) -> None:
    # An extension that holds the interpreter lock: the loop has promised to be back within 600 seconds.
    puppet("from liveness.monitor import Monitor; import ctypes, liveness.monitor; liveness.monitor.RENEWAL = 0.1")
    puppet("liveness.load(); liveness.beat(600); liveness.set()")
    puppet("monitor = Monitor([lambda: True], 0.05, deadline=0.1).start()")
    says(judge, "healthy")
    puppet.tell("ctypes.PyDLL(None).sleep(5)")
    until(lambda: judge.python(mode="ready").startswith("not ready: no result of 'monitor' for "))
    assert judge().startswith("healthy")
    puppet.answer()
    until(lambda: judge.python(mode="ready").startswith("healthy"), 0.1 + 2)
    puppet("monitor.stop()")


SUSPENDED = """
import os, subprocess, sys, time
import liveness
from liveness import probe
from liveness.monitor import Monitor
rundir = os.environ["LIVENESS_RUNDIR"]
clock = os.path.join(rundir, "uptime")
real = open("/proc/uptime").read().split()[0]
begin, slept = time.clock_gettime(time.CLOCK_BOOTTIME) - float(real), 0
def step():
    # In place: a file that is bound over another must stay the same.
    with open(clock, "r+") as file:
        file.write(f"{time.clock_gettime(time.CLOCK_BOOTTIME) - begin + slept:012.2f} 0.00")
open(clock, "w").close(); step()
subprocess.run(["mount", "--bind", clock, "/proc/uptime"], check=True)
liveness.load(); liveness.beat(7200); liveness.set()
from liveness import heartbeats
real_clock = heartbeats.clock_gettime
heartbeats.clock_gettime = lambda which: real_clock(which) + slept
monitor = Monitor([lambda: True], 60).start()
while not probe.ready(): step(); time.sleep(0.05)
slept = 3600
step()
woke = time.monotonic()
lived = []
while not probe.ready():
    step(); lived.append(bool(probe.live())); time.sleep(0.05)
    assert time.monotonic() - woke < 60, str(probe.ready())
print(all(lived), len(lived) > 0, time.monotonic() - woke < 5 + 2)
"""


@needs_root
def test_after_a_suspension_it_is_ready_again_within_seconds_and_was_alive_all_the_time(rundir: Path) -> None:
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", sys.executable, "-c", SUSPENDED],
        capture_output=True, text=True, timeout=100, check=False,
        env={**os.environ, "LIVENESS_RUNDIR": str(rundir), "LIVENESS_UNIT_NAME": "u", "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.stdout == "True True True\n", done.stderr


# Forks


def test_in_a_forked_child_it_does_not_run_and_the_child_may_have_its_own(
    puppet: Puppet, judge: Judge, rundir: Path
) -> None:
    puppet("from liveness.monitor import Monitor; liveness.load(); liveness.set()")
    puppet("monitor = Monitor([lambda: True], 0.02).start()")
    says(judge, "healthy")
    puppet(
        "child = os.fork()\n"
        "if not child:\n"
        "    ok = not monitor.is_running\n"
        "    monitor.stop()\n"
        "    monitor.start(); ok = ok and monitor.name == f'monitor.{os.getpid()}'; monitor.stop()\n"
        "    other = Monitor([lambda: False], 0.02, name='other').start()\n"
        "    while other.report is None: time.sleep(0.01)\n"
        "    ok = ok and other.name == f'other.{os.getpid()}'\n"
        "    other.stop()\n"
        "    os._exit(0 if ok else 1)"
    )
    assert puppet("os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])") == 0
    assert puppet("monitor.is_running")
    # Beside it may be the file that is renamed to it.
    until(lambda: os.listdir(rundir / "u" / "check") == ["monitor"])
    puppet("monitor.stop()")


def test_no_fork_hangs_while_another_thread_logs_into_a_slow_pipe(rundir: Path) -> None:
    # Version 1 logged inside fork(): some children waited for ever for a lock of the thread that logged.
    program = f"""
import logging, os, signal, sys, threading, time, liveness
from liveness.monitor import Monitor
hear, told = os.pipe()
logging.basicConfig(stream=os.fdopen(told, "w"), level=logging.DEBUG)
def read():
    while True: os.read(hear, 64); time.sleep(0.0005)
def log():
    while True: logging.getLogger("app").warning("x" * 500)
for target in (read, log, log): threading.Thread(target=target, daemon=True).start()
unit = liveness.Unit("u", {str(rundir)!r})
unit.load()
monitor = Monitor([lambda: True], 0.01, unit=unit).start()
for number in range(300):
    pid = os.fork()
    if not pid: os._exit(3)
    deadline = time.monotonic() + 20
    while (found := os.waitpid(pid, os.WNOHANG)) == (0, 0):
        if time.monotonic() > deadline:
            os.kill(pid, 9); print("hangs", number, flush=True); os._exit(0)
        time.sleep(0.0005)
    assert os.waitstatus_to_exitcode(found[1]) == 3
print("fine", flush=True)
os._exit(0)
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, timeout=110, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.stdout == "fine\n", done.stderr[-2000:]


# Elsewhere, and bad arguments


def test_elsewhere_than_on_linux_it_runs_its_checks_and_writes_nothing(rundir: Path) -> None:
    program = f"""
import sys
sys.platform = "darwin"
import time, threading, liveness
from liveness.monitor import Monitor
asked = threading.Event()
unit = liveness.Unit("u", {str(rundir)!r})
unit.load()
with Monitor([asked.set], 0.02, unit=unit):
    assert asked.wait(20)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert list(rundir.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"checks": []}, "checks: an empty list"),
        ({"checks": "app.checks"}, "must be a list"),
        ({"interval": 0}, "interval: 0"),
        ({"interval": float("nan")}, "interval: nan"),
        ({"into": "live"}, "into: 'live'"),
        ({"failures": 0}, "failures: 0"),
        ({"successes": 1.5}, "successes: 1.5"),
        ({"deadline": -1}, "deadline: -1"),
        ({"jitter": 1}, "jitter: 1"),
        ({"code": 0}, "code: 0"),
        ({"name": ".x"}, "name: '.x'"),
        ({"name": "x" * 93}, "must be at most 92 long"),
    ],
)
def test_bad_arguments_fail_when_it_is_made(unit: Unit, options: dict[str, object], words: str) -> None:
    with pytest.raises(liveness.BadArgument) as caught:
        Monitor(**{"checks": [lambda: None], "interval": 1, "unit": unit, **options})  # type: ignore[arg-type]
    assert words in str(caught.value)
