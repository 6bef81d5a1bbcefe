"""Leases on the disk: how this process writes its own, and what it may do with those of others."""

from __future__ import annotations

import os

from . import log, proc
from .directory import Directory, Unreadable, way_out, why
from .errors import LivenessError
from .formats import Lease, encode_lease
from .membership import Membership
from .names import role_of


class Leases:
    """The folders ``beat/``, ``job/``, ``check/`` and ``expect/`` of one unit. Files are named ``beat/main``."""

    __slots__ = ("directory", "membership")

    def __init__(self, membership: Membership) -> None:
        self.membership = membership
        self.directory: Directory = membership.directory

    def write(self, file: str, lease: Lease, is_new: bool = False) -> bool:
        """
        Writes a lease. Returns False if this process may not write it any more, which is logged once.

        Raises OSError, and FileExistsError if the lease must be new and there is one.
        """
        data, still = encode_lease(lease), self.membership.may_write_lease
        self.membership.written.add(file)
        try:
            is_written = self.directory.write(file, data, still, is_new)
        except FileNotFoundError:
            # No folder yet; or the life was removed while we wrote, which is seen the second time.
            is_written = still()
            if is_written:
                self.directory.make_folder(file.partition("/")[0])
                is_written = self.directory.write(file, data, still, is_new)
        if not is_written:
            self.membership.log_over()
        return is_written

    def remove(self, file: str) -> None:
        """
        Removes a lease of this process; it need not exist. Raises LivenessError.

        Nothing happens if this process may not write leases, which is logged once.
        """
        if not self.is_allowed():
            return
        try:
            self.directory.remove(file)
        except OSError as error:
            raise LivenessError(
                f"{self.directory.path}/{file}: cannot remove: {why(error)} (it goes stale, and the probe fails)"
            ) from error

    def is_allowed(self) -> bool:
        """Whether this process may write leases. If that cannot be told, its life decides, as before a rename."""
        try:
            return self.membership.member() is not None
        except LivenessError:
            # Nobody has loaded the unit.
            return False
        except (OSError, Unreadable):
            return self.membership.may_write_lease()

    def cannot_write(self, file: str, error: Exception) -> LivenessError:
        """The error for a lease that cannot be written."""
        path = self.directory.path
        return LivenessError(f"{path}/{file}: cannot write: {why(error)} ({way_out(path, error)})")

    # Leases of other processes

    def living_owner(self, file: str) -> int | None:
        """The pid of the process whose lease this is, if that process is known to be alive."""
        try:
            lease = self.directory.lease(file)
            return lease.pid if lease is not None and proc.is_alive(lease.pid, lease.start) else None
        except (OSError, Unreadable):
            return None

    def has_fellow(self, file: str) -> bool:
        """Whether another process of the same role has a fresh lease."""
        folder, name = os.path.split(file)
        try:
            return any(self._is_fresh(f"{folder}/{other}") for other in self._others(folder, name))
        except (OSError, ValueError, Unreadable):
            return False

    def _is_fresh(self, file: str) -> bool:
        lease = self.directory.lease(file)
        return lease is not None and lease.is_fresh(proc.uptime()) and proc.is_alive(lease.pid, lease.start)

    def sweep(self, file: str) -> None:
        """Removes the leases of dead processes of the same role (in ``job/``, of any): they have a successor now."""
        folder, name = os.path.split(file)
        try:
            for other in self._others(folder, name):
                lease = self.directory.lease(f"{folder}/{other}")
                if lease is not None and _is_dead(lease):
                    self.directory.remove_lease(f"{folder}/{other}", _is_dead)
        except (OSError, Unreadable) as error:
            log.warning(
                "%s: cannot remove the leases of dead processes in %s: %s", self.directory.path, folder, why(error)
            )

    def _others(self, folder: str, name: str) -> list[str]:
        role = role_of(name)
        if folder != "job" and not role:
            return []
        return [
            other
            for other in self.directory.names(folder)
            if other != name and (folder == "job" or role_of(other) == role)
        ]


def _is_dead(lease: Lease) -> bool:
    try:
        return not proc.is_alive(lease.pid, lease.start)
    except OSError:
        # Hidden: perhaps alive.
        return False
