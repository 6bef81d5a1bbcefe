"""Results of checks, and the verdict on all of them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

PASSED, FAILED, TIMED_OUT = "passed", "failed", "timed out"
DEGRADED = "degraded"


class Result:
    """The result of one check."""

    __slots__ = ("critical", "duration", "ended", "name", "outcome", "reason")

    def __init__(self, name: str, outcome: str, duration: float, reason: str, critical: bool, ended: float) -> None:
        self.name = name
        #: ``passed``, ``failed`` or ``timed out``.
        self.outcome = outcome
        #: Seconds that the check has run, so far if it timed out.
        self.duration = duration
        #: Type and text of the exception, or another reason; empty if the check passed. May contain internals.
        self.reason = reason
        self.critical = critical
        #: On time.monotonic().
        self.ended = ended

    @property
    def passed(self) -> bool:
        """Whether the check passed."""
        return self.outcome == PASSED

    def as_dict(self, detailed: bool = False) -> dict[str, object]:
        """For JSON, without the name. Duration and reason are included if ``detailed``."""
        found: dict[str, object] = {"outcome": self.outcome, "critical": self.critical}
        if detailed:
            found["duration"] = round(self.duration, 6)
            if self.reason:
                found["reason"] = self.reason
        return found

    def __repr__(self) -> str:
        return f"Result({self.name!r}, {self.outcome!r}, {self.reason!r})"


class Report:
    """The results of all checks; true unless a critical check did not pass."""

    __slots__ = ("results",)

    def __init__(self, results: Iterable[Result]) -> None:
        #: In the order of the checks.
        self.results = tuple(results)

    @property
    def verdict(self) -> str:
        """``passed``; ``failed`` if a critical check did not pass; ``degraded`` if only other checks did not."""
        bad = [result for result in self.results if not result.passed]
        if any(result.critical for result in bad):
            return FAILED
        return DEGRADED if bad else PASSED

    def __bool__(self) -> bool:
        return self.verdict != FAILED

    @property
    def summary(self) -> str:
        """One line for the public: the checks that did not pass, without reasons. Empty if all passed."""
        return ", ".join(f"{result.name} {result.outcome}" for result in self.results if not result.passed)

    def as_dict(self, detailed: bool = False) -> dict[str, object]:
        """For JSON: the verdict and the checks by name. Durations and reasons are included if ``detailed``."""
        return {"verdict": self.verdict, "checks": {result.name: result.as_dict(detailed) for result in self.results}}

    def __repr__(self) -> str:
        return f"Report({self.verdict!r}, {list(self.results)!r})"
