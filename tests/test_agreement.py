"""health.sh and liveness.probe give the same verdict, in the same words, on every possible state."""

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

from liveness.formats import FOLDERS

# Placeholders in the text of a state, replaced when it is written.
ME, MY_START, GONE, ZOMBIE, ZOMBIE_START = "<me>", "<start>", "<gone>", "<zombie>", "<zombie start>"
OTHER, OTHER_START = "<other>", "<other start>"

Files = dict[str, bytes]


class World:
    """A run directory, two living processes, a zombie, and a pid that no process has."""

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
            OTHER: str(os.getpid()),
            OTHER_START: start_of(os.getpid()),
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

    def put_odd(self, name: str, kind: str) -> None:
        """Replaces a file or a folder of the unit by something else."""
        path = self.rundir / "u" / name
        if not path.parent.is_dir():
            return
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        if kind == "fifo":
            os.mkfifo(path)
        elif kind == "directory":
            path.mkdir()
        elif kind != "absent":
            path.symlink_to({"dangling": "nowhere", "loop": path.name}.get(kind, kind))

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
ONE_BEAT = "healthy: process <me>, error 0, fresh heartbeats: 1"

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
    ({**GOOD, "beat/main": f"{FRESH} {LIVING}\n".encode()}, ONE_BEAT),
    ({**GOOD, "beat/main": f"\t{FRESH}   {LIVING} \t\nrest".encode()}, ONE_BEAT),
    ({**GOOD, "beat/main": f"{FRESH} {LIVING} 0\nall is well".encode()}, ONE_BEAT),
    ({**GOOD, "beat/main": f"{STALE} {LIVING}\n".encode()}, "no heartbeat 'main' for 100 s (limit 30 s)"),
    ({**GOOD, "beat/main": f"<now--50> 900 {LIVING}\n".encode()}, "heartbeat 'main' is from the future"),
    ({**GOOD, "beat/main": f"0 999999999 {LIVING}\n".encode()}, ONE_BEAT),
    *[
        ({**GOOD, "beat/main": text}, "heartbeat 'main' is malformed")
        for text in (b"", b"\n", b"1", b"1 2", b"1 2 3", b"1 2 3 4 x", b"1 2 3 4 5 6", b"1 2 3 x", b"x 2 3 4",
                     b"01 2 3 4", b"1 02 3 4", b"1 0 3 4", b"1 2 03 4", b"1 2 0 4", b"1 2 12345678 4", b"-1 2 3 4",
                     b"1 -2 3 4", b"1 2 3 -4", b"1 2 3 4 -5", b"1 2 3 4 " + b"5" * 21, b"1234567890 2 3 4",
                     b"1 1234567890 3 4", b"1 2 3 " + b"4" * 21, b"1\n2\n3\n4", b"1 2 3 4\r", b"1\x0b2 3 4",
                     b"* 2 3 4", b"$(id) 2 3 4", b"99999999999999999999 2 3 4", b"1" * 65536, b"00 2 3 4",
                     b"1 " * 32768, b" " * 65536)
    ],
    # What a loop says of itself
    ({**GOOD, "beat/main": f"{FRESH} {LIVING} 7\nqueue lost\n".encode()}, "error 7: queue lost (main)"),
    ({**GOOD, "beat/main": f"{FRESH} {LIVING} 7".encode()}, "error 7 (main)"),
    ({**GOOD, "beat/main": f"{FRESH} {LIVING} 00\n".encode()}, "error 00 (main)"),
    ({**GOOD, "beat/main": f"{FRESH} {LIVING} {'9' * 20}\n".encode()}, f"error {'9' * 20} (main)"),
    ({**GOOD, "beat/main": f"{FRESH} {LIVING} 7\n{'x' * 161}".encode()}, f"error 7: {'x' * 160} (main)"),
    ({**GOOD, "beat/main": f"{FRESH} {LIVING} 7\n%s \\n $(id) *".encode()}, "error 7: %s \\n $(id) * (main)"),
    *[
        ({**GOOD, "beat/main": f"{FRESH} {LIVING} 7\n".encode() + text}, "error 7 (main)")
        for text in (b"  ", b"a\x1b[31m", b"a\rb", b"\xc3\xa9", b"a\tb")
    ],
    ({**GOOD, "beat/main": f"{STALE} {LIVING} 7\nlost".encode()}, "no heartbeat 'main' for 100 s (limit 30 s)"),
    (
        {**GOOD, "beat/w.1": f"{FRESH} {LIVING} 7\nlost".encode(), "beat/w.2": f"{FRESH} {LIVING}".encode()},
        "error 7: lost (w.1)",
    ),
    # The dead
    *[
        ({**GOOD, "beat/main": f"{when} {whose}{code}\n".encode()}, f"heartbeat 'main': process {who} is gone")
        for when in ("<now-0> 900", "<now-100> 30", "<now--50> 900")
        for who, whose in (("<me>", DEAD), ("<gone>", f"{GONE} 1"), ("<zombie>", f"{ZOMBIE} {ZOMBIE_START}"))
        for code in ("", " 7")
    ],
    *[
        ({**GOOD, "beat/w.1": f"{when} {whose}{code}".encode(), "beat/w.2": f"{FRESH} {LIVING}".encode()}, ONE_BEAT)
        for when in ("<now-0> 900", "<now-100> 30", "<now--50> 900")
        for whose in (DEAD, f"{GONE} 1", f"{ZOMBIE} {ZOMBIE_START}")
        for code in ("", " 7")
    ],
    (
        {**GOOD, "beat/w.1": f"{STALE} {GONE} 1".encode(), "beat/w.2": f"{FRESH} {GONE} 1".encode()},
        "no heartbeat of any 'w'",
    ),
    ({**GOOD, "beat/w.1": f"{FRESH} {ZOMBIE} {ZOMBIE_START}".encode()}, "no heartbeat of any 'w'"),
    (
        {**GOOD, "beat/w.1": f"{FRESH} {DEAD}".encode(), "beat/w": f"{FRESH} {LIVING}".encode()},
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
    (
        {**GOOD, "beat/homework.1": f"{FRESH} {LIVING}".encode(), "beat/work.1": f"{FRESH} {DEAD}".encode()},
        "no heartbeat of any 'work'",
    ),
    (
        {**GOOD, "beat/work.1": f"{FRESH} {LIVING}".encode(), "expect/homework": f"{STALE} {LIVING} 1".encode()},
        "0 of 1 'homework' heartbeats",
    ),
    (
        {**GOOD, "beat/homework.1": f"{FRESH} {LIVING}".encode(), "expect/work": f"{STALE} {LIVING} 1".encode()},
        "0 of 1 'work' heartbeats",
    ),
    (
        {**GOOD, "beat/a.b.1": f"{FRESH} {LIVING}".encode(), "beat/a.1": f"{STALE} {DEAD}".encode()},
        "no heartbeat of any 'a'",
    ),
    # jobs
    ({**GOOD, "job/import": f"{FRESH} {LIVING}".encode()}, HEALTHY),
    ({**GOOD, "job/import": f"{STALE} {LIVING}".encode()}, "job 'import' has run for 100 s (limit 30 s)"),
    ({**GOOD, "job/import": f"{STALE} {DEAD}".encode(), "job/w.1": f"{STALE} {GONE} 1".encode()}, HEALTHY),
    ({**GOOD, "job/import": f"<now--50> 900 {LIVING}".encode()}, "job 'import' is from the future"),
    *[
        ({**GOOD, "job/import": f"{FRESH} {text}".encode()}, "job 'import' is malformed")
        for text in (f"{LIVING} 1", f"{LIVING} x", f"{DEAD} 1", "", "1")
    ],
    # background checks
    ({**GOOD, "check/m": f"{FRESH} {LIVING}".encode()}, HEALTHY, HEALTHY),
    ({**GOOD, "check/m": f"{FRESH} {LIVING} 1\ndb failed".encode()}, HEALTHY, "not ready: db failed (m)"),
    ({**GOOD, "check/m": f"{FRESH} {LIVING} 1".encode()}, HEALTHY, "not ready (m)"),
    (
        {**GOOD, "check/m": f"{STALE} {LIVING}".encode()},
        HEALTHY,
        "not ready: no result of 'm' for 100 s (limit 30 s)",
    ),
    (
        {**GOOD, "check/m": f"{FRESH} {GONE} 1".encode()},
        HEALTHY,
        "not ready: no result of 'm': process <gone> is gone",
    ),
    ({**GOOD, "check/m.1": f"{FRESH} {GONE} 1 1\ndown".encode()}, HEALTHY, "not ready: no result of any 'm'"),
    (
        {**GOOD, "check/m.1": f"{FRESH} {GONE} 1 1\ndown".encode(), "check/m.2": f"{FRESH} {LIVING}".encode()},
        HEALTHY,
        HEALTHY,
    ),
    (
        {**GOOD, "check/a.1": f"{FRESH} {LIVING}".encode(), "check/m.2": f"{FRESH} {LIVING} 1\nno".encode()},
        HEALTHY,
        "not ready: no (m.2)",
    ),
    ({**GOOD, "check/m": f"<now--50> 900 {LIVING}".encode()}, HEALTHY, "check 'm' is from the future"),
    ({**GOOD, "check/m": b"1 2 3"}, HEALTHY, "check 'm' is malformed"),
    ({**GOOD, "check/b m": b"1 2 3"}, HEALTHY, "bad name in <dir>/check"),
    ({**GOOD, "ready": b"1", "check/m": b""}, HEALTHY, "not ready"),
    (
        {**GOOD, "beat/m": f"{FRESH} {DEAD}".encode(), "check/m": b""},
        "heartbeat 'm': process <me> is gone",
        "heartbeat 'm': process <me> is gone",
    ),
    # expectations
    ({**GOOD, "expect/w": f"{FRESH} {LIVING} 4".encode()}, HEALTHY),
    ({**GOOD, "expect/w": f"{STALE} {LIVING} 4".encode()}, "0 of 4 'w' heartbeats"),
    ({**GOOD, "expect/w": f"<now--50> 900 {LIVING} 4".encode()}, "0 of 4 'w' heartbeats"),
    ({**GOOD, "expect/w": f"{STALE} {DEAD} 4".encode()}, HEALTHY),
    *[
        (
            {
                **GOOD, **{f"beat/w.{number}": f"{FRESH} {LIVING}".encode() for number in range(3)},
                "beat/w": f"{FRESH} {LIVING}".encode(), "beat/w.a.1": f"{FRESH} {LIVING}".encode(),
                "beat/w.dead": f"{FRESH} {DEAD}".encode(), "expect/w": f"{STALE} {LIVING} {count}".encode(),
            },
            said,
        )
        for count, said in ((3, ONE_BEAT.replace("heartbeats: 1", "heartbeats: 5")), (4, "3 of 4 'w' heartbeats"))
    ],
    ({**GOOD, "expect/w": f"{STALE} {LIVING} 999999999".encode()}, "0 of 999999999 'w' heartbeats"),
    *[
        ({**GOOD, "expect/w": f"{when} {LIVING}{text}".encode()}, "expectation 'w' is malformed")
        for when in (FRESH, STALE)
        for text in ("", " 0", " 04", " 1234567890", " x", " -1", " 1 2")
    ],
    # In which order
    (
        {**GOOD, "beat/a": f"{STALE} {LIVING}".encode(), "job/a": f"{STALE} {LIVING}".encode()},
        "no heartbeat 'a' for 100 s (limit 30 s)",
    ),
    (
        {**GOOD, "job/a": f"{STALE} {LIVING}".encode(), "expect/a": f"{STALE} {LIVING} 1".encode()},
        "job 'a' has run for 100 s (limit 30 s)",
    ),
    ({**GOOD, "expect/a": f"{STALE} {LIVING} 1".encode(), "expect/b": b""}, "expectation 'b' is malformed"),
    (
        {**GOOD, "expect/a": f"{STALE} {LIVING} 1".encode(), "ready": b"1"},
        "0 of 1 'a' heartbeats",
        "0 of 1 'a' heartbeats",
    ),
    *[
        ({**GOOD, f"{folder}/bad name": f"{FRESH} {LIVING}".encode()}, f"bad name in <dir>/{folder}")
        for folder in ("beat", "job", "expect")
    ],
    ({**GOOD, "beat/" + "x" * 100: f"{FRESH} {LIVING}".encode()}, ONE_BEAT),
    ({**GOOD, "beat/" + "x" * 101: f"{FRESH} {LIVING}".encode()}, "bad name in <dir>/beat"),
    *[({**GOOD, f"{folder}/.hidden": b"x"}, HEALTHY, HEALTHY) for folder in ("beat", "job", "check", "expect", "x")],
    ({**GOOD, "other/file": b"x", "more": b"x"}, HEALTHY, HEALTHY),
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
        # yash refuses bytes that are not text, and so finds these states unhealthy as well.
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


ago = st.sampled_from(["<now-0>"] * 6 + ["<now-5>", "<now-40>", "<now-100>", "<now-100>", "<now--50>"])
ttl = st.sampled_from(["900", "900", "30", "70", "999999999"])
gap = st.sampled_from([" ", " ", " ", "  ", "\t"])
owner = st.sampled_from(
    [f"{ME} {MY_START}"] * 5
    + [f"{OTHER} {OTHER_START}"] * 3
    + [f"{ME} 1", f"{ME} 0{MY_START}", f"{GONE} 1", f"{ZOMBIE} {ZOMBIE_START}", "1 1"]
)


def well_formed(codes: list[str], ages: st.SearchStrategy[str] = ago) -> st.SearchStrategy[bytes]:
    return line(ages, gap, ttl, gap, owner, st.sampled_from(codes))


lease_code = st.sampled_from(["", "", "", "", " 0", " 1", " 1", " 2", " 3", " 7", " 00"])
good_lease = line(ago, gap, ttl, gap, owner, lease_code)
lease = st.one_of(
    good_lease,
    good_lease,
    good_lease,
    line(
        st.one_of(ago, number), gap, st.one_of(ttl, number), gap, st.one_of(pid, number), gap, st.one_of(start, number),
        lease_code,
    ),
    anything,
)  # fmt: skip
code = st.one_of(
    st.just(b"0"), st.just(b"0"), st.just(b"0"), line(number), anything,
    st.tuples(number, printable).map(lambda pair: f"{pair[0]}\n{pair[1]}".encode()),
)  # fmt: skip
good_name = st.sampled_from(["main", "w.1", "w.2", "w.3", "w.4", "w", "v.1", "v.2", "a.b.1", "a.b.2", "x.", "A"])
role = st.sampled_from(["w", "w", "v", "a.b", "a", "main", "x"])
name = st.sampled_from(
    ["main", "loop", "w.1", "w.2", "w.3", "w", "v.1", "v.2", "a.b.1", "a.c.1", "x.", ".tmp", "A", "-", "a b", "é", "b*"]
)


# What stands in the place of a file or a folder without being one.
Odd = dict[str, str]
odd_place = st.one_of(
    st.sampled_from([*GOOD, "ready"]),
    st.sampled_from(FOLDERS),
    st.tuples(st.sampled_from(FOLDERS), st.sampled_from(["a", "w.1", "z"])).map("/".join),
)
odd_kind = st.sampled_from(["fifo", "directory", "dangling", "loop", "/dev/zero", "absent"])


@st.composite
def any_declarations(draw: st.DrawFn) -> Files:
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
    return files


def in_folder(
    folder: str, names: st.SearchStrategy[str], content: st.SearchStrategy[bytes], most: int
) -> st.SearchStrategy[Files]:
    files = st.dictionaries(names, content, max_size=most)
    return st.one_of(st.just({}), files).map(lambda found: {f"{folder}/{file}": data for file, data in found.items()})


def merged(*parts: st.SearchStrategy[Files]) -> st.SearchStrategy[Files]:
    return st.tuples(*parts).map(lambda found: {file: data for part in found for file, data in part.items()})


any_leases = merged(
    *(in_folder(folder, name, lease, most) for folder, most in (("beat", 5), ("job", 2), ("check", 3), ("expect", 2))),
    in_folder("other", name, anything, 1),
)
# Any file may contain anything. In the second kind of state, only the leases decide.
states = st.one_of(merged(any_declarations(), any_leases), merged(st.just(GOOD), any_leases))
# All is well formed: what remains is when a lease was written, by which process, and with which code.
lease_states = merged(
    st.just(GOOD),
    in_folder("beat", good_name, well_formed(["", "", "", "", " 0", " 7"]), 6),
    in_folder("job", good_name, well_formed(["", " 0"]), 2),
    in_folder("check", good_name, well_formed(["", "", "", " 1"]), 4),
    in_folder("expect", role, well_formed([" 1", " 1", " 2", " 3"], st.sampled_from(["<now-0>", "<now-100>"])), 3),
)

MANY = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
)


@settings(MANY, max_examples=300)
@given(files=states, mode=st.sampled_from(["live", "ready"]))
def test_states_of_any_kind(world: World, files: Files, mode: str) -> None:
    world.lay(files)
    note(f"{mode} of {files}")
    # Only the three shells of the images in use: words included, hundreds of times.
    Judge(world.rundir, exact_only=True)(mode=mode)


@settings(MANY, max_examples=300)
@given(files=lease_states, mode=st.sampled_from(["live", "ready"]))
def test_leases_of_any_kind(world: World, files: Files, mode: str) -> None:
    world.lay(files)
    note(f"{mode} of {files}")
    Judge(world.rundir, exact_only=True)(mode=mode)


@settings(MANY, max_examples=150)
@given(
    files=lease_states,
    odd=st.dictionaries(odd_place, odd_kind, min_size=1, max_size=3),
    mode=st.sampled_from(["live", "ready"]),
)
def test_states_with_other_things_than_files(world: World, files: Files, odd: Odd, mode: str) -> None:
    world.lay(files)
    for path, kind in odd.items():
        world.put_odd(path, kind)
    note(f"{mode} of {files} with {odd}")
    Judge(world.rundir, exact_only=True)(mode=mode)


@settings(MANY, max_examples=60)
@given(
    files=lease_states.filter(lambda files: all(file.isascii() for file in files)),
    mode=st.sampled_from(["live", "ready"]),
)
def test_leases_of_any_kind_in_every_shell(world: World, files: Files, mode: str) -> None:
    world.lay(files)
    note(f"{mode} of {files}")
    Judge(world.rundir)(mode=mode)
