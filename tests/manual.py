"""The manual and its examples."""

from __future__ import annotations

import re

from stage import ROOT

TEXI = ROOT / "doc" / "texinfo" / "liveness.texi"
MANUAL = TEXI.read_text()


def plain(text: str) -> str:
    """Without the escapes of Texinfo."""
    return re.sub(r"@([@{}])", r"\1", text)


#: The kind of each example, and its text.
EXAMPLES = [
    (kind, plain(text)) for kind, text in re.findall(r"@c run: (\S+)\n@example\n(.*?)@end example", MANUAL, re.S)
]


def example(kind: str) -> str:
    """The only example of its kind."""
    (text,) = (text for name, text in EXAMPLES if name == kind)
    return text
