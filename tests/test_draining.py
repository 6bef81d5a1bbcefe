"""liveness.drain: not ready at once, work for a while, then the application's own stop."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import pytest
from judge import Judge
from stage import Puppet, PuppetError, until

Puppets = Callable[..., Puppet]


def loaded(puppet: Puppet) -> Puppet:
    puppet("liveness.load(); liveness.set()")
    return puppet


def test_a_program_that_drains_is_not_ready_at_once_and_stops_in_its_own_way_later(
    puppet: Puppet, judge: Judge
) -> None:
    loaded(puppet)("got = []; signal.signal(signal.SIGTERM, lambda *given: got.append((time.monotonic(), given[0])))")
    puppet("liveness.drain(signal.SIGTERM, 1.5)")
    begin = time.monotonic()
    puppet.signal(signal.SIGTERM)
    until(lambda: judge.python(mode="ready") == "not ready: draining")
    assert puppet("got") == []
    assert judge().startswith("healthy")
    until(lambda: puppet("got"))
    ((at, number),) = puppet("got")
    assert (at - begin >= 1.5, number) == (True, signal.SIGTERM)
    # The handler is the application's again.
    puppet.signal(signal.SIGTERM)
    until(lambda: len(puppet("got")) == 2)


def test_a_program_without_a_handler_ends_by_the_signal(puppet: Puppet, judge: Judge) -> None:
    loaded(puppet)("liveness.drain(signal.SIGTERM, 0.5)")
    puppet.signal(signal.SIGTERM)
    until(lambda: judge.python(mode="ready") == "not ready: draining")
    assert puppet.process.wait(20) == -signal.SIGTERM


def test_a_second_signal_stops_at_once(puppet: Puppet, judge: Judge) -> None:
    loaded(puppet)("liveness.drain(signal.SIGTERM, 600)")
    # Python does not see a signal that arrives just before a read that waits.
    puppet.tell("while True: time.sleep(0.02)")
    puppet.signal(signal.SIGTERM)
    until(lambda: judge.python(mode="ready") == "not ready: draining")
    puppet.signal(signal.SIGTERM)
    assert puppet.process.wait(20) == -signal.SIGTERM


def test_a_child_that_is_ended_does_not_drain_its_parent(puppet: Puppet, judge: Judge) -> None:
    loaded(puppet)("liveness.drain(signal.SIGTERM, 600)")
    # Python forgets a signal that arrives while it still prepares the child.
    puppet(
        "ready, told = os.pipe()\nchild = os.fork()\nif not child: os.write(told, b'.'); time.sleep(100); os._exit(0)"
    )
    puppet("os.read(ready, 1); os.kill(child, signal.SIGTERM)")
    assert puppet("os.waitpid(child, 0)[1]") == signal.SIGTERM
    assert judge(mode="ready").startswith("healthy")


def test_a_stop_follows_even_if_nobody_can_be_told(puppet: Puppet) -> None:
    loaded(puppet)("liveness.drain(signal.SIGTERM, 0.1); liveness.reset()")
    puppet.signal(signal.SIGTERM)
    assert puppet.process.wait(20) == -signal.SIGTERM


def test_a_signal_that_was_ignored_is_still_ignored_after_the_drain(puppet: Puppet, judge: Judge) -> None:
    loaded(puppet)("signal.signal(signal.SIGUSR1, signal.SIG_IGN); liveness.drain(signal.SIGUSR1, 0)")
    puppet.signal(signal.SIGUSR1)
    until(lambda: puppet("signal.getsignal(signal.SIGUSR1) == signal.SIG_IGN"))
    assert judge().startswith("healthy")


@pytest.mark.parametrize("seconds", ["-1", "'5'", "None", "True", "float('nan')", "10**9"])
def test_a_time_that_is_none_is_refused(puppet: Puppet, seconds: str) -> None:
    with pytest.raises(PuppetError, match="BadArgument: seconds: "):
        loaded(puppet)(f"liveness.drain(signal.SIGTERM, {seconds})")
    assert puppet("signal.getsignal(signal.SIGTERM) == signal.SIG_DFL")
