"""
What an HTTP probe answers: a verdict as status, and the unit that an application has joined.

For the integrations, which add what their framework needs.
"""

from __future__ import annotations

from . import probe
from .errors import BadArgument
from .unit import Unit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

#: Statuses: a kubelet takes any from 200 to 399 for success.
OK, UNAVAILABLE = 200, 503
#: Seconds for all checks of one request together: a kubelet waits for 1 s unless told, and the way back takes time too.
DEADLINE = 0.8
#: For this many seconds nobody waits for a check that has just given no answer: with one worker that serves one request
#: at a time, every wait is one of the liveness probe too. Shorter than the usual period of a probe: what was slow once
#: is waited for by the next one.
TIMEOUT_TTL = 3.0
#: Of every answer: that of a moment ago says nothing of now.
HEADERS = {"Cache-Control": "no-store"}


def status(healthy: object) -> int:
    """200 for what is true, 503 for what is not."""
    return OK if healthy else UNAVAILABLE


class Joined:
    """
    The unit that an application's probes judge too: that of a name, a Unit, the default one for True, none for None.

    Raises BadArgument for anything else, and for a name that cannot be.
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
            raise BadArgument(f"unit: {unit!r}: neither the name of a unit, nor True for the default one, nor None")

    def __bool__(self) -> bool:
        return self._names is not None

    def live(self) -> probe.Verdict | None:
        """Its live verdict; None if there is no unit."""
        return self._judge(probe.live)

    def ready(self) -> probe.Verdict | None:
        """Its ready verdict; None if there is no unit."""
        return self._judge(probe.ready)

    def _judge(self, verdict: Callable[[str | None, str | None], probe.Verdict]) -> probe.Verdict | None:
        if self._names is None:
            return None
        try:
            return verdict(*self._names)
        except BadArgument as error:
            # The environment names none that can be: health.sh fails then, and so does this.
            return probe.Verdict("?", False, str(error))
