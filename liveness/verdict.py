"""The rules of the verdict: which files are read, in which order, and what is wrong. health.sh has the same rules."""

from __future__ import annotations

import os

from . import proc
from .directory import Directory
from .formats import REASON_BYTES, Lease, decode_code, decode_lease, is_count, is_number, lines
from .names import LEASE_NAME_LENGTH, is_name, role_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_NOUNS = {"beat": "heartbeat", "job": "job", "check": "check", "expect": "expectation"}


class Unhealthy(Exception):
    """The verdict is no; the text is the reason."""


def live(unit: Directory) -> str:
    """Why the unit is healthy. Raises Unhealthy, Unreadable, and OSError if /proc cannot be read."""
    return _live(unit, _Leases(unit, _process(unit)))


def ready(unit: Directory) -> str:
    """Why the unit is healthy and ready. Raises what ``live`` raises."""
    leases = _Leases(unit, _process(unit))
    reason = _live(unit, leases)
    declared = unit.read("ready")
    if declared is not None:
        _require_zero(declared, "ready code is not a number", "not ready")
    leases.heartbeats("check")
    return reason


def _live(unit: Directory, leases: _Leases) -> str:
    error = unit.read("error")
    if error is None:
        raise Unhealthy(f"not set (no error code in {_cut(unit.path)})")
    _require_zero(error, "error code is not a number", "error {}")
    heartbeats = leases.heartbeats("beat")
    leases.jobs()
    leases.expectations(heartbeats)
    return f"process {leases.process.pid}, error 0, fresh heartbeats: {len(heartbeats)}"


def _process(unit: Directory) -> proc.Process:
    data = unit.read("pid")
    if data is None:
        raise Unhealthy(f"not loaded (no pid in {_cut(unit.path)})")
    pid = lines(data)[0]
    if not is_count(pid, 7):
        raise Unhealthy("pid is not a number")
    process = proc.find(pid.decode())
    if process is None:
        raise Unhealthy(f"process {pid.decode()} is gone")
    if process.is_zombie():
        raise Unhealthy(f"process {pid.decode()} is a zombie")
    # Identity before error: a process that removes an old life removes its start last.
    data = unit.read("start")
    if data is not None:
        start = lines(data)[0]
        if not is_number(start, 20):
            raise Unhealthy("start is not a number")
        if start.decode() != process.start:
            raise Unhealthy(f"pid {pid.decode()} belongs to another process")
    return process


def _require_zero(data: bytes, malformed: str, declared: str) -> None:
    code, reason = decode_code(data)
    if code is None:
        raise Unhealthy(malformed)
    if code != "0":
        raise Unhealthy(declared.format(code) + (f": {reason}" if reason else ""))


class _Leases:
    """The leases of a unit, for one verdict."""

    def __init__(self, unit: Directory, process: proc.Process) -> None:
        self._unit = unit
        self.process = process
        self._now = -1

    def heartbeats(self, folder: str) -> list[str]:
        """The names of the fresh leases in ``beat`` or ``check``, all of which are well."""
        # Twice: a folder that changes while it is listed may hide a fresh one.
        fresh, roles = self._fresh_and_orphaned(folder)
        if roles:
            fresh, roles = self._fresh_and_orphaned(folder)
        if roles and folder == "beat":
            raise Unhealthy(f"no heartbeat of any '{roles[0]}'")
        if roles:
            raise Unhealthy(f"not ready: no result of any '{roles[0]}'")
        return fresh

    def _fresh_and_orphaned(self, folder: str) -> tuple[list[str], list[str]]:
        """The names of the fresh leases, and the roles of which every process is dead."""
        fresh, dead = [], []
        for name, lease, is_alive in self._read(folder):
            if not is_alive and role_of(name):
                dead.append(role_of(name))
            else:
                self._require_good(folder, name, lease, is_alive)
                fresh.append(name)
        roles = {role_of(name) for name in fresh}
        return fresh, [role for role in dead if role not in roles]

    def _require_good(self, folder: str, name: str, lease: Lease, is_alive: bool) -> None:
        is_beat = folder == "beat"
        if not is_alive:
            what = f"heartbeat '{name}'" if is_beat else f"not ready: no result of '{name}'"
            raise Unhealthy(f"{what}: process {lease.pid} is gone")
        self._require_past(folder, name, lease)
        if not lease.is_fresh(self._now):
            what = "no heartbeat" if is_beat else "not ready: no result of"
            raise Unhealthy(f"{what} '{name}' for {lease.age(self._now)} s (limit {lease.ttl} s)")
        if lease.code != "0":
            what = f"error {lease.code}" if is_beat else "not ready"
            raise Unhealthy(f"{what}{': ' if lease.reason else ''}{lease.reason} ({name})")

    def jobs(self) -> None:
        """No job of a living process has run for longer than it may."""
        for name, lease, is_alive in self._read("job"):
            # What becomes of a killed job is the matter of its queue.
            if is_alive:
                self._require_past("job", name, lease)
                if not lease.is_fresh(self._now):
                    raise Unhealthy(f"job '{name}' has run for {lease.age(self._now)} s (limit {lease.ttl} s)")

    def expectations(self, heartbeats: list[str]) -> None:
        """Of every role that is expected, there are enough heartbeats."""
        expected = [
            (role, lease.code)
            for role, lease, is_alive in self._read("expect")
            if is_alive and not lease.is_fresh(self._now)
        ]
        for role, count in expected:
            if _count(heartbeats, role) < int(count):
                # Once more: a folder that changes while it is listed may hide a fresh one.
                heartbeats = self.heartbeats("beat")
            if _count(heartbeats, role) < int(count):
                raise Unhealthy(f"{_count(heartbeats, role)} of {count} '{role}' heartbeats")

    def _read(self, folder: str) -> Iterator[tuple[str, Lease, bool]]:
        """Name and lease of each file in a folder, and whether the process that wrote it is alive."""
        names = self._unit.names(folder)
        if names and self._now < 0:
            # The clock first: a probe that is held up here must not count its own delay as the worker's.
            self._now = _clock()
        for name in names:
            if not is_name(name, LEASE_NAME_LENGTH):
                raise Unhealthy(f"bad name in {_cut(self._unit.path)}/{folder}")
            found = self._lease(folder, name)
            if found is not None:
                lease, is_alive = found
                if lease.age(self._now) < 0:
                    # Perhaps it was written after the look at the clock.
                    self._now = _clock()
                yield name, lease, is_alive

    def _lease(self, folder: str, name: str) -> tuple[Lease, bool] | None:
        lease = None
        for _ in range(9):
            data = self._unit.read(f"{folder}/{name}")
            if data is None:
                return None
            lease = decode_lease(data)
            if lease is None or not _is_valid(folder, lease):
                raise Unhealthy(f"{_NOUNS[folder]} '{name}' is malformed")
            if self._is_alive(lease):
                return lease, True
            # A process may remove its lease, and then end, between the two looks.
            if self._unit.read(f"{folder}/{name}") == data:
                break
        return None if lease is None else (lease, False)

    def _is_alive(self, lease: Lease) -> bool:
        if (lease.pid, lease.start) == (self.process.pid, self.process.start):
            return True
        return proc.is_alive(lease.pid, lease.start)

    def _require_past(self, folder: str, name: str, lease: Lease) -> None:
        if lease.age(self._now) < 0:
            raise Unhealthy(f"{_NOUNS[folder]} '{name}' is from the future")


def _is_valid(folder: str, lease: Lease) -> bool:
    """Whether the code is one that a lease in this folder may have."""
    if folder == "job":
        return lease.code == "0"
    return folder != "expect" or is_count(lease.code.encode(), 9)


def _count(heartbeats: list[str], role: str) -> int:
    return sum(role_of(name) == role for name in heartbeats)


def _clock() -> int:
    try:
        return proc.uptime()
    except (OSError, ValueError):
        raise Unhealthy("cannot read /proc") from None


def _cut(path: str) -> str:
    # No more than 200 bytes of a path: the whole line has 512.
    return os.fsdecode(os.fsencode(path)[:REASON_BYTES])
