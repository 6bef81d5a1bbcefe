"""Checks run in parallel, each within its timeout and all within a deadline, and a hang costs no caller more."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import threading
import time
import types
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio
from hypothesis import given, settings
from hypothesis import strategies as st
from services import Redis
from stage import ROOT, Puppet, until
from werkzeug import Response

import liveness
from liveness import Unit, probe
from liveness.checks import Check, Report, Result, prepare, refusal, run
from liveness.monitor import Monitor


def passes() -> None:
    pass


def refuses() -> bool:
    return False


def breaks() -> None:
    raise ConnectionError("no route to the database of mr. smith")


class Gate:
    """A check that hangs until it is opened, and counts who came."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.came = 0

    def __call__(self) -> None:
        self.came += 1
        self.opened.wait(60)


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.opened.set()


def outcomes(report: Report) -> dict[str, str]:
    return {result.name: result.outcome for result in report.results}


def check_threads() -> int:
    return sum(thread.name.startswith("liveness-check-") for thread in threading.enumerate())


# What passes and what fails


def test_a_check_fails_by_raising_or_by_something_that_equals_false() -> None:
    returned: list[object] = [None, True, "", [], 1, False, 0, 0.0]
    report = run([Check(f"{number}", partial(next, iter([value]))) for number, value in enumerate(returned)])
    assert [result.passed for result in report.results] == [True] * 5 + [False] * 3
    assert report.results[5].reason.startswith("returned False")
    assert outcomes(run([Check("breaks", breaks)])) == {"breaks": "failed"}


def _generator() -> Iterator[int]:
    yield 1


async def _async_generator() -> AsyncIterator[int]:
    yield 1


async def _later(value: object) -> object:
    return value


class Later:
    def __await__(self) -> Iterator[None]:
        yield


class Health(Enum):
    UP = 1
    DOWN = 2


# Values of which a plain look at their truth, or at None, would make a success.
REFUSED: dict[str, Callable[[], object]] = {
    "False": lambda: False,
    "0": lambda: 0,
    "a tuple that begins with False": lambda: (False, "no queue"),
    "a false Verdict": lambda: probe.live("nobody", "/nowhere"),
    "a false Report": lambda: run([Check("inner", breaks)]),
    "a generator": _generator,
    "an async generator": _async_generator,
    "a function that was not called": lambda: breaks,
    "a class": lambda: ValueError,
    "a coroutine in a coroutine": lambda: _later(Later()),
    "a map that nothing has read": lambda: map(bool, [0]),
    "a future that nothing has read": Future,
    "a tuple of False and 0": lambda: (0, "no queue"),
    "a tuple of a word and a status": lambda: ("DOWN", 503),
    "a text and an error status": lambda: ("queue lost", 503),
    "a tuple of None and a reason": lambda: (None, "no queue"),
    "a tuple of a generator": lambda: (_generator(), ""),
    "a status that is down": lambda: {"status": "DOWN"},
    "a status that is not known": lambda: {"status": "gone fishing"},
    "a status that is false": lambda: {"Status": False},
    "a status of HTTP": lambda: {"status": 503},
    "a good status that is not healthy": lambda: {"status": "UP", "healthy": False},
    "what MongoDB says of a ping that failed": lambda: {"ok": 0.0},
    "DOWN": lambda: "DOWN",
    "bytes": lambda: b"out of service\n",
    "an enumeration": lambda: Health.DOWN,
    "an object with a status": lambda: types.SimpleNamespace(status="down"),
    "a response": lambda: types.SimpleNamespace(status_code=503),
    "an exception": lambda: ConnectionError("no queue"),
    "a list of results": lambda: [True, False],
    "a response of Flask": lambda: Response("no queue", 503),
    "a response of Flask in JSON": lambda: Response('{"status": "DOWN"}', 200, content_type="application/json"),
    "a view of Flask": lambda: (Response("no queue"), 503),
}


@pytest.mark.parametrize("call", REFUSED.values(), ids=REFUSED)
def test_a_false_value_and_code_that_has_not_run_are_failures(call: Callable[[], object], rundir: Path) -> None:
    (result,) = run([Check("x", call)]).results
    assert result.outcome == "failed"
    assert result.reason.startswith("returned ")
    module = types.ModuleType("wrong_checks")
    module.health = call  # type: ignore[attr-defined]
    sys.modules["wrong_checks"] = module
    try:
        with pytest.raises(liveness.CheckFailed, match=r"^wrong_checks: health\(\) (returned|is a coroutine)"):
            Unit("u", rundir).load(["wrong_checks"])
    finally:
        del sys.modules["wrong_checks"]
    with pytest.raises(liveness.CheckFailed, match=r": it (returned|is a coroutine)") as caught:
        Unit("u", rundir).load([call])
    assert caught.value.name == f"{call.__module__}.{call.__qualname__}"
    assert not (rundir / "u" / "pid").exists()


GOOD = [
    True, 1, (True, ""), (True, 503), "no", "PONG", b"PONG", (1,), ("fine", 200), {"rows": 1}, {"status": "UP"},
    {"status": "green"}, {"status": 200}, {"ok": 1.0}, [1], Health.UP, Response("fine"), (Response("fine"), 200),
    Response('{"status": "UP"}', content_type="application/json"), types.SimpleNamespace(status=200, ok=lambda: False),
    types.SimpleNamespace(status="running"), object(),
]  # fmt: skip
EMPTY: list[object] = [None, "", [], (), {}]


@pytest.mark.parametrize("value", [*GOOD, *EMPTY], ids=lambda value: type(value).__name__)
def test_any_other_value_is_a_success(value: object, rundir: Path) -> None:
    assert run([Check("x", lambda: value)])
    unit = Unit("u", rundir)
    unit.load([lambda: value])
    assert (rundir / "u" / "pid").exists()
    unit.reset()


@pytest.mark.parametrize("value", [*GOOD, *EMPTY, 0], ids=lambda value: type(value).__name__)
def test_where_the_truth_decides_an_empty_value_is_a_failure(value: object) -> None:
    assert bool(refusal(value, by_truth=True)) is not bool(value)


def test_the_reason_of_a_tuple_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    run([Check("queue", lambda: (False, "queue lost"))])
    assert caplog.messages == ["liveness: check 'queue' failed: returned False: queue lost"]


# One check after another, for load()


def test_load_runs_modules_with_its_arguments_and_callables_without_any_in_their_order(
    tmp_path: Path, rundir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "of_load.py").write_text("seen = []\ndef health(*args, **kwargs): seen.append((args, kwargs))\n")
    monkeypatch.syspath_prepend(tmp_path)
    import importlib

    seen = importlib.import_module("of_load").seen
    unit = Unit("u", rundir)
    checks: list[Callable[[], object] | str] = ["of_load", lambda: seen.append("callable"), "of_load"]
    unit.load(iter(checks), 7, config="c")
    assert seen == [((7,), {"config": "c"}), "callable", ((7,), {"config": "c"})]
    unit.reset()


def test_load_ends_with_the_first_check_that_fails_and_passes_exceptions_on(rundir: Path) -> None:
    ran: list[str] = []
    unit = Unit("u", rundir)
    with pytest.raises(liveness.CheckFailed):
        unit.load([refuses, lambda: ran.append("later")])
    with pytest.raises(ConnectionError):
        unit.load([breaks, lambda: ran.append("later")])
    with pytest.raises(ModuleNotFoundError):
        unit.load(["of_load.not_there", lambda: ran.append("later")])
    assert ran == []
    assert not (rundir / "u" / "pid").exists()


def test_load_refuses_a_coroutine_that_nobody_would_await(rundir: Path) -> None:
    async def check() -> None:
        pass

    # Without a warning that it was never awaited, which is an error here.
    with pytest.raises(liveness.CheckFailed, match=r"check: it is a coroutine function, which load\(\) cannot await"):
        Unit("u", rundir).load([check])


@pytest.mark.parametrize(
    ("checks", "words"),
    [
        ("app.checks", "checks: 'app.checks': must be a list"),
        (passes, "must be a list of module names or callables"),
        ([7], "checks: 7: neither the dotted path of a module nor a callable"),
        ([""], "checks: '': neither"),
        ([Check("x", passes)], "neither the dotted path of a module nor a callable"),
    ],
)
def test_load_refuses_anything_else_before_it_touches_the_state(rundir: Path, checks: Any, words: str) -> None:
    unit = Unit("u", rundir)
    unit.load()
    unit.set()
    with pytest.raises(liveness.BadArgument) as caught:
        unit.load(checks)
    assert words in str(caught.value)
    assert probe.live("u", rundir)
    unit.reset()


# In parallel


def test_a_caller_with_a_short_deadline_does_not_decide_for_a_caller_with_a_longer_one(gate: Gate) -> None:
    check = Check("slow", gate, timeout=60)
    assert not run([check], deadline=0.05)
    threading.Timer(0.2, gate.opened.set).start()
    assert run([check])
    assert gate.came == 1


def test_a_log_handler_that_raises_does_not_stop_a_run() -> None:
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise ValueError

    handler = Broken()
    logging.getLogger("liveness").addHandler(handler)
    try:
        assert outcomes(run([Check("x", refuses)])) == {"x": "failed"}
    finally:
        logging.getLogger("liveness").removeHandler(handler)


def test_an_async_check_that_exits_is_a_failure_without_a_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    async def leaves() -> None:
        raise SystemExit(3)

    (result,) = run([Check("x", leaves)]).results
    assert (result.outcome, result.reason) == ("failed", "RuntimeError: SystemExit: 3")
    assert capfd.readouterr().err == ""


def test_a_check_may_be_async_and_its_limit_cancels_it() -> None:
    cancelled = threading.Event()

    async def hangs() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async def refuses_later() -> bool:
        await asyncio.sleep(0)
        return False

    report = run([Check("hangs", hangs, timeout=0.2), Check("refuses", refuses_later, timeout=30)])
    assert outcomes(report) == {"hangs": "timed out", "refuses": "failed"}
    assert cancelled.wait(20)

    async def fine() -> None:
        await asyncio.sleep(0)

    assert run([fine])


# In the application's event loop


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """One that runs in another thread, as an application's does."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    until(loop.is_running)
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_a_client_of_the_applications_loop_is_healthy_and_the_application_goes_on(
    loop: asyncio.AbstractEventLoop, rundir: Path
) -> None:
    errors: list[redis.RedisError] = []
    ended = threading.Event()

    async def application(client: redis.asyncio.Redis) -> None:
        while not ended.is_set():
            try:
                await client.incr("visits")
            except redis.RedisError as error:
                errors.append(error)
                await asyncio.sleep(0.01)
        await client.aclose()

    unit = Unit("u", rundir)
    unit.load()
    with Redis() as server:
        client = redis.asyncio.Redis(port=server.port, max_connections=2)
        working = asyncio.run_coroutine_threadsafe(application(client), loop)
        with Monitor([Check("redis", client.ping, timeout=20, loop=loop)], 0.01, unit=unit) as monitor:
            until(lambda: monitor.report)
            for _ in range(30):
                last = monitor.report
                until(lambda last=last: monitor.report is not last)  # type: ignore[misc]
                assert monitor.report
            assert errors == []
            server.stop()
            until(lambda: not monitor.report)
            server.start()
            until(lambda: monitor.report)
        ended.set()
        working.result(20)
    unit.reset()


def test_a_check_in_a_loop_is_cancelled_at_its_limit_and_runs_once(loop: asyncio.AbstractEventLoop) -> None:
    running: list[bool] = []

    async def hangs() -> None:
        running.append(True)
        try:
            await asyncio.sleep(600)
        finally:
            running.pop()

    check = Check("x", hangs, timeout=0.1, loop=loop)
    assert run([check]).results[0].reason == "no answer within 0.1 s"
    until(lambda: not running and check._pending is None)

    # Of a loop that is blocked one coroutine waits, and not one of each run.
    gate = threading.Event()
    loop.call_soon_threadsafe(gate.wait, 60)
    for _ in range(3):
        assert outcomes(run([check])) == {"x": "timed out"}
    ended: list[bool] = []
    gate.set()
    loop.call_soon_threadsafe(lambda: ended.append(len(asyncio.all_tasks(loop)) <= 1))
    until(lambda: ended)
    assert ended == [True]


def test_a_check_in_a_loop_that_does_not_run_fails_and_says_so() -> None:
    loop = asyncio.new_event_loop()
    (result,) = run([Check("x", lambda: _later(True), loop=loop)]).results
    assert (result.outcome, result.reason) == ("failed", "LivenessError: its event loop does not run")
    loop.close()
    assert not run([Check("x", lambda: _later(True), loop=loop)])


def test_run_in_the_loop_of_a_check_is_refused_and_in_a_thread_it_passes() -> None:
    async def main() -> None:
        check = Check("x", lambda: _later(True), loop=asyncio.get_running_loop())
        with pytest.raises(liveness.BadArgument, match=r"x: run\(\) would block .* asyncio.to_thread\(run, checks\)"):
            run([check])
        assert await asyncio.to_thread(run, [check])
        # Of another loop, or of none, it is the caller's business to block.
        assert run([Check("y", lambda: _later(True))])

    asyncio.run(main())


def test_a_loop_that_ends_under_a_check_fails_it(rundir: Path) -> None:
    puppet = Puppet(rundir)
    try:
        puppet(
            "import asyncio; from liveness.checks import Check, run; loop = asyncio.new_event_loop();"
            "began = threading.Event()"
        )
        puppet("async def hangs(): began.set(); await asyncio.sleep(600)")
        puppet("thread = threading.Thread(target=loop.run_forever); thread.start()")
        puppet("check = Check('x', hangs, timeout=60, loop=loop); reports = []")
        puppet("asker = threading.Thread(target=lambda: reports.append(run([check]))); asker.start(); began.wait(20)")
        puppet("loop.call_soon_threadsafe(loop.stop); thread.join(); asker.join(20)")
        assert puppet("reports[0].results[0].reason") == "LivenessError: its event loop has stopped"
    finally:
        puppet.kill()


def test_a_check_may_be_the_name_of_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "of_checks_ok.py").write_text("def health(): return True")
    (tmp_path / "of_checks_bad.py").write_text("def health(): return 0")
    (tmp_path / "of_checks_none.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    report = run(["of_checks_ok", "of_checks_bad", "of_checks_none", "of_checks.not_there"])
    assert [result.outcome for result in report.results] == ["passed", "failed", "failed", "failed"]
    assert "has no health()" in report.results[2].reason
    assert "ModuleNotFoundError" in report.results[3].reason


class Wordless(Exception):
    def __str__(self) -> str:
        raise ValueError


@pytest.mark.parametrize("error", [SystemExit(0), KeyboardInterrupt(), GeneratorExit(), Wordless(), MemoryError()])
def test_nothing_that_a_check_raises_gets_through(error: BaseException) -> None:
    def check() -> None:
        raise error

    (result,) = run([Check("x", check)]).results
    assert result.outcome == "failed"
    assert result.reason.startswith(type(error).__name__)


def test_a_result_that_cannot_be_compared_is_a_failure() -> None:
    class Odd:
        def __eq__(self, other: object) -> bool:
            raise TypeError("not with me")

        __hash__ = None  # type: ignore[assignment]

    assert outcomes(run([Check("odd", Odd)])) == {"odd": "failed"}


# The verdict


def test_a_failed_check_that_is_not_critical_degrades_the_verdict() -> None:
    side = Check("side", refuses, critical=False)
    assert run([Check("a", passes)]).verdict == "passed"
    degraded = run([Check("a", passes), side])
    assert (degraded.verdict, bool(degraded)) == ("degraded", True)
    failed = run([Check("a", refuses), side])
    assert (failed.verdict, bool(failed)) == ("failed", False)
    assert run([]).verdict == "passed"


def test_only_a_detailed_report_contains_reasons() -> None:
    report = run([Check("db", breaks), Check("cache", passes)])
    assert report.summary == "db failed"
    assert "smith" not in str(report.as_dict())
    assert report.as_dict()["checks"] == {
        "db": {"outcome": "failed", "critical": True},
        "cache": {"outcome": "passed", "critical": True},
    }
    detailed = report.as_dict(detailed=True)["checks"]
    assert isinstance(detailed, dict)
    assert detailed["db"]["reason"] == "ConnectionError: no route to the database of mr. smith"
    assert 0 <= detailed["cache"]["duration"] < 20


def test_a_failure_is_logged_when_it_begins_and_when_it_ends(caplog: pytest.LogCaptureFixture) -> None:
    wrong = [True]
    check = Check("db", lambda: breaks() if wrong else None)
    with caplog.at_level(logging.INFO, "liveness"):
        for _ in range(3):
            run([check])
        assert [record.getMessage() for record in caplog.records if record.name == "liveness"] == [
            "liveness: check 'db' failed: ConnectionError: no route to the database of mr. smith"
        ]
        wrong.clear()
        for _ in range(3):
            run([check])
    assert [record.getMessage() for record in caplog.records if record.name == "liveness"][1:] == [
        "liveness: check 'db' passes again"
    ]


# Time


def test_all_checks_run_at_the_same_time() -> None:
    together = threading.Barrier(20)

    def meet() -> None:
        # Until all the others have come.
        together.wait(20)

    assert run([Check(f"{number}", meet, timeout=30) for number in range(20)])


def test_a_check_that_hangs_costs_its_limit_and_the_others_nothing(gate: Gate) -> None:
    begin = time.monotonic()
    report = run([Check("hangs", gate, timeout=0.3), Check("passes", passes, timeout=30)])
    assert 0.3 <= time.monotonic() - begin < 10
    assert outcomes(report) == {"hangs": "timed out", "passes": "passed"}
    assert report.results[0].reason == "no answer within 0.3 s"


def test_no_run_takes_longer_than_its_deadline(gate: Gate) -> None:
    begin = time.monotonic()
    report = run([Check(f"{number}", gate, timeout=60) for number in range(5)], deadline=0.3)
    assert time.monotonic() - begin < 10
    assert {result.reason for result in report.results} == {"no answer within the deadline of 0.3 s"}


@pytest.mark.parametrize("bare", [False, True])
def test_a_check_that_never_returns_is_started_once_however_often_it_is_run(gate: Gate, bare: bool) -> None:
    check: Check | Callable[[], None] = gate if bare else Check("hangs", gate, timeout=0.2)
    until(lambda: not check_threads())
    report = run([check], deadline=0.2)
    assert not report
    begin = time.monotonic()
    for _ in range(1000):
        (result,) = run([check]).results
        assert result.outcome == "timed out"
    # At once, and not each after its limit.
    assert time.monotonic() - begin < 100
    assert result.reason.startswith("still running after ")
    assert gate.came == 1
    assert check_threads() == 1
    gate.opened.set()
    # On a busy machine the first of these may be late again.
    until(lambda: run([check]))
    assert gate.came >= 2


def test_callers_that_need_a_running_check_get_the_same_result(gate: Gate) -> None:
    check = Check("slow", gate, timeout=30)
    reports: list[Report] = []
    threads = [threading.Thread(target=lambda: reports.append(run([check]))) for _ in range(8)]
    for thread in threads:
        thread.start()
    until(lambda: gate.came)
    gate.opened.set()
    for thread in threads:
        thread.join()
    assert all(reports)
    assert gate.came < 8


def test_a_result_after_the_timeout_is_discarded(gate: Gate) -> None:
    check = Check("late", gate, timeout=0.2, max_age=1000)
    assert not run([check])
    gate.opened.set()
    until(lambda: check._pending is None)
    until(lambda: run([check]))
    assert gate.came >= 2


def test_every_run_calls_the_check_unless_it_has_a_max_age() -> None:
    counts = {"fresh": 0, "kept": 0, "broken": 0}

    def count(name: str) -> None:
        counts[name] += 1
        if name == "broken":
            raise ValueError

    checks = [
        Check("fresh", lambda: count("fresh")),
        Check("kept", lambda: count("kept"), max_age=1000),
        Check("broken", lambda: count("broken"), max_age=1000, failure_max_age=0),
    ]
    for _ in range(3):
        run(checks)
    assert counts == {"fresh": 3, "kept": 1, "broken": 3}


def test_a_result_is_used_again_until_its_max_age_is_over() -> None:
    runs = [0]
    check = Check("x", lambda: runs.__setitem__(0, runs[0] + 1), max_age=0.3)
    run([check])
    until(lambda: run([check]) and runs[0] == 2)


def test_failures_can_also_be_cached() -> None:
    runs = [0]

    def check() -> bool:
        runs[0] += 1
        return False

    kept = Check("x", check, failure_max_age=1000)
    assert not run([kept])
    assert not run([kept])
    assert runs == [1]


def test_a_hung_check_does_not_delay_the_end_of_the_process() -> None:
    program = (
        "import asyncio, time; from liveness.checks import Check, run\n"
        "async def hangs(): time.sleep(1000)\n"
        "print(run([Check('a', lambda: time.sleep(1000), timeout=0.1), Check('b', hangs, timeout=0.1)]).verdict)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, env=environment, check=True
    )
    assert done.stdout == "failed\n"


def test_a_child_process_does_not_wait_for_the_pending_runs_of_its_parent(gate: Gate) -> None:
    check = Check("hangs", gate, timeout=0.1)
    run([check])
    child = os.fork()
    if not child:
        gate.opened.set()
        os._exit(0 if run([Check("other", passes)]) and run([check]) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_child_that_is_forked_while_a_check_begins_runs_checks_and_threads() -> None:
    for _ in range(20):
        checks = [Check(name, passes) for name in ("a", "b")]
        checks[0]._begin()
        child = os.fork()
        if not child:
            try:
                is_alone = threading.active_count() == 1
                os._exit(0 if is_alone and run(checks) else 1)
            finally:
                os._exit(2)
        assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("has_begun", [False, True])
def test_a_signal_that_interrupts_the_start_does_not_leave_a_run_without_an_end(
    monkeypatch: pytest.MonkeyPatch, has_begun: bool
) -> None:
    """The handlers of some raise, to end what takes too long."""
    start = threading.Thread.start

    def interrupted(self: threading.Thread) -> None:
        if has_begun:
            start(self)
        raise InterruptedError

    check = Check("x", passes, timeout=30)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", interrupted)
        with pytest.raises(InterruptedError):
            run([check])
    assert run([check])


def test_a_thread_that_cannot_be_started_is_a_failed_check(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", none_left)
        (result,) = run([Check("x", passes)]).results
    assert result.reason == "cannot run: can't start new thread"
    assert run([Check("x", passes)])


def test_bare_checks_are_forgotten_when_they_have_ended() -> None:
    from liveness.checks import parallel

    run([lambda: None])
    run([[].append, lambda: 1])  # type: ignore[list-item]
    with pytest.raises(liveness.BadArgument):
        run([lambda: None, 42])  # type: ignore[list-item]
    assert parallel._shared == {}


# Arguments


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"name": ""}, "name: ''"),
        ({"name": "a\nb"}, "must be printable"),
        ({"name": 7}, "name: 7"),
        ({"call": 7}, "call: 7: neither a callable nor the dotted path"),
        ({"call": "not a path"}, "neither a callable"),
        ({"timeout": 0}, "x: timeout: 0: must be more than 0"),
        ({"timeout": -1}, "timeout: -1"),
        ({"timeout": float("nan")}, "timeout: nan"),
        ({"timeout": float("inf")}, "timeout: inf"),
        ({"timeout": None}, "timeout: None"),
        ({"loop": 7}, "x: loop: 7: must be an event loop"),
        ({"max_age": "5"}, "max_age: '5'"),
        ({"failure_max_age": True}, "failure_max_age: True"),
    ],
)
def test_bad_arguments_fail_when_they_are_made(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(liveness.BadArgument, match=words):
        Check(**{"name": "x", "call": passes, **arguments})  # type: ignore[arg-type]


def test_duplicate_names_are_refused() -> None:
    with pytest.raises(liveness.BadArgument, match="'x': two checks have this name"):
        run([Check("x", passes), Check("x", refuses)])
    with pytest.raises(liveness.BadArgument, match="two checks have this name"):
        prepare([passes, passes])
    with pytest.raises(liveness.BadArgument, match="must be a list"):
        run("app.checks")
    with pytest.raises(liveness.BadArgument, match="deadline: -1"):
        run([passes], deadline=-1)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["passed", "failed", "timed out"]), st.booleans()), max_size=6))
def test_the_verdict_is_the_worst_critical_result(results: list[tuple[str, bool]]) -> None:
    report = Report(Result(f"{n}", outcome, 0.0, "", critical, 0.0) for n, (outcome, critical) in enumerate(results))
    bad = [critical for outcome, critical in results if outcome != "passed"]
    assert report.verdict == ("failed" if any(bad) else "degraded" if bad else "passed")
    assert bool(report) is not any(bad)
    assert (report.summary == "") is (not bad)


# After a time-out


def test_a_check_that_timed_out_is_run_again_and_nobody_waits_until_it_has_finished_in_time(gate: Gate) -> None:
    check = Check("slow", gate, timeout=0.2, timeout_ttl=60)
    assert run([check]).results[0].reason == "no answer within 0.2 s"
    gate.opened.set()
    until(lambda: check._pending is None)
    gate.opened.clear()
    begin = time.monotonic()
    report = run([check])
    assert report.results[0].outcome == "timed out"
    assert report.results[0].reason == "timed out the last time, and has not answered yet"
    assert time.monotonic() - begin < 0.15
    until(lambda: gate.came == 2)
    # That one was prompt enough, so the next is waited for.
    gate.opened.set()
    until(lambda: check._pending is None)
    assert run([check]).results[0].passed


def test_a_check_that_timed_out_is_waited_for_again_after_timeout_ttl(gate: Gate) -> None:
    check = Check("slow", gate, timeout=0.2, timeout_ttl=0.3)
    assert not run([check])
    gate.opened.set()
    until(lambda: check._pending is None)
    late = check._timed_out_at
    assert late is not None
    until(lambda: time.monotonic() - late > 0.3)
    assert run([check])


def test_a_result_after_the_deadline_but_within_the_timeout_is_waited_for_next_time() -> None:
    wait = [0.3, 0.0]
    check = Check("slow", lambda: time.sleep(wait.pop(0)), timeout=20, timeout_ttl=60)
    assert not run([check], deadline=0.1)
    until(lambda: check._pending is None)
    assert run([check], deadline=10)
