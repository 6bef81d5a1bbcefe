"""Checks one after another in the calling thread, without limits: what ``load`` does."""

from __future__ import annotations

from ..errors import CheckFailed
from .arguments import health_of, name_of
from .return_values import refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def require(checks: Iterable[Callable[[], object] | str], args: tuple[object, ...], kwargs: dict[str, object]) -> None:
    """
    Runs each check, one after the other: a module's ``health(*args, **kwargs)``, or a callable without arguments.

    Raises CheckFailed for the first check whose result is refused, or is a coroutine, which would not be awaited.
    Raises LivenessError for a module without ``health``. Every other exception passes through, also one of the import.
    """
    for check in checks:
        if isinstance(check, str):
            name, function = check, "health()"
            result = health_of(check)(*args, **kwargs)
        else:
            name, function = name_of(check), "it"
            result = check()
        if hasattr(result, "__await__"):
            if hasattr(result, "close"):
                result.close()
            raise CheckFailed(
                name, f"{function} is a coroutine function, which load() cannot await (make it a plain one)"
            )
        reason = refusal(result)
        if reason:
            raise CheckFailed(name, f"{function} {reason}")
