"""Real web servers on 127.0.0.1, a client, and one that asks as a kubelet does."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from stage import ROOT, until

GUNICORN = ["-m", "gunicorn", "--bind", "127.0.0.1:{port}", "--access-logfile", "-"]
#: How each server is started in a folder that has an app.py with an `app`; werkzeug's app.py serves on sys.argv[1].
COMMANDS = {
    "gunicorn": [*GUNICORN, "app:app"],
    "gunicorn-gthread": [*GUNICORN, "--threads", "4", "--access-logformat", "%(h)s %(r)s %(s)s", "app:app"],
    "uvicorn": ["-m", "uvicorn", "--port", "{port}", "app:app"],
    "werkzeug": ["app.py", "{port}"],
}


class Answer(NamedTuple):
    """What a server answered; the names of the headers are in small letters."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return json.loads(self.body)


def request(
    port: int,
    path: str,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: str | None = None,
    timeout: float = 20,
) -> Answer:
    """On a connection of its own. Raises OSError if there is no answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request(method, path, body, dict(headers or {}))
        answer = connection.getresponse()
        fields = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, fields, answer.read())
    except http.client.HTTPException as error:
        raise OSError(f"no answer: {error!r}") from error
    finally:
        connection.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


class Server:
    """A web server of its own process that has begun to answer; a context manager that ends it."""

    def __init__(
        self,
        folder: Path,
        kind: str = "gunicorn",
        *,
        started: str = "/",
        environment: Mapping[str, str] | None = None,
        command: Sequence[str] | None = None,
    ) -> None:
        self.port = free_port()
        self.log = folder / "log"
        parts = COMMANDS[kind] if command is None else command
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, *(part.format(port=self.port) for part in parts)],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={
                    **os.environ,
                    "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}",
                    "PYTHONUNBUFFERED": "1",
                    **(environment or {}),
                },
            )
        try:
            until(lambda: self._answers(started), 60)
        except BaseException:
            self.end()
            raise

    def _answers(self, path: str) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            request(self.port, path)
        except OSError:
            return False
        return True

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def whole_log(self) -> str:
        """Ends it first: a server with threads writes a request's line after its answer, in no order among them."""
        self.end()
        return self.log.read_text()

    def get(self, path: str, **options: Any) -> Answer:
        return request(self.port, path, **options)


class Probed(NamedTuple):
    """One probe: when it began, in seconds since the kubelet did; whether it passed; how long it took."""

    begin: float
    passed: bool
    lasted: float


class Kubelet:
    """Asks each path once a period, on a new connection, and takes what is not there in time for a failure."""

    def __init__(self, port: int, paths: Sequence[str], *, period: float = 1, timeout: float = 1) -> None:
        self._port = port
        self._period = period
        self._timeout = timeout
        self._begin = time.monotonic()
        self._ended = threading.Event()
        self.probes: dict[str, list[Probed]] = {path: [] for path in paths}
        self._threads = [threading.Thread(target=self._ask, args=(path,), daemon=True) for path in paths]
        for thread in self._threads:
            thread.start()

    def _ask(self, path: str) -> None:
        while not self._ended.is_set():
            begin = time.monotonic()
            try:
                passed = 200 <= request(self._port, path, timeout=self._timeout).status < 400
            except OSError:
                passed = False
            lasted = time.monotonic() - begin
            self.probes[path].append(Probed(begin - self._begin, passed and lasted < self._timeout, lasted))
            self._ended.wait(max(0.0, begin + self._period - time.monotonic()))

    def end(self) -> dict[str, list[Probed]]:
        """Stops, and tells what each probe came to."""
        self._ended.set()
        for thread in self._threads:
            thread.join()
        return self.probes
