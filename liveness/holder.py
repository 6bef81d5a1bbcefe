"""
Whose life it is: the pid and start time on the disk, and what the process that loaded remembers of them.

A life begins with ``load``, and is known by the pid and the start time of the process that loaded.
"""

from __future__ import annotations

import os

from . import proc
from .directory import Directory, Unreadable
from .formats import is_count, lines

#: Answers to the question whose life is on the disk: the one that this process belongs to; another one, or none; or
#: unknown, because ``pid`` or ``start`` cannot be read.
OURS, OVER, UNKNOWN = "ours", "over", "unknown"


def read_holder(directory: Directory) -> tuple[int, str] | None:
    """
    Pid and start time of the process whose life is on the disk, or None if ``pid`` is absent or not a number.

    The start time is empty if there is no ``start``. Raises Unreadable.
    """
    pid, start = (lines(directory.read(name) or b"")[0] for name in ("pid", "start"))
    return (int(pid), start.decode("ascii", "replace")) if is_count(pid, 7) else None


def find_holder(directory: Directory) -> int | None:
    """The pid of the living process that holds the unit, or None. Raises Unreadable, and OSError if /proc is hidden."""
    holder = read_holder(directory)
    return holder[0] if holder is not None and proc.is_alive(*holder) else None


class Held:
    """The life that this process has loaded, or inherited from the process that did."""

    __slots__ = ("_fd", "_files", "_forks", "pid", "start")

    def __init__(self, directory: Directory, me: proc.Process, fd: int) -> None:
        self.pid = me.pid
        self.start = me.start
        self._forks = proc.forks
        #: Of the pid file: an alarm can be raised through it when the directory is out of reach.
        self._fd = fd
        self._files = (_fingerprint(os.fstat(fd)), _fingerprint(os.stat(f"{directory.path}/start")))

    def is_mine(self) -> bool:
        """Whether this very process has loaded it."""
        return self.pid == os.getpid() and self._forks == proc.forks

    def standing(self, directory: Directory) -> str:
        """Whether this life is the one on the disk: OURS, OVER or UNKNOWN."""
        path = directory.path
        try:
            # Are these the very files that load wrote? A look takes no descriptor, of which there may be none left.
            # Both files, since a process that begins another life replaces start before pid.
            if (_fingerprint(os.stat(f"{path}/pid")), _fingerprint(os.stat(f"{path}/start"))) == self._files:
                return OURS
            pid, start = (lines(directory.read(name) or b"")[0].decode("ascii", "replace") for name in ("pid", "start"))
        except FileNotFoundError:
            return OVER
        except (OSError, Unreadable):
            return UNKNOWN
        # An empty pid was emptied by an alarm.
        if pid not in ("", str(self.pid)):
            return OVER
        if start != self.start and self._is_restored(start):
            self.start = start
        return OURS if start == self.start else OVER

    def _is_restored(self, start: str) -> bool:
        """Whether our parent, restored from a checkpoint together with us, has written its new start time."""
        try:
            return not self.is_mine() and proc.is_alive(self.pid, start) and proc.descends_from(proc.myself(), self.pid)
        except OSError:
            return False

    def has_start(self, directory: Directory) -> bool:
        """Whether ``start`` on the disk is that of this life, or cannot be read."""
        try:
            return lines(directory.read("start") or b"")[0] == self.start.encode()
        except Unreadable:
            return True

    def renew(self, directory: Directory, start: str) -> None:
        """Writes another start time: this process was restored from a checkpoint. Raises OSError."""
        if directory.write("start", start.encode(), lambda: self.standing(directory) != OVER):
            self.start = start
            self._files = (self._files[0], _fingerprint(os.stat(f"{directory.path}/start")))

    def empty_pid(self) -> bool:
        """
        Empties the pid file, which fails every probe, without any right to the directory. Raises OSError.

        Returns False if no probe can see this file any more: the life was reset or replaced.
        """
        self._check_descriptor()
        if os.fstat(self._fd).st_nlink == 0 or os.pread(self._fd, 8, 0) not in (b"", b"%d" % self.pid):
            return False
        os.ftruncate(self._fd, 0)
        return True

    def close(self) -> None:
        """Closes the kept descriptor."""
        try:
            self._check_descriptor()
            os.close(self._fd)
        except OSError:
            pass
        self._fd = -1

    def _check_descriptor(self) -> None:
        found = os.fstat(self._fd)
        # A daemon that closes all descriptors may have opened another file under this number since.
        if (found.st_dev, found.st_ino) != self._files[0][:2]:
            raise OSError("the descriptor of the pid file was closed")


def _fingerprint(found: os.stat_result) -> tuple[int, int, int, int]:
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size
