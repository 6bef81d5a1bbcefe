"""The settings of an application: ``Z_ENDPOINTS`` and ``BACKEND_TIMEOUT`` of its configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flask import Flask

from .. import endpoint
from ..errors import LivenessError

#: The keys of Z_ENDPOINTS, and their defaults. The manual explains them.
DEFAULTS: dict[str, Any] = {
    "service_dependencies": {},
    "check_functions": {},
    "version_function": None,
    "enable_service_instance_id": False,
    "dependency_prefix": "/z",
    "check_max_age": 0,
    "cascade_depth": 1,
    "unit": None,
    "show_info": True,
    "show_command_line": True,
    "show_details": True,
}


class Settings:
    """
    The settings as they are now: they are read with every request.

    An invalid setting counts as not set, and is reported in ``errors``. Nothing is raised.
    """

    def __init__(self, app: Flask) -> None:
        #: What is wrong with the settings that were read so far.
        self.errors: list[str] = []
        #: What is wrong with the limits, which only matters where dependencies are asked.
        self.limit_errors: list[str] = []
        self._raw = self._mapping("Z_ENDPOINTS", app.config.get("Z_ENDPOINTS"))
        #: Keys that are unknown, and may be misspelt.
        self.warnings = [f"Z_ENDPOINTS: {key}: no such setting" for key in self._raw if key not in DEFAULTS]
        #: Seconds for all checks and dependencies of a request together.
        self.timeout = self._seconds(
            "BACKEND_TIMEOUT", _total(app.config.get("BACKEND_TIMEOUT")), endpoint.DEADLINE, 0.001
        )
        #: Seconds to cache a result.
        self.max_age = self._seconds("check_max_age", self._value("check_max_age"), 0.0, 0.0)

    def dependencies(self) -> dict[str, str]:
        """The address of each service, by its name."""
        return self._named("service_dependencies", self._value("service_dependencies"), str, "a URL or a host")

    def functions(self, group: str) -> dict[str, Callable[[], object]]:
        """The functions of a check, by name."""
        groups = self._mapping("check_functions", self._value("check_functions"))
        return self._named(f"check_functions[{group!r}]", groups.get(group), Callable, "a function")

    def version_function(self) -> Callable[[], Any] | None:
        """The function that /version calls; None for the default."""
        function: Callable[[], Any] | None = self._value("version_function")
        if function is not None and not callable(function):
            self._refuse("version_function", function, "a function")
            function = None
        return function

    def prefix(self) -> str:
        """The prefix of a dependency that is a host: empty, or with a slash at its begin and none at its end."""
        prefix = self._value("dependency_prefix")
        if not isinstance(prefix, str):
            self._refuse("dependency_prefix", prefix, "a path such as '/z'")
            prefix = DEFAULTS["dependency_prefix"]
        stripped: str = prefix.strip("/")
        return f"/{stripped}" if stripped else ""

    def depth(self) -> int:
        """How many services a request for dependencies goes through."""
        depth = self._value("cascade_depth")
        if isinstance(depth, int) and not isinstance(depth, bool) and 0 <= depth <= 9:
            return depth
        self._refuse("cascade_depth", depth, "a number from 0 to 9")
        return 1

    def joined(self) -> endpoint.Joined:
        """The state unit, or none."""
        try:
            return endpoint.Joined(self._value("unit"))
        except LivenessError as error:
            self.errors.append(f"Z_ENDPOINTS: {error}")
            return endpoint.Joined(None)

    def is_on(self, name: str) -> bool:
        """Whether a switch is on."""
        return bool(self._value(name))

    def _value(self, name: str) -> Any:
        return self._raw.get(name, DEFAULTS[name])

    def _mapping(self, name: str, value: object) -> Mapping[Any, Any]:
        if value is not None and not isinstance(value, Mapping):
            self._refuse(name, value, "a dict")
            value = None
        return value or {}

    def _named(self, name: str, value: object, kind: Any, wanted: str) -> dict[str, Any]:
        """The valid items, by names that are texts, as in the JSON of the response."""
        found: dict[str, Any] = {}
        for key, item in self._mapping(name, value).items():
            if str(key) in found:
                self.errors.append(f"Z_ENDPOINTS: {name}[{key!r}]: a second one of this name")
            if isinstance(item, kind):
                found[str(key)] = item
            else:
                self._refuse(f"{name}[{str(key)!r}]", item, wanted)
        return found

    def _seconds(self, name: str, value: object, default: float, least: float) -> float:
        if isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value <= 1e6:
            return float(value)
        self._refuse(name, value, f"seconds, from {least:g} to 1,000,000", self.limit_errors)
        return default

    def _refuse(self, name: str, value: object, wanted: str, errors: list[str] | None = None) -> None:
        where = name if name in ("Z_ENDPOINTS", "BACKEND_TIMEOUT") else f"Z_ENDPOINTS: {name}"
        # Only the type: a value may be a secret in the wrong place.
        (self.errors if errors is None else errors).append(f"{where}: {type(value).__name__}: must be {wanted}")


def _total(timeout: object) -> object:
    """
    The seconds of BACKEND_TIMEOUT. Default: 0.8.

    The HTTP library of Flask Management Endpoints also takes a pair: seconds to connect and to read, or None.
    """
    if isinstance(timeout, tuple):
        parts = [part for part in timeout if part is not None]
        return sum(parts) if parts and all(isinstance(part, (int, float)) for part in parts) else timeout
    return endpoint.DEADLINE if timeout is None else timeout
