"""What the kernel says of a process, and what time it is since the boot. The format is that of proc(5)."""

from __future__ import annotations

import os


class Process:
    """A process as its ``/proc/<pid>/stat`` showed it."""

    __slots__ = ("parent", "pid", "start", "state", "threads")

    def __init__(self, pid: int, state: str, parent: int, threads: int, start: str) -> None:
        self.pid = pid
        self.state = state
        self.parent = parent
        self.threads = threads
        #: When it was started, in clock ticks since the boot: field 22, as text.
        self.start = start

    def is_zombie(self) -> bool:
        """
        It has ended and waits to be buried.

        A program whose main thread has ended while others run shows Z too, and lives.
        """
        return self.state in "ZXx" and self.threads <= 1


def parse(stat: bytes) -> Process:
    """
    The process that one ``stat`` file describes.

    The command's name stands in brackets and may itself hold brackets, blanks, newlines and bytes that are no text, so
    what counts begins after the last bracket. Raises ValueError for a text of another form.
    """
    pid, _, _ = stat.partition(b" ")
    _, bracket, fields = stat.rpartition(b") ")
    field = fields.split()  # field[0] is field 3 of proc(5), the state
    if not bracket or len(field) < 20:
        raise ValueError(f"no process in {stat!r}")
    return Process(int(pid), field[0].decode(), int(field[1]), int(field[17]), field[19].decode())


def find(pid: int | str) -> Process | None:
    """
    The process of that number, zombies included, or None if there is none.

    Raises OSError if /proc cannot tell: it is not mounted, or hides the processes of other users (hidepid).
    """
    try:
        return parse(_read(f"/proc/{pid}/stat"))
    except (FileNotFoundError, ProcessLookupError):
        # Hidden looks like gone, but then process 1 is hidden too.
        if os.path.isdir("/proc/1") and not os.path.isdir(f"/proc/{pid}"):
            return None
    except (OSError, ValueError):
        pass
    raise OSError("cannot read /proc")


def myself() -> Process:
    """
    The calling process.

    Raises OSError where /proc is not that of our own pid namespace: a pid written from there would be someone else's.
    """
    try:
        me = parse(_read("/proc/self/stat"))
    except (OSError, ValueError) as error:
        raise OSError(f"/proc/self/stat: cannot read: {error} (mount /proc)") from error
    if me.pid != os.getpid():
        raise OSError(
            f"/proc/self/stat: says pid {me.pid}, but this process is {os.getpid()}: /proc belongs to another pid "
            f"namespace (mount /proc anew in this one)"
        )
    return me


def clock() -> float:
    """
    Seconds since the boot as /proc/uptime shows them, hundredths cut off: the clock that probe and process share.

    Nobody sets it, and it counts on while the machine sleeps. Raises OSError or ValueError where it cannot be read.
    """
    return float(_read("/proc/uptime").partition(b" ")[0])


def uptime() -> int:
    """The same in whole seconds, cut off."""
    return int(clock())


def _read(path: str) -> bytes:
    # One read: these files are made when they are read, and none of them is long.
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 4096)
    finally:
        os.close(fd)
