"""
One question to a PostgreSQL, by the lower of the two interfaces of psycopg 3: that of libpq.

The connections and cursors of the other can do much that a probe has no use for, and to set them up takes longer than
to begin a thread, which is what a time limit needs.
"""

from __future__ import annotations

import os
import select
import socket
import time
from typing import Any

# What psycopg.connect() knows beside the parameters of a connection.
_OF_PSYCOPG = frozenset({"autocommit", "context", "cursor_factory", "prepare_threshold", "row_factory"})
# Options for which Django or psycopg sets up a connection, which may be what fails; or that say elsewhere where it is.
_NEED_MORE = frozenset({"assume_role", "hostaddr", "isolation_level", "service"})
_ELSEWHERE = frozenset({"PGHOSTADDR", "PGSERVICE"})
# What psycopg does where libpq would wait for ever, in seconds.
_LONGEST = 130.0


def can_ask(wrapper: Any) -> bool:
    """
    This backend connects as Django itself does, with psycopg 3, to one host that is named in the settings.

    All others are left to the driver.
    """
    from django.db.backends.postgresql.base import DatabaseWrapper
    from django.db.backends.postgresql.psycopg_any import is_psycopg3

    # eventlet takes poll() away.
    if not is_psycopg3 or not hasattr(select, "poll"):
        return False
    if type(wrapper).get_new_connection is not DatabaseWrapper.get_new_connection:
        return False
    host = str(wrapper.settings_dict["HOST"])
    is_one = bool(host) and "," not in host and _ELSEWHERE.isdisjoint(os.environ)
    return is_one and _NEED_MORE.isdisjoint(wrapper.settings_dict["OPTIONS"])


class Connection:
    """
    A new connection, with the parameters of psycopg.connect().

    Each address of the host is tried for ``connect_timeout`` seconds. Raises psycopg.OperationalError if none takes
    it, OSError if there is no address, and psycopg.ProgrammingError or ValueError for parameters that cannot be.
    """

    def __init__(self, parameters: dict[str, Any]) -> None:
        from psycopg import OperationalError
        from psycopg.conninfo import make_conninfo

        wanted = {key: value for key, value in parameters.items() if key not in _OF_PSYCOPG}
        limit = float(wanted.get("connect_timeout") or 0)
        addresses = _addresses(str(wanted["host"]), wanted.get("port"))
        for number, address in enumerate(addresses, 1):
            try:
                self._made = _connected(make_conninfo("", **wanted, **address), limit if limit > 0 else _LONGEST)
                return
            except OperationalError:
                if number == len(addresses):
                    raise

    def ask(self, query: str) -> None:
        """In a transaction of its own. Raises psycopg.OperationalError if no row is the answer."""
        from psycopg.pq import ExecStatus

        self._made.send_query(query.encode())
        answer = self._result()
        if answer is None or answer.status != ExecStatus.TUPLES_OK or not answer.ntuples:
            raise _error(self._made)
        while self._result() is not None:
            # There is none for a single query; but only after the last may the next be asked.
            pass

    def _result(self) -> Any:
        while self._made.flush():
            _wait(self._made, select.POLLIN | select.POLLOUT)
            self._made.consume_input()
        while self._made.is_busy():
            _wait(self._made, select.POLLIN)
            self._made.consume_input()
        return self._made.get_result()

    def fileno(self) -> int:
        """The descriptor of its socket. Raises psycopg.OperationalError if it has none any more."""
        return int(self._made.socket)

    def close(self) -> None:
        """Closes it. One that is closed is no error."""
        self._made.finish()


def _addresses(host: str, port: object) -> list[dict[str, str]]:
    """
    The parameter for each; of a socket of this machine there is none.

    libpq would look the name up itself, and hold up every thread of the process while it waits for the answer.
    """
    if host.startswith("/"):
        return [{}]
    found = socket.getaddrinfo(host, None if port is None else str(port), type=socket.SOCK_STREAM)
    return [{"hostaddr": str(address[0])} for *_, address in found]


def _connected(parameters: str, limit: float) -> Any:
    from psycopg.pq import ConnStatus, PGconn, PollingStatus

    end = time.monotonic() + limit
    made = PGconn.connect_start(parameters.encode())
    try:
        if made.status == ConnStatus.BAD:
            raise _error(made)
        while (turn := made.connect_poll()) != PollingStatus.OK:
            if turn == PollingStatus.FAILED:
                raise _error(made)
            wanted = select.POLLIN if turn == PollingStatus.READING else select.POLLOUT
            if not _wait(made, wanted, max(0.0, end - time.monotonic())):
                raise _error(made, "connection timeout expired")
        made.nonblocking = 1
    except BaseException:
        made.finish()
        raise
    return made


def _wait(connection: Any, events: int, seconds: float | None = None) -> bool:
    """It is there before the time is over. Where threads are greenlets the others run meanwhile: libpq would wait."""
    waiting = select.poll()
    # Each time anew: it may begin again on another socket, without encryption.
    waiting.register(connection.socket, events)
    return bool(waiting.poll(None if seconds is None else seconds * 1000))


def _error(connection: Any, text: str = "") -> Exception:
    from psycopg import OperationalError

    return OperationalError(text or connection.error_message.decode("utf-8", "replace").strip() or "no answer")
