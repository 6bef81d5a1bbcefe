"""
The command ``liveness``: the verdict, a table of all units, and the verbs for shell programs and operators.

Exit status: 0 healthy or done, 1 unhealthy or failed, 2 wrong usage. Each subcommand imports only what it needs.
"""

from __future__ import annotations

import argparse
import os
import sys

from liveness import __version__

from . import names, probe
from .arguments import Parser, add_notify, number
from .errors import BadArgument, LivenessError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .status import Row
    from .unit import Unit

_EXIT_STATUS = "Exit status: 0 healthy or done, 1 unhealthy or failed, 2 wrong usage."


def console_script() -> int:
    """The entry point of the installed command."""
    return main(sys.argv[1:])


def main(arguments: Sequence[str], program: str = "liveness") -> int:
    """Runs the command with these arguments, and returns its exit status."""
    for name in ("stdout", "stderr"):
        # Python sets a stream to None if its descriptor is closed.
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - open until the end
    parser = _parser(program)
    # Not parse_args(): its message for an unknown option of a subcommand would not name the subcommand.
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        # A reason may begin with a dash.
        hint = " (write -- before text that begins with -)" if hasattr(options, "reason") else ""
        options.parser.error(f"unknown argument: {unknown[0]}{hint}")
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


def _print(text: str, to_stderr: bool = False) -> None:
    # An output that cannot be written does not change the exit status.
    try:
        print(text, file=sys.stderr if to_stderr else sys.stdout)
    except (OSError, ValueError):
        pass


def _flush() -> None:
    for descriptor, stream in ((1, sys.stdout), (2, sys.stderr)):
        try:
            stream.flush()
        except (OSError, ValueError):
            # Else the interpreter would try again at its end, and print an error.
            try:
                os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
            except OSError:
                pass


def _fail(text: str, status: int = 1) -> int:
    _print(text, to_stderr=True)
    return status


# Arguments


def _parser(program: str) -> Parser:
    parser = Parser(
        prog=program,
        description="Show whether processes are healthy, and report the health of a process.",
        epilog=_EXIT_STATUS,
        allow_abbrev=False,
    )
    parser.set_defaults(parser=parser)
    parser.add_argument("--version", action="version", version=f"liveness {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, action: Callable[[argparse.Namespace], int], about: str, several: bool = False) -> Parser:
        made: Parser = commands.add_parser(
            name, help=about, description=f"{about[0].upper()}{about[1:]}.", allow_abbrev=False,
            epilog=_EXIT_STATUS,
        )  # fmt: skip
        made.set_defaults(action=action, parser=made)
        made.add_argument(
            "-d", metavar="RUNDIR", dest="rundir", help="directory of all units (default: $LIVENESS_RUNDIR, else /run)"
        )
        if name != "status":
            made.add_argument(
                "-u", metavar="UNITNAME", dest="unit", action="append" if several else "store",
                help="name of the unit (default: $LIVENESS_UNIT_NAME, else the hostname)"
                + ("; repeat it for several units, which must all pass" if several else ""),
            )  # fmt: skip
        return made

    made = command("check", _check, "print the verdict on a unit, in the words of health.sh", several=True)
    made.add_argument("mode", nargs="?", choices=("live", "ready"), default="live", help="the verdict (default: live)")
    made.add_argument("-q", dest="quiet", action="store_true", help="print nothing; only set the exit status")
    made.add_argument("-v", dest="verbose", action="store_true", help="also print why a healthy unit is healthy")
    made.add_argument("--json", action="store_true", help="print the verdicts on all units as JSON")

    made = command("status", _status, "show all units with their heartbeats, jobs, checks and expected workers")
    made.add_argument("--json", action="store_true", help="print the same as JSON")
    made.add_argument(
        "--color", metavar="WHEN", nargs="?", const="always", default="auto", choices=("always", "auto", "never"),
        help="always, auto or never (default: auto, in a terminal; without WHEN: always), as under watch -c",
    )  # fmt: skip

    made = command("run", _run, "run a program in any language as a unit")
    made.usage = (
        f"{program} run [-h] [-d RUNDIR] [-u UNITNAME] [--check MODULE]... [--notify ...] -- COMMAND [ARGUMENT]..."
    )
    made.add_argument(
        "--check", metavar="MODULE", dest="checks", action="append", default=[],
        help="a module, in the working directory or PYTHONPATH, whose health() must pass before the program starts",
    )  # fmt: skip
    add_notify(made)
    made.add_argument("command", metavar="COMMAND", nargs=argparse.REMAINDER, help="the program and its arguments")

    made = command("set", _set, "declare a unit healthy or unhealthy")
    made.add_argument("code", metavar="CODE", type=number, help="0 for healthy, else an error code")
    made.add_argument("reason", metavar="REASON", nargs="*", default=[], help="text that the probe shows")

    command("ready", _ready, "declare a unit ready")
    made = command("unready", _unready, "declare a unit not ready, for example to drain it; it stays healthy")
    made.add_argument("reason", metavar="REASON", nargs="*", default=[], help="text that the probe shows")

    made = command("beat", _beat, "write a heartbeat for the process that loaded a unit")
    made.add_argument("ttl", metavar="TTL", type=number, help="seconds until the heartbeat is stale")
    made.add_argument("-n", metavar="NAME", dest="name", default="main", help="name of the heartbeat (default: main)")

    made = command("end-beat", _end_beat, "remove a heartbeat: its loop has ended")
    made.add_argument("name", metavar="NAME", help="name of the heartbeat")

    command("reset", _reset, 'remove the state of a unit; the probe then says "not loaded"')
    return parser


# The verdict


def _check(options: argparse.Namespace) -> int:
    judge = probe.ready if options.mode == "ready" else probe.live
    verdicts = []
    for unit in options.unit or [None]:
        verdict = judge(unit, options.rundir)
        verdicts.append(verdict)
        if options.json or (verdict and not options.verbose) or (not verdict and options.quiet):
            continue
        _print(str(verdict), to_stderr=not verdict)
        if not verdict:
            return 1
    healthy = all(verdicts)
    if options.json:
        import json

        units = [{"unit": found.unitname, "healthy": found.healthy, "reason": found.reason} for found in verdicts]
        _print(json.dumps({"healthy": healthy, "units": units}))
    return 0 if healthy else 1


def _status(options: argparse.Namespace) -> int:
    from . import status

    rundir = names.find_rundir(options.rundir)
    rows: list[Row] = status.rows(rundir)
    if options.json:
        import json

        _print(json.dumps([row.as_dict() for row in rows], indent=2))
    elif not rows:
        return _fail(
            f"liveness: {rundir}: no units (no process has loaded one there; choose another directory with -d)"
        )
    else:
        _print(status.table(rows, status.width(), _is_colored(options.color)).rstrip("\n"))
    return 0 if rows and all(row.healthy for row in rows) else 1


def _is_colored(when: str) -> bool:
    if when != "auto":
        return when == "always"
    # The conventions of no-color.org and bixense.com/clicolors: `CLICOLOR_FORCE=1 watch -c liveness status` has colors.
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("CLICOLOR_FORCE", "0") not in ("", "0"):
        return True
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


# The verbs


def _run(options: argparse.Namespace) -> int:
    from . import run

    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        options.parser.error("no command given")
    given = {name: getattr(options, name) for name in ("access", "watchdog", "stop_timeout")}
    given = {name: value for name, value in given.items() if value is not None}
    if given and not options.notify:
        options.parser.error(f"--{next(iter(given)).replace('_', '-')} needs --notify")
    supervised = None
    if options.notify:
        from .supervisor import Settings

        supervised = Settings(**given)
    # What this process has written must not come after what the program writes.
    _flush()
    try:
        return run.run(_unit(options), options.checks, command, supervised)
    except run.CannotRun as error:
        return _fail(f"liveness: {error}", error.status)


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
    from .heartbeats import beat_for_holder

    beat_for_holder(_loaded(options).leases, options.ttl, options.name)
    return 0


def _end_beat(options: argparse.Namespace) -> int:
    from .heartbeats import end_beat_for_holder

    end_beat_for_holder(_loaded(options).leases, options.name)
    return 0


def _reset(options: argparse.Namespace) -> int:
    _unit(options).reset()
    return 0


def _unit(options: argparse.Namespace) -> Unit:
    from .unit import Unit

    return Unit(options.unit, options.rundir)


def _loaded(options: argparse.Namespace) -> Unit:
    unit = _unit(options)
    # A declaration for a unit that nobody has loaded would be removed by the next load.
    if not os.path.lexists(f"{unit.path}/pid"):
        raise LivenessError(
            f"not loaded (no pid in {unit.path}): start the program with liveness run, or call liveness.load() in it"
        )
    return unit


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
