"""The arguments of checks: callables, names of modules, and seconds."""

from __future__ import annotations

from ..errors import BadArgument, LivenessError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def listed(checks: Iterable[Callable[[], object] | str]) -> list[Callable[[], object] | str]:
    """The checks of a load as a list. Raises BadArgument for anything but module names and callables."""
    if isinstance(checks, str) or not hasattr(checks, "__iter__"):
        raise BadArgument(f"checks: {checks!r}: must be a list of module names or callables (write [...])")
    found = list(checks)
    for check in found:
        if not callable(check) and not (isinstance(check, str) and check):
            raise BadArgument(f"checks: {check!r}: neither the dotted path of a module nor a callable")
    return found


def health_of(module: str) -> Callable[..., object]:
    """The function ``health`` of a module. Raises LivenessError if it has none, and the errors of the import."""
    import importlib

    health: Callable[..., object] | None = getattr(importlib.import_module(module), "health", None)
    if health is None:
        raise LivenessError(f"{module}: has no health() (define health(*args, **kwargs) in it)")
    return health


def name_of(call: object) -> str:
    """The name of a callable in messages and reports."""
    name = getattr(call, "__qualname__", None) or type(call).__qualname__
    return f"{getattr(call, '__module__', None) or '?'}.{name}"


def refuse_bad_arguments(name: str, call: object, loop: object) -> None:
    """Raises BadArgument unless these are the name, the callable or module, and the event loop (or None) of a check."""
    if not isinstance(name, str) or not name or not name.isprintable():
        raise BadArgument(f"name: {name!r}: must be printable text")
    if not callable(call) and not (isinstance(call, str) and all(part.isidentifier() for part in call.split("."))):
        raise BadArgument(f"{name}: call: {call!r}: neither a callable nor the dotted path of a module")
    if loop is not None and not hasattr(loop, "call_soon_threadsafe"):
        raise BadArgument(f"{name}: loop: {loop!r}: must be an event loop of asyncio")


def seconds(what: str, value: float) -> float:
    """The value as a float. Raises BadArgument, which names ``what``, if it is not from 0 to 1,000,000."""
    number = float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else -1.0
    # A lock cannot wait much longer than that.
    if not 0 <= number <= 1e6:
        raise BadArgument(f"{what}: {value!r}: must be seconds, from 0 to 1,000,000")
    return number


def text_of(error: BaseException) -> str:
    """Type and text of an exception."""
    try:
        text = str(error)
    except Exception:
        text = "(its text is not available)"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
