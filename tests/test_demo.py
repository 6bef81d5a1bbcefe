"""The demo tells the life of a worker, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from stage import ROOT, until

LIFE = [
    (1, "not loaded (no pid in DIR/run/worker)"),
    (1, "not set (no error code in DIR/run/worker)"),
    (0, "healthy: "),
    (1, "error 7: queue lost"),
    (0, "healthy: "),
    (1, "not ready: draining"),
    (0, "healthy: "),
    (1, "no heartbeat 'main' for "),
    (0, "healthy: "),
    (1, "is gone"),
    (1, "not set (no error code in DIR/run/worker)"),
    (0, "healthy: "),
    (1, "not loaded (no pid in DIR/run/worker)"),
]


def start(home: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(ROOT / "examples" / "demo.py")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "TMPDIR": str(home)},
    )


def workers(home: Path) -> list[str]:
    """The processes whose command line names the folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(home).encode() in (process / "cmdline").read_bytes():
                found.append(process.name)
        except OSError:
            pass
    return found


def test_the_demo_takes_a_worker_through_its_life_and_leaves_nothing_behind(tmp_path: Path) -> None:
    demo = start(tmp_path)
    out = demo.communicate(timeout=60)[0]
    assert demo.returncode == 0, out
    steps = re.findall(r"^ *([\d.]+) s  .{40,} (?:live |ready) (\d)  liveness: worker: (.*)$", out, re.MULTILINE)
    assert [int(status) for _, status, _ in steps] == [status for status, _ in LIFE], out
    assert all(words in said for (_, _, said), (_, words) in zip(steps, LIFE, strict=True)), out
    assert float(steps[-1][0]) < 30
    assert list(tmp_path.iterdir()) == []
    assert workers(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("seconds", [0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.5])
def test_a_demo_that_is_interrupted_at_any_moment_leaves_nothing_behind(
    tmp_path: Path, seconds: float, number: int
) -> None:
    demo = start(tmp_path)
    # Where it is by then is left to chance: that is the point.
    until(lambda: any(tmp_path.iterdir()) or demo.poll() is not None)
    time.sleep(seconds)
    demo.send_signal(number)
    out = demo.communicate(timeout=60)[0]
    assert demo.returncode == 128 + number, out
    assert "Traceback" not in out
    assert list(tmp_path.iterdir()) == []
    assert workers(tmp_path) == []
