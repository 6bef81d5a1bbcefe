"""What /proc says is read right."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stage import start_of, uptime

from liveness import proc

FIELDS = b"S 7 " + b" ".join(b"%d" % number for number in range(5, 53))


@given(name=st.binary(min_size=1, max_size=15), pid=st.integers(1, 4194304))
def test_a_stat_is_read_whatever_the_command_is_called(name: bytes, pid: int) -> None:
    process = proc.parse(b"%d (%s) %s\n" % (pid, name, FIELDS))
    assert (process.pid, process.state, process.parent) == (pid, "S", 7)
    assert (process.threads, process.start) == (20, "22")


@pytest.mark.parametrize("text", [b"", b"1", b"1 (x", b"1 (x) S 1 2 3", b"x (x) " + FIELDS])
def test_a_text_of_another_form_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        proc.parse(text)


def test_a_process_is_found_and_one_that_is_not_there_is_none() -> None:
    process = proc.find(os.getpid())
    assert process is not None
    assert process.start == start_of(os.getpid())
    assert process.parent == os.getppid()
    assert not process.is_zombie()
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    zombie = proc.find(child.pid)
    assert zombie is not None
    assert zombie.is_zombie()
    child.wait()
    assert proc.find(child.pid) is None


def test_myself_is_the_calling_process_after_a_fork_too() -> None:
    assert proc.myself().pid == os.getpid()
    child = os.fork()
    if not child:
        os._exit(0 if proc.myself().pid == os.getpid() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_the_clock_is_that_of_proc_uptime() -> None:
    before = uptime()
    assert before <= proc.clock() <= uptime()
    assert int(before) <= proc.uptime() <= int(uptime())


def test_a_proc_that_cannot_be_read_is_an_error_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> bytes:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(proc, "_read", refuse)
    with pytest.raises(OSError, match="cannot read /proc"):
        proc.find(1)
    with pytest.raises(OSError, match=r"/proc/self/stat: cannot read: .* \(mount /proc\)"):
        proc.myself()
