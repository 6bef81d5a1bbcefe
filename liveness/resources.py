"""
Ready-made checks: free space on a disk, memory, a TCP port that accepts connections, a thread that is alive.

Each function returns a callable for ``Check("disk", disk_free("/data", percent=5), max_age=60)``. Invalid arguments
raise BadArgument at once, not when the check runs.
"""

from __future__ import annotations

import os
import socket
import threading

from .errors import BadArgument, LivenessError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Health = Callable[[], None]

# More than any machine has: cgroup v1 reports a value above it if there is no limit.
_NO_LIMIT = 1 << 60


class ResourceError(LivenessError):
    """A resource is exhausted, or a thread has ended."""


def disk_free(path: str | os.PathLike[str], *, at_least: int = 0, percent: float = 0) -> Health:
    """
    A check: the file system of ``path`` has enough free space for processes that do not run as root.

    ``at_least`` is a number of bytes, ``percent`` a share of the size of the file system. At least one of the two must
    be more than 0. A file system without a free inode also fails.
    """
    place = os.fspath(path)
    if not isinstance(place, str) or not place.startswith("/"):
        raise BadArgument(f"path: {path!r}: not an absolute path")
    if isinstance(at_least, bool) or not isinstance(at_least, int) or at_least < 0:
        raise BadArgument(f"at_least: {at_least!r}: must be whole bytes, 0 or more")
    share = _percent(percent) if percent else 0.0
    if not at_least and not share:
        raise BadArgument("disk_free: needs at_least=BYTES or percent=PERCENT")

    def check() -> None:
        found = os.statvfs(place)
        free = found.f_bavail * found.f_frsize
        # Without the space that is reserved for root, as df(1) computes it.
        size = (found.f_blocks - found.f_bfree + found.f_bavail) * found.f_frsize
        if free < at_least:
            raise ResourceError(f"{place}: {_bytes(free)} free, less than {_bytes(at_least)}")
        if size and free * 100 < share * size:
            raise ResourceError(f"{place}: {free * 100 / size:.1f} % free, less than {share:g} %")
        if found.f_files and not found.f_favail:
            raise ResourceError(f"{place}: no inode is free")

    return _named(f"disk_free({place!r})", check)


def memory_below(percent: float) -> Health:
    """
    A check: the cgroup of this process uses less than ``percent`` of its memory limit. Without a limit it passes.

    The usage is the working set, as a kubelet computes it before an eviction: without the inactive page cache. Works
    with cgroup v1 and v2, see cgroups(7). Of nested limits the nearest one counts.
    """
    share = _percent(percent)

    def check() -> None:
        for used, limit in _memory_limits():
            if used * 100 >= share * limit:
                raise ResourceError(f"{used * 100 / limit:.0f} % of {_bytes(limit)} used, the limit is {share:g} %")

    return _named(f"memory_below({share:g})", check)


def tcp_port(host: str, port: int, timeout: float = 1.0) -> Health:
    """
    A check: a server accepts connections on this port within ``timeout`` seconds.

    The connection is closed at once, and nothing is sent. The limit does not include the name resolution, which an
    address does not need.
    """
    if not isinstance(host, str) or not host:
        raise BadArgument(f"host: {host!r}: must be a name or an address")
    if isinstance(port, bool) or not isinstance(port, int) or not 1 <= port <= 65535:
        raise BadArgument(f"port: {port!r}: must be a whole number from 1 to 65535")
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 < timeout <= 1e6:
        raise BadArgument(f"timeout: {timeout!r}: must be seconds, more than 0")

    def check() -> None:
        with socket.create_connection((host, port), timeout=timeout) as connection:
            # A TCP socket can connect to itself, if the kernel gives it the destination port as its own.
            if connection.getsockname() == connection.getpeername():
                raise ConnectionRefusedError(f"{host}:{port}: no server listens")

    return _named(f"tcp_port({host!r}, {port})", check)


def thread_alive(thread: threading.Thread) -> Health:
    """A check: this thread was started and has not ended. Only a heartbeat finds out that it hangs."""
    if not isinstance(thread, threading.Thread):
        raise BadArgument(f"thread: {thread!r}: not a threading.Thread")

    def check() -> None:
        if not thread.is_alive():
            raise ResourceError(f"{thread.name}: has {'ended' if thread.ident else 'not been started'}")

    return _named(f"thread_alive({thread.name!r})", check)


def _named(name: str, check: Health) -> Health:
    # Its name in reports, unless a Check gives it another one.
    check.__qualname__ = name
    return check


def _percent(value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 100:
        raise BadArgument(f"percent: {value!r}: must be more than 0, and at most 100")
    return float(value)


def _bytes(count: int) -> str:
    size = float(count)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


# cgroups


def _memory_limits() -> list[tuple[int, int]]:
    """Usage and limit, in bytes, of the nearest cgroup of this process with a limit; empty if there is no limit."""
    for folder, (used_file, limit_file, cache) in _memory_folders():
        try:
            limit = _number(f"{folder}/{limit_file}")
            used = _number(f"{folder}/{used_file}")
            with open(f"{folder}/memory.stat") as file:
                unused = next((int(line.split()[1]) for line in file if line.startswith(f"{cache} ")), 0)
        except FileNotFoundError:
            # The root of a hierarchy has no such files.
            continue
        if 0 < limit < _NO_LIMIT:
            return [(max(0, used - unused), limit)]
    return []


_V1 = ("memory.usage_in_bytes", "memory.limit_in_bytes", "total_inactive_file")
_V2 = ("memory.current", "memory.max", "inactive_file")


def _memory_folders() -> list[tuple[str, tuple[str, str, str]]]:
    with open("/proc/self/cgroup") as file:
        own = file.read()
    with open("/proc/self/mountinfo") as file:
        return folders(own, file.read())


def folders(own: str, mounts: str) -> list[tuple[str, tuple[str, str, str]]]:
    """
    The folders of this process's cgroup and its visible parents, nearest first, with the names of their memory files.

    The arguments are the texts of ``/proc/self/cgroup`` and ``/proc/self/mountinfo``; see cgroups(7) and proc(5).
    """
    found = []
    for mount in (line.split() for line in mounts.splitlines()):
        root, point = mount[3], mount[4]
        kind, options = mount[mount.index("-") + 1], mount[-1].split(",")
        for number, controllers, path in (line.split(":", 2) for line in own.splitlines()):
            if kind == "cgroup" and "memory" in options and "memory" in controllers.split(","):
                names = _V1
            elif kind == "cgroup2" and number == "0":
                names = _V2
            else:
                continue
            # In a container the root of the mount may be the cgroup itself.
            above = root.rstrip("/")
            inside = path[len(above) :] if f"{path}/".startswith(f"{above}/") else ""
            parts = [part for part in inside.split("/") if part]
            found += [("/".join([point, *parts[:depth]]), names) for depth in range(len(parts), -1, -1)]
    return found


def _number(path: str) -> int:
    with open(path) as file:
        text = file.read().strip()
    return _NO_LIMIT if text == "max" else int(text)
