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
