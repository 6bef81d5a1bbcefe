"""An exec probe. It starts a second Django: with a Monitor in the worker, health.sh gives the same verdict cheaper."""

import sys
from argparse import ArgumentParser
from typing import Any, NoReturn

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from ... import conf, readiness


class Command(BaseCommand):
    """Prints Ok, or the text of a refusal, and exits with 0 or 1."""

    help = "Reports by its exit status whether this application is alive, or ready for requests."
    # A URLconf that is broken on the disk does not make a running worker less alive.
    requires_system_checks: list[str] = []  # noqa: RUF012

    def add_arguments(self, parser: ArgumentParser) -> None:
        """One of three modes, and options."""
        parser.add_argument("-R", "--ready", action="store_true", help="run every readiness probe")
        parser.add_argument("-L", "--live", action="store_true", help="report whether it is alive")
        parser.add_argument("-H", "--health", action="store_true", help="the same as --live")
        parser.add_argument("-q", "--quiet", action="store_true", help="print nothing on standard output")
        # Manifests contain it, and Django removes it from a command without checks.
        parser.add_argument("--skip-checks", action="store_true", help="has no effect: no system check is ever run")

    def handle(self, *args: Any, **options: Any) -> NoReturn:
        """Always ends the process. Raises CommandError for wrong options and wrong settings."""
        is_live = options["live"] or options["health"]
        if is_live is options["ready"]:
            both = "cannot specify both a live/health and readiness check"
            raise CommandError(both if is_live else "specify one of --live, --health, or --ready")
        try:
            # Live without the readiness probes, which may be misconfigured.
            refusal = readiness.refusal_of(conf.joined().live()) if is_live else readiness.configured().ready()
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from error
        if not options["quiet"]:
            self.stdout.write("Ok" if refusal is None else str(refusal.content))
            self.stdout.flush()
        sys.exit(0 if refusal is None else 1)
