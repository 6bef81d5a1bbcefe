"""Lives: how one begins (``load``) and how it ends (``reset``)."""

from __future__ import annotations

import os

from . import log, proc
from .directory import Directory, Unreadable, way_out, why
from .errors import LivenessError, TakenOver
from .formats import FOLDERS, lines
from .holder import OVER, Held, read_holder
from .membership import Membership, loaded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container

#: Every Monitor that runs in this process, as (directory of the unit, file of its lease): the number of forks.
monitors: dict[tuple[str, str], int] = {}


class Life(Membership):
    """A Membership that can begin and end a life."""

    __slots__ = ()

    def clear(self) -> None:
        """
        Begins a load: removes what an earlier life left.

        Raises LivenessError if an ancestor holds the unit, if a Monitor of this process runs, or if the directory
        cannot be made or emptied.
        """
        if any(path == self.directory.path and forks == proc.forks for (path, _), forks in monitors.items()):
            raise LivenessError(
                f"{self.directory.path}: cannot load: a Monitor of this process writes into this unit (stop() it first)"
            )
        self.pending = os.getpid()
        try:
            me = proc.myself()
            self.directory.make()
            self._check_holder(me)
        except (OSError, Unreadable) as error:
            raise LivenessError(f"{self.directory.path}: cannot load: {why(error)}") from error
        if self.held is not None:
            self.held.close()
        self.held = self.joined = None
        self.refusal = ""
        self.written = set()
        self._remove("cannot remove the state of an earlier life", self.written)

    def begin(self) -> None:
        """
        Completes a load: writes ``start`` and then ``pid``. Raises LivenessError.

        Two processes may load at one moment. Whoever writes ``start`` last holds the unit; the other raises TakenOver,
        and leaves the state of the first whole.
        """
        path = self.directory.path
        try:
            me = proc.myself()  # read again: a check may have forked this process into the background
            # Another process may have loaded while the checks ran, and its "healthy" would be taken for ours. Without
            # its pid it writes nothing more.
            self._remove("cannot remove the state of another life", self.written)
            self.directory.write("start", me.start.encode())
            self.written.add("start")
            self.held = self._claim(me)
        except (OSError, Unreadable) as error:
            if isinstance(error, FileNotFoundError) and os.path.isdir(path):
                # The other load has removed our temporary file.
                raise self._lost() from None
            where = getattr(error, "filename", None) or path
            raise LivenessError(
                f"{where}: cannot write: {why(error)} ({way_out(self.directory.path, error)})"
            ) from error
        self.pending = 0
        loaded[path] = None
        log.info("state in %s", path)

    def _claim(self, me: proc.Process) -> Held:
        # The pid is created, never replaced: if it exists while start is ours, it belongs to a process that we have
        # replaced; if start is not ours, we have been replaced, and must not touch it.
        while True:
            try:
                fd = self.directory.create("pid", b"%d" % me.pid)
                break
            except FileExistsError:
                if not self._is_on_disk(me, "start"):
                    raise self._lost() from None
                self.directory.remove("pid")
        try:
            held = Held(self.directory, me, fd)
            if not self._is_on_disk(me, "start", "pid"):
                raise self._lost()
        except BaseException as error:
            os.close(fd)
            if not isinstance(error, (TakenOver, FileNotFoundError)):
                self.directory.remove("pid")
            raise
        return held

    def _is_on_disk(self, me: proc.Process, *names: str) -> bool:
        wanted = {"pid": b"%d" % me.pid, "start": me.start.encode()}
        return all(lines(self.directory.read(name) or b"")[0] == wanted[name] for name in names)

    def _lost(self) -> TakenOver:
        return TakenOver(
            f"{self.directory.path}: another process has loaded this unit at the same moment, and holds it "
            f"(give each of the two a unit name)"
        )

    def _check_holder(self, me: proc.Process) -> None:
        holder = read_holder(self.directory)
        if holder is None or holder[0] == me.pid:
            return
        pid, start = holder
        try:
            if not proc.is_alive(pid, start):
                return
            # Without a start time the number may be anybody's, and a refusal would last for ever.
            is_ancestor = bool(start) and proc.descends_from(me, pid)
        except OSError:
            # Hidden: perhaps alive, perhaps not an ancestor. A refusal would last for ever.
            return
        if is_ancestor:
            raise LivenessError(
                f"{self.directory.path}: cannot load: the parent process {pid} holds this unit (a worker beats, it "
                f"does not load; to take over on purpose, reset the unit first, or use another unit name)"
            )
        log.warning(
            "%s: process %s, which is alive, has loaded this unit too: this process replaces it (give each of the two "
            "a unit name)",
            self.directory.path,
            pid,
        )

    def end(self) -> None:
        """
        Removes the life from the disk. The state of another life is left alone, which is logged.

        Goes on where something cannot be removed, then raises LivenessError; the pid is emptied in that case.
        """
        if self.standing() == OVER:
            if os.path.lexists(f"{self.directory.path}/pid"):
                self.log_over()
            return
        if self.held is None and os.path.lexists(self.directory.path):
            self.directory.check()
        if self.held is not None and not self.held.is_mine():
            log.warning(
                "%s: process %s resets what process %s has loaded: the probe says 'not loaded' now",
                self.directory.path,
                os.getpid(),
                self.held.pid,
            )
        held = self.held
        try:
            self._remove("cannot remove the state", (), lambda: held is None or held.has_start(self.directory))
        except LivenessError:
            self.empty_pid()
            raise
        loaded.pop(self.directory.path, None)
        # It is remembered, as a life that is over: what is on the disk from now on belongs to another.
        if self.held is not None:
            self.held.close()

    def _remove(self, doing: str, keep: Container[str] = (), still: Callable[[], bool] = lambda: True) -> None:
        try:
            remove_life(self.directory, keep, still)
        except OSError as error:
            where = error.filename or self.directory.path
            raise LivenessError(f"{where}: {doing}: {why(error)} ({way_out(self.directory.path, error)})") from error


def remove_life(directory: Directory, keep: Container[str], still: Callable[[], bool]) -> None:
    """
    Removes a life: pid, temporary files, error, ready, leases, start. Goes on after an error, then raises the first.

    The pid goes first, so that no probe believes the rest and no writer of that life begins another write. Temporary
    files follow, for the writers that had begun. ``start`` goes last: a probe that has read the pid still finds out
    that it is not the pid of a new process. Stops when ``still`` says no, and leaves what is in ``keep`` by then.
    """
    errors: list[OSError] = []

    def remove(name: str) -> None:
        try:
            if name not in keep and still():
                directory.remove(name)
        except OSError as error:
            errors.append(error)

    def entries(folder: str) -> list[str]:
        try:
            return os.listdir(f"{directory.path}/{folder}")
        except FileNotFoundError:
            return []
        except OSError as error:
            errors.append(error)
            return []

    folders = []
    remove("pid")
    for folder in FOLDERS:
        path = f"{directory.path}/{folder}"
        if os.path.islink(path) or (os.path.lexists(path) and not os.path.isdir(path)):
            # Not a folder of ours: whatever a link leads to must not be emptied.
            remove(folder)
        else:
            folders.append(folder)
    for folder in ("", *folders):
        for name in entries(folder):
            if _is_temporary(name):
                remove(f"{folder}/{name}" if folder else name)
    remove("error")
    remove("ready")
    for folder in folders:
        for name in entries(folder):
            if not name.startswith("."):
                remove(f"{folder}/{name}")
    remove("start")
    if errors:
        raise errors[0]


def _is_temporary(name: str) -> bool:
    # .pid.0123456789ab, and not the hidden file of another program
    dot, _, random = name.rpartition(".")
    return dot.startswith(".") and len(dot) > 1 and len(random) == 12 and not random.strip("0123456789abcdef")
