"""The files of a unit are written whole or not at all, read without waiting, and removed in order."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from liveness.directory import Directory, Unreadable, way_out
from liveness.formats import Lease, encode_lease
from liveness.life import remove_life


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


def test_a_created_file_stays_open_and_is_not_a_standard_stream(tmp_path: Path) -> None:
    fd = Directory(str(tmp_path)).create("pid", b"17")
    assert fd > 2
    os.ftruncate(fd, 0)
    os.close(fd)
    assert (tmp_path / "pid").read_bytes() == b""
    assert os.listdir(tmp_path) == ["pid"]


@pytest.mark.parametrize("has_links", [True, False])
def test_creating_never_replaces_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_links: bool) -> None:
    if not has_links:
        # Some file systems have no hard links.
        def link(*_: object) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(os, "link", link)
    directory = Directory(str(tmp_path))
    os.close(directory.create("pid", b"17"))
    with pytest.raises(FileExistsError):
        directory.create("pid", b"18")
    with pytest.raises(FileExistsError):
        directory.write("pid", b"19", is_new=True)
    assert (tmp_path / "pid").read_bytes() == b"17"
    assert directory.write("job", b"20", is_new=True)
    assert sorted(os.listdir(tmp_path)) == ["job", "pid"]


def test_a_close_that_fails_leaves_the_old_file_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As on a network file system that has run out of space: what an error reports must not have happened.
    directory = Directory(str(tmp_path))
    directory.write("error", b"7")
    close = os.close

    def fail(fd: int) -> None:
        close(fd)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "close", fail)
    with pytest.raises(OSError, match="Input/output error"):
        directory.write("error", b"0")
    monkeypatch.undo()
    assert directory.read("error") == b"7"
    assert os.listdir(tmp_path) == ["error"]


def test_a_file_that_cannot_be_read_is_neither_absent_nor_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = Directory(str(tmp_path))
    assert directory.read("pid") is None
    directory.write("pid", b"17")

    def fail(*_: object) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "open", fail)
    with pytest.raises(Unreadable, match="^cannot read pid$"):
        directory.read("pid")


def test_a_file_of_a_megabyte_is_not_read_in_part(tmp_path: Path) -> None:
    # What stands after the blanks would be passed over, and the file be healthy.
    (tmp_path / "error").write_bytes(b"0" + b" " * (1 << 20) + b"7")
    with pytest.raises(Unreadable, match="^cannot read error$"):
        Directory(str(tmp_path)).read("error")


def test_a_lease_that_has_changed_meanwhile_is_not_removed(tmp_path: Path) -> None:
    directory = Directory(str(tmp_path))
    directory.make_folder("beat")
    directory.write("beat/w.1", encode_lease(Lease(1, 1, 17, "1")))
    directory.remove_lease("beat/w.1", lambda lease: lease.pid != 17)
    assert os.listdir(tmp_path / "beat") == ["w.1"]
    directory.remove_lease("beat/w.1", lambda lease: lease.pid == 17)
    assert os.listdir(tmp_path / "beat") == []
    directory.remove_lease("beat/w.1", lambda lease: True)


def test_emptying_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "ready").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="symbolic link"):
        Directory(str(tmp_path)).empty("ready")
    assert (tmp_path / "precious").read_text() == "precious"


def test_only_our_own_temporary_files_are_removed(tmp_path: Path) -> None:
    ours = (".pid.0123456789ab", ".main.ffffffffffff")
    others = (".keep", ".nfs000000000000", "..data", ".pid.0123456789AB", ".pid.0123456789abc", "pid.0123456789ab")
    for name in (*ours, *others):
        (tmp_path / name).write_text("")
    remove_life(Directory(str(tmp_path)), (), lambda: True)
    assert sorted(os.listdir(tmp_path)) == sorted(others)


def test_a_folder_keeps_the_group_that_its_parent_gives(tmp_path: Path) -> None:
    tmp_path.chmod(0o2775)
    Directory(str(tmp_path / "u")).make()
    assert (tmp_path / "u").stat().st_mode & 0o7777 == 0o2755


def test_removing_a_life_goes_on_after_an_error_and_then_reports_the_first(tmp_path: Path) -> None:
    directory = Directory(str(tmp_path))
    for name in ("pid", "start", "ready"):
        (tmp_path / name).write_text("")
    (tmp_path / "error").mkdir()
    for folder in ("beat", "job", "check", "expect"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x").write_text("")
        (tmp_path / folder / "y").mkdir()
    with pytest.raises(IsADirectoryError, match="/error"):
        remove_life(directory, (), lambda: True)
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))
    assert left == ["beat", "beat/y", "check", "check/y", "error", "expect", "expect/y", "job", "job/y"]


@pytest.mark.parametrize(
    ("variable", "path", "error", "remedy"),
    [
        (None, "/run/u", OSError(errno.EACCES, ""), "mount a writable volume at /run, for example an emptyDir, or set "
         "LIVENESS_RUNDIR to a writable directory"),
        ("/run", "/run/u", OSError(errno.EACCES, ""), "mount a writable volume at /run, for example an emptyDir, or "
         "change LIVENESS_RUNDIR"),
        ("/a/b", "/a/b/u", Unreadable("pid", OSError(errno.EROFS, "")), "mount a writable volume at /a/b, for example "
         "an emptyDir, or change LIVENESS_RUNDIR"),
        ("/a/b", "/c/u", OSError(errno.EACCES, ""), "mount a writable volume at /c, for example an emptyDir, or choose "
         "another rundir"),
        (None, "/run/u", OSError(errno.ENOSPC, ""), "free some space there"),
        (None, "/run/u", Unreadable("pid", OSError(errno.EMFILE, "")), "close some files, or raise the limit on open "
         "files"),
        (None, "/run/u", OSError(errno.EISDIR, ""), "remove it"),
    ],
)  # fmt: skip
def test_a_way_out_is_true_of_the_error_and_of_where_the_path_is_from(
    variable: str | None, path: str, error: Exception, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LIVENESS_RUNDIR", raising=False)
    if variable:
        monkeypatch.setenv("LIVENESS_RUNDIR", variable)
    assert way_out(path, error) == remedy
