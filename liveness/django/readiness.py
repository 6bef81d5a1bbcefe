"""The verdicts on this application: of its readiness probes, and of the unit that it has joined."""

import logging
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cache
from typing import Any

from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.db.backends.base.base import BaseDatabaseWrapper
from django.dispatch import receiver
from django.http import HttpRequest

from .. import endpoint
from ..checks import TIMED_OUT, Check, Result, run
from ..probe import Verdict
from . import conf
from .cache import Server
from .database import LIMIT, hang_up, own_connections
from .probes import NotReady, ReadinessProbe, ServersProbe

logger = logging.getLogger("djk8s.probe")


class ProbeCheck(Check):
    """A Check of a probe, or of one server of a probe. Its changes go to the log of the probes."""

    def __init__(self, name: str, probe: ReadinessProbe, ask: Server | None, limit: float, timeout_ttl: float) -> None:
        # A class that was only registered as a ReadinessProbe has none of its attributes.
        critical = getattr(probe, "critical", True)
        super().__init__(name, self._ask, timeout=limit, timeout_ttl=timeout_ttl, critical=critical)
        self._probe, self._ask_server = probe, ask
        # Of the last request. It stays until the next one: a thread that begins late must still find it.
        self.request: HttpRequest | None = None
        self._refusal: NotReady | None = None
        self._connections: Sequence[BaseDatabaseWrapper] = ()
        self._log_lock, self._has_passed = threading.Lock(), True

    def refusal(self, result: Result) -> NotReady | None:
        """What the result means for the response; None if the application is ready."""
        if result.passed or not self.critical:
            return None
        known = None if result.outcome == TIMED_OUT else self._refusal
        return known or NotReady(getattr(self._probe, "unavailable", ReadinessProbe.unavailable))

    def _ask(self) -> object:
        try:
            with own_connections() as self._connections:
                answer: Any = self._ask_server() if self._ask_server else self._probe.ready(self.request)
        except BaseException as error:
            raise self._refused(error) from None
        return self._awaited(answer) if hasattr(answer, "__await__") else None

    async def _awaited(self, answer: Any) -> None:
        # The ORM works in a thread of this context. That of the process may be waiting for another probe, or does not
        # exist in a forked child; and its connections would stay open.
        async with ThreadSensitiveContext():
            own = own_connections()
            self._connections = await sync_to_async(own.__enter__)()
            try:
                await answer
            except BaseException as error:
                raise self._refused(error) from None
            finally:
                await sync_to_async(own.__exit__)(None, None, None)

    def _refused(self, error: BaseException) -> NotReady:
        """Keeps a refusal for the response. Returns the exception for the Check, which has the text for the log."""
        self._refusal = error if isinstance(error, NotReady) else None
        text = _text(error)
        # Without the frames of the probe, in which a connection may be open.
        chain: BaseException | None = error
        while chain is not None:
            cause = chain.__cause__ or chain.__context__
            chain.__cause__ = chain.__context__ = chain.__traceback__ = None
            chain = cause
        return NotReady(text)

    def _log(self, result: Result) -> None:
        if result.outcome == TIMED_OUT and result.duration > LIMIT:
            for connection in self._connections:
                hang_up(connection)
        with self._log_lock:
            has_changed, self._has_passed = result.passed is not self._has_passed, result.passed
        # A logging handler that raises must not change a response.
        with suppress(Exception):
            if has_changed and result.passed:
                logger.warning("%s: ready again", self.name)
            elif has_changed:
                # The texts of database drivers have several lines.
                reason = " ".join(result.reason.removeprefix("NotReady: ").split())
                logger.error("%s: %s: %s", self.name, "not ready" if self.critical else "degraded", reason)


class Readiness:
    """
    The readiness probes, as Checks with the ``timeout`` of the settings, also for all of them together.

    One serves the whole process, so that a hung probe costs one thread. Raises ImproperlyConfigured for invalid probes.
    """

    def __init__(self, probes: Iterable[ReadinessProbe], timeout_ttl: float = endpoint.TIMEOUT_TTL) -> None:
        self.probes = list(probes)
        if not self.probes:
            raise ImproperlyConfigured("DJK8S_READINESS_PROBES: no probe (without one nothing would be checked)")
        self.timeout = conf.timeout()
        self.checks: list[ProbeCheck] = []
        for number, probe in enumerate(self.probes):
            if not isinstance(probe, ReadinessProbe):
                raise ImproperlyConfigured(f"DJK8S_READINESS_PROBES: {probe!r}: not a ReadinessProbe")
            same = sum(type(other).__name__ == type(probe).__name__ for other in self.probes[:number])
            name = type(probe).__name__ + (f" {same + 1}" if same else "")
            self.checks += _checks(name, probe, self.timeout, timeout_ttl)
        self._unit = conf.joined()

    def live(self) -> NotReady | None:
        """The refusal of the unit if it is not alive. None means alive, or that no unit is joined."""
        return refusal_of(self._unit.live())

    def ready(self, request: HttpRequest | None = None) -> NotReady | None:
        """The refusal of the unit, or of the first critical probe in the order of the settings. None means ready."""
        refusal = refusal_of(self._unit.ready())
        if refusal is not None:
            return refusal
        for check in self.checks:
            check.request = request
        results = run(self.checks, self.timeout).results
        refusals = (check.refusal(result) for check, result in zip(self.checks, results, strict=True))
        return next((refusal for refusal in refusals if refusal is not None), None)


def refusal_of(verdict: Verdict | None) -> NotReady | None:
    """The refusal of a unit, whose text is the line of health.sh; None for a good verdict, and for no unit."""
    return None if verdict is None or verdict else NotReady(str(verdict))


def _checks(name: str, probe: ReadinessProbe, timeout: float, timeout_ttl: float) -> list[ProbeCheck]:
    """A Check of the probe, or one of each of its servers, so that they are asked at the same time."""
    if isinstance(probe, ServersProbe) and type(probe).ready is ServersProbe.ready:
        try:
            servers = probe.servers().items()
            return [ProbeCheck(f"{name} ({server})", probe, ask, timeout, timeout_ttl) for server, ask in servers]
        except ImproperlyConfigured:
            raise
        except Exception:
            pass  # ready() raises it again at each request, and it is logged.
    return [ProbeCheck(name, probe, None, timeout, timeout_ttl)]


def _text(error: BaseException) -> str:
    """For the log: the exception of a probe, and the cause of a refusal."""
    # An exception may have no text.
    with suppress(Exception):
        if isinstance(error, NotReady):
            return f"{error} ({_text(error.__cause__)})" if error.__cause__ else str(error)
        return f"{type(error).__name__}: {error}"
    return type(error).__name__


def configured(timeout_ttl: float = endpoint.TIMEOUT_TTL) -> Readiness:
    """A new Readiness as in the settings. Raises ImproperlyConfigured, or ImportError for a bad dotted path."""
    probes = []
    for make in conf.settings.DJK8S_READINESS_PROBES:
        try:
            probes.append(make())
        except TypeError as error:
            raise ImproperlyConfigured(f"DJK8S_READINESS_PROBES: {make!r}: cannot be made: {error}") from error
    return Readiness(probes, timeout_ttl)


@cache
def current() -> Readiness:
    """The Readiness of this process, with the settings of now. Raises what configured() raises."""
    return configured()


@receiver(setting_changed)
def _forget(**_: object) -> None:
    conf.paths.cache_clear()
    current.cache_clear()
