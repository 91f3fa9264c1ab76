"""Types that are read as others: where no value changes, and else with what would be lost."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from image_makers import random_pixels
from indi.errors import ImageError
from indi.io import read, read_header, write
from indi.io.region import Region
from indi.io.stacks import open_stack

READ_AS = {"i1": "u1", "i2": "u2", "u4": "u2", "i4": "u2", "f2": "f4", "f8": "f4"}


@pytest.mark.parametrize("dtype", READ_AS)
@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"byteorder": ">"}, {"tile": (16, 16)}])
def test_other_types_are_read_where_nothing_is_lost(tmp_path: Path, dtype: str, options: dict[str, Any]) -> None:
    values = random_pixels("u1", 20, 24) // 2
    tifffile.imwrite(tmp_path / "a.tif", values.astype(dtype), metadata=None, **options)
    image = read(tmp_path / "a.tif")
    assert image.pixels.dtype == read_header(tmp_path / "a.tif").dtype == np.dtype(READ_AS[dtype])
    np.testing.assert_array_equal(image.pixels, values)
    with open_stack(tmp_path / "a.tif") as stack:
        np.testing.assert_array_equal(stack.pixels(0, Region(3, 2, 20, 24)), values[3:, 2:])
    write(tmp_path / "b.tif", image)
    assert tifffile.imread(tmp_path / "b.tif").dtype == np.dtype(READ_AS[dtype])


@pytest.mark.parametrize(
    ("dtype", "value", "kind"),
    [
        ("i1", -1, "8-bit signed"),
        ("i2", -1, "16-bit signed"),
        ("u4", 65536, "32-bit unsigned"),
        ("i4", -5, "32-bit signed"),
        ("f8", 0.1, "64-bit float"),
        ("f8", 1e300, "64-bit float"),
    ],
)
def test_what_would_be_lost_is_said(tmp_path: Path, dtype: str, value: float, kind: str) -> None:
    values = np.zeros((20, 24), dtype)
    values[3:5, 7] = value
    tifffile.imwrite(tmp_path / "a.tif", values, metadata=None)
    says = f"TIFF of {kind} pixels, of which 2 would be changed by reading them as {np.dtype(READ_AS[dtype])}; convert"
    with pytest.raises(ImageError, match=says):
        read(tmp_path / "a.tif")
    with open_stack(tmp_path / "a.tif") as stack, pytest.raises(ImageError, match=says):
        stack.pixels(0, Region(0, 0, 20, 24))


def test_values_that_are_not_finite_stay(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.array([[np.nan, np.inf, -np.inf, 0.5]] * 4), metadata=None)
    np.testing.assert_array_equal(read(tmp_path / "a.tif").pixels[0], np.array([np.nan, np.inf, -np.inf, 0.5], "f4"))


def test_a_stack_of_another_type_is_written_as_what_it_was_read_as(tmp_path: Path) -> None:
    values = random_pixels("u1", 3, 20, 24).astype("i2")
    tifffile.imwrite(tmp_path / "a.ome.tif", values, ome=True, photometric="minisblack", metadata={"axes": "ZYX"})
    with open_stack(tmp_path / "a.ome.tif") as stack:

        def picture(number: int) -> Any:
            return lambda start, stop: stack.pixels(number, Region(start, 0, stop, 24))

        stack.write_like(tmp_path / "b.ome.tif", picture)
    with tifffile.TiffFile(tmp_path / "b.ome.tif") as file:
        assert file.ome_metadata is not None
        assert 'Type="uint16"' in file.ome_metadata
        np.testing.assert_array_equal(file.asarray(), values.astype("u2"))


@pytest.mark.parametrize("scale", [1, 256, 257])
def test_a_palette_of_each_gray_in_turn_is_gray(tmp_path: Path, scale: int) -> None:
    gray = random_pixels("u1", 20, 24)
    table = np.stack([np.arange(256, dtype=np.uint16) * np.uint16(scale)] * 3)
    tifffile.imwrite(tmp_path / "a.tif", gray, photometric="palette", colormap=table, metadata=None)
    np.testing.assert_array_equal(read(tmp_path / "a.tif").pixels, gray)


def test_any_other_palette_is_refused(tmp_path: Path) -> None:
    Pillow.fromarray(random_pixels("u1", 20, 24, 3)).quantize(200).save(tmp_path / "a.tif")
    with pytest.raises(ImageError, match="palette TIFF; convert it to gray or RGB first"):
        read(tmp_path / "a.tif")
