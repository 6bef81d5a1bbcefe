"""The error of this folder."""

from ..errors import LivenessError


class HealthError(LivenessError):
    """A check has failed, or a dependency has not said that it is up."""
