"""
Tell Kubernetes that this process is alive.

    liveness.load(["app.checks"])   # run each module's health(), then write the pid
    liveness.set()                  # healthy from here on; set(7, "queue lost") when not
    liveness.beat(ttl=30)           # in the loop that does the work
    liveness.reset()                # on the way out

health.sh, an exec probe that starts no process, reads what these write. Each function here is the verb of the same name
of ``Unit`` on the default unit, which is found at first use and again at ``load``; ``unitname`` and ``rundir`` name
another. What the verbs do, take and raise is told at ``Unit``.
"""

from __future__ import annotations

import os

from .errors import BadArgument, CheckFailed, LivenessError, TakenOver
from .unit import Heartbeat, Running, Unit, find

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    Path = str | os.PathLike[str]

__all__ = [
    "BadArgument",
    "CheckFailed",
    "LivenessError",
    "TakenOver",
    "Unit",
    "beat",
    "end_beat",
    "heartbeat",
    "load",
    "reset",
    "running",
    "set",
    "set_ready",
]


def load(
    checks: Iterable[str], *args: object, unitname: str | None = None, rundir: Path | None = None, **kwargs: object
) -> None:
    """Begins a life of the unit: runs the checks, writes the pid. Every other argument goes to each ``health()``."""
    find(unitname, rundir, anew=True).load(checks, *args, **kwargs)


def set(error_code: int = 0, reason: object = "", *, unitname: str | None = None, rundir: Path | None = None) -> None:
    """Declares the process healthy, or with another code than 0 not."""
    find(unitname, rundir).set(error_code, reason)


def set_ready(
    ready: bool = True, reason: object = "", *, unitname: str | None = None, rundir: Path | None = None
) -> None:
    """Declares the process ready for work, or not."""
    find(unitname, rundir).set_ready(ready, reason)


def beat(
    ttl: int,
    name: str | None = None,
    traceback: bool = False,
    *,
    unitname: str | None = None,
    rundir: Path | None = None,
) -> None:
    """Tells that the loop which calls this is moving, and will call again within ``ttl`` seconds."""
    find(unitname, rundir).beat(ttl, name, traceback)


def end_beat(name: str | None = None, *, unitname: str | None = None, rundir: Path | None = None) -> None:
    """Removes a heartbeat: its loop has ended on purpose."""
    find(unitname, rundir).end_beat(name)


def heartbeat(
    ttl: int,
    name: str | None = None,
    traceback: bool = False,
    *,
    unitname: str | None = None,
    rundir: Path | None = None,
) -> Heartbeat:
    """A context manager that beats at once and yields a function to call in the loop."""
    return find(unitname, rundir).heartbeat(ttl, name, traceback)


def reset(*, unitname: str | None = None, rundir: Path | None = None) -> None:
    """Ends the life: removes its state."""
    find(unitname, rundir).reset()


def running(
    checks: Iterable[str],
    *args: object,
    ready: bool = True,
    ttl: int | None = None,
    unitname: str | None = None,
    rundir: Path | None = None,
    **kwargs: object,
) -> Running:
    """A context manager for a whole life: load, set; then reset."""
    return find(unitname, rundir, anew=True).running(checks, *args, ready=ready, ttl=ttl, **kwargs)
