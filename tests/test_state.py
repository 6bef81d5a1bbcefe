"""The files hold what they should, and are written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveness import state
from liveness.state import Beat, Directory


@given(code=st.integers(0, 10**20 - 1), reason=st.text())
def test_a_code_comes_back_with_a_reason_that_any_terminal_can_show(code: int, reason: str) -> None:
    data = state.encode_code(code, reason)
    decoded, shown = state.decode_code(data)
    assert decoded == str(code)
    assert shown.isascii()
    assert shown == shown.strip(" ")
    assert len(shown) <= 200
    assert data.count(b"\n") in (0, 2)
    if reason.isascii() and reason.isprintable() and len(reason) <= 200:
        assert shown == reason.strip(" ")


@given(
    at=st.integers(0, 999_999_999), ttl=st.integers(1, 999_999_999), pid=st.integers(1, 4194304),
    start=st.integers(0, 10**20 - 1),
)  # fmt: skip
def test_a_beat_comes_back_as_it_was(at: int, ttl: int, pid: int, start: int) -> None:
    beat = state.decode_beat(state.encode_beat(Beat(at, ttl, pid, str(start))))
    assert beat is not None
    assert (beat.at, beat.ttl, beat.pid, beat.start) == (at, ttl, pid, str(start))


@given(data=st.binary())
def test_no_bytes_break_a_reader(data: bytes) -> None:
    state.decode_code(data)
    state.decode_beat(data)


def test_a_beat_is_fresh_from_the_second_it_was_made_in_to_its_ttl() -> None:
    beat = Beat(100, 30, 1, "1")
    assert [beat.is_fresh(now) for now in (99, 100, 130, 131)] == [False, True, True, False]
    assert beat.age(95) == -5


@given(text=st.text(max_size=300))
def test_a_name_never_leaves_its_folder(text: str) -> None:
    if state.is_name(text, 200):
        assert os.path.normpath(f"/run/{text}") == f"/run/{text}"
        assert text.isascii()
        assert len(text) <= 200
        assert text[0] not in ".-"


def test_the_last_dot_parts_a_role_from_its_instance() -> None:
    assert [state.role_of(name) for name in ("main", "worker.7", "a.b.7", "worker.")] == ["", "worker", "a.b", "worker"]


def test_a_write_that_is_cut_short_is_an_error_and_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = Directory(str(tmp_path))
    directory.write("error", b"0")
    monkeypatch.setattr(os, "write", lambda fd, data: len(data) - 1)
    with pytest.raises(OSError, match="No space left"):
        directory.write("error", b"12345")
    monkeypatch.undo()
    assert directory.read("error") == b"0"
    assert os.listdir(tmp_path) == ["error"]


def test_an_interrupt_in_the_middle_of_a_write_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = Directory(str(tmp_path))
    directory.write("error", b"0")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    for call in ("fchmod", "write", "rename"):
        with monkeypatch.context() as patch:
            patch.setattr(os, call, interrupt)
            with pytest.raises(KeyboardInterrupt):
                directory.write("error", b"1")
        assert directory.read("error") == b"0"
        assert os.listdir(tmp_path) == ["error"]


def test_a_temporary_file_that_a_link_waits_for_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "u").mkdir()
    monkeypatch.setattr(os, "urandom", lambda size: b"\0" * size)
    (tmp_path / "u" / ".error.000000000000").symlink_to(tmp_path / "precious")
    with pytest.raises(FileExistsError):
        Directory(str(tmp_path / "u")).write("error", b"1")
    assert not (tmp_path / "precious").exists()


def test_what_is_kept_open_is_the_file_itself_and_no_standard_stream(tmp_path: Path) -> None:
    fd = Directory(str(tmp_path)).write_and_keep("pid", b"17")
    assert fd > 2
    os.ftruncate(fd, 0)
    os.close(fd)
    assert (tmp_path / "pid").read_bytes() == b""


def test_emptying_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "ready").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="symbolic link"):
        Directory(str(tmp_path)).empty("ready")
    assert (tmp_path / "precious").read_text() == "precious"


def test_only_our_own_temporary_files_are_wiped(tmp_path: Path) -> None:
    ours = (".pid.0123456789ab", ".main.ffffffffffff")
    others = (".keep", ".nfs000000000000", "..data", ".pid.0123456789AB", ".pid.0123456789abc", "pid.0123456789ab")
    for name in (*ours, *others):
        (tmp_path / name).write_text("")
    Directory(str(tmp_path)).wipe()
    assert sorted(os.listdir(tmp_path)) == sorted(others)


def test_a_folder_keeps_the_group_that_its_parent_gives(tmp_path: Path) -> None:
    tmp_path.chmod(0o2775)
    Directory(str(tmp_path / "u")).make()
    assert (tmp_path / "u").stat().st_mode & 0o7777 == 0o2755
