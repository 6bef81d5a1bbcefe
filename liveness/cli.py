"""
The command ``liveness``: the verdict, a table of all units, and the verbs for shell programs and operators.

Exit status: 0 healthy or done, 1 not, 2 misuse. Imports only what the subcommand needs.
"""

from __future__ import annotations

import argparse
import os
import sys

from . import probe, state
from .errors import BadArgument, LivenessError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn

    from .status import Row
    from .unit import Unit

_NOT_FOUND, _NOT_EXECUTABLE = 127, 126


def console_script() -> int:
    """The entry point of the installed command."""
    return main(sys.argv[1:])


def main(arguments: Sequence[str], program: str = "liveness") -> int:
    """Runs the command with these arguments, and returns its exit status."""
    for name in ("stdout", "stderr"):
        # Closed by whoever started us.
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - for as long as we run
    parser = _parser(program)
    # Not parse_args(), which would tell of the wrong options of a subcommand in the name of the whole.
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        options.parser.error(f"unknown argument: {unknown[0]}")
    try:
        status: int = options.action(options)
    except BadArgument as error:
        status = _fail(f"liveness: {error}", 2)
    except LivenessError as error:
        status = _fail(f"liveness: {error}")
    except KeyboardInterrupt:
        status = 130
    _flush()
    return status


def _say(text: str, to_stderr: bool = False) -> None:
    # That nobody reads it changes no verdict.
    try:
        print(text, file=sys.stderr if to_stderr else sys.stdout)
    except (OSError, ValueError):
        pass


def _flush() -> None:
    for descriptor, stream in ((1, sys.stdout), (2, sys.stderr)):
        try:
            stream.flush()
        except (OSError, ValueError):
            # The interpreter would try once more at its end, and complain.
            try:
                os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
            except OSError:
                pass


def _fail(text: str, status: int = 1) -> int:
    _say(text, to_stderr=True)
    return status


# Arguments


class _Parser(argparse.ArgumentParser):
    """One that says in one line what is wrong, and what was perhaps meant."""

    def error(self, message: str) -> NoReturn:
        import difflib

        wrong = " ".join(message.rpartition(": ")[2].split()[:1]).strip("'\"")
        if "invalid choice: " in message:
            wrong = message.partition("invalid choice: ")[2].split(" ")[0].strip("'\"")
        known = [name for action in self._actions for name in (*action.option_strings, *(action.choices or ()))]
        close = difflib.get_close_matches(wrong, known, 1)
        hint = f"did you mean {close[0]}? " if close and close[0] != wrong else ""
        self.exit(2, f"{self.prog}: {message} ({hint}{self.prog} -h explains)\n")


def _parser(program: str) -> _Parser:
    parser = _Parser(
        prog=program,
        description="Tell how processes are, and say how this one is.",
        epilog="Exit status: 0 healthy or done, 1 not, 2 misuse.",
        allow_abbrev=False,
    )
    parser.set_defaults(parser=parser)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, action: Callable[[argparse.Namespace], int], about: str, several: bool = False) -> _Parser:
        made: _Parser = commands.add_parser(
            name, help=about, description=f"{about[0].upper()}{about[1:]}.", allow_abbrev=False,
            epilog="Exit status: 0 healthy or done, 1 not, 2 misuse.",
        )  # fmt: skip
        made.set_defaults(action=action, parser=made)
        made.add_argument(
            "-d", metavar="RUNDIR", dest="rundir", help="where the units are ($LIVENESS_RUNDIR, else /run)"
        )
        if name != "status":
            made.add_argument(
                "-u", metavar="UNITNAME", dest="unit", action="append" if several else "store",
                help="the unit ($LIVENESS_UNIT_NAME, else the hostname)"
                + ("; given more than once, every one must pass" if several else ""),
            )  # fmt: skip
        return made

    made = command("check", _check, "the verdict on a unit, in the words of health.sh", several=True)
    made.add_argument("mode", nargs="?", choices=("live", "ready"), default="live", help="which verdict (live)")
    made.add_argument("-q", dest="quiet", action="store_true", help="say nothing, the exit status is enough")
    made.add_argument("-v", dest="verbose", action="store_true", help="say why a healthy unit is healthy, too")
    made.add_argument("--json", action="store_true", help="say it all in JSON")

    made = command("status", _status, "a table of all units in the run directory")
    made.add_argument("--json", action="store_true", help="the same in JSON")

    made = command("run", _run, "run a program in any language as a unit: load, set, then become it")
    made.usage = f"{program} run [-h] [-d RUNDIR] [-u UNITNAME] [--check MODULE]... -- COMMAND [ARGUMENT]..."
    made.add_argument(
        "--check", metavar="MODULE", dest="checks", action="append", default=[],
        help="a module whose health() must pass first, from the working directory or PYTHONPATH",
    )  # fmt: skip
    made.add_argument("command", metavar="COMMAND", nargs=argparse.REMAINDER, help="what to run, with its arguments")

    made = command("set", _set, "declare a unit healthy (0), or in error")
    made.add_argument("code", metavar="CODE", type=_number, help="0, or the code of an error")
    made.add_argument("reason", metavar="REASON", nargs="*", help="what the probe shows, quoted or not")

    command("ready", _ready, "declare a unit ready")
    made = command("unready", _unready, "declare a unit not ready; it stays alive")
    made.add_argument("reason", metavar="REASON", nargs="*", help="what the probe shows, quoted or not")

    made = command("beat", _beat, "beat for the process that loaded a unit")
    made.add_argument("ttl", metavar="TTL", type=_number, help="for how many seconds it holds")
    made.add_argument("-n", metavar="NAME", dest="name", default="main", help="the heartbeat's name (main)")

    command("reset", _reset, "end the life of a unit: remove its state")
    return parser


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"not a whole number: {text}")
    return int(text)


# The verdict


def _check(options: argparse.Namespace) -> int:
    judge = probe.ready if options.mode == "ready" else probe.live
    verdicts = []
    for unit in options.unit or [None]:
        verdict = judge(unit, options.rundir)
        verdicts.append(verdict)
        if options.json or (verdict and not options.verbose) or (not verdict and options.quiet):
            continue
        _say(str(verdict), to_stderr=not verdict)
        if not verdict:
            return 1
    healthy = all(verdicts)
    if options.json:
        import json

        units = [{"unit": found.unitname, "healthy": found.healthy, "reason": found.reason} for found in verdicts]
        _say(json.dumps({"healthy": healthy, "units": units}))
    return 0 if healthy else 1


def _status(options: argparse.Namespace) -> int:
    from . import status

    rundir = state.find_rundir(options.rundir)
    rows: list[Row] = status.rows(rundir)
    if options.json:
        import json

        _say(json.dumps([row.as_dict() for row in rows], indent=2))
    elif not rows:
        return _fail(f"liveness: {rundir}: no units (nothing has loaded one there; -d names another directory)")
    else:
        is_terminal = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        _say(status.table(rows, status.width(), is_terminal and not os.environ.get("NO_COLOR")).rstrip("\n"))
    return 0 if rows and all(row.healthy for row in rows) else 1


# The verbs


def _run(options: argparse.Namespace) -> int:
    import shutil

    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        options.parser.error("no command: what shall run?")
    path = shutil.which(command[0])
    if path is None:
        if os.path.exists(command[0]) and "/" in command[0]:
            return _fail(f"liveness: {command[0]}: cannot run: permission denied", _NOT_EXECUTABLE)
        return _fail(f"liveness: {command[0]}: not found", _NOT_FOUND)
    unit = _unit(options)
    # What runs finds its unit by the same names, and so does what it starts.
    os.environ["LIVENESS_RUNDIR"], os.environ["LIVENESS_UNIT_NAME"] = unit.rundir, unit.unitname
    try:
        sys.path.insert(0, os.getcwd())
        unit.load(options.checks)
        unit.set()
        _become(path, command)
    except LivenessError:
        unit.reset()
        raise
    except OSError as error:
        unit.reset()
        return _fail(f"liveness: {path}: cannot run: {state.why(error)}", _NOT_EXECUTABLE)
    except BaseException as error:
        unit.reset()
        if isinstance(error, KeyboardInterrupt):
            raise
        return _fail(f"liveness: a check raised {type(error).__name__}: {error}")


def _become(path: str, command: list[str]) -> NoReturn:
    import signal

    _flush()
    # Python ignores these, and what is ignored stays so through an exec: `yes | head` would never end.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    os.execv(path, command)


def _set(options: argparse.Namespace) -> int:
    _loaded(options).set(options.code, " ".join(options.reason))
    return 0


def _ready(options: argparse.Namespace) -> int:
    _loaded(options).set_ready()
    return 0


def _unready(options: argparse.Namespace) -> int:
    _loaded(options).set_ready(False, " ".join(options.reason))
    return 0


def _beat(options: argparse.Namespace) -> int:
    _unit(options).beat_for_holder(options.ttl, options.name)
    return 0


def _reset(options: argparse.Namespace) -> int:
    _unit(options).reset()
    return 0


def _unit(options: argparse.Namespace) -> Unit:
    from .unit import Unit

    return Unit(options.unit, options.rundir)


def _loaded(options: argparse.Namespace) -> Unit:
    unit = _unit(options)
    # A word on a unit that nobody has loaded would wait there for the next life, and be wiped.
    if not os.path.lexists(f"{unit.path}/pid"):
        raise LivenessError(f"not loaded (no pid in {unit.path})")
    return unit


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
