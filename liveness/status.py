"""All units of a run directory, as rows and as a table: the output of ``liveness status``."""

from __future__ import annotations

import os
import shutil
import textwrap

from . import names, probe, proc
from .directory import Directory, Unreadable
from .formats import FOLDERS, Lease, is_count, lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_FILES = ("pid", "start", "error", "ready", *FOLDERS)
_RED, _GREEN, _YELLOW, _PLAIN = "\033[31m", "\033[32m", "\033[33m", "\033[0m"
# The columns and their widths. On a narrow terminal the rightmost columns are left out.
_COLUMNS = (("VERDICT", 9), ("READY", 5), ("PID", 7), ("AGE", 6), ("CPU%", 5), ("MEM", 5), ("THR", 4), ("FILES", 5))
# A space at which no line ends.
_GLUE = "\xa0"
# The most lines that one kind of lease may take in the table: a pool may have hundreds of heartbeats.
_REMARK_LINES = 3


class Row:
    """One unit. Unknown values are None, for example if the process has ended or psutil is not installed."""

    __slots__ = (
        "age",
        "beats",
        "checks",
        "cpu_percent",
        "expectations",
        "files",
        "healthy",
        "jobs",
        "memory",
        "pid",
        "ready",
        "ready_reason",
        "reason",
        "threads",
        "unit",
    )

    def __init__(self, unit: str, rundir: str) -> None:
        live, ready = probe.live(unit, rundir), probe.ready(unit, rundir)
        self.unit = unit
        self.healthy = live.healthy
        self.reason = live.reason
        self.ready = ready.healthy
        self.ready_reason = ready.reason
        directory = Directory(f"{rundir}/{unit}")
        self.pid = _pid(directory)
        # The leases by name; see _as_dict.
        self.beats, self.jobs, self.checks, self.expectations = (_leases(directory, folder) for folder in FOLDERS)
        for role, expectation in self.expectations.items():
            #: The number of fresh heartbeats of the role, of which the code is the expected number.
            expectation["fresh"] = _count_fresh(self.beats, role)
        #: Seconds since the process was started.
        self.age: float | None = None
        #: Percent of one core, on average since the process was started.
        self.cpu_percent: float | None = None
        #: Resident memory, in bytes.
        self.memory: int | None = None
        self.threads: int | None = None
        #: Open files, including sockets.
        self.files: int | None = None
        if self.pid is not None and not self.reason.endswith((" is gone", " belongs to another process")):
            self._measure(self.pid)

    def _measure(self, pid: int) -> None:
        try:
            import psutil
        except ImportError:
            return
        try:
            process = psutil.Process(pid)
            with process.oneshot():
                found = proc.find(pid)
                if found is not None:
                    self.age = max(0.0, proc.clock() - int(found.start) / os.sysconf("SC_CLK_TCK"))
                times = process.cpu_times()
                self.cpu_percent = 100 * (times.user + times.system) / max(self.age or 0.0, 0.01)
                self.memory = process.memory_info().rss
                self.threads = process.num_threads()
                self.files = process.num_fds()
        except (psutil.Error, OSError, ValueError):
            # The process has just ended, or belongs to another user. What is known by now is shown.
            pass

    def as_dict(self) -> dict[str, object]:
        """The row for JSON, in seconds, bytes and percent; unknown values are null."""
        found = {name: getattr(self, name) for name in self.__slots__}
        return {name: round(value, 2) if isinstance(value, float) else value for name, value in found.items()}


def rows(rundir: str) -> list[Row]:
    """
    One row for each directory in ``rundir`` that contains a state file, sorted by name.

    A run directory that does not exist or cannot be read has no rows.
    """
    try:
        found = sorted(os.listdir(rundir))
    except OSError:
        return []
    return [
        Row(name, rundir)
        for name in found
        if names.is_name(name, names.UNIT_NAME_LENGTH) and _is_unit(f"{rundir}/{name}")
    ]


def _is_unit(path: str) -> bool:
    return any(os.path.lexists(f"{path}/{file}") for file in _FILES)


def _pid(directory: Directory) -> int | None:
    try:
        text = lines(directory.read("pid") or b"")[0]
    except Unreadable:
        return None
    return int(text) if is_count(text, 7) else None


def _leases(directory: Directory, folder: str) -> dict[str, dict[str, Any]]:
    found = {}
    try:
        now = proc.uptime()
        for name in directory.names(folder):
            lease = directory.lease(f"{folder}/{name}") if names.is_name(name, names.LEASE_NAME_LENGTH) else None
            # A malformed lease is the reason of the verdict.
            if lease is not None:
                found[name] = _as_dict(lease, now)
    except (OSError, ValueError, Unreadable):
        pass
    return found


def _as_dict(lease: Lease, now: int) -> dict[str, Any]:
    alive: bool | None = None
    try:
        alive = proc.is_alive(lease.pid, lease.start)
    except OSError:
        # /proc hides the process.
        pass
    return {
        "age": lease.age(now),
        "ttl": lease.ttl,
        "pid": lease.pid,
        "alive": alive,
        "code": int(lease.code),
        "reason": lease.reason,
    }


def _count_fresh(beats: dict[str, dict[str, Any]], role: str) -> int:
    return sum(
        names.role_of(name) == role and beat["alive"] is not False and 0 <= beat["age"] <= beat["ttl"]
        for name, beat in beats.items()
    )


# The table


def width() -> int:
    """Columns of the terminal; 80 if there is none."""
    return shutil.get_terminal_size((80, 24)).columns


def table(units: list[Row], columns: int, colored: bool) -> str:
    """
    The table, at most ``columns`` wide: a line for each unit, and below it the reason, if any, and the leases.

    The name of a unit is never cut. A name without enough room has a line of its own.
    """
    shown = list(_COLUMNS)
    while len(shown) > 2 and columns - sum(size + 1 for _, size in shown) < 16:
        shown.pop()
    room = min(max([4, *(len(row.unit) for row in units)]), max(8, columns - sum(size + 1 for _, size in shown)))
    lines = [" ".join(["UNIT".ljust(room), *(name.rjust(size) for name, size in shown)])]
    for row in units:
        cells = _cells(row)
        first = row.unit
        if len(first) > room:
            lines.append(first)
            first = ""
        texts = [_painted(name, cells[name].rjust(size), row, colored) for name, size in shown]
        lines.append(" ".join([first.ljust(room), *texts]))
        lines += [f"  {text}" for text in _remarks(row, columns - 2)]
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _cells(row: Row) -> dict[str, str]:
    return {
        "VERDICT": "healthy" if row.healthy else "UNHEALTHY",
        "READY": "yes" if row.ready else "no",
        "PID": "-" if row.pid is None else str(row.pid),
        "AGE": "-" if row.age is None else _duration(row.age),
        "CPU%": "-" if row.cpu_percent is None else f"{row.cpu_percent:.1f}",
        "MEM": "-" if row.memory is None else _size(row.memory),
        "THR": "-" if row.threads is None else str(row.threads),
        "FILES": "-" if row.files is None else str(row.files),
    }


def _painted(name: str, text: str, row: Row, colored: bool) -> str:
    if not colored or name not in ("VERDICT", "READY"):
        return text
    if name == "VERDICT":
        return f"{_GREEN if row.healthy else _RED}{text}{_PLAIN}"
    return f"{_GREEN if row.ready else _YELLOW}{text}{_PLAIN}"


def _remarks(row: Row, columns: int) -> list[str]:
    found = []
    if not row.healthy:
        found.append(row.reason)
    elif not row.ready:
        found.append(row.ready_reason)
    for title, leases in (("heartbeats", row.beats), ("jobs", row.jobs), ("checks", row.checks)):
        if leases:
            found.append(f"{title}: {', '.join(_lease_text(name, lease) for name, lease in leases.items())}")
    if row.expectations:
        found.append(f"expected: {', '.join(_expectation_text(*item) for item in row.expectations.items())}")
    return [line for text in found for line in _wrapped(text, max(columns, 10))]


def _lease_text(name: str, lease: dict[str, Any]) -> str:
    if lease["alive"] is False:
        return f"{name}{_GLUE}(process{_GLUE}gone)"
    trouble = f": {lease['reason'] or lease['code']}" if lease["code"] else ""
    return f"{name}{_GLUE}{lease['age']}/{lease['ttl']}{_GLUE}s{trouble}"


def _expectation_text(role: str, lease: dict[str, Any]) -> str:
    if lease["alive"] is False:
        return f"{role}{_GLUE}(process{_GLUE}gone)"
    return f"{role}{_GLUE}{lease['fresh']}{_GLUE}of{_GLUE}{lease['code']}"


def _wrapped(text: str, columns: int) -> list[str]:
    found = textwrap.wrap(
        text, columns, subsequent_indent="  ", break_on_hyphens=False, max_lines=_REMARK_LINES, placeholder=" ..."
    )
    return [line.replace(_GLUE, " ") for line in found]


def _duration(seconds: float) -> str:
    whole = int(seconds)
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if whole >= size:
            smaller = {"d": ("h", 3600), "h": ("m", 60), "m": ("s", 1)}[unit]
            return f"{whole // size}{unit}{whole % size // smaller[1]}{smaller[0]}"
    return f"{whole}s"


def _size(count: int) -> str:
    size = float(count)
    for unit in ("B", "K", "M", "G"):
        if size < 1000:
            return f"{size:.0f}{unit}"
        size /= 1024
    return f"{size:.1f}T"
