import struct
from contextlib import suppress
from dataclasses import replace
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags
from PIL import Image as Pillow

from image_makers import camera_exif
from indi.errors import ImageError
from indi.io.formats.tags import (
    ASCII,
    SHORT,
    Encoding,
    Order,
    Tag,
    Tree,
    pack_block,
    pack_tree,
    read_block,
    read_start,
    read_tree,
)

ORDERS = st.sampled_from(["<", ">"])
SINGLE = st.binary(min_size=1, max_size=40).map(lambda data: Tag(ASCII, len(data), data))
TAGS = st.builds(replace, SINGLE, others=st.lists(SINGLE, max_size=2).map(tuple))
TREES = st.dictionaries(st.integers(256, 30000), TAGS, min_size=1, max_size=12)


@pytest.mark.medium
@given(TREES, TREES, ORDERS, st.booleans(), st.integers(0, 50))
def test_trees_come_back(tree: Tree, below: Tree, order: Order, big: bool, even: int) -> None:
    encoding = Encoding(order, big)
    nested: Tree = {**tree, ExifTags.IFD.Exif: below}
    offset = 16 + 2 * even
    file = BytesIO(encoding.start(offset).ljust(offset, b"\0") + pack_tree(nested, encoding, offset))
    found, place = read_start(file)
    assert (found, place) == (encoding, offset)
    assert read_tree(file, found, place) == (nested, 0)


def test_pillow_reads_what_is_packed_and_the_reverse() -> None:
    block = camera_exif().tobytes().removeprefix(b"Exif\0\0")
    tree, order = read_block(block)
    again = Pillow.Exif()
    again.load(pack_block(tree, order))
    assert again[ExifTags.Base.Orientation] == 6
    assert again.get_ifd(ExifTags.IFD.GPSInfo)[2] == (47.0, 11.0, 3.5)


def test_short_values_stand_in_the_directory() -> None:
    block = pack_block({274: Tag(SHORT, 1, b"\0\6")}, ">")
    assert block == b"MM\0*\0\0\0\x08" + struct.pack(">HHHI", 1, 274, SHORT, 1) + b"\0\6\0\0" + bytes(4)


@pytest.mark.parametrize("length", range(60))
def test_a_block_that_is_cut_is_refused(length: int) -> None:
    block = pack_block({270: Tag(ASCII, 20, b"a" * 20), 274: Tag(SHORT, 1, b"\6\0")}, "<")
    assert len(block) == 58
    if length < len(block):
        with pytest.raises(ImageError):
            read_block(block[:length])
    else:
        assert len(read_block(block)[0]) == 2


def test_directories_in_each_other_end() -> None:
    block = struct.pack("<2sHIHHHIII", b"II", 42, 8, 1, ExifTags.IFD.Exif, 4, 1, 8, 0)
    with pytest.raises(ImageError, match="inside each other"):
        read_block(block)


def test_values_upon_each_other_cannot_fill_memory() -> None:
    entries = b"".join(struct.pack("<HHII", 300 + number, ASCII, 1000, 0) for number in range(4000))
    block = struct.pack("<2sHIH", b"II", 42, 8, 4000) + entries + bytes(4)
    with pytest.raises(ImageError, match="more than the file"):
        read_block(block)


def test_types_of_later_standards_are_passed_over() -> None:
    entries = struct.pack("<HHII", 300, 99, 1, 0) + struct.pack("<HHII", 301, SHORT, 1, 7)
    tree, _ = read_block(struct.pack("<2sHIH", b"II", 42, 8, 2) + entries + bytes(4))
    assert list(tree) == [301]


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with suppress(ImageError):
        read_block(b"II*\0\x08\0\0\0" + data)


@pytest.mark.parametrize("place", [0, 26])
def test_a_directory_that_says_nothing_is_passed_over(place: int) -> None:
    """As Pillow leaves one for positions that were looked for and not there."""
    block = struct.pack("<2sHIHHHIII", b"II", 42, 8, 1, ExifTags.IFD.GPSInfo, 4, 1, place, 0) + bytes(2)
    assert read_block(block)[0] == {}
