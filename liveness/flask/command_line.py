"""The command line of this process, without secrets."""

from __future__ import annotations

import re
from collections.abc import Sequence

# An option whose value is a secret. (The value after a `=` is always hidden.)
_SECRET = re.compile(
    r"-.*(?:pass|pwd|secret|token|key|auth|credential|cookie|dsn|salt|private|user|login|bearer|header)[^ =]*",
    re.IGNORECASE,
)
_HIDDEN = "***"


def without_secrets(command: Sequence[str]) -> str:
    """The command line without values after ``=``, without users in URLs and values of options like --password."""
    shown = []
    hide = False
    for word in command:
        name, equals, _ = word.partition("=")
        if hide and not word.startswith("-"):
            shown.append(_HIDDEN)
        elif equals and " " not in name:
            shown.append(f"{name}={_HIDDEN}")
        elif " " in word.strip():
            # A command as an argument, for example of `sh -c`.
            shown.append(without_secrets(word.split()))
        else:
            shown.append(re.sub("://.*@", f"://{_HIDDEN}@", word))
        hide = bool(_SECRET.fullmatch(word))
    return " ".join(shown)
