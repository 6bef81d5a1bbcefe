"""The drop-in takes the names that older callers use."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
from judge import Judge
from stage import Puppet

from liveness import linux


def test_the_parameters_have_the_names_and_the_order_in_use() -> None:
    assert [*inspect.signature(linux.load).parameters] == ["check_strs", "namespace", "rundir", "args", "kwargs"]
    assert [*inspect.signature(linux.set).parameters] == ["error", "namespace", "rundir"]
    assert [*inspect.signature(linux.reset).parameters] == ["namespace", "rundir"]


def test_a_caller_of_old_goes_through_its_life(puppet: Puppet, rundir: Path, judge: Judge) -> None:
    (rundir / "app_checks.py").write_text("seen = []\ndef health(*args, **kwargs): seen.append((args, kwargs))\n")
    puppet("from liveness.linux import load, set, reset")
    puppet(f"load(['app_checks'], 'old', {str(rundir)!r}, 1, unit='u', config=2)")
    assert puppet("sys.modules['app_checks'].seen") == [[[1], {"unit": "u", "config": 2}]]
    puppet(f"set(namespace='old', rundir={str(rundir)!r})")
    assert judge("old").startswith("healthy")
    puppet(f"set(error=7, namespace='old', rundir={str(rundir)!r})")
    assert judge("old") == "error 7"
    puppet(f"reset(namespace='old', rundir={str(rundir)!r})")
    assert judge("old") == f"not loaded (no pid in {rundir}/old)"


@pytest.mark.parametrize("how", ["liveness.set(5)", "linux.set(5)"])
def test_what_is_none_is_found_as_everywhere_and_shares_the_life_of_the_default_unit(
    puppet: Puppet, judge: Judge, how: str
) -> None:
    puppet("from liveness import linux")
    puppet("linux.load([])")
    puppet(how)
    assert judge() == "error 5"
    puppet("linux.reset()")
    assert judge().startswith("not loaded")
