"""An application on each real server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from subject import APP, RESET, Subject
from web import Server


@pytest.fixture(scope="module", params=["gunicorn-gthread", "werkzeug"])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("subject")
    (folder / "app.py").write_text(APP)
    with Server(folder, request.param) as server:
        yield server


@pytest.fixture
def subject(served: Server) -> Subject:
    """On each server, as it was at first."""
    found = Subject(served)
    found.do(RESET)
    return found
