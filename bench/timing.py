"""
How the benchmarks measure: every round runs each candidate once, so that what else the machine does falls on all.

In another order each time: what runs after a large program finds cold caches.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

Of = TypeVar("Of")

#: Median, 5th and 95th percentile.
Summary = dict[str, float]


def summary(values: list[float]) -> Summary:
    """The median of the values with their 5th and 95th percentile."""
    cuts = statistics.quantiles(values, n=20)
    return {"median": round(statistics.median(values), 4), "p5": round(cuts[0], 4), "p95": round(cuts[-1], 4)}


def run(command: list[str], environment: Mapping[str, str]) -> tuple[float, float]:
    """CPU time (user and system, as wait4 tells) and wall time of one run, in milliseconds."""
    begin = time.perf_counter()
    pid = os.posix_spawn(command[0], command, environment)
    _, status, usage = os.wait4(pid, 0)
    wall = time.perf_counter() - begin
    if status:
        raise SystemExit(f"{command}: status {os.waitstatus_to_exitcode(status)}")
    return (usage.ru_utime + usage.ru_stime) * 1000, wall * 1000


def commands(
    candidates: Mapping[str, tuple[list[str], Mapping[str, str]]], rounds: int
) -> dict[str, list[tuple[float, float]]]:
    """CPU and wall time of all candidates, each with its environment, in milliseconds, round by round."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in candidates}
    for number in range(rounds):
        for name, (command, environment) in shuffled(candidates):
            times[name].append(run(command, environment))
        show(number + 1, rounds)
    return times


def calls(
    functions: Mapping[str, Callable[[], object]], each: int, rounds: int, pause: float = 0
) -> dict[str, list[float]]:
    """Microseconds of one call of each function, on average of so many in a row after a pause, round by round."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in shuffled(functions):
            time.sleep(pause)
            begin = time.perf_counter()
            for _ in range(each):
                function()
            times[name].append((time.perf_counter() - begin) / each * 1e6)
    return times


def shuffled(candidates: Mapping[str, Of]) -> list[tuple[str, Of]]:
    """Name and candidate, in an order of chance."""
    return random.sample(list(candidates.items()), len(candidates))


def ratios(values: list[float], base: list[float]) -> Summary:
    """How many times the base, in the same round."""
    return summary([value / reference for value, reference in zip(values, base, strict=True)])


def show(done: int, of: int) -> None:
    """Progress, on a terminal."""
    if sys.stderr.isatty():
        print(f"\r  round {done} of {of}", end="\n" if done == of else "", file=sys.stderr, flush=True)


def tool(name: str) -> str:
    """The path of a program. Ends the benchmark if it is not here."""
    found = shutil.which(name)
    if found is None:
        raise SystemExit(f"{name}: not found (make test installs it with apt as root)")
    return found


def machine() -> dict[str, str | int]:
    """What the figures were measured on."""
    info = Path("/proc/cpuinfo").read_text()
    cpu = next((line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")), "")
    return {
        "cpu": cpu or platform.machine(),
        "cores": os.cpu_count() or 1,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "bash": _version([tool("bash"), "-c", "echo $BASH_VERSION"]),
        "dash": _version(["dpkg-query", "-W", "-f", "${Version}", "dash"]),
    }


def _version(command: list[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def write(results: dict[str, object], file: Path, rounds: int) -> None:
    """Keeps the figures with what they were measured on, and when."""
    whole = {
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "machine": machine(),
        "rounds": rounds,
        **results,
    }
    file.write_text(json.dumps(whole, indent=2) + "\n")
    print(f"{file}: written")
