"""The arguments of the command: a parser with short messages, and numbers."""

from __future__ import annotations

import argparse

from .formats import LARGEST_TTL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """A parser that reports an error in one line, with a suggestion for a mistyped word."""

    def error(self, message: str) -> NoReturn:
        import difflib

        wrong = " ".join(message.rpartition(": ")[2].split()[:1]).strip("'\"")
        if "invalid choice: " in message:
            wrong = message.partition("invalid choice: ")[2].split(" ")[0].strip("'\"")
        known = [name for action in self._actions for name in (*action.option_strings, *(action.choices or ()))]
        close = difflib.get_close_matches(wrong, known, 1)
        hint = f"did you mean {close[0]}? " if close and close[0] != wrong else ""
        self.exit(2, f"{self.prog}: {message} ({hint}see {self.prog} -h)\n")


def number(text: str) -> int:
    """A whole number that is not negative. Raises ArgumentTypeError, of which argparse makes a message."""
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"not a whole number: {text}")
    return int(text)


def seconds(text: str) -> int:
    """Whole seconds that a lease can have. Raises ArgumentTypeError."""
    found = number(text)
    if not 1 <= found <= LARGEST_TTL:
        raise argparse.ArgumentTypeError(f"must be whole seconds from 1 to {LARGEST_TTL}: {text}")
    return found


def add_notify(parser: Parser) -> None:
    """The options for a program that speaks sd_notify: notify, access, watchdog and stop_timeout."""
    parser.add_argument(
        "--notify", action="store_true",
        help="for a program that speaks sd_notify, as with Type=notify in a systemd unit file: start it as a child, "
        "and report what it says; without this option the program itself is the unit, and healthy while it runs",
    )  # fmt: skip
    parser.add_argument(
        "--access", choices=("main", "all"),
        help="whose messages count: those of the main process, or of all that it starts (NotifyAccess=; default: main)",
    )  # fmt: skip
    parser.add_argument(
        "--watchdog", metavar="SECONDS", type=seconds,
        help="the program must send WATCHDOG=1 at least this often (WatchdogSec=; default: no watchdog)",
    )  # fmt: skip
    parser.add_argument(
        "--stop-timeout", metavar="SECONDS", type=seconds,
        help="how long the program may take after STOPPING=1 (TimeoutStopSec=; default: 90)",
    )  # fmt: skip
