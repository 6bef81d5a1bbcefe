"""
What the probe and the verbs cost, beside what people use today.

    python bench/measure.py [ROUNDS]

Each round runs every candidate once, one after the other, so that whatever else the machine does falls on all of them
alike. Of all rounds (200 unless told) it keeps the median with the 5th and the 95th percentile, of CPU (user and
system, from wait4) and of wall time, in milliseconds, and writes bench/results.json.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT))

from liveness import Unit  # noqa: E402

# What many charts use: three processes a run.
USUAL_SCRIPT = """\
pid=$(cat {dir}/pid) && [ -d "/proc/$pid" ] || exit 1
age=$(( $(date +%s) - $(stat -c %Y {dir}/error) ))
[ "$age" -lt 100000 ] && [ "$(cat {dir}/error)" = 0 ]
"""


def run(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """CPU and wall time of one run, in milliseconds."""
    begin = time.perf_counter()
    pid = os.posix_spawn(command[0], command, environment)
    _, status, usage = os.wait4(pid, 0)
    wall = time.perf_counter() - begin
    if status:
        raise SystemExit(f"{command}: status {os.waitstatus_to_exitcode(status)}")
    return (usage.ru_utime + usage.ru_stime) * 1000, wall * 1000


def summary(values: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(values, n=20)
    return {"median": round(statistics.median(values), 4), "p5": round(cuts[0], 4), "p95": round(cuts[-1], 4)}


def commands(candidates: dict[str, list[str]], rounds: int) -> dict[str, Any]:
    """All candidates, round by round."""
    environment = {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(ROOT)}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, command in candidates.items():
            times[name].append(run(command, environment))
    return {
        name: {"cpu": summary([cpu for cpu, _ in pairs]), "wall": summary([wall for _, wall in pairs])}
        for name, pairs in times.items()
    }


def microseconds(calls: int, *functions: Any) -> list[dict[str, float]]:
    """What one call of each takes, interleaved, on average of many: 200 times."""
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(200):
        for function, found in zip(functions, times, strict=True):
            begin = time.perf_counter()
            for _ in range(calls):
                function()
            found.append((time.perf_counter() - begin) / calls * 1e6)
    return [summary(found) for found in times]


def bare_write(folder: str) -> Any:
    """The system calls that a set() cannot do without, from Python."""
    target, temporary = f"{folder}/bare", f"{folder}/.bare"

    def write() -> None:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        os.write(fd, b"0")
        os.close(fd)
        os.rename(temporary, target)

    return write


def shell(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise SystemExit(f"{name}: not here (tests/tools.sh installs it)")
    return found


def main(rounds: int) -> None:
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    rundir = tempfile.mkdtemp(prefix="liveness-bench-", dir=memory)
    try:
        results = measure(rundir, rounds)
    finally:
        shutil.rmtree(rundir)
    (HERE / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    print(json.dumps(results, indent=2))


def measure(rundir: str, rounds: int) -> dict[str, Any]:
    dash, bash, busybox, python = shell("dash"), shell("bash"), shell("busybox"), sys.executable
    health = str(ROOT / "health.sh")
    units = {name: Unit(name, rundir) for name in ("one", "many", "thousand", "verbs")}
    for name, unit in units.items():
        unit.load([])
        unit.set()
        for number in range({"many": 101, "thousand": 1000}.get(name, 1)):
            unit.beat(900_000, f"worker.{number}")
    usual = Path(rundir) / "usual.sh"
    usual.write_text(USUAL_SCRIPT.format(dir=units["one"].path))

    def probe(*interpreter: str, unit: str = "one") -> list[str]:
        return [*interpreter, health, "-d", rundir, "-u", unit]

    verdict = f"from liveness import probe; raise SystemExit(not probe.live('one', {rundir!r}))"
    table = commands(
        {
            "dash -c :": [dash, "-c", ":"],
            "bash -c :": [bash, "-c", ":"],
            "health.sh, dash": probe(dash),
            "health.sh, bash": probe(bash),
            "health.sh, busybox": probe(busybox, "ash"),
            "health.sh, 101 heartbeats": probe(dash, unit="many"),
            "health.sh, 1000 heartbeats": probe(dash, unit="thousand"),
            "cat FILE": [shell("cat"), f"{units['one'].path}/error"],
            "sh, cat, stat, date": [dash, str(usual)],
            "python -c pass": [python, "-c", "pass"],
            "liveness.probe in Python": [python, "-c", verdict],
            "python -c import liveness": [python, "-c", "import liveness"],
        },
        rounds,
    )
    unit = units["verbs"]
    beat, write, bare = microseconds(200, lambda: unit.beat(900_000), unit.set, bare_write(unit.path))
    for unit in units.values():
        unit.reset()
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "machine": {
            "cpu": cpu_name(),
            "cores": os.cpu_count(),
            "kernel": platform.release(),
            "python": platform.python_version(),
            "bash": subprocess.run(
                [bash, "-c", "echo $BASH_VERSION"], capture_output=True, text=True, check=True
            ).stdout.strip(),
        },
        "rounds": rounds,
        "milliseconds": table,
        "microseconds": {"beat": beat, "set": write, "open, write, close, rename": bare},
    }


def cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
