"""Run the checks of a process: each named module's ``health()``, in order."""

from __future__ import annotations

from .errors import BadArgument, CheckFailed, LivenessError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def names(checks: Iterable[str]) -> list[str]:
    """The dotted paths of the modules to ask. Raises BadArgument if they are anything else."""
    if isinstance(checks, str):
        raise BadArgument(f"checks: {checks!r}: one name in place of a list of names (write [{checks!r}])")
    found = list(checks)
    for name in found:
        if not isinstance(name, str) or not name:
            raise BadArgument(f"checks: {name!r}: not the dotted path of a module")
    return found


def run(checks: Iterable[str], args: tuple[object, ...], kwargs: dict[str, object]) -> None:
    """
    Imports each module and calls its ``health(*args, **kwargs)``, one after the other.

    Raises CheckFailed for the first whose result equals False, or is a coroutine, which nobody would await and which
    would pass for a success. Raises LivenessError for a module without ``health``. Every other exception, in the import
    too, passes through untouched.
    """
    import importlib

    for name in names(checks):
        health = getattr(importlib.import_module(name), "health", None)
        if health is None:
            raise LivenessError(f"{name}: has no health() (define health(*args, **kwargs) in it)")
        result = health(*args, **kwargs)
        if hasattr(result, "__await__"):
            if hasattr(result, "close"):
                result.close()
            raise CheckFailed(name, "health() is a coroutine function, which load() cannot await (make it a plain one)")
        if result == False:  # noqa: E712 - 0 is a refusal too, None is not
            raise CheckFailed(name, f"health() returned {result!r} (True or None say that all is well)")
