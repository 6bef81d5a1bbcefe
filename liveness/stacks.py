"""
Print every thread's stack when a process hangs.

CPython has one timer for this, faulthandler.dump_traceback_later, run by a thread of its own that needs no interpreter
lock. It does not survive a fork: a child that inherits an armed one waits for ever when it disarms it or exits. So the
timer is stopped around every fork.
"""

from __future__ import annotations

import os
import sys
import time
from _thread import get_ident

from .errors import BadArgument

# Whose timer it is, (unit directory, heartbeat), and when it goes off, on time.monotonic().
_owner: tuple[str, str] | None = None
_expiry = 0.0
# We have armed the timer in this process: it is ours to stop.
_ever = False
# The threads that are forking, and those that are just arming; see _before_fork.
_forking: set[int] = set()
_arming: set[int] = set()


def claim(owner: tuple[str, str]) -> None:
    """Takes the process's one timer for a heartbeat. Raises BadArgument if another one has it."""
    global _owner
    if _owner is not None and _owner != owner:
        raise BadArgument(
            f"traceback: {owner[1]!r}: heartbeat {_owner[1]!r} has it already, and a process has only one such timer "
            f"(leave traceback out here, or end_beat({_owner[1]!r}) first)"
        )
    _owner = owner


def arm(owner: tuple[str, str], seconds: float) -> None:
    """Prints the stacks to stderr unless called again within that time. Does nothing where there is no stderr."""
    global _expiry
    if _owner == owner:
        _expiry = time.monotonic() + seconds
        _start(seconds)
    if _owner != owner:
        # A signal handler disarmed it while we armed.
        _stop()


def disarm(owner: tuple[str, str]) -> None:
    """Stops the timer if it is that heartbeat's, and lets another one have it."""
    global _owner, _expiry
    if _owner == owner:
        _owner = None
        _expiry = 0.0
        _stop()


def _start(seconds: float) -> None:
    global _ever
    import faulthandler

    me = get_ident()
    # A signal handler that arms has interrupted its own thread, which is not done yet.
    is_nested = me in _arming
    _arming.add(me)
    try:
        if not _forking:
            _ever = True
            faulthandler.dump_traceback_later(max(seconds, 0.001), file=_stderr())
    except (OSError, ValueError, RuntimeError, AttributeError):
        # No stderr, or none with a file behind it: nothing to print to.
        pass
    finally:
        if not is_nested:
            _arming.discard(me)


def _stop() -> None:
    # Somebody else's timer is not ours to stop.
    if _ever:
        sys.modules["faulthandler"].cancel_dump_traceback_later()


def _stderr() -> int:
    # The number, not the file, which would be flushed, and wait for whoever reads the log.
    try:
        return sys.stderr.fileno()
    except (OSError, ValueError, AttributeError):
        # Replaced by something in memory: the log of the container is still there.
        os.fstat(2)
        return 2


def _before_fork() -> None:
    _forking.add(get_ident())
    # A thread that had seen no fork may still be arming. Waiting for itself, in a signal handler that forks, would
    # be for ever: then the arming goes on after the fork, in a process that has no timer.
    deadline = time.monotonic() + 10
    while _arming - {get_ident()} and time.monotonic() < deadline:
        time.sleep(0.0001)
    _stop()


def _after_fork_in_parent() -> None:
    _forking.discard(get_ident())
    # Another thread that forks will do it; until then no timer may be there for its child to inherit.
    if _owner is not None and _expiry and not _forking:
        _start(_expiry - time.monotonic())


def _after_fork_in_child() -> None:
    global _owner, _expiry, _ever
    _forking.clear()
    _arming.clear()
    _ever = False
    _owner = None
    _expiry = 0.0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
