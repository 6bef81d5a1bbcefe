"""The verbs: what a process says of itself."""

from __future__ import annotations

import os
import sys

from . import proc, stacks, state
from .errors import BadArgument, LivenessError, TakenOver

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

if sys.platform == "linux":
    # Counts on while the machine sleeps, as /proc/uptime does.
    from time import CLOCK_BOOTTIME, clock_gettime

_LINUX = sys.platform == "linux"
_INFO, _WARNING = 20, 30

# Counts the forks since the first import: what a child has inherited of its parent's beats is not its own.
_generation = 0
_me: tuple[int, proc.Process] | None = None
_said_not_linux = False

# Every unit that the functions of the package were asked for, by its directory, and the default one.
_units: dict[str, Unit] = {}
_default: Unit | None = None


class _Life:
    """One life of a unit: the process that loaded it, and the pid and start files that it wrote."""

    __slots__ = ("fd", "files", "pid", "start")

    def __init__(self, me: proc.Process, fd: int, start_file: os.stat_result) -> None:
        self.pid = me.pid
        self.start = me.start
        self.fd = fd
        self.files = (_fingerprint(os.fstat(fd)), _fingerprint(start_file))

    def _check(self) -> os.stat_result:
        found = os.fstat(self.fd)
        # A daemon that closes all descriptors may have something else under this number by now.
        if (found.st_dev, found.st_ino) != self.files[0][:2]:
            raise OSError("the descriptor of the pid file was closed")
        return found

    def silence(self) -> bool:
        """
        Empties the pid file, which fails every probe, without a right to the directory. Raises OSError.

        Returns False if it is no longer the one that a probe may see: the life was reset or replaced.
        """
        if self._check().st_nlink == 0 or os.pread(self.fd, 8, 0) not in (b"", b"%d" % self.pid):
            return False
        os.ftruncate(self.fd, 0)
        return True

    def close(self) -> None:
        try:
            self._check()
            os.close(self.fd)
        except OSError:
            pass
        self.fd = -1


class _Word:
    """What was declared once: two declarations of one text are still two."""

    __slots__ = ("data", "generation", "is_written")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.generation = _generation
        self.is_written = False

    def is_settled(self) -> bool:
        """Nobody is about to write it: that has been done, or was begun by a process that we are a child of."""
        return self.is_written or self.generation != _generation


class _Beat:
    """What this process knows of one of its heartbeats."""

    __slots__ = ("at", "due", "failing", "generation", "name", "traceback", "ttl", "written")

    def __init__(self, generation: int) -> None:
        self.generation = generation
        self.name = ""
        self.ttl = 0
        self.traceback = False
        self.at = -1
        #: On CLOCK_BOOTTIME, when the next whole second of /proc/uptime may begin.
        self.due = 0.0
        self.written = False
        self.failing = False


class Unit:
    """
    One unit: a process, or a group of them, with one verdict.

    ``unitname`` is the argument, else ``$LIVENESS_UNIT_NAME``, else the kernel's hostname; ``rundir``, the directory of
    all units, is the argument, else ``$LIVENESS_RUNDIR``, else ``/run``. Raises BadArgument for names that cannot be.

    Off Linux (on a developer's laptop) ``load`` runs its checks, and no verb does anything else.
    """

    def __init__(self, unitname: str | None = None, rundir: str | os.PathLike[str] | None = None) -> None:
        self.rundir: str = state.find_rundir(rundir)
        self.unitname: str = state.find_unitname(unitname) if _LINUX or unitname else "localhost"
        #: The state directory.
        self.path: str = f"{self.rundir}/{self.unitname}"
        self._directory = state.Directory(self.path)
        self._life: _Life | None = None
        self._beats: dict[str | None, _Beat] = {}
        self._said_taken_over = False
        # Of a process that never loaded: the life, pid and start, that its heartbeats belong to.
        self._joined: tuple[str, str] | None = None
        # The last that was declared for each file, and the last alarm.
        self._declared: dict[str, _Word] = {}
        self._alarms: dict[str, _Word] = {}
        # Who speaks beside the application, by file: called when it has declared that all is well, and after a load().
        self._beside: dict[str, Callable[[bool], None]] = {}
        # The pid of the process whose last load() has come to no life; children that it forks meanwhile inherit this.
        self._refused = 0
        # While load() runs: the process that does, and the files that this life has written so far.
        self._loader: proc.Process | None = None
        self._written: set[str] = set()

    def __repr__(self) -> str:
        return f"Unit({self.unitname!r}, rundir={self.rundir!r})"

    @property
    def is_loaded_here(self) -> bool:
        """This very process has loaded it, by this object; that it has reset it since is no matter here."""
        return self._life is not None and self._life.pid == os.getpid()

    def load(self, checks: Iterable[str], *args: object, **kwargs: object) -> None:
        """
        Begins a life: removes what an earlier one left, runs the checks, then writes ``start`` and ``pid``.

        Each name in ``checks`` is a module, of which ``health(*args, **kwargs)`` is called. CheckFailed is raised if a
        result equals False (0 does; None does not), or is a coroutine; any other exception of theirs passes through.
        Then nothing is loaded.

        The pid is that of the process that makes this call: a daemon that forks itself into the background, or that
        drops privileges, does so first. Not healthy yet: ``set()`` is what says so.

        Raises LivenessError if the unit is held by a living process from which the caller descends (a worker beats, it
        does not load), if the directory cannot be made or written, or is not ours, or if /proc is that of another pid
        namespace. If another living process holds the unit, it is warned of in the log and replaced.
        """
        from .checks import names as names_of
        from .checks import require

        names = names_of(checks)
        if not _LINUX:
            _say_not_linux()
            require(names, args, kwargs)
            return
        self._refused = os.getpid()
        try:
            me = proc.myself()
            self._directory.make()
            self._mind_the_holder(me)
        except OSError as error:
            raise LivenessError(f"{self.path}: cannot load: {state.why(error)}") from error
        self._forget(None)
        self._joined = None
        self._said_taken_over = False
        self._loader = me
        self._written = set()
        try:
            with _Trouble(self.path, "cannot remove the state of an earlier life"):
                self._directory.wipe(keep=self._written)
            require(names, args, kwargs)
            with _Trouble(self.path, "cannot write"):
                self._begin()
        finally:
            self._loader = None
        self._refused = 0
        for speak in list(self._beside.values()):
            speak(True)
        _log(_INFO, "liveness: state in %s", self.path)

    def set(self, error_code: int = 0, reason: object = "") -> None:
        """
        Declares the process healthy, or with another code than 0 not.

        ``error_code`` is 0 to 99999999999999999999; ``reason`` is shown by the probe: any text, on disk at most 200
        bytes of printable ASCII. May be called from any thread, child process or signal handler.

        Raises TakenOver if the unit was reset or loaded anew by another process, and LivenessError if nothing can be
        written. An alarm gets through all the same wherever anything can be done: then ``error`` is removed, or, after
        a loss of privileges or a chroot, the pid file is emptied, which lasts until the next ``load``. So it does for a
        code that is no code, for which BadArgument is raised. An alarm that a signal handler or another thread raises
        while a ``set()`` is under way stands.
        """
        before = self._alarms.get("error")
        code = _whole(error_code)
        if code is not None and 0 <= code < 10**state.CODE_DIGITS:
            self._declare("error", code, reason, before)
            return
        # Whoever meant to raise an alarm and got its number wrong still meant to.
        wrong = f"error_code: {_shown(error_code)}: must be a whole number from 0 to {10**state.CODE_DIGITS - 1}"
        if isinstance(error_code, str):
            wrong += " (a reason comes second: set(1, reason))"
        self._declare("error", 1, wrong, before)
        raise BadArgument(f"{wrong} (declared as error 1)")

    def set_ready(self, ready: bool = True, reason: object = "") -> None:
        """
        Declares the process ready for work, or not; neither makes it less alive. One that never says is ready.

        The reason, the callers and the errors are those of ``set``. Where "not ready" cannot be written for want of
        room, an empty file says so.
        """
        self._declare("ready", 0 if ready else 1, reason, self._alarms.get("ready"))

    def beat(self, ttl: int, name: str | None = None, traceback: bool = False) -> None:
        """
        Reports that the calling loop is moving, and will call again within ``ttl`` seconds.

        It belongs in the loop that does the work: a timer thread that beats for a hung loop defeats it. The file is
        written when the clock's whole second has moved since the last write (or the arguments have); any other call is
        one look at the clock. So a hang is found between ttl and ttl + 1 seconds after the last call, never earlier.
        A loop is watched from its first beat on, so make that before ``set()``.

        ``ttl`` is in whole seconds, 1 to 999,999,999: more than the longest wait and the longest piece of work between
        two calls. Two loops need two names: under one, the beats of either hide the hang of the other.

        ``name`` is ``main`` in the process that loaded the unit and ``worker.<pid>`` in any other. Of a name like
        ``role.instance``, the last dot divides, one whose process has died may go stale as long as another of
        its role is fresh; a name without a dot must stay fresh until ``end_beat``.

        With ``traceback=True``, in every call, a process that hangs prints the stacks of all its threads to stderr, ttl
        + 1 seconds after the last write; this needs faulthandler's only timer, so one name per process can have it.

        Raises BadArgument for arguments that cannot be, and nothing else: what cannot be written is logged once, and
        once when it can be again.
        """
        known = self._beats.get(name)
        if (
            known is not None
            and known.due > clock_gettime(CLOCK_BOOTTIME)
            and known.ttl == ttl
            and known.traceback is traceback
            and known.generation == _generation
        ):
            return
        seconds = _ttl(ttl)
        _check_beat_name(name)
        if not _LINUX:
            _say_not_linux()
            return
        if known is None or known.generation != _generation:
            known = _Beat(_generation)
        self._beat(known, seconds, name, bool(traceback))
        self._beats[name] = known

    def beat_for_holder(self, ttl: int, name: str = "main") -> None:
        """
        Writes a heartbeat in the name of the process that loaded the unit, for a program that cannot do so itself.

        Raises BadArgument for arguments that cannot be, and LivenessError if that process is gone or nothing can be
        written.
        """
        seconds = _ttl(ttl)
        _check_beat_name(name)
        if not _LINUX:
            _say_not_linux()
            return
        with _Trouble(self.path, "cannot write"):
            self._check_directory()
            pid, start = _text(self._directory, "pid"), _text(self._directory, "start")
            process = proc.find(pid) if state.is_count(pid.encode(), 7) else None
            if process is None or process.is_zombie() or start not in ("", process.start):
                raise LivenessError(f"{self.path}: no living process holds this unit (load() it first)")
            self._directory.make_beats()
            data = state.encode_beat(state.Beat(proc.uptime(), seconds, process.pid, process.start))
            self._directory.write_if(f"beat/{name}", data, lambda: _text(self._directory, "pid") == pid)

    def end_beat(self, name: str | None = None) -> None:
        """
        Removes a heartbeat: its loop has ended on purpose. One that never was is no error.

        Raises LivenessError if it cannot be removed, and would go stale.
        """
        _check_beat_name(name)
        if not _LINUX:
            _say_not_linux()
            return
        known = self._beats.pop(name, None)
        with _Trouble(self.path, "cannot remove"):
            if known is not None and known.name and known.generation == _generation:
                file = known.name
            else:
                file = name or self._default_beat(_myself())
            stacks.disarm((self.path, file))
            if self._may_beat():
                self._directory.remove(f"beat/{file}")
            else:
                self._say_taken_over("end_beat")

    def heartbeat(self, ttl: int, name: str | None = None, traceback: bool = False) -> Heartbeat:
        """
        A context manager that beats at once and yields a function to call in the loop, without arguments.

        At a clean exit the heartbeat is removed; an exception leaves it there to go stale. Arguments and errors are
        those of ``beat``.
        """
        return Heartbeat(self, ttl, name, traceback)

    def reset(self) -> None:
        """
        Ends the life: removes its state, in the order of ``load``. The directory stays, it may be a mount.

        A child that shares the life ends it for all, which is logged as a warning; one that ends for itself alone calls
        ``end_beat``. Nothing there is no error. The state of another life is left alone, with a warning in the log.
        Raises LivenessError if something cannot be removed.
        """
        if not _LINUX:
            _say_not_linux()
            return
        with _Trouble(self.path, "cannot remove the state"):
            if self._holds():
                if self._life is None and os.path.lexists(self.path):
                    self._directory.check()
                if self._life is not None and self._life.pid != os.getpid():
                    _log(
                        _WARNING,
                        "liveness: %s: process %s resets what process %s has loaded: the probe says 'not loaded' now",
                        self.path,
                        os.getpid(),
                        self._life.pid,
                    )
                self._directory.wipe(None if self._life is None else self._start_is_ours)
            elif self._directory.read("pid") is not None:
                self._say_taken_over("reset")
        self._forget(self._life)

    def running(
        self, checks: Iterable[str], *args: object, ready: bool = True, ttl: int | None = None, **kwargs: object
    ) -> Running:
        """
        A context manager for a whole life, in which the loop beats as ever.

        Load, unready if ``ready`` is false, a first beat if ``ttl``, set; at the end reset. Yields the unit. The reset
        happens only in the process that loaded: a forked child that leaves the block touches nothing. Arguments
        and errors are those of the verbs.
        """
        return Running(self, checks, args, kwargs, ready, ttl)

    # Lives

    def _begin(self) -> None:
        me = proc.myself()  # a check may have forked us into the background
        # Another process may have loaded while our checks ran. Once its start is replaced it writes no more, and what
        # it wrote goes: its "healthy" would be taken for ours.
        self._directory.remove("pid")
        self._directory.write("start", me.start.encode())
        self._written.add("start")
        for name in self._directory.beats():
            beat = self._find_beat(name)
            if beat is not None and beat.pid == me.pid:
                self._written.add(f"beat/{name}")
        self._directory.wipe(keep=self._written)
        start_file = os.stat(f"{self.path}/start")
        fd = self._directory.write_and_keep("pid", b"%d" % me.pid)
        self._life = _Life(me, fd, start_file)

    def _mind_the_holder(self, me: proc.Process) -> None:
        pid, start = _text(self._directory, "pid"), _text(self._directory, "start")
        if not state.is_count(pid.encode(), 7) or int(pid) == me.pid:
            return
        if not lives(pid, start):
            return
        # Without a start it may be the number of anybody, and a refusal would last for ever.
        if start and descends_from(me, int(pid)):
            raise LivenessError(
                f"{self.path}: cannot load: the parent process {pid} holds this unit (a worker beats, it does "
                f"not load; to take over on purpose, call reset() before load(), or use another unit name)"
            )
        _log(
            _WARNING,
            "liveness: %s: process %s, which lives, has loaded this unit too: it is replaced now (give each of the two "
            "a unit name)",
            self.path,
            pid,
        )

    def _holds(self) -> bool:
        """The life that we belong to is that in the directory. Who never loaded belongs to any."""
        life = self._life
        if self._was_refused() and (life is None or life.pid != os.getpid()):
            # Who was refused by a holder must not end its life on the way out.
            return not self._is_held()
        if life is None:
            return True
        try:
            # The very files that we wrote? A look takes no descriptor, which may be what an alarm is about. Both, since
            # who begins another life replaces start before pid.
            if (_fingerprint(os.stat(f"{self.path}/pid")), _fingerprint(os.stat(f"{self.path}/start"))) == life.files:
                return True
        except FileNotFoundError:
            return False
        except OSError:
            # Out of reach, and so the write will be; what an alarm can do then goes by the descriptor.
            return True
        # An empty pid was silenced.
        return self._start_is_ours() and _text(self._directory, "pid") in ("", str(life.pid))

    def _was_refused(self) -> bool:
        return self._refused != 0 and self._refused == os.getpid()

    def _start_is_ours(self) -> bool:
        return self._life is not None and _text(self._directory, "start") == self._life.start

    def _is_held(self) -> bool:
        """A living process that is not ourselves has loaded, or may have."""
        pid, start = _text(self._directory, "pid"), _text(self._directory, "start")
        return state.is_count(pid.encode(), 7) and int(pid) != os.getpid() and lives(pid, start) is not False

    def _may_beat(self) -> bool:
        """
        The same for a heartbeat, which belongs to one life even if its process never loaded.

        Else a worker that was spawned, and has survived its parent, would beat on in the life of the next one.
        """
        if self._life is not None:
            return self._holds()
        if not self._holds():
            return False
        found = (_text(self._directory, "pid"), _text(self._directory, "start"))
        if self._joined is None and all(found) and state.is_count(found[0].encode(), 7) and lives(*found):
            self._joined = found
        return self._joined is None or self._joined == found

    def _check_directory(self) -> None:
        try:
            self._directory.check()
        except LivenessError as error:
            # The usual mistake is a name that was given to load() and not to this verb.
            loaded = ", ".join(unit.path for unit in _units.values() if unit._life is not None)
            if not loaded or os.path.lexists(self.path):
                raise
            raise LivenessError(
                f"{error}: this process has loaded {loaded}: pass the same unitname and rundir"
            ) from error

    def _forget(self, life: _Life | None) -> None:
        for known in list(self._beats.values()):
            if known.generation == _generation:
                stacks.disarm((self.path, known.name))
        self._beats.clear()
        if self._life is not None:
            self._life.close()
        self._life = life

    def _say_taken_over(self, verb: str) -> None:
        if not self._said_taken_over:
            self._said_taken_over = True
            _log(_WARNING, "liveness: %s: %s: %s", self.path, verb, self._taken_over())

    def _taken_over(self) -> str:
        if self._was_refused():
            return "nothing is written: another process holds the unit, and load() came to nothing"
        pid = self._life.pid if self._life else (self._joined or "?")[0]
        return (
            f"nothing is written: the life of process {pid} is over (it was reset, or another process has loaded the "
            f"unit since)"
        )

    # Writing

    def _declare(self, name: str, code: int, reason: object, alarm: _Word | None) -> None:
        if not _LINUX:
            _say_not_linux()
            return
        first = mine = self._declared[name] = _Word(state.encode_code(code, reason))
        if code:
            self._alarms[name] = mine
        elif self._alarms.get(name) is not alarm:
            # Raised while this call was under way, in a signal handler or another thread: it stands.
            mine = self._declared[name] = self._alarms[name]
        try:
            while True:
                if self._life is None:
                    self._check_directory()
                self._written.add(name)
                try:
                    written = self._directory.write_if(name, mine.data, self._holds)
                except FileNotFoundError:
                    # A load() of our own has removed our temporary file: once more.
                    written = self._directory.write_if(name, mine.data, self._holds)
                if not written:
                    raise TakenOver(f"{self.path}: {self._taken_over()}{self._silenced(name, code)}")
                if self._declared[name] is mine:
                    return
                # A signal handler or another thread has declared a later one, and we have just undone it.
                mine = self._declared[name]
        except OSError as error:
            if not self._holds():
                raise TakenOver(f"{self.path}: {self._taken_over()}{self._silenced(name, code)}") from error
            way = self._raise_alarm(name) if code else ""
            raise LivenessError(
                f"{self.path}/{name}: cannot write {code}: {state.why(error)}{way} ({state.WAY_OUT})"
            ) from error
        finally:
            first.is_written = mine.is_written = True
            if not code and name in self._beside:
                self._beside[name](False)

    def speak_beside(self, name: str, speak: Callable[[bool], None] | None) -> None:
        """
        Calls this when this process has declared that all is well in that file, and, with True, after a ``load``; None
        ends it. It must not raise.
        """
        if speak is None:
            self._beside.pop(name, None)
        else:
            self._beside[name] = speak

    def restate(self, name: str, decide: Callable[[bytes | None], bytes | None], is_alarm: bool = False) -> None:
        """
        For who speaks beside the application, such as the Monitor: replaces what a state file holds by what ``decide``
        makes of it, None being no file. Nothing is written if that is the same.

        What the application declares in this process meanwhile is never undone. Raises TakenOver, and LivenessError
        where nothing can be written; an alarm then gets through as one of ``set``'s does.
        """
        if not _LINUX:
            _say_not_linux()
            return
        try:
            if self._life is None:
                self._check_directory()
            while True:
                theirs = self._declared.get(name)
                is_settled = theirs is None or theirs.is_settled()
                found = self._directory.read(name)
                wanted = decide(found)
                if not self._may_beat():
                    raise TakenOver(f"{self.path}: {self._taken_over()}")
                if wanted == found:
                    return
                if self._replace_if(name, wanted, found):
                    break
            while theirs is not self._declared.get(name) or not is_settled:
                # The application has declared meanwhile, and we may have undone it; what we have to say beside it holds
                # as well, though it has been said already.
                is_settled, theirs = True, self._declared[name]
                wanted = decide(theirs.data)
                if wanted is not None:
                    self._directory.write_if(name, wanted, self._holds)
        except (OSError, state.Unreadable) as error:
            if not self._may_beat():
                raise TakenOver(f"{self.path}: {self._taken_over()}") from error
            way = self._raise_alarm(name) if is_alarm else ""
            raise LivenessError(
                f"{self.path}/{name}: cannot write: {state.why(error)}{way} ({state.WAY_OUT})"
            ) from error

    def _replace_if(self, name: str, wanted: bytes | None, found: bytes | None) -> bool:
        def is_as_found() -> bool:
            return self._may_beat() and self._directory.read(name) == found

        if wanted is not None:
            return self._directory.write_if(name, wanted, is_as_found)
        if is_as_found():
            self._directory.remove(name)
            return True
        return False

    def _silenced(self, name: str, code: int) -> str:
        """
        For an alarm that finds its life gone from where it looks: a chroot or a mount may have come between.

        Then our pid file is still linked somewhere, where the probe looks, and can be emptied. Of a life that was reset
        or replaced it is not.
        """
        try:
            if not code or name != "error" or self._life is None or self._was_refused():
                return ""
            if self._life.silence():
                return "; but its pid file is still there, and was emptied, which is not healthy"
        except OSError:
            pass
        return ""

    def _raise_alarm(self, name: str) -> str:
        """The code cannot be written: says the same in another way, and returns which. Never raises."""
        try:
            if name == "ready":
                self._directory.empty(name)
                return "; it was emptied instead, which is not ready"
            self._directory.remove(name)
            return "; it was removed instead, which is not healthy"
        except OSError:
            pass
        try:
            if name == "error" and self._life is not None and self._life.silence():
                return "; the pid file was emptied instead, which is not healthy"
        except OSError:
            pass
        return "; nor could anything else be done"

    # Heartbeats

    def _beat(self, known: _Beat, ttl: int, name: str | None, traceback: bool) -> None:
        trouble: Exception | None = None
        changed = not known.written or known.ttl != ttl or known.traceback is not traceback
        # Whatever comes of it, not again before the next second.
        before = clock_gettime(CLOCK_BOOTTIME)
        known.due = before + 1
        at = known.at
        try:
            clock = proc.clock()
            at = int(clock)
            # Never late for a new second, since up to ttl may pass before the next call. The file cuts off its
            # hundredths: what it shows may be 10 ms old already.
            known.due = before + 0.99 - (clock - at)
            if at == known.at and not changed:
                return
            if not known.name:
                known.name = name or self._default_beat(_myself())
        except (OSError, ValueError) as error:
            trouble = error
        if known.name:
            # Before the write, and whatever comes of it: the loop is moving.
            self._mind_the_stacks(known, ttl, traceback)
        known.ttl, known.traceback = ttl, traceback
        try:
            if trouble is None and not self._may_beat():
                stacks.disarm((self.path, known.name))
                self._say_taken_over("beat")
                return
            if trouble is None:
                self._write_beat(known, at)
        except (OSError, ValueError, LivenessError, state.Unreadable) as error:
            trouble = error
        if trouble is not None:
            known.due = before + 1
        self._say_outage(known, trouble)

    def _mind_the_stacks(self, known: _Beat, ttl: int, traceback: bool) -> None:
        owner = (self.path, known.name)
        if traceback:
            stacks.claim(owner)
            stacks.arm(owner, ttl + 1)
        elif known.traceback:
            stacks.disarm(owner)

    def _write_beat(self, known: _Beat, at: int) -> None:
        me = _myself()
        if not known.written:
            if self._life is None:
                self._check_directory()
            self._warn_of_another(known.name, me)
        known.at = at
        try:
            while True:
                self._put_beat(known.name, state.Beat(at, known.ttl, me.pid, me.start))
                if known.at <= at:
                    break
                # A signal handler or another thread has written a later one, and we have just undone it.
                at = known.at
        except BaseException:
            known.at = -1
            raise
        if not known.written:
            known.written = True
            # After our own, so that the role is never without any.
            self._sweep(known.name)

    def _put_beat(self, name: str, beat: state.Beat) -> None:
        data = state.encode_beat(beat)
        try:
            self._directory.write_if(f"beat/{name}", data, self._may_beat)
        except FileNotFoundError:
            # No folder yet; or our life was wiped while we wrote, and the second time we see that.
            if self._may_beat():
                self._directory.make_beats()
                self._directory.write_if(f"beat/{name}", data, self._may_beat)

    def _warn_of_another(self, name: str, me: proc.Process) -> None:
        other = self._find_beat(name)
        if other is not None and (other.pid, other.start) != (me.pid, me.start) and lives(other.pid, other.start):
            _log(
                _WARNING,
                "liveness: %s: heartbeat %r is that of process %s, which lives: one name for two loops hides the hang "
                "of one (give each a name)",
                self.path,
                name,
                other.pid,
            )

    def _sweep(self, ours: str) -> None:
        """Removes the heartbeats of the dead of a role: now they have a successor."""
        role = state.role_of(ours)
        if not role:
            return
        for name in self._directory.beats():
            if name != ours and state.role_of(name) == role:
                beat = self._find_beat(name)
                if beat is not None and _is_dead(beat):
                    self._directory.remove_beat_if(name, _is_dead)

    def _find_beat(self, name: str) -> state.Beat | None:
        try:
            return state.decode_beat(self._directory.read(f"beat/{name}") or b"")
        except state.Unreadable:
            return None

    def _default_beat(self, me: proc.Process) -> str:
        pid, start = str(me.pid), me.start
        loader = self._life or self._loader
        if loader is not None:
            holder = (str(loader.pid), loader.start)
        else:
            # Another Unit of this very process may have loaded.
            holder = (_text(self._directory, "pid"), _text(self._directory, "start"))
        return "main" if holder == (pid, start) else f"worker.{pid}"

    def _say_outage(self, known: _Beat, trouble: Exception | None) -> None:
        if trouble is not None and not known.failing:
            _log(
                _WARNING,
                "liveness: %s: heartbeat %r cannot be written, and goes stale: %s",
                self.path,
                known.name or "?",
                state.why(trouble),
            )
        elif trouble is None and known.failing:
            _log(_WARNING, "liveness: %s: heartbeat %r is written again", self.path, known.name)
        known.failing = trouble is not None


class Heartbeat:
    """What ``heartbeat`` returns: a context manager for one loop."""

    def __init__(self, unit: Unit, ttl: int, name: str | None, traceback: bool) -> None:
        self._unit = unit
        self._ttl = ttl
        self._name = name
        self._traceback = traceback
        self._generation = _generation

    def __call__(self) -> None:
        """Beats."""
        self._unit.beat(self._ttl, self._name, self._traceback)

    def __enter__(self) -> Heartbeat:
        self._generation = _generation
        self()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A forked child that leaves the block never entered it.
        if kind is None and self._generation == _generation:
            self._unit.end_beat(self._name)


class Running:
    """What ``running`` returns: a context manager for one life."""

    def __init__(
        self,
        unit: Unit,
        checks: Iterable[str],
        args: tuple[object, ...],
        kwargs: dict[str, object],
        ready: bool,
        ttl: int | None,
    ) -> None:
        self._unit = unit
        self._load = (checks, args, kwargs)
        self._ready = ready
        self._ttl = ttl
        self._pid = 0

    def __enter__(self) -> Unit:
        checks, args, kwargs = self._load
        unit = self._unit
        unit.load(checks, *args, **kwargs)
        self._pid = os.getpid()
        try:
            if not self._ready:
                unit.set_ready(False)
            if self._ttl is not None:
                unit.beat(self._ttl)
            unit.set()
        except BaseException:
            unit.reset()
            raise
        return unit

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pid == os.getpid():
            self._unit.reset()


class _Trouble:
    """Turns an OSError into a LivenessError that says where and what to do."""

    __slots__ = ("doing", "path")

    def __init__(self, path: str, doing: str) -> None:
        self.path = path
        self.doing = doing

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, OSError):
            where = error.filename if isinstance(error.filename, str) else self.path
            raise LivenessError(f"{where}: {self.doing}: {state.why(error)} ({state.WAY_OUT})") from error
        if isinstance(error, state.Unreadable):
            raise LivenessError(f"{self.path}: {self.doing}: {error} (remove it)") from error


def find(unitname: str | None = None, rundir: str | os.PathLike[str] | None = None, anew: bool = False) -> Unit:
    """
    The process's one Unit of those names, since a unit remembers its life; with no names the default one.

    The default is found at first use, and again with ``anew``. Raises BadArgument for names that cannot be.
    """
    global _default
    is_default = unitname is None and rundir is None
    if is_default and _default is not None and not anew:
        return _default
    unit = Unit(unitname, rundir)
    unit = _units.setdefault(unit.path, unit)
    if is_default:
        _default = unit
    return unit


def descends_from(me: proc.Process, pid: int) -> bool:
    """That process is the parent of this one, or further up. False if /proc cannot tell."""
    # Not only the parent: multiprocessing's fork server stands between.
    parent = me.parent
    while parent > 0:
        if parent == pid:
            return True
        try:
            process = proc.find(parent)
        except OSError:
            return False
        parent = process.parent if process is not None else 0
    return False


def _shown(value: object) -> str:
    # Some things have no text, like a number of 5,000 digits.
    try:
        return repr(value)
    except Exception:
        return f"a {type(value).__name__}"


def _whole(number: object) -> int | None:
    # Also of numpy and the like; but True is no number of seconds.
    if isinstance(number, bool) or not hasattr(number, "__index__"):
        return None
    return int(number.__index__())


def _ttl(ttl: object) -> int:
    seconds = _whole(ttl)
    if seconds is None or not 1 <= seconds <= state.LARGEST_TTL:
        raise BadArgument(f"ttl: {ttl!r}: must be whole seconds from 1 to {state.LARGEST_TTL}")
    return seconds


def _check_beat_name(name: object) -> None:
    if name is not None and not state.is_name(name, 100):
        raise BadArgument(f"name: {name!r}: not a heartbeat's: 1 to 100 of A-Z a-z 0-9 . _ -, first neither . nor -")


def _text(directory: state.Directory, name: str) -> str:
    try:
        return state.lines(directory.read(name) or b"")[0].decode("ascii", "replace")
    except state.Unreadable:
        return ""


def lives(pid: int | str, start: str) -> bool | None:
    """That very process lives, or any of the number if no start is known. None if /proc cannot tell: it may hide it."""
    try:
        process = proc.find(pid)
    except OSError:
        return None
    return process is not None and not process.is_zombie() and start in ("", process.start)


def _is_dead(beat: state.Beat) -> bool:
    return lives(beat.pid, beat.start) is False


def _fingerprint(found: os.stat_result) -> tuple[int, int, int, int]:
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


def _myself() -> proc.Process:
    global _me
    if _me is None or _me[0] != _generation or _me[1].pid != os.getpid():
        _me = (_generation, proc.myself())
    return _me[1]


def _say_not_linux() -> None:
    global _said_not_linux
    if not _said_not_linux:
        _said_not_linux = True
        _log(_WARNING, "liveness: does nothing here but the checks of load(): %s has no /proc to probe", sys.platform)


def _log(level: int, message: str, *args: object) -> None:
    # Imported when there is something to log, and without a right to fail: a signal handler may have interrupted the
    # very import.
    try:
        import logging

        logging.getLogger("liveness").log(level, message, *args)
    except Exception:
        pass


def _after_fork_in_child() -> None:
    global _generation
    _generation += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
