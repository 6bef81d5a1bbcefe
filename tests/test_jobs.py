"""Jobs that must end in time, and pools of which a number of workers must be there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from judge import Judge
from stage import ROOT, Puppet, until

import liveness
from liveness import BadArgument, LivenessError, Unit

Puppets = Callable[..., Puppet]


@pytest.fixture
def unit(rundir: Path) -> Iterator[Unit]:
    unit = Unit("u", rundir)
    unit.load()
    unit.set()
    yield unit
    unit.reset()


def names(unit: Unit, folder: str = "job") -> list[str]:
    path = Path(unit.path) / folder
    return sorted(os.listdir(path)) if path.exists() else []


def says(judge: Judge, words: str) -> None:
    until(lambda: judge.python().startswith(words))
    assert judge().startswith(words)


# deadline


def test_a_job_that_hangs_is_found_when_its_time_is_over_and_forgotten_when_it_ends(unit: Unit, judge: Judge) -> None:
    with unit.deadline(1, "import"):
        assert judge().startswith("healthy")
        says(judge, "job 'import' has run for 2 s (limit 1 s)")
    says(judge, "healthy")
    assert names(unit) == []


def test_a_job_that_raises_is_forgotten(unit: Unit, judge: Judge) -> None:
    with pytest.raises(KeyError), unit.deadline(60, "import"):
        raise KeyError
    assert names(unit) == []
    assert judge().startswith("healthy")


def test_a_job_whose_process_is_killed_is_the_matter_of_its_queue(puppet: Puppet, judge: Judge, rundir: Path) -> None:
    puppet("liveness.load(); liveness.beat(600); liveness.set()")
    puppet(
        "def job(seconds):\n"
        "  pid = os.fork()\n"
        "  if pid: return pid\n"
        "  with liveness.deadline(seconds, 'import'): time.sleep(1000)"
    )
    pid = puppet("job(1)")
    says(judge, "job 'import' has run for ")
    os.kill(pid, signal.SIGKILL)
    puppet(f"os.waitpid({pid}, 0)")
    says(judge, "healthy")
    # The next job process removes what is left of it, under another name, too.
    pid = puppet("job(600)")
    until(lambda: os.listdir(rundir / "u" / "job") == [f"import.{pid}-1"])


def test_a_worker_that_forks_a_process_for_each_job_is_healthy_while_idle_however_a_job_ended(
    puppet: Puppet, judge: Judge
) -> None:
    puppet("liveness.load(); liveness.beat(600); liveness.set()")
    puppet(
        "def job(end):\n"
        "  pid = os.fork()\n"
        "  if pid: return os.waitpid(pid, 0)[1]\n"
        "  try:\n"
        "    with liveness.deadline(1): end()\n"
        "  finally: os._exit(1)"
    )
    for end in ("lambda: None", "lambda: 1 / 0", "lambda: os.kill(os.getpid(), 9)", "lambda: os._exit(0)"):
        puppet(f"job({end})")
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        assert judge.python().startswith("healthy")
        time.sleep(0.05)
    assert judge().startswith("healthy")


def test_jobs_of_one_name_at_one_time_are_all_watched(unit: Unit, judge: Judge) -> None:
    hang = unit.deadline(1, "import")
    with unit.deadline(600, "import"):
        hang.__enter__()
        with unit.deadline(600, "import"):
            pass
        number = f"import.{os.getpid()}-"
        assert [name.startswith(number) or name == "import" for name in names(unit)] == [True, True]
        says(judge, f"job '{number}")
    # The first has ended; the one that hangs is still watched.
    assert judge().startswith(f"job '{number}")
    hang.__exit__(None, None, None)
    assert names(unit) == []


def test_many_threads_have_a_job_each(unit: Unit) -> None:
    seen: list[int] = []
    barrier = threading.Barrier(16)

    def work(number: int) -> None:
        for _ in range(20):
            with unit.deadline(60, "import" if number % 2 else None):
                barrier.wait()
                seen.append(len(names(unit)))
                barrier.wait()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(seen) == {16}
    assert names(unit) == []


def test_a_forked_child_that_leaves_the_block_forgets_nothing(puppet: Puppet, rundir: Path) -> None:
    puppet("liveness.load()")
    puppet("block = liveness.deadline(600, 'import'); block.__enter__()")
    puppet("pid = os.fork()\nif not pid: block.__exit__(None, None, None); os._exit(0)\nos.waitpid(pid, 0)")
    assert os.listdir(rundir / "u" / "job") == ["import"]
    puppet("block.__exit__(None, None, None)")
    assert os.listdir(rundir / "u" / "job") == []


def test_a_deadline_that_cannot_be_written_is_an_error_before_the_job_begins(unit: Unit) -> None:
    (Path(unit.path) / "job").write_text("in the way")
    began = []
    with pytest.raises(LivenessError, match="/job/import: cannot write: not a directory"), unit.deadline(9, "import"):
        began.append(True)
    assert not began


def test_the_end_of_a_job_that_cannot_be_removed_is_logged_and_the_job_is_done(
    unit: Unit, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    with unit.deadline(60, "import"):
        monkeypatch.setattr(os, "unlink", fail)
    monkeypatch.undo()
    assert "/job/import: cannot remove: read-only file system (it goes stale, and the probe fails)" in caplog.text


def test_a_job_of_a_life_that_is_over_leaves_the_next_life_alone(puppets: Puppets, rundir: Path, judge: Judge) -> None:
    old, new = puppets(), puppets()
    old("liveness.load(); block = liveness.deadline(1, 'import'); block.__enter__()")
    new("liveness.load(); liveness.set(); theirs = liveness.deadline(600, 'import'); theirs.__enter__()")
    old("block.__exit__(None, None, None)")
    old("with liveness.deadline(1): pass")
    assert os.listdir(rundir / "u" / "job") == ["import"]
    assert judge().startswith("healthy")


@pytest.mark.parametrize("seconds", [0, -1, 1.5, "30", None, True, 10**9])
def test_a_wrong_time_limit_is_refused(unit: Unit, seconds: int) -> None:
    with pytest.raises(BadArgument, match="^seconds: .* must be whole seconds from 1 to 999999999"):
        unit.deadline(seconds)
    with pytest.raises(BadArgument, match="^name: 'a b'"):
        unit.deadline(1, "a b")


# expect


def test_a_pool_whose_workers_did_not_all_come_up_is_found(puppet: Puppet, judge: Judge) -> None:
    puppet("liveness.load(); liveness.beat(600); liveness.expect('worker', 4, within=2); liveness.set()")
    puppet("def worker():\n  pid = os.fork()\n  if pid: return pid\n  liveness.beat(600); time.sleep(1000)")
    pids = [puppet("worker()") for _ in range(3)]
    # They have some time to come up.
    until(lambda: judge.python() == f"healthy: process {puppet.pid}, error 0, fresh heartbeats: 4")
    says(judge, "3 of 4 'worker' heartbeats")
    pids.append(puppet("worker()"))
    says(judge, "healthy")
    os.kill(pids[0], signal.SIGKILL)
    says(judge, "3 of 4 'worker' heartbeats")
    puppet("liveness.expect('worker', 3)")
    says(judge, "healthy")
    for pid in pids[1:]:
        os.kill(pid, signal.SIGKILL)


def test_a_pool_of_which_no_worker_ever_comes_up_is_found(unit: Unit, judge: Judge) -> None:
    unit.expect("worker", 1, within=1)
    assert judge().startswith("healthy")
    says(judge, "0 of 1 'worker' heartbeats")
    unit.expect("worker", 0)
    assert judge().startswith("healthy")
    assert names(unit, "expect") == []
    unit.expect("worker", 0)


def test_an_expectation_that_is_repeated_in_a_loop_is_enforced_all_the_same(unit: Unit, judge: Judge) -> None:
    unit.expect("worker", 1, within=1)

    def is_found() -> bool:
        unit.expect("worker", 1, within=1)
        return judge.python() == "0 of 1 'worker' heartbeats"

    until(is_found)
    # Another number has time again.
    unit.expect("worker", 2, within=60)
    assert judge().startswith("healthy")


def test_an_expectation_ends_with_the_process_that_had_it(puppet: Puppet, judge: Judge) -> None:
    puppet("liveness.load(); liveness.set()")
    child = puppet("pid = os.fork()\nif not pid: liveness.expect('worker', 2, within=1); time.sleep(1000)") or puppet(
        "pid"
    )
    says(judge, "0 of 2 'worker' heartbeats")
    os.kill(child, signal.SIGKILL)
    says(judge, "healthy")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("a b", 1), "role: 'a b'"), (("w", -1), "count: -1"), (("w", 1.0), "count: 1.0"), (("w", True), "count: True"),
        (("w", 10**9), "count: 1000000000"), (("w", 1, 0), "within: 0"), (("w", 1, 2.5), "within: 2.5"),
    ],
)  # fmt: skip
def test_wrong_expectations_are_refused(unit: Unit, arguments: tuple[object, ...], words: str) -> None:
    with pytest.raises(BadArgument) as caught:
        unit.expect(*arguments)  # type: ignore[arg-type]
    assert str(caught.value).startswith(words)
    assert names(unit, "expect") == []


def test_an_expectation_that_cannot_be_written_is_an_error(unit: Unit) -> None:
    (Path(unit.path) / "expect").write_text("in the way")
    with pytest.raises(LivenessError, match="/expect/worker: cannot write: not a directory"):
        unit.expect("worker", 4)


# Off Linux


def test_off_linux_jobs_run_and_nothing_is_written(rundir: Path) -> None:
    program = (
        "import sys; sys.platform = 'darwin'; import liveness\n"
        "liveness.load()\n"
        "with liveness.deadline(3, 'import'): print('done')\n"
        "liveness.expect('worker', 4)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30,
        env={"PYTHONPATH": str(ROOT), "LIVENESS_RUNDIR": str(rundir)},
    )  # fmt: skip
    assert done.stdout == "done\n"
    assert list(rundir.iterdir()) == []


def test_the_functions_of_the_package_use_the_default_unit(puppet: Puppet, rundir: Path) -> None:
    puppet("liveness.load()")
    puppet("with liveness.deadline(9, 'import'): liveness.expect('worker', 4, 30)")
    assert (rundir / "u" / "expect" / "worker").read_text().split()[1:] == [
        "30", str(puppet.pid), (rundir / "u" / "start").read_text(), "4",
    ]  # fmt: skip
    assert liveness.Unit("u", rundir).path == f"{rundir}/u"
