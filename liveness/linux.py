"""
The verbs with the parameter names that older callers use: ``error`` and ``namespace``.

A drop-in replacement for a module of this path; new code uses ``import liveness``. A ``namespace`` is a unit name;
arguments that are None are determined by the rules of ``liveness.Unit``. Errors are those of the verbs.
"""

from __future__ import annotations

import os

from .unit import find

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    Path = str | os.PathLike[str]


def load(
    check_strs: Iterable[str], namespace: str | None = None, rundir: Path | None = None, *args: object, **kwargs: object
) -> None:
    """Runs each module's ``health(*args, **kwargs)``, then writes the pid."""
    find(namespace, rundir, is_new=True).load(check_strs, *args, **kwargs)


def set(error: int = 0, namespace: str | None = None, rundir: Path | None = None) -> None:
    """Declares the process healthy, or with a code other than 0 unhealthy."""
    find(namespace, rundir).set(error)


def reset(namespace: str | None = None, rundir: Path | None = None) -> None:
    """Ends the life: removes its state."""
    find(namespace, rundir).reset()
