"""
A worker without a web server of its own that a kubelet probes by HTTP.

    python http_worker.py PORT [HOST]

HOST is the address on which the probes are answered. Default: all addresses, since a kubelet connects to that of the
pod. The loop beats, so a hang is found although the thread that answers goes on. LIVENESS_RUNDIR and LIVENESS_UNIT_NAME
determine where the state is written.
"""

import signal
import sys
import time
from pathlib import Path

import liveness
import liveness.server
from liveness.checks import Check

TTL = 2  # seconds; much longer than one turn of the loop
SPOOL = Path("/tmp")

stopping = False


def stop(number: int, frame: object) -> None:
    global stopping
    stopping = True


def spool() -> bool:
    return SPOOL.is_dir()


def main(port: int, host: str = "") -> None:
    signal.signal(signal.SIGTERM, stop)
    # After load() and any fork: the server runs in threads of this process.
    with liveness.running(ttl=TTL), liveness.server.serve(port, host, checks=[Check("spool", spool)]):
        while not stopping:
            liveness.beat(TTL)
            # The work goes here.
            time.sleep(0.1)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
