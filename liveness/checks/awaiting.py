"""The results of async checks: in an event loop of the check's own thread, or in the application's."""

from __future__ import annotations

from ..errors import LivenessError
from .arguments import health_of, text_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable

# Seconds between two looks at whether the application's event loop still runs.
_LOOK = 1.0


def value_of(call: Callable[[], object] | str, timeout: float, loop: asyncio.AbstractEventLoop | None) -> object:
    """
    What a callable, or the ``health`` of a module, returns, awaited if need be: in ``loop``, or in one of its own.

    Raises whatever the check raises, and the errors of ``await_within`` and ``await_in``.
    """
    value = (health_of(call) if isinstance(call, str) else call)()
    if not hasattr(value, "__await__"):
        return value
    return await_within(value, timeout) if loop is None else await_in(loop, value, timeout)


def await_within(awaitable: Awaitable[object], timeout: float) -> object:
    """
    The result of the awaitable, which runs in an event loop of its own in this thread.

    Raises TimeoutError if it takes longer than ``timeout`` seconds, and every exception of the awaitable.
    """
    import asyncio

    return _unpack(asyncio.run(_ended_within(awaitable, timeout)))


def await_in(loop: asyncio.AbstractEventLoop, awaitable: Awaitable[object], timeout: float) -> object:
    """
    The result of the awaitable, which runs in ``loop``, the event loop of another thread.

    Returns only when nothing of the awaitable runs in the loop any more. Raises LivenessError if the loop does not run,
    and the exceptions of ``await_within``.
    """
    import asyncio
    from concurrent.futures import TimeoutError as NotDone

    if not loop.is_running():
        if hasattr(awaitable, "close"):
            # Otherwise Python warns that it was never awaited.
            awaitable.close()
        raise LivenessError("its event loop does not run")
    future = asyncio.run_coroutine_threadsafe(_ended_within(awaitable, timeout), loop)
    while True:
        try:
            return _unpack(future.result(_LOOK))
        except NotDone:
            # An exception of the awaitable may have this type.
            if future.done():
                raise
            if not loop.is_running():
                raise LivenessError("its event loop has stopped") from None


async def _ended_within(awaitable: Awaitable[object], timeout: float) -> tuple[object, BaseException | None]:
    import asyncio

    try:
        return await asyncio.wait_for(_await_all(awaitable), timeout), None
    except BaseException as error:
        return None, error


async def _await_all(awaitable: Awaitable[object]) -> object:
    try:
        return await awaitable
    except (SystemExit, KeyboardInterrupt) as error:
        # Otherwise the event loop would stop at once, and print a traceback.
        raise RuntimeError(text_of(error)) from error


def _unpack(ended: tuple[object, BaseException | None]) -> object:
    result, error = ended
    if error is not None:
        raise error
    return result
