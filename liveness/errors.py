"""What can go wrong, under one root."""


class LivenessError(RuntimeError):
    """The root of every error that liveness raises itself. Its text names what, which, why, and the way out."""


class BadArgument(LivenessError, ValueError):
    """An argument that cannot be used as it is; nothing was done with it."""


class CheckFailed(LivenessError):
    """A check says that the process must not run. ``name`` is the check's: for a module, its dotted path."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name}: {why}")
        self.name = name


class TakenOver(LivenessError):
    """The unit is no longer this process's to write: it was reset, or another process has loaded it since."""
