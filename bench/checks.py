"""
What it costs to run checks, and to have them run.

    python bench/checks.py [ROUNDS]

Writes bench/checks.json: wall and CPU time, in milliseconds, of one run of 100 checks that each wait for 10 ms, under
a deadline of 100 ms, and of a plain loop over the same, over 20 rounds by default; and the CPU of one run of a Monitor
with one check that does nothing, of 10 times 50 runs, with what that makes in an hour of runs every 10 seconds.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from timing import Summary, show, summary, write  # noqa: E402

from liveness import Unit  # noqa: E402
from liveness.checks import Check, run  # noqa: E402
from liveness.monitor import Monitor  # noqa: E402

EVERY = 10


def wait() -> None:
    time.sleep(0.01)


def runs(rounds: int) -> dict[str, dict[str, Summary]]:
    checks = [Check(f"{number}", wait) for number in range(100)]

    def at_once() -> None:
        if not run(checks, deadline=0.1):
            missed.append(1)

    def in_a_loop() -> None:
        for _ in checks:
            wait()

    missed: list[int] = []
    walls: dict[str, list[float]] = {}
    cpus: dict[str, list[float]] = {}
    for number in range(rounds):
        for name, function in (("run of 100 checks", at_once), ("a plain loop", in_a_loop)):
            cpu, begin = time.process_time(), time.perf_counter()
            function()
            walls.setdefault(name, []).append((time.perf_counter() - begin) * 1000)
            cpus.setdefault(name, []).append((time.process_time() - cpu) * 1000)
        show(number + 1, rounds)
    if len(missed) > rounds / 2:
        raise SystemExit("most runs did not come to an end within their deadline: is the machine busy?")
    return {
        "wall, ms": {name: summary(values) for name, values in walls.items()},
        "cpu, ms": {name: summary(values) for name, values in cpus.items()},
    }


def monitor(rundir: str, rounds: int, each: int) -> Summary:
    """CPU of one run, in milliseconds."""
    unit = Unit("one", rundir)
    unit.load([])
    unit.set()
    ran = [0]

    def count() -> None:
        ran[0] += 1

    costs = []
    with Monitor([Check("nothing", count)], 0.02, unit=unit):
        for _ in range(rounds):
            cpu, before = time.process_time(), ran[0]
            time.sleep(0.02 * each)
            costs.append((time.process_time() - cpu) * 1000 / max(1, ran[0] - before))
    unit.reset()
    return summary(costs)


def measure(rundir: str, rounds: int) -> dict[str, object]:
    cost = monitor(rundir, max(2, rounds // 2), 50)
    return {
        **runs(rounds),
        "one run of a monitor, cpu ms": cost,
        f"a monitor that runs every {EVERY} s, cpu seconds an hour": {
            key: round(value * 3.6 / EVERY, 4) for key, value in cost.items()
        },
    }


def main(rounds: int) -> None:
    # On a busy machine some may be late; that is no news here.
    logging.disable()
    with tempfile.TemporaryDirectory(prefix="liveness-bench-") as rundir:
        write(measure(rundir, rounds), Path(__file__).with_suffix(".json"), rounds)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
