"""
A small HTTP server for the probes of a process that serves no HTTP.

    server = liveness.server.serve(8080, "")   # after load(), in the process to be probed
    server.close()

/livez, /startupz, /healthz and /readyz are answered as ``liveness.endpoint`` describes, by threads of this process. A
thread answers while the main loop hangs: only a heartbeat finds that.
"""

from __future__ import annotations

import http.server
import os
import socket
import socketserver
import sys
import threading
import time
from typing import Any

from . import endpoint, log
from .errors import BadArgument, LivenessError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from .checks import Check
    from .unit import Unit

__all__ = ["Server", "serve"]

#: Connections at a time. For one more, the one that has waited longest for its request is closed.
CONNECTIONS = 16
#: Seconds that a client may take to send its request.
PATIENCE = 2.0
#: Seconds between two looks for slow clients.
POLL = 0.5


def serve(
    port: int = 0,
    host: str = "127.0.0.1",
    *,
    unit: str | bool | Unit | None = None,
    checks: Iterable[Check | Callable[[], object] | str] = (),
) -> Server:
    """
    Starts a server in daemon threads, and returns it.

    ``port`` 0 is any free port; see ``Server.port``. ``host`` is an address or a name; an empty one stands for all
    addresses of the machine, IPv4 and IPv6. A kubelet connects to the pod's address, so pass an empty one in a pod.
    ``unit`` and ``checks`` are those of ``liveness.endpoint.Probes``.

    Raises BadArgument for invalid arguments, and LivenessError if the server cannot listen there.
    """
    if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= 65535:
        raise BadArgument(f"port: {port!r}: must be 0 to 65535")
    if not isinstance(host, str):
        raise BadArgument(f"host: {host!r}: must be an address, or '' for all addresses")
    probes = endpoint.Probes(unit, checks)
    try:
        return Server(_listen(port, host), probes)
    except (OSError, UnicodeError) as error:
        raise LivenessError(f"{host or '*'}:{port}: cannot listen: {error}") from error


class Server:
    """A running server, and a context manager that closes it."""

    def __init__(self, listener: socket.socket, probes: endpoint.Probes) -> None:
        self._listener = listener
        self._pid = os.getpid()
        self._server = _Connections(listener, probes)
        #: The port on which it listens.
        self.port: int = listener.getsockname()[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(POLL,), name="liveness-server", daemon=True
        )
        self._thread.start()

    def __repr__(self) -> str:
        return f"Server(port={self.port})"

    def close(self) -> None:
        """
        Stops listening and closes all connections. It is not an error if the server is already closed.

        In a forked child it only closes the child's copy of the socket: the parent's server goes on.
        """
        if self._listener.fileno() < 0:
            return
        if self._pid == os.getpid():
            # Not only a close: a forked child may have a copy of the socket, which would keep the port in use.
            self._listener.shutdown(socket.SHUT_RDWR)
            self._server.shutdown()
            self._server.hang_up_all()
        self._listener.close()

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _listen(port: int, host: str) -> socket.socket:
    if host:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=128)
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", port), family=socket.AF_INET6, backlog=128, dualstack_ipv6=True)
    return socket.create_server(("", port), backlog=128)


class _Connections(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """The server of the standard library, with limits on the number of connections and on the time of a request."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, listener: socket.socket, probes: endpoint.Probes) -> None:
        super().__init__(listener.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.probes = probes
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


class _Handler(http.server.BaseHTTPRequestHandler):
    """One request on one connection."""

    server: _Connections
    #: Seconds of one read.
    timeout = PATIENCE

    def parse_request(self) -> bool:
        """Notes that the request has arrived."""
        is_valid = super().parse_request()
        self.server.note_request(self.connection)
        return is_valid

    def do_GET(self) -> None:
        """Answers a request of any method."""
        path, _, query = self.path.partition("?")
        if path in endpoint.PATHS:
            headers = {name: self.headers[name] for name in endpoint.REQUEST_HEADERS if name in self.headers}
            request = endpoint.Request(self.command, path, query, headers, self.client_address[0])
            self._send(*self.server.probes.answer(request))
        else:
            self._send(*endpoint.not_found(self.command))

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_TRACE = do_CONNECT = do_GET

    def _send(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """There is no access log."""
