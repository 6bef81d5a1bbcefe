"""A minute in the life of a pod whose database never answers."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from project import Project
from services import Postgres, Silence
from stage import until
from web import Kubelet

PERIOD = 1.0


def of_worker(arbiter: int, what: str) -> int:
    """How many threads (task) or open files (fd) the one worker below gunicorn's arbiter has."""
    (worker,) = Path(f"/proc/{arbiter}/task/{arbiter}/children").read_text().split()
    return len(os.listdir(f"/proc/{worker}/{what}"))


def settled(number: Callable[[], int]) -> int:
    """The number, once it has stayed the same for a second: the socket of a request just answered is closed by then."""
    seen = [number()]

    def stays() -> bool:
        seen.append(number())
        return len(set(seen[-100:])) == 1 and len(seen) > 100

    until(stays)
    return seen[-1]


@pytest.mark.minute
def test_a_silent_database_takes_a_pod_out_of_service_and_never_restarts_it(tmp_path: Path, postgres: Postgres) -> None:
    project = Project(tmp_path, postgres.configured())
    with project.serve("gunicorn") as server:
        assert server.get("/readyz").status == 200
        arbiter = server.process.pid
        threads = of_worker(arbiter, "task")
        files = settled(lambda: of_worker(arbiter, "fd"))
        postgres.stop()
        with Silence(postgres.port):
            kubelet = Kubelet(server.port, ["/livez", "/readyz"], period=PERIOD, timeout=1)
            seen = []
            end = time.monotonic() + 60
            while time.monotonic() < end:
                seen.append((of_worker(arbiter, "task"), of_worker(arbiter, "fd")))
                time.sleep(0.25)
            probes = kubelet.end()
        postgres.start()
        until(lambda: server.get("/readyz").status == 200)
        until(lambda: of_worker(arbiter, "task") <= threads)
        until(lambda: of_worker(arbiter, "fd") <= files)
    assert len(probes["/livez"]) >= 55
    assert [probe for probe in probes["/livez"] if not probe.passed and probe.begin >= PERIOD] == []
    assert [probe for probe in probes["/readyz"] if probe.passed] == []
    # Only the first who asked has waited for the probe; what else takes time is this machine.
    later = [probe.lasted for probe in probes["/readyz"] if probe.begin >= PERIOD]
    assert statistics.median(later) < 0.1
    assert sum(lasted > 0.5 for lasted in later) <= 3
    # The thread of the one probe, its connection, and the request in hand.
    assert max(number for number, _ in seen) <= threads + 1
    assert max(number for _, number in seen) <= files + 4
    until(lambda: postgres.sessions() == 0)
