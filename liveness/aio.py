"""
A heartbeat of an asyncio event loop.

    async with liveness.aio.heartbeat(10):
        await serve()

A timer of the loop beats, so a call that blocks the loop, such as ``time.sleep`` in a coroutine, makes the heartbeat
go stale. A timer does not see that a task waits for ever: beat in that task, with a name of its own.
"""

from __future__ import annotations

from contextlib import asynccontextmanager

from .ticker import Ticker
from .unit import find

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator

__all__ = ["heartbeat"]


@asynccontextmanager
async def heartbeat(
    ttl: int,
    name: str | None = None,
    *,
    traceback: bool = False,
    unitname: str | None = None,
    rundir: str | os.PathLike[str] | None = None,
) -> AsyncIterator[None]:
    """
    An async context manager that beats at once, and then from the running event loop until the block ends.

    The verdict is unhealthy when a call has blocked the loop for ``ttl`` whole seconds (1 to 999,999,999). The
    heartbeat is removed at a clean exit and when the task is cancelled; after any other exception it goes stale.
    ``name`` and ``traceback``, which prints the blocking line, are those of ``Unit.beat``, and so are the errors.
    """
    with find(unitname, rundir).heartbeat(ttl, name, traceback=traceback) as beat:
        ticker = Ticker(beat, ttl)
        try:
            yield
        finally:
            ticker.cancel()
