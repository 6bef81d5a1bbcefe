"""
An RQ worker that reports its state.

    python worker.py QUEUE...

RQ calls ``heartbeat`` in its own loop: before each wait for a job, and while it waits for the process of a job. That
process has a deadline instead, since a job is one long call. REDIS_URL is the address of Redis. LIVENESS_RUNDIR and
LIVENESS_UNIT_NAME determine where the state is written.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from redis import Redis
from rq import Worker
from rq.worker import WorkerStatus

import liveness

WORKER_TTL = 60  # seconds; RQ waits for a job for 15 s less
# Seconds; more than the longest time between two calls of heartbeat(). If Redis is away, that is the 55 s after which a
# connection times out, and the 60 s that RQ waits before it tries again.
TTL = 180
# Seconds that a job may take; more than RQ's own limit (180 by default), after which it kills a job by itself within
# 60 and 30 more.
LIMIT = 300


class LiveWorker(Worker):
    def heartbeat(self, *args: Any, **kwargs: Any) -> None:
        # The process of a job also calls this, once: its heartbeat would go stale while the job runs.
        if not self.is_horse:
            # Before the call, which fails if Redis is away: no reason to restart the worker.
            liveness.beat(TTL)
        super().heartbeat(*args, **kwargs)

    def perform_job(self, *args: Any, **kwargs: Any) -> bool:
        # In the process of the job. If it is killed, the deadline ends with it.
        with liveness.deadline(LIMIT):
            return super().perform_job(*args, **kwargs)

    def set_state(self, state: str, *args: Any, **kwargs: Any) -> None:
        super().set_state(state, *args, **kwargs)
        if state == WorkerStatus.SUSPENDED:
            # RQ calls heartbeat() again when the worker is resumed.
            liveness.end_beat()


def main(queues: list[str], **options: Any) -> None:
    connection = Redis.from_url(os.environ.get("REDIS_URL", "redis://localhost"))
    with liveness.running(ttl=TTL):
        LiveWorker(queues, connection=connection, worker_ttl=WORKER_TTL, **options).work()


if __name__ == "__main__":
    main(sys.argv[1:])
