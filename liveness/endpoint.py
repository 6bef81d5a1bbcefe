"""
What all HTTP endpoints have in common: the status for a verdict, and the unit that an application has joined.

The integrations add what their framework needs.
"""

from __future__ import annotations

from . import probe
from .errors import BadArgument
from .unit import Unit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

#: HTTP status codes. For a kubelet, 200 to 399 mean success.
OK, UNAVAILABLE = 200, 503
#: Seconds for all checks of one request together. A kubelet waits 1 s by default, and the response also takes time.
DEADLINE = 0.8
#: Seconds after the timeout of a check in which no request waits for that check: in a worker that serves one request at
#: a time, each wait also delays the liveness probe. Shorter than the usual period of a probe, so that the next probe
#: waits for the check again.
TIMEOUT_TTL = 3.0
#: Headers of every response: a cached verdict must not be used.
HEADERS = {"Cache-Control": "no-store"}


def status(healthy: object) -> int:
    """The status code: 200 for a true value, else 503."""
    return OK if healthy else UNAVAILABLE


class Joined:
    """
    The unit, if any, whose verdict is also part of an application's verdict; true if there is one.

    ``unit`` is a Unit, the name of a unit, True for the default unit, or None or False for no unit. Raises BadArgument
    for any other value, and for an invalid name.
    """

    __slots__ = ("_names",)

    def __init__(self, unit: str | bool | Unit | None) -> None:
        self._names: tuple[str | None, str | None] | None
        if unit is None or unit is False:
            self._names = None
        elif unit is True:
            self._names = None, None
        elif isinstance(unit, Unit):
            self._names = unit.unitname, unit.rundir
        elif isinstance(unit, str) and unit:
            self._names = Unit(unit).unitname, None
        else:
            raise BadArgument(f"unit: {unit!r}: must be the name of a unit, True for the default unit, or None")

    def __bool__(self) -> bool:
        return self._names is not None

    def live(self) -> probe.Verdict | None:
        """The live verdict on the unit, or None if there is no unit."""
        return self._judge(probe.live)

    def ready(self) -> probe.Verdict | None:
        """The ready verdict on the unit, or None if there is no unit."""
        return self._judge(probe.ready)

    def _judge(self, verdict: Callable[[str | None, str | None], probe.Verdict]) -> probe.Verdict | None:
        if self._names is None:
            return None
        try:
            return verdict(*self._names)
        except BadArgument as error:
            # The environment contains an invalid name. health.sh also fails then.
            return probe.Verdict("?", False, str(error))
