"""The settings with their defaults, each read when it is used, so that ``override_settings`` works."""

from functools import cache
from typing import Any

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from .. import endpoint
from ..errors import BadArgument

DEFAULTS: dict[str, Any] = {
    # Dotted paths of the classes of the readiness probes.
    "DJK8S_READINESS_PROBES": ("liveness.django.probes.DatabaseProbe", "liveness.django.probes.MemcachedProbe"),
    # The paths that the middleware answers, without a script prefix.
    "DJK8S_READY_PATHS": ("/readyz",),
    "DJK8S_HEALTH_PATHS": ("/healthz", "/livez"),
    # Seconds for each probe, and for all of them together.
    "DJK8S_TIMEOUT": endpoint.DEADLINE,
    # A state unit whose verdict also counts: its name, or True for the default one.
    "DJK8S_UNIT": None,
}


class Settings:
    """The settings as attributes. Raises ImportError for the path of a probe, and AttributeError for a name."""

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("DJK8S_"):
            raise AttributeError(f"{name}: not a setting of liveness.django (they begin with DJK8S_)")
        value = getattr(django_settings, name, DEFAULTS[name]) if name in DEFAULTS else getattr(django_settings, name)
        if name == "DJK8S_READINESS_PROBES":
            return [_imported(entry) for entry in _listed(name, value)]
        # The characters of a plain string would each be a path, "/" among them.
        return (value,) if name.endswith("_PATHS") and isinstance(value, str) else value


settings = Settings()


@cache
def paths() -> dict[str, bool]:
    """For each path that the middleware answers, whether for readiness. Raises ImproperlyConfigured for a bad path."""
    found = {}
    for name, is_ready in (("DJK8S_READY_PATHS", True), ("DJK8S_HEALTH_PATHS", False)):
        for path in _listed(name, getattr(settings, name)):
            if not isinstance(path, str) or not path.startswith("/"):
                raise ImproperlyConfigured(f"{name}: {path!r}: not a path from the root (write '/readyz')")
            found[path] = is_ready
    if not found:
        raise ImproperlyConfigured("DJK8S_READY_PATHS, DJK8S_HEALTH_PATHS: no path (nothing would be answered)")
    return found


def timeout() -> float:
    """Seconds for each probe and for all. Raises ImproperlyConfigured for an invalid time."""
    value = settings.DJK8S_TIMEOUT
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 1e6:
        raise ImproperlyConfigured(f"DJK8S_TIMEOUT: {value!r}: must be seconds, more than 0")
    return float(value)


def joined() -> endpoint.Joined:
    """The unit whose verdict also counts. Raises ImproperlyConfigured for an invalid name."""
    try:
        return endpoint.Joined(settings.DJK8S_UNIT)
    except BadArgument as error:
        raise ImproperlyConfigured(f"DJK8S_UNIT: {error}") from error


def _listed(name: str, value: Any) -> list[Any]:
    try:
        return [value] if isinstance(value, str) else list(value)
    except TypeError:
        raise ImproperlyConfigured(f"{name}: {value!r}: neither a string nor a list of strings") from None


def _imported(entry: Any) -> Any:
    try:
        return import_string(entry) if isinstance(entry, str) else entry
    except ImportError as error:
        raise ImportError(f"DJK8S_READINESS_PROBES: {entry!r}: cannot be imported: {error}") from error
