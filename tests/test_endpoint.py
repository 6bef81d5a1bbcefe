"""What all HTTP endpoints have in common: status codes, and the unit that an application has joined."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from stage import until

from liveness import BadArgument, Unit, endpoint
from liveness.checks import Check
from liveness.monitor import Monitor


def test_for_a_kubelet_one_status_means_success_and_the_other_means_failure() -> None:
    assert 200 <= endpoint.status(True) < 400
    assert endpoint.status(False) >= 400


@pytest.mark.parametrize("unit", [None, False])
def test_without_a_unit_there_is_no_verdict(unit: Any) -> None:
    joined = endpoint.Joined(unit)
    assert not joined
    assert joined.live() is None
    assert joined.ready() is None


def test_the_verdict_is_the_verdict_of_the_probe(rundir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVENESS_RUNDIR", str(rundir))
    unit = Unit("u")
    named = endpoint.Joined("u"), endpoint.Joined(unit)
    monkeypatch.setenv("LIVENESS_UNIT_NAME", "u")
    for joined in (*named, endpoint.Joined(True)):
        assert str(joined.live()) == f"liveness: u: not loaded (no pid in {rundir}/u)"
    unit.load([])
    unit.set()
    unit.set_ready(False, "draining")
    for joined in (*named, endpoint.Joined(True)):
        live, ready = joined.live(), joined.ready()
        assert live is not None
        assert live.healthy
        assert ready is not None
        assert (ready.healthy, ready.reason) == (False, "not ready: draining")
    unit.reset()


def test_a_failed_check_of_a_monitor_makes_the_unit_not_ready_and_leaves_it_alive(rundir: Path) -> None:
    unit = Unit("u", rundir)
    unit.load()
    unit.set()
    joined = endpoint.Joined(unit)
    with Monitor([Check("db", lambda: False)], 0.02, unit=unit):
        until(lambda: "failed" in str(joined.ready()))
        assert str(joined.ready()) == "liveness: u: not ready: db failed (monitor)"
        assert joined.live()
    assert joined.ready()
    unit.reset()


@pytest.mark.parametrize("unit", [7, "", "../x", "-x", ["u"], b"u"])
def test_an_invalid_unit_is_refused(unit: Any) -> None:
    with pytest.raises(BadArgument):
        endpoint.Joined(unit)


@pytest.mark.parametrize(("name", "value"), [("LIVENESS_UNIT_NAME", "../x"), ("LIVENESS_RUNDIR", "run")])
def test_an_invalid_name_in_the_environment_is_the_reason_of_the_verdict(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined = endpoint.Joined(True)
    monkeypatch.setenv(name, value)
    verdict = joined.live()
    assert verdict is not None
    assert not verdict
    assert value in verdict.reason
