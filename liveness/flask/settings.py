"""What an application's configuration asks for: ``Z_ENDPOINTS`` and ``BACKEND_TIMEOUT``, read with every request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flask import Flask

from .. import endpoint
from ..errors import LivenessError

#: The keys of Z_ENDPOINTS, and what each is without one.
DEFAULTS: dict[str, Any] = {
    "service_dependencies": {},
    "check_functions": {},
    "version_function": None,
    "enable_service_instance_id": False,
    # The prefix of a dependency that is a mere host.
    "dependency_prefix": "/z",
    # For so many seconds what a check or a dependency said is used again.
    "check_ttl": 0,
    # How far a request for dependencies goes on from service to service: 1 is to our own.
    "cascade_depth": 1,
    # The state unit that liveness, readiness and health judge too.
    "unit": None,
    # What is shown.
    "show_info": True,
    "show_command_line": True,
    "show_details": True,
}


class Settings:
    """
    The settings of an application, as they are now.

    Whatever is no such setting counts as not there, and is said in ``errors``; nothing is raised, and nothing of the
    application's is changed.
    """

    __slots__ = ("_raw", "errors", "ignored")

    def __init__(self, app: Flask) -> None:
        #: What is wrong, of all that has been asked for so far.
        self.errors: list[str] = []
        raw = app.config.get("Z_ENDPOINTS")
        if raw is not None and not isinstance(raw, Mapping):
            self._refuse("Z_ENDPOINTS", raw, "a dict")
            raw = None
        self._raw: Mapping[Any, Any] = raw or {}
        #: Keys that mean nothing here: a mistyped one asks for nothing at all.
        self.ignored = [str(key) for key in self._raw if key not in DEFAULTS]

    def dependencies(self) -> dict[str, str]:
        """URL, or host, of each service by its name."""
        found = self._named("service_dependencies", self._value("service_dependencies"))
        return {
            name: address
            for name, address in found.items()
            if isinstance(address, str) or self._refuse(f"service_dependencies[{name!r}]", address, "a URL or a host")
        }

    def functions(self, group: str) -> dict[str, Callable[[], object]]:
        """The functions of a check, by name."""
        groups = self._mapping("check_functions", self._value("check_functions"))
        found = self._named(f"check_functions[{group!r}]", groups.get(group, {}))
        return {
            name: function
            for name, function in found.items()
            if callable(function) or self._refuse(f"check_functions[{group!r}][{name!r}]", function, "a function")
        }

    def version_function(self) -> Callable[[], Any] | None:
        """What /version calls; None for the default."""
        function = self._value("version_function")
        if function is not None and not callable(function):
            self._refuse("version_function", function, "a function")
            return None
        return function  # type: ignore[no-any-return]

    def prefix(self) -> str:
        """The prefix of a dependency that is a mere host: nothing, or with a slash before it and none behind."""
        prefix = self._value("dependency_prefix")
        if not isinstance(prefix, str):
            self._refuse("dependency_prefix", prefix, "a path such as '/z'")
            prefix = DEFAULTS["dependency_prefix"]
        stripped: str = prefix.strip("/")
        return f"/{stripped}" if stripped else ""

    def ttl(self) -> float:
        """For so many seconds a result is used again."""
        return self._seconds("check_ttl", self._value("check_ttl"), 0.0, least=0.0)

    def depth(self) -> int:
        """How far a request for dependencies goes on."""
        depth = self._value("cascade_depth")
        if isinstance(depth, int) and not isinstance(depth, bool) and 0 <= depth <= 9:
            return depth
        self._refuse("cascade_depth", depth, "a number from 0 to 9")
        return int(DEFAULTS["cascade_depth"])

    def joined(self) -> endpoint.Joined:
        """The state unit, or none."""
        unit = self._value("unit")
        try:
            return endpoint.Joined(unit)
        except LivenessError as error:
            self.errors.append(f"Z_ENDPOINTS: {error}")
            return endpoint.Joined(None)

    def is_on(self, name: str) -> bool:
        """A switch."""
        return bool(self._value(name))

    def _value(self, name: str) -> Any:
        return self._raw.get(name, DEFAULTS[name])

    def _mapping(self, name: str, value: object) -> Mapping[Any, Any]:
        if isinstance(value, Mapping):
            return value
        if value is not None:
            self._refuse(name, value, "a dict")
        return {}

    def _named(self, name: str, value: object) -> dict[str, Any]:
        """By names that are texts, as in the JSON of the answer."""
        found: dict[str, Any] = {}
        for key, item in self._mapping(name, value).items():
            if str(key) in found:
                self.errors.append(f"Z_ENDPOINTS: {name}[{key!r}]: a second one of this name")
            found[str(key)] = item
        return found

    def _seconds(self, name: str, value: object, default: float, least: float) -> float:
        if isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value <= 1e6:
            return float(value)
        self._refuse(name, value, f"seconds, from {least:g} to 1,000,000")
        return default

    def timeout(self, value: object) -> float:
        """BACKEND_TIMEOUT: seconds that all checks and dependencies of a request have together; 0.8 for None."""
        if value is None:
            return endpoint.DEADLINE
        # As the HTTP library of the former package takes it: so long for the connection, and so long for the answer,
        # None without end.
        if isinstance(value, tuple):
            parts = [part for part in value if part is not None]
            value = sum(parts) if parts and all(isinstance(part, (int, float)) for part in parts) else value
        return self._seconds("BACKEND_TIMEOUT", value, endpoint.DEADLINE, least=0.001)

    def _refuse(self, name: str, value: object, wanted: str) -> bool:
        where = name if name in ("Z_ENDPOINTS", "BACKEND_TIMEOUT") else f"Z_ENDPOINTS: {name}"
        # The type only: a value may be a secret in the wrong place.
        self.errors.append(f"{where}: {type(value).__name__}: must be {wanted}")
        return False
