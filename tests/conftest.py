"""A run directory, every probe at once, and processes to command."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from judge import Judge
from stage import Puppet

# These run on a node of their own: make e2e.
collect_ignore = [] if "LIVENESS_NODE" in os.environ else ["e2e"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests that take a minute begin first, so that the others run at the same time."""
    items.sort(key=lambda item: item.get_closest_marker("minute") is None)


@pytest.fixture
def rundir() -> Iterator[Path]:
    """An empty run directory that any user may look into."""
    path = Path(tempfile.mkdtemp(prefix="liveness-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def judge(rundir: Path) -> Judge:
    return Judge(rundir)


@pytest.fixture
def puppets(rundir: Path) -> Iterator[Callable[..., Puppet]]:
    """Makes puppets of the run directory, and ends them with the test."""
    made: list[Puppet] = []

    def make(unit: str = "u", **options: Any) -> Puppet:
        made.append(Puppet(options.pop("rundir", rundir), unit, **options))
        return made[-1]

    yield make
    for puppet in made:
        puppet.kill()


@pytest.fixture
def puppet(puppets: Callable[..., Puppet]) -> Puppet:
    return puppets()


@pytest.fixture(autouse=True)
def _no_names_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LIVENESS_RUNDIR", "LIVENESS_UNIT_NAME"):
        monkeypatch.delenv(name, raising=False)
