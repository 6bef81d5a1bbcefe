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
import threading
from typing import Any

from . import endpoint
from .connections import PATIENCE, POLL, Connections
from .errors import BadArgument, LivenessError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from .checks import Check
    from .unit import Unit

__all__ = ["Server", "serve"]


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
        self._server = _Server(listener, probes)
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


class _Server(Connections):
    def __init__(self, listener: socket.socket, probes: endpoint.Probes) -> None:
        super().__init__(listener, _Handler)
        self.probes = probes


class _Handler(http.server.BaseHTTPRequestHandler):
    """One request on one connection."""

    server: _Server
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
