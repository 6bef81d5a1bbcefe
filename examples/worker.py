"""
A worker that takes jobs from a folder, and tells Kubernetes how it is.

    python worker.py SPOOL

A job is a file in SPOOL; its content is how many seconds of work it is. On SIGTERM the worker finishes the job in hand
and ends. Its state goes where LIVENESS_RUNDIR and LIVENESS_UNIT_NAME say.
"""

from __future__ import annotations

import logging
import signal
import sys
import time
from pathlib import Path

import liveness

QUEUE_LOST = 7
TTL = 2  # seconds; several times what one turn of the loop may take

draining = False


def drain(number: int, frame: object) -> None:
    global draining
    draining = True
    # No new work, please; the job in hand goes on, so we are alive.
    liveness.set_ready(False, "draining")


def beat() -> None:
    # The same in every call: one without traceback would stop the timer of those with.
    liveness.beat(ttl=TTL, traceback=True)


def work_on(job: Path) -> None:
    logging.info("working on %s", job.name)
    end = time.monotonic() + float(job.read_text() or 0)
    while time.monotonic() < end:
        beat()
        time.sleep(0.05)
    job.unlink()


def main(spool: Path) -> None:
    liveness.load(["worker_checks"])
    signal.signal(signal.SIGTERM, drain)
    while not spool.is_dir():
        # The queue is not there yet: loaded, and not yet healthy.
        time.sleep(0.05)
    # The first beat before the first "healthy", so that a hang is found from the beginning.
    beat()
    liveness.set()
    lost = False
    while not draining:
        beat()
        if spool.is_dir() == lost:
            lost = not lost
            if lost:
                liveness.set(QUEUE_LOST, "queue lost")
            else:
                liveness.set()
        for job in sorted(spool.glob("*"))[:1]:
            work_on(job)
        time.sleep(0.05)
    liveness.reset()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    main(Path(sys.argv[1]))
