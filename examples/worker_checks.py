"""What must be right before the worker begins."""

import sys


def health(*args: object, **kwargs: object) -> bool:
    """Python is recent enough for the code that the worker runs."""
    return sys.version_info >= (3, 10)
