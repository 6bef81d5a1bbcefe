"""The application for INSTALLED_APPS, which brings the commands."""

from django.apps import AppConfig


class LivenessConfig(AppConfig):
    """``liveness.django`` in INSTALLED_APPS."""

    name = "liveness.django"
    # The default would be the last part of the name: django.
    label = "liveness"
    verbose_name = "Liveness and readiness probes"
