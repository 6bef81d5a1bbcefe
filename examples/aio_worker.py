"""
An asyncio worker: a blocked event loop and a stuck task are both found.

    python aio_worker.py

One heartbeat belongs to the event loop. Another belongs to the consumer task: the loop goes on while that task waits
for ever. On SIGTERM all tasks are cancelled, and the worker exits. LIVENESS_RUNDIR and LIVENESS_UNIT_NAME determine
where the state is written.
"""

from __future__ import annotations

import asyncio
import signal

import liveness
import liveness.aio

TTL = 10  # seconds; much longer than any call that does not yield to the event loop
CONSUMER_TTL = 30  # seconds; much longer than the wait for a message (1 s) plus the work on it


async def work_on(message: str) -> None:
    await asyncio.sleep(0)


async def consume(messages: asyncio.Queue[str]) -> None:
    with liveness.heartbeat(CONSUMER_TTL, "consumer") as beat:
        while True:
            # Also when there is nothing to do: an empty queue is not a hang.
            beat()
            try:
                message = await asyncio.wait_for(messages.get(), timeout=1)
            except asyncio.TimeoutError:
                continue
            await work_on(message)


async def main() -> None:
    messages: asyncio.Queue[str] = asyncio.Queue()
    # traceback: a blocked loop prints the line that blocks it.
    async with liveness.aio.heartbeat(TTL, traceback=True):
        consumer = asyncio.create_task(consume(messages))
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, consumer.cancel)
        # The first beat of the consumer comes before set(), so a hang is found from the start.
        await asyncio.sleep(0)
        liveness.set()
        try:
            await consumer
        except asyncio.CancelledError:
            pass


if __name__ == "__main__":
    liveness.load()
    asyncio.run(main())
    liveness.reset()
