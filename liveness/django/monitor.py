"""
A Monitor in the worker: it runs the readiness probes, and health.sh reads their result.

    from liveness.django import monitor
    monitor.start()

So an exec probe costs one empty shell, and does not start a second Django.
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

from .. import monitor, proc
from ..checks import run
from ..directory import Unreadable, why
from ..errors import BadArgument, LivenessError
from ..holder import find_holder
from ..unit import Unit, find

_MANAGE = {"manage.py", "django-admin", "django-admin.exe"}

# What this process is to a unit: it has just loaded it, it holds it or descends from its holder, or neither.
_NEW_HOLDER, _MEMBER, _STRANGER = "new holder", "member", "stranger"

# The Monitors that start() has started, by process and directory of the unit.
_monitors: dict[tuple[int, str], monitor.Monitor] = {}
# Held by start().
_lock = threading.Lock()


def start(
    interval: float = 10, *, unit: str | bool | Unit | None = None, declare: bool = False, **options: Any
) -> monitor.Monitor | None:
    """
    Starts a Monitor of the readiness probes, which runs them every ``interval`` seconds in a thread, and returns it.

    The probes also run once before this returns. A program that forks must fork afterwards, or call start() in each
    child. Django is set up if necessary. A second call returns the running Monitor. ``options`` are those of Monitor.

    ``unit`` is the unit that the setting DJK8S_UNIT names if None, else the default unit. A unit that no living process
    holds is loaded, and declared healthy; it is not ready before the Monitor has its first result. A unit that this
    process or an ancestor holds is left as it is. With ``declare`` it is also declared healthy, unless ``set`` was
    called before.

    Returns None, and starts nothing, if another process holds the unit, which is logged. Also in ``AppConfig.ready()``
    for a command of manage.py, such as migrate or probe, which must not report for the worker. If the worker itself is
    such a command, call this in its handle().

    Raises ImproperlyConfigured for wrong settings, and LivenessError if the state cannot be read or written. In
    ``AppConfig.ready()``, which runs in every program that sets up Django, a LivenessError is logged instead.
    """
    if not apps.models_ready:
        # Called before the application was imported, for example in post_fork of gunicorn.
        django.setup()
    if apps.ready:
        return _start(interval, unit, declare, options)
    if _is_command():
        return None
    try:
        return _start(interval, unit, declare, options)
    except LivenessError as error:
        logging.getLogger("liveness").error("liveness: no Monitor was started: %s", error)
        return None


def _start(
    interval: float, unit: str | bool | Unit | None, declare: bool, options: dict[str, Any]
) -> monitor.Monitor | None:
    # Imported after the set-up of Django, whose settings it reads.
    from . import readiness

    chosen = _unit(unit)
    with _lock:
        key = os.getpid(), chosen.path
        for pid, path in list(_monitors):
            if pid != key[0]:
                # Inherited through fork: it does not run here.
                del _monitors[pid, path]
        known = _monitors.get(key)
        if known is not None and known.is_running:
            return known
        # timeout_ttl=0: nobody waits for the Monitor, so it may wait for a probe that timed out the last time.
        asked = readiness.configured(timeout_ttl=0)
        made = monitor.Monitor(asked.checks, interval, **{"unit": chosen, "deadline": asked.timeout, **options})
        # So that the imports of the probes are done now: if a pool forks while a thread imports a module, its children
        # wait for ever when they import that module.
        run(asked.checks, asked.timeout)
        role = _take(chosen)
        if role == _STRANGER:
            return None
        _monitors[key] = made.start()
        if role == _NEW_HOLDER or (declare and not _is_declared(chosen)):
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


def _take(unit: Unit) -> str:
    """
    Loads the unit if no living process holds it. Returns what this process is to the unit then.

    Raises LivenessError if the holder cannot be determined: it is perhaps alive, and must not be replaced.
    """
    if not proc.LINUX:
        unit.load()
        return _NEW_HOLDER
    try:
        holder = find_holder(unit.life.directory)
        if holder is None:
            unit.load()
            return _NEW_HOLDER
        if holder == os.getpid() or proc.descends_from(proc.myself(), holder):
            return _MEMBER
    except (OSError, Unreadable) as error:
        raise LivenessError(f"{unit.path}: cannot tell which process holds this unit: {why(error)}") from error
    logging.getLogger("liveness").warning(
        "liveness: %s: process %d, which is alive, holds this unit: no Monitor was started in process %d (in a pool "
        "the parent loads the unit; another program needs another unit name)",
        unit.path,
        holder,
        os.getpid(),
    )
    return _STRANGER


def _is_declared(unit: Unit) -> bool:
    try:
        return unit.life.directory.read("error") is not None
    except Unreadable:
        return True
