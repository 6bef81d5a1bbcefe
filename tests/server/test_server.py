"""The HTTP server in a thread: its limits, its end, and what becomes of it in a child."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import http_table
import pytest
import yaml
from manifests import PROBES, spec_of
from manual import MANUAL, example
from stage import ROOT, Puppet, until
from web import request

from liveness import BadArgument, LivenessError, connections, server

# As a program would write it; in a puppet.
SERVE = "import liveness.server; server = liveness.server.serve({}); port = server.port"


@pytest.fixture
def idle(rundir: Path) -> Iterator[server.Server]:
    """A server without a unit."""
    with server.serve(unit=False) as found:
        yield found


def test_it_answers_as_the_table_says(puppet: Puppet, tmp_path: Path) -> None:
    (tmp_path / "checks.py").write_text(http_table.CHECKS)
    puppet(f"os.chdir({str(tmp_path)!r}); sys.path.insert(0, '')")
    puppet("from checks import CHECKS; " + SERVE.format("checks=CHECKS"))
    http_table.hold(puppet("port"), tmp_path, puppet)


def test_other_paths_are_not_found(idle: server.Server) -> None:
    for path in ("/", "/livez/", "/readyz/x", "/LIVEZ", "/favicon.ico"):
        assert request(idle.port, path).status == 404


def test_a_main_loop_that_hangs_is_found_by_its_heartbeat_alone(puppet: Puppet) -> None:
    puppet("liveness.load(); liveness.set(); " + SERVE.format(""))
    puppet("liveness.beat(1)")
    port = puppet("port")
    assert request(port, "/livez").text == "ok"
    puppet.tell("time.sleep(600)")
    until(lambda: request(port, "/livez").status == 503)
    assert request(port, "/livez").text.startswith("liveness: u: no heartbeat 'main' for ")


def test_slow_clients_do_not_stop_a_probe(idle: server.Server) -> None:
    slow = [socket.create_connection(("127.0.0.1", idle.port)) for _ in range(200)]
    try:
        for number, client in enumerate(slow):
            try:
                client.sendall(b"GET /livez HTTP/1.1\r\n" if number % 2 else b"")
            except OSError:
                pass
        for _ in range(10):
            assert request(idle.port, "/livez", timeout=5).text == "ok"
            # The thread of a connection that was closed for another one may still be ending.
            until(
                lambda: (
                    sum("process_request" in thread.name for thread in threading.enumerate()) <= connections.CONNECTIONS
                )
            )
        # Nobody keeps a connection: not by silence, and not by a byte now and then.
        until(lambda: all(is_closed(client) for client in slow))
    finally:
        for client in slow:
            client.close()


def is_closed(client: socket.socket) -> bool:
    client.settimeout(0.001)
    try:
        client.sendall(b"x")
        return client.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def test_a_request_in_hand_is_answered_while_slow_clients_come(rundir: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def check() -> None:
        begun.set()
        go_on.wait(5)

    answers: list[Any] = []
    with server.serve(unit=False, checks=[check]) as found:
        thread = threading.Thread(target=lambda: answers.append(request(found.port, "/readyz")))
        thread.start()
        begun.wait(5)
        slow = [socket.create_connection(("127.0.0.1", found.port)) for _ in range(40)]
        go_on.set()
        thread.join(10)
        for client in slow:
            client.close()
    assert [answer.status for answer in answers] == [200]


def test_what_is_no_http_is_refused_and_harms_nobody(idle: server.Server) -> None:
    for sent in (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", b"GET\r\n\r\n", b"A" * 70_000, b"GET /livez HTTP/9.9\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", idle.port), 5) as client:
            try:
                client.sendall(sent)
                assert b" 200 " not in client.recv(1000)
            except ConnectionResetError:
                pass
    assert request(idle.port, "/livez").text == "ok"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "", "localhost", "0.0.0.0"])
def test_it_listens_on_ipv4_and_ipv6(host: str) -> None:
    if ":" in host and not socket.has_dualstack_ipv6():
        pytest.skip("there is no IPv6 here")
    with server.serve(0, host, unit=False) as found:
        both = ["127.0.0.1", *(["::1"] if socket.has_dualstack_ipv6() else [])]
        for address in {"": both, "localhost": both[:1], "0.0.0.0": both[:1]}.get(host, [host]):
            with socket.create_connection((address, found.port), 5) as client:
                client.sendall(b"GET /livez?verbose HTTP/1.0\r\n\r\n")
                assert client.makefile("rb").read().endswith(b"\r\n\r\nlivez check passed\n")


def test_an_end_frees_the_port_and_its_thread(idle: server.Server) -> None:
    with socket.create_connection(("127.0.0.1", idle.port)) as client:
        begin = time.monotonic()
        idle.close()
        idle.close()
        assert time.monotonic() - begin < 5
        until(lambda: is_closed(client))
    with pytest.raises(ConnectionRefusedError):
        request(idle.port, "/livez")
    server.serve(idle.port, unit=False).close()
    until(lambda: not any("liveness-server" in thread.name for thread in threading.enumerate()))


def test_a_signal_handler_may_close_it(puppet: Puppet) -> None:
    puppet("liveness.load(); liveness.set(); " + SERVE.format(""))
    puppet("signal.signal(signal.SIGTERM, lambda *_: (server.close(), os._exit(0)))")
    puppet.tell("time.sleep(600)")
    puppet.signal(15)
    assert puppet.process.wait(20) == 0


FORK = "pid = os.fork()\nif not pid:\n  {}\n  time.sleep(600)\n"


def test_a_child_that_lives_on_keeps_neither_the_port_nor_a_probe(puppet: Puppet) -> None:
    puppet("liveness.load(); liveness.set(); " + SERVE.format(""))
    puppet(FORK.format("pass"))
    port = puppet("port")
    assert request(port, "/livez").text == "ok"
    puppet("server.close()")
    with pytest.raises(ConnectionRefusedError):
        request(port, "/livez")
    puppet(SERVE.format(port))
    assert request(port, "/livez").text == "ok"


def test_a_child_that_closes_its_copy_leaves_the_server_alone_and_the_port_free_when_its_parent_dies(
    puppet: Puppet, tmp_path: Path
) -> None:
    puppet("liveness.load(); liveness.set(); " + SERVE.format(""))
    puppet(FORK.format(f"server.close(); open({str(tmp_path / 'closed')!r}, 'w').close()"))
    until((tmp_path / "closed").exists)
    port, child = puppet("port"), puppet("pid")
    assert request(port, "/livez").text == "ok"
    puppet.process.kill()
    puppet.process.wait()
    assert Path(f"/proc/{child}").exists()
    with server.serve(port, unit=False):
        assert request(port, "/livez").text == "ok"


def test_a_program_that_is_started_does_not_inherit_it(puppet: Puppet) -> None:
    puppet("import subprocess; " + SERVE.format(""))
    found = puppet("subprocess.run(['ls', '-l', '/proc/self/fd'], capture_output=True, text=True).stdout")
    inodes = puppet("os.stat(server._listener.fileno()).st_ino")
    assert str(inodes) not in found


def test_a_port_in_use_is_named(idle: server.Server) -> None:
    with pytest.raises(LivenessError, match=f"127.0.0.1:{idle.port}: cannot listen: .*in use"):
        server.serve(idle.port, unit=False)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"port": -1}, BadArgument),
        ({"port": "80"}, BadArgument),
        ({"port": True}, BadArgument),
        ({"host": None}, BadArgument),
        ({"host": "no such host"}, LivenessError),
        ({"unit": "../x"}, BadArgument),
        ({"checks": [7]}, BadArgument),
    ],
)
def test_invalid_arguments_are_refused_and_leave_nothing(arguments: Any, error: type[Exception]) -> None:
    before = threading.active_count()
    with pytest.raises(error):
        server.serve(**arguments)
    assert threading.active_count() == before


def test_the_lines_in_the_manual_serve(puppet: Puppet) -> None:
    code = example("server")
    assert '(8080, "")' in code
    puppet(code.replace('8080, ""', ""))
    assert request(puppet("server.port"), "/livez").text.startswith("liveness: u: not set")


def test_the_limits_in_the_manual_are_those_of_the_server() -> None:
    assert f"accepts {connections.CONNECTIONS} connections" in MANUAL
    assert "has two\nseconds to send its request" in MANUAL
    assert connections.PATIENCE == 2


def test_the_probes_in_the_manual_are_those_of_the_manifests() -> None:
    shown = yaml.safe_load(example("http.yaml"))
    for name in ("http-worker", "asgi", "wsgi"):
        (container,) = spec_of(ROOT / "examples" / "kubernetes" / f"{name}.yaml")["containers"]
        assert shown == {probe: container[probe] for probe in PROBES}


@pytest.mark.parametrize("kind", ["workers", "wsgi"])
def test_the_commands_in_the_manual_are_those_of_the_manifests_and_the_examples(kind: str) -> None:
    text = example(kind)
    name = {"workers": "asgi", "wsgi": "wsgi"}[kind]
    (container,) = spec_of(ROOT / "examples" / "kubernetes" / f"{name}.yaml")["containers"]
    parts = [part for part in container["command"] if part not in ("tini", "python3", "-m")]
    assert [part for part in text.split() if part not in parts] == []
    assert f"{name}_app:app" in text
