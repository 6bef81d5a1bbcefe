"""The examples of a pool and of a process for each job: what hangs is found, and what was replaced is not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from judge import Judge
from stage import ROOT, until

Start = Callable[[str, str], "subprocess.Popen[bytes]"]


@pytest.fixture
def start(rundir: Path) -> Iterator[Start]:
    """Starts an example with other numbers than its own, and ends it with all its children."""
    started: list[subprocess.Popen[bytes]] = []

    def start(module: str, code: str) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            "LIVENESS_RUNDIR": str(rundir),
            "LIVENESS_UNIT_NAME": "u",
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'examples'}",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        command = [sys.executable, "-c", f"import {module}; {module}.{code}"]
        started.append(subprocess.Popen(command, env=environment, start_new_session=True))
        return started[-1]

    yield start
    for process in started:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def workers(rundir: Path) -> list[int]:
    return sorted(int(file.name.removeprefix("worker.")) for file in (rundir / "u" / "beat").glob("worker.*"))


def test_a_worker_of_the_pool_that_hangs_is_found(start: Start, rundir: Path, judge: Judge) -> None:
    start("pool", "TTL = 2; pool.main(2)")
    until(lambda: len(workers(rundir)) == 2 and judge.python().endswith("fresh heartbeats: 3"))
    hung = workers(rundir)[0]
    os.kill(hung, signal.SIGSTOP)
    until(lambda: judge.python().startswith(f"no heartbeat 'worker.{hung}' for "))
    os.kill(hung, signal.SIGCONT)
    until(lambda: judge().startswith("healthy"))


def test_a_worker_of_the_pool_that_is_killed_is_replaced_without_a_failure(
    start: Start, rundir: Path, judge: Judge
) -> None:
    start("pool", "main(2)")
    until(lambda: len(workers(rundir)) == 2)
    before = workers(rundir)
    os.kill(before[0], signal.SIGKILL)
    verdicts = []

    def is_replaced() -> bool:
        verdicts.append(judge.python())
        return before[0] not in workers(rundir) and len(workers(rundir)) == 2

    until(is_replaced)
    assert all(verdict.startswith("healthy") for verdict in verdicts)


def test_a_worker_of_the_pool_that_is_not_replaced_is_found(start: Start, rundir: Path, judge: Judge) -> None:
    parent = start("pool", "WITHIN = 1; pool.main(2)")
    until(lambda: len(workers(rundir)) == 2)
    parent.send_signal(signal.SIGSTOP)
    os.kill(workers(rundir)[0], signal.SIGKILL)
    until(lambda: judge.python() == "1 of 2 'worker' heartbeats", 9)
    assert judge() == "1 of 2 'worker' heartbeats"
    parent.send_signal(signal.SIGCONT)
    until(lambda: judge().startswith("healthy"))


def test_a_job_that_takes_too_long_is_found_until_its_process_is_killed(
    start: Start, rundir: Path, tmp_path: Path, judge: Judge
) -> None:
    (tmp_path / "job").write_text("60")
    start("jobs", f"LIMIT = 1; from pathlib import Path; jobs.main(Path({str(tmp_path)!r}))")
    until(lambda: judge.python().startswith("job 'import' has run for "))
    assert judge().endswith("(limit 1 s)")
    pid = int((rundir / "u" / "job" / "import").read_text().split()[2])
    os.kill(pid, signal.SIGKILL)
    until(lambda: judge().startswith("healthy") and not any(tmp_path.iterdir()))


def test_the_parent_beats_while_a_job_runs_and_a_job_that_ends_leaves_nothing(
    start: Start, rundir: Path, tmp_path: Path, judge: Judge
) -> None:
    (tmp_path / "job").write_text("4")
    start("jobs", f"TTL = 2; from pathlib import Path; jobs.main(Path({str(tmp_path)!r}))")
    until((rundir / "u" / "job" / "import").exists)
    verdicts = []

    def is_done() -> bool:
        verdicts.append(judge.python())
        return not any(tmp_path.iterdir())

    until(is_done)
    assert all(verdict.startswith("healthy") for verdict in verdicts)
    assert not any((rundir / "u" / "job").iterdir())
