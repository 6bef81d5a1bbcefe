"""
Takes a real worker through its life, and calls the probe at every step.

    python examples/demo.py

Everything happens in a temporary folder; nothing is left behind, wherever it is interrupted.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
HEALTH_SH = HERE.parent / "health.sh"

interrupted = 0


def interrupt(number: int, frame: object) -> None:
    # Only noted: an exception at any moment could lose the number of a process just started.
    global interrupted
    interrupted = number


class Interrupted(Exception):
    """Somebody wants us to end."""


class Demo:
    """A worker, and the probe that looks at it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.spool = home / "spool"
        self.begin = time.monotonic()
        self.worker: subprocess.Popen[bytes] | None = None
        (home / "run").mkdir()

    def start(self) -> None:
        environment = {
            **os.environ,
            "LIVENESS_RUNDIR": str(self.home / "run"),
            "LIVENESS_UNIT_NAME": "worker",
            "PYTHONPATH": str(HERE.parent),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        with (self.home / "log").open("ab") as log:
            # A session of its own: Ctrl-C is for us, and we end the worker.
            self.worker = subprocess.Popen(
                [sys.executable, str(HERE / "worker.py"), str(self.spool)],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def give_job(self, seconds: int) -> None:
        """Waits until the worker has it in hand."""
        (self.spool / "job").write_text(str(seconds))
        deadline = time.monotonic() + 15
        while "working on job" not in (self.home / "log").read_text():
            if interrupted:
                raise Interrupted
            if time.monotonic() > deadline:
                raise SystemExit("the worker does not take its job")
            time.sleep(0.05)

    def signal(self, number: int) -> None:
        assert self.worker is not None
        self.worker.send_signal(number)

    def kill(self) -> None:
        if self.worker is not None:
            self.worker.kill()
            self.worker.wait()

    def probe(self, verdict: str) -> tuple[int, str]:
        done = subprocess.run(
            [str(HEALTH_SH), "-v", "-d", str(self.home / "run"), "-u", "worker", verdict],
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, (done.stdout + done.stderr).strip()

    def step(self, happened: str, says: str, verdict: str = "live") -> None:
        """Waits until the probe says it, and prints the line. Raises SystemExit if it never does."""
        deadline = time.monotonic() + 15
        while True:
            status, said = self.probe(verdict)
            if interrupted:
                raise Interrupted
            if says in said:
                break
            if time.monotonic() > deadline:
                raise SystemExit(f"{happened}: the probe should say {says!r}, and says {said!r}")
            time.sleep(0.05)
        said = said.replace(str(self.home), "DIR")
        print(f"{time.monotonic() - self.begin:5.1f} s  {happened:<40} {verdict:<5} {status}  {said}", flush=True)


def tell(demo: Demo) -> None:
    print(f"DIR is {demo.home}; the worker is examples/worker.py\n")
    print(f"{'time':>7}  {'what happened':<40} probe    what it said")
    demo.step("nothing yet", "not loaded")
    demo.start()
    demo.step("the worker loads, and waits for its queue", "not set")
    demo.spool.mkdir()
    demo.step("the queue is there", "healthy")
    demo.spool.rename(demo.home / "away")
    demo.step("the queue is gone", "error 7: queue lost (main)")
    (demo.home / "away").rename(demo.spool)
    demo.step("the queue is back", "healthy")
    demo.give_job(60)
    demo.signal(signal.SIGTERM)
    demo.step("SIGTERM: it ends the job in hand: ready?", "not ready: draining", "ready")
    demo.step("... and alive?", "healthy")
    demo.signal(signal.SIGSTOP)
    demo.step("it hangs", "no heartbeat 'main'")
    demo.signal(signal.SIGCONT)
    demo.step("it goes on", "healthy")
    demo.kill()
    demo.step("it is killed, and its files stay", "is gone")
    (demo.spool / "job").unlink()
    demo.spool.rename(demo.home / "away")
    demo.start()
    demo.step("a new one wipes them, waits for its queue", "not set")
    (demo.home / "away").rename(demo.spool)
    demo.step("the queue is there: a new life", "healthy")
    demo.signal(signal.SIGTERM)
    demo.step("SIGTERM: nothing in hand, it ends", "not loaded")


def main() -> int:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    home = Path(tempfile.mkdtemp(prefix="liveness-demo-"))
    demo = None
    try:
        demo = Demo(home)
        tell(demo)
    except Interrupted:
        print(f"interrupted by signal {interrupted}", file=sys.stderr)
        return 128 + interrupted
    finally:
        if demo is not None:
            demo.kill()
        shutil.rmtree(home)
    print("\nThat is all: every line above came from a run of health.sh on a real process.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
