"""health.sh and liveness.probe give one verdict, in one set of words, on every state that there can be."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import judge as judge_module
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from judge import Judge
from stage import start_of, uptime

# What may stand in the text of a state, filled in when it is made.
ME, MY_START, GONE, ZOMBIE, ZOMBIE_START = "<me>", "<start>", "<gone>", "<zombie>", "<zombie start>"

Files = dict[str, bytes]


class World:
    """A run directory, a process that lives, one that is a zombie, and a number that nobody has."""

    def __init__(self) -> None:
        self.rundir = Path(tempfile.mkdtemp(prefix="liveness-test-"))
        self.alive = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        self.zombie = subprocess.Popen(["true"])
        os.waitid(os.P_PID, self.zombie.pid, os.WEXITED | os.WNOWAIT)
        gone = subprocess.Popen(["true"])
        gone.wait()
        self.words = {
            ME: str(self.alive.pid),
            MY_START: start_of(self.alive.pid),
            ZOMBIE: str(self.zombie.pid),
            ZOMBIE_START: start_of(self.zombie.pid),
            GONE: str(gone.pid),
        }

    def lay(self, files: Files) -> None:
        """Makes the unit anew, of these files and no others."""
        shutil.rmtree(self.rundir / "u", ignore_errors=True)
        (self.rundir / "u").mkdir()
        now = int(uptime())
        for name, data in files.items():
            path = self.rundir / "u" / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(self.filled_in(data, now))

    def filled_in(self, data: bytes, now: int) -> bytes:
        for word, meaning in self.words.items():
            data = data.replace(word.encode(), meaning.encode())
        for ago in (0, 5, 40, 100, -50):
            data = data.replace(f"<now-{ago}>".encode(), str(now - ago).encode())
        return data

    def end(self) -> None:
        self.alive.communicate()
        self.zombie.wait()
        shutil.rmtree(self.rundir)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    world = World()
    yield world
    world.end()


GOOD: Files = {"pid": ME.encode(), "start": MY_START.encode(), "error": b"0"}
FRESH, STALE, LIVING, DEAD = "<now-0> 900", "<now-100> 30", f"{ME} {MY_START}", f"{ME} 1"
HEALTHY = "healthy: process <me>, error 0, fresh heartbeats: 0"

# The state, the verdict; of a ready verdict if there is a third.
TABLE: list[tuple[Files, str] | tuple[Files, str, str]] = [
    ({}, "not loaded (no pid in <dir>)"),
    ({"error": b"0"}, "not loaded (no pid in <dir>)"),
    ({"pid": ME.encode(), "error": b"0"}, HEALTHY),
    (GOOD, HEALTHY, HEALTHY),
    # pid
    *[
        ({**GOOD, "pid": text}, "pid is not a number")
        for text in (b"", b"\n", b"x", b"-1", b"+1", b"0", b"01", b"1 1", b"1\r", b"12345678", b"99999999999999999999",
                     b"1;id", b"$$", b"*", b"\xff", b"0x1", b"1.0", b"1" * 65536, b" " * 65536)
    ],
    ({**GOOD, "pid": f" \t{ME} \t\nrest".encode()}, HEALTHY),
    ({"pid": GONE.encode(), "error": b"0"}, "process <gone> is gone"),
    ({"pid": b"9999999", "error": b"0"}, "process 9999999 is gone"),
    ({"pid": ZOMBIE.encode(), "error": b"0"}, "process <zombie> is a zombie"),
    # start
    *[
        ({**GOOD, "start": text}, "start is not a number")
        for text in (b"", b"x", b"-1", b"1 1", b"1\r", b"1" * 21, b"*", b"\x1b[31m")
    ],
    *[
        ({**GOOD, "start": text}, "pid <me> belongs to another process")
        for text in (b"1", b"0", b"99999999999999999999", f"0{MY_START}".encode(), f"{MY_START}0".encode())
    ],
    ({**GOOD, "start": f"{MY_START} \n".encode()}, HEALTHY),
    # error
    ({**GOOD, "error": b"0\n"}, HEALTHY),
    ({**GOOD, "error": b" 0\t\nqueue lost"}, HEALTHY),
    *[
        ({**GOOD, "error": text}, "error code is not a number")
        for text in (b"", b"\n0", b"x", b"-0", b"+0", b"0 0", b"0\r\n", b"1" * 21, b"0" * 21, b"0;", b"$(id)",
                     b"1" * 65536)
    ],
    *[
        ({**GOOD, "error": text + b"\n"}, f"error {text.decode()}")
        for text in (b"00", b"7", b"007", b"2147483648", b"4294967296", b"18446744073709551616", b"9" * 20)
    ],
    ({**GOOD, "error": b"7\nqueue lost\nand more"}, "error 7: queue lost"),
    ({**GOOD, "error": b"7\n\t queue lost \t"}, "error 7: queue lost"),
    ({**GOOD, "error": b"7\n%s %d %n \\n \\033 \\c"}, "error 7: %s %d %n \\n \\033 \\c"),
    ({**GOOD, "error": b"7\n$(id) `id` ; id & * ? [a]"}, "error 7: $(id) `id` ; id & * ? [a]"),
    ({**GOOD, "error": b"7\n-e"}, "error 7: -e"),
    ({**GOOD, "error": b"7\n" + b"x" * 200}, "error 7: " + "x" * 200),
    ({**GOOD, "error": b"7\n" + b"x" * 201}, "error 7: " + "x" * 200),
    ({**GOOD, "error": b"7\n" + b"x" * 65536}, "error 7: " + "x" * 200),
    *[
        ({**GOOD, "error": b"7\n" + text}, "error 7")
        for text in (b"", b"   ", b"a\x1b[31m", b"a\rb", b"\xc3\xa9", b"a\x7f", b"a\tb", b"\x9b31m", b"\xff")
    ],
    # ready
    ({**GOOD, "ready": b"0"}, HEALTHY, HEALTHY),
    ({**GOOD, "ready": b"1"}, HEALTHY, "not ready"),
    ({**GOOD, "ready": b"1\ndraining\n"}, HEALTHY, "not ready: draining"),
    ({**GOOD, "ready": b"00"}, HEALTHY, "not ready"),
    ({**GOOD, "ready": b"1\n\x1b"}, HEALTHY, "not ready"),
    *[({**GOOD, "ready": text}, HEALTHY, "ready code is not a number") for text in (b"", b"no", b"0\r", b"1" * 21)],
    ({**GOOD, "error": b"3", "ready": b"1"}, "error 3", "error 3"),
    # heartbeats
    ({**GOOD, "beat/main": f"{FRESH} {LIVING}\n".encode()}, HEALTHY.replace("heartbeats: 0", "heartbeats: 1")),
    ({**GOOD, "beat/main": f"\t{FRESH}   {DEAD} \t\nrest".encode()}, HEALTHY.replace("heartbeats: 0", "heartbeats: 1")),
    ({**GOOD, "beat/main": f"{STALE} {LIVING}\n".encode()}, "no heartbeat 'main' for 100 s (limit 30 s)"),
    ({**GOOD, "beat/main": f"{STALE} {DEAD}\n".encode()}, "no heartbeat 'main' for 100 s (limit 30 s)"),
    ({**GOOD, "beat/main": f"<now--50> 900 {LIVING}\n".encode()}, "heartbeat 'main' is from the future"),
    ({**GOOD, "beat/main": f"0 999999999 {LIVING}\n".encode()}, HEALTHY.replace("heartbeats: 0", "heartbeats: 1")),
    *[
        ({**GOOD, "beat/main": text}, "heartbeat 'main' is malformed")
        for text in (b"", b"\n", b"1", b"1 2", b"1 2 3", b"1 2 3 4 5", b"1 2 3 x", b"x 2 3 4", b"01 2 3 4", b"1 02 3 4",
                     b"1 0 3 4", b"1 2 03 4", b"1 2 0 4", b"1 2 12345678 4", b"-1 2 3 4", b"1 -2 3 4", b"1 2 3 -4",
                     b"1234567890 2 3 4", b"1 1234567890 3 4", b"1 2 3 " + b"4" * 21, b"1\n2\n3\n4", b"1 2 3 4\r",
                     b"1\x0b2 3 4", b"* 2 3 4", b"$(id) 2 3 4", b"99999999999999999999 2 3 4", b"1" * 65536,
                     b"00 2 3 4")
    ],
    (
        {**GOOD, "beat/w.1": f"{STALE} {DEAD}".encode(), "beat/w.2": f"{FRESH} {LIVING}".encode()},
        HEALTHY.replace("heartbeats: 0", "heartbeats: 1"),
    ),
    (
        {**GOOD, "beat/w.1": f"{STALE} {GONE} 1".encode(), "beat/w.2": f"{FRESH} {GONE} 1".encode()},
        HEALTHY.replace("heartbeats: 0", "heartbeats: 1"),
    ),
    (
        {**GOOD, "beat/w.1": f"{STALE} {ZOMBIE} {ZOMBIE_START}".encode(), "beat/w.2": f"{FRESH} {LIVING}".encode()},
        HEALTHY.replace("heartbeats: 0", "heartbeats: 1"),
    ),
    ({**GOOD, "beat/w.1": f"{STALE} {ZOMBIE} {ZOMBIE_START}".encode()}, "no heartbeat of any 'w'"),
    (
        {**GOOD, "beat/w.1": f"{STALE} {DEAD}".encode(), "beat/w": f"{FRESH} {LIVING}".encode()},
        "no heartbeat of any 'w'",
    ),
    (
        {**GOOD, "beat/w.1": f"{STALE} {LIVING}".encode(), "beat/w.2": f"{FRESH} {LIVING}".encode()},
        "no heartbeat 'w.1' for 100 s (limit 30 s)",
    ),
    (
        {**GOOD, "beat/a.b.1": f"{FRESH} {LIVING}".encode(), "beat/a.c.1": f"{STALE} {DEAD}".encode()},
        "no heartbeat of any 'a.c'",
    ),
    ({**GOOD, "beat/bad name": f"{FRESH} {LIVING}".encode()}, "bad heartbeat name in <dir>/beat"),
    ({**GOOD, "beat/" + "x" * 100: f"{FRESH} {LIVING}".encode()}, HEALTHY.replace("heartbeats: 0", "heartbeats: 1")),
    ({**GOOD, "beat/" + "x" * 101: f"{FRESH} {LIVING}".encode()}, "bad heartbeat name in <dir>/beat"),
    ({**GOOD, "beat/.hidden": b"x"}, HEALTHY),
    # The order of looks: byte order of the names, and error before heartbeats.
    (
        {**GOOD, "beat/a": f"{STALE} {LIVING}".encode(), "beat/B": f"{STALE} {LIVING}".encode()},
        "no heartbeat 'B' for 100 s (limit 30 s)",
    ),
    ({**GOOD, "error": b"1", "beat/main": b""}, "error 1"),
    ({**GOOD, "start": b"1", "error": b"1"}, "pid <me> belongs to another process"),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(TABLE)))
def test_the_table_of_states(world: World, number: int) -> None:
    files, *verdicts = TABLE[number]
    assert isinstance(files, dict)
    world.lay(files)
    for mode, expected in zip(("live", "ready"), verdicts, strict=False):
        assert isinstance(expected, str)
        words = world.filled_in(expected.encode(), 0).decode().replace("<dir>", f"{world.rundir}/u")
        # yash refuses bytes that are no text, and so finds these states unhealthy, too.
        judge = Judge(world.rundir, exact_only=any(not data.isascii() for data in files.values()))
        assert judge_module.same(judge(mode=mode), words), judge.show("u")


# Texts near the border between right and wrong.
blank = st.sampled_from(["", "", "", " ", "\t", " \t "])
number = st.one_of(
    st.sampled_from(["0", "1", "7", "00", "08", "-1", "+1", "1e3", "0x10", "", "1 2", "9" * 7, "9" * 8, "9" * 9,
                     "9" * 10, "9" * 20, "9" * 21, "2147483648", "4294967296", "18446744073709551616"]),
    st.integers(0, 10**21).map(str),
)  # fmt: skip
pid = st.sampled_from([ME, ME, ME, ME, GONE, ZOMBIE, "1", "0"])
start = st.sampled_from([MY_START, MY_START, MY_START, ZOMBIE_START, "1", f"0{MY_START}"])
printable = st.text(st.characters(codec="ascii", min_codepoint=32, max_codepoint=126), max_size=300)
anything = st.binary(max_size=40).map(lambda data: data.replace(b"\0", b""))
end = st.sampled_from(["", "", "\n", "\nqueue lost\n", "\r\n", "\n\x1b[0m", "\n  %s\\n  \n"])


def line(*parts: st.SearchStrategy[str]) -> st.SearchStrategy[bytes]:
    return st.tuples(blank, *parts, blank, end).map(lambda texts: "".join(texts).encode())


ago = st.sampled_from(["<now-0>", "<now-0>", "<now-5>", "<now-40>", "<now-100>", "<now--50>"])
ttl = st.sampled_from(["900", "900", "30", "70", "999999999"])
gap = st.sampled_from([" ", " ", " ", "  ", "\t"])
beat = st.one_of(
    line(ago, gap, ttl, gap, pid, gap, start),
    line(ago, gap, ttl, gap, pid, gap, start),
    line(ago, gap, ttl, gap, pid, gap, start),
    line(
        st.one_of(ago, number), gap, st.one_of(ttl, number), gap, st.one_of(pid, number), gap, st.one_of(start, number)
    ),
    anything,
)
code = st.one_of(
    st.just(b"0"), st.just(b"0"), st.just(b"0"), line(number), anything,
    st.tuples(number, printable).map(lambda pair: f"{pair[0]}\n{pair[1]}".encode()),
)  # fmt: skip
name = st.sampled_from(
    ["main", "loop", "w.1", "w.2", "w.3", "w", "v.1", "v.2", "a.b.1", "a.c.1", "x.", ".tmp", "A", "-", "a b", "é", "b*"]
)


@st.composite
def states(draw: st.DrawFn) -> Files:
    files: Files = {}
    good = st.just(ME.encode())
    files["pid"] = draw(st.one_of(good, good, good, good, line(st.one_of(pid, number)), anything))
    same = st.just(MY_START.encode())
    files["start"] = draw(st.one_of(same, same, same, same, line(st.one_of(start, number)), anything))
    files["error"] = draw(code)
    files["ready"] = draw(code)
    for file in ("pid", "start", "error", "ready"):
        if draw(st.integers(0, 9)) == 0:
            del files[file]
    if draw(st.booleans()):
        for beat_name in draw(st.lists(name, max_size=5, unique=True)):
            files[f"beat/{beat_name}"] = draw(beat)
    return files


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
)
@given(files=states(), mode=st.sampled_from(["live", "ready"]))
def test_states_of_any_kind(world: World, files: Files, mode: str) -> None:
    world.lay(files)
    note(f"{mode} of {files}")
    # Only the three shells of the images in use: words included, hundreds of times.
    Judge(world.rundir, exact_only=True)(mode=mode)
