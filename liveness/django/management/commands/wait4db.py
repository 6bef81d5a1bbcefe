"""
Waits until a database has answered for a while: ``manage.py wait4db``, for the start of a container.

Each question has a time limit: one that accepts connections and never answers is waited for no longer than any other.
"""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser
from typing import Any, Protocol

from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS
from django.utils.connection import ConnectionDoesNotExist

from ....checks import Check, Result, run
from ...database import LIMIT, Database

TIMEOUT, STABLE, INTERVAL = 180, 5, 1


class Stream(Protocol):
    """What can be written to: a file, or what a command has for one."""

    def write(self, text: str, /) -> object: ...

    def flush(self) -> object: ...


def wait_for_database(
    timeout: float = TIMEOUT,
    stable: float = STABLE,
    interval: float = INTERVAL,
    database: str = DEFAULT_DB_ALIAS,
    *,
    stdout: Stream | None = None,
    stderr: Stream | None = None,
    **_: object,
) -> None:
    """
    Returns when the database has answered for ``stable`` seconds on one connection, asked every ``interval`` seconds.

    An error begins the count anew, with a new connection. Raises TimeoutError if there is still none, or none any more,
    ``timeout`` seconds after the start, and ConnectionDoesNotExist for an alias that is not configured.
    """
    out, err = stdout or sys.stdout, stderr or sys.stderr
    connection = Database(database)
    begin = time.monotonic()
    since: float | None = None
    # Longer than a connection may take; and the last one not longer than there is time.
    check = _Question("database", connection.ask, timeout=LIMIT + 1)
    try:
        while True:
            asked = time.monotonic()
            report = run([check], max(0.1, begin + timeout - asked) if since is None else None)
            now = time.monotonic()
            if report:
                since = asked if since is None else since
                _say(out, f"Connection alive for > {int(now - since)}s")
                if now - since >= stable:
                    return
            else:
                since = None
                # A question that hangs is asked again on a new connection.
                connection.cut_off()
                reason = " ".join(report.results[0].reason.split())
                if now - begin > timeout:
                    raise TimeoutError(f"database {database!r}: no connection within {timeout:g} s: {reason}")
                _say(err, f"Database not ready after {now - begin:.1f}s: {reason}")
            time.sleep(interval)
    finally:
        # One that is still waited for belongs to the thread that waits.
        if since is not None:
            connection.close()


class _Question(Check):
    """What it has to tell goes to the terminal, and not to the log as well."""

    __slots__ = ()

    def _log(self, result: Result) -> None:
        pass


def _say(stream: Stream, text: str) -> None:
    stream.write(f"{text}\n")
    stream.flush()


class Command(BaseCommand):
    """Exit status 0 when the database is there and stays; 1 if it is not there in time."""

    help = "Waits until the database has answered for a while without a break."
    # They may ask the very database.
    requires_system_checks: list[str] = []  # noqa: RUF012

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Whole seconds, and an alias."""
        for short, name, default, what in (
            ("-t", "timeout", TIMEOUT, "how long to wait for an answer, at most"),
            ("-s", "stable", STABLE, "for how long the answers must come without a break"),
            ("-i", "interval", INTERVAL, "how long between two questions"),
        ):
            text = f"{what} (seconds, {default} unless told)"
            parser.add_argument(short, f"--{name}", type=int, default=default, metavar="SEC", help=text)
        parser.add_argument(
            "-d", "--database", default=DEFAULT_DB_ALIAS, help="alias of the database ('default' unless told)"
        )
        # Django takes it away from a command without checks.
        parser.add_argument("--skip-checks", action="store_true", help="has no effect: no system check is ever run")

    def handle(self, *args: Any, **options: Any) -> None:
        """Waits. Raises CommandError for a number that is not above 0, a bad alias, and at the time-out."""
        for name in ("timeout", "stable", "interval"):
            if options[name] <= 0:
                raise CommandError(f"--{name}: {options[name]}: must be more than 0 seconds")
        try:
            wait_for_database(
                options["timeout"],
                options["stable"],
                options["interval"],
                options["database"],
                stdout=self.stdout,
                stderr=self.stderr,
            )
        except (TimeoutError, ConnectionDoesNotExist) as error:
            raise CommandError(str(error)) from error
