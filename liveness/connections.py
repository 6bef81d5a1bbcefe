"""A TCP server that slow and many clients cannot stop."""

from __future__ import annotations

import socket
import socketserver
import sys
import threading
import time
from typing import Any

from . import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

#: Connections at a time. When one more comes, the connection that has waited longest for its request is closed.
CONNECTIONS = 16
#: Seconds that a client may take to send its request.
PATIENCE = 2.0
#: Seconds between two looks for slow clients.
POLL = 0.5


class Connections(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """The server of the standard library, with limits on the number of connections and on the time of a request."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, listener: socket.socket, handler: Callable[..., socketserver.BaseRequestHandler]) -> None:
        super().__init__(listener.getsockname()[:2], handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self._lock = threading.Lock()
        # The connections whose request has not arrived yet, the oldest first, with the time of their beginning; and
        # those whose request is being answered.
        self._waiting: dict[socket.socket, float] = {}
        self._answering: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Starts a thread for a connection; makes room for it first."""
        with self._lock:
            if len(self._waiting) + len(self._answering) >= CONNECTIONS:
                self._hang_up(list(self._waiting)[:1])
            has_room = len(self._answering) < CONNECTIONS
            if has_room:
                self._waiting[request] = time.monotonic()
        if has_room:
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def service_actions(self) -> None:
        """Closes the connections of slow clients. The standard library calls this at least once per POLL."""
        limit = time.monotonic() - PATIENCE
        with self._lock:
            self._hang_up([connection for connection, begin in self._waiting.items() if begin < limit])

    def note_request(self, connection: Any) -> None:
        """The request of a connection has arrived: from here on it is not closed before its answer."""
        with self._lock:
            if self._waiting.pop(connection, None) is not None:
                self._answering.add(connection)

    def shutdown_request(self, request: Any) -> None:
        """Closes a connection."""
        with self._lock:
            self._waiting.pop(request, None)
            self._answering.discard(request)
        super().shutdown_request(request)

    def hang_up_all(self) -> None:
        """Closes every connection that waits for a request. The others end with their answer."""
        with self._lock:
            self._hang_up(list(self._waiting))

    def _hang_up(self, connections: list[socket.socket]) -> None:
        for connection in connections:
            del self._waiting[connection]
            try:
                # Ends the read in its thread, which then closes it.
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Logs an error of ours. Clients that hang up are not news."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            log.warning("server: cannot answer: %r", error)
