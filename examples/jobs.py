"""
A worker that starts a process for each job, as RQ does.

    python jobs.py SPOOL

A job is a file in SPOOL; its content is the seconds of work that it takes. The parent beats, also while it waits for
the process of a job. The job cannot beat, since it is one long call; it has a deadline instead. LIVENESS_RUNDIR and
LIVENESS_UNIT_NAME determine where the state is written.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from pathlib import Path

import liveness

TTL = 10  # seconds; much longer than the longest time between two beats, which is a wait of 0.2 s
LIMIT = 600  # seconds that a job may take


def work_on(job: Path, limit: int) -> None:
    with liveness.deadline(limit, "import"):
        time.sleep(float(job.read_text() or 0))


def main(spool: Path) -> None:
    with liveness.running(["worker_checks"], ttl=TTL):
        while True:
            liveness.beat(TTL)
            time.sleep(0.2)
            for job in sorted(spool.glob("*"))[:1]:
                process = multiprocessing.Process(target=work_on, args=(job, LIMIT))
                process.start()
                while process.is_alive():
                    liveness.beat(TTL)
                    process.join(timeout=0.2)
                # Done, or killed: a real queue would try a killed job again.
                job.unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
