"""
The Monitor: runs checks again and again in a thread, and writes their result into the unit's state.

The probe only reads that result, so checks may be slow or expensive.
"""

from __future__ import annotations

import math
import os
import queue
import random
import threading
import time

from . import checks as checks_module
from . import life, log, names, proc
from .directory import Unreadable, why
from .errors import BadArgument, LivenessError
from .formats import LARGEST_CODE, Lease, whole_within
from .unit import Unit, find

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

#: The longest time, in seconds, between two writes of the result while no check runs. A long interval, or a suspension
#: of the machine, must not be taken for the death of the Monitor.
RENEWAL = 5.0

# How long stop() waits for a write, in seconds.
_PATIENCE = 1.0
_FOLDERS = {"ready": "check", "error": "beat"}


class Monitor:
    """
    Runs ``checks`` every ``interval`` seconds, and writes their result into the unit's state as a lease of its own.

    ``into`` decides what a failure means. ``ready``: the unit is not ready; use it where Kubernetes should send the
    traffic elsewhere, for example while a database is down. ``error``: the unit is unhealthy with the error code
    ``code`` (1 to 99999999999999999999); use it for faults that a restart repairs. The probe shows the names of the
    failed checks; the exceptions are in the log. Before the first run the result is "not checked yet", unless another
    process has a fresh result of the same role: a worker that joins a pool must not take the pod out.

    A failure is declared after ``failures`` failed runs in a row, and withdrawn after ``successes`` passed runs.
    Default: 1 each, since a kubelet counts for itself. All Monitors of a unit must pass. In a pool of workers use
    ``failures=2``, or a single failed check of one worker takes the pod out. Each interval varies at random by the
    fraction ``jitter`` (0 or more, below 1), so that many processes do not query a database at the same moment. A run
    takes at most ``deadline`` seconds. Default: the longest timeout of the checks.

    ``name`` is the name of the lease. Default: ``monitor``. In a process that did not load the unit, the pid is added:
    ``monitor.4711``. The lease is written after each run, and every 5 seconds between runs. It goes stale about
    16 seconds plus ``deadline`` after the last write: if nothing can be written, that is the alarm. The Monitor never
    changes what the application declares with ``set`` and ``set_ready``.

    ``unit`` is the default unit if None. A Monitor is a context manager; otherwise call ``start`` and ``stop``. It does
    not run in a forked child, which may start its own. When another process loads the unit, it stops and logs that.

    Raises BadArgument for invalid arguments.
    """

    def __init__(
        self,
        checks: Iterable[checks_module.Check | Callable[[], object] | str],
        interval: float,
        *,
        unit: Unit | None = None,
        into: str = "ready",
        failures: int = 1,
        successes: int = 1,
        deadline: float | None = None,
        jitter: float = 0.1,
        code: int = 1,
        name: str | None = None,
    ) -> None:
        self.checks = checks_module.prepare(checks)
        if not self.checks:
            raise BadArgument("checks: an empty list (a Monitor without checks would always pass)")
        self.interval = _positive("interval", interval)
        if into not in _FOLDERS:
            raise BadArgument(f"into: {into!r}: must be 'ready' or 'error'")
        self.into = into
        self.failures = whole_within("failures", failures, 1, LARGEST_CODE)
        self.successes = whole_within("successes", successes, 1, LARGEST_CODE)
        longest = max(check.timeout for check in self.checks)
        self.deadline = longest if deadline is None else _positive("deadline", deadline)
        if isinstance(jitter, bool) or not isinstance(jitter, (int, float)) or not 0 <= jitter < 1:
            raise BadArgument(f"jitter: {jitter!r}: must be 0 or more, and less than 1")
        self.jitter = float(jitter)
        self.code = whole_within("code", code, 1, LARGEST_CODE)
        if name is not None:
            names.check_lease_name("name", name)
            if len(name) > names.LEASE_NAME_LENGTH - 8:
                raise BadArgument(f"name: {name!r}: must be at most {names.LEASE_NAME_LENGTH - 8} long")
        self._base = name or "monitor"
        self.unit = find() if unit is None else unit
        #: The report of the last run; None before the first run has ended.
        self.report: checks_module.Report | None = None
        self._run: _Run | None = None

    def __repr__(self) -> str:
        return f"Monitor({len(self.checks)} checks, every {self.interval:g} s, unit={self.unit!r}, into={self.into!r})"

    @property
    def name(self) -> str:
        """The name of its lease in this process."""
        return self._base if self.unit.life.is_loader() else f"{self._base}.{os.getpid()}"

    @property
    def is_running(self) -> bool:
        """Whether it was started in this process and has not stopped since."""
        return self._run is not None and self._run.is_alive()

    def start(self) -> Monitor:
        """
        Writes the first result and starts the thread. Call it after ``load``.

        Raises LivenessError if the Monitor already runs, if another Monitor of this process has the name, if nobody has
        loaded the unit, or if the result cannot be written: a lease that was never written would never go stale.
        """
        if self.is_running:
            raise LivenessError(f"{self.unit.path}: this Monitor already runs (stop() it first)")
        self._require_membership()
        key = (self.unit.path, f"{_FOLDERS[self.into]}/{self.name}")
        if life.monitors.get(key) == proc.forks:
            raise LivenessError(f"{self.unit.path}: another Monitor has the name {self.name!r} (give each a name)")
        self._run = run = _Run(self, key)
        try:
            run.start()
        except BaseException:
            self.stop()
            raise
        return self

    def _require_membership(self) -> None:
        # This also determines whether this process has loaded the unit, on which the name depends.
        try:
            if proc.LINUX and self.unit.life.member() is None:
                raise LivenessError(f"{self.unit.path}: cannot start a Monitor: {self.unit.life.refusal}")
        except (OSError, Unreadable) as error:
            raise self.unit.leases.cannot_write(_FOLDERS[self.into], error) from error

    def stop(self) -> None:
        """
        Stops the Monitor and removes its result, without waiting for a running check.

        It is not an error if the Monitor does not run. A signal handler may call this.
        """
        run = self._run
        if run is not None:
            run.stop()
        if self._run is run:
            self._run = None

    def __enter__(self) -> Monitor:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class _Run:
    """One run of a Monitor, from start to stop."""

    def __init__(self, monitor: Monitor, key: tuple[str, str]) -> None:
        self._monitor, self._key, self._file = monitor, key, key[1]
        self._forks = proc.forks
        has_fellow = proc.LINUX and monitor.unit.leases.has_fellow(self._file)
        self._code, self._reason = (0, "") if has_fellow else (monitor.code, "not checked yet")
        self._streak = 0
        self._has_passed: bool | None = None
        self._is_over = self._is_refused = self._is_writing = self._is_failing = False
        # A SimpleQueue and not an Event: a signal handler may call stop() while the interrupted code is in stop().
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        # A daemon thread: a check that hangs must not delay the end of the process.
        self._thread = threading.Thread(target=self._loop, name="liveness-monitor", daemon=True)

    def is_alive(self) -> bool:
        return self._forks == proc.forks and not self._is_over and self._thread.is_alive()

    def start(self) -> None:
        unit = self._monitor.unit
        life.monitors[self._key] = self._forks
        try:
            if not self._write():
                raise LivenessError(f"{unit.path}: cannot start a Monitor: {unit.life.refusal}")
        except (OSError, ValueError, Unreadable) as error:
            raise unit.leases.cannot_write(self._file, error) from error
        if proc.LINUX:
            unit.leases.sweep(self._file)
        self._thread.start()
        if self._is_over:
            # A signal handler has called stop(), perhaps before the lease was written.
            self.stop()

    def stop(self) -> None:
        self._is_over = True
        if self._forks != proc.forks or self._is_refused:
            # In a child the thread and the lease are the parent's. After a refusal the lease is already gone.
            return
        self._wake.put(None)
        # Only for a while: a signal handler may have interrupted code that holds a lock which the thread waits for.
        end = time.monotonic() + _PATIENCE
        try:
            while self._is_writing and time.monotonic() < end:
                time.sleep(0.001)
        finally:
            life.monitors.pop(self._key, None)
            self._remove()

    def _remove(self) -> None:
        try:
            if proc.LINUX:
                self._monitor.unit.leases.remove(self._file)
        except LivenessError as error:
            log.warning("%s", error)

    # In the thread

    def _loop(self) -> None:
        monitor = self._monitor
        while not self._is_over:
            begin = time.monotonic()
            self._judge(checks_module.run(monitor.checks, monitor.deadline))
            pause = monitor.interval * random.uniform(1 - monitor.jitter, 1 + monitor.jitter)
            self._renew_until(begin + pause)

    def _judge(self, report: checks_module.Report) -> None:
        monitor = self._monitor
        monitor.report = report
        has_passed = bool(report)
        self._streak = self._streak + 1 if has_passed is self._has_passed else 1
        self._has_passed = has_passed
        if has_passed and self._streak >= monitor.successes:
            self._code, self._reason = 0, ""
        elif not has_passed and self._streak >= monitor.failures:
            self._code, self._reason = monitor.code, report.summary

    def _renew_until(self, end: float) -> None:
        while not self._is_over:
            self._renew()
            rest = end - time.monotonic()
            if rest <= 0:
                return
            try:
                self._wake.get(timeout=min(rest, RENEWAL))
            except queue.Empty:
                pass

    def _renew(self) -> None:
        trouble: Exception | None = None
        self._is_writing = True
        try:
            # After _is_writing was set: stop() looks at the two in the other order.
            if self._is_over:
                return
            if not self._write():
                self._is_over = self._is_refused = True
        except (OSError, ValueError, LivenessError, Unreadable) as error:
            trouble = error
        finally:
            self._is_writing = False
        if self._is_refused:
            life.monitors.pop(self._key, None)
            log.warning("%s: the Monitor %r stops: %s", *self._key, self._monitor.unit.life.refusal)
        elif self._is_over and self._key not in life.monitors:
            # stop() may not have waited for this write. What a successor has written is not removed.
            self._remove()
        else:
            self._log_outage(trouble)

    def _write(self) -> bool:
        """Writes the lease. Returns False if this process may not. Raises OSError, ValueError, Unreadable."""
        if not proc.LINUX:
            return True
        leases = self._monitor.unit.leases
        me = leases.membership.member()
        if me is None:
            return False
        ttl = math.ceil(3 * RENEWAL + self._monitor.deadline) + 1
        return leases.write(self._file, Lease(proc.uptime(), ttl, me.pid, me.start, str(self._code), self._reason))

    def _log_outage(self, trouble: Exception | None) -> None:
        """Logs once that the result cannot be written, and once that it can again."""
        path, name = self._monitor.unit.path, self._file.partition("/")[2]
        if trouble is not None and not self._is_failing:
            log.warning("%s: result %r cannot be written, and goes stale: %s", path, name, why(trouble))
        elif trouble is None and self._is_failing:
            log.warning("%s: result %r is written again", path, name)
        self._is_failing = trouble is not None


def _positive(what: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 1e6:
        raise BadArgument(f"{what}: {value!r}: must be seconds, more than 0 and at most 1,000,000")
    return float(value)
