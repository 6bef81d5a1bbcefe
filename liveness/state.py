"""
The state directory: how its parts are named, what its files hold, how they are written and read.

``<rundir>/<unitname>/`` holds ``pid``, ``start``, ``error``, ``ready`` and ``beat/<name>``. Text in, text out: encoding
and decoding are pure, and only Directory touches the disk. health.sh reads the same files by the same rules.
"""

from __future__ import annotations

import errno
import os
import stat

from .errors import BadArgument, LivenessError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator

#: The way out that most errors with a directory have in common.
WAY_OUT = "set LIVENESS_RUNDIR, or mount an emptyDir there"

CODE_DIGITS = 20
LARGEST_TTL = 999_999_999
REASON_BYTES = 200

_NAME_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
# A reason fits on one line of any terminal: what is no printable ASCII is escaped.
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), 127)} | {9: "\\t", 10: "\\n", 13: "\\r"}


# Names


def find_rundir(asked: str | os.PathLike[str] | None) -> str:
    """
    The directory of all units: the argument, else ``$LIVENESS_RUNDIR``, else ``/run``.

    Raises BadArgument unless it is absolute (a daemon may change its working directory) and free of control characters.
    """
    what = "rundir" if asked is not None else "LIVENESS_RUNDIR"
    rundir = os.fspath(asked) if asked is not None else os.environ.get("LIVENESS_RUNDIR") or "/run"
    if not isinstance(rundir, str):
        raise BadArgument(f"{what}: {rundir!r}: must be text")
    if not rundir.startswith("/"):
        raise BadArgument(f"{what}: {rundir!r}: not an absolute path (begin it with a slash)")
    if any(character < " " or character == "\x7f" for character in rundir):
        raise BadArgument(f"{what}: {rundir!r}: holds control characters")
    return rundir


def find_unitname(asked: str | None) -> str:
    """
    The unit's name: the argument, else ``$LIVENESS_UNIT_NAME``, else the kernel's hostname.

    Raises BadArgument for a name that is_name does not take, LivenessError if there is no /proc to find the hostname.
    """
    if asked is not None:
        what, name = "unitname", asked
    elif os.environ.get("LIVENESS_UNIT_NAME"):
        what, name = "LIVENESS_UNIT_NAME", os.environ["LIVENESS_UNIT_NAME"]
    else:
        what, name = "hostname", hostname()
    if not is_name(name, 200):
        raise BadArgument(
            f"{what}: {name!r}: not a unit name: 1 to 200 of A-Z a-z 0-9 . _ -, first neither . nor -"
            + (" (set LIVENESS_UNIT_NAME)" if what == "hostname" else "")
        )
    return name


def is_name(text: object, limit: int) -> bool:
    """It can name a unit (limit 200) or a heartbeat (limit 100), and as a file name never leaves its folder."""
    if not isinstance(text, str) or not 0 < len(text) <= limit:
        return False
    return text[0] not in ".-" and _NAME_CHARACTERS.issuperset(text)


def role_of(name: str) -> str:
    """The role of a heartbeat ``role.instance``, or nothing if it is the only one of its kind."""
    return name.rpartition(".")[0]


def hostname() -> str:
    """The kernel's name of this machine or container. Raises LivenessError if it has none, or there is no /proc."""
    try:
        with open("/proc/sys/kernel/hostname", encoding="ascii", errors="backslashreplace") as file:
            name = file.readline().strip(" \t\n")
    except OSError as error:
        raise LivenessError(f"/proc/sys/kernel/hostname: cannot read: {why(error)} (set LIVENESS_UNIT_NAME)") from error
    if not name:
        raise LivenessError("/proc/sys/kernel/hostname: is empty (set LIVENESS_UNIT_NAME)")
    return name


# Formats


def is_number(text: bytes, length: int) -> bool:
    """One to length digits."""
    return text.isdigit() and len(text) <= length


def is_count(text: bytes, length: int) -> bool:
    """One to length digits, the first of them no zero."""
    return is_number(text, length) and not text.startswith(b"0")


def lines(data: bytes) -> tuple[bytes, bytes]:
    """The first two lines, trimmed of blanks and tabs; a missing one is empty."""
    first, _, rest = data.partition(b"\n")
    return first.strip(b" \t"), rest.partition(b"\n")[0].strip(b" \t")


def encode_code(code: int, reason: object = "") -> bytes:
    """What ``error`` and ``ready`` hold: the code, and on a second line the reason if there is one."""
    try:
        text = str(reason)
    except Exception as error:
        # Not for want of words shall an alarm be lost.
        text = f"no reason: {type(error).__name__} in its text"
    if not text:
        return b"%d" % code
    ascii_text = text.translate(_CONTROLS).encode("ascii", "backslashreplace")
    if len(ascii_text) > REASON_BYTES:
        ascii_text = ascii_text[: REASON_BYTES - 3] + b"..."
    return b"%d\n%s\n" % (code, ascii_text)


def decode_code(data: bytes) -> tuple[str | None, str]:
    """The code, None if it is no number, and the reason, empty if it is not fit for a terminal."""
    code, reason = lines(data)
    if not is_number(code, CODE_DIGITS):
        return None, ""
    if any(not 32 <= byte < 127 for byte in reason):
        reason = b""
    return code.decode(), reason[:REASON_BYTES].decode()


class Beat:
    """One heartbeat: when, how long it holds, and whose it is."""

    __slots__ = ("at", "pid", "start", "ttl")

    def __init__(self, at: int, ttl: int, pid: int, start: str) -> None:
        self.at = at
        self.ttl = ttl
        self.pid = pid
        self.start = start

    def age(self, now: int) -> int:
        """
        Whole seconds since the beat, on the clock of /proc/uptime.

        Negative if the beat is from before a reboot; such a beat is stale.
        """
        return now - self.at

    def is_fresh(self, now: int) -> bool:
        """It is no older than it may be, and not from the future."""
        return 0 <= self.age(now) <= self.ttl


def encode_beat(beat: Beat) -> bytes:
    """What ``beat/<name>`` holds."""
    return b"%d %d %d %s\n" % (beat.at, beat.ttl, beat.pid, beat.start.encode())


def decode_beat(data: bytes) -> Beat | None:
    """The heartbeat, or None if it is malformed."""
    fields = lines(data)[0].replace(b"\t", b" ").split(b" ")
    fields = [field for field in fields if field]
    if len(fields) != 4:
        return None
    at, ttl, pid, start = fields
    if not (at == b"0" or is_count(at, 9)) or not is_count(ttl, 9) or not is_count(pid, 7) or not is_number(start, 20):
        return None
    return Beat(int(at), int(ttl), int(pid), start.decode())


# The disk


class Unreadable(Exception):
    """A state file is there, and is no regular file that we may read."""

    def __init__(self, file: str) -> None:
        super().__init__(f"cannot read {file}")


def why(error: Exception) -> str:
    """The reason in an OSError, as part of a sentence."""
    text = (isinstance(error, OSError) and error.strerror) or str(error)
    return text[:1].lower() + text[1:]


class Directory:
    """One unit's files. The names that its methods take are relative: ``pid``, ``beat/main``."""

    __slots__ = ("path",)

    def __init__(self, path: str) -> None:
        self.path = path

    def make(self) -> None:
        """Makes the directory unless it is there and fit. Raises LivenessError, with the way out."""
        try:
            _make_folder(self.path)
        except FileExistsError:
            self.check()
        except OSError as error:
            raise LivenessError(f"{self.path}: cannot create: {why(error)} ({WAY_OUT})") from error

    def check(self) -> None:
        """Raises LivenessError unless the directory is there and nobody else can have put it there."""
        try:
            found = os.lstat(self.path)
        except OSError as error:
            raise LivenessError(f"{self.path}: cannot use: {why(error)} (load() makes it)") from error
        if stat.S_ISLNK(found.st_mode):
            raise LivenessError(f"{self.path}: is a symbolic link, and might lead anywhere (remove it)")
        if not stat.S_ISDIR(found.st_mode):
            raise LivenessError(f"{self.path}: is not a directory (remove it)")
        if found.st_uid in (0, os.geteuid()):
            return
        if found.st_mode & stat.S_IWGRP and found.st_gid in (os.getegid(), *os.getgroups()):
            return
        raise LivenessError(
            f"{self.path}: belongs to user {found.st_uid}, who may write there what the probe believes "
            f"(remove it, or {WAY_OUT})"
        )

    def read(self, name: str) -> bytes | None:
        """The content of a state file; None if it is not there. Raises Unreadable, and never blocks."""
        path = f"{self.path}/{name}"
        # It may go and come again between any look and the next: only what stays unreadable is.
        for _ in range(9):
            try:
                return _read(path)
            except OSError as error:
                if _is_absent(path, error):
                    return None
        raise Unreadable(name)

    def beats(self) -> list[str]:
        """
        The names of the heartbeats in byte order, temporary files left out.

        A name may be anything that a file's can be. Raises Unreadable.
        """
        path = f"{self.path}/beat"
        for _ in range(9):
            try:
                if os.access(path, os.R_OK | os.X_OK, effective_ids=True):
                    found = os.listdir(os.fsencode(path))
                    return [os.fsdecode(name) for name in sorted(found) if not name.startswith(b".")]
                os.stat(path)
            except OSError as error:
                if _is_absent(path, error):
                    return []
        raise Unreadable("beat")

    def make_beats(self) -> None:
        """Makes the folder of the heartbeats if it is missing. Raises OSError."""
        try:
            _make_folder(f"{self.path}/beat")
        except FileExistsError:
            pass

    def write(self, name: str, data: bytes) -> None:
        """Replaces a file whole: a reader sees the old content or the new, never half. Raises OSError."""
        self.write_if(name, data, None)

    def write_if(self, name: str, data: bytes, still: Callable[[], bool] | None) -> bool:
        """
        The same, unless ``still`` says no when all but the rename is done; then returns False. Raises OSError.

        A writer may be held up at any point. If what it looked at was wiped since, then so was its temporary file, and
        the rename raises FileNotFoundError.
        """
        fd = self._replace(name, data, os.O_WRONLY, still)
        if fd < 0:
            return False
        os.close(fd)
        return True

    def write_and_keep(self, name: str, data: bytes) -> int:
        """The same, and returns a descriptor of the new file that may still write to it, never 0, 1 or 2."""
        import fcntl

        fd = self._replace(name, data, os.O_RDWR, None)
        if fd > 2:
            return fd
        try:
            # In a daemon that has closed its standard streams, print() must not write into the state.
            return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
        finally:
            os.close(fd)

    def _replace(self, name: str, data: bytes, mode: int, still: Callable[[], bool] | None) -> int:
        folder, _, file = f"{self.path}/{name}".rpartition("/")
        temporary = f"{folder}/.{file}.{os.urandom(6).hex()}"
        fd = -1
        try:
            fd = os.open(temporary, mode | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
            # Not left to the umask: the probe may be another user.
            os.fchmod(fd, 0o644)
            if os.write(fd, data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if still is not None and not still():
                os.close(fd)
                _unlink(temporary)
                return -1
            # A rename, not a write in place: the probe may read at any moment.
            os.rename(temporary, f"{folder}/{file}")
        except BaseException:
            if fd >= 0:
                os.close(fd)
            _unlink(temporary)
            raise
        return fd

    def empty(self, name: str) -> None:
        """Leaves a file there, and nothing in it: this takes no room on a full disk. Raises OSError."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        os.close(os.open(f"{self.path}/{name}", flags, 0o644))

    def remove(self, name: str) -> None:
        """Removes a file; it need not be there. Raises OSError."""
        try:
            os.unlink(f"{self.path}/{name}")
        except FileNotFoundError:
            pass

    def wipe(self, still: Callable[[], bool] | None = None, keep: Container[str] = ()) -> None:
        """
        Removes a life from the directory: pid, temporary files, error, ready, heartbeats, start. Raises OSError.

        In that order: the pid goes first, so that no probe believes the rest, and no writer of that life begins
        another write; then what those have at hand who had looked before; and start goes last, so that a probe that had
        read the pid still finds out that it is not that of a new process. Ends when ``still`` says no, and leaves what
        is in ``keep`` by then.
        """
        for name in self._of_a_life():
            if still is not None and not still():
                return
            if name not in keep:
                self.remove(name)

    def _of_a_life(self) -> Iterator[str]:
        yield "pid"
        beat = f"{self.path}/beat"
        if os.path.islink(beat) or (os.path.lexists(beat) and not os.path.isdir(beat)):
            # A link: what it leads to is not ours to empty.
            yield "beat"
        for folder in ("", "beat/"):
            for name in _list(f"{self.path}/{folder}"):
                if _is_temporary(name):
                    yield folder + name
        yield "error"
        yield "ready"
        for name in _list(beat):
            if not name.startswith("."):
                yield f"beat/{name}"
        yield "start"

    def remove_beat_if(self, name: str, dead: Callable[[Beat], bool]) -> None:
        """
        Removes a heartbeat if, taken aside, it still is a dead one's. Raises OSError.

        Between a look and an unlink its name may have been taken by a successor, who would be forgotten.
        """
        path, aside = f"{self.path}/beat/{name}", f"{self.path}/beat/.{name}.{os.urandom(6).hex()}"
        try:
            os.rename(path, aside)
            beat = decode_beat(_read(aside))
            if beat is None or not dead(beat):
                os.link(aside, path)
        except (FileExistsError, FileNotFoundError):
            # There is a newer one by now; or another successor was faster.
            pass
        finally:
            _unlink(aside)


def _read(path: str) -> bytes:
    # A look first: to open a FIFO or a device can wait, or do something.
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(errno.EINVAL, "not a regular file", path)
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        return os.read(fd, 1 << 20)
    finally:
        os.close(fd)


def _make_folder(path: str) -> None:
    os.mkdir(path, 0o755)
    # Whatever the umask took away; whatever a set-group-id parent gave stays.
    os.chmod(path, stat.S_IMODE(os.stat(path).st_mode) | 0o755)


def _list(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except FileNotFoundError:
        return []


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass


def _is_temporary(name: str) -> bool:
    # .pid.0123456789ab, and no dot file of anybody else's
    dot, _, random = name.rpartition(".")
    return dot.startswith(".") and len(dot) > 1 and len(random) == 12 and not random.strip("0123456789abcdef")


def _is_absent(path: str, error: OSError) -> bool:
    # Only what is not there is absent. A link that leads nowhere is there; a folder that we may not search may hold
    # anything.
    return error.errno in (errno.ENOENT, errno.ELOOP, errno.ENAMETOOLONG) and not os.path.lexists(path)
