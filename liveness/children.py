"""The processes of a program that this process has started: signals to them, and what becomes of them."""

from __future__ import annotations

import os
import signal
import subprocess

from . import proc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# From prctl(2).
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
# Not passed on: those that nobody can catch, those of an error in this very process, and those of its own terminal.
_OWN = {
    signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL,
    signal.SIGABRT, signal.SIGTRAP, signal.SIGSYS, signal.SIGPIPE, signal.SIGTTIN, signal.SIGTTOU,
}  # fmt: skip


class Children:
    """
    One program with all its processes.

    Orphans among them become children of this process, whether it is PID 1 or not. It collects every child that ends.
    """

    def __init__(self) -> None:
        #: Readable when a signal has come.
        self.signals, self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        #: The process that the state is about.
        self.main: proc.Process
        self._first: subprocess.Popen[bytes]
        # The wait statuses of the processes that ended in this turn, and the last one of all.
        self._ended: dict[int, int] = {}
        self._last = 0
        self._has_children = True

    def start(self, path: str, command: Sequence[str], pid_variable: str = "") -> None:
        """
        Starts the program, in a process group of its own, with the signals that this process had. Raises OSError.

        ``pid_variable`` is an environment variable that tells the program its own pid.
        """
        # Else an orphan would go to PID 1, and its exit status would be lost.
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
        caught = [number for number in signal.valid_signals() - _OWN if signal.getsignal(number) != signal.SIG_IGN]
        caught.append(signal.SIGCHLD)
        has_terminal = _has_terminal()
        # A signal that comes while the program starts waits until the program can be sent one.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())

        def in_child() -> None:
            # A group of its own: else the keys of a terminal would reach it twice, directly and through this process.
            os.setpgid(0, 0)
            if has_terminal:
                # All signals are blocked here, SIGTTOU as well, which would stop it.
                os.tcsetpgrp(0, os.getpid())
            # If this process is killed, the program must not go on with nobody to see it hang.
            _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if pid_variable:
                os.environ[pid_variable] = str(os.getpid())
            for number in caught:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

        try:
            signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
            for number in caught:
                signal.signal(number, _note)
            # The descriptors that this process was started with are for the program. No thread runs here that
            # in_child() could wait for.
            self._first = subprocess.Popen(command, executable=path, preexec_fn=in_child, close_fds=False)  # noqa: PLW1509
            self.adopt(self._first.pid)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def adopt(self, pid: int) -> bool:
        """Makes a process the main one. Returns False if it is not one of the program's processes, or has ended."""
        process = proc.find(pid) if pid else None
        if process is None or not proc.descends_from(process, os.getpid()):
            return False
        self.main = process
        return True

    def is_descendant(self, pid: int) -> bool:
        """Whether a process belongs to the program. False if this cannot be determined."""
        try:
            process = proc.find(pid) if pid else None
            return process is not None and proc.descends_from(process, os.getpid())
        except OSError:
            return False

    def is_main_alive(self) -> bool:
        """Whether the main process is not known to have ended."""
        try:
            return proc.is_alive(self.main.pid, self.main.start)
        except OSError:
            return True

    def forward_signals(self) -> None:
        """
        Forwards the signals received since the last call.

        They go to the main process or, if that has ended, to the process that was started first.
        """
        try:
            numbers = os.read(self.signals, 1000)
        except BlockingIOError:
            return
        for number in numbers:
            if number != signal.SIGCHLD:
                self._send(number)

    def _send(self, number: int) -> None:
        try:
            os.kill(self.main.pid if self.is_main_alive() else self._first.pid, number)
        except ProcessLookupError:
            pass

    def reap(self) -> None:
        """Collects the children that have ended."""
        self._ended = {}
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self._has_children = False
                return
            if not pid:
                return
            self._last = self._ended[pid] = status
            if pid == self._first.pid:
                # Else it would warn at the end that nobody has waited for it.
                self._first.returncode = os.waitstatus_to_exitcode(status)

    def exit_status(self) -> int | None:
        """
        The exit status of the program as a shell has it, 128 and the number for a signal; None while it runs.

        The program has ended with its main process, or if that was no child of this one, with the last child.
        """
        if self.main.pid in self._ended:
            status = self._ended[self.main.pid]
        elif not self._has_children and not self.is_main_alive():
            status = self._last
        else:
            return None
        code = os.waitstatus_to_exitcode(status)
        return code if code >= 0 else 128 - code


def _note(number: int, frame: object) -> None:
    # The interpreter has written the number to the pipe.
    pass


def _has_terminal() -> bool:
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False


def _prctl(option: int, value: int) -> None:
    try:
        import ctypes

        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
    except (ImportError, OSError, AttributeError):
        # A Python without ctypes: where this process is PID 1, the kernel does the same.
        pass
