"""Declarations: the files ``error`` and ``ready``, in which the application says how it is."""

from __future__ import annotations

from .directory import Unreadable, way_out, why
from .errors import BadArgument, LivenessError, TakenOver
from .formats import LARGEST_CODE, encode_code, shown, whole
from .holder import OVER, UNKNOWN
from .membership import Membership


class _Declaration:
    """One call: two calls that say the same are still two."""

    __slots__ = ("code", "data")

    def __init__(self, code: int, data: bytes) -> None:
        self.code = code
        self.data = data


class Declarations:
    """Writes the two files of one unit. The verbs are described at ``Unit``."""

    __slots__ = ("_alarms", "_last", "_membership")

    def __init__(self, membership: Membership) -> None:
        self._membership = membership
        # By file: the last declaration of this process, and its last alarm.
        self._last: dict[str, _Declaration] = {}
        self._alarms: dict[str, _Declaration] = {}

    def set(self, error_code: object, reason: object) -> None:
        """Writes ``error``. Raises BadArgument, after error 1 was declared, if the code is not a code."""
        before = self._alarms.get("error")
        code = whole(error_code)
        if code is not None and 0 <= code <= LARGEST_CODE:
            self._declare("error", code, reason, before)
            return
        # Whoever meant to raise an alarm and got its number wrong still meant to.
        wrong = f"error_code: {shown(error_code)}: must be a whole number from 0 to {LARGEST_CODE}"
        if isinstance(error_code, str):
            wrong += " (a reason comes second: set(1, reason))"
        self._declare("error", 1, wrong, before)
        raise BadArgument(f"{wrong} (declared as error 1)")

    def set_ready(self, ready: object, reason: object) -> None:
        """Writes ``ready``. Raises BadArgument, after "not ready" was declared, for anything but a bool."""
        before = self._alarms.get("ready")
        if isinstance(ready, bool):
            self._declare("ready", 0 if ready else 1, reason, before)
            return
        wrong = f"ready: {shown(ready)}: must be True or False (a reason comes second: set_ready(False, reason))"
        self._declare("ready", 1, wrong, before)
        raise BadArgument(f"{wrong} (declared as not ready)")

    def _declare(self, name: str, code: int, reason: object, alarm_before: _Declaration | None) -> None:
        mine = self._last[name] = _Declaration(code, encode_code(code, reason))
        if code:
            self._alarms[name] = mine
        elif self._alarms.get(name) is not alarm_before:
            # Raised by a signal handler or another thread since this call began: the alarm stands.
            mine = self._last[name] = self._alarms[name]
        member = self._membership
        try:
            if member.held is None:
                member.check_loaded()
            member.written.add(name)
            while True:
                if not self._write(name, mine):
                    raise self._taken_over(name, code)
                if self._last[name] is mine:
                    return
                # A signal handler or another thread has declared something later, and this write has undone it.
                mine = self._last[name]
        except (OSError, Unreadable) as error:
            if member.standing() == OVER:
                raise self._taken_over(name, code) from error
            instead = self._raise_alarm(name) if code else ""
            path = member.directory.path
            raise LivenessError(
                f"{path}/{name}: cannot write {code}: {why(error)}{instead} ({way_out(path, error)})"
            ) from error

    def _write(self, name: str, declaration: _Declaration) -> bool:
        def is_allowed() -> bool:
            standing = self._membership.standing()
            if standing == UNKNOWN and not declaration.code:
                # Only an alarm may be raised in a life that is perhaps another one.
                raise Unreadable("pid or start")
            return standing != OVER

        write = self._membership.directory.write
        try:
            return write(name, declaration.data, is_allowed)
        except FileNotFoundError:
            # A load() of this process, in another thread, has removed the temporary file.
            return write(name, declaration.data, is_allowed)

    def _taken_over(self, name: str, code: int) -> TakenOver:
        member = self._membership
        # The life may be gone only from where this process looks, after a chroot or under a mount. Then the probe still
        # sees the pid file, and emptying it raises the alarm. The file of a life that is over is not linked any more.
        silenced = bool(code) and name == "error" and member.empty_pid()
        return TakenOver(
            f"{member.directory.path}: {member.why_over()}"
            + ("; but its pid file still exists, and was emptied, which is not healthy" if silenced else "")
        )

    def _raise_alarm(self, name: str) -> str:
        """Raises an alarm whose code cannot be written in another way, and returns which. Never raises."""
        member = self._membership
        try:
            if name == "ready":
                member.directory.empty(name)
                return "; it was emptied instead, which is not ready"
            member.directory.remove(name)
            return "; it was removed instead, which is not healthy"
        except OSError:
            pass
        if name == "error" and member.empty_pid():
            return "; the pid file was emptied instead, which is not healthy"
        return "; nor could anything else be done"
