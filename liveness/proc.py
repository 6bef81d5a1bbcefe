"""Processes as the kernel shows them, and the time since boot. The formats are those of proc(5)."""

from __future__ import annotations

import os
import sys

#: Whether this is Linux. Elsewhere the verbs do nothing: there is no /proc that a probe could read.
LINUX: bool = sys.platform == "linux"

#: How many forks lie between the first import and this process. What a child inherits in memory (the heartbeats, the
#: threads and the Monitors of its parent) bears another number, and so is known not to be the child's own.
forks = 0


class Process:
    """A process as its ``/proc/<pid>/stat`` showed it."""

    __slots__ = ("parent", "pid", "start", "state", "threads")

    def __init__(self, pid: int, state: str, parent: int, threads: int, start: str) -> None:
        self.pid = pid
        self.state = state
        self.parent = parent
        self.threads = threads
        #: Field 22 as text: when the process started, in clock ticks since boot.
        self.start = start

    def is_zombie(self) -> bool:
        """
        Whether the process has ended and waits for its parent to collect it.

        A program whose main thread has ended while others run is also in state Z; it is alive.
        """
        return self.state in "ZXx" and self.threads <= 1


def parse(stat: bytes) -> Process:
    """
    The process that the text of a ``stat`` file describes. Raises ValueError if the text is malformed.

    The command's name is in brackets. It may itself contain brackets, blanks, newlines and bytes that are not text, so
    the fields begin after the last closing bracket.
    """
    pid, _, _ = stat.partition(b" ")
    _, bracket, fields = stat.rpartition(b") ")
    field = fields.split()  # field[0] is field 3 of proc(5), the state
    if not bracket or len(field) < 20:
        raise ValueError(f"not the stat of a process: {stat!r}")
    return Process(int(pid), field[0].decode(), int(field[1]), int(field[17]), field[19].decode())


def find(pid: int | str) -> Process | None:
    """
    The process with this pid, a zombie included, or None if no process has it.

    Raises OSError if /proc cannot tell: it is not mounted, or it hides the processes of other users (hidepid).
    """
    try:
        return parse(_read(f"/proc/{pid}/stat"))
    except (FileNotFoundError, ProcessLookupError):
        # With hidepid a living process also looks absent, but then process 1 is hidden too.
        if os.path.isdir("/proc/1") and not os.path.isdir(f"/proc/{pid}"):
            return None
    except (OSError, ValueError):
        pass
    raise OSError("cannot read /proc")


def is_alive(pid: int | str, start: str) -> bool:
    """
    Whether the process with this pid and this start time (field 22) exists and is not a zombie.

    An empty ``start`` stands for any start time. Raises OSError if /proc cannot tell.
    """
    process = find(pid)
    return process is not None and not process.is_zombie() and start in ("", process.start)


def myself() -> Process:
    """
    The calling process, read again at each call: its start time changes when it is restored from a checkpoint.

    Raises OSError if /proc belongs to another pid namespace: a pid read from there would name another process.
    """
    try:
        me = parse(_read("/proc/self/stat"))
    except (OSError, ValueError) as error:
        raise OSError(f"/proc/self/stat: cannot read: {error} (mount /proc)") from error
    if me.pid != os.getpid():
        raise OSError(
            f"/proc/self/stat: says pid {me.pid}, but this process is {os.getpid()}: /proc belongs to another pid "
            f"namespace (mount /proc in this one)"
        )
    return me


def descends_from(me: Process, pid: int) -> bool:
    """
    Whether that process is the parent of this one, or an ancestor further up. Raises OSError if /proc cannot tell.

    A parent may be several steps away: the fork server of multiprocessing stands between.
    """
    parent = me.parent
    while parent > 0:
        if parent == pid:
            return True
        process = find(parent)
        parent = process.parent if process is not None else 0
    return False


def clock() -> float:
    """
    Seconds since boot as /proc/uptime shows them, cut off at hundredths: the clock that probe and process share.

    Nobody can set it, and it runs while the machine sleeps. Raises OSError or ValueError if it cannot be read.
    """
    return float(_read("/proc/uptime").partition(b" ")[0])


def uptime() -> int:
    """Whole seconds since boot, cut off. Raises as ``clock`` does."""
    return int(clock())


def _read(path: str) -> bytes:
    # One read suffices: the kernel makes these files at each read, and none of them is long.
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 4096)
    finally:
        os.close(fd)


def _after_fork_in_child() -> None:
    # Only a plain variable: at this moment another thread of the parent may have held any lock.
    global forks
    forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
