"""Services to depend on: real ones on 127.0.0.1, most of them with something wrong."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable

import trustme


class Peer:
    """
    Listens on a free port, and does the same with each connection in a thread of its own; a context manager.

    What it does gets the connection, after the head of one request has been read into ``requests``.
    """

    def __init__(
        self, act: Callable[[socket.socket, Peer], object], certificate: trustme.LeafCert | None = None
    ) -> None:
        self._act = act
        self._tls = None
        if certificate is not None:
            self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            certificate.configure_cert(self._tls)
        #: The head of each request as it came, and in small letters.
        self.heads: list[str] = []
        self.requests: list[str] = []
        self.ended = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        #: As they came.
        self.connections: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        try:
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            while True:
                head = b""
                while b"\r\n\r\n" not in head:
                    part = connection.recv(65536)
                    if not part:
                        return
                    head += part
                self.heads.append(head.decode("latin-1"))
                self.requests.append(head.decode("latin-1").lower())
                self._act(connection, self)
        except OSError:
            pass
        finally:
            connection.close()

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        if not self.ended.is_set():
            self.end()

    def end(self) -> None:
        """Nothing listens there any more."""
        self.ended.set()
        # close() alone does not wake who waits in accept().
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for connection in self.connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self._thread.join(20)

    def since_the_last(self, name: str) -> str:
        """The value of this header in the last request."""
        found = [line.partition(":")[2].strip() for line in self.requests[-1].splitlines() if line.startswith(name)]
        return found[0] if found else ""


def answering(
    body: object, status: str = "200 OK", headers: str = "", after: float = 0
) -> Callable[[socket.socket, Peer], None]:
    """With JSON, or with these very bytes; after so many seconds."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()

    def act(connection: socket.socket, peer: Peer) -> None:
        peer.ended.wait(after)
        connection.sendall(f"HTTP/1.1 {status}\r\nContent-Length: {len(data)}\r\n{headers}\r\n".encode() + data)

    return act


UP = answering({"status": "UP"})


def hanging(_: socket.socket, peer: Peer) -> None:
    """Accepts, and never answers."""
    peer.ended.wait(600)


def dripping(connection: socket.socket, peer: Peer) -> None:
    """A byte every 0.4 s: what comes in the end would be fine."""
    data = b'{"status": "UP"}'
    connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(data)}\r\n\r\n".encode())
    for byte in data:
        connection.sendall(bytes([byte]))
        if peer.ended.wait(0.4):
            return


def dripping_its_head(connection: socket.socket, peer: Peer) -> None:
    """A byte every 0.4 s of a header without end."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Endless: ")
    while not peer.ended.wait(0.4):
        connection.sendall(b"x")


def endless(connection: socket.socket, peer: Peer) -> None:
    """5 GB of JSON."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5000000000\r\n\r\n" + b'{"status": "UP", "x": "')
    part = b"x" * 65536
    while not peer.ended.is_set():
        connection.sendall(part)


def closing(connection: socket.socket, _: Peer) -> None:
    """Hangs up."""
    connection.shutdown(socket.SHUT_RDWR)
