"""
Tell Kubernetes that this process is alive.

    liveness.load(["app.checks"])   # run each module's health(), then write the pid
    liveness.set()                  # healthy from here on; set(7, "queue lost") when not
    liveness.beat(ttl=30)           # in the loop that does the work
    liveness.reset()                # on the way out

health.sh, an exec probe that starts no process, reads what these write. Each function calls the method of the same name
of the default ``Unit``, which is determined at the first use and again at ``load``; ``unitname`` and ``rundir`` name
another one. See ``Unit`` for behaviour, arguments and errors.
"""

from __future__ import annotations

import os

from .errors import BadArgument, CheckFailed, LivenessError, TakenOver
from .unit import Deadline, Heartbeat, Running, Unit, find

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    Path = str | os.PathLike[str]
    Check = Callable[[], object] | str

# Not set: `from liveness import *` would replace the builtin.
__all__ = [
    "BadArgument",
    "CheckFailed",
    "LivenessError",
    "TakenOver",
    "Unit",
    "beat",
    "deadline",
    "drain",
    "end_beat",
    "expect",
    "heartbeat",
    "load",
    "reset",
    "running",
    "set_ready",
]

__version__ = "0.2.0"


def load(
    checks: Iterable[Check] = (),
    *args: object,
    unitname: str | None = None,
    rundir: Path | None = None,
    **kwargs: object,
) -> None:
    """Begins a life of the unit: runs the checks, writes the pid. Every other argument goes to each ``health()``."""
    find(unitname, rundir, is_new=True).load(checks, *args, **kwargs)


def set(error_code: int = 0, reason: object = "", *, unitname: str | None = None, rundir: Path | None = None) -> None:
    """Declares the process healthy, or with a code other than 0 unhealthy."""
    find(unitname, rundir).set(error_code, reason)


def set_ready(
    ready: bool = True, reason: object = "", *, unitname: str | None = None, rundir: Path | None = None
) -> None:
    """Declares the process ready for work, or not ready."""
    find(unitname, rundir).set_ready(ready, reason)


def beat(
    ttl: int,
    name: str | None = None,
    *,
    error: int = 0,
    reason: str = "",
    traceback: bool = False,
    unitname: str | None = None,
    rundir: Path | None = None,
) -> None:
    """Reports that the calling loop runs, and will call again within ``ttl`` seconds."""
    find(unitname, rundir).heartbeats.beat(ttl, name, error, reason, traceback)


def end_beat(name: str | None = None, *, unitname: str | None = None, rundir: Path | None = None) -> None:
    """Removes a heartbeat: its loop has ended."""
    find(unitname, rundir).end_beat(name)


def heartbeat(
    ttl: int, name: str | None = None, *, unitname: str | None = None, rundir: Path | None = None, **options: Any
) -> Heartbeat:
    """A context manager that beats at once, and yields a function to call in the loop. ``options`` go to ``beat``."""
    return find(unitname, rundir).heartbeat(ttl, name, **options)


def deadline(
    seconds: int, name: str | None = None, *, unitname: str | None = None, rundir: Path | None = None
) -> Deadline:
    """A context manager for a job that must end within ``seconds``."""
    return find(unitname, rundir).deadline(seconds, name)


def expect(role: str, count: int, within: int = 60, *, unitname: str | None = None, rundir: Path | None = None) -> None:
    """Demands ``count`` fresh heartbeats of a role, after ``within`` seconds from now."""
    find(unitname, rundir).expect(role, count, within)


def drain(number: int, seconds: float, *, unitname: str | None = None, rundir: Path | None = None) -> None:
    """
    Delays the application's own stop: from a signal on not ready, and after ``seconds`` what the signal did before.

    Call it in the main thread, after the application has set its handler of signal ``number``, and after ``load``. A
    second signal stops at once. ``seconds`` is 0 to 86400; BadArgument is raised otherwise.
    """
    from .draining import install

    install(find(unitname, rundir), number, seconds)


def reset(*, unitname: str | None = None, rundir: Path | None = None) -> None:
    """Ends the life: removes its state."""
    find(unitname, rundir).reset()


def running(
    checks: Iterable[Check] = (),
    *args: object,
    ready: bool = True,
    ttl: int | None = None,
    unitname: str | None = None,
    rundir: Path | None = None,
    **kwargs: object,
) -> Running:
    """A context manager for a whole life: load, set; then reset."""
    return find(unitname, rundir, is_new=True).running(checks, *args, ready=ready, ttl=ttl, **kwargs)
