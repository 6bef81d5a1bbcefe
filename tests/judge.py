"""The verdict of every probe: health.sh under each installed shell, and liveness.probe."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from liveness import probe

HEALTH_SH = Path(__file__).parent.parent / "health.sh"

# The shells whose words must be those of liveness.probe, and those whose verdict must be.
_EXACT = (["dash"], ["bash"], ["bash", "--posix"], ["busybox", "ash"])
_VERDICT_ONLY = (["ksh93"], ["mksh"], ["yash"], ["zsh", "--emulate", "sh"])


def _found(shells: tuple[list[str], ...]) -> list[list[str]]:
    """Those that are installed, and named in $LIVENESS_SHELLS, if it is set."""
    wanted = os.environ.get("LIVENESS_SHELLS", "").split() or [shell[0] for shell in shells]
    return [[path, *shell[1:]] for shell in shells if shell[0] in wanted and (path := shutil.which(shell[0]))]


EXACT = _found(_EXACT)
VERDICT_ONLY = _found(_VERDICT_ONLY)


class Judge:
    """Calls every probe on a unit, and fails the test if they do not agree."""

    def __init__(self, rundir: Path, exact_only: bool = False) -> None:
        self.rundir = rundir
        self.exact_only = exact_only

    def __call__(self, unit: str = "u", mode: str = "live") -> str:
        """The words of the verdict; those of a healthy unit begin with ``healthy``."""
        while True:
            said = self.python(unit, mode)
            different = [words for words in self._shells(unit, mode) if not same(words, said)]
            if not different:
                return said
            # Time passes between two probes, and a beat goes stale: only a verdict that stands still can be wrong.
            if same(self.python(unit, mode), said):
                raise AssertionError(f"{different}, but liveness.probe: {said!r}\n{self.show(unit)}")

    def python(self, unit: str = "u", mode: str = "live") -> str:
        """The words of liveness.probe."""
        verdict = (probe.live if mode == "live" else probe.ready)(unit, self.rundir)
        return f"healthy: {verdict.reason}" if verdict.healthy else verdict.reason

    def _shells(self, unit: str, mode: str) -> list[str]:
        shells = EXACT if self.exact_only else EXACT + VERDICT_ONLY
        return [words for shell in shells for words in (self.shell(shell, unit, mode), self.short(shell, unit, mode))]

    def shell(self, shell: list[str], unit: str = "u", mode: str = "live") -> str:
        """The words of one shell."""
        return self._words(shell, unit, ["-v", "-d", str(self.rundir), "-u", unit, mode], {})

    def short(self, shell: list[str], unit: str = "u", mode: str = "live") -> str:
        """The same where the environment names the unit: a healthy one may go the short way, without a word."""
        return self._words(shell, unit, [mode], {"LIVENESS_RUNDIR": str(self.rundir), "LIVENESS_UNIT_NAME": unit})

    def _words(self, shell: list[str], unit: str, arguments: list[str], environment: dict[str, str]) -> str:
        done = subprocess.run(
            [*shell, str(HEALTH_SH), *arguments],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **environment},
            timeout=120,
            check=False,
        )
        line = (done.stderr if done.returncode else done.stdout).decode("utf-8", "surrogateescape")
        assert done.returncode in (0, 1), f"{shell} {arguments}: status {done.returncode}: {line}"
        if environment and not done.returncode:
            assert not done.stdout, done.stdout
            assert not done.stderr, done.stderr
            return f"healthy by {shell}, the short way"
        if shell in VERDICT_ONLY:
            # Not all of these can print our words without a printf on PATH.
            return f"{'' if done.returncode else 'healthy by '}{shell}"
        assert len(os.fsencode(line)) <= 512, line
        assert line.count("\n") == 1, line
        said = line.removeprefix(f"liveness: {unit}: ").rstrip("\n")
        assert said.startswith("healthy: ") == (done.returncode == 0), line
        return said

    def show(self, unit: str) -> str:
        """The state on which the probes disagree, for the message of a failed test."""
        found = sorted((self.rundir / unit).rglob("*"))
        return "\n".join(f"{path}: {path.read_bytes()[:200]!r}" if path.is_file() else str(path) for path in found)


def same(heard: str, said: str) -> bool:
    """Whether two answers are the same except for seconds; for a shell whose words may differ, only the verdict."""
    if heard.startswith("healthy by ") or any(str(shell) in heard for shell in VERDICT_ONLY):
        return heard.startswith("healthy") == said.startswith("healthy")
    return re.sub(r"for \d+ s", "for N s", heard) == re.sub(r"for \d+ s", "for N s", said)
