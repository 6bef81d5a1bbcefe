"""The Monitor runs checks again and again, and the probe sees what it found; the application's own word stands."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from judge import Judge
from stage import ROOT, Puppet, until

import liveness
from liveness import Unit
from liveness.checks import Check
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
    unit.load([])
    unit.set()
    yield unit
    unit.reset()


@pytest.fixture
def monitor(unit: Unit, database: Database) -> Iterator[Make]:
    made: list[Monitor] = []

    def make(**options: object) -> Monitor:
        monitor = Monitor(unit, [Check("db", database, timeout=30)], **{"interval": 0.02, **options})  # type: ignore[arg-type]
        made.append(monitor)
        return monitor

    yield make
    for monitor in made:
        monitor.stop()


def says(judge: Judge, words: str, mode: str = "ready") -> None:
    until(lambda: judge.python(mode=mode).startswith(words))
    assert judge(mode=mode).startswith(words)


def test_the_probe_sees_what_the_checks_find(monitor: Make, database: Database, judge: Judge) -> None:
    with monitor():
        says(judge, "healthy")
        database.is_up = False
        says(judge, "not ready: db failed")
        says(judge, "healthy", "live")
        database.is_up = True
        says(judge, "healthy")


def test_into_error_it_fails_liveness_and_readiness(monitor: Make, database: Database, judge: Judge) -> None:
    with monitor(into="error", code=9):
        database.is_up = False
        says(judge, "error 9: db failed", "live")
        says(judge, "error 9: db failed")
        database.is_up = True
        says(judge, "healthy", "live")


@pytest.mark.parametrize("into", ["ready", "error"])
def test_before_its_first_run_nothing_is_checked_yet(unit: Unit, judge: Judge, into: str) -> None:
    gate = threading.Event()

    def waits() -> None:
        gate.wait(60)

    with Monitor(unit, [Check("slow", waits, timeout=60)], 0.02, into):
        assert judge(mode="ready").endswith(": not checked yet")
        gate.set()
        says(judge, "healthy")


def test_a_check_that_hangs_is_a_failure_with_its_name(unit: Unit, judge: Judge) -> None:
    gate = threading.Event()

    def waits() -> None:
        gate.wait(60)

    with Monitor(unit, [Check("slow", waits, timeout=0.05)], 0.02):
        says(judge, "not ready: slow timed out")
        gate.set()
        says(judge, "healthy")


def test_the_applications_own_word_stands(monitor: Make, unit: Unit, database: Database, judge: Judge) -> None:
    with monitor(into="error"):
        unit.set(7, "queue lost")
        for up in (False, True):
            database.is_up = up
            database.asked_again(3)
            assert judge() == "error 7: queue lost"
        unit.set()
        says(judge, "healthy", "live")
    with monitor():
        unit.set_ready(False, "draining")
        for up in (True, False, True):
            database.is_up = up
            database.asked_again(3)
            assert judge(mode="ready") == "not ready: draining"
        unit.set_ready()
        says(judge, "healthy")


def test_a_word_of_the_applications_during_a_failure_is_brought_back_after_it(
    monitor: Make, unit: Unit, database: Database, judge: Judge
) -> None:
    database.is_up = False
    with monitor(into="error"):
        says(judge, "error 1: db failed", "live")
        # The application says that it is well; the checks know better.
        unit.set()
        says(judge, "error 1: db failed", "live")
        unit.set(7, "queue lost")
        database.asked_again(3)
        database.is_up = True
        database.asked_again(3)
        assert judge() == "error 7: queue lost"


def test_a_unit_that_was_not_declared_healthy_is_not_declared_so_by_it(rundir: Path, judge: Judge) -> None:
    unit = Unit("u", rundir)
    unit.load([])
    database = Database()
    database.is_up = False
    with Monitor(unit, [Check("db", database)], 0.02, "error"):
        says(judge, "error 1: db failed", "live")
        database.is_up = True
        says(judge, "not set", "live")
        unit.set()
        says(judge, "healthy", "live")
        # One who never said that it is ready is so.
        assert not (rundir / "u" / "ready").exists()
    unit.reset()


def test_an_alarm_at_any_moment_of_a_recovery_stands(
    monitor: Make, unit: Unit, database: Database, judge: Judge
) -> None:
    # Dozens of times the checks recover while the application raises an alarm.
    with monitor(into="error", interval=0.001, jitter=0):
        for number in range(2, 60):
            database.is_up = False
            database.asked_again(2)
            database.is_up = True
            unit.set(number, "lost")
            database.asked_again(2)
            assert judge.python(mode="live") == f"error {number}: lost"
            unit.set()


@pytest.mark.parametrize("begun", ["before", "after"])
def test_an_alarm_that_is_written_just_before_another_word_stands(
    unit: Unit, judge: Judge, monkeypatch: pytest.MonkeyPatch, begun: str
) -> None:
    unit.set(1, "db failed")
    ours = (Path(unit.path) / "error").read_bytes()
    real, here = os.rename, threading.current_thread()
    written, go_on = threading.Event(), threading.Event()

    def rename(old: str, new: str) -> None:
        if threading.current_thread() is here:
            # The other word is about to be written: now the alarm is, whole.
            if begun == "after" and not alarm.ident:
                alarm.start()
            go_on.set()
            alarm.join()
        else:
            written.set()
            go_on.wait(20)
        real(old, new)

    alarm = threading.Thread(target=unit.set, args=(7, "queue lost"))
    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", rename)
        if begun == "before":
            alarm.start()
            assert written.wait(20)
        unit.restate("error", lambda found: b"0" if found == ours else found)
    assert judge() == "error 7: queue lost"


def test_it_says_so_after_as_many_failures_and_takes_it_back_after_as_many_successes(
    monitor: Make, unit: Unit, judge: Judge
) -> None:
    answers = iter([True, True, True, False, False, True, False, False, False, True, True, False, True, True, True])
    said = []

    def scripted() -> bool:
        said.append(judge.python(mode="ready").split(",")[0].split(" process")[0])
        return next(answers, True)

    with Monitor(unit, [Check("x", scripted, timeout=60)], 0.001, failures=3, successes=3):
        until(lambda: len(said) > 15)
    not_yet, well, bad = "not ready: not checked yet", "healthy:", "not ready: x failed"
    # What was said when a run began, so one later than the answer.
    assert said[:16] == [not_yet] * 3 + [well] * 6 + [bad] * 6 + [well]


def test_what_is_not_critical_only_shows_in_the_report(unit: Unit, judge: Judge) -> None:
    with Monitor(unit, [Check("side", lambda: False, critical=False)], 0.02) as monitor:
        until(lambda: monitor.report)
        says(judge, "healthy")
        assert monitor.report is not None
        assert monitor.report.verdict == "degraded"


# Several, one after the other and side by side


def test_what_it_said_goes_with_it(monitor: Make, unit: Unit, database: Database, judge: Judge) -> None:
    database.is_up = False
    for into in ("ready", "error"):
        with monitor(into=into):
            until(lambda: judge.python(mode="ready").endswith("db failed"))
        assert judge(mode="ready").startswith("healthy")


@pytest.mark.parametrize("into", ["ready", "error"])
def test_what_one_said_that_was_killed_is_taken_back_by_its_successor(
    puppet: Puppet, rundir: Path, judge: Judge, into: str
) -> None:
    puppet("from liveness.monitor import Monitor")
    puppet("liveness.load([]); liveness.set()")
    # A worker of a pool whose database is away, and another that takes its place.
    check = f"lambda: os.path.exists({str(rundir / 'db')!r})"
    worker = f"import os\nmonitor = Monitor(None, [{check}], 0.02, {into!r}).start()"
    puppet(
        "def work():\n"
        "  pid = os.fork()\n"
        "  if not pid:\n"
        f"    exec({worker!r}, globals())\n"
        "    time.sleep(1000)\n"
        "  return pid"
    )
    first = puppet("work()")
    until(lambda: "failed" in judge.python(mode="ready"))
    puppet(f"os.kill({first}, 9); os.waitpid({first}, 0)")
    (rundir / "db").touch()
    assert "failed" in judge.python(mode="ready")
    second = puppet("work()")
    says(judge, "healthy")
    puppet(f"os.kill({second}, 9); os.waitpid({second}, 0)")


def test_the_word_of_one_that_lives_is_its_own_to_take_back(puppet: Puppet, rundir: Path, judge: Judge) -> None:
    puppet("from liveness.monitor import Monitor")
    puppet("liveness.load([]); liveness.set()")
    puppet("theirs = Monitor(None, [lambda: False], 0.02).start()")
    says(judge, "not ready: puppet.<lambda> failed")
    ours = Monitor(Unit("u", rundir), [Check("fine", lambda: True)], 0.02)
    with ours:
        until(lambda: ours.report)
        for _ in range(10):
            assert judge.python(mode="ready") == "not ready: puppet.<lambda> failed"
    puppet("theirs.stop()")
    says(judge, "healthy")


def test_two_of_a_process_never_speak_into_one_file_or_under_one_heartbeat(
    monitor: Make, unit: Unit, database: Database, judge: Judge
) -> None:
    with monitor():
        with pytest.raises(liveness.LivenessError, match="another monitor speaks into 'ready'"):
            monitor().start()
        with pytest.raises(liveness.LivenessError, match="another monitor has the heartbeat 'monitor'"):
            monitor(into="error", name="monitor").start()
        with monitor(into="error"):
            says(judge, "healthy")
            assert {path.name for path in (Path(unit.path) / "beat").iterdir()} == {"monitor", "monitor-error"}
            database.is_up = False
            says(judge, "error 1: db failed", "live")
    assert judge(mode="ready").startswith("healthy")


# Beside the application


@pytest.mark.parametrize("into", ["ready", "error"])
def test_that_the_application_is_well_does_not_undo_what_it_has_to_say(
    monitor: Make, unit: Unit, database: Database, judge: Judge, into: str
) -> None:
    database.is_up = False
    with monitor(into=into, interval=1000):
        until(lambda: judge.python(mode="ready").endswith("db failed"))
        unit.set_ready(False, "reload")
        unit.set_ready()
        unit.set(7)
        unit.set()
        assert judge(mode="ready").endswith("db failed")


def test_before_enough_failures_not_checked_yet_stands_whatever_the_application_says(
    rundir: Path, judge: Judge
) -> None:
    unit = Unit("u", rundir)
    unit.load([])
    with Monitor(unit, [Check("db", lambda: False)], 0.02, "error", failures=1000):
        unit.set()
        assert judge() == "error 1: not checked yet"
    assert judge().startswith("healthy")
    unit.reset()


@pytest.mark.parametrize("into", ["ready", "error"])
def test_who_says_that_all_is_well_while_a_monitor_writes_does_not_undo_its_word(rundir: Path, into: str) -> None:
    unit = Unit("u", rundir)
    unit.load([])
    unit.set()
    say = unit.set if into == "error" else unit.set_ready
    file = rundir / "u" / into
    fails = [True]

    def flaps() -> bool:
        # So that it writes each time, and not only the first.
        fails[0] = not fails[0]
        raise ConnectionError(f"{fails[0]}")

    with Monitor(unit, [Check("db", flaps)], 0.0001, into, failures=1):
        for _ in range(2000):
            say()
            assert file.read_bytes().startswith(b"1\n")
    unit.reset()


def test_a_new_life_hears_it_at_once(monitor: Make, unit: Unit, database: Database, judge: Judge) -> None:
    database.is_up = False
    with monitor(interval=1000):
        says(judge, "not ready: db failed")
        unit.load([])
        unit.set()
        assert judge(mode="ready") == "not ready: db failed"
        assert (Path(unit.path) / "beat" / "monitor").exists()


def test_before_a_load_there_is_nothing_to_monitor(rundir: Path) -> None:
    (rundir / "u").mkdir()
    with pytest.raises(liveness.LivenessError, match=r"nobody has loaded this unit \(call load\(\)"):
        Monitor(Unit("u", rundir), [lambda: True], 1).start()


@pytest.mark.parametrize(("into", "words"), [("error", "not set"), ("ready", "ready code is not a number")])
def test_a_failure_gets_through_where_it_cannot_be_written(
    monitor: Make, unit: Unit, database: Database, judge: Judge, monkeypatch: pytest.MonkeyPatch, into: str, words: str
) -> None:
    from liveness import state

    real = state.Directory.write_if

    def full(self: state.Directory, name: str, data: bytes, still: Callable[[], bool] | None) -> bool:
        if name == into:
            raise OSError(28, "No space left on device")
        return real(self, name, data, still)

    with monitor(into=into):
        says(judge, "healthy")
        with monkeypatch.context() as patch:
            patch.setattr(state.Directory, "write_if", full)
            database.is_up = False
            says(judge, words)
        says(judge, f"{'error 1' if into == 'error' else 'not ready'}: db failed")
        with monkeypatch.context() as patch:
            patch.setattr(state.Directory, "write_if", full)
            # It cannot take its word back, and does so when it can.
            database.is_up = True
            database.asked_again(3)
        says(judge, "healthy")


def test_a_child_of_a_fork_in_the_middle_of_a_word_is_not_deaf(puppet: Puppet, judge: Judge) -> None:
    puppet("from liveness.monitor import Monitor")
    puppet("liveness.load([]); liveness.set()")
    puppet(
        "unit = liveness.unit.find()\n"
        "real = os.rename\n"
        "children = []\n"
        "def rename(old, new):\n"
        "  if new.endswith('ready') and not children:\n"
        "    children.append(os.fork())\n"
        "    if not children[0]:\n"
        "      os.rename = real\n"
        "      Monitor(None, [lambda: False], 0.02).start()\n"
        "      time.sleep(1000)\n"
        "  real(old, new)\n"
        "os.rename = rename\n"
        "liveness.set_ready()"
    )
    try:
        says(judge, "not ready: puppet.rename.<locals>.<lambda> failed")
    finally:
        puppet("os.kill(children[0], 9); os.waitpid(children[0], 0)")


def test_one_of_a_process_that_never_loaded_ends_with_the_life_that_it_joined(puppets: Puppets, judge: Judge) -> None:
    first, orphan, second = puppets(), puppets(), puppets()
    first("liveness.load([]); liveness.set()")
    orphan("from liveness.monitor import Monitor")
    orphan("monitor = Monitor(None, [lambda: False], 0.02).start()")
    says(judge, "not ready: puppet.<lambda> failed")
    first.kill()
    second("liveness.load([]); liveness.set()")
    until(lambda: not orphan("monitor.is_running"))
    says(judge, "healthy")


# Its own life


def test_its_own_death_shows(monitor: Make, unit: Unit, judge: Judge) -> None:
    running = monitor(interval=0.2, deadline=0.2)
    running.start()
    until((Path(unit.path) / "beat" / "monitor").exists)
    _, ttl, pid, _ = (Path(unit.path) / "beat" / "monitor").read_text().split()
    # Three intervals and a deadline, rounded up, and the second of a beat.
    assert (ttl, pid) == ("2", str(os.getpid()))
    running._over.set()
    until(lambda: judge.python() == "no heartbeat 'monitor' for 3 s (limit 2 s)")
    running.stop()
    assert judge().startswith("healthy")


def test_it_stops_at_once_and_nothing_is_written_after(monitor: Make, unit: Unit, judge: Judge) -> None:
    gate = threading.Event()
    came = threading.Event()

    def waits() -> bool:
        came.set()
        gate.wait(60)
        return False

    hanging = Monitor(unit, [Check("slow", waits, timeout=60)], 0.02)
    hanging.start()
    assert came.wait(20)
    hanging.stop()
    assert not hanging.is_running
    unit.set_ready()
    thread = next(thread for thread in threading.enumerate() if thread.name == "liveness-monitor")
    gate.set()
    thread.join(20)
    assert judge(mode="ready").startswith("healthy")
    hanging.stop()


def test_it_may_be_started_again(monitor: Make, database: Database, judge: Judge) -> None:
    running = monitor()
    for _ in range(3):
        with running:
            with pytest.raises(liveness.LivenessError, match="runs already"):
                running.start()
            says(judge, "healthy")


def test_it_survives_a_disk_that_is_full_for_a_while(
    monitor: Make, unit: Unit, database: Database, judge: Judge, caplog: pytest.LogCaptureFixture
) -> None:
    with monitor():
        says(judge, "healthy")
        path = Path(unit.path)
        database.is_up = False
        # Nobody can rename a file onto a folder.
        (path / "ready").unlink(missing_ok=True)
        (path / "ready").mkdir()
        with caplog.at_level(logging.WARNING, "liveness"):
            until(lambda: "the monitor cannot write" in caplog.text)
        database.asked_again(5)
        assert caplog.text.count("the monitor cannot write") == 1
        (path / "ready").rmdir()
        says(judge, "not ready: db failed")


def test_it_stops_when_another_process_has_loaded_the_unit(puppets: Puppets, judge: Judge, rundir: Path) -> None:
    first, second = puppets(), puppets()
    watched(first, rundir)
    says(judge, "healthy")
    second("liveness.load([])")
    second("liveness.set()")
    until(lambda: not first("monitor.is_running"))
    until(lambda: (rundir / "log").read_text().count("the monitor stops") == 1)
    assert judge(mode="ready").startswith(f"healthy: process {second.pid}")


def watched(puppet: Puppet, rundir: Path) -> None:
    """It is loaded, healthy, and has a monitor; what it logs is in a file."""
    puppet("logging.getLogger().handlers.clear(); logging.getLogger().setLevel(logging.INFO)")
    puppet(f"logging.getLogger().addHandler(logging.FileHandler({str(rundir / 'log')!r}))")
    puppet("from liveness.monitor import Monitor")
    puppet("liveness.load([]); liveness.set()")
    puppet("monitor = Monitor(None, [lambda: True], 0.02).start()")


def test_in_a_forked_child_it_is_stopped_and_says_so_once(puppet: Puppet, judge: Judge, rundir: Path) -> None:
    watched(puppet, rundir)
    says(judge, "healthy")
    puppet(
        "child = os.fork()\n"
        "if not child:\n"
        "    ok = not monitor.is_running\n"
        "    monitor.stop()\n"
        "    monitor.start(); ok = ok and monitor.name == f'monitor.{os.getpid()}'; monitor.stop()\n"
        "    other = Monitor(None, [lambda: False], 0.02).start()\n"
        "    while other.report is None: time.sleep(0.01)\n"
        "    ok = ok and other.name == f'monitor.{os.getpid()}'\n"
        "    other.stop()\n"
        "    os._exit(0 if ok else 1)"
    )
    assert puppet("os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])") == 0
    assert (rundir / "log").read_text().count("is stopped in the child process") == 1
    assert puppet("monitor.is_running")


def test_elsewhere_than_on_linux_it_runs_its_checks_and_writes_nothing(rundir: Path) -> None:
    program = f"""
import sys
sys.platform = "darwin"
import time, threading, liveness
from liveness.monitor import Monitor
asked = threading.Event()
unit = liveness.Unit("u", {str(rundir)!r})
unit.load([])
with Monitor(unit, [asked.set], 0.02):
    assert asked.wait(20)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert list(rundir.iterdir()) == []


# Arguments


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"checks": []}, "checks: none at all"),
        ({"checks": "app.checks"}, "not a list"),
        ({"interval": 0}, "interval: 0"),
        ({"interval": float("nan")}, "interval: nan"),
        ({"into": "live"}, "into: 'live'"),
        ({"failures": 0}, "failures: 0"),
        ({"successes": 1.5}, "successes: 1.5"),
        ({"deadline": -1}, "deadline: -1"),
        ({"jitter": 1}, "jitter: 1"),
        ({"code": 0}, "code: 0"),
        ({"name": ".x"}, "name: '.x'"),
    ],
)
def test_bad_arguments_fail_when_it_is_made(unit: Unit, options: dict[str, object], words: str) -> None:
    with pytest.raises(liveness.BadArgument) as caught:
        Monitor(unit, **{"checks": [lambda: None], "interval": 1, **options})  # type: ignore[arg-type]
    assert words in str(caught.value)
