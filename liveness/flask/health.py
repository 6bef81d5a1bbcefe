"""The verdict on an application: its functions, its dependencies and its unit."""

from __future__ import annotations

from typing import Any, NamedTuple

from flask import Flask, request

from ..checks import TIMED_OUT, Check, run
from .addresses import url_of
from .dependencies import CASCADE, Dependency, depth_of
from .errors import HealthError
from .registry import Registry
from .settings import Settings


def is_live(app: Flask) -> bool:
    """The verdict of the unit, if the application has joined one. Nothing else may restart a process that responds."""
    settings = app.config.get("Z_ENDPOINTS")
    if settings is None or (type(settings) is dict and "unit" not in settings):
        return True
    verdict = Settings(app).joined().live()
    return verdict is None or verdict.healthy


class Component(NamedTuple):
    """A function or a dependency. A dependency with an invalid address has no check, and is down."""

    name: str
    check: Check | None
    dependency: Dependency | None = None


class HealthRequest:
    """The components that one request asks for. Their checks run at the same time."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._registry = Registry.of(app)
        self.settings = Settings(app)
        # In the order of the report.
        self._components: list[Component] = []

    def add_dependencies(self, check: str | None) -> None:
        """Adds this check of all dependencies, or their whole health if it is None."""
        self.settings.errors += self.settings.limit_errors
        depth = depth_of(request.headers.get(CASCADE), self.settings.depth())
        prefix = self.settings.prefix()
        for name, address in self.settings.dependencies().items():
            try:
                url = url_of(address, check, prefix)
            except HealthError as error:
                self.settings.errors.append(f"Z_ENDPOINTS: service_dependencies[{name!r}]: {error}")
                self._components.append(Component(name, None))
                continue
            if depth:
                known = self._registry.dependency(name, url, depth - 1, self.settings)
                self._components.append(Component(name, *known))

    def add_functions(self, group: str) -> None:
        """Adds all functions of a group."""
        for name, function in self.settings.functions(group).items():
            self._components.append(Component(name, self._registry.function(group, name, function, self.settings)))

    def report(self) -> dict[str, Any]:
        """Runs the checks. For JSON: ``status`` is UP or DOWN, ``components`` has each component."""
        verdict = self.settings.joined().ready()
        checks = [component.check for component in self._components if component.check is not None]
        results = {result.name: result for result in run(checks, deadline=self.settings.timeout).results}
        show_details = self.settings.is_on("show_details")
        components: dict[str, dict[str, Any]] = {}
        for name, check, dependency in self._components:
            result = results[check.name] if check is not None else None
            has_answered = result is not None and result.outcome != TIMED_OUT
            details = dependency.details if dependency is not None and has_answered and show_details else {}
            components[name] = {**details, "status": word(result is not None and result.passed)}
        is_up = all(result.passed for result in results.values()) and len(checks) == len(self._components)
        is_up = is_up and not self.settings.errors and (verdict is None or verdict.healthy)
        report: dict[str, Any] = {"components": components, "status": word(is_up)}
        if verdict is not None:
            report["unit"] = {"status": word(verdict.healthy), "reason": verdict.reason}
        if self.settings.errors:
            report["errors"] = self.settings.errors
        for text in [*self.settings.errors, *self.settings.warnings]:
            self._registry.log_once(self._app, text)
        return report


def word(is_up: bool) -> str:
    """``UP`` or ``DOWN``."""
    return "UP" if is_up else "DOWN"
