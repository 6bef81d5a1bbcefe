"""The errors that liveness raises, under one root."""


class LivenessError(RuntimeError):
    """The root of all errors of liveness. The message names what failed, why, and what to do."""


class BadArgument(LivenessError, ValueError):
    """An argument that is not valid. Nothing was done with it."""


class CheckFailed(LivenessError):
    """A check reported that the process must not run. ``name`` is the name of the check (for a module, its path)."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name}: {why}")
        self.name = name


class TakenOver(LivenessError):
    """This process may no longer write to the unit: it was reset, or another process has loaded it since."""


class MissingExtra(LivenessError, ImportError):
    """An integration was imported whose packages are not installed. It is also an ImportError."""


def require_extra(module: str, extra: str, *packages: str) -> None:
    """Raises MissingExtra unless these packages are installed. In lower case, a name is that of the module."""
    from importlib.util import find_spec

    missing = [package for package in packages if find_spec(package.lower()) is None]
    if missing:
        raise MissingExtra(
            f"{module} needs {' and '.join(missing)} (pip install 'liveness-probe[{extra}]', or in a clone "
            f"pip install '.[{extra}]')"
        )
