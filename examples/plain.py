"""
The least that a worker does: it says that it is there, and when it is well.

    python plain.py

It beats no heart: that it hangs would not be found. Its state goes where LIVENESS_RUNDIR and LIVENESS_UNIT_NAME say.
"""

import time

import liveness


def main() -> None:
    with liveness.running(["worker_checks"]):
        while True:
            # Its work.
            time.sleep(1)


if __name__ == "__main__":
    main()
