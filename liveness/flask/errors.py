"""The error of this package."""

from ..errors import LivenessError


class HealthError(LivenessError):
    """A check has failed, or a dependency is not up."""
