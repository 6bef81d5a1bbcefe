"""
The shortest possible worker: it reports that it runs and that it is healthy.

    python plain.py

It has no heartbeat, so a hang is not found. LIVENESS_RUNDIR and LIVENESS_UNIT_NAME determine where the state is
written.
"""

import time

import liveness


def main() -> None:
    with liveness.running(["worker_checks"]):
        while True:
            # The work goes here.
            time.sleep(1)


if __name__ == "__main__":
    main()
