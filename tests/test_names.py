"""Names of units and leases never lead out of their folder, and say which role they belong to."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveness import BadArgument, names


@given(text=st.text(max_size=300))
def test_a_name_never_leaves_its_folder(text: str) -> None:
    if names.is_name(text, 200):
        assert os.path.normpath(f"/run/{text}") == f"/run/{text}"
        assert text.isascii()
        assert len(text) <= 200
        assert text[0] not in ".-"


def test_the_last_dot_divides_role_and_instance() -> None:
    assert [names.role_of(name) for name in ("main", "worker.7", "a.b.7", "worker.")] == ["", "worker", "a.b", "worker"]


@pytest.mark.parametrize("character", [*" /\\:@+,=!&|<>^{}()[]*?$`'\"~#%;\n\t\x00\x7fé"])
def test_a_lease_is_named_by_letters_digits_dots_underscores_and_dashes_alone(character: str) -> None:
    for name in (character, f"a{character}", f"a{character}b"):
        with pytest.raises(BadArgument, match="^name: .*: must be 1 to 100 of A-Z a-z 0-9"):
            names.check_lease_name("name", name)
