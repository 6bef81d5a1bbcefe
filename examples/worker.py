"""
A worker that takes jobs from a folder, and reports its state to Kubernetes.

    python worker.py SPOOL

A job is a file in SPOOL; its content is the seconds of work that it takes. On SIGTERM the worker finishes its current
job and exits. LIVENESS_RUNDIR and LIVENESS_UNIT_NAME determine where the state is written.
"""

from __future__ import annotations

import logging
import signal
import sys
import time
from pathlib import Path

import liveness

QUEUE_LOST = 7
TTL = 2  # seconds; much longer than the longest time between two beats, which is a pause of 0.05 s

draining = False


def drain(number: int, frame: object) -> None:
    global draining
    draining = True
    # Takes no new work, but finishes the current job: not ready, and alive.
    liveness.set_ready(False, "draining")


def beat(spool: Path) -> None:
    lost = not spool.is_dir()
    # traceback in every call: a call without it stops the timer that prints the stacks.
    liveness.beat(TTL, error=QUEUE_LOST if lost else 0, reason="queue lost" if lost else "", traceback=True)


def work_on(job: Path) -> None:
    logging.info("working on %s", job.name)
    end = time.monotonic() + float(job.read_text() or 0)
    while time.monotonic() < end:
        beat(job.parent)
        time.sleep(0.05)
    job.unlink()


def main(spool: Path) -> None:
    liveness.load(["worker_checks"])
    signal.signal(signal.SIGTERM, drain)
    while not spool.is_dir():
        # Loaded, but not healthy before the queue exists.
        time.sleep(0.05)
    # Before set(), so that a hang is found from the start.
    beat(spool)
    liveness.set()
    while not draining:
        beat(spool)
        time.sleep(0.05)
        for job in sorted(spool.glob("*"))[:1]:
            # work_on() beats before each piece of the job.
            work_on(job)
    liveness.reset()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    main(Path(sys.argv[1]))
