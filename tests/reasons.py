"""Every reason that the probe can give, as health.sh has it: a star stands for what differs from case to case."""

from __future__ import annotations

import re
import shlex

from judge import HEALTH_SH

# What the function look_at calls a lease, for each folder.
_VARIABLES = ("noun", "stale", "gone", "none")


def all_reasons() -> set[str]:
    script = HEALTH_SH.read_text()
    formats = {one or two for one, two in re.findall(r"""fail (?:'([^'\n]*)'|"([^"\n]*)")""", script)}
    formats |= set(re.findall(r"require_zero '([^'\n]*)' ['\"]", script))
    # A code that is not 0, with its reason and with the name of the lease that has it.
    formats |= {"error %s", "error %s: %s", "error %s: %s (%s)", "not ready", "not ready: %s", "not ready: %s (%s)"}
    reasons = set()
    for text in formats - {"$1", "%s%s", "%s: %.$2s%s"}:
        for words in _folders(script) if "$" in text or text.startswith("%s '%s' is") else [{}]:
            filled = text.replace("%s", words["noun"], 1) if text.startswith("%s '") else text
            for variable in _VARIABLES:
                filled = filled.replace(f"${variable}", words.get(variable, "$"))
            if "$" not in filled:
                reasons.add(re.sub(r"%(\.200)?s", "*", filled))
    # An expectation of the future is one that is not yet enforced.
    return reasons - {"expectation '*' is from the future"}


def _folders(script: str) -> list[dict[str, str]]:
    found = []
    for line in re.findall(r"^    \w+\) (noun=.*) ;;$", script, re.M):
        words = dict(word.split("=", 1) for word in shlex.split(line))
        found.append({name: words.get(text.removeprefix("$"), text) for name, text in words.items()})
    return found


def is_shown(reason: str, texts: set[str]) -> bool:
    """Whether one of the texts is an example of the reason."""
    pattern = ".+".join(re.escape(part) for part in reason.split("*"))
    return any(re.fullmatch(pattern, text) for text in texts)
