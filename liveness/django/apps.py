"""The application for INSTALLED_APPS, which brings the commands."""

from __future__ import annotations

from django.apps import AppConfig


class LivenessConfig(AppConfig):
    """``liveness.django`` in INSTALLED_APPS."""

    name = "liveness.django"
    # Else it would be the last part of the name, django.
    label = "liveness"
    verbose_name = "Liveness and readiness probes"
