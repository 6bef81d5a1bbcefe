"""An id that stays the same for an application on a host, in a file that only this user can have written."""

from __future__ import annotations

import os
import re
import stat
import tempfile
import uuid


def instance_id(app_name: str, file: str | None = None) -> str | None:
    """
    The id in ``file``, by default in the folder for temporary files. It is created by the first call.

    None if the file cannot be written, is a link, or could have been written by another user.
    """
    name = re.sub(r"[^A-Za-z0-9._-]", "_", app_name)[:100]
    try:
        # A read-only root has no folder for temporary files.
        file = file or os.path.join(tempfile.gettempdir(), f"{name}-service-instance-id")
        if not os.path.lexists(file):
            _create(file, uuid.uuid4().hex)
        return _read(file)
    except (OSError, ValueError):
        return None


def _create(file: str, text: str) -> None:
    new = f"{file}.{uuid.uuid4().hex}"
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "w") as opened:
            opened.write(f"{text}\n")
        # Other workers may do the same at this moment: one of them wins, and no reader sees half a file.
        os.link(new, file)
    except FileExistsError:
        pass
    finally:
        os.unlink(new)


def _read(file: str) -> str | None:
    descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as opened:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
            return None
        text = opened.read(100).decode("ascii", "replace").strip()
    return text if re.fullmatch("[0-9a-f]{32}", text) else None
