import errno
import io
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indi.errors import ImageError
from indi.io.region import Region
from indi.restoration.state import DiskArray


@st.composite
def regions(draw: st.DrawFn, height: int = 9, width: int = 7) -> Region:
    rows = sorted(draw(st.lists(st.integers(0, height), min_size=2, max_size=2, unique=True)))
    columns = sorted(draw(st.lists(st.integers(0, width), min_size=2, max_size=2, unique=True)))
    return Region(rows[0], columns[0], rows[1], columns[1])


@settings(deadline=None, max_examples=50)
@given(written=st.lists(regions(), max_size=4), read=regions(), dtype=st.sampled_from(["float32", "uint16", "uint8"]))
def test_regions_come_back_as_from_an_array(
    tmp_path_factory: pytest.TempPathFactory, written: list[Region], read: Region, dtype: str
) -> None:
    random = np.random.default_rng(0)
    wanted = np.zeros((3, 9, 7), dtype)
    with DiskArray((3, 9, 7), dtype, tmp_path_factory.getbasetemp()) as array:
        for region in written:
            values = random.integers(0, 200, (3, region.bottom - region.top, region.right - region.left)).astype(dtype)
            wanted[:, region.top : region.bottom, region.left : region.right] = values
            array.write(region, values)
        found = array.read(read)
    assert found.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(found, wanted[:, read.top : read.bottom, read.left : read.right])


def test_it_leaves_nothing_behind(tmp_path: Path) -> None:
    with DiskArray((1, 50, 50), "float32", tmp_path) as array:
        array.write(Region(0, 0, 50, 50), np.ones((1, 50, 50), np.float32))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"none.x: cannot be written \(No such file or directory\)"):
        DiskArray((1, 5, 5), "uint8", tmp_path / "none" / "x")


def test_a_disk_without_room_is_said_and_nothing_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.FileIO):
        def truncate(self, size: int | None = None, /) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "open", lambda path, mode, buffering: Full(path, mode.replace("b", "")))
    with pytest.raises(ImageError, match=r"x: no room for 0\.0 GB of work \(No space left on device\)"):
        DiskArray((1, 5, 5), "uint8", tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_was_cut_meanwhile_is_said(tmp_path: Path) -> None:
    with DiskArray((1, 5, 5), "uint8", tmp_path / "x") as array:
        os.truncate(tmp_path / "x", 12)
        with pytest.raises(ImageError, match="x: is not whole"):
            array.read(Region(0, 0, 5, 5))


def test_a_named_one_stays(tmp_path: Path) -> None:
    values = np.arange(12, dtype=np.uint16).reshape(1, 3, 4)
    with DiskArray((1, 3, 4), "uint16", tmp_path / "x") as array:
        array.write(Region(0, 0, 3, 4), values)
    with DiskArray((1, 3, 4), "uint16", tmp_path / "x", is_there=True) as array:
        np.testing.assert_array_equal(array.read(Region(0, 0, 3, 4)), values)


def test_one_that_should_be_there_is_never_made(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="is gone"):
        DiskArray((1, 4, 5), "u1", tmp_path / "a", is_there=True)
    assert not (tmp_path / "a").exists()
    (tmp_path / "a").write_bytes(bytes(19))
    with pytest.raises(ImageError, match="is not whole"):
        DiskArray((1, 4, 5), "u1", tmp_path / "a", is_there=True)
    assert (tmp_path / "a").read_bytes() == bytes(19)
