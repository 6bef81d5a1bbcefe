"""All units of a run directory, as rows and as a table: what ``liveness status`` shows."""

from __future__ import annotations

import os
import shutil

from . import probe, proc, state

_FILES = ("pid", "start", "error", "ready", "beat")
_RED, _GREEN, _YELLOW, _PLAIN = "\033[31m", "\033[32m", "\033[33m", "\033[0m"
#: With their widths; where there is no room for all, the rightmost go first.
_COLUMNS = (("VERDICT", 9), ("READY", 5), ("PID", 7), ("AGE", 6), ("CPU%", 5), ("MEM", 5), ("THR", 4), ("FILES", 5))


class Row:
    """One unit. What is not known is None: the process is gone, or psutil is not installed."""

    __slots__ = (
        "age",
        "beats",
        "cpu_percent",
        "files",
        "healthy",
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
        directory = state.Directory(f"{rundir}/{unit}")
        self.pid = _pid(directory)
        self.beats = _beats(directory)
        #: Seconds since the process was started.
        self.age: float | None = None
        #: Of one core, on average over its life.
        self.cpu_percent: float | None = None
        #: Resident, in bytes.
        self.memory: int | None = None
        self.threads: int | None = None
        #: Open files, sockets included.
        self.files: int | None = None
        if self.pid is not None and not self.reason.endswith((" is gone", " belongs to another process")):
            self._ask_psutil(self.pid)

    def _ask_psutil(self, pid: int) -> None:
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
            # It has just ended, or is not ours to look at: then what is known is shown.
            pass

    def as_dict(self) -> dict[str, object]:
        """For JSON: seconds, bytes and percent, null for what is not known."""
        return {name: getattr(self, name) for name in self.__slots__}


def rows(rundir: str) -> list[Row]:
    """Every folder there that holds a state file, by name. One that cannot be read, or is not there, has none."""
    try:
        names = sorted(os.listdir(rundir))
    except OSError:
        return []
    return [Row(name, rundir) for name in names if state.is_name(name, 200) and _is_unit(f"{rundir}/{name}")]


def _is_unit(path: str) -> bool:
    return any(os.path.lexists(f"{path}/{file}") for file in _FILES)


def _pid(directory: state.Directory) -> int | None:
    try:
        text = state.lines(directory.read("pid") or b"")[0]
    except state.Unreadable:
        return None
    return int(text) if state.is_count(text, 7) else None


def _beats(directory: state.Directory) -> dict[str, dict[str, int]]:
    """Age and ttl of each heartbeat, in seconds."""
    found = {}
    try:
        now = proc.uptime()
        for name in directory.beats():
            beat = state.decode_beat(directory.read(f"beat/{name}") or b"") if state.is_name(name, 100) else None
            if beat is not None:
                found[name] = {"age": beat.age(now), "ttl": beat.ttl}
    except (OSError, ValueError, state.Unreadable):
        pass
    return found


# The table


def width() -> int:
    """Columns of the terminal; 80 if there is none."""
    return shutil.get_terminal_size((80, 24)).columns


def table(units: list[Row], columns: int, colored: bool) -> str:
    """The table in so many columns: a line for each unit, and below it what there is to say of it."""
    shown = list(_COLUMNS)
    # Room for the name of a unit; what is longer has a line of its own.
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
    if row.beats:
        found.append(", ".join(f"{name} {beat['age']}/{beat['ttl']} s" for name, beat in row.beats.items()))
    return [text if len(text) <= columns else f"{text[: columns - 3]}..." for text in found]


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
