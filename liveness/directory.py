"""The state directory on the disk: files are read without waiting, replaced whole, and removed without a trace."""

from __future__ import annotations

import errno
import os
import stat

from .errors import LivenessError
from .formats import Lease, decode_lease

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# More than any state file has, in bytes.
_MOST = 1 << 20


class Unreadable(Exception):
    """A state file or folder exists, and is not a regular file (or folder) that this process may read."""

    def __init__(self, name: str, error: OSError | None = None) -> None:
        super().__init__(f"cannot read {name}")
        self.error = error


def why(error: Exception) -> str:
    """The reason in an error, as part of a sentence."""
    if isinstance(error, Unreadable) and error.error is not None:
        return f"{error}: {why(error.error)}"
    text = (isinstance(error, OSError) and error.strerror) or str(error)
    return text[:1].lower() + text[1:]


def way_out(path: str, error: Exception) -> str:
    """What to do if the state directory of a unit cannot be used: true of the error, and of where the path is from."""
    cause = error.error if isinstance(error, Unreadable) else error
    number = cause.errno if isinstance(cause, OSError) else None
    if number in (errno.ENOSPC, errno.EDQUOT):
        return "free some space there"
    if number in (errno.EMFILE, errno.ENFILE):
        return "close some files, or raise the limit on open files"
    if number == errno.EISDIR:
        return "remove it"
    rundir = os.path.dirname(path)
    if rundir == os.environ.get("LIVENESS_RUNDIR"):
        other = "change LIVENESS_RUNDIR"
    else:
        other = "set LIVENESS_RUNDIR to a writable directory" if rundir == "/run" else "choose another rundir"
    return f"mount a writable volume at {rundir}, for example an emptyDir, or {other}"


class Directory:
    """The files of one unit. Methods take names that are relative to it: ``pid``, ``beat/main``."""

    __slots__ = ("path",)

    def __init__(self, path: str) -> None:
        self.path = path

    def make(self) -> None:
        """Creates the directory and its parents, mode 0755, unless it exists and is fit. Raises LivenessError."""
        try:
            _make_folders(self.path)
        except FileExistsError:
            self.check()
        except OSError as error:
            raise LivenessError(f"{self.path}: cannot create: {why(error)} ({way_out(self.path, error)})") from error

    def check(self) -> None:
        """Raises LivenessError unless this is a directory that another user cannot have put here."""
        _refuse_unless_fit(self.path)

    # Reading

    def read(self, name: str) -> bytes | None:
        """The content of a state file, or None if it does not exist. Never blocks. Raises Unreadable."""
        path = f"{self.path}/{name}"
        # The file may be removed and written again between two looks: only a file that stays unreadable is.
        for _ in range(9):
            try:
                return _read(path)
            except OSError as error:
                if _is_absent(path, error):
                    return None
                last = error
        raise Unreadable(name, last)

    def names(self, folder: str) -> list[str]:
        """
        The names in one of the folders, in byte order and without those that begin with a dot.

        A name may be anything that a file's name can be. Raises Unreadable.
        """
        path = f"{self.path}/{folder}"
        last = OSError(errno.EACCES, os.strerror(errno.EACCES))
        for _ in range(9):
            try:
                if os.access(path, os.R_OK | os.X_OK, effective_ids=True):
                    found = os.listdir(os.fsencode(path))
                    return [os.fsdecode(name) for name in sorted(found) if not name.startswith(b".")]
                os.stat(path)
            except OSError as error:
                if _is_absent(path, error):
                    return []
                last = error
        raise Unreadable(folder, last)

    def lease(self, name: str) -> Lease | None:
        """The lease in a file, or None if there is no file or it is malformed. Raises Unreadable."""
        data = self.read(name)
        return None if data is None else decode_lease(data)

    # Writing

    def make_folder(self, name: str) -> None:
        """Creates a folder for leases unless it exists. Raises OSError."""
        try:
            _make_folder(f"{self.path}/{name}")
        except FileExistsError:
            pass

    def write(self, name: str, data: bytes, still: Callable[[], bool] | None = None, is_new: bool = False) -> bool:
        """
        Writes a file whole: a reader sees the old content or the new content. Raises OSError.

        It replaces a file, or with ``is_new`` raises FileExistsError if there is one. ``still`` is asked at the last
        moment; if it says no, nothing is changed and False is returned. A writer may be held up at any point: if the
        life that it wrote for was removed meanwhile, so was its temporary file, and FileNotFoundError is raised.
        """
        path = f"{self.path}/{name}"
        temporary, fd = _write_temporary(path, data, os.O_WRONLY)
        try:
            # Before the rename: a close that fails must not follow a change that has been made.
            os.close(fd)
            if still is not None and not still():
                _unlink(temporary)
                return False
            # A rename, not a write in place: a probe may read at any moment.
            if not is_new:
                os.rename(temporary, path)
                return True
            _link(temporary, path)
        except BaseException:
            _unlink(temporary)
            raise
        # The first name of what now has two.
        _unlink(temporary)
        return True

    def create(self, name: str, data: bytes) -> int:
        """
        Creates a file whole, and returns a descriptor (3 or more) that may write to it.

        Raises FileExistsError if the file exists, and OSError if it cannot be written.
        """
        import fcntl

        temporary, fd = _write_temporary(f"{self.path}/{name}", data, os.O_RDWR)
        try:
            if fd <= 2:
                # In a daemon that has closed its standard streams, print() must not write into the state.
                low, fd = fd, fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
                os.close(low)
            _link(temporary, f"{self.path}/{name}")
        except BaseException:
            os.close(fd)
            raise
        finally:
            _unlink(temporary)
        return fd

    def empty(self, name: str) -> None:
        """Leaves the file without content, which needs no space on a full disk. Raises OSError."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        os.close(os.open(f"{self.path}/{name}", flags, 0o644))

    # Removing

    def remove(self, name: str) -> None:
        """Removes a file; it need not exist. Raises OSError."""
        try:
            os.unlink(f"{self.path}/{name}")
        except FileNotFoundError:
            pass

    def remove_lease(self, name: str, is_removable: Callable[[Lease], bool]) -> None:
        """
        Removes a lease that, moved aside, is still removable. Raises OSError.

        Between a look and an unlink, another process may have taken the name; its lease would be lost.
        """
        path, (folder, _, file) = f"{self.path}/{name}", name.rpartition("/")
        aside = f"{self.path}/{folder}/.{file}.{os.urandom(6).hex()}"
        try:
            os.rename(path, aside)
            lease = decode_lease(_read(aside))
            if lease is None or not is_removable(lease):
                os.link(aside, path)
        except (FileExistsError, FileNotFoundError):
            # A newer lease has taken the name, or another process was faster.
            pass
        finally:
            _unlink(aside)


def _refuse_unless_fit(path: str) -> None:
    try:
        found = os.lstat(path)
    except OSError as error:
        raise LivenessError(f"{path}: cannot use: {why(error)} ({way_out(path, error)})") from error
    if stat.S_ISLNK(found.st_mode):
        raise LivenessError(f"{path}: is a symbolic link, which may lead anywhere (remove it)")
    if not stat.S_ISDIR(found.st_mode):
        raise LivenessError(f"{path}: is not a directory (remove it)")
    if found.st_uid in (0, os.geteuid()):
        return
    if found.st_mode & stat.S_IWGRP and found.st_gid in (os.getegid(), *os.getgroups()):
        return
    raise LivenessError(
        f"{path}: belongs to user {found.st_uid}, who could write a false state there (remove it, or choose another "
        f"rundir)"
    )


def _write_temporary(path: str, data: bytes, mode: int) -> tuple[str, int]:
    folder, _, file = path.rpartition("/")
    temporary = f"{folder}/.{file}.{os.urandom(6).hex()}"
    fd = os.open(temporary, mode | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        # Not left to the umask: the probe may run as another user.
        os.fchmod(fd, 0o644)
        if os.write(fd, data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except BaseException:
        os.close(fd)
        _unlink(temporary)
        raise
    return temporary, fd


def _read(path: str) -> bytes:
    # Look first: opening a FIFO or a device can wait, or do something.
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(errno.EINVAL, "not a regular file", path)
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        data = os.read(fd, _MOST)
        if len(data) == _MOST:
            # Whatever follows must not be passed over.
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
        return data
    finally:
        os.close(fd)


def _is_absent(path: str, error: OSError) -> bool:
    # Only what does not exist is absent. A link that leads nowhere exists; a folder that may not be searched may
    # contain anything.
    return error.errno in (errno.ENOENT, errno.ELOOP, errno.ENAMETOOLONG) and not os.path.lexists(path)


def _link(source: str, target: str) -> None:
    try:
        # A link, unlike a rename, never replaces a file.
        os.link(source, target)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        # A file system without hard links.
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target) from error
        os.rename(source, target)


def _make_folders(path: str) -> None:
    try:
        _make_folder(path)
    except FileNotFoundError:
        parent = os.path.dirname(path)
        try:
            _make_folders(parent)
        except FileExistsError:
            # Another process has just made it.
            pass
        _make_folder(path)


def _make_folder(path: str) -> None:
    os.mkdir(path, 0o755)
    # Give back what the umask took; keep what a set-group-id parent gave.
    os.chmod(path, stat.S_IMODE(os.stat(path).st_mode) | 0o755)


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass
