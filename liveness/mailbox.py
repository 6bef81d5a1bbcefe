"""The socket for the messages of sd_notify(3), in the state directory of a unit."""

from __future__ import annotations

import os
import socket
import struct

from .directory import why
from .errors import LivenessError
from .notify import LONGEST

# struct ucred of unix(7): pid, uid, gid.
_CREDENTIALS = struct.Struct("iII")
# The kernel passes at most 253 descriptors in one message.
_ANCILLARY = socket.CMSG_SPACE(_CREDENTIALS.size) + socket.CMSG_SPACE(253 * 4)
# Bytes of a socket's path, see unix(7).
_LONGEST_PATH = 107


class Mail:
    """One message: its text, and its sender as reported by the kernel."""

    __slots__ = ("data", "descriptors", "pid", "uid")

    def __init__(self, data: bytes) -> None:
        #: Empty if the message was too long.
        self.data = data
        #: 0 for a sender in another pid namespace.
        self.pid = 0
        self.uid = -1
        self.descriptors: list[int] = []

    def close(self) -> None:
        """
        Closes the descriptors that came with it.

        The sender of BARRIER=1 waits for that. The others are not kept, although the sender may have said FDSTORE=1.
        """
        for descriptor in self.descriptors:
            os.close(descriptor)


class Mailbox:
    """The socket. Raises LivenessError if it cannot be made."""

    def __init__(self, folder: str) -> None:
        self.path = path_in(folder)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        # The kernel adds to each message who sent it.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        try:
            self._unlink()
            self.socket.bind(self.path)
            # Any user may send: the program may drop its privileges. Whose messages count is decided by the sender.
            os.chmod(self.path, 0o666)
        except OSError as error:
            self.socket.close()
            raise LivenessError(f"{self.path}: cannot create the socket: {why(error)}") from error

    def read(self) -> Mail | None:
        """The next message, or None if there is none now."""
        try:
            data, ancillary, flags, _ = self.socket.recvmsg(LONGEST, _ANCILLARY, socket.MSG_CMSG_CLOEXEC)
        except (BlockingIOError, InterruptedError):
            return None
        mail = Mail(b"" if flags & socket.MSG_TRUNC else data)
        for level, kind, content in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
                mail.pid, mail.uid, _ = _CREDENTIALS.unpack(content[: _CREDENTIALS.size])
            elif (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                count = len(content) // 4
                mail.descriptors += struct.unpack(f"{count}i", content[: count * 4])
        return mail

    def close(self) -> None:
        """Closes and removes the socket."""
        self.socket.close()
        self._unlink()

    def _unlink(self) -> None:
        try:
            os.unlink(self.path)
        except FileNotFoundError:
            pass


def path_in(folder: str) -> str:
    """The path of the socket in a state directory. Raises LivenessError if it is too long for a socket."""
    path = f"{folder}/notify"
    length = len(os.fsencode(path))
    if length > _LONGEST_PATH:
        raise LivenessError(
            f"{path}: too long for a socket: {length} bytes, at most {_LONGEST_PATH} (set a shorter LIVENESS_RUNDIR or "
            f"LIVENESS_UNIT_NAME)"
        )
    return path
