"""
Two processes in one container, each with a unit of its own.

    python pair.py UNITNAME UNITNAME

Each beats in its unit, so that `health.sh -u UNITNAME -u UNITNAME` finds out which of them is not well. If one ends,
the other runs on: to restart both is the kubelet's part.
"""

from __future__ import annotations

import multiprocessing
import sys
import time

import liveness

TTL = 10  # seconds; several times what one turn of the loop may take


def work(unitname: str) -> None:
    with liveness.running(["worker_checks"], ttl=TTL, unitname=unitname) as unit:
        while True:
            unit.beat(TTL)
            # Its work.
            time.sleep(0.5)


def main(unitnames: list[str]) -> None:
    processes = [multiprocessing.Process(target=work, args=(name,)) for name in unitnames]
    for process in processes:
        process.start()
    for process in processes:
        process.join()


if __name__ == "__main__":
    main(sys.argv[1:])
