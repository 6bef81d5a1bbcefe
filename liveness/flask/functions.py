"""The application's check functions."""

from __future__ import annotations

from collections.abc import Callable

from flask import copy_current_request_context

from .. import endpoint
from ..checks import await_within, refusal
from .errors import HealthError


class Function:
    """
    A function of the application. Calling it raises HealthError if what the function returns is not a success.

    It runs in a thread, in a copy of the context of the last request that was bound to it.
    """

    def __init__(self, function: Callable[[], object]) -> None:
        self._function = function
        self._timeout = endpoint.DEADLINE
        self._in_context = self._ask

    def bind(self, timeout: float) -> None:
        """Binds the current request. A function that runs already continues in its own context."""
        self._timeout = timeout
        self._in_context = copy_current_request_context(self._ask)

    def __call__(self) -> None:
        refusals: list[str] = []
        try:
            self._in_context(refusals)
        except Exception:
            # After the function, Flask runs the teardown functions of the application. They may need what its
            # before_request functions prepare, which did not run here.
            if not refusals:
                raise
        if refusals[0]:
            raise HealthError(refusals[0])

    def _ask(self, refusals: list[str]) -> None:
        value = self._function()
        if hasattr(value, "__await__"):
            # In this thread, which has the context.
            value = await_within(value, self._timeout)
        refusals.append(refusal(value, by_truth=True))
