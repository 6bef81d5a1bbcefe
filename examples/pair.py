"""
Two processes in one container, each with a unit of its own.

    python pair.py UNITNAME UNITNAME

Each process beats in its own unit. `health.sh -u UNITNAME -u UNITNAME` requires both to be healthy, and its message
names the one that is not. If one process ends, the other continues; the kubelet restarts both.
"""

from __future__ import annotations

import multiprocessing
import sys
import time

import liveness

TTL = 10  # seconds; much longer than the longest time between two beats, which is a pause of 0.5 s


def work(unitname: str) -> None:
    with liveness.running(["worker_checks"], ttl=TTL, unitname=unitname) as unit:
        while True:
            unit.beat(TTL)
            # The work goes here.
            time.sleep(0.5)


def main(unitnames: list[str]) -> None:
    processes = [multiprocessing.Process(target=work, args=(name,)) for name in unitnames]
    for process in processes:
        process.start()
    for process in processes:
        process.join()


if __name__ == "__main__":
    main(sys.argv[1:])
