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
