"""What is asked of every manifest."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

VALIDATE = [sys.executable, "-m", "kubernetes_validate", "--strict"]
PROBES = ("startupProbe", "livenessProbe", "readinessProbe")


def spec_of(file: Path) -> dict[str, Any]:
    """Of its pods."""
    found: dict[str, Any] = yaml.safe_load(file.read_text())["spec"]["template"]["spec"]
    return found


def complaints(files: Sequence[Path]) -> str:
    """What the oldest and the newest Kubernetes that is known have against them; nothing, if they are valid."""
    package = importlib.util.find_spec("kubernetes_validate")
    assert package is not None
    assert package.origin is not None
    schemas = (Path(package.origin).parent / "kubernetes-json-schema").glob("v*-local-strict")
    versions = sorted([int(number) for number in schema.name[1:].split("-")[0].split(".")] for schema in schemas)
    found = ""
    for version in (versions[0], versions[-1]):
        command = [*VALIDATE, "-k", "{}.{}.{}".format(*version), *map(str, files)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found += done.stdout + done.stderr if done.returncode else ""
    return found


def unexplained_numbers(file: Path) -> list[str]:
    """Lines with a number and no reason for it."""
    found = []
    for line in file.read_text().splitlines():
        field, _, rest = line.strip().partition(": ")
        value, _, why = rest.partition("  # ")
        # A version and an image's tag are no numbers.
        if re.match(r"\d+", value) and field != "apiVersion" and not why:
            found.append(line)
    return found
