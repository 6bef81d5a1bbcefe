"""A timer of an asyncio event loop, from which a heartbeat beats."""

from __future__ import annotations

import asyncio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

#: The longest time between two beats, in seconds. A ttl below 4 makes it shorter.
PERIOD = 1.0


class Ticker:
    """
    Calls ``beat`` from a timer of the running event loop, at least four times within ``ttl`` seconds.

    It is not a task, since a program that cancels all its tasks would stop it.
    """

    def __init__(self, beat: Callable[[], None], ttl: int) -> None:
        self._beat = beat
        self._period = min(PERIOD, ttl / 4)
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(self._period, self._tick)

    def _tick(self) -> None:
        self._beat()
        self._timer = self._loop.call_later(self._period, self._tick)

    def cancel(self) -> None:
        """Ends it. It is not an error if it has ended."""
        self._timer.cancel()
