"""Membership: whether what this process writes belongs to the life on the disk."""

from __future__ import annotations

import os

from . import log, proc
from .directory import Directory, Unreadable
from .errors import LivenessError
from .holder import OURS, OVER, UNKNOWN, Held, read_holder

# The directories that this process has loaded, for a hint in messages.
loaded: dict[str, None] = {}


class Membership:
    """What one process knows of a unit's life, and whether it may write to it."""

    __slots__ = ("directory", "held", "joined", "pending", "refusal", "written")

    def __init__(self, directory: Directory) -> None:
        self.directory = directory
        #: The life that this process has loaded, or inherited through fork.
        self.held: Held | None = None
        #: In a process that did not load: the life on the disk in which it may write leases.
        self.joined: tuple[int, str] | None = None
        #: The pid of the process whose last load() has not led to a life: it is at its checks, was refused, or failed.
        #: A child inherits the variable, and has another pid.
        self.pending = 0
        #: The files that this process has written since its load() began: not the remains of another life.
        self.written: set[str] = set()
        #: Why this process was last refused; logged once.
        self.refusal = ""

    def standing(self) -> str:
        """Whether what this process declares belongs to the life on the disk: OURS, OVER or UNKNOWN."""
        held = self.held
        if self.pending and self.pending == os.getpid() and (held is None or held.pid != self.pending):
            return self._standing_without_life()
        # A process that never loaded may declare for whichever life there is, as an operator does.
        return OURS if held is None else held.standing(self.directory)

    def _standing_without_life(self) -> str:
        # Whoever is still at its checks, was refused or failed them writes only where nobody else has loaded: on its
        # way out it must not end the life of the process that refused it.
        try:
            holder = read_holder(self.directory)
            if holder is None or holder[0] == os.getpid() or not proc.is_alive(*holder):
                return OURS
        except Unreadable:
            return UNKNOWN
        except OSError:
            # Hidden: perhaps alive.
            pass
        return OVER

    def member(self) -> proc.Process | None:
        """
        This process if it may write leases, else None, which is logged once.

        A process may if it has loaded the unit, has inherited the life through fork, or descends from the holder. Any
        other one, such as a one-off command in the same container, must not leave an obligation behind. Raises OSError,
        Unreadable, and LivenessError if nobody has loaded the unit.
        """
        me = proc.myself()
        held = self.held
        if held is None and self.pending != me.pid:
            return me if self._joins(me) else None
        standing = self.standing()
        if standing == UNKNOWN:
            raise Unreadable("pid or start")
        if standing == OVER:
            self.log_over()
            return None
        if held is not None and held.is_mine() and held.start != me.start:
            held.renew(self.directory, me.start)
        return me

    def _joins(self, me: proc.Process) -> bool:
        self.check_directory()
        holder = read_holder(self.directory)
        if holder is not None and holder == self.joined:
            return True
        if holder is not None and self._is_kin(me, *holder):
            self.joined = holder
            return True
        if self.joined is not None:
            self.log_over()
            return False
        if holder is None:
            raise self._not_loaded()
        self._log_once(
            f"process {me.pid} was not started by process {holder[0]}, which holds this unit, so nothing is written "
            f"(leases are for the holder and its descendants)"
        )
        return False

    def _is_kin(self, me: proc.Process, pid: int, start: str) -> bool:
        if pid == me.pid:
            return start in ("", me.start)
        return proc.descends_from(me, pid) and proc.is_alive(pid, start)

    def is_loader(self) -> bool:
        """Whether this very process has loaded the unit or is loading it, perhaps through another Unit, or an exec."""
        me = os.getpid()
        if self.held is None:
            return self.pending == me or (self.joined is not None and self.joined[0] == me)
        return self.held.is_mine()

    def may_write_lease(self) -> bool:
        """For the moment before a rename: whether the life on the disk is not known to be another one."""
        if self.held is None and self.pending != os.getpid() and self.joined is not None:
            try:
                return read_holder(self.directory) == self.joined
            except Unreadable:
                return True
        return self.standing() != OVER

    def check_directory(self) -> None:
        """Raises LivenessError unless the state directory of a life that this process did not load can be used."""
        if not os.path.lexists(self.directory.path):
            raise self._not_loaded()
        self.directory.check()

    def check_loaded(self) -> None:
        """Raises LivenessError unless a process has loaded the unit, or this one is at its checks."""
        self.check_directory()
        if self.pending != os.getpid() and not os.path.lexists(f"{self.directory.path}/pid"):
            raise self._not_loaded()

    def _not_loaded(self) -> LivenessError:
        hint = ""
        if loaded and self.directory.path not in loaded:
            # The usual mistake is a name that was given to load() and not to this verb.
            hint = f"; this process has loaded {', '.join(loaded)}: pass the same unitname and rundir"
        return LivenessError(f"{self.directory.path}: nobody has loaded this unit (call load() first{hint})")

    # What is left where nothing may be written

    def empty_pid(self) -> bool:
        """Empties the pid file of this life, if any, wherever a probe still sees it. Returns whether it did."""
        try:
            return self.held is not None and self.pending != os.getpid() and self.held.empty_pid()
        except OSError:
            return False

    def log_over(self) -> None:
        """Logs once that the life is over."""
        self._log_once(self.why_over())

    def why_over(self) -> str:
        """Why this process may not write to the unit."""
        if self.pending == os.getpid():
            return "nothing is written: another process holds the unit, and load() of this process did not succeed"
        pid = self.held.pid if self.held else (self.joined or "?")[0]
        return (
            f"nothing is written: the life of process {pid} is over (it was reset, or another process has loaded the "
            f"unit since)"
        )

    def _log_once(self, text: str) -> None:
        if text != self.refusal:
            self.refusal = text
            log.warning("%s: %s", self.directory.path, text)
