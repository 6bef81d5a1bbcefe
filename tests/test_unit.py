"""The verbs, one by one."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from judge import Judge
from stage import BECOME_NOBODY, ROOT, Puppet, PuppetError, needs_root, start_of, until

import liveness
from liveness import BadArgument, CheckFailed, LivenessError, TakenOver, Unit

Puppets = Callable[..., Puppet]


def files(unit: Path) -> list[str]:
    return sorted(str(path.relative_to(unit)) for path in unit.rglob("*"))


# load


def test_load_writes_the_start_and_the_pid_of_its_caller(puppet: Puppet, rundir: Path) -> None:
    puppet("liveness.load([])")
    assert (rundir / "u" / "pid").read_bytes() == str(puppet.pid).encode()
    assert (rundir / "u" / "start").read_bytes() == start_of(puppet.pid).encode()
    assert files(rundir / "u") == ["pid", "start"]


def test_a_fork_after_the_import_loads_under_its_own_pid(puppet: Puppet, rundir: Path, judge: Judge) -> None:
    # Twice, as daemons do.
    pid = puppet(
        "def daemon():\n"
        "  hear, told = os.pipe()\n"
        "  if os.fork() == 0:\n"
        "    if os.fork():\n"
        "      os._exit(0)\n"
        "    os.setsid()\n"
        "    liveness.load([])\n"
        "    liveness.set()\n"
        "    os.write(told, str(os.getpid()).encode())\n"
        "    time.sleep(1000)\n"
        "  os.wait()\n"
        "  return int(os.read(hear, 100))"
    ) or puppet("daemon()")
    try:
        assert pid != puppet.pid
        assert judge() == f"healthy: process {pid}, error 0, fresh heartbeats: 0"
    finally:
        os.kill(pid, signal.SIGKILL)


def test_every_argument_but_its_own_reaches_every_check(puppet: Puppet, rundir: Path) -> None:
    for name in ("one", "two"):
        (rundir / f"check_{name}.py").write_text(
            "seen = []\ndef health(*args, **kwargs):\n    seen.append((args, kwargs))\n"
        )
    puppet("liveness.load(['check_one', 'check_two'], 1, 'b', unit='x', config={'k': 2})")
    assert (
        puppet("[sys.modules[f'check_{n}'].seen for n in ('one', 'two')]")
        == [[[[1, "b"], {"unit": "x", "config": {"k": 2}}]]] * 2
    )


def test_the_old_life_is_gone_before_the_first_check_and_the_pid_comes_after_the_last(
    puppet: Puppet, rundir: Path
) -> None:
    old = rundir / "u"
    (old / "beat").mkdir(parents=True)
    for name in ("pid", "start", "error", "ready", "beat/main", "beat/worker.7", ".pid.0123456789ab"):
        (old / name).write_text("1")
    (old / "beat" / ".main.0123456789ab").write_text("")
    (old / ".keep").write_text("somebody else's")
    (rundir / "look.py").write_text(
        "import pathlib\nseen = []\n"
        f"def health():\n    seen.append(sorted(p.name for p in pathlib.Path({str(old)!r}).rglob('*')))\n"
    )
    puppet("liveness.load(['look'])")
    assert puppet("sys.modules['look'].seen") == [[".keep", "beat"]]
    assert files(old) == [".keep", "beat", "pid", "start"]


def test_the_start_of_an_old_life_goes_last_and_that_of_the_new_one_comes_before_the_pid(rundir: Path) -> None:
    (rundir / "u").mkdir()
    for name in ("pid", "start", "error", "ready"):
        (rundir / "u" / name).write_text("9999999")
    program = f"from liveness import Unit; Unit('u', {str(rundir)!r}).load([])"
    done = subprocess.run(
        [
            "strace",
            "-e",
            "trace=unlink,unlinkat,rename,renameat,renameat2,link,linkat",
            sys.executable,
            "-B",
            "-c",
            program,
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
    )
    calls = [line for line in done.stderr.splitlines() if f"{rundir}/u/" in line]
    last = [line.split('"')[-2].rpartition("/")[2] for line in calls]
    assert last[:4] == ["pid", "error", "ready", "start"]
    made = [name for name, call in zip(last, calls, strict=True) if call.startswith(("rename", "link"))]
    assert made == ["start", "pid"]


@pytest.mark.parametrize(
    ("body", "kind", "text"),
    [
        ("return False", "CheckFailed", "check: health() returned False (True or None mean success)"),
        ("return 0", "CheckFailed", "check: health() returned 0 (True or None mean success)"),
        ("return 0.0", "CheckFailed", "check: health() returned 0.0 (True or None mean success)"),
        ("raise KeyError('gone')", "KeyError", "'gone'"),
        ("import nothing_of_that_name", "ModuleNotFoundError", "No module named 'nothing_of_that_name'"),
    ],
)
def test_a_failing_check_leaves_nothing_loaded(
    puppet: Puppet, rundir: Path, judge: Judge, body: str, kind: str, text: str
) -> None:
    puppet("liveness.load([])")
    puppet("liveness.set()")
    (rundir / "good.py").write_text("def health(): return True\n")
    (rundir / "check.py").write_text(f"def health():\n    {body}\n")
    with pytest.raises(PuppetError) as raised:
        puppet("liveness.load(['good', 'check'])")
    assert (raised.value.kind, raised.value.text) == (kind, text)
    assert judge() == f"not loaded (no pid in {rundir}/u)"


def test_a_check_that_returns_anything_but_false_passes(puppet: Puppet, rundir: Path) -> None:
    (rundir / "check.py").write_text("def health(): return answer\n")
    for answer in ("None", "True", "''", "[]", "1", "object()"):
        puppet(f"import check; check.answer = {answer}; liveness.load(['check'])")


def test_a_coroutine_is_no_answer(puppet: Puppet, rundir: Path) -> None:
    (rundir / "check.py").write_text("async def health(): return True\n")
    puppet("import warnings; warnings.simplefilter('error')")
    with pytest.raises(PuppetError, match="CheckFailed: check: .* coroutine"):
        puppet("liveness.load(['check'])")


def test_a_module_without_health_is_an_error_that_says_so(puppet: Puppet, rundir: Path) -> None:
    (rundir / "check.py").write_text("")
    with pytest.raises(PuppetError, match=r"LivenessError: check: has no health\(\)"):
        puppet("liveness.load(['check'])")


def test_a_load_needs_no_checks_and_takes_callables_and_module_names(
    puppet: Puppet, judge: Judge, rundir: Path
) -> None:
    (rundir / "check.py").write_text("seen = []\ndef health(*args): seen.append(args)\n")
    puppet("liveness.load()")
    puppet("with liveness.running(ttl=9): pass")
    puppet("liveness.load(['check', lambda: sys.modules['check'].seen.append('called')], 1, 2)")
    assert puppet("sys.modules['check'].seen") == [[1, 2], "called"]
    for check in ("lambda: False", "lambda: (False, 'queue lost')", "lambda: (yield)", "lambda: print"):
        with pytest.raises(PuppetError, match="CheckFailed: puppet.<lambda>: "):
            puppet(f"liveness.load([{check}])")
    assert judge() == f"not loaded (no pid in {rundir}/u)"


@pytest.mark.parametrize("checks", ["app.checks", [1], [""], [None]])
def test_checks_are_a_list_of_names_and_callables(rundir: Path, checks: list[str]) -> None:
    with pytest.raises(BadArgument, match="^checks: "):
        Unit("u", rundir).load(checks)


def test_errors_have_one_root_and_a_failed_check_is_a_runtime_error() -> None:
    for error in (CheckFailed, TakenOver, BadArgument):
        assert issubclass(error, LivenessError)
    assert issubclass(LivenessError, RuntimeError)
    assert issubclass(BadArgument, ValueError)
    assert CheckFailed("app.checks", "no").name == "app.checks"


def test_a_check_that_forks_into_the_background_is_loaded_under_the_pid_that_is_left(
    puppet: Puppet, rundir: Path, judge: Judge
) -> None:
    (rundir / "fork.py").write_text("import os\ndef health():\n    if os.fork(): os.wait(); os._exit(0)\n")
    pid = puppet(
        "def run():\n"
        "  hear, told = os.pipe()\n"
        "  if os.fork() == 0:\n"
        "    liveness.load(['fork'])\n"
        "    liveness.set()\n"
        "    os.write(told, str(os.getpid()).encode())\n"
        "    time.sleep(1000)\n"
        "  return int(os.read(hear, 100))"
    ) or puppet("run()")
    try:
        assert judge() == f"healthy: process {pid}, error 0, fresh heartbeats: 0"
    finally:
        os.kill(pid, signal.SIGKILL)


def test_load_says_where_the_state_is(rundir: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "liveness")
    unit = Unit("u", rundir)
    unit.load([])
    assert caplog.messages == [f"liveness: state in {rundir}/u"]
    unit.reset()


# set and set_ready


def test_a_reason_is_one_line_of_printable_ascii_and_at_most_200_bytes(rundir: Path) -> None:
    unit = Unit("u", rundir)
    unit.load([])
    for reason, line in [
        ("queue lost", b"queue lost"),
        ("a\nb\tc\rd", b"a\\nb\\tc\\rd"),
        ("\x1b[31m\x00\x7f", b"\\x1b[31m\\x00\\x7f"),
        ("é→😀", b"\\xe9\\u2192\\U0001f600"),
        ("\udcff", b"\\udcff"),
        (ValueError("no"), b"no"),
        ("x" * 200, b"x" * 200),
        ("x" * 201, b"x" * 197 + b"..."),
        ("%s\\", b"%s\\"),
    ]:
        unit.set(7, reason)
        assert (rundir / "u" / "error").read_bytes() == b"7\n" + line + b"\n"
    unit.set(0)
    assert (rundir / "u" / "error").read_bytes() == b"0"
    unit.set_ready(False, "draining")
    assert (rundir / "u" / "ready").read_bytes() == b"1\ndraining\n"
    unit.set_ready()
    assert (rundir / "u" / "ready").read_bytes() == b"0"
    unit.reset()


@pytest.mark.parametrize("ready", ["draining", "", 0, 1, None, [True]])
def test_a_readiness_that_is_not_a_bool_is_an_error_and_not_ready(rundir: Path, judge: Judge, ready: bool) -> None:
    # set_ready("draining") declared ready on version 1.
    unit = Unit("u", rundir)
    unit.load()
    unit.set()
    with pytest.raises(
        BadArgument, match=r"^ready: .*: must be True or False \(a reason comes second: set_ready\(False"
    ):
        unit.set_ready(ready)
    assert judge(mode="ready").startswith("not ready: ready: ")
    assert judge().startswith("healthy")
    unit.reset()


def test_none_is_not_a_reason(rundir: Path, judge: Judge) -> None:
    unit = Unit("u", rundir)
    unit.load()
    unit.set(7, None)
    assert judge() == "error 7"
    unit.reset()


@pytest.mark.parametrize("code", [-1, "7", 7.0, None, True, False, 10**20])
def test_an_alarm_with_a_wrong_number_is_an_error_and_an_alarm(rundir: Path, judge: Judge, code: int) -> None:
    unit = Unit("u", rundir)
    unit.load([])
    unit.set()
    with pytest.raises(BadArgument, match="must be a whole number from 0 to 9{20} .*declared as error 1"):
        unit.set(code)
    assert judge().startswith("error 1: error_code: ")
    unit.reset()


def test_the_largest_code_is_shown_whole(rundir: Path, judge: Judge) -> None:
    unit = Unit("u", rundir)
    unit.load([])
    unit.set(10**20 - 1)
    assert judge() == "error 99999999999999999999"
    unit.reset()


def test_numbers_need_not_be_of_type_int(rundir: Path) -> None:
    class Seven:
        def __index__(self) -> int:
            return 7

    unit = Unit("u", rundir)
    unit.load([])
    unit.set(Seven())  # type: ignore[arg-type]
    assert (rundir / "u" / "error").read_bytes() == b"7"
    unit.beat(Seven())  # type: ignore[arg-type]
    assert (rundir / "u" / "beat" / "main").read_text().split()[1] == "7"
    unit.reset()


BEFORE_LOAD = """
import liveness
for verb in (liveness.set, liveness.set_ready, lambda: liveness.beat(9), lambda: liveness.expect("w", 2),
             lambda: liveness.set(7), liveness.heartbeat(9).__enter__, liveness.deadline(9).__enter__):
    try:
        verb()
    except liveness.LivenessError as error:
        print(error, error.__cause__, error.__context__ if not error.__suppress_context__ else None)
    else:
        print(verb, "did something")
"""


@pytest.mark.parametrize("remains", [(), ("error",), ("error", "start", "beat")])
def test_a_verb_before_load_says_to_load_first_without_a_chained_traceback(rundir: Path, remains: tuple[str]) -> None:
    if remains:
        (rundir / "u").mkdir()
    for name in remains:
        (rundir / "u" / name).write_text("0")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "LIVENESS_RUNDIR": str(rundir), "LIVENESS_UNIT_NAME": "u"}
    done = subprocess.run(
        [sys.executable, "-c", BEFORE_LOAD], stdout=subprocess.PIPE, text=True, timeout=30, check=True, env=environment
    )
    wanted = f"{rundir}/u: nobody has loaded this unit (call load() first) None None"
    assert done.stdout.splitlines() == [wanted] * 7
    assert files(rundir / "u") == sorted(remains) if remains else not (rundir / "u").exists()


def test_a_unit_that_never_loaded_writes_to_the_life_that_is_there(puppet: Puppet, rundir: Path, judge: Judge) -> None:
    puppet("liveness.load([])")
    puppet("liveness.set()")
    Unit("u", rundir).set(3, "by hand")
    assert judge() == "error 3: by hand"
    Unit("u", rundir).reset()
    assert judge() == f"not loaded (no pid in {rundir}/u)"


# reset and running


def test_reset_leaves_the_directory_and_nothing_in_it_and_may_be_repeated(rundir: Path) -> None:
    unit = Unit("u", rundir)
    unit.reset()
    unit.load([])
    unit.beat(9)
    unit.set()
    unit.set_ready()
    unit.reset()
    assert files(rundir / "u") == ["beat"]
    unit.reset()


def test_running_is_a_whole_life(rundir: Path, judge: Judge) -> None:
    with Unit("u", rundir).running([], ttl=30) as unit:
        assert judge(mode="ready") == f"healthy: process {os.getpid()}, error 0, fresh heartbeats: 1"
        assert unit.path == f"{rundir}/u"
    assert judge() == f"not loaded (no pid in {rundir}/u)"
    with pytest.raises(KeyError), liveness.running([], ready=False, unitname="u", rundir=rundir):
        assert judge(mode="ready") == "not ready"
        raise KeyError
    assert judge() == f"not loaded (no pid in {rundir}/u)"


def test_running_hands_its_other_arguments_to_the_checks(puppet: Puppet, rundir: Path) -> None:
    (rundir / "check.py").write_text("seen = []\ndef health(*a, **k): seen.append((a, k))\n")
    puppet("with liveness.running(['check'], 1, ttl=5, x=2): pass")
    assert puppet("sys.modules['check'].seen") == [[[1], {"x": 2}]]


def test_a_life_that_cannot_begin_is_taken_back(rundir: Path) -> None:
    with pytest.raises(BadArgument, match="ttl"), Unit("u", rundir).running([], ttl=0):
        pass
    assert files(rundir / "u") == []


def test_a_forked_child_that_leaves_running_touches_nothing(puppet: Puppet, judge: Judge) -> None:
    puppet(
        "def work():\n"
        "  life = liveness.running([], ttl=9)\n"
        "  unit = life.__enter__()\n"
        "  for kind in (SystemExit, None):\n"
        "    pid = os.fork()\n"
        "    if not pid:\n"
        "      life.__exit__(kind, None, None)\n"
        "      os._exit(0)\n"
        "    os.waitpid(pid, 0)"
    )
    puppet("work()")
    assert judge() == f"healthy: process {puppet.pid}, error 0, fresh heartbeats: 1"


# Lives


def test_a_child_may_set_and_reset(puppet: Puppet, judge: Judge, rundir: Path) -> None:
    puppet("liveness.load([])")
    puppet("liveness.set()")
    puppet("def child(do):\n  pid = os.fork()\n  if not pid: do(); os._exit(0)\n  return os.waitpid(pid, 0)[1]")
    assert puppet("child(lambda: liveness.set(5, 'child'))") == 0
    assert judge() == "error 5: child"
    assert puppet("child(liveness.reset)") == 0
    assert judge() == f"not loaded (no pid in {rundir}/u)"
    with pytest.raises(PuppetError, match="TakenOver.*it was reset"):
        puppet("liveness.set()")


def test_a_spawned_child_may_beat_and_set_and_reset(puppets: Puppets, judge: Judge, rundir: Path) -> None:
    # A puppet is a child of this process.
    unit, child = Unit("u", rundir), puppets()
    unit.load()
    child("liveness.set()")
    child("liveness.beat(9)")
    assert judge() == f"healthy: process {os.getpid()}, error 0, fresh heartbeats: 1"
    assert (rundir / "u" / "beat" / f"worker.{child.pid}").exists()
    child("liveness.reset()")
    assert judge() == f"not loaded (no pid in {rundir}/u)"


def test_a_child_cannot_load_while_its_parent_holds_the_unit(puppet: Puppet, judge: Judge) -> None:
    puppet("liveness.load([])")
    puppet("liveness.set()")
    said = puppet(
        "def child():\n"
        "  hear, told = os.pipe()\n"
        "  if not os.fork():\n"
        "    try: liveness.load([])\n"
        "    except liveness.LivenessError as error: os.write(told, str(error).encode())\n"
        "    os._exit(0)\n"
        "  os.wait()\n"
        "  return os.read(hear, 1000).decode()"
    ) or puppet("child()")
    assert f"the parent process {puppet.pid} holds this unit (a worker beats, it does not load" in said
    assert judge().startswith("healthy")


def test_a_pid_file_without_a_start_may_be_anybodys_and_stops_no_child_from_loading(rundir: Path) -> None:
    (rundir / "u").mkdir()
    (rundir / "u" / "pid").write_text(str(os.getppid()))
    unit = Unit("u", rundir)
    unit.load([])
    unit.reset()


def test_a_second_life_warns_of_the_first_that_lives_and_replaces_it(
    puppets: Puppets, judge: Judge, rundir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = puppets()
    first("liveness.load([])")
    unit = Unit("u", rundir)
    unit.load([])
    unit.set()
    assert f"{rundir}/u: process {first.pid}, which is alive, has loaded this unit too" in caplog.text
    assert judge() == f"healthy: process {os.getpid()}, error 0, fresh heartbeats: 0"
    caplog.clear()
    unit.load([])
    assert "is alive" not in caplog.text
    unit.reset()


def test_an_old_life_that_drains_late_changes_nothing(puppets: Puppets, judge: Judge, rundir: Path) -> None:
    old, new = puppets(stderr=subprocess.PIPE), puppets()
    old("liveness.load([])")
    old("liveness.set()")
    old("liveness.beat(1)")
    # An orphan of it, forked before the change.
    old("hear, told = os.pipe(); back, answer = os.pipe()")
    orphan = old(
        "def orphan():\n"
        "  pid = os.fork()\n"
        "  if not pid:\n"
        "    os.read(hear, 1)\n"
        "    said = []\n"
        "    for verb in (lambda: liveness.set(6), lambda: liveness.set_ready(False), lambda: liveness.beat(2),\n"
        "                 liveness.end_beat, liveness.reset):\n"
        "      try: verb()\n"
        "      except liveness.TakenOver: said.append('taken over')\n"
        "    os.write(answer, repr(said).encode())\n"
        "    os._exit(0)\n"
        "  return pid"
    ) or old("orphan()")
    new("liveness.load([])")
    new("liveness.beat(900)")
    new("liveness.set()")
    before = {path: path.read_bytes() for path in (rundir / "u").rglob("*") if path.is_file()}
    for verb in ("set()", "set(3)", "set_ready(False)", "set_ready()"):
        with pytest.raises(PuppetError, match="TakenOver"):
            old(f"liveness.{verb}")
    old("liveness.beat(2)")
    old("liveness.beat(2, 'other')")
    old("liveness.end_beat()")
    old("liveness.reset()")
    old("liveness.reset()")
    old("os.write(told, b'x')")
    assert old("os.read(back, 100).decode()") == "['taken over', 'taken over']"
    old(f"os.waitpid({orphan}, 0)")
    assert {path: path.read_bytes() for path in (rundir / "u").rglob("*") if path.is_file()} == before
    assert judge() == f"healthy: process {new.pid}, error 0, fresh heartbeats: 1"
    assert old.process.stderr is not None
    old.signal(signal.SIGKILL)
    # Once by the old life, once by its orphan.
    assert old.process.stderr.read().count("nothing is written") == 2


def test_what_an_old_life_writes_while_the_checks_of_the_new_one_run_is_gone(
    puppets: Puppets, judge: Judge, rundir: Path
) -> None:
    # As by one that was held up between its look and its write.
    (rundir / "stray.py").write_text(
        "import pathlib\n"
        "def health():\n"
        f"    unit = pathlib.Path({str(rundir)!r}) / 'u'\n"
        "    (unit / 'beat').mkdir()\n"
        "    (unit / 'error').write_text('0')\n"
        "    (unit / 'ready').write_text('1')\n"
        "    (unit / 'beat' / 'main').write_text('1 1 9999999 1')\n"
    )
    new = puppets()
    new("liveness.load(['stray'])")
    assert judge() == f"not set (no error code in {rundir}/u)"
    new("liveness.set()")
    assert judge(mode="ready") == f"healthy: process {new.pid}, error 0, fresh heartbeats: 0"


def test_what_a_signal_handler_says_while_the_checks_run_is_kept(puppet: Puppet, judge: Judge, rundir: Path) -> None:
    (rundir / "terminated.py").write_text("import os, signal\ndef health(): os.kill(os.getpid(), signal.SIGTERM)\n")
    puppet("signal.signal(signal.SIGTERM, lambda *_: liveness.set_ready(False, 'draining'))")
    puppet("liveness.load(['terminated'])")
    puppet("liveness.set()")
    assert judge(mode="ready") == "not ready: draining"


def test_what_a_signal_handler_says_while_the_old_life_is_removed_is_kept(
    rundir: Path, judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = Unit("u", rundir)
    unit.load([])
    unlink = os.unlink

    def interrupted(path: str) -> None:
        monkeypatch.setattr(os, "unlink", unlink)
        unlink(path)
        unit.set_ready(False, "draining")

    monkeypatch.setattr(os, "unlink", interrupted)
    unit.load([])
    unit.set()
    assert judge(mode="ready") == "not ready: draining"
    unit.reset()


def test_a_life_may_load_again(puppet: Puppet, judge: Judge) -> None:
    for _ in range(3):
        puppet("liveness.load([])")
        puppet("liveness.set()")
        assert judge().startswith("healthy")
    kept = [path for path in Path(f"/proc/{puppet.pid}/fd").iterdir() if "/u/" in str(path.readlink())]
    assert len(kept) == 1


def test_two_units_of_a_process_are_apart(rundir: Path, judge: Judge) -> None:
    one, two = Unit("one", rundir), Unit("two", rundir)
    one.load([])
    two.load([])
    one.set()
    two.set(2)
    assert judge("one").startswith("healthy")
    assert judge("two") == "error 2"
    one.reset()
    assert judge("two") == "error 2"
    two.reset()


def test_the_functions_of_the_package_share_one_life_a_unit(puppet: Puppet, judge: Judge, rundir: Path) -> None:
    puppet(f"liveness.load([], unitname='other', rundir={str(rundir)!r})")
    puppet(f"liveness.set(4, unitname='other', rundir={str(rundir)!r})")
    assert judge("other") == "error 4"
    puppet("liveness.load([])")
    puppet("liveness.set(unitname='u')")
    assert judge().startswith("healthy")
    puppet("os.environ['LIVENESS_UNIT_NAME'] = 'third'")
    puppet("liveness.set(5)")
    assert judge() == "error 5"
    puppet("liveness.load([])")
    puppet("liveness.set(6)")
    assert judge("third") == "error 6"
    assert judge() == "error 5"


def test_off_linux_load_runs_its_checks_and_nothing_else_happens(rundir: Path) -> None:
    (rundir / "check.py").write_text("def health(): print('checked')\n")
    program = (
        "import sys; sys.platform = 'darwin'; import logging; logging.basicConfig(); import liveness\n"
        "with liveness.running(['check'], ttl=3) as unit:\n"
        "    with unit.heartbeat(3) as beat: beat()\n"
        "    liveness.set(7); liveness.set_ready(False); liveness.end_beat()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True, text=True, check=True, timeout=30,
        env={"PYTHONPATH": f"{ROOT}{os.pathsep}{rundir}", "LIVENESS_RUNDIR": str(rundir)},
    )  # fmt: skip
    assert done.stdout == "checked\n"
    assert done.stderr.count("does nothing here") == 1
    assert [path.name for path in rundir.iterdir() if path.name not in ("check.py", "__pycache__")] == []


# Where things go wrong


def as_nobody(rundir: Path, code: str) -> str:
    """What a process without any right says that runs it."""
    program = (
        f"{BECOME_NOBODY}\n"
        f"unit = liveness.Unit('u', {str(rundir)!r})\n"
        f"try: {code}\n"
        "except liveness.LivenessError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, timeout=30, check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    return done.stdout.strip()


@needs_root
def test_a_rundir_that_may_not_be_written_is_named_with_the_way_out(rundir: Path) -> None:
    assert as_nobody(rundir, "unit.load([])") == (
        f"{rundir}/u: cannot create: permission denied "
        f"(mount a writable volume at {rundir}, for example an emptyDir, or choose another rundir)"
    )
    (rundir / "u").mkdir()
    (rundir / "u" / "error").write_text("0")
    assert as_nobody(rundir, "unit.load([])").startswith(f"{rundir}/u/error: cannot remove the state of an earlier ")
    (rundir / "u" / "pid").write_text(str(os.getpid()))
    assert as_nobody(rundir, "unit.set()").startswith(f"{rundir}/u/error: cannot write 0: permission denied (mount ")
    assert as_nobody(rundir, "unit.reset()").startswith(f"{rundir}/u/pid: cannot remove the state: permission denied")


def test_load_creates_the_rundir_and_its_parents_readable_for_every_probe(puppets: Puppets, rundir: Path) -> None:
    puppet = puppets(rundir=rundir / "a" / "b")
    puppet("os.umask(0o077)")
    puppet("liveness.load()")
    for folder in ("a", "a/b", "a/b/u"):
        assert oct((rundir / folder).stat().st_mode & 0o7777) == "0o755"
    assert files(rundir / "a" / "b" / "u") == ["pid", "start"]


def test_a_rundir_below_a_file_is_named_with_the_way_out(rundir: Path) -> None:
    (rundir / "file").write_text("")
    with pytest.raises(
        LivenessError, match=r"/file/run/u: cannot create: not a directory \(mount a writable volume at"
    ):
        Unit("u", rundir / "file" / "run").load()


def test_a_relative_rundir_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadArgument, match="^rundir: 'run': not an absolute path"):
        Unit("u", "run")
    monkeypatch.setenv("LIVENESS_RUNDIR", "run")
    with pytest.raises(BadArgument, match="^LIVENESS_RUNDIR: 'run': not an absolute path"):
        Unit("u")


@needs_root
def test_a_read_only_file_system_is_named_with_the_way_out(rundir: Path) -> None:
    program = f"import liveness\ntry: liveness.Unit('u', {str(rundir)!r}).load([])\nexcept Exception as e: print(e)"
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c",
         f'mount -t tmpfs -o ro none {rundir} && exec {sys.executable} -c "{program}"'],
        capture_output=True, text=True, timeout=30, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.stdout.startswith(
        f"{rundir}/u: cannot create: read-only file system (mount a writable volume at {rundir},"
    )


def test_a_unit_directory_that_is_a_link_or_a_file_is_refused(rundir: Path) -> None:
    unit = Unit("u", rundir)
    (rundir / "elsewhere").mkdir()
    (rundir / "u").symlink_to("elsewhere")
    verbs: list[Callable[[], None]] = [lambda: unit.load([]), unit.set, unit.reset]
    for verb in verbs:
        with pytest.raises(LivenessError, match="/u: is a symbolic link"):
            verb()
    (rundir / "u").unlink()
    (rundir / "u").write_text("")
    with pytest.raises(LivenessError, match="/u: is not a directory"):
        unit.load([])
    assert files(rundir) == ["elsewhere", "u"]


@needs_root
def test_a_unit_directory_of_another_user_is_refused_unless_a_group_of_ours_may_write_there(rundir: Path) -> None:
    unit = rundir / "u"
    unit.mkdir()
    os.chown(unit, 1234, 65534)
    rundir.chmod(0o777)
    assert as_nobody(rundir, "unit.load([])").startswith(
        f"{unit}: belongs to user 1234, who could write a false state there"
    )
    (rundir / "u" / "pid").write_text(str(os.getpid()))
    assert as_nobody(rundir, "unit.set()").startswith(
        f"{unit}: belongs to user 1234, who could write a false state there"
    )
    unit.chmod(0o775)
    assert as_nobody(rundir, "unit.load([]); unit.set(); print('fine')") == "fine"
    os.chown(unit, 0, 0)
    unit.chmod(0o777)
    assert as_nobody(rundir, "unit.load([]); unit.set(); print('fine')") == "fine"


def test_names_that_cannot_be_are_refused(rundir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("", "a/b", "..", ".a", "-a", "a b", "a\n", "é", "a" * 201, 7):
        with pytest.raises(BadArgument, match="^unitname: .*: not a unit name: 1 to 200 of "):
            Unit(name, rundir)  # type: ignore[arg-type]
    monkeypatch.setenv("LIVENESS_UNIT_NAME", "a/b")
    with pytest.raises(BadArgument, match="^LIVENESS_UNIT_NAME: 'a/b': not a unit name"):
        Unit(None, rundir)
    unit = Unit("a" * 200, rundir)
    for name in ("", "a/b", "..", ".a", "-a", "a b", "a" * 101, 7):
        with pytest.raises(BadArgument, match="^name: "):
            unit.beat(3, name)  # type: ignore[arg-type]
        with pytest.raises(BadArgument, match="^name: "):
            unit.end_beat(name)  # type: ignore[arg-type]


@needs_root
def test_a_foreign_proc_is_refused(rundir: Path) -> None:
    # A pid namespace with the /proc of the one outside.
    program = f"import liveness\ntry: liveness.Unit('u', {str(rundir)!r}).load([])\nexcept Exception as e: print(e)"
    done = subprocess.run(
        ["unshare", "--pid", "--fork", "--kill-child", sys.executable, "-c", program],
        capture_output=True, text=True, timeout=30, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert "/proc belongs to another pid namespace (mount /proc in this one)" in done.stdout
    assert not (rundir / "u" / "pid").exists()


def test_a_state_file_that_is_a_directory_is_named(rundir: Path) -> None:
    (rundir / "u" / "error").mkdir(parents=True)
    with pytest.raises(LivenessError, match=r"/u/error: cannot remove the state of an earlier life: is a directory"):
        Unit("u", rundir).load([])


def test_a_beat_that_is_no_folder_is_removed_with_the_old_life_and_a_link_is_not_followed(rundir: Path) -> None:
    (rundir / "u").mkdir()
    (rundir / "precious").mkdir()
    (rundir / "precious" / "file").write_text("")
    unit = Unit("u", rundir)
    (rundir / "u" / "beat").symlink_to(rundir / "precious")
    unit.load([])
    assert (rundir / "precious" / "file").exists()
    (rundir / "u" / "beat").write_text("")
    unit.load([])
    unit.beat(3)
    unit.reset()


# Writing


def test_a_umask_of_077_blinds_no_probe(puppet: Puppet, rundir: Path) -> None:
    puppet("os.umask(0o077)")
    puppet("liveness.load([])")
    puppet("liveness.beat(9)")
    puppet("liveness.set()")
    puppet("liveness.set_ready()")
    modes = {path: oct(path.stat().st_mode & 0o7777) for path in [rundir / "u", *(rundir / "u").rglob("*")]}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {"0o755"}
    assert {mode for path, mode in modes.items() if path.is_file()} == {"0o644"}


def test_no_reader_ever_sees_half_a_file(puppets: Puppets, rundir: Path) -> None:
    writers = [puppets() for _ in range(3)]
    writers[0]("liveness.load([])")
    for number, writer in enumerate(writers):
        writer(
            "def write(n):\n"
            "  for i in range(300):\n"
            "    liveness.set(int(str(n + 1) * 20), str(n + 1) * 200)\n"
            "    liveness.set_ready(False, str(n + 1) * 200)"
        )
        writer(f"threads = [threading.Thread(target=write, args=({number} * 3 + i,)) for i in range(3)]")
        writer("for thread in threads: thread.start()")
    for writer in writers:
        writer.tell("[thread.join() for thread in threads]")
    seen = set()
    unit = rundir / "u"
    until(lambda: (unit / "error").exists() and (unit / "ready").exists())
    for _ in range(3000):
        code, reason = (unit / "error").read_text().splitlines()
        assert len(code) == 20
        assert len(reason) == 200
        assert set(code) == set(reason)
        seen.add(reason[0])
        code, reason = (unit / "ready").read_text().splitlines()
        assert (code, len(reason), len(set(reason))) == ("1", 200, 1)
    for writer in writers:
        writer.answer()
    assert files(unit) == ["error", "pid", "ready", "start"]


def test_an_error_that_is_reported_leaves_no_temporary_file(rundir: Path) -> None:
    unit = Unit("u", rundir)
    unit.load([])
    (rundir / "u" / "ready").mkdir()
    with pytest.raises(LivenessError, match="/u/ready: cannot write 0: is a directory"):
        unit.set_ready()
    (rundir / "u" / "ready").rmdir()
    assert files(rundir / "u") == ["pid", "start"]
    unit.reset()


def test_verbs_may_be_called_from_a_signal_handler_that_interrupted_a_verb(
    puppet: Puppet, judge: Judge, rundir: Path
) -> None:
    puppet("liveness.load([])")
    puppet("count = 0")
    puppet(
        "def handler(*_):\n"
        "  global count\n"
        "  count += 1\n"
        "  liveness.set(count); liveness.set_ready(False); liveness.beat(9); liveness.beat(9, 'h', traceback=True)\n"
        "  liveness.end_beat('h'); liveness.set()\n"
        "  if not done: signal.setitimer(signal.ITIMER_REAL, 0.0001 * (1 + count % 17))"
    )
    puppet("done = False")
    puppet("signal.signal(signal.SIGALRM, handler)")
    puppet("signal.setitimer(signal.ITIMER_REAL, 0.001)")
    puppet(
        "def work():\n"
        "  global done\n"
        "  end = time.monotonic() + 2\n"
        "  while time.monotonic() < end:\n"
        "    liveness.set(); liveness.set_ready(False); liveness.beat(9, traceback=False); liveness.end_beat()\n"
        "    liveness.load([])\n"
        "  done = True\n"
        "  signal.setitimer(signal.ITIMER_REAL, 0)\n"
        "  return count"
    )
    assert puppet("work()") > 50
    puppet("liveness.set()")
    puppet("liveness.end_beat()")
    assert judge().startswith("healthy")
    assert {"error", "pid", "start"} < {*files(rundir / "u")} <= {"beat", "error", "pid", "ready", "start"}


# Alarms


@needs_root
def test_an_alarm_gets_through_a_full_disk(puppets: Puppets, judge: Judge, rundir: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", rundir], check=True)
    try:
        puppet = puppets()
        puppet("liveness.load([])")
        puppet("liveness.set()")
        puppet("liveness.set_ready()")
        assert judge(mode="ready").startswith("healthy")
        puppet(
            "def fill():\n"
            f"  fd = os.open({str(rundir / 'filler')!r}, os.O_CREAT | os.O_APPEND | os.O_WRONLY)\n"
            "  try:\n"
            "    while os.write(fd, b'x' * 512): pass\n"
            "  except OSError: os.close(fd)"
        )
        puppet("fill()")
        with pytest.raises(PuppetError, match="ready: cannot write 1: no space left on device; it was emptied instead"):
            puppet("liveness.set_ready(False, 'draining')")
        assert judge(mode="ready") == "ready code is not a number"
        puppet("fill()")
        with pytest.raises(PuppetError, match="error: cannot write 7: no space left on device; it was removed instead"):
            puppet("liveness.set(7, 'disk full')")
        assert judge() == f"not set (no error code in {rundir}/u)"
        assert files(rundir / "u") == ["pid", "ready", "start"]
        puppet("fill()")
        with pytest.raises(PuppetError, match="error: cannot write 0: no space left"):
            puppet("liveness.set()")
        (rundir / "filler").unlink()
        puppet("liveness.set()")
        puppet("liveness.set_ready()")
        assert judge(mode="ready").startswith("healthy")
        puppet.kill()
    finally:
        subprocess.run(["umount", "--lazy", rundir], check=True)


@needs_root
@pytest.mark.parametrize("mode", [0o755, 0o700])
def test_an_alarm_gets_through_a_loss_of_privileges(puppet: Puppet, judge: Judge, rundir: Path, mode: int) -> None:
    puppet("liveness.load([])")
    puppet("liveness.set()")
    rundir.chmod(mode)
    puppet(BECOME_NOBODY)
    with pytest.raises(PuppetError, match="error: cannot write 0: permission denied .mount a writable volume at"):
        puppet("liveness.set()")
    assert judge().startswith("healthy")
    with pytest.raises(PuppetError, match="cannot write 7: permission denied; the pid file was emptied instead"):
        puppet("liveness.set(7, 'queue lost')")
    assert judge() == "pid is not a number"
    with pytest.raises(PuppetError, match="cannot write 0: permission denied"):
        puppet("liveness.set()")
    assert judge() == "pid is not a number"


def test_an_alarm_gets_through_when_no_descriptor_is_left(puppet: Puppet, judge: Judge, rundir: Path) -> None:
    puppet("liveness.load([])")
    puppet("liveness.set()")
    puppet("import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (3, 4096))")
    with pytest.raises(PuppetError, match="cannot write 7: too many open files; it was removed instead"):
        puppet("liveness.set(7)")
    assert judge() == f"not set (no error code in {rundir}/u)"


@needs_root
def test_an_alarm_never_writes_to_what_took_the_number_of_a_closed_descriptor(puppet: Puppet, rundir: Path) -> None:
    puppet("liveness.load([])")
    puppet("liveness.set()")
    # Not even to a pid file of the application's own, with the same content.
    (rundir / "precious").write_text(str(puppet.pid))
    puppet("os.closerange(3, 100)")
    puppet(f"fds = [os.open({str(rundir / 'precious')!r}, os.O_RDWR) for _ in range(20)]")
    puppet(BECOME_NOBODY)
    with pytest.raises(PuppetError, match="cannot write 7: permission denied"):
        puppet("liveness.set(7)")
    assert (rundir / "precious").read_text() == str(puppet.pid)


def test_a_daemon_without_standard_streams_prints_into_no_state_file(puppet: Puppet, rundir: Path) -> None:
    pid = puppet(
        "def daemon():\n"
        "  hear, told = os.pipe()\n"
        "  if os.fork() == 0:\n"
        "    os.closerange(0, 3)\n"
        "    liveness.load([])\n"
        "    try: os.write(1, b'garbage'); os.write(2, b'garbage')\n"
        "    except OSError: pass\n"
        "    os.write(told, str(os.getpid()).encode())\n"
        "    os._exit(0)\n"
        "  os.wait()\n"
        "  return os.read(hear, 100).decode()"
    ) or puppet("daemon()")
    # Its parent's life, not yet loaded, was no hindrance.
    assert (rundir / "u" / "pid").read_text() == pid


def test_many_threads_may_use_every_verb_at_once(rundir: Path, judge: Judge) -> None:
    unit = Unit("u", rundir)
    unit.load([])
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for count in range(100):
                unit.set(count % 3)
                unit.set_ready(count % 2 == 0)
                unit.beat(9, f"loop.{number}")
                unit.end_beat(f"loop.{number}")
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    unit.set()
    unit.set_ready()
    assert judge(mode="ready").startswith("healthy")
    unit.reset()


def test_a_child_that_resets_what_its_parent_loaded_is_logged(puppets: Puppets) -> None:
    puppet = puppets(stderr=subprocess.PIPE)
    puppet("liveness.load([])")
    puppet("pid = os.fork()\nif not pid: liveness.reset(); os._exit(0)\nos.waitpid(pid, 0)")
    puppet.signal(signal.SIGKILL)
    assert puppet.process.stderr is not None
    assert f"resets what process {puppet.pid} has loaded" in puppet.process.stderr.read()


def test_a_verb_that_lacks_the_name_that_load_had_says_so(puppet: Puppet, rundir: Path) -> None:
    puppet("liveness.load([], unitname='web')")
    with pytest.raises(PuppetError, match=f"this process has loaded {rundir}/web: pass the same unitname and rundir"):
        puppet("liveness.set()")


def test_a_reason_in_the_place_of_a_code_is_an_alarm_and_an_error_that_says_where_it_goes(rundir: Path) -> None:
    unit = Unit("u", rundir)
    unit.load([])
    with pytest.raises(BadArgument, match=r"a reason comes second: set\(1, reason\)"):
        unit.set("queue lost")  # type: ignore[arg-type]
    unit.reset()


def test_a_child_of_the_fork_server_cannot_load_what_its_parent_holds(rundir: Path) -> None:
    (rundir / "app.py").write_text(
        "import multiprocessing as m, liveness\n"
        "liveness.load([])\n"  # not guarded: every child does it again
        "liveness.set()\n"
        "def work(): pass\n"
        "if __name__ == '__main__':\n"
        "    child = m.get_context('forkserver').Process(target=work)\n"
        "    child.start(); child.join(); print(child.exitcode, flush=True); input()\n"
    )
    names = {"LIVENESS_RUNDIR": str(rundir), "LIVENESS_UNIT_NAME": "u", "PYTHONPATH": str(ROOT)}
    parent = subprocess.Popen(
        [sys.executable, str(rundir / "app.py")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **names},
    )  # fmt: skip
    try:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "1\n"
        assert Judge(rundir)() == f"healthy: process {parent.pid}, error 0, fresh heartbeats: 0"
    finally:
        parent.kill()
        err = parent.communicate()[1]
    assert f"the parent process {parent.pid} holds this unit" in err


# Held up, interrupted, refused: what an attack on these found


def test_an_alarm_in_a_signal_handler_is_not_undone_by_the_set_that_it_interrupted(
    rundir: Path, judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = Unit("u", rundir)
    unit.load([])
    rename = os.rename

    def interrupted(source: str, target: str) -> None:
        monkeypatch.setattr(os, "rename", rename)
        unit.set(7, "queue lost")
        rename(source, target)

    monkeypatch.setattr(os, "rename", interrupted)
    unit.set()
    assert judge() == "error 7: queue lost"
    unit.reset()


def test_a_declaration_whose_temporary_file_a_load_of_another_thread_removes_is_written(
    rundir: Path, judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = Unit("u", rundir)
    unit.load()
    rename = os.rename

    def interrupted(source: str, target: str) -> None:
        monkeypatch.setattr(os, "rename", rename)
        thread = threading.Thread(target=unit.load)
        thread.start()
        thread.join()
        rename(source, target)

    monkeypatch.setattr(os, "rename", interrupted)
    unit.set(7, "queue lost")
    assert judge() == "error 7: queue lost"
    unit.reset()


def test_an_alarm_in_a_signal_handler_stands_wherever_in_a_set_it_comes(puppet: Puppet, judge: Judge) -> None:
    puppet("liveness.load([])")
    puppet("inside = None")
    puppet(
        "def handler(number, frame):\n"
        "  global inside\n"
        "  inside = inside or any(f.f_code.co_name == '_declare' for f in iter_frames(frame))\n"
        "  liveness.set(7)"
    )
    puppet("def iter_frames(frame):\n  while frame: yield frame; frame = frame.f_back")
    puppet("signal.signal(signal.SIGALRM, handler)")
    puppet(
        "def call(delay):\n"
        "  global inside\n"
        "  inside = None\n"
        "  signal.setitimer(signal.ITIMER_REAL, delay)\n"
        "  unit = liveness.unit.find()\n"
        "  end = time.monotonic() + 0.05\n"
        "  while inside is None: liveness.Unit.set(unit)\n"
        "  return inside"
    )
    hits = 0
    for number in range(400):
        if puppet(f"call({0.0002 + number % 37 * 0.00003})"):
            hits += 1
            assert judge.python() == "error 7"
    assert hits > 100


def test_an_alarm_whose_words_or_number_cannot_be_rendered_is_an_alarm(rundir: Path, judge: Judge) -> None:
    class Wordless:
        def __str__(self) -> str:
            raise KeyError

        __repr__ = __str__

    unit = Unit("u", rundir)
    unit.load([])
    unit.set(7, Wordless())
    assert judge() == "error 7: no reason: KeyError in its text"
    for code in (Wordless(), 10**5000):
        unit.set()
        with pytest.raises(BadArgument):
            unit.set(code)  # type: ignore[arg-type]
        assert judge().startswith("error 1: error_code: ")
    unit.reset()


@needs_root
def test_an_alarm_gets_through_from_a_chroot(puppet: Puppet, judge: Judge, rundir: Path) -> None:
    puppet("liveness.load([])")
    puppet("liveness.set()")
    (rundir / "jail").mkdir()
    puppet(f"os.chroot({str(rundir / 'jail')!r})")
    with pytest.raises(PuppetError, match="its pid file still exists, and was emptied"):
        puppet("liveness.set(7)")
    assert judge() == "pid is not a number"


def test_who_was_refused_by_a_parent_does_not_end_its_life_on_the_way_out(puppets: Puppets, judge: Judge) -> None:
    parent = puppets()
    parent("liveness.load([])")
    parent("liveness.set()")
    for spawned in (False, True):
        # A forked child shares its parent's Unit, and a spawned one has its own.
        parent(
            "def child():\n"
            "  pid = os.fork()\n"
            "  if pid: return os.waitpid(pid, 0)[1]\n"
            f"  unit = liveness.Unit() if {spawned} else liveness\n"
            "  try: unit.load([])\n"
            "  except liveness.LivenessError: pass\n"
            "  try: unit.set(3)\n"
            "  except liveness.TakenOver: pass\n"
            "  unit.reset(); unit.beat(1)\n"
            "  os._exit(0)"
        )
        assert parent("child()") == 0
        assert judge() == f"healthy: process {parent.pid}, error 0, fresh heartbeats: 0"


def test_a_worker_that_a_check_has_forked_may_beat_and_raise_alarms(puppet: Puppet, rundir: Path, judge: Judge) -> None:
    # It was made in the middle of a load(), which has come to a life since.
    (rundir / "pool.py").write_text(
        "import os, liveness\n"
        "hear, told = os.pipe()\n"
        "def health():\n"
        "    global worker\n"
        "    worker = os.fork()\n"
        "    if not worker:\n"
        "        os.read(hear, 1); liveness.beat(9); liveness.set(7, 'worker sick'); os.read(hear, 1); os._exit(0)\n"
    )
    puppet("liveness.load(['pool'])")
    puppet("liveness.set()")
    assert puppet("import pool") is None
    worker = puppet("pool.worker")
    puppet("os.write(pool.told, b'x')")
    until(lambda: judge() == "error 7: worker sick")
    puppet("liveness.set()")
    assert judge() == f"healthy: process {puppet.pid}, error 0, fresh heartbeats: 1"
    assert (rundir / "u" / "beat" / f"worker.{worker}").exists()
    puppet("os.write(pool.told, b'x')")
    assert puppet("os.waitpid(pool.worker, 0)[1]") == 0


def test_who_failed_its_checks_changes_nothing_of_who_has_loaded_since(
    puppets: Puppets, judge: Judge, rundir: Path
) -> None:
    (rundir / "bad.py").write_text("def health(): return False\n")
    failed, other = puppets(), puppets()
    with pytest.raises(PuppetError, match="CheckFailed"):
        failed("liveness.load(['bad'])")
    failed("liveness.set(3)")  # nobody's life but its own
    other("liveness.load([])")
    other("liveness.set()")
    with pytest.raises(PuppetError, match="TakenOver: .* another process holds the unit"):
        failed("liveness.set(3)")
    failed("liveness.beat(1)")
    failed("liveness.reset()")
    assert judge() == f"healthy: process {other.pid}, error 0, fresh heartbeats: 0"
    other("liveness.reset()")
    failed("liveness.load([])")
    failed("liveness.set(4)")
    assert judge() == "error 4"


def test_of_two_that_load_at_once_one_that_never_said_so_is_never_healthy(
    puppets: Puppets, judge: Judge, rundir: Path
) -> None:
    # The second loads while the first is at any point of its life.
    for number in range(30):
        first, second = puppets(), puppets()
        first("liveness.load([])")
        first.tell(
            "for i in range(40):\n  try: liveness.set(); liveness.beat(1 + i)\n  except liveness.TakenOver: break"
        )
        if number % 2:
            (rundir / "slow.py").write_text("import time\ndef health(): time.sleep(0.003)\n")
            second("liveness.load(['slow'])")
        else:
            second("liveness.load([])")
        first.answer()
        assert judge.python() == f"not set (no error code in {rundir}/u)"
        for puppet in (first, second):
            puppet.kill()


HELD_UP = """
import os, sys, time, liveness
unit = liveness.Unit("u", {rundir!r})
unit.load([])
{before}
call, match = {call!r}
def held_up(*arguments, function=getattr(os, call), **keywords):
    if match in str(arguments[-1] if call == "rename" else arguments[0]):
        setattr(os, call, function)
        print("held up", flush=True)
        input()
    return function(*arguments, **keywords)
setattr(os, call, held_up)
try:
    {verb}
except liveness.TakenOver:
    pass
print("done", flush=True)
"""


@pytest.mark.parametrize(
    ("call", "verb"),
    [
        (("open", ".error."), "unit.set()"),
        (("rename", "/error"), "unit.set()"),
        (("rename", "/error"), "unit.set(3)"),
        (("rename", "/ready"), "unit.set_ready(False)"),
        (("open", ".main."), "unit.beat(1)"),
        (("rename", "/beat/main"), "unit.beat(1)"),
        (("unlink", "/error"), "unit.reset()"),
        (("unlink", "/start"), "unit.reset()"),
    ],
)
def test_a_writer_that_is_held_up_in_the_middle_changes_nothing_of_the_next_life(
    puppets: Puppets, judge: Judge, rundir: Path, call: tuple[str, str], verb: str
) -> None:
    before = "unit.set(); unit.set_ready(); unit.beat(9, 'other')"
    old = subprocess.Popen(
        [sys.executable, "-c", HELD_UP.format(rundir=str(rundir), before=before, call=call, verb=verb)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    try:
        assert old.stdout is not None
        assert old.stdin is not None
        assert old.stdout.readline() == "held up\n"
        new = puppets()
        new("liveness.load([])")
        if call[0] != "unlink":
            new("liveness.set(7, 'sick')")
        else:
            new("liveness.set()")
        # An unlink that is under way cannot be taken back; whatever comes after it is.
        kept = {path: path.read_bytes() for path in (rundir / "u").rglob("*") if path.is_file()}
        old.stdin.write("\n")
        old.stdin.flush()
        assert old.stdout.readline() == "done\n"
        left = {path: path.read_bytes() for path in (rundir / "u").rglob("*") if path.is_file()}
        if call[0] == "unlink":
            kept.pop(rundir / "u" / call[1].strip("/"), None)
        assert left == kept
    finally:
        old.kill()
        old.communicate()


@needs_root
def test_a_service_that_cannot_see_other_processes_starts_again_after_a_crash(rundir: Path) -> None:
    rundir.chmod(0o777)
    dead = subprocess.Popen(["true"])
    dead.wait()
    program = (
        f"{BECOME_NOBODY}\nunit = liveness.Unit('u', {str(rundir)!r})\n"
        f"os.makedirs(unit.path + '/beat')\n"
        f"for name, text in (('pid', '{dead.pid}'), ('start', '1'), ('beat/w.1', '1 1 {dead.pid} 1')):\n"
        "    open(f'{unit.path}/{name}', 'w').write(text)\n"
        "unit.load([])\n"
        f"os.makedirs(unit.path + '/beat', exist_ok=True)\n"
        f"for name in ('main', 'w.1'): open(f'{{unit.path}}/beat/{{name}}', 'w').write('1 1 {dead.pid} 1')\n"
        "unit.beat(9); unit.beat(9, 'w.2'); unit.set()\n"
        "main = open(unit.path + '/beat/main').read().split()[2]\n"
        "print(sorted(os.listdir(unit.path + '/beat')), main == str(os.getpid()))\n"
    )
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c",
         "mount -t proc -o hidepid=2 proc /proc && exec \"$0\" -c \"$1\"", sys.executable, program],
        capture_output=True, text=True, timeout=30, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    # A beat that may be a living one's is not swept.
    assert done.stdout == "['main', 'w.1', 'w.2'] True\n", done.stderr
