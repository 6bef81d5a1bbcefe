"""Waits until a database has answered for a while, for the start of a container. No query holds up the wait."""

import queue
import sys
import threading
import time
from argparse import ArgumentParser
from io import TextIOBase
from typing import Any, TextIO

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS
from django.db.backends.base.base import BaseDatabaseWrapper

from ...database import LIMIT, close, hang_up, new_connection, query

TIMEOUT, STABLE, INTERVAL = 180, 5, 1


def wait_for_database(
    timeout: float = TIMEOUT,
    stable: float = STABLE,
    interval: float = INTERVAL,
    database: str = DEFAULT_DB_ALIAS,
    *,
    stdout: TextIO | TextIOBase | None = None,
    stderr: TextIO | TextIOBase | None = None,
    **_: object,
) -> None:
    """
    Returns when the database has answered for ``stable`` seconds on one connection, asked every ``interval`` seconds.

    After an error it connects again, and the count starts again. Raises TimeoutError if the database does not answer
    ``timeout`` seconds after the start, and ImproperlyConfigured for an alias without a database.
    """
    out, err = stdout or sys.stdout, stderr or sys.stderr
    begin = time.monotonic()
    since: float | None = None
    connection = new_connection(database)
    while True:
        asked = time.monotonic()
        # Once it has answered, one second more than a connection attempt may take.
        limit = LIMIT + 1 if since is not None else min(LIMIT + 1, max(0.1, begin + timeout - asked))
        error = _query(connection, limit)
        now = time.monotonic()
        if not error:
            since = asked if since is None else since
            print(f"Connection alive for > {int(now - since)}s", file=out, flush=True)
            if now - since >= stable:
                close(connection)
                return
        else:
            since = None
            if now - begin > timeout:
                raise TimeoutError(f"database {database!r}: no connection within {timeout:g} s: {error}")
            print(f"Database not ready after {now - begin:.1f}s: {error}", file=err, flush=True)
            connection = new_connection(database)
        time.sleep(interval)


def _query(connection: BaseDatabaseWrapper, limit: float) -> str:
    """Queries in a thread of its own. Returns an error, after which the connection is closed, or an empty text."""
    errors: queue.SimpleQueue[str] = queue.SimpleQueue()

    def ask() -> None:
        try:
            query(connection)
            errors.put("")
        except Exception as error:
            close(connection)
            errors.put(" ".join(f"{type(error).__name__}: {error}".split()))

    connection.inc_thread_sharing()
    threading.Thread(target=ask, daemon=True).start()
    try:
        return errors.get(timeout=limit)
    except queue.Empty:
        hang_up(connection)
        return f"no answer within {limit:g} s"


class Command(BaseCommand):
    """Exit status 0 when the database has answered for a while; 1 if it does not in time."""

    help = "Waits until the database has answered for a while without an error."
    # They may use the database.
    requires_system_checks: list[str] = []  # noqa: RUF012

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Times in whole seconds, and an alias."""
        for name, default, text in (
            ("timeout", TIMEOUT, "the longest wait for an answer"),
            ("stable", STABLE, "how long the answers must come without an error"),
            ("interval", INTERVAL, "the time between two queries"),
        ):
            described = f"{text} (seconds, default: {default})"
            parser.add_argument(f"-{name[0]}", f"--{name}", type=int, default=default, metavar="SEC", help=described)
        parser.add_argument("-d", "--database", default=DEFAULT_DB_ALIAS, help="its alias (default: 'default')")
        # Django removes it from a command without checks.
        parser.add_argument("--skip-checks", action="store_true", help="has no effect: no system check is ever run")

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError for a number that is not above 0, an invalid alias, and at the time-out."""
        for name in ("timeout", "stable", "interval"):
            if options[name] <= 0:
                raise CommandError(f"--{name}: {options[name]}: must be more than 0 seconds")
        # Else these streams add an end of line to each part of a line.
        self.stdout.ending = self.stderr.ending = ""
        try:
            wait_for_database(**{**options, "stdout": self.stdout, "stderr": self.stderr})
        except (TimeoutError, ImproperlyConfigured) as error:
            raise CommandError(str(error)) from error
