"""
What the verbs cost the process that calls them.

    python bench/verbs.py [ROUNDS]

Writes bench/verbs.json: microseconds of one call, on average of 200 in a row, over 200 rounds by default; and how many
times the system calls that a write cannot do without, from Python, in the same round.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from timing import calls, ratios, summary, write  # noqa: E402

from liveness import Unit  # noqa: E402


def bare_write(folder: str) -> Callable[[], None]:
    """The system calls that a set() cannot do without, from Python."""
    target, temporary = f"{folder}/bare", f"{folder}/.bare"

    def bare() -> None:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        os.write(fd, b"0")
        os.close(fd)
        os.rename(temporary, target)

    return bare


def measure(rundir: str, rounds: int) -> dict[str, object]:
    unit = Unit("one", rundir)
    unit.load([])
    bare = "open, write, close, rename"
    times = calls({bare: bare_write(unit.path), "set": unit.set, "beat": lambda: unit.beat(30)}, 200, rounds)
    return {
        "call, us": {name: summary(values) for name, values in times.items()},
        "times": {f"set / {bare}": ratios(times["set"], times[bare])},
    }


def main(rounds: int) -> None:
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="liveness-bench-", dir=memory) as rundir:
        write(measure(rundir, rounds), Path(__file__).with_suffix(".json"), rounds)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
