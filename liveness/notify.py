"""
The messages of systemd's notification protocol, as text: see sd_notify(3).

A message is a datagram with one assignment in each line, such as ``READY=1``. A program sends it to the socket that
``$NOTIFY_SOCKET`` names.
"""

from __future__ import annotations

from .formats import CODE_DIGITS, LARGEST_TTL, is_number

#: Bytes of the longest message; systemd drops longer ones too.
LONGEST = 4096


def parse(data: bytes) -> dict[str, str]:
    """The assignments of a message. Lines that are not one are left out; of two with one name, the last one counts."""
    found = {}
    for line in data.decode("utf-8", "replace").split("\n"):
        name, equals, value = line.partition("=")
        if name and equals:
            found[name] = value
    return found


def seconds(microseconds: str) -> int | None:
    """
    Whole seconds, rounded up, since a limit must not be shorter than the program believes. 0 is no limit.

    A number too large for a lease is also no limit: systemd's "infinity" is 2**64 - 1. None if it is not a number.
    """
    number = whole(microseconds)
    if number is None:
        return None
    rounded = -(-number // 1_000_000)
    return rounded if rounded <= LARGEST_TTL else 0


def whole(text: str) -> int | None:
    """The number if the text is 1 to 20 decimal digits, else None."""
    return int(text) if is_number(text.encode(), CODE_DIGITS) else None
