"""The lock of all checks of a process. It is held for a few lines at a time, never while a check runs."""

from __future__ import annotations

import os
import threading

#: Read it from this module each time: a forked child gets a new one, since a thread of its parent may hold the old one.
current = threading.RLock()


def _after_fork_in_child() -> None:
    global current
    current = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
