"""The life of a unit along the lifespan events of an ASGI application."""

from __future__ import annotations

from . import log
from .directory import Unreadable
from .errors import LivenessError
from .holder import find_holder
from .ticker import Ticker
from .unit import Unit, find

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping
    from typing import Any

    Message = MutableMapping[str, Any]
    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Life:
    """The life of a unit, or a worker's part in it, from the start to the end of an application."""

    def __init__(self, unit: str | bool | Unit | None, ttl: int, receive: Receive, send: Send) -> None:
        self._given = unit
        self._ttl = ttl
        self._receive = receive
        self._send = send
        self._has_loaded = self._has_answered = False
        self._ticker: Ticker | None = None

    async def run(self, app: App, scope: Scope) -> None:
        """Passes the lifespan events on to the application, and acts on them."""
        try:
            self._begin()
        except LivenessError as error:
            await self._receive()
            await self._send(_failed(error))
            return
        self._ticker = Ticker(lambda: self._unit.beat(self._ttl), self._ttl)
        try:
            await app(scope, self._hear, self._say)
        except Exception:
            if self._has_answered:
                raise
        finally:
            if self._has_answered:
                self._end()
        if not self._has_answered:
            # According to the ASGI specification, an application that raises or returns here has no lifespan events.
            await self._run_without_app()

    async def _run_without_app(self) -> None:
        try:
            await self._say({"type": "lifespan.startup.complete"})
            while (await self._hear())["type"] != "lifespan.shutdown":
                pass
            await self._say({"type": "lifespan.shutdown.complete"})
        finally:
            self._end()

    def _begin(self) -> None:
        given = self._given
        self._unit = unit = given if isinstance(given, Unit) else find(given if isinstance(given, str) else None)
        try:
            holder = find_holder(unit.life.directory)
            self._has_loaded = holder is None
            if holder is not None and unit.life.member() is None:
                raise LivenessError(
                    f"{unit.path}: process {holder}, which is alive and did not start this process, has loaded this "
                    f"unit (start several workers with: liveness run -- uvicorn --workers N ...)"
                )
        except (OSError, Unreadable):
            # load() finds out whether that matters, and says what is wrong.
            self._has_loaded = True
        if self._has_loaded:
            unit.load()
        unit.beat(self._ttl)

    async def _hear(self) -> Message:
        message = await self._receive()
        if message["type"] == "lifespan.shutdown" and self._has_loaded:
            _logged(lambda: self._unit.set_ready(False, "shutting down"))
        return message

    async def _say(self, message: Message) -> None:
        self._has_answered = True
        if message["type"] != "lifespan.startup.complete":
            self._end()
        elif self._has_loaded:
            try:
                self._unit.set()
            except LivenessError as error:
                message = _failed(error)
        await self._send(message)

    def _end(self) -> None:
        if self._ticker is None:
            return
        self._ticker.cancel()
        self._ticker = None
        _logged(self._unit.end_beat)
        if self._has_loaded:
            _logged(self._unit.reset)


def _logged(verb: Callable[[], None]) -> None:
    try:
        verb()
    except LivenessError as error:
        log.warning("%s", error)


def _failed(error: LivenessError) -> Message:
    return {"type": "lifespan.startup.failed", "message": str(error)}
