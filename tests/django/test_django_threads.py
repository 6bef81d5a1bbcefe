"""The threads of probes: how many there are, what becomes of them, and children that have none of them."""

from __future__ import annotations

import gc
import os
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.http import HttpRequest
from stage import until

from liveness.django import readiness
from liveness.django.probes import NotReady, ReadinessProbe


class Gate(ReadinessProbe):
    """Waits where it is closed."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.asked: list[tuple[int, HttpRequest | None]] = []

    def ready(self, request: HttpRequest | None) -> None:
        self.asked.append((threading.get_ident(), request))
        self.open.wait(20)


@pytest.fixture
def threads() -> Callable[[], int]:
    """How many there are more than before."""
    before = threading.active_count()
    return lambda: threading.active_count() - before


def test_many_who_ask_at_once_and_without_end_share_what_there_is(threads: Callable[[], int]) -> None:
    gate = Gate()
    made = readiness.Readiness([gate])
    most = 0
    with ThreadPoolExecutor(8) as many:
        for refusal in many.map(lambda _: made.ready(), range(500)):
            assert refusal is None
            most = max(most, threads())
    assert most <= 8 + 3
    until(lambda: threads() <= 0)


def test_one_that_hung_serves_again_when_it_is_free(threads: Callable[[], int]) -> None:
    gate = Gate()
    made = readiness.Readiness([gate])
    for _ in range(3):
        gate.open.clear()
        for _ in range(20):
            assert made.ready() is not None
        assert threads() == 1
        gate.open.set()
        until(lambda: made.ready() is None)
    until(lambda: threads() <= 0)


def test_a_child_that_was_forked_asks_with_threads_of_its_own() -> None:
    gate = Gate()
    made = readiness.Readiness([gate])
    assert made.ready() is None
    # Once none runs, and once one does.
    for is_busy in (False, True):
        if is_busy:
            gate.open.clear()
            assert made.ready() is not None
        child = os.fork()
        if child == 0:
            gate.open = threading.Event()
            gate.open.set()
            # Who asked in the parent got no answer in time: the first here does not wait for one.
            made.ready()
            until(lambda: made.ready() is None)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    gate.open.set()


def test_the_request_is_that_of_one_who_asks() -> None:
    gate = Gate()
    made = readiness.Readiness([gate])
    requests = [HttpRequest() for _ in range(5)]
    for request in requests:
        made.ready(request)
    assert [request for _, request in gate.asked] == requests


def test_two_probes_of_one_class_have_a_name_each() -> None:
    made = readiness.Readiness([Gate(), Gate(), Gate()])
    assert [check.name for check in made.checks] == ["Gate", "Gate 2", "Gate 3"]
    assert made.ready() is None


def test_what_was_registered_as_a_probe_is_one() -> None:
    class Duck:
        def ready(self, request: HttpRequest | None) -> None:
            raise ZeroDivisionError

    ReadinessProbe.register(Duck)
    refusal = readiness.Readiness([Duck()]).ready()  # type: ignore[list-item]
    assert refusal is not None
    assert refusal.content == "Not ready"


def test_a_refusal_that_is_kept_holds_nothing_of_what_was_worked_on() -> None:
    class Connection:
        pass

    gone = []

    class Holding(ReadinessProbe):
        def ready(self, request: HttpRequest | None) -> None:
            connection = Connection()
            gone.append(weakref.ref(connection))
            error = OSError("lost")
            error.connection = connection  # type: ignore[attr-defined]
            raise NotReady("lost") from error

    gc.disable()
    try:
        made = readiness.Readiness([Holding()])
        assert made.ready() is not None
        assert made.checks[0]._refusal is not None
        until(lambda: gone[0]() is None)
    finally:
        gc.enable()


def test_an_end_of_the_program_within_a_probe_is_a_refusal() -> None:
    class Ending(ReadinessProbe):
        def ready(self, request: HttpRequest | None) -> None:
            raise SystemExit(3)

    assert readiness.Readiness([Ending()]).ready() is not None


def test_an_exception_without_a_text_is_a_refusal() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise ValueError

    class Raising(ReadinessProbe):
        def ready(self, request: HttpRequest | None) -> None:
            raise Mute

    refusal = readiness.Readiness([Raising()]).ready()
    assert refusal is not None
    assert refusal.content == "Not ready"


def test_a_handler_of_the_log_that_raises_does_not_change_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing(ReadinessProbe):
        def ready(self, request: HttpRequest | None) -> None:
            raise NotReady("no")

    def broken(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(readiness.logger, "error", broken)
    refusal = readiness.Readiness([Refusing()]).ready()
    assert refusal is not None
    assert refusal.content == "no"
