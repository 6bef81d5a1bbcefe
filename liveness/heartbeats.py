"""Heartbeats: leases that a loop renews."""

from __future__ import annotations

import os
import sys
from _thread import get_native_id

from . import log, proc, stacks
from .directory import Unreadable, way_out, why
from .errors import LivenessError
from .formats import LARGEST_CODE, LARGEST_TTL, Lease, whole_within
from .holder import read_holder
from .leases import Leases
from .names import check_lease_name

if sys.platform == "linux":
    # Runs while the machine sleeps, as /proc/uptime does.
    from time import CLOCK_BOOTTIME, clock_gettime


class _Renewed:
    """A lease that this process renews, and what it knows of it."""

    __slots__ = (
        "at", "calls", "code", "due", "failing", "file", "forks", "now", "path", "reason", "saved", "thread",
        "traceback", "ttl", "warned",
    )  # fmt: skip

    def __init__(self, path: str, file: str) -> None:
        self.forks = proc.forks
        #: The directory of the unit.
        self.path = path
        #: Relative to it: ``beat/main``. Empty until the first write finds the default name.
        self.file = file
        # The content; how many calls have changed it, and up to which of them it is on the disk.
        self.at = -1
        self.ttl = 0
        self.code = 0
        self.reason = ""
        self.traceback = False
        self.calls = self.saved = 0
        #: On CLOCK_BOOTTIME: the last look at the clock, and when the next write may be due.
        self.now = self.due = 0.0
        #: The kernel's number of the thread that renews it.
        self.thread = 0
        self.failing = self.warned = False

    @property
    def name(self) -> str:
        return self.file.partition("/")[2]

    @property
    def title(self) -> str:
        """What messages call it."""
        return f"heartbeat {self.name!r}"

    def is_of_another_thread(self) -> bool:
        """Whether another thread renews it, which is still alive."""
        return (
            self.thread not in (0, get_native_id())
            and self.forks == proc.forks
            and os.path.exists(f"/proc/self/task/{self.thread}")
        )

    def claim_thread(self) -> None:
        """Notes that this thread renews it; warns once if another one does too."""
        if not self.is_of_another_thread():
            self.thread = get_native_id()
        elif not self.warned:
            self.warned = True
            self.warn_of_another(f"thread {self.thread}")

    def warn_of_another(self, owner: str) -> None:
        log.warning(
            "%s: %s is also renewed by %s, which is alive: with one name for two loops, each hides the hang of the "
            "other (give each loop a name)",
            self.path,
            self.title,
            owner,
        )

    def set_stacks_timer(self, ttl: int, traceback: bool) -> None:
        """Arms or disarms the timer that prints the stacks of a hung process. Raises BadArgument if it is taken."""
        if traceback and self.file:
            stacks.claim((self.path, self.name))
            stacks.arm((self.path, self.name), ttl + 1)
        elif self.traceback:
            stacks.disarm((self.path, self.name))

    def log_outage(self, trouble: Exception | None) -> None:
        """Logs once that it cannot be written, and once that it can again."""
        if trouble is not None and not self.failing:
            log.warning("%s: %s cannot be written, and goes stale: %s", self.path, self.title, why(trouble))
        elif trouble is None and self.failing:
            log.warning("%s: %s is written again", self.path, self.title)
        self.failing = trouble is not None


class Heartbeats:
    """The leases of one unit that this process renews. The verbs are described at ``Unit``."""

    __slots__ = ("_beats", "_leases")

    def __init__(self, leases: Leases) -> None:
        self._leases = leases
        # By the name that the caller gave.
        self._beats: dict[str | None, _Renewed] = {}

    def beat(self, ttl: int, name: str | None, error: int, reason: str, traceback: bool) -> None:
        """Renews a heartbeat: one look at the clock, unless the second has moved or an argument has changed."""
        known = self._beats.get(name)
        if (
            known is not None
            and known.now <= clock_gettime(CLOCK_BOOTTIME) < known.due
            and known.ttl == ttl
            and known.code == error
            and known.reason == reason
            and known.traceback is traceback
            and known.forks == proc.forks
        ):
            return
        seconds = whole_within("ttl", ttl, 1, LARGEST_TTL, "whole seconds")
        code = whole_within("error", error, 0, LARGEST_CODE)
        if name is not None:
            check_lease_name("name", name)
        if not proc.LINUX:
            return
        if known is None or known.forks != proc.forks:
            known = self._beats[name] = _Renewed(self._leases.directory.path, "" if name is None else f"beat/{name}")
        self._renew(known, seconds, code, reason, bool(traceback))

    def end_beat(self, name: str | None) -> None:
        """Removes a heartbeat. Raises LivenessError if a living thread or process goes on with it."""
        if name is not None:
            check_lease_name("name", name)
        known = self._beats.get(name)
        if known is not None and known.forks != proc.forks:
            known = None
        if known is not None and known.is_of_another_thread():
            raise _is_renewed(self._leases, known.file, f"thread {known.thread}", "call end_beat() there")
        # What this process may not write it may not remove.
        if self._leases.is_allowed():
            file = (known.file if known is not None else f"beat/{name}" if name else "") or self._default_file()
            owner = self._leases.living_owner(file)
            if owner not in (None, os.getpid()):
                raise _is_renewed(self._leases, file, f"process {owner}", "call end_beat() there")
            self._leases.remove(file)
        self._beats.pop(name, None)
        if known is not None:
            known.set_stacks_timer(0, False)

    def forget(self) -> None:
        """Forgets every lease in memory: the life is over."""
        for known in list(self._beats.values()):
            if known.forks == proc.forks:
                known.set_stacks_timer(0, False)
        self._beats.clear()

    def _renew(self, known: _Renewed, ttl: int, code: int, reason: str, traceback: bool) -> bool:
        """Returns False if this process may not write. Raises LivenessError if the first write fails."""
        has_changed = (known.ttl, known.code, known.reason, known.traceback) != (ttl, code, reason, traceback)
        me, trouble = None, None
        # Until this call has ended, another one (of a signal handler, or after an exception) must not rely on it.
        known.now, known.due = clock_gettime(CLOCK_BOOTTIME), 0.0
        due = known.now + 1
        try:
            clock = proc.clock()
            # Never late for a new second, since up to ttl may pass before the next call. /proc/uptime cuts off its
            # hundredths: what it shows may be 10 ms old.
            due = known.now + 0.99 - (clock - int(clock))
            if known.at == int(clock) and known.saved == known.calls and not has_changed:
                known.due = due
                return True
            me = self._leases.membership.member()
            known.file = known.file or self._default_file()
            known.at = int(clock)
        except (OSError, ValueError, LivenessError, Unreadable) as error:
            trouble = error
        may_write = me is not None or trouble is not None
        # Before the write, and whether it succeeds or not: the loop is moving.
        known.set_stacks_timer(ttl, traceback and may_write)
        known.ttl, known.code, known.reason, known.traceback = ttl, code, reason, traceback
        known.calls += 1
        known.claim_thread()
        try:
            if me is not None:
                self._write(known, me)
        except (OSError, ValueError, Unreadable) as error:
            trouble = error
        if trouble is not None:
            if not known.saved:
                if isinstance(trouble, LivenessError):
                    raise trouble
                raise self._leases.cannot_write(known.file or "beat", trouble) from trouble
            # One attempt a second.
            due = known.now + 1
        if may_write:
            known.log_outage(trouble)
        known.due = due
        return may_write

    def _write(self, known: _Renewed, me: proc.Process) -> None:
        is_first = not known.saved
        if is_first:
            owner = self._leases.living_owner(known.file)
            if owner not in (None, me.pid):
                known.warn_of_another(f"process {owner}")
        while True:
            calls = known.calls
            lease = Lease(known.at, known.ttl, me.pid, me.start, str(known.code), known.reason)
            if not self._leases.write(known.file, lease):
                return
            if known.calls == calls:
                break
            # A signal handler or another thread has written a later one, which this write has undone.
        known.saved = calls
        if is_first:
            # After our own was written, so that the role is never without a lease.
            self._leases.sweep(known.file)

    def _default_file(self) -> str:
        return "beat/main" if self._leases.membership.is_loader() else f"beat/worker.{os.getpid()}"


def beat_for_holder(leases: Leases, ttl: int, name: str) -> None:
    """
    Renews a heartbeat of the process that holds the unit, for a program that cannot do so itself.

    Raises BadArgument for invalid arguments, and LivenessError if no living process holds the unit, or if nothing can
    be written.
    """
    seconds = whole_within("ttl", ttl, 1, LARGEST_TTL, "whole seconds")
    check_lease_name("name", name)
    directory = leases.directory
    try:
        holder = read_holder(directory)
        process = proc.find(holder[0]) if holder is not None else None
        if holder is None or process is None or not proc.is_alive(*holder):
            raise LivenessError(f"not loaded (no living process holds {directory.path})")
        directory.check()
        leases.write(f"beat/{name}", Lease(proc.uptime(), seconds, process.pid, process.start))
    except (OSError, ValueError, Unreadable) as error:
        raise leases.cannot_write(f"beat/{name}", error) from error


def end_beat_for_holder(leases: Leases, name: str) -> None:
    """
    Removes a heartbeat, which need not exist, of the process that holds the unit or of one that has ended.

    Raises BadArgument for an invalid name, and LivenessError while another living process renews it, or if it cannot be
    removed.
    """
    check_lease_name("name", name)
    file = f"beat/{name}"
    owner = leases.living_owner(file)
    try:
        holder = read_holder(leases.directory)
        if owner is not None and holder is not None and owner != holder[0]:
            raise _is_renewed(leases, file, f"process {owner}", "end it there")
        leases.directory.remove(file)
    except (OSError, Unreadable) as error:
        path = leases.directory.path
        raise LivenessError(f"{path}/{file}: cannot remove: {why(error)} ({way_out(path, error)})") from error


def _is_renewed(leases: Leases, file: str, owner: str, remedy: str) -> LivenessError:
    return LivenessError(
        f"{leases.directory.path}/{file}: cannot end this heartbeat: {owner}, which is alive, renews it "
        f"({remedy}, or give each loop a name)"
    )
