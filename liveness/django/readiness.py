"""
The verdicts on this application: its readiness probes, each as a Check that is made once, and the unit it has joined.

One Readiness serves the whole process, so that a probe that hangs costs one thread, whoever asks.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from .. import endpoint
from ..checks import TIMED_OUT, Check, Result, run
from . import conf
from .database import LIMIT, Left, cut_off, let_go, shut_all, use_own
from .probes import DatabaseProbe, MemcachedProbe, NotReady, ReadinessProbe

if TYPE_CHECKING:
    from django.http import HttpRequest

    from ..probe import Verdict

logger = logging.getLogger("djk8s.probe")


class Readiness:
    """
    The probes with their limits: ``timeout`` seconds for each and for all, and ``timeout_ttl`` as a Check has it.

    Raises ImproperlyConfigured if there is no probe, or something else among them.
    """

    def __init__(self, probes: Iterable[ReadinessProbe], timeout_ttl: float = endpoint.TIMEOUT_TTL) -> None:
        self.probes = list(probes)
        if not self.probes:
            raise ImproperlyConfigured("DJK8S_READINESS_PROBES: no probe at all: who asks would learn nothing")
        self.timeout = conf.timeout()
        self.checks: list[ProbeCheck] = []
        for probe in self.probes:
            if not isinstance(probe, ReadinessProbe):
                raise ImproperlyConfigured(f"DJK8S_READINESS_PROBES: {probe!r}: not a ReadinessProbe")
            self.checks.append(ProbeCheck(self._name_of(probe), probe, self.timeout, timeout_ttl))
        self._unit = conf.joined()
        self._has_unit = bool(self._unit)
        self._unit_news = _News("the unit")

    def _name_of(self, probe: ReadinessProbe) -> str:
        name = type(probe).__name__
        number = sum(type(other).__name__ == name for other in self.probes[: len(self.checks)])
        return f"{name} {number + 1}" if number else name

    def live(self) -> NotReady | None:
        """Why the process is not alive; None if it is, which without a unit it is whenever it can be asked."""
        return self._of_unit(self._unit.live()) if self._has_unit else None

    def ready(self, request: HttpRequest | None = None) -> NotReady | None:
        """What the first probe in the order of the settings said that is not ready; None if all are."""
        refusal = self._of_unit(self._unit.ready()) if self._has_unit else None
        if refusal is not None:
            return refusal
        said = {check: check.ask_here() for check in self.checks if check.is_local()}
        said.update(self._ask([check for check in self.checks if check not in said], request))
        return next((said[check] for check in self.checks if said[check] is not None), None)

    def _ask(self, checks: list[ProbeCheck], request: HttpRequest | None) -> dict[ProbeCheck, NotReady | None]:
        for check in checks:
            check.asked.request = request
        results = run(checks, self.timeout).results
        return {check: check.refusal(result) for check, result in zip(checks, results, strict=True)}

    def _of_unit(self, verdict: Verdict | None) -> NotReady | None:
        if verdict is None:
            return None
        self._unit_news.tell(verdict.healthy, verdict.reason)
        return None if verdict else NotReady(str(verdict))


class ProbeCheck(Check):
    """A Check of a readiness probe, whose news are for the logger of the probes."""

    __slots__ = ("_news", "asked")

    def __init__(self, name: str, probe: ReadinessProbe, timeout: float, timeout_ttl: float) -> None:
        self.asked = _Asked(probe)
        self._news = _News(name)
        super().__init__(name, self.asked, timeout=timeout, timeout_ttl=timeout_ttl)

    def _begin(self) -> Any:
        self.asked.cut_off_a_hang()
        return super()._begin()

    def _end(self, flight: Any, outcome: str, reason: str) -> None:
        self.asked.left.close_unless_awaited()
        super()._end(flight, outcome, reason)

    def _answer(self, flight: Any, asked: float, limit: float | None) -> Result:
        with self.asked.left.waiting():
            return super()._answer(flight, asked, limit)

    def is_local(self) -> bool:
        """It waits for nobody, and needs no thread."""
        probe = self.asked.probe
        # One that was only registered as a probe may have no more than ready().
        return isinstance(probe, (DatabaseProbe, MemcachedProbe)) and probe.is_local()

    def ask_here(self) -> NotReady | None:
        """Asks in this thread, which keeps its connections. What was refused, or None."""
        try:
            self.asked.probe.ready(None)
        except NotReady as refusal:
            self._news.tell(False, _text(refusal))
            return refusal
        self._news.tell(True, "")
        return None

    def refusal(self, result: Result) -> NotReady | None:
        """What is answered for a result; None if it passed."""
        if result.passed:
            return None
        said = None if result.outcome == TIMED_OUT else self.asked.refusal
        return said or NotReady(getattr(self.asked.probe, "unavailable", ReadinessProbe.unavailable))

    def _log(self, result: Result) -> None:
        said = "" if result.outcome == TIMED_OUT else self.asked.said
        self._news.tell(result.passed, said or result.reason)


class _Asked:
    """What a check calls: asks the probe, and keeps what it refused with."""

    __slots__ = ("_began", "_own", "left", "probe", "refusal", "request", "said")

    def __init__(self, probe: ReadinessProbe) -> None:
        self.probe = probe
        # What it has used.
        self.left = Left()
        # That of the last who asked. It stays until the next: a thread that begins late must still find it.
        self.request: HttpRequest | None = None
        # That of the last run, if it was one.
        self.refusal: NotReady | None = None
        # What the last run raised, for the log, with what was behind it.
        self.said = ""
        self._began: float | None = None
        # The connections of the run that is under way.
        self._own: list[Any] = []

    def cut_off_a_hang(self) -> None:
        """Ends a question to a database that nobody waits for any more, so that a new one can be asked."""
        began = self._began
        if began is not None and time.monotonic() - began > LIMIT:
            for wrapper in list(self._own):
                cut_off(wrapper.connection)
            asking = getattr(self.probe, "asking", None)
            if asking is not None:
                asking.cut_off()

    def __call__(self) -> object:
        answer: Any = None
        has_failed = is_alone = False
        self._began = time.monotonic()
        try:
            is_alone = isinstance(self.probe, DatabaseProbe) and self.probe.is_alone()
            if is_alone:
                with self.left.by_this_thread():
                    self.probe.ready(self.request)
            else:
                self._own = use_own()
                answer = self.probe.ready(self.request)
        except BaseException as error:
            has_failed = True
            self._keep(error)
        finally:
            if not is_alone:
                shut_all()
            self._own = []
            self._began = None
        if has_failed:
            raise self._again()
        # Any other value means nothing; but a coroutine has not even looked.
        return self._awaited(answer) if hasattr(answer, "__await__") else None

    async def _awaited(self, answer: Any) -> None:
        has_failed = False
        # What it does with a database happens in a thread of this context's: that of the process may have been left
        # behind by a fork, or be waiting for somebody else's probe; and nobody could close its connections.
        async with ThreadSensitiveContext():
            self._began = time.monotonic()
            self._own = await sync_to_async(use_own)()
            try:
                await answer
            except BaseException as error:
                has_failed = True
                self._keep(error)
            finally:
                await sync_to_async(shut_all)()
                self._own = []
                self._began = None
        if has_failed:
            raise self._again()

    def _keep(self, error: BaseException) -> None:
        self.refusal = error if isinstance(error, NotReady) else None
        self.said = _text(error)
        let_go(error)

    def _again(self) -> NotReady:
        """For the check, which wants an exception: not the one that is kept, which would have its frames again."""
        return NotReady(self.said)


class _News:
    """Logs one line when something ceases to be well, and one when it is again."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._is_well = True
        self._lock = threading.Lock()

    def tell(self, is_well: bool, reason: str) -> None:
        if is_well is self._is_well:
            return
        with self._lock:
            if is_well is self._is_well:
                return
            self._is_well = is_well
        # A handler that raises is no reason for an answer to fail.
        try:
            if is_well:
                logger.warning("%s: ready again", self._name)
            else:
                # The text of a database driver has several lines.
                logger.error("%s: not ready: %s", self._name, " ".join(reason.split()))
        except Exception:
            pass


def _text(error: BaseException) -> str:
    """For the log: what a probe raised, and what was behind it."""
    try:
        if not isinstance(error, NotReady):
            return f"{type(error).__name__}: {error}"
        cause = error.__cause__
        return str(error) if cause is None else f"{error} ({type(cause).__name__}: {cause})"
    except Exception:
        # Of some exceptions the text cannot be had.
        return type(error).__name__


def configured(timeout_ttl: float = endpoint.TIMEOUT_TTL) -> Readiness:
    """A new one as the settings have it. Raises ImproperlyConfigured, or ImportError for a bad dotted path."""
    probes = []
    for make in conf.settings.DJK8S_READINESS_PROBES:
        try:
            probes.append(make())
        except TypeError as error:
            raise ImproperlyConfigured(f"DJK8S_READINESS_PROBES: {make!r}: cannot be made: {error}") from error
    return Readiness(probes, timeout_ttl)


_current: Readiness | None = None


def current() -> Readiness:
    """That of this process, with the settings of now. Raises what configured() does."""
    global _current
    found = _current
    if found is None:
        found = _current = configured()
    return found


def _forget(*, setting: str, **_: object) -> None:
    global _current
    if setting.startswith(conf.PREFIX):
        _current = None


setting_changed.connect(_forget, dispatch_uid="liveness.django.readiness")
