"""An integration whose packages are missing says which, and how to get them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from stage import ROOT


@pytest.mark.parametrize(
    ("module", "missing"),
    [("django", "Django"), ("flask", "Flask and certifi")],
)
def test_an_integration_without_its_packages_names_the_extra(module: str, missing: str, tmp_path: Path) -> None:
    # Isolated from the packages that are installed here.
    program = (
        f"import sys; sys.path[:] = [p for p in sys.path if 'site-packages' not in p] + [{str(ROOT)!r}]\n"
        "import liveness\n"
        f"try: import liveness.{module}\n"
        "except ImportError as error: print(isinstance(error, liveness.LivenessError), error, error.__cause__)\n"
    )
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-S", "-c", program], capture_output=True, text=True, check=True, env=environment, cwd=tmp_path
    )
    assert done.stdout == (
        f"True liveness.{module} needs {missing} (pip install 'liveness-probe[{module}]', or in a clone pip install "
        f"'.[{module}]') None\n"
    )
