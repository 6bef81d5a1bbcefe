"""``liveness run``: a program in any language as a unit."""

from __future__ import annotations

import os
import shutil
import signal
import sys

from .directory import why
from .errors import LivenessError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from .supervisor import Settings
    from .unit import Unit

# Exit statuses of a shell for a command that it cannot find, or cannot execute.
_NOT_FOUND, _NOT_EXECUTABLE = 127, 126


class CannotRun(LivenessError):
    """The program was not started. ``status`` is the exit status for that."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


def run(unit: Unit, checks: list[str], command: list[str], supervised: Settings | None) -> int:
    """
    Loads the unit and becomes the program; or, if ``supervised``, starts it and returns its exit status.

    Raises CannotRun, BadArgument, and LivenessError if the unit cannot be loaded. Then no state is left.
    """
    path = _find(command[0])
    if supervised is not None:
        from .mailbox import path_in
        from .supervisor import Supervisor

        # Before anything is written.
        path_in(unit.path)
    # So that the program and its children find the unit.
    os.environ["LIVENESS_RUNDIR"], os.environ["LIVENESS_UNIT_NAME"] = unit.rundir, unit.unitname
    try:
        _load(unit, checks)
        if supervised is not None:
            return Supervisor(unit, supervised).run(path, command)
        unit.set()
        _become(path, command)
    except OSError as error:
        unit.reset()
        raise CannotRun(f"{path}: cannot run: {why(error)}", _NOT_EXECUTABLE) from error
    except BaseException:
        unit.reset()
        raise


def _find(program: str) -> str:
    path = shutil.which(program)
    if path is not None:
        return path
    if os.path.exists(program) and "/" in program:
        raise CannotRun(f"{program}: cannot run: permission denied", _NOT_EXECUTABLE)
    raise CannotRun(f"{program}: not found", _NOT_FOUND)


def _load(unit: Unit, checks: list[str]) -> None:
    sys.path.insert(0, os.getcwd())
    try:
        unit.load(checks)
    except (LivenessError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise CannotRun(f"a check raised {type(error).__name__}: {error}", 1) from error


def _become(path: str, command: list[str]) -> NoReturn:
    # Python ignores these signals, and exec does not change that: `yes | head` would never end.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    os.execv(path, command)
