"""The text in the state files comes back as it was written, and no bytes break a reader."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from liveness import formats
from liveness.formats import Lease

MIGHT_BE_CODES = st.sampled_from([b"", b" 0", b" 7", b" 00", b" x", b" 7 7"])


@given(code=st.integers(0, 10**20 - 1), reason=st.text())
def test_a_code_comes_back_with_a_reason_that_any_terminal_can_show(code: int, reason: str) -> None:
    data = formats.encode_code(code, reason)
    decoded, shown = formats.decode_code(data)
    assert decoded == str(code)
    assert shown.isascii()
    assert shown == shown.strip(" ")
    assert len(shown) <= 200
    assert data.count(b"\n") in (0, 2)
    if reason.isascii() and reason.isprintable() and len(reason) <= 200:
        assert shown == reason.strip(" ")


@given(
    at=st.integers(0, 999_999_999), ttl=st.integers(1, 999_999_999), pid=st.integers(1, 4194304),
    start=st.integers(0, 10**20 - 1), code=st.integers(0, 10**20 - 1), reason=st.text(),
)  # fmt: skip
def test_a_lease_comes_back_as_it_was(at: int, ttl: int, pid: int, start: int, code: int, reason: str) -> None:
    data = formats.encode_lease(Lease(at, ttl, pid, str(start), str(code), reason))
    lease = formats.decode_lease(data)
    assert lease is not None
    assert (lease.at, lease.ttl, lease.pid, lease.start, lease.code) == (at, ttl, pid, str(start), str(code))
    assert len(lease.reason) <= 160
    assert lease.reason.isascii()
    assert data.count(b"\n") in (1, 2)
    if reason.isascii() and reason.isprintable() and len(reason) <= 160:
        assert lease.reason == reason.strip(" ")


def test_a_lease_without_a_code_and_a_reason_is_one_line_of_four_numbers() -> None:
    assert formats.encode_lease(Lease(100, 30, 17, "4711")) == b"100 30 17 4711\n"
    assert formats.encode_lease(Lease(100, 30, 17, "4711", "7", "queue lost")) == b"100 30 17 4711 7\nqueue lost\n"


@given(data=st.binary(), code=MIGHT_BE_CODES)
def test_no_bytes_break_a_reader(data: bytes, code: bytes) -> None:
    formats.decode_code(data)
    formats.decode_lease(data)
    formats.decode_lease(b"1 2 3 4" + code + data)


def test_a_lease_is_fresh_from_the_second_in_which_it_was_written_to_its_ttl() -> None:
    lease = Lease(100, 30, 1, "1")
    assert [lease.is_fresh(now) for now in (99, 100, 130, 131)] == [False, True, True, False]
    assert lease.age(95) == -5


def test_none_is_not_a_reason() -> None:
    assert formats.encode_code(7, None) == b"7"
    assert formats.encode_code(7, 0) == b"7\n0\n"
