"""
What one probe costs on the node: through containerd's ExecSync, as a kubelet calls it, and by HTTP.

    make bench-e2e  # in the namespaces that tests/e2e/run.sh makes

Writes bench/exec_sync.json: wall time of each call in milliseconds, over 200 interleaved rounds by default; and the
CPU of the whole machine for it (runc, shim, containerd and the probe; by HTTP the client and the thread that answers),
from /proc/stat, over 20 calls in a row at a time, less what an idle node takes in the same time.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "e2e")]

from timing import Summary, show, shuffled, summary, write  # noqa: E402

CANDIDATES = {
    "/bin/true": ["/bin/true"],
    "health.sh": ["health.sh"],
    "python3 -c pass": ["python3", "-c", "pass"],
    "python3 -m liveness.probe": ["python3", "-m", "liveness.probe"],
}
#: By liveness.server, in the same container.
BY_HTTP = "httpGet /livez"
PORT = 8090
EACH = 20

PROGRAM = f"""
import liveness.server
with liveness.running(ttl=3) as unit, liveness.server.serve({PORT}):
    while True:
        unit.beat(3)
        time.sleep(0.2)
"""


def field(number: int, data: bytes) -> bytes:
    """A text in a message of protocol buffers: https://protobuf.dev/programming-guides/encoding/."""
    assert len(data) < 128, "longer needs a longer number"
    return bytes([number << 3 | 2, len(data)]) + data


def http_get() -> None:
    """One probe on a connection of its own, as a kubelet's. Ends the benchmark if it fails."""
    with socket.create_connection(("127.0.0.1", PORT), 1) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: node\r\nUser-Agent: bench\r\nConnection: close\r\n\r\n")
        answer = b""
        while part := connection.recv(4096):
            answer += part
    if not answer.endswith(b"\r\n\r\nok"):
        raise SystemExit(f"{BY_HTTP}: {answer!r}")


def exec_sync(endpoint: Path, container: str) -> Callable[[list[str]], None]:
    """A function that runs a command in a container, by CRI's ExecSync with a time limit of one second."""
    import grpc

    call = grpc.insecure_channel(f"unix://{endpoint}").unary_unary(
        "/runtime.v1.RuntimeService/ExecSync", request_serializer=None, response_deserializer=None
    )

    def run(command: list[str]) -> None:
        request = field(1, container.encode()) + b"".join(field(2, part.encode()) for part in command) + b"\x18\x01"
        answer = call(request, timeout=30)
        # Nothing on standard output or error, exit code 0: all left out.
        if answer:
            raise SystemExit(f"{command}: {answer!r}")

    return run


def cpu_seconds() -> float:
    """What all cores have worked since the boot: proc(5), without idle and iowait."""
    user, nice, system, _, _, irq, softirq, steal, *_ = map(
        int, Path("/proc/stat").read_text().split("\n")[0].split()[1:]
    )
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def measure(probes: dict[str, Callable[[], None]], rounds: int) -> dict[str, dict[str, Summary]]:
    for probe in probes.values():
        probe()
    walls: dict[str, list[float]] = {name: [] for name in probes}
    for number in range(rounds):
        for name, probe in shuffled(probes):
            begin = time.perf_counter()
            probe()
            walls[name].append((time.perf_counter() - begin) * 1000)
        show(number + 1, rounds)
    works: dict[str, list[float]] = {name: [] for name in probes}
    for _ in range(max(2, rounds // EACH)):
        for name, probe in shuffled(probes):
            before, begin = cpu_seconds(), time.monotonic()
            for _ in range(EACH):
                probe()
            worked, lasted = cpu_seconds() - before, time.monotonic() - begin
            before = cpu_seconds()
            time.sleep(lasted)
            works[name].append((worked - (cpu_seconds() - before)) / EACH * 1000)
    return {
        "wall, ms": {name: summary(values) for name, values in walls.items()},
        "node's cpu, ms": {name: summary(values) for name, values in works.items()},
    }


def main(rounds: int) -> None:
    import pods
    from node import Node
    from stage import until

    node = Node()
    try:
        # No probe of the kubelet's shall fall into a measurement.
        quiet = pods.container(pods.python(PROGRAM))
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            del quiet[probe]
        node.apply(pods.pod("quiet", quiet, hostNetwork=True).manifest)
        until(lambda: node.is_ready("quiet"), 60)
        (container,) = node.containers("quiet").values()
        run = exec_sync(node.socket, container["containerID"].removeprefix("containerd://"))
        until(lambda: has_passed(run), 60)
        probes = {name: partial(run, command) for name, command in CANDIDATES.items()} | {BY_HTTP: http_get}
        write(dict(measure(probes, rounds)), Path(__file__).with_suffix(".json"), rounds)
    finally:
        node.stop()


def has_passed(run: Callable[[list[str]], None]) -> bool:
    try:
        run(["health.sh"])
    except SystemExit:
        return False
    return True


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
