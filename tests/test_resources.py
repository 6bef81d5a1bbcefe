"""The ready-made checks find what they are for, and refuse bad arguments when they are made."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from stage import ROOT, needs_root, until

import liveness
from liveness import resources
from liveness.checks import run
from liveness.resources import disk_free, memory_below, tcp_port, thread_alive


def reason(check: Callable[[], None]) -> str:
    (result,) = run([check]).results
    return result.reason


# Disk


def test_a_disk_with_room_passes(tmp_path: Path) -> None:
    assert run([disk_free(tmp_path, at_least=1)])
    assert run([disk_free(str(tmp_path), percent=0.0001)])


def test_a_disk_without_room_fails_and_says_how_much_there_is(tmp_path: Path) -> None:
    assert "free, less than 1024.0 TiB" in reason(disk_free(tmp_path, at_least=1 << 50))
    assert "% free, less than 100 %" in reason(disk_free(tmp_path, percent=100))


def test_a_disk_that_is_not_there_fails() -> None:
    assert "FileNotFoundError" in reason(disk_free("/not/there", at_least=1))


@needs_root
def test_a_full_disk_fails(tmp_path: Path) -> None:
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,nr_inodes=5", "tmpfs", tmp_path], check=False).returncode:
        pytest.skip("no right to mount")
    try:
        assert run([disk_free(tmp_path, percent=50)])
        (tmp_path / "half").write_bytes(b"x" * 600_000)
        assert "42.6 % free, less than 50 %" in reason(disk_free(tmp_path, percent=50))
        assert run([disk_free(tmp_path, percent=40)])
        for number in range(3):
            (tmp_path / f"{number}").touch()
        assert "no inode is free" in reason(disk_free(tmp_path, percent=40))
    finally:
        subprocess.run(["umount", tmp_path], check=True)


# Memory


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """A real cgroup with a limit of 64 MiB."""
    for root, limit in (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")):
        folder = Path(root) / f"liveness-test-{os.getpid()}"
        try:
            folder.mkdir()
        except OSError:
            continue
        try:
            (folder / limit).write_text(str(64 << 20))
        except OSError:
            folder.rmdir()
            continue
        break
    else:
        pytest.skip("no right to make a cgroup with a limit on memory")
    yield folder
    until(lambda: not (folder / "cgroup.procs").read_text())
    folder.rmdir()


def test_memory_is_measured_against_the_limit_of_the_own_cgroup(cgroup: Path) -> None:
    program = """
import os, pathlib, sys
from liveness.checks import run
from liveness.resources import memory_below
before = run([memory_below(1)])
pathlib.Path(sys.argv[1], "cgroup.procs").write_text(str(os.getpid()))
held = bytearray(32 << 20)
for percent in (40, 90):
    print(run([memory_below(percent)]).results[0].reason)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(cgroup)], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    over, below = done.stdout.split("\n")[:2]
    assert "% of 64.0 MiB used, the limit is 40 %" in over
    assert below == ""


V1 = """\
31 25 0:27 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct
32 25 0:28 {root} /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory
"""
V2 = "31 25 0:27 {root} /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"


@pytest.mark.parametrize(
    ("mounts", "own", "expected"),
    [
        (V2.format(root="/"), "0::/\n", [""]),
        (V2.format(root="/"), "0::/a.slice/b:c\n", ["/a.slice/b:c", "/a.slice", ""]),
        (V2.format(root="/kubepods/pod1"), "0::/kubepods/pod1\n", [""]),
        (V2.format(root="/kubepods/pod1"), "0::/kubepods/pod1/x\n", ["/x", ""]),
        (V2.format(root="/kubepods/pod1"), "0::/kubepods/pod12\n", [""]),
        (V2.format(root="/.."), "0::/\n", [""]),
        (V1.format(root="/"), "4:memory:/k/p\n3:cpu,cpuacct:/q\n", ["/memory/k/p", "/memory/k", "/memory"]),
        (V1.format(root="/k/p"), "4:memory:/k/p\n0::/k/p\n", ["/memory"]),
        (V1.format(root="/") + V2.format(root="/"), "4:memory:/m\n0::/u\n", ["/memory/m", "/memory", "/u", ""]),
        ("", "0::/\n", []),
    ],
)
def test_the_own_cgroup_is_found_in_a_container_and_outside(mounts: str, own: str, expected: list[str]) -> None:
    found = resources.folders(own, mounts)
    assert [folder for folder, _ in found] == [f"/sys/fs/cgroup{path}" for path in expected]
    assert all(("limit_in_bytes" in names[1]) == ("/memory" in folder) for folder, names in found)


@pytest.mark.parametrize(
    ("limit", "used", "unused", "passes"),
    [("max", 100, 0, True), (str((1 << 63) - 4096), 100, 0, True), ("1000", 899, 0, True), ("1000", 950, 0, False),
     ("1000", 950, 100, True), ("1000", 2000, 0, False)],
)  # fmt: skip
def test_page_cache_that_is_not_used_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, used: int, unused: int, passes: bool
) -> None:
    (tmp_path / "memory.max").write_text(f"{limit}\n")
    (tmp_path / "memory.current").write_text(f"{used}\n")
    (tmp_path / "memory.stat").write_text(f"anon 5\ninactive_anon 7\ninactive_file {unused}\n")
    monkeypatch.setattr(
        resources, "_memory_folders", lambda: [("/not/there", resources._V2), (str(tmp_path), resources._V2)]
    )
    assert bool(run([memory_below(90)])) is passes


def test_without_a_limit_there_is_room() -> None:
    assert run([memory_below(100)])


# TCP


def test_a_port_that_answers_passes_and_one_that_does_not_fails() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert run([tcp_port("127.0.0.1", port)])
        assert run([tcp_port("localhost", port)])
    assert "ConnectionRefusedError" in reason(tcp_port("127.0.0.1", port))


def test_a_socket_that_has_connected_to_itself_is_no_answer() -> None:
    # Within the range of ports that clients get, a few thousand attempts meet themselves.
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    check = tcp_port("127.0.0.1", (first + last) // 4 * 2)
    for _ in range(30_000):
        with pytest.raises(ConnectionRefusedError) as caught:
            check()
        if "no server listens" in str(caught.value):
            return
    pytest.skip("no socket has met itself")


def test_a_port_that_never_answers_fails_in_its_time() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        address: tuple[str, int] = server.getsockname()
        # Once its queue is full, the kernel answers nobody.
        held = [socket.socket() for _ in range(3)]
        for waiting in held:
            waiting.setblocking(False)
            waiting.connect_ex(address)
        assert reason(tcp_port(address[0], address[1], timeout=0.3)) in (
            "TimeoutError: timed out",
            "no answer within 1 s",
        )
        for waiting in held:
            waiting.close()


# Threads


def test_a_thread_is_alive_from_its_start_to_its_end() -> None:
    over = threading.Event()
    thread = threading.Thread(target=over.wait, args=(60,), name="consumer")
    check = thread_alive(thread)
    assert "consumer: has not been started" in reason(check)
    thread.start()
    assert run([check])
    over.set()
    thread.join()
    assert "consumer: has ended" in reason(check)


# Arguments


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: disk_free("data", at_least=1), "path: 'data': not an absolute path"),
        (lambda: disk_free(b"/data", at_least=1), "path: b'/data'"),  # type: ignore[arg-type]
        (lambda: disk_free("/data"), "needs at_least=BYTES or percent=PERCENT"),
        (lambda: disk_free("/data", at_least=-1), "at_least: -1"),
        (lambda: disk_free("/data", at_least=1.5), "at_least: 1.5"),  # type: ignore[arg-type]
        (lambda: disk_free("/data", percent=101), "percent: 101"),
        (lambda: memory_below(0), "percent: 0"),
        (lambda: memory_below("90"), "percent: '90'"),  # type: ignore[arg-type]
        (lambda: memory_below(float("nan")), "percent: nan"),
        (lambda: tcp_port("", 80), "host: ''"),
        (lambda: tcp_port("db", 0), "port: 0"),
        (lambda: tcp_port("db", 65536), "port: 65536"),
        (lambda: tcp_port("db", "80"), "port: '80'"),  # type: ignore[arg-type]
        (lambda: tcp_port("db", 80, timeout=0), "timeout: 0"),
        (lambda: thread_alive(7), "thread: 7: not a threading.Thread"),  # type: ignore[arg-type]
    ],
)
def test_bad_arguments_fail_when_the_check_is_made(make: Callable[[], object], words: str) -> None:
    with pytest.raises(liveness.BadArgument) as caught:
        make()
    assert words in str(caught.value)


def test_a_report_calls_them_by_what_they_look_at() -> None:
    report = run([disk_free("/", at_least=1), tcp_port("127.0.0.1", 1)])
    assert [result.name for result in report.results] == [
        "liveness.resources.disk_free('/')",
        "liveness.resources.tcp_port('127.0.0.1', 1)",
    ]
