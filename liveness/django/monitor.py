"""A Monitor in the worker: it runs the readiness probes, and the exec probe health.sh reads their result."""

import logging
import os
import sys
import threading
import warnings
from contextlib import suppress
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

logger = logging.getLogger("liveness")
# The Monitors that start() has started, by process and directory of the unit.
_monitors: dict[tuple[int, str], monitor.Monitor] = {}
# Held by start(), one in each process: a fork may come while another thread holds it.
_locks: dict[int, threading.Lock] = {}


def start(
    interval: float = 10, *, unit: str | bool | Unit | None = None, declare: bool = False, **options: Any
) -> monitor.Monitor | None:
    """
    Starts a Monitor of the readiness probes, which runs them every ``interval`` seconds in a thread, and returns it.

    The probes also run once before this returns. A program that forks must fork afterwards, or call start() in each
    child. Django is set up if necessary. A second call returns the running Monitor. ``options`` are those of Monitor.

    ``unit`` is the unit that the setting DJK8S_UNIT names if None, else the default unit. A unit that no living process
    holds is loaded, and declared healthy; it is not ready before the Monitor has its first result. A unit that this
    process or an ancestor holds is only declared healthy with ``declare``, and only if ``set`` was not called before.

    Returns None, and starts nothing, if another process holds the unit, which is logged, and in ``AppConfig.ready()``
    of a command of manage.py, which must not report for the worker. A worker that is a command calls this in handle().

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
    # Django advises against queries in AppConfig.ready(). Those of the probes are wanted.
    warnings.filterwarnings("ignore", "Accessing the database during app initialization", RuntimeWarning)
    try:
        return _start(interval, unit, declare, options)
    except LivenessError as error:
        logger.error("liveness: no Monitor was started: %s", error)
        return None


def _is_command() -> bool:
    program = PurePath(sys.argv[0] if sys.argv else "")
    is_manage = program.name in ("manage.py", "django-admin", "django-admin.exe")
    return is_manage or program.parts[-2:] == ("django", "__main__.py")


def _start(
    interval: float, unit: str | bool | Unit | None, declare: bool, options: dict[str, Any]
) -> monitor.Monitor | None:
    # Imported after the set-up of Django, whose settings it reads.
    from . import readiness

    chosen = _unit(unit)
    with _locks.setdefault(os.getpid(), threading.Lock()):
        # Those of a parent, inherited through fork, do not run here.
        known = _monitors.get((os.getpid(), chosen.path))
        if known is not None and known.is_running:
            return known
        # timeout_ttl=0: nobody waits for the Monitor, so it may wait for a probe that timed out the last time.
        asked = readiness.configured(timeout_ttl=0)
        made = monitor.Monitor(asked.checks, interval, **{"unit": chosen, "deadline": asked.timeout, **options})
        # So that the imports of the probes are done now: if a pool forks while a thread imports a module, its children
        # wait for ever when they import that module.
        run(asked.checks, asked.timeout)
        was_loaded = _load_if_free(chosen)
        if was_loaded is None:
            return None
        _monitors[os.getpid(), chosen.path] = made.start()
        # An error file that cannot be read may contain an alarm.
        with suppress(Unreadable):
            if was_loaded or (declare and chosen.life.directory.read("error") is None):
                chosen.set()
        return made


def _unit(wanted: str | bool | Unit | None) -> Unit:
    from . import conf

    named = conf.settings.DJK8S_UNIT if wanted is None else wanted
    if isinstance(named, Unit):
        return named
    try:
        return find() if named in (None, True, False) else find(str(named))
    except BadArgument as error:
        raise ImproperlyConfigured(f"DJK8S_UNIT: {error}") from error


def _load_if_free(unit: Unit) -> bool | None:
    """
    Whether the unit was loaded, since no living process held it. None if a process without a part in this one holds it.

    Raises LivenessError if the holder cannot be determined: it is perhaps alive, and must not be replaced.
    """
    try:
        holder = find_holder(unit.life.directory) if proc.LINUX else None
        if holder is None:
            unit.load()
            return True
        if holder == os.getpid() or proc.descends_from(proc.myself(), holder):
            return False
    except (OSError, Unreadable) as error:
        raise LivenessError(f"{unit.path}: cannot tell which process holds this unit: {why(error)}") from error
    text = "liveness: %s: process %d, which is alive, holds this unit: no Monitor was started in process %d (%s)"
    hint = "in a pool the parent loads the unit; another program needs another unit name"
    logger.warning(text, unit.path, holder, os.getpid(), hint)
    return None
