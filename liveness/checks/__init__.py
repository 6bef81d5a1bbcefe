"""
Checks: run them in parallel, each within its timeout and all within a deadline, and report the results.

A check is a callable, sync or async, or the dotted path of a module, which stands for its function ``health``. It fails
by raising an exception, or by what it returns: see ``return_values.refusal``.
"""

from .arguments import listed
from .awaiting import await_within
from .check import Check
from .parallel import prepare, run
from .results import DEGRADED, FAILED, PASSED, TIMED_OUT, Report, Result
from .return_values import refusal
from .sequential import require

__all__ = [
    "Check",
    "DEGRADED",
    "FAILED",
    "PASSED",
    "Report",
    "Result",
    "TIMED_OUT",
    "await_within",
    "listed",
    "prepare",
    "refusal",
    "require",
    "run",
]
