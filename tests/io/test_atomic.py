import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from indi.errors import IndiError
from indi.io import atomic, write_atomic
from indi.io.atomic import check_place, marked, remove_marked, temporary_beside


def write_half_and_raise(path: Path, error: BaseException) -> None:
    with atomic(path) as temporary:
        temporary.write_bytes(b"half")
        raise error


def test_the_new_file_replaces_the_old_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"old")
    with atomic(path) as temporary:
        temporary.write_bytes(b"new")
        assert path.read_bytes() == b"old"
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".json"
        assert temporary.name.startswith(".")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_folders_above_are_made(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a" / "b" / "c.bin", b"\0\1")
    assert (tmp_path / "a" / "b" / "c.bin").read_bytes() == b"\0\1"


@pytest.mark.parametrize("error", [RuntimeError("mine"), KeyboardInterrupt()])
def test_an_error_of_the_block_comes_out_and_the_old_file_stays(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(type(error)):
        write_half_and_raise(path, error)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_system_error_while_writing_is_one_line(tmp_path: Path, code: int) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(IndiError) as caught:
        write_half_and_raise(path, OSError(code, os.strerror(code)))
    assert str(path) in str(caught.value)
    assert os.strerror(code) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_rename_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "in use")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(IndiError, match="in use"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_bytes_reach_the_disk_before_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.bin"
    seen: list[bool] = []
    real = os.fsync

    def watched(descriptor: int) -> None:
        seen.append(path.exists())
        real(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    write_atomic(path, b"new")
    assert seen[0] is False


def test_a_parent_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(IndiError, match="cannot write"):
        write_atomic(tmp_path / "file" / "a.bin", b"new")
    assert (tmp_path / "file").read_bytes() == b"x"


def test_a_folder_in_the_way_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(IndiError, match="it is a folder"), atomic(tmp_path):
        pytest.fail("the block must not run")


def test_a_zero_character_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IndiError, match="zero character"):
        write_atomic(tmp_path / "a\0.bin", b"")


def test_a_long_name_needs_no_longer_temporary(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 240 + ".bin")
    write_atomic(path, b"x")
    assert path.read_bytes() == b"x"


def test_what_a_killed_process_left_is_found_by_its_mark(tmp_path: Path) -> None:
    with marked("mine"):
        files = [temporary_beside(tmp_path / "a.png", ".png"), temporary_beside(tmp_path / "b.zarr", ".zarr")]
    other = temporary_beside(tmp_path / "a.png", ".png")
    for file in (files[0], other):
        file.write_bytes(b"half")
    files[1].mkdir()
    (files[1] / "zarr.json").write_text("{}")
    remove_marked([tmp_path, tmp_path / "absent"], "mine")
    assert list(tmp_path.iterdir()) == [other]


def test_a_place_is_tried_and_left_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_place(tmp_path / "not" / "there yet")
    check_place(tmp_path)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(IndiError, match=r"more: cannot write: Not a directory; choose another place"):
        check_place(tmp_path / "file" / "more")

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(IndiError, match="cannot write: Read-only file system"):
        check_place(tmp_path / "new")


def test_what_killed_commands_left_goes_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules["indi.io.atomic"]
    monkeypatch.setattr(module, "_cleared", set())
    left = [tmp_path / ".indi-0123456789ab.png", tmp_path / ".indi-0123456789ab"]
    marked_now = tmp_path / f".indi-{'0' * 24}.png"
    marked_old = tmp_path / f".indi-{'1' * 24}.png"
    others = [tmp_path / name for name in (".indi-restored.jsonl", ".indi-0123.png", "indi-0123456789ab.png", "x.png")]
    for path in (*left, marked_now, marked_old, *others):
        path.write_text("part")
    os.utime(marked_old, (0, 0))
    with atomic(tmp_path / "a.png") as mine:
        mine.write_text("whole")
        monkeypatch.setattr(module, "_cleared", set())
        write_atomic(tmp_path / "b.png", b"")  # as another command would, at the same time
        assert mine.exists()
    assert sorted(tmp_path.iterdir()) == sorted([*others, marked_now, tmp_path / "a.png", tmp_path / "b.png"])


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such locks")
def test_another_process_takes_no_file_at_work_for_a_leftover(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another command looks for leftovers whenever this one asks the system for something."""
    module = sys.modules["indi.io.atomic"]
    real = {name: getattr(module.os, name) for name in ("open", "fsync", "replace")}
    looked: list[str] = []

    def looking(name: str) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            if not looked or looked[-1] != "now":
                looked.append("now")
                monkeypatch.setattr(module, "_cleared", set())
                module._remove_left(tmp_path)
                looked[-1] = name
            return real[name](*args, **options)

        return call

    for name in real:
        monkeypatch.setattr(module.os, name, looking(name))
    lock = module.fcntl.flock
    monkeypatch.setattr(module.fcntl, "flock", lambda *asked: (looking("open")(tmp_path, os.O_RDONLY), lock(*asked)))
    write_atomic(tmp_path / "a.bin", b"new")
    assert (tmp_path / "a.bin").read_bytes() == b"new"
    assert {"open", "fsync"} <= set(looked)
