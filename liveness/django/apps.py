"""The application for INSTALLED_APPS, which brings the commands."""

from django.apps import AppConfig


class LivenessConfig(AppConfig):
    """``liveness.django`` in INSTALLED_APPS."""

    name = "liveness.django"
    label = "liveness"  # not the last part of the name, django
    verbose_name = "Liveness and readiness probes"
