"""
Hooks for gunicorn: the master loads the unit, and each worker beats from its own loop.

    from liveness.gunicorn import *  # in gunicorn.conf.py

The verdict is unhealthy if the master is gone, if a worker hangs and gunicorn does not replace it, or if for
``boot_time`` seconds fewer workers run than configured. A configuration with hooks of its own calls these from them.
"""

from __future__ import annotations

import os
from contextlib import suppress
from functools import wraps

from . import log
from .directory import Unreadable
from .errors import BadArgument, LivenessError, TakenOver
from .formats import LARGEST_TTL, whole_within
from .holder import find_holder
from .unit import Unit, find

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from gunicorn.arbiter import Arbiter
    from gunicorn.config import Config
    from gunicorn.workers.base import Worker

__all__ = ["child_exit", "nworkers_changed", "on_exit", "on_reload", "post_fork", "when_ready"]

#: How long, in whole seconds, fewer workers than configured may run. It must be more than the time in which all of
#: them start.
boot_time = 120
#: The ttl of a worker's heartbeat in whole seconds. None: the longer one of gunicorn's ``timeout`` and
#: ``graceful_timeout``, plus MARGIN; with a ``timeout`` of 0, as long as there is, since a request may then take for
#: ever.
ttl: int | None = None
#: gunicorn looks for hung workers once a second, asks them to abort, and kills them a second later.
MARGIN = 15

_ROLE = "worker"


def when_ready(server: Arbiter) -> None:
    """
    Loads the unit in the master, and expects its workers. The first of them declares the unit healthy.

    Raises LivenessError, with which gunicorn ends: if the unit cannot be loaded, if the workers would run as another
    user, who may not write the state, or for wrong settings.
    """
    _check_settings(server.cfg)
    unit = find(is_new=True)
    if not server.master_pid:
        _begin(unit, server)
        return
    # After SIGUSR2: the old master, our parent, holds the unit. It stands back, and its workers do not beat any more.
    unit.reset()
    _begin(unit, server)
    unit.set()


def post_fork(server: Arbiter, worker: Worker) -> None:
    """Lets a worker beat whenever it notifies gunicorn's master, for the first time when its loop has started."""
    unit, seconds, notify = find(), _ttl(server.cfg), worker.notify
    name, is_up = f"{_ROLE}.{worker.pid}", False

    def notify_and_beat() -> None:
        nonlocal is_up
        notify()
        unit.beat(seconds, name)
        if not is_up:
            is_up = True
            _declare_healthy(unit)

    worker.notify = notify_and_beat


def _logged(hook: Callable[..., None]) -> Callable[..., None]:
    """The hook, but what it raises is logged: an exception would end gunicorn's master, and so the server."""

    # gunicorn counts the parameters of a hook.
    @wraps(hook)
    def logged(*arguments: object) -> None:
        try:
            hook(*arguments)
        except (LivenessError, Unreadable, OSError) as error:
            log.warning("%s", error)

    return logged


@_logged
def child_exit(server: Arbiter, worker: Worker) -> None:
    """Removes the heartbeat of a worker that has ended, and gives its successor time to start."""
    unit = find()
    up = [name for name in unit.life.directory.names("beat") if name.startswith(f"{_ROLE}.")]
    unit.end_beat(f"{_ROLE}.{worker.pid}")
    # Only if all ran until now: workers that end while they start, again and again, must not renew the time.
    if len(up) >= server.num_workers:
        # An expectation that does not change is not written again, so it is removed first.
        unit.expect(_ROLE, 0)
        unit.expect(_ROLE, server.num_workers, boot_time)


@_logged
def nworkers_changed(server: Arbiter, new: int, old: int | None) -> None:
    """Expects another number of workers, after SIGTTIN, SIGTTOU or a reload."""
    if old is not None and new != old:
        find().expect(_ROLE, new, boot_time)


@_logged
def on_reload(server: Arbiter) -> None:
    """Loads the unit again if another master took over after SIGUSR2, and has ended."""
    unit = find()
    if find_holder(unit.life.directory) is None:
        _begin(unit, server)
        unit.set()


@_logged
def on_exit(server: Arbiter) -> None:
    """Ends the life of the unit."""
    find().reset()


def _begin(unit: Unit, server: Arbiter) -> None:
    unit.load()
    unit.expect(_ROLE, server.num_workers, boot_time)


def _declare_healthy(unit: Unit) -> None:
    # Only where nobody has declared anything: an alarm of the application is not taken back.
    with suppress(TakenOver, Unreadable):
        if unit.life.directory.read("error") is None:
            unit.set()


def _ttl(cfg: Config) -> int:
    if ttl is not None:
        return ttl
    return max(cfg.timeout, cfg.graceful_timeout) + MARGIN if cfg.timeout else LARGEST_TTL


def _check_settings(cfg: Config) -> None:
    whole_within("liveness.gunicorn.boot_time", boot_time, 1, LARGEST_TTL, "whole seconds")
    if ttl is not None and whole_within("liveness.gunicorn.ttl", ttl, 1, LARGEST_TTL, "whole seconds") <= cfg.timeout:
        raise BadArgument(
            f"liveness.gunicorn.ttl: {ttl}: must be more than gunicorn's timeout, {cfg.timeout} s: gunicorn replaces a "
            f"hung worker then, and an idle one may notify only every {cfg.timeout / 2:g} s"
        )
    if cfg.uid != os.geteuid():
        raise LivenessError(
            f"user: gunicorn's master runs as user {os.geteuid()} and its workers would run as user {cfg.uid}, who may "
            f"not write the state (leave out user, and start gunicorn as that user, for example with runAsUser in the "
            f"securityContext)"
        )
