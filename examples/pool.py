"""
A pool of processes: the parent starts COUNT workers, and starts another one for each that dies.

    python pool.py COUNT

Each worker beats in its own loop, so a worker that hangs is found. The parent expects COUNT of them, so a worker that
is not replaced is found as well. LIVENESS_RUNDIR and LIVENESS_UNIT_NAME determine where the state is written.
"""

from __future__ import annotations

import multiprocessing
import sys
import time

import liveness

TTL = 10  # seconds; much longer than the longest time between two beats, which is a pause of 0.2 s
WITHIN = 30  # seconds in which all workers must have started


def work() -> None:
    # The default name in a process that did not load is worker.<pid>.
    with liveness.heartbeat(TTL) as beat:
        while True:
            beat()
            # The work goes here.
            time.sleep(0.2)


def main(count: int) -> None:
    workers: list[multiprocessing.Process] = []
    with liveness.running(["worker_checks"], ttl=TTL):
        # A call that changes nothing does not start the WITHIN seconds again, so it may stand in the loop too.
        liveness.expect("worker", count, within=WITHIN)
        while True:
            liveness.beat(TTL)
            workers = [worker for worker in workers if worker.is_alive()]
            while len(workers) < count:
                # A daemon: it is terminated if the parent leaves this block.
                workers.append(multiprocessing.Process(target=work, daemon=True))
                workers[-1].start()
            time.sleep(0.2)


if __name__ == "__main__":
    main(int(sys.argv[1]))
