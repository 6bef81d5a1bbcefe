"""A heartbeat of an event loop: what blocks the loop is found, and nothing else."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from judge import Judge
from manual import example
from stage import ROOT, until

import liveness
from liveness import BadArgument, LivenessError, aio

Run = Callable[..., "subprocess.Popen[str]"]

PROGRAM = """
import asyncio, signal, sys, time
import aio_worker, liveness, liveness.aio

{functions}

liveness.load()
liveness.set()
asyncio.run(main())
sys.stdin.read()
"""


@pytest.fixture
def run(rundir: Path) -> Iterator[Run]:
    """Starts a program with these functions, one of them ``main``; it lives on after that until the test ends."""
    started: list[subprocess.Popen[str]] = []

    def run(functions: str) -> subprocess.Popen[str]:
        environment = {
            **os.environ,
            "LIVENESS_RUNDIR": str(rundir),
            "LIVENESS_UNIT_NAME": "u",
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'examples'}",
        }
        program = rundir / "program.py"
        program.write_text(PROGRAM.format(functions=functions))
        started.append(
            subprocess.Popen(
                [sys.executable, str(program)],
                env=environment,
                text=True,
                stdin=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        )
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.communicate()


def beats(rundir: Path) -> list[str]:
    folder = rundir / "u" / "beat"
    return sorted(os.listdir(folder)) if folder.exists() else []


def test_a_call_that_blocks_the_loop_is_found_and_its_line_is_printed(run: Run, judge: Judge) -> None:
    program = run(
        "async def handle():\n"
        "    time.sleep(600)  # a call that blocks\n"
        "async def main():\n"
        "    async with liveness.aio.heartbeat(1, traceback=True):\n"
        "        await handle()\n"
    )
    until(lambda: judge.python().startswith("no heartbeat 'main' for "))
    assert judge().endswith("(limit 1 s)")
    assert program.stderr is not None
    lines = iter(program.stderr.readline, "")
    assert next(line for line in lines if "in handle" in line).rstrip().endswith("line 6 in handle")


def test_a_loop_that_waits_for_five_times_the_ttl_is_healthy(run: Run, judge: Judge, rundir: Path) -> None:
    run("async def main():\n    async with liveness.aio.heartbeat(1):\n        await asyncio.sleep(600)\n")
    until(lambda: beats(rundir) == ["main"])
    seen: set[str] = set()
    verdicts: list[str] = []

    def has_beaten_often() -> bool:
        seen.add((rundir / "u" / "beat" / "main").read_text())
        verdicts.append(judge.python())
        return len(seen) > 5

    until(has_beaten_often)
    assert all(verdict.startswith("healthy") for verdict in verdicts)


def test_a_stuck_task_does_not_stop_the_heartbeat_of_the_loop_but_its_own(run: Run, judge: Judge) -> None:
    run(
        "async def main():\n"
        "    async with liveness.aio.heartbeat(1):\n"
        "        with liveness.heartbeat(1, 'consumer') as beat:\n"
        "            await asyncio.Event().wait()\n"
    )
    until(lambda: judge.python().startswith("no heartbeat 'consumer' for "))


def test_a_cancelled_task_ends_its_heartbeat(run: Run, judge: Judge, rundir: Path) -> None:
    run(
        "async def work():\n"
        "    async with liveness.aio.heartbeat(1, 'work'):\n"
        "        await asyncio.sleep(600)\n"
        "async def main():\n"
        "    task = asyncio.create_task(work())\n"
        "    await asyncio.sleep(0.2)\n"
        "    task.cancel()\n"
        "    await asyncio.sleep(600)\n"
    )
    until(lambda: beats(rundir) == ["work"])
    until(lambda: beats(rundir) == [])
    assert judge().startswith("healthy")


def test_a_block_that_fails_leaves_its_heartbeat_to_go_stale(run: Run, judge: Judge) -> None:
    run(
        "async def work():\n"
        "    async with liveness.aio.heartbeat(1, 'work'):\n"
        "        raise OSError\n"
        "async def main():\n"
        "    await asyncio.gather(work(), return_exceptions=True)\n"
        "    await asyncio.sleep(600)\n"
    )
    until(lambda: judge.python().startswith("no heartbeat 'work' for "))


def test_a_program_that_cancels_all_its_tasks_and_works_on_still_beats(run: Run, judge: Judge, rundir: Path) -> None:
    run(
        "async def main():\n"
        "    me = asyncio.current_task()\n"
        "    async with liveness.aio.heartbeat(1):\n"
        "        [task.cancel() for task in asyncio.all_tasks() if task is not me]\n"
        "        await asyncio.sleep(600)\n"
    )
    until(lambda: beats(rundir) == ["main"])
    first = (rundir / "u" / "beat" / "main").read_text()
    until(lambda: (rundir / "u" / "beat" / "main").read_text() != first)
    assert judge().startswith("healthy")


def test_nothing_runs_on_after_the_block(rundir: Path) -> None:
    unit = liveness.Unit("u", rundir)
    unit.load()

    async def main() -> int:
        async with aio.heartbeat(1, "loop", unitname="u", rundir=rundir):
            assert beats(rundir) == ["loop"]
        await asyncio.sleep(0.6)
        return len(asyncio.all_tasks())

    assert asyncio.run(main()) == 1
    assert beats(rundir) == []
    unit.reset()


def test_wrong_arguments_and_a_unit_that_is_not_loaded_are_errors(rundir: Path) -> None:
    async def enter(ttl: int, name: str | None = None) -> None:
        async with aio.heartbeat(ttl, name, unitname="u", rundir=rundir):
            pass

    with pytest.raises(BadArgument, match="^ttl: 0: must be whole seconds"):
        asyncio.run(enter(0))
    with pytest.raises(BadArgument, match="^name: 'a b'"):
        asyncio.run(enter(1, "a b"))
    with pytest.raises(LivenessError, match="nobody has loaded this unit"):
        asyncio.run(enter(1))


# examples/aio_worker.py


def start_example(run: Run, code: str = "") -> subprocess.Popen[str]:
    return run(f"aio_worker.TTL = 1\n{code}\nmain = aio_worker.main\n")


def test_the_example_is_healthy_with_an_empty_queue_and_ends_on_a_signal(run: Run, judge: Judge, rundir: Path) -> None:
    program = start_example(run)
    until(lambda: beats(rundir) == ["consumer", "main"])
    assert judge() == f"healthy: process {program.pid}, error 0, fresh heartbeats: 2"
    program.send_signal(signal.SIGTERM)
    until(lambda: beats(rundir) == [])
    assert judge().startswith("healthy")


def test_a_blocked_loop_of_the_example_is_found(run: Run, judge: Judge) -> None:
    start_example(run, "async def work(get, timeout): time.sleep(600)\naio_worker.asyncio.wait_for = work")
    until(lambda: judge.python().startswith("no heartbeat 'main' for "))


def test_a_stuck_task_of_the_example_is_found(run: Run, judge: Judge) -> None:
    stuck = "async def work(get, timeout): await asyncio.sleep(600)\naio_worker.asyncio.wait_for = work"
    start_example(run, f"aio_worker.CONSUMER_TTL = 1\n{stuck}")
    until(lambda: judge.python().startswith("no heartbeat 'consumer' for "))


def test_the_lines_in_the_manual_work_as_shown(run: Run, rundir: Path) -> None:
    run(f"async def serve(): await asyncio.sleep(600)\n{example('aio')}")
    until(lambda: beats(rundir) == ["main"])
