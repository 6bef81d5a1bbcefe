"""Names: where a unit's state directory is, and what units and leases may be called. health.sh has the same rules."""

from __future__ import annotations

import os

from .errors import BadArgument, LivenessError

#: Longest names, in characters.
UNIT_NAME_LENGTH, LEASE_NAME_LENGTH = 200, 100

_NAME_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")


def find_rundir(argument: str | os.PathLike[str] | None) -> str:
    """
    The directory of all units: the argument, else ``$LIVENESS_RUNDIR``, else ``/run``.

    Raises BadArgument unless it is absolute (a daemon may change its working directory) and free of control characters.
    """
    what = "rundir" if argument is not None else "LIVENESS_RUNDIR"
    rundir = os.fspath(argument) if argument is not None else os.environ.get("LIVENESS_RUNDIR") or "/run"
    if not isinstance(rundir, str):
        raise BadArgument(f"{what}: {rundir!r}: must be text")
    if not rundir.startswith("/"):
        raise BadArgument(f"{what}: {rundir!r}: not an absolute path (begin it with a slash)")
    if any(character < " " or character == "\x7f" for character in rundir):
        raise BadArgument(f"{what}: {rundir!r}: contains control characters")
    return rundir


def find_unitname(argument: str | None) -> str:
    """
    The unit's name: the argument, else ``$LIVENESS_UNIT_NAME``, else the kernel's hostname.

    Raises BadArgument for an invalid name, and LivenessError if the hostname cannot be read.
    """
    if argument is not None:
        what, name = "unitname", argument
    elif os.environ.get("LIVENESS_UNIT_NAME"):
        what, name = "LIVENESS_UNIT_NAME", os.environ["LIVENESS_UNIT_NAME"]
    else:
        what, name = "hostname", hostname()
    if not is_name(name, UNIT_NAME_LENGTH):
        raise BadArgument(
            f"{what}: {name!r}: not a unit name: 1 to 200 of A-Z a-z 0-9 . _ -, beginning with neither . nor -"
            + (" (set LIVENESS_UNIT_NAME)" if what == "hostname" else "")
        )
    return name


def check_lease_name(what: str, name: object) -> None:
    """Raises BadArgument unless this can name a lease. ``what`` is the argument's name in the message."""
    if not is_name(name, LEASE_NAME_LENGTH):
        raise BadArgument(f"{what}: {name!r}: must be 1 to 100 of A-Z a-z 0-9 . _ -, and begin with neither . nor -")


def is_name(text: object, length: int) -> bool:
    """Whether this can name a unit or a lease. As a file name it never leads out of its folder."""
    if not isinstance(text, str) or not 0 < len(text) <= length:
        return False
    return text[0] not in ".-" and _NAME_CHARACTERS.issuperset(text)


def role_of(name: str) -> str:
    """The role in a lease's name ``role.instance``, divided by the last dot; empty for a plain name."""
    return name.rpartition(".")[0]


def hostname() -> str:
    """The kernel's hostname. Raises LivenessError if it is empty or cannot be read."""
    try:
        with open("/proc/sys/kernel/hostname", encoding="ascii", errors="backslashreplace") as file:
            name = file.readline().strip(" \t\n")
    except OSError as error:
        raise LivenessError(
            f"/proc/sys/kernel/hostname: cannot read: {error.strerror} (set LIVENESS_UNIT_NAME)"
        ) from error
    if not name:
        raise LivenessError("/proc/sys/kernel/hostname: is empty (set LIVENESS_UNIT_NAME)")
    return name
