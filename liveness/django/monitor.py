"""
A Monitor in the worker: it asks the readiness probes, and health.sh reads what they said.

    from liveness.django import monitor
    monitor.start()

So an exec probe costs an empty shell, and no second Django is started for it.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from pathlib import PurePath
from typing import Any

import django
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured

from .. import monitor, proc, state
from ..checks import run
from ..errors import BadArgument, LivenessError
from ..unit import Unit, descends_from, find, lives

_LINUX = sys.platform == "linux"
_MANAGE = {"manage.py", "django-admin", "django-admin.exe"}

_monitors: dict[tuple[int, str], monitor.Monitor] = {}
# One start() at a time; of this process.
_lock = threading.Lock()


def start(
    interval: float = 10, *, unit: str | bool | Unit | None = None, declare: bool = False, **options: Any
) -> monitor.Monitor | None:
    """
    Asks every readiness probe now, and each ``interval`` seconds from now on in a thread, and says in the unit what it
    found. Who forks does so after it has returned, or has a start() of its own in each child.

    ``unit`` is that of the setting DJK8S_UNIT if None, and the default one if that names none. A unit that nobody holds
    is loaded, and declared healthy when the Monitor has its first word in it, so that it is not ready before it was
    asked; where this process, or one that it descends from, has loaded it, that is left as it is; with ``declare`` it
    is declared healthy then, if nothing was declared yet. ``options`` are those of Monitor. Django is set up if nobody
    has done so. A second call returns the Monitor that runs.

    None, and nothing is started: for a unit that another living process holds, which is logged; and in the ready() of
    an AppConfig for a command of manage.py, such as migrate or probe, which must not speak for the worker. A worker
    that is such a command calls this in its handle().

    Raises ImproperlyConfigured for wrong settings, and LivenessError if the state cannot be written; in the ready() of
    an AppConfig that is logged, and None: any program that sets up Django comes by there.
    """
    if not apps.models_ready:
        # Before the application, as in gunicorn's post_fork.
        django.setup()
    if apps.ready:
        return _start(interval, unit, declare, options)
    if _is_command():
        return None
    try:
        return _start(interval, unit, declare, options)
    except LivenessError as error:
        logging.getLogger("liveness").error("liveness: no monitor is started: %s", error)
        return None


def _start(
    interval: float, unit: str | bool | Unit | None, declare: bool, options: dict[str, Any]
) -> monitor.Monitor | None:
    # Only once Django is set up: these read its settings.
    from . import readiness

    chosen = _unit(unit)
    with _lock:
        key = os.getpid(), chosen.path
        for pid, path in list(_monitors):
            if pid != key[0]:
                # A parent's, of which nothing runs here.
                del _monitors[pid, path]
        known = _monitors.get(key)
        if known is not None and known.is_running:
            return known
        # No one waits for this thread: so it may wait for a probe that was late the last time.
        asked = readiness.configured(timeout_ttl=0)
        made = monitor.Monitor(chosen, asked.checks, interval, **{"deadline": asked.timeout, **options})
        # Once here, and waited for: what the probes import they import now. A pool that forks while a thread imports
        # has children that wait for ever at their own first import of the same.
        run(asked.checks, asked.timeout)
        is_taken, is_new = _take(chosen)
        if not is_taken:
            return None
        _monitors[key] = made.start()
        if is_new or (declare and state.Directory(chosen.path).read("error") is None):
            chosen.set()
        return made


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork_in_child)


def _is_command() -> bool:
    program = PurePath(sys.argv[0]) if sys.argv else PurePath()
    return program.name in _MANAGE or program.parts[-2:] == ("django", "__main__.py")


def _unit(wanted: str | bool | Unit | None) -> Unit:
    from . import conf

    named = conf.settings.DJK8S_UNIT if wanted is None else wanted
    if isinstance(named, Unit):
        return named
    try:
        return find() if named in (None, True, False) else find(str(named))
    except BadArgument as error:
        raise ImproperlyConfigured(f"DJK8S_UNIT: {error}") from error


def _take(unit: Unit) -> tuple[bool, bool]:
    """Whether the unit is held by us or by one that we descend from; and whether it was loaded now, held by nobody."""
    if not _LINUX:
        return True, True
    holder = _holder(unit)
    # Of our own number, and not loaded by us: a life of before, in the same container.
    if holder is None or (holder == os.getpid() and not unit.is_loaded_here):
        unit.load([])
        return True, True
    if holder == os.getpid() or descends_from(proc.myself(), holder):
        return True, False
    logging.getLogger("liveness").warning(
        "liveness: %s: process %d, which lives, holds this unit: no monitor is started here, in process %d (in a pool "
        "the parent loads the unit; another program needs another unit name)",
        unit.path,
        holder,
        os.getpid(),
    )
    return False, False


def _holder(unit: Unit) -> int | None:
    """The living process that has loaded it, if there is one."""
    directory = state.Directory(unit.path)
    try:
        pid, start = (state.lines(directory.read(name) or b"")[0] for name in ("pid", "start"))
    except state.Unreadable:
        # load() says what is wrong there.
        return None
    if not state.is_count(pid, 7):
        return None
    return None if lives(int(pid), start.decode("ascii", "replace")) is False else int(pid)
