"""
The verdict on a unit, in Python: what health.sh says, in the same words.

For HTTP endpoints, commands, and images without a shell, where ``python -m liveness.probe`` is the exec probe. It only
reads, never blocks, and raises nothing but BadArgument.
"""

from __future__ import annotations

import os
import sys

from . import proc, state
from .errors import BadArgument, LivenessError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Path = str | os.PathLike[str]


class Verdict:
    """Whether a unit is healthy, and why; true if it is."""

    __slots__ = ("healthy", "reason", "unitname")

    def __init__(self, unitname: str, healthy: bool, reason: str) -> None:
        self.unitname = unitname
        self.healthy = healthy
        #: One line, for people; of a healthy unit too.
        self.reason = reason

    def __bool__(self) -> bool:
        return self.healthy

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Verdict):
            return NotImplemented
        return (self.unitname, self.healthy, self.reason) == (other.unitname, other.healthy, other.reason)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Verdict({self.unitname!r}, healthy={self.healthy}, reason={self.reason!r})"

    def __str__(self) -> str:
        """The line that health.sh prints, -v included."""
        return f"liveness: {self.unitname}: {'healthy: ' if self.healthy else ''}{self.reason}"


def live(unitname: str | None = None, rundir: Path | None = None) -> Verdict:
    """
    The process of the unit exists, has declared itself healthy, and none of its heartbeats is stale.

    Both names are found as everywhere: the argument, else the environment, else the hostname under /run. Raises
    BadArgument for names that cannot be.
    """
    return _judge(_live, unitname, rundir)


def ready(unitname: str | None = None, rundir: Path | None = None) -> Verdict:
    """It is live, and has not declared itself unready. Arguments and errors are those of live()."""
    return _judge(_ready, unitname, rundir)


class _Unhealthy(Exception):
    """The reason, as the line says it."""


def _judge(verdict: Callable[[state.Directory], str], unitname: str | None, rundir: Path | None) -> Verdict:
    folder = state.find_rundir(rundir)
    try:
        name = state.find_unitname(unitname)
    except BadArgument:
        raise
    except LivenessError:
        return Verdict("?", False, "cannot read /proc")
    try:
        return Verdict(name, True, verdict(state.Directory(f"{folder}/{name}")))
    except (_Unhealthy, state.Unreadable, OSError) as error:
        return Verdict(name, False, str(error))


def _ready(unit: state.Directory) -> str:
    reason = _live(unit)
    declared = unit.read("ready")
    if declared is not None:
        _declares_none(declared, "ready code is not a number", "not ready")
    return reason


def _live(unit: state.Directory) -> str:
    process = _identity(unit)
    declared = unit.read("error")
    if declared is None:
        raise _Unhealthy(f"not set (no error code in {_shown(unit.path)})")
    _declares_none(declared, "error code is not a number", "error {}")
    beats = _fresh_heartbeats(unit)
    return f"process {process.pid}, error 0, fresh heartbeats: {beats}"


def _identity(unit: state.Directory) -> proc.Process:
    data = unit.read("pid")
    if data is None:
        raise _Unhealthy(f"not loaded (no pid in {_shown(unit.path)})")
    pid = state.lines(data)[0]
    if not state.is_count(pid, 7):
        raise _Unhealthy("pid is not a number")
    process = proc.find(pid.decode())
    if process is None:
        raise _Unhealthy(f"process {pid.decode()} is gone")
    if process.is_zombie():
        raise _Unhealthy(f"process {pid.decode()} is a zombie")
    # Identity before error: who replaces an old life removes its start last.
    data = unit.read("start")
    if data is not None:
        start = state.lines(data)[0]
        if not state.is_number(start, 20):
            raise _Unhealthy("start is not a number")
        if start.decode() != process.start:
            raise _Unhealthy(f"pid {pid.decode()} belongs to another process")
    return process


def _declares_none(data: bytes, malformed: str, declared: str) -> None:
    code, reason = state.decode_code(data)
    if code is None:
        raise _Unhealthy(malformed)
    if code != "0":
        raise _Unhealthy(declared.format(code) + (f": {reason}" if reason else ""))


def _fresh_heartbeats(unit: state.Directory) -> int:
    # Twice: a folder that changes while it is listed may hide a fresh one.
    beats, orphaned = _heartbeats(unit)
    if orphaned:
        beats, orphaned = _heartbeats(unit)
    if orphaned:
        raise _Unhealthy(f"no heartbeat of any '{orphaned[0]}'")
    return beats


def _heartbeats(unit: state.Directory) -> tuple[int, list[str]]:
    """How many heartbeats are fresh, and the roles of which every one is dead."""
    names = unit.beats()
    fresh = 0
    fresh_roles = set()
    buried = []
    # The clock first: a probe that is held up here must not count its own delay as the worker's.
    now = _clock() if names else 0
    for name in names:
        if not state.is_name(name, 100):
            raise _Unhealthy(f"bad heartbeat name in {_shown(unit.path)}/beat")
        data = unit.read(f"beat/{name}")
        if data is None:
            continue
        beat = state.decode_beat(data)
        if beat is None:
            raise _Unhealthy(f"heartbeat '{name}' is malformed")
        if beat.age(now) < 0:
            # Perhaps it was written after we looked at the clock.
            now = _clock()
        role = state.role_of(name)
        if beat.is_fresh(now):
            fresh += 1
            fresh_roles.add(role)
        elif role and _is_dead(beat):
            buried.append(role)
        elif beat.age(now) < 0:
            raise _Unhealthy(f"heartbeat '{name}' is from the future")
        else:
            raise _Unhealthy(f"no heartbeat '{name}' for {beat.age(now)} s (limit {beat.ttl} s)")
    return fresh, [role for role in buried if role not in fresh_roles]


def _is_dead(beat: state.Beat) -> bool:
    process = proc.find(beat.pid)
    return process is None or process.is_zombie() or process.start != beat.start


def _clock() -> int:
    try:
        return proc.uptime()
    except (OSError, ValueError):
        raise _Unhealthy("cannot read /proc") from None


def _shown(path: str) -> str:
    # No more than 200 bytes of it: the line has 512.
    return os.fsdecode(os.fsencode(path)[: state.REASON_BYTES])


# The command


_HELP = """\
python -m liveness.probe - what health.sh does, for images without a shell

Usage: python -m liveness.probe [-h] [-q] [-v] [-d RUNDIR] [-u UNITNAME]... [live|ready]

  live         the process exists, has declared itself healthy, and none of
               its heartbeats is stale (the default; startup probes too)
  ready        live, and not declared unready

  -d RUNDIR    where the units are ($LIVENESS_RUNDIR, else /run)
  -u UNITNAME  the unit ($LIVENESS_UNIT_NAME, else the kernel's hostname);
               given more than once, every one of them must pass
  -q           say nothing, the exit status is enough
  -v           say why a healthy unit is healthy, too
  -h           this help

Exit status: 0 healthy, 1 not, 2 misuse. What is wrong is one line on standard
error: the kubelet shows it in the pod's events.
"""


class _Misuse(Exception):
    """Called wrongly: what is wrong, and the argument that is."""

    def __init__(self, what: str, argument: str = "") -> None:
        shown = f": {argument[:60]}" if argument and all(" " <= character <= "~" for character in argument) else ""
        super().__init__(f"liveness: {what}{shown} (python -m liveness.probe -h explains)")


class _Options:
    __slots__ = ("help", "mode", "quiet", "rundir", "units", "verbose")

    def __init__(self, arguments: Sequence[str]) -> None:
        self.mode = ""
        self.rundir = os.environ.get("LIVENESS_RUNDIR") or "/run"
        self.units: list[str] = []
        self.help = self.quiet = self.verbose = False
        rest = iter(arguments)
        for argument in rest:
            if argument in ("-h", "--help"):
                self.help = True
                return
            if argument == "-q":
                self.quiet = True
            elif argument == "-v":
                self.verbose = True
            elif argument in ("-d", "-u"):
                value = next(rest, None)
                if value is None:
                    raise _Misuse("option needs a value", argument)
                if argument == "-d":
                    self.rundir = value
                else:
                    self.units.append(_unit_name(value))
            elif argument in ("live", "ready"):
                if self.mode:
                    raise _Misuse("one verdict at a time", f"{self.mode} {argument}")
                self.mode = argument
            else:
                raise _Misuse("unknown argument", argument)
        if any(character < " " or character == "\x7f" for character in self.rundir):
            raise _Misuse("control characters in RUNDIR")
        if not self.rundir.startswith("/"):
            raise _Misuse("RUNDIR is not an absolute path", self.rundir)


def _unit_name(name: str) -> str:
    if not state.is_name(name, 200):
        raise _Misuse("bad unit name (1 to 200 of A-Z a-z 0-9 . _ -, first neither . nor -)", name)
    return name


def main(arguments: Sequence[str]) -> int:
    """Runs the command with these arguments, those of health.sh, and returns its exit status: 0, 1 or 2."""
    try:
        options = _Options(arguments)
        if options.help:
            _say(1, _HELP)
            return 0
        units: list[str | None] = [*options.units]
        if not units:
            try:
                units = [_unit_name(os.environ.get("LIVENESS_UNIT_NAME") or state.hostname())]
            except LivenessError:
                units = [None]
    except _Misuse as error:
        _say(2, f"{error}\n")
        return 2
    verdict = ready if options.mode == "ready" else live
    for unit in units:
        found = verdict(unit, options.rundir)
        if not found:
            if not options.quiet:
                _say(2, f"{found}\n")
            return 1
        if options.verbose:
            _say(1, f"{found}\n")
    return 0


def _say(descriptor: int, text: str) -> None:
    # Past sys.stderr, which may be missing or buffered; that nobody listens changes no verdict.
    try:
        os.write(descriptor, os.fsencode(text))
    except OSError:
        pass


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
