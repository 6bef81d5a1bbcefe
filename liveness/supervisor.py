"""
The parent of ``liveness run --notify``: it starts a program that speaks sd_notify(3), and writes the program's state.

It holds the unit: when it ends, the unit has ended.
"""

from __future__ import annotations

import os
import select

from . import log, notify
from .children import Children
from .directory import why
from .errors import LivenessError
from .mailbox import Mail, Mailbox
from .reported import Reported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .unit import Unit


class Settings:
    """What the systemd unit file of such a program would say."""

    __slots__ = ("access", "stop_timeout", "watchdog")

    def __init__(self, access: str = "main", watchdog: int = 0, stop_timeout: int = 90) -> None:
        #: NotifyAccess=: whose messages count, those of the ``main`` process or of ``all`` processes of the program.
        self.access = access
        #: WatchdogSec=: within how many seconds the program must send WATCHDOG=1 again; 0 is no watchdog.
        self.watchdog = watchdog
        #: TimeoutStopSec=: within how many seconds after STOPPING=1 the program must end.
        self.stop_timeout = stop_timeout


class Supervisor:
    """Runs one program, for a unit that this process has loaded."""

    def __init__(self, unit: Unit, settings: Settings) -> None:
        self._unit = unit
        self._settings = settings
        self._children = Children()
        self._reported = Reported(unit, settings.watchdog, settings.stop_timeout)
        self._mailbox = Mailbox(unit.path)

    def run(self, path: str, command: Sequence[str]) -> int:
        """
        Runs the program until it ends, and returns its exit status, as a shell has it. No state is left.

        Raises OSError if the program cannot be started.
        """
        try:
            self._start(path, command)
            return self._follow()
        finally:
            self._end()

    def _end(self) -> None:
        try:
            self._mailbox.close()
            self._unit.reset()
        except (LivenessError, OSError) as error:
            # The exit status must still be that of the program.
            log.warning("%s", error)

    def _start(self, path: str, command: Sequence[str]) -> None:
        os.environ["NOTIFY_SOCKET"] = self._mailbox.path
        for name in ("WATCHDOG_USEC", "WATCHDOG_PID"):
            # Those of a watchdog over this process.
            os.environ.pop(name, None)
        watchdog = self._settings.watchdog
        if watchdog:
            os.environ["WATCHDOG_USEC"] = str(watchdog * 1_000_000)
        self._children.start(path, command, "WATCHDOG_PID" if watchdog else "")
        self._reported.main = self._children.main

    def _follow(self) -> int:
        poll = select.poll()
        poll.register(self._mailbox.socket, select.POLLIN)
        poll.register(self._children.signals, select.POLLIN)
        while True:
            # At least once a second: the end of a main process that is not a child of this one sends no signal.
            poll.poll(1000)
            self._children.forward_signals()
            # Children are collected before the messages are read. So what a process has sent before its end, for
            # example which one takes its place, is known when its end is judged.
            self._children.reap()
            self._read_messages()
            status = self._children.exit_status()
            if status is not None:
                return status
            if not self._children.is_main_alive():
                self._reported.fail(f"the main process {self._children.main.pid} is gone")
            self._reported.write()

    def _read_messages(self) -> None:
        # No more at a time: a flood of messages must not keep a signal waiting.
        for _ in range(1000):
            mail = self._mailbox.read()
            if mail is None:
                return
            try:
                if self._counts(mail):
                    self._take(notify.parse(mail.data))
                    # Now, since the sender may wait until its message has had its effect.
                    self._reported.write()
            except (OSError, ValueError) as error:
                # /proc cannot be read, for example while the machine has no descriptor left.
                self._reported.log_once("proc", f"a message is lost: {why(error)}")
            finally:
                mail.close()

    def _counts(self, mail: Mail) -> bool:
        main = self._children.main.pid
        if mail.pid == main:
            return True
        if self._settings.access == "main":
            self._reported.log_once(
                "access",
                f"a message from process {mail.pid} is ignored, since {main} is the main process (add --access all if "
                f"the program's unit file has NotifyAccess=all)",
            )
            return False
        # Root and the user of this process could write the state themselves. So they need not be looked up, and may
        # have ended since.
        if mail.uid in (0, os.geteuid()) or self._children.is_descendant(mail.pid):
            return True
        self._reported.log_once("access", f"a message from process {mail.pid} is ignored: not one of the program's")
        return False

    def _take(self, message: dict[str, str]) -> None:
        pid = notify.whole(message.get("MAINPID", ""))
        if pid and pid != self._children.main.pid:
            if self._children.adopt(pid):
                self._reported.go_on_with(self._children.main)
            else:
                self._reported.log_once("MAINPID", f"MAINPID={pid} is ignored: not a living process of the program")
        self._reported.take(message)
