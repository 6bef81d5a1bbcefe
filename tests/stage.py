"""What the tests stand on: a process to command, waiting, and facts read without liveness."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
NOBODY = 65534
#: One line of Python that makes a root process a process of nobody. It imports the core and what the core imports late
#: first: the clone, or Python itself, may be in a directory that only root may enter, as root's home is.
BECOME_NOBODY = (
    "import fcntl, importlib, logging, os, sys, traceback, liveness, liveness.checks, liveness.probe; "
    "import liveness.declarations, liveness.draining, liveness.heartbeats, liveness.jobs, liveness.life; "
    f"os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})"
)


class PuppetError(Exception):
    """What a puppet raised: the name of its type, and its text."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind = kind
        self.text = text


class Puppet:
    """A real process that does what it is told: ``puppet("liveness.set()")``."""

    def __init__(self, rundir: Path, unit: str = "u", before: tuple[str, ...] = (), stderr: int | None = None) -> None:
        environment = {
            **os.environ,
            "LIVENESS_RUNDIR": str(rundir),
            "LIVENESS_UNIT_NAME": unit,
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}{os.pathsep}{rundir}",
        }
        self.process = subprocess.Popen(
            [*before, sys.executable, str(ROOT / "tests" / "puppet.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=environment,
            text=True,
            # Its own process group, so that its children end with it.
            start_new_session=True,
        )
        self("import liveness, logging, os, signal, sys, threading, time; logging.basicConfig()")
        # Not that of `before`, if it forks.
        self.pid: int = self("os.getpid()")

    def spawn(self) -> Child:
        """Another one, which this one starts as a program: its child that inherits nothing in memory."""
        return Child(self)

    def __call__(self, code: str) -> Any:
        """Runs it there, and returns what it came to. Raises PuppetError."""
        self.tell(code)
        return self.answer()

    def tell(self, code: str) -> None:
        """Runs it there, and does not wait."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(code) + "\n")
        self.process.stdin.flush()

    def answer(self) -> Any:
        """What came of the oldest thing that was told and not yet answered."""
        line = self.readline()
        if not line:
            raise PuppetError("EOF", "the puppet has ended")
        answer = json.loads(line)
        if "error" in answer:
            raise PuppetError(answer["error"], answer["text"])
        return answer["value"]

    def readline(self) -> str:
        """The next line that it answers, or nothing if it has ended."""
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def signal(self, number: int) -> None:
        os.kill(self.process.pid, number)

    def kill(self) -> None:
        """Ends it at once, and collects it."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.communicate()


class Child(Puppet):
    """A puppet that another puppet has started."""

    def __init__(self, parent: Puppet) -> None:
        self._home = Path(tempfile.mkdtemp(prefix="liveness-puppet-"))
        fifos = [str(self._home / name) for name in ("questions", "answers")]
        for fifo in fifos:
            os.mkfifo(fifo)
        command = [sys.executable, str(ROOT / "tests" / "puppet.py"), *fifos]
        parent("import subprocess")
        parent(f"children = globals().get('children', []); children.append(subprocess.Popen({command!r}))")
        self._questions = open(fifos[0], "w")  # noqa: SIM115 - for as long as it lives
        self._answers = open(fifos[1])  # noqa: SIM115
        self("import liveness, logging, os, signal, sys, threading, time; logging.basicConfig()")
        self.pid = self("os.getpid()")

    def tell(self, code: str) -> None:
        self._questions.write(json.dumps(code) + "\n")
        self._questions.flush()

    def readline(self) -> str:
        return self._answers.readline()

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        try:
            self.signal(signal.SIGKILL)
        except ProcessLookupError:
            pass
        for file in (self._questions, self._answers):
            try:
                file.close()
            except OSError:
                pass
        shutil.rmtree(self._home, ignore_errors=True)


def until(fact: Callable[[], object], seconds: float = 20) -> None:
    """Waits until it is so. Fails the test if it never is."""
    deadline = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.01)


def kill_session(leader: subprocess.Popen[Any]) -> None:
    """Ends a process that was started in a session of its own, with all that it has started there."""
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdecimal() and os.getsid(int(folder.name)) == leader.pid:
                os.kill(int(folder.name), signal.SIGKILL)
        except ProcessLookupError:
            pass
    leader.wait()


def uptime() -> float:
    """The clock of the heartbeats, read without liveness."""
    return float(Path("/proc/uptime").read_text().split()[0])


def start_of(pid: int) -> str:
    """Field 22 of a process's stat, read without liveness."""
    return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2].split()[19].decode()


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can arrange this")
