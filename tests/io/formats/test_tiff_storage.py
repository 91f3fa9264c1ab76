"""What a directory says of how pixels are stored is read, or the file is refused: never guessed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from test_tiff import COLOUR, edited, shorts

from image_makers import random_pixels, stored
from indi.errors import ImageError
from indi.io import read
from indi.io.formats.tags import LONG, Encoding
from indi.io.stacks import open_stack

OF_PIXELS = (256, 257, 258, 259, 262, 273, 277, 278, 279, 284, 317)


def with_entry(path: Path, number: int, *, kind: int | None = None, count: int | None = None) -> Path:
    """Change the type or the count of a tag, in place."""
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        place = file.pages.first.tags[number].offset
    if kind is not None:
        data[place + 2 : place + 4] = kind.to_bytes(2, "little")
    if count is not None:
        data[place + 4 : place + 8] = count.to_bytes(4, "little")
    return stored(path, bytes(data))


@pytest.mark.parametrize("number", OF_PIXELS)
@pytest.mark.parametrize("change", [{"kind": 0}, {"kind": 99}, {"kind": 2}, {"kind": 8}, {"count": 0}])
def test_a_tag_of_the_pixels_that_cannot_be_read_is_not_taken_for_absent(
    tmp_path: Path, number: int, change: dict[str, int]
) -> None:
    path = tmp_path / "a.tif"
    options: dict[str, Any] = {"photometric": "rgb", "planarconfig": "contig", "rowsperstrip": 40}
    tifffile.imwrite(path, COLOUR, compression="zlib", predictor=True, metadata=None, **options)
    with_entry(path, number, **change)
    with pytest.raises(ImageError, match=f"tag {number} "):
        read(path)
    with pytest.raises(ImageError, match=f"tag {number} "):
        open_stack(path)


def test_floats_are_not_taken_for_whole_numbers(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", random_pixels("f4", 40, 50), metadata=None)
    with pytest.raises(ImageError, match="tag 339 "):
        read(with_entry(tmp_path / "a.tif", 339, kind=99))


def test_a_tag_of_anything_else_that_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", COLOUR, photometric="rgb", software="a microscope", metadata=None)
    np.testing.assert_array_equal(read(with_entry(tmp_path / "a.tif", 305, kind=99)).pixels, COLOUR)


@pytest.mark.parametrize("tile", [None, (16, 32)])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_compressed_bytes_never_come_out_as_pixels(tmp_path: Path, tile: tuple[int, int] | None, planar: str) -> None:
    for pixels in (COLOUR, np.zeros_like(COLOUR)):  # the one grows, the other shrinks
        array = np.moveaxis(pixels, -1, 0) if planar == "separate" else pixels
        options: dict[str, Any] = {"photometric": "rgb", "planarconfig": planar, "tile": tile}
        tifffile.imwrite(tmp_path / "a.tif", array, compression="zlib", metadata=None, **options)
        edited(tmp_path / "a.tif", shorts(259, 1))
        with pytest.raises(ImageError, match="bytes where"):
            read(tmp_path / "a.tif")
        with pytest.raises(ImageError, match="bytes where"):
            open_stack(tmp_path / "a.tif")


@pytest.mark.parametrize("count", [0.5, 0.99, 1.5])
def test_uncompressed_strips_have_the_bytes_of_their_rows(tmp_path: Path, count: float) -> None:
    tifffile.imwrite(tmp_path / "a.tif", COLOUR, photometric="rgb", rowsperstrip=10, metadata=None)
    strip = 10 * 50 * 3 * 2
    counts = Encoding("<").tag(LONG, strip, round(strip * count), strip, strip)
    edited(tmp_path / "a.tif", {279: counts})
    with pytest.raises(ImageError, match="bytes where"):
        read(tmp_path / "a.tif")


def test_a_last_strip_that_claims_the_length_of_the_others_is_read(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", COLOUR, photometric="rgb", rowsperstrip=16, metadata=None)
    edited(tmp_path / "a.tif", {279: Encoding("<").tag(LONG, *[16 * 50 * 3 * 2] * 3)})
    stored(tmp_path / "a.tif", (tmp_path / "a.tif").read_bytes() + bytes(5000))  # the last may end behind the pixels
    np.testing.assert_array_equal(read(tmp_path / "a.tif").pixels, COLOUR)


@pytest.mark.parametrize("compression", ["zlib", "lzw", "packbits"])
def test_pixels_that_no_compression_could_pack_so_are_refused(tmp_path: Path, compression: str) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, random_pixels("u1", 40, 50), compression=compression, metadata=None)
    big = Encoding("<")
    edited(path, {256: big.tag(LONG, 20000), 257: big.tag(LONG, 20000), 278: big.tag(LONG, 20000)})
    with pytest.raises(ImageError, match="bytes where 400,000,000 bytes of pixels are"):
        read(path)
