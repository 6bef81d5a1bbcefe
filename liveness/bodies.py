"""What the HTTP endpoints answer: one line, a list in the format of kube-apiserver, or JSON."""

from __future__ import annotations

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from .checks import Report, Result
    from .probe import Verdict

#: Bytes of a body. A kubelet reads no more: maxRespBodyLength in k8s.io/kubernetes/pkg/probe/http.
BODY_LIMIT = 10 * 1024
#: Bytes of one line, as in health.sh.
LINE_LIMIT = 512
#: The name of the unit in the list of checks.
UNIT = "unit"


class Findings:
    """
    The verdict on a unit and the results of checks, as the body of a response.

    Checks whose names are in ``excluded`` do not count. Reasons of checks, durations and why a unit is healthy are
    included if ``detailed``.
    """

    def __init__(
        self, verdict: Verdict | None, report: Report | None, excluded: Iterable[str] = (), detailed: bool = False
    ) -> None:
        self._verdict = verdict
        self._results = report.results if report is not None else ()
        self._excluded = set(excluded)
        self._detailed = detailed
        bad = [result for result in self._results if not result.passed and result.name not in self._excluded]
        #: Why the verdict is a failure, in the words of health.sh; empty if it is not.
        self.line = self._one_line([result for result in bad if result.critical])
        self._word = "fail" if self.line else "warn" if bad else "pass"

    @property
    def healthy(self) -> bool:
        """Whether neither the unit nor a critical check fails."""
        return not self.line

    def _one_line(self, bad: list[Result]) -> str:
        if self._verdict is not None and not self._verdict:
            return _printable(str(self._verdict))
        unit = f"{self._verdict.unitname}: " if self._verdict is not None else ""
        failed = ", ".join(f"{result.name} {result.outcome}" for result in bad)
        return _printable(f"liveness: {unit}not ready: {failed}") if bad else ""

    def listing(self, title: str) -> str:
        """Each check in a line, then the verdict, in the format of kube-apiserver. ``title`` names the verdict."""
        lines = [self._line_of(result) for result in self._results]
        if self._verdict is not None:
            lines.insert(0, self._line_of_unit(self._verdict))
        end = [f"{title} check {'failed' if self.line else 'passed'}"]
        unknown = self._excluded - {result.name for result in self._results}
        if unknown:
            names = ", ".join(f'"{name}"' for name in sorted(unknown))
            end.insert(0, _printable(f"warn: some health checks cannot be excluded: no matches for {names}"))
        return "\n".join([*_cut(lines), *end, ""])

    def _line_of_unit(self, verdict: Verdict) -> str:
        if not verdict:
            return _printable(f"[-]{UNIT} failed: {verdict.reason}")
        return _printable(f"[+]{UNIT} ok: {verdict.reason}" if self._detailed else f"[+]{UNIT} ok")

    def _line_of(self, result: Result) -> str:
        if result.name in self._excluded:
            return _printable(f"[+]{result.name} excluded: ok")
        if result.passed:
            return _printable(f"[+]{result.name} ok")
        note = "" if result.critical else " (not critical)"
        reason = result.reason if self._detailed else "reason withheld"
        return _printable(f"[-]{result.name} {result.outcome}{note}: {reason}")

    def json(self) -> str:
        """The verdict in the format of draft-inadarei-api-health-check-06."""
        found: dict[str, object] = {"status": self._word}
        if self.line:
            found["output"] = self.line
        details: dict[str, object] = {
            result.name: [self._details(result)] for result in self._results if result.name not in self._excluded
        }
        if self._verdict is not None:
            shown = {"status": "pass" if self._verdict else "fail"}
            if not self._verdict or self._detailed:
                shown["output"] = _printable(self._verdict.reason)
            details = {UNIT: [shown], **details}
        text = json.dumps({**found, "checks": details})
        if len(text) > BODY_LIMIT:
            text = json.dumps({**found, "notes": [f"too long: {len(details)} checks are left out"]})
        return text

    def _details(self, result: Result) -> dict[str, object]:
        found: dict[str, object] = {
            "status": "pass" if result.passed else "fail" if result.critical else "warn",
        }
        if self._detailed:
            found.update(observedValue=round(result.duration * 1000, 3), observedUnit="ms")
            if result.reason:
                found["output"] = _printable(result.reason)
        return found


def _printable(text: str) -> str:
    """One line of printable ASCII, at most LINE_LIMIT long."""
    return "".join(character if " " <= character <= "~" else "?" for character in text[:LINE_LIMIT])


def _cut(lines: list[str]) -> list[str]:
    """The lines that fit into a body with two more; if they are too many, failures come first."""
    room = BODY_LIMIT - 3 * LINE_LIMIT
    if sum(len(line) + 1 for line in lines) <= room:
        return lines
    kept: list[str] = []
    for line in sorted(lines, key=lambda line: line.startswith("[+]")):
        room -= len(line) + 1
        if room < 0:
            break
        kept.append(line)
    return [*kept, f"{len(lines) - len(kept)} more"]
