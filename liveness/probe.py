"""
The verdict on a unit, in Python: that of health.sh, in the same words.

For HTTP endpoints, commands, and images without a shell, where ``python -m liveness.probe`` is the exec probe. It only
reads, never blocks, and raises nothing but BadArgument.
"""

from __future__ import annotations

import os
import sys

from . import names, verdict
from .directory import Directory, Unreadable
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
        #: One line, for people; also for a healthy unit.
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
    Whether the process of the unit exists, has declared itself healthy, and keeps its promises (leases).

    ``unitname`` is the argument, else ``$LIVENESS_UNIT_NAME``, else the hostname; ``rundir`` is the argument, else
    ``$LIVENESS_RUNDIR``, else ``/run``. Raises BadArgument for invalid names.
    """
    return _judge(verdict.live, unitname, rundir)


def ready(unitname: str | None = None, rundir: Path | None = None) -> Verdict:
    """Whether it is live, not declared unready, and no background check fails. Arguments and errors as in ``live``."""
    return _judge(verdict.ready, unitname, rundir)


def _judge(rules: Callable[[Directory], str], unitname: str | None, rundir: Path | None) -> Verdict:
    folder = names.find_rundir(rundir)
    try:
        name = names.find_unitname(unitname)
    except BadArgument:
        raise
    except LivenessError:
        return Verdict("?", False, "cannot read /proc")
    try:
        return Verdict(name, True, rules(Directory(f"{folder}/{name}")))
    except (verdict.Unhealthy, Unreadable, OSError) as error:
        return Verdict(name, False, str(error))


# The command


_HELP = """\
python -m liveness.probe - what health.sh does, for images without a shell

Usage: python -m liveness.probe [-h] [-q] [-v] [-d RUNDIR] [-u UNITNAME]... [live|ready]

  live         the process exists, has declared itself healthy, and keeps its
               promises: heartbeats, deadlines, expectations (the default; use
               it for startup probes, too)
  ready        live, not declared unready, and no background check fails

  -d RUNDIR    the directory of all units ($LIVENESS_RUNDIR, else /run)
  -u UNITNAME  the unit ($LIVENESS_UNIT_NAME, else the kernel's hostname);
               if given more than once, every unit must pass
  -q           print nothing
  -v           also print why a healthy unit is healthy
  -h           print this help

Exit status: 0 healthy, 1 unhealthy, 2 misuse. The reason is one line on standard
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
    if not names.is_name(name, names.UNIT_NAME_LENGTH):
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
                units = [_unit_name(os.environ.get("LIVENESS_UNIT_NAME") or names.hostname())]
            except LivenessError:
                units = [None]
    except _Misuse as error:
        _say(2, f"{error}\n")
        return 2
    judge = ready if options.mode == "ready" else live
    for unit in units:
        found = judge(unit, options.rundir)
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
