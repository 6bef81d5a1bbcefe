"""What a program says in the messages of sd_notify(3), as the state of its unit."""

from __future__ import annotations

import os

from . import log, notify, proc
from .directory import Unreadable, why
from .errors import LivenessError
from .formats import Lease

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .unit import Unit

#: The heartbeat, and the job that limits how long the program may take to stop.
WATCHDOG, STOPPING = "beat/watchdog", "job/stopping"


class Reported:
    """The state that follows from the messages, and the writes that are due for it."""

    def __init__(self, unit: Unit, watchdog: int, stop_timeout: int) -> None:
        self._unit = unit
        #: The process whose state it is, and the owner of its leases.
        self.main: proc.Process
        # Whole seconds; 0 is no limit.
        self._watchdog = watchdog
        self._stop_timeout = stop_timeout
        # starting, running or stopping; failed when nothing that the program says can make it healthy again.
        self._phase = "starting"
        self._status = ""
        self._last_ping = -1
        # By file, in their order. Those that fail are tried again.
        self._due: dict[str, Callable[[], object]] = {}
        self._logged: set[str] = set()

    def take(self, message: dict[str, str]) -> None:
        """Notes what a message says. What it does not know, it ignores, as systemd does."""
        self._status = message.get("STATUS", self._status)
        if self._phase == "failed":
            return
        if message.get("READY") == "1":
            self._on_ready()
        if message.get("STOPPING") == "1":
            self._on_stopping(self._stop_timeout)
        if "EXTEND_TIMEOUT_USEC" in message and self._phase == "stopping":
            self._on_stopping(self._seconds(message, "EXTEND_TIMEOUT_USEC", self._stop_timeout))
        if "WATCHDOG_USEC" in message:
            self._watchdog = self._seconds(message, "WATCHDOG_USEC", self._watchdog)
            self._on_ping()
        # A lease counts whole seconds: another one within the same second would be no other.
        if message.get("WATCHDOG") == "1" and self._last_ping != proc.uptime():
            self._on_ping()
        if "ERRNO" in message:
            self._on_errno(message["ERRNO"], message.get("STATUS", ""))
        if message.get("WATCHDOG") == "trigger":
            self.fail(message.get("STATUS") or "the program has triggered its watchdog")

    def go_on_with(self, main: proc.Process) -> None:
        """Another process is the main one from now on: the leases become its own."""
        self.main = main
        self._on_ping()

    def fail(self, reason: str) -> None:
        """Declares error 1, which no later message takes back."""
        if self._phase == "failed":
            return
        self._phase = "failed"
        self._due = {"error": lambda: self._unit.set(1, reason)}

    def _on_ready(self) -> None:
        if self._phase == "stopping":
            self._add("ready", self._unit.set_ready)
            self._add(STOPPING, lambda: self._unit.leases.remove(STOPPING))
        self._phase = "running"
        # The heartbeat before set(), so that a hang is found from the start.
        self._on_ping()
        self._add("error", self._unit.set)

    def _on_stopping(self, limit: int) -> None:
        self._phase = "stopping"
        self._add("ready", lambda: self._unit.set_ready(False, "stopping"))
        self._add_lease(STOPPING, limit)
        # A program that stops need not serve its watchdog any more.
        self._add_lease(WATCHDOG, 0)

    def _on_ping(self) -> None:
        # The watchdog begins with READY=1.
        if self._phase == "running":
            self._last_ping = proc.uptime()
            self._add_lease(WATCHDOG, self._watchdog, self._status)

    def _on_errno(self, text: str, status: str) -> None:
        code = notify.whole(text)
        if code is None:
            self.log_once("ERRNO", f"ERRNO={text!r} is ignored: not a number")
        elif code:
            reason = status or os.strerror(min(code, 9999))
            self._add("error", lambda: self._unit.set(code, reason))

    def _seconds(self, message: dict[str, str], name: str, default: int) -> int:
        found = notify.seconds(message[name])
        if found is None:
            self.log_once(name, f"{name}={message[name]!r} is ignored: not a number")
            return default
        return found

    # Writing

    def _add_lease(self, file: str, ttl: int, reason: str = "") -> None:
        """A lease of the main process that begins now, or if ttl is 0 none."""
        if ttl:
            lease = Lease(proc.uptime(), ttl, self.main.pid, self.main.start, reason=reason)
            self._add(file, lambda: self._unit.leases.write(file, lease))
        else:
            self._add(file, lambda: self._unit.leases.remove(file))

    def _add(self, file: str, write: Callable[[], object]) -> None:
        # A later write of a file is in the place of the earlier one, and after the others.
        self._due.pop(file, None)
        self._due[file] = write

    def write(self) -> None:
        """Makes the writes that are due. Those that fail are logged once, and tried again at the next call."""
        try:
            while self._due:
                # None after one that failed: not healthy without the heartbeat.
                file, write = next(iter(self._due.items()))
                write()
                del self._due[file]
        except (LivenessError, OSError, ValueError, Unreadable) as error:
            self.log_once("write", f"{self._unit.path}: cannot write, will try again: {why(error)}")

    def log_once(self, kind: str, text: str) -> None:
        """Logs a line, the first of its kind."""
        if kind not in self._logged:
            self._logged.add(kind)
            log.warning("%s", text)
