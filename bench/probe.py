"""
What one run of a probe costs, beside what people use today.

    python bench/probe.py [ROUNDS]

Writes bench/probe.json: CPU (user and system) and wall time of each candidate in milliseconds, over 200 rounds by
default; and how many times that of its baseline, in the same round.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from timing import Summary, commands, ratios, summary, tool, write  # noqa: E402

from liveness import Unit  # noqa: E402

# What many charts use: four processes a run.
USUAL_SCRIPT = """\
pid=$(cat {dir}/pid) && [ -d "/proc/$pid" ] || exit 1
age=$(( $(date +%s) - $(stat -c %Y {dir}/error) ))
[ "$age" -lt 100000 ] && [ "$(cat {dir}/error)" = 0 ]
"""


def bare_python(folder: Path) -> str:
    """An interpreter with nothing installed but liveness: what else there is would be part of every start."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    # As anybody installs it, command and all.
    wheels = folder / "wheels"
    for command in (
        ["build", "--no-isolation", "--wheel", "--outdir", wheels, ROOT],
        ["pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", "--find-links", wheels,
         "--disable-pip-version-check", "liveness-probe"],
    ):  # fmt: skip
        subprocess.run([sys.executable, "-m", *map(str, command)], check=True, stdout=subprocess.DEVNULL)
    return str(python)


def measure(rundir: Path, rounds: int) -> dict[str, object]:
    dash, bash, health = tool("dash"), tool("bash"), str(ROOT / "health.sh")
    one = Unit("one", rundir)
    for unit, beats in ((one, 1), (Unit("many", rundir), 101), (Unit("thousand", rundir), 1000)):
        unit.load([])
        unit.set()
        for number in range(beats):
            unit.beat(900_000, f"worker.{number}")
    usual = rundir / "usual.sh"
    usual.write_text(USUAL_SCRIPT.format(dir=one.path))
    python = bare_python(rundir)

    def of(unit: str, *command: str) -> tuple[list[str], dict[str, str]]:
        return [*command], {"PATH": os.environ["PATH"], "LIVENESS_RUNDIR": str(rundir), "LIVENESS_UNIT_NAME": unit}

    times = commands(
        {
            "dash -c :": of("one", dash, "-c", ":"),
            "bash -c :": of("one", bash, "-c", ":"),
            "health.sh": of("one", dash, health),
            "health.sh by options": of("one", dash, health, "-d", str(rundir), "-u", "one"),
            "health.sh under bash": of("one", bash, health),
            "health.sh under busybox": of("one", tool("busybox"), "ash", health),
            "health.sh, 101 heartbeats": of("many", dash, health),
            "health.sh, 1000 heartbeats": of("thousand", dash, health),
            "cat": of("one", tool("cat"), f"{one.path}/error"),
            "cat, stat and date": of("one", dash, str(usual)),
            "python -c pass": of("one", python, "-c", "pass"),
            "python -c 'import liveness'": of("one", python, "-c", "import liveness"),
            "python -m liveness.probe": of("one", python, "-m", "liveness.probe"),
            "liveness check": of("one", f"{rundir}/venv/bin/liveness", "check"),
        },
        rounds,
    )
    cpu = {name: [pair[0] for pair in pairs] for name, pairs in times.items()}
    many, few = cpu["health.sh, 101 heartbeats"], cpu["health.sh"]
    further = [(a - b) / 100 * 1000 for a, b in zip(many, few, strict=True)]
    imported = [a - b for a, b in zip(cpu["python -c 'import liveness'"], cpu["python -c pass"], strict=True)]
    return {
        "cpu, ms": {name: summary(values) for name, values in cpu.items()},
        "wall, ms": {name: summary([pair[1] for pair in pairs]) for name, pairs in times.items()},
        "cpu, times": times_of(cpu),
        "a further heartbeat, us": summary(further),
        "import liveness, ms": summary(imported),
    }


def times_of(cpu: dict[str, list[float]]) -> dict[str, Summary]:
    return {
        f"{name} / {base}": ratios(cpu[name], cpu[base])
        for name, base in (
            ("health.sh", "dash -c :"),
            ("health.sh", "bash -c :"),
            ("health.sh", "python -c pass"),
            ("cat, stat and date", "health.sh"),
            ("python -m liveness.probe", "python -c pass"),
            ("liveness check", "python -c pass"),
        )
    }


def main(rounds: int) -> None:
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="liveness-bench-", dir=memory) as rundir:
        write(measure(Path(rundir), rounds), Path(__file__).with_suffix(".json"), rounds)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
