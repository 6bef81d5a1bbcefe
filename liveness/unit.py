"""The verbs: what a process reports about itself."""

from __future__ import annotations

import os
import sys

from . import log, names, proc
from .formats import LARGEST_TTL, whole_within

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType
    from typing import Any

    from .jobs import Jobs

    Check = Callable[[], object] | str
    Kind = type[BaseException] | None
    Trace = TracebackType | None

# Every unit that the functions of the package have used, by its directory; and the default one.
_units: dict[str, Unit] = {}
_default: Unit | None = None
_has_warned = False


class Unit:
    """
    A process, or a group of processes, with one verdict. Its methods are the verbs.

    ``unitname`` is the argument, else ``$LIVENESS_UNIT_NAME``, else the kernel's hostname. ``rundir``, the directory of
    all units, is the argument, else ``$LIVENESS_RUNDIR``, else ``/run``. Raises BadArgument for invalid names.

    A verb raises LivenessError if it cannot do its work. Off Linux (on a developer's laptop) ``load`` runs its checks,
    and no verb does anything else.
    """

    def __init__(self, unitname: str | None = None, rundir: str | os.PathLike[str] | None = None) -> None:
        self.rundir: str = names.find_rundir(rundir)
        self.unitname: str = names.find_unitname(unitname) if proc.LINUX or unitname else "localhost"
        #: The state directory.
        self.path: str = f"{self.rundir}/{self.unitname}"
        # Imported with the first Unit, so that `import liveness` alone costs little.
        from . import declarations, directory, heartbeats, jobs, leases, life

        self.life = life.Life(directory.Directory(self.path))
        self.leases = leases.Leases(self.life)
        self.heartbeats = heartbeats.Heartbeats(self.leases)
        self._jobs = jobs.Jobs(self.leases)
        self._declarations = declarations.Declarations(self.life)

    def __repr__(self) -> str:
        return f"Unit({self.unitname!r}, rundir={self.rundir!r})"

    def load(self, checks: Iterable[Check] = (), *args: object, **kwargs: object) -> None:
        """
        Begins a life: removes the state of an earlier one, runs the checks, then writes ``start`` and ``pid``.

        A check is the name of a module, whose ``health(*args, **kwargs)`` is called, or a callable without arguments.
        A result equal to False (0 is, None is not), or a coroutine, raises CheckFailed; exceptions of a check pass
        through. Nothing is loaded then. The unit is not healthy before ``set()``.

        Call it in the process to be probed, after a fork into the background and after privileges were dropped. It is
        an error if an ancestor holds the unit (a worker beats, it does not load) or if a Monitor runs in this process.
        Another living process is replaced, which is logged. Of two that load at one moment, one raises TakenOver.
        """
        run = _prepared(checks, args, kwargs)
        if _is_off_linux():
            run()
            return
        self.life.clear()
        self.heartbeats.forget()
        run()
        self.life.begin()

    def set(self, error_code: int = 0, reason: object = "") -> None:
        """
        Declares the process healthy, or with a code from 1 to 99999999999999999999 unhealthy.

        The probe shows ``reason``, of which 200 bytes of printable ASCII are kept. Any thread, child process or signal
        handler may call this. If an alarm cannot be written, ``error`` is removed or ``pid`` emptied instead, and
        LivenessError is raised. An invalid code is declared as error 1 and raises BadArgument. A life that was reset or
        replaced raises TakenOver.
        """
        if not _is_off_linux():
            self._declarations.set(error_code, reason)

    def set_ready(self, ready: bool = True, reason: object = "") -> None:
        """
        Declares the process ready for work, or not ready; it stays alive. A process that never calls this is ready.

        Reason and errors are those of ``set``. A value that is not a bool is declared as not ready, and raises
        BadArgument.
        """
        if not _is_off_linux():
            self._declarations.set_ready(ready, reason)

    def beat(
        self, ttl: int, name: str | None = None, *, error: int = 0, reason: str = "", traceback: bool = False
    ) -> None:
        """
        Reports that the calling loop runs, and will call again within ``ttl`` whole seconds (1 to 999,999,999).

        Call it in the loop that does the work, and for the first time before ``set()``. ``ttl`` must be more than the
        longest time between two calls: with one call a turn, the longest wait plus the longest piece of work. A hang is
        found ttl to ttl + 1 seconds after the last call. The file is written when the second has moved or an argument
        has changed.

        ``name`` is ``main`` by default in the process that loaded, and ``worker.<pid>`` in any other. Each loop needs a
        name of its own. In ``role.instance``, divided by the last dot, a heartbeat whose process has ended is passed
        over while another of the role is fresh. ``error`` (a code as in ``set``) and ``reason`` (160 bytes are kept)
        make the verdict unhealthy until the next call without them. With ``traceback``, in every call, a process that
        hangs prints the stacks of all threads to stderr after ttl + 1 seconds; one heartbeat of a process can have it.

        The first call with a name raises LivenessError if it cannot write; later ones raise only BadArgument, and the
        heartbeat goes stale, which is logged once. A process that neither loaded the unit nor descends from the one
        that did writes nothing, which is logged once.
        """
        self.heartbeats.beat(ttl, name, error, reason, traceback)

    def end_beat(self, name: str | None = None) -> None:
        """
        Removes a heartbeat, which need not exist: its loop has ended.

        Raises LivenessError while another living thread or process renews it.
        """
        if not _is_off_linux():
            self.heartbeats.end_beat(name)

    def heartbeat(self, ttl: int, name: str | None = None, **options: Any) -> Heartbeat:
        """
        A context manager that beats at once, and yields a function without arguments to call in the loop.

        The heartbeat is removed at a clean exit and when an asyncio task is cancelled; after any other exception it
        goes stale. ``options`` are error, reason and traceback of ``beat``.
        """
        return Heartbeat(self, ttl, name, options)

    def deadline(self, seconds: int, name: str | None = None) -> Deadline:
        """
        A context manager for a job that must end within whole ``seconds``; else the verdict is unhealthy.

        The job is forgotten at the end of the block, however it ends, and when its process dies. ``name`` is the pid
        and a number by default; while another job has the name, they are added to it.
        """
        return Deadline(self._jobs, seconds, name)

    def expect(self, role: str, count: int, within: int = 60) -> None:
        """
        Demands ``count`` fresh heartbeats ``role.<instance>`` of living processes, from ``within`` seconds on.

        A call that changes nothing does not start the ``within`` seconds again. A count of 0 ends the expectation, and
        so does the death of this process.
        """
        if not _is_off_linux():
            self._jobs.expect(role, count, within)

    def reset(self) -> None:
        """
        Ends the life: removes its state, but not the directory. It is not an error if no state exists.

        A child that shares the life ends it for all, which is logged. The state of another life is left alone. If
        something cannot be removed, the rest is, and LivenessError is raised.
        """
        if not _is_off_linux():
            self.life.end()
            self.heartbeats.forget()

    def running(
        self, checks: Iterable[Check] = (), *args: object, ready: bool = True, ttl: int | None = None, **kwargs: object
    ) -> Running:
        """
        A context manager for a whole life, which yields the unit: load, first beat if ``ttl``, set; at the end reset.

        With ``ready=False`` it is declared not ready before ``set``. A forked child may leave the block unnoticed.
        """
        return Running(self, ready, ttl, lambda: self.load(checks, *args, **kwargs))


class Heartbeat:
    """What ``heartbeat`` returns: a context manager for one loop."""

    def __init__(self, unit: Unit, ttl: int, name: str | None, options: dict[str, Any]) -> None:
        self._beat: Callable[[], None] = lambda: unit.beat(ttl, name, **options)
        self._end: Callable[[], None] = lambda: unit.end_beat(name)
        self._forks = proc.forks

    def __call__(self) -> None:
        """Beats."""
        self._beat()

    def __enter__(self) -> Heartbeat:
        self._forks = proc.forks
        self()
        return self

    def __exit__(self, kind: Kind, error: BaseException | None, trace: Trace) -> None:
        # A forked child that leaves the block never entered it.
        if self._forks == proc.forks and (kind is None or _is_cancellation(kind)):
            self._end()


class Deadline:
    """What ``deadline`` returns: a context manager for one job."""

    def __init__(self, jobs: Jobs, seconds: int, name: str | None) -> None:
        self._jobs = jobs
        self._seconds = whole_within("seconds", seconds, 1, LARGEST_TTL, "whole seconds")
        if name is not None:
            names.check_lease_name("name", name)
        self._name = name
        self._files: list[str] = []
        self._forks = proc.forks

    def __enter__(self) -> None:
        self._forks = proc.forks
        if not _is_off_linux():
            self._files.append(self._jobs.start(self._seconds, self._name))

    def __exit__(self, kind: Kind, error: BaseException | None, trace: Trace) -> None:
        if self._forks == proc.forks and self._files:
            self._jobs.end(self._files.pop())


class Running:
    """What ``running`` returns: a context manager for one life."""

    def __init__(self, unit: Unit, ready: bool, ttl: int | None, load: Callable[[], None]) -> None:
        self._unit = unit
        self._ready = ready
        self._ttl = ttl
        self._load = load
        self._pid = 0

    def __enter__(self) -> Unit:
        self._load()
        self._pid = os.getpid()
        try:
            if not self._ready:
                self._unit.set_ready(False)
            if self._ttl is not None:
                self._unit.beat(self._ttl)
            self._unit.set()
        except BaseException:
            self._unit.reset()
            raise
        return self._unit

    def __exit__(self, kind: Kind, error: BaseException | None, trace: Trace) -> None:
        if self._pid == os.getpid():
            self._unit.reset()


def find(unitname: str | None = None, rundir: str | os.PathLike[str] | None = None, is_new: bool = False) -> Unit:
    """
    The one Unit of this process for these names, since a Unit remembers its life; without names the default one.

    The default one is determined at the first use, and again with ``is_new``. Raises BadArgument for invalid names.
    """
    global _default
    is_default = unitname is None and rundir is None
    if is_default and _default is not None and not is_new:
        return _default
    unit = Unit(unitname, rundir)
    unit = _units.setdefault(unit.path, unit)
    if is_default:
        _default = unit
    return unit


def _prepared(checks: Iterable[Check], args: tuple[object, ...], kwargs: dict[str, object]) -> Callable[[], None]:
    # Without checks their module need not be imported.
    if checks == () or checks == []:
        return lambda: None
    from .checks import listed, require

    found = listed(checks)
    return lambda: require(found, args, kwargs)


def _is_cancellation(kind: type[BaseException]) -> bool:
    asyncio = sys.modules.get("asyncio")
    return issubclass(kind, GeneratorExit) or (asyncio is not None and issubclass(kind, asyncio.CancelledError))


def _is_off_linux() -> bool:
    global _has_warned
    if not proc.LINUX and not _has_warned:
        _has_warned = True
        log.warning("does nothing here but the checks of load(): %s has no /proc to probe", sys.platform)
    return not proc.LINUX
