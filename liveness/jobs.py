"""Jobs that must end in time (``job/``), and how many workers of a role there must be (``expect/``)."""

from __future__ import annotations

from . import log, proc
from .directory import Unreadable
from .errors import LivenessError
from .formats import LARGEST_TTL, Lease, whole_within
from .leases import Leases
from .names import check_lease_name


class Jobs:
    """The deadlines and expectations of one unit that this process writes. The verbs are described at ``Unit``."""

    __slots__ = ("_count", "_leases", "_swept")

    def __init__(self, leases: Leases) -> None:
        self._leases = leases
        self._count = 0
        # The number of forks when this process last removed the jobs of dead processes.
        self._swept = -1

    def start(self, seconds: int, name: str | None) -> str:
        """Writes a job with its limit, and returns its file; empty if this process may not write."""
        try:
            me = self._leases.membership.member()
            if me is None:
                return ""
            while True:
                self._count += 1
                number = f"{me.pid}-{self._count}"
                # Several jobs may have one name at one time; each needs a file of its own.
                for file in (f"job/{name}", f"job/{name[:70]}.{number}") if name else (f"job/{number}",):
                    try:
                        lease = Lease(proc.uptime(), seconds, me.pid, me.start)
                        if not self._leases.write(file, lease, is_new=True):
                            return ""
                    except FileExistsError:
                        continue
                    self._sweep_once(file)
                    return file
        except (OSError, ValueError, Unreadable) as error:
            raise self._leases.cannot_write(f"job/{name or ''}", error) from error

    def _sweep_once(self, file: str) -> None:
        # A pool that starts a process for each job would else leave a file of each that was killed.
        if self._swept != proc.forks:
            self._swept = proc.forks
            self._leases.sweep(file)

    def end(self, file: str) -> None:
        """Removes a job. Never raises: what the job has done is done."""
        try:
            self._leases.remove(file)
        except LivenessError as error:
            log.warning("%s", error)

    def expect(self, role: str, count: int, within: int) -> None:
        """Writes an expectation, or removes it if the count is 0."""
        check_lease_name("role", role)
        number = whole_within("count", count, 0, LARGEST_TTL)
        seconds = whole_within("within", within, 1, LARGEST_TTL, "whole seconds")
        if not proc.LINUX:
            return
        file = f"expect/{role}"
        if not number:
            self._leases.remove(file)
            return
        try:
            me = self._leases.membership.member()
            if me is None:
                return
            lease = Lease(proc.uptime(), seconds, me.pid, me.start, str(number))
            # A call that changes nothing must not begin the time again: in a loop, it would never be over.
            if not self._is_written(file, lease):
                self._leases.write(file, lease)
        except (OSError, ValueError, Unreadable) as error:
            raise self._leases.cannot_write(file, error) from error

    def _is_written(self, file: str, wanted: Lease) -> bool:
        try:
            found = self._leases.directory.lease(file)
        except Unreadable:
            return False
        return found is not None and all(
            getattr(found, field) == getattr(wanted, field) for field in ("ttl", "pid", "start", "code")
        )
