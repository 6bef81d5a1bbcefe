"""
An exec probe: ``manage.py probe --live`` or ``--ready``, with exit status 0 or 1.

It starts a second Django each time. Where a Monitor runs in the worker, health.sh gives the same verdict for the cost
of an empty shell.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import TYPE_CHECKING, Any, NoReturn

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

if TYPE_CHECKING:
    from ...probes import NotReady


class Command(BaseCommand):
    """Prints Ok, or what is not ready, and exits with 0 or 1."""

    help = "Tells by its exit status whether this application is alive, or ready for work."
    # A probe is no place for them: a URLconf that is broken on the disk does not make the worker less alive.
    requires_system_checks: list[str] = []  # noqa: RUF012

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Three questions, of which one is asked."""
        parser.add_argument("-R", "--ready", action="store_true", help="is it ready: ask every readiness probe")
        parser.add_argument("-L", "--live", action="store_true", help="is it alive")
        parser.add_argument("-H", "--health", action="store_true", help="the same as --live")
        parser.add_argument("-q", "--quiet", action="store_true", help="print nothing on standard output")
        # Manifests have it, and Django takes it away from a command without checks.
        parser.add_argument("--skip-checks", action="store_true", help="has no effect: no system check is ever run")

    def handle(self, *args: Any, **options: Any) -> NoReturn:
        """Always ends the process. Raises CommandError if it was asked wrongly, or the settings are wrong."""
        is_live = options["live"] or options["health"]
        if is_live and options["ready"]:
            raise CommandError("cannot specify both a live/health and readiness check")
        if not is_live and not options["ready"]:
            raise CommandError("specify one of --live, --health, or --ready")
        try:
            refusal = _live() if is_live else _ready()
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from error
        if not options["quiet"]:
            self.stdout.write("Ok" if refusal is None else str(refusal.content))
            self.stdout.flush()
        sys.exit(0 if refusal is None else 1)


def _live() -> NotReady | None:
    from ... import conf

    if not conf.settings.DJK8S_UNIT:
        return None
    from ...probes import NotReady

    # The probes are no matter here, even if they are wrong.
    verdict = conf.joined().live()
    return None if verdict is None or verdict else NotReady(str(verdict))


def _ready() -> NotReady | None:
    from ... import readiness

    return readiness.configured().ready()
