"""
The settings, each with its default, read whenever they are asked for.

So ``override_settings`` works, and so does a settings module that is complete only later.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from .. import endpoint
from ..errors import BadArgument

PREFIX = "DJK8S_"

DEFAULTS: dict[str, Any] = {
    # What is asked for a readiness verdict: dotted paths of classes.
    "DJK8S_READINESS_PROBES": ("liveness.django.probes.DatabaseProbe", "liveness.django.probes.MemcachedProbe"),
    # Where the middleware answers: whole paths.
    "DJK8S_READY_PATHS": ("/readyz",),
    "DJK8S_HEALTH_PATHS": ("/healthz", "/livez"),
    # Seconds for each probe, and for all of them together.
    "DJK8S_TIMEOUT": endpoint.DEADLINE,
    # The state unit that is judged, too: its name, or True for the default one.
    "DJK8S_UNIT": None,
}
_PATHS = ("DJK8S_READY_PATHS", "DJK8S_HEALTH_PATHS")


class Settings:
    """
    The settings as attributes; ``DJK8S_READINESS_PROBES`` gives the classes themselves.

    Raises ImportError for a class that cannot be imported, and AttributeError for a name that is no setting.
    """

    def __getattr__(self, name: str) -> Any:
        if not name.startswith(PREFIX):
            raise AttributeError(f"{name}: not a setting of ours, which begin with {PREFIX}")
        value = getattr(django_settings, name, DEFAULTS[name]) if name in DEFAULTS else getattr(django_settings, name)
        if name == "DJK8S_READINESS_PROBES":
            return [_imported(entry) for entry in _listed(name, value)]
        # Letter by letter a plain string would be paths, too, and "/" the first of them.
        return (value,) if name in _PATHS and isinstance(value, str) else value


settings = Settings()


def paths(name: str) -> list[str]:
    """
    The paths in a setting.

    Raises ImproperlyConfigured for what no request could be for: one that does not begin with a slash.
    """
    found = _listed(name, getattr(settings, name))
    for path in found:
        if not isinstance(path, str) or not path.startswith("/"):
            raise ImproperlyConfigured(f"{name}: {path!r}: not a path from the root (write '/readyz')")
    return found


def timeout() -> float:
    """Seconds for each probe and for all. Raises ImproperlyConfigured for what is no time."""
    value = settings.DJK8S_TIMEOUT
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 1e6:
        raise ImproperlyConfigured(f"DJK8S_TIMEOUT: {value!r}: must be seconds, more than 0")
    return float(value)


def joined() -> endpoint.Joined:
    """The unit that is judged, too. Raises ImproperlyConfigured for a name that cannot be."""
    try:
        return endpoint.Joined(settings.DJK8S_UNIT)
    except BadArgument as error:
        raise ImproperlyConfigured(f"DJK8S_UNIT: {error}") from error


def _listed(name: str, value: Any) -> list[Any]:
    if isinstance(value, str):
        return [value]
    try:
        return list(value)
    except TypeError:
        raise ImproperlyConfigured(f"{name}: {value!r}: neither a string nor a list of them") from None


def _imported(entry: Any) -> Any:
    if not isinstance(entry, str):
        return entry
    try:
        return import_string(entry)
    except ImportError as error:
        raise ImportError(f"DJK8S_READINESS_PROBES: {entry!r}: cannot be imported: {error}") from error
