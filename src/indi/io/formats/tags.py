"""Directories of tags, the structure that TIFF files and EXIF blocks share: read and pack them.

Values stay as their bytes, so that a tag nobody here knows comes out as it went in.

Source: TIFF 6.0 (Adobe, 1992) section 2; BigTIFF (2007); CIPA DC-008 (EXIF) section 4.6.
"""

import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from enum import IntEnum
from io import BytesIO
from typing import BinaryIO, Literal, TypeAlias

import numpy as np

from indi.errors import ImageError


class Name(IntEnum):
    """The tags that are known here by name; the rest pass through."""

    SUBFILE = 254
    WIDTH = 256
    LENGTH = 257
    BITS = 258
    COMPRESSION = 259
    PHOTOMETRIC = 262
    DESCRIPTION = 270
    FILL_ORDER = 266
    STRIP_OFFSETS = 273
    ORIENTATION = 274
    SAMPLES = 277
    ROWS = 278
    STRIP_COUNTS = 279
    X_RESOLUTION = 282
    Y_RESOLUTION = 283
    PLANAR = 284
    UNIT = 296
    PREDICTOR = 317
    JPEG_TABLES = 347
    SUBSAMPLING = 530
    COLOUR_MAP = 320
    TILE_WIDTH = 322
    TILE_LENGTH = 323
    TILE_OFFSETS = 324
    TILE_COUNTS = 325
    SUB_DIRECTORIES = 330
    EXTRA = 338
    FORMAT = 339
    XMP = 700
    DEPTH = 32997
    METAMORPH_PLANES = 33629
    EXIF = 34665
    ICC = 34675
    GPS = 34853
    INTEROPERABILITY = 40965


_POINTERS = {Name.EXIF, Name.GPS, Name.INTEROPERABILITY}
_DEEPEST = 3
_MOST_TAGS = 4096
_ENTRY = 12  # bytes of the shortest entry
_SHARED_ENTRIES, _SHARED_BYTES = 2**12, 2**20  # that directories may have in common

_SIZES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}
_UNSIGNED = {1: "u1", 3: "u2", 4: "u4", 13: "u4", 16: "u8", 18: "u8"}
BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED, DOUBLE, LONG8 = 1, 2, 3, 4, 5, 7, 12, 16


Order = Literal["<", ">"]


@dataclass(frozen=True)
class Tag:
    """A value: its type by TIFF's number, how many of them, and their bytes in the order of the block.

    ``others`` are further values under the same number, as tifffile writes a note of its own behind a description.
    """

    kind: int
    count: int
    data: bytes
    others: "tuple[Tag, ...]" = ()


Tree: TypeAlias = "dict[int, Tag | Tree]"
"""Values by tag number; further directories under EXIF, GPS and INTEROPERABILITY."""


@dataclass(frozen=True)
class Encoding:
    """How a block writes its numbers: low byte first (``"<"``) or last; BigTIFF has 8-byte offsets, not 4."""

    order: Order
    big: bool = False

    @property
    def word(self) -> int:
        """Bytes of an offset; a value as short as that stands in the directory itself."""
        return 8 if self.big else 4

    def pack_word(self, number: int) -> bytes:
        """Return an offset as bytes."""
        return struct.pack(self.order + ("Q" if self.big else "I"), number)

    def unpack_word(self, data: bytes) -> int:
        """Return the offset that the bytes say."""
        return int(struct.unpack(self.order + ("Q" if self.big else "I"), data)[0])

    def start(self, directory: int) -> bytes:
        """Return the head of a block whose first directory is at offset ``directory``."""
        mark = b"II" if self.order == "<" else b"MM"
        version = struct.pack(self.order + "3H", 43, 8, 0) if self.big else struct.pack(self.order + "H", 42)
        return mark + version + self.pack_word(directory)

    def tag(self, kind: int, *numbers: int) -> Tag:
        """Return a tag of whole numbers, or of a rational when ``kind`` says so."""
        data = np.array(numbers, self.order + _UNSIGNED.get(kind, "u4")).tobytes()
        return Tag(kind, len(data) // _SIZES[kind], data)


@dataclass(frozen=True)
class Directory:
    """A tree with the encoding that its bytes have, for asking it by tag number."""

    tree: Tree
    encoding: Encoding

    def numbers(self, tag: int, *, most: int | None = None) -> list[int]:
        """Return the whole numbers under ``tag``, ``most`` of them; none where it is missing.

        Raises:
            ImageError: it holds something else.
        """
        value = self.tree.get(tag)
        if value is None:
            return []
        if not isinstance(value, Tag) or value.kind not in _UNSIGNED:
            raise ImageError(f"damaged tags: tag {tag} does not hold whole numbers")
        found = np.frombuffer(value.data, self.encoding.order + _UNSIGNED[value.kind])
        numbers: list[int] = found[:most].tolist()
        return numbers

    def number(self, tag: int, default: int) -> int:
        """Return the first whole number under ``tag``.

        Raises:
            ImageError: it holds something else.
        """
        return (self.numbers(tag, most=1) or [default])[0]

    def data(self, tag: int) -> bytes | None:
        """Return the bytes under ``tag``, the first where there are several."""
        value = self.tree.get(tag)
        return value.data if isinstance(value, Tag) else None

    def all(self, tag: int) -> list[Tag]:
        """Return all values under ``tag``."""
        value = self.tree.get(tag)
        return [value, *value.others] if isinstance(value, Tag) else []


class Room:
    """What may still be read of the tags of one file.

    Directories and values may lie upon each other, by which a small file could fill any memory and take any time. All
    directories of a file share one room: little more than the file itself can hold.

    Args:
        length: Of the file in bytes.
    """

    def __init__(self, length: int) -> None:
        self._entries = length // _ENTRY + _SHARED_ENTRIES
        self._bytes = length + _SHARED_BYTES

    def take(self, *, entries: int = 0, size: int = 0) -> None:
        """Count entries, or bytes of values.

        Raises:
            ImageError: there is no room for them.
        """
        self._entries -= entries
        self._bytes -= size
        if min(self._entries, self._bytes) < 0:
            raise ImageError("tags cut short or damaged: they hold more than the file; save it again")


def read_start(file: BinaryIO) -> tuple[Encoding, int]:
    """Return how the block is written and where its first directory is.

    Raises:
        ImageError: this is no such block.
    """
    start = _take(file, 0, 8)
    order: Order = ">" if start[:2] == b"MM" else "<"
    for encoding, offset in ((Encoding(order), 4), (Encoding(order, big=True), 8)):
        if start.startswith(encoding.start(0)[: min(offset, 8)]):
            return encoding, encoding.unpack_word(_take(file, offset, encoding.word))
    raise ImageError("damaged tags: the block does not begin as TIFF or EXIF does")


def read_tree(
    file: BinaryIO,
    encoding: Encoding,
    offset: int,
    room: Room | None = None,
    *,
    essential: Collection[int] = (),
    depth: int = 1,
) -> tuple[Tree, int]:
    """Return the directory at ``offset`` with those below it, and the offset of the next one (0: none).

    Args:
        file: Open for reading.
        encoding: Of the block.
        offset: Where the directory begins.
        room: What all directories of the file share; None where this is the only one.
        essential: Tags that may not be of an unknown type, or without a value, which are passed over else.
        depth: How many directories it lies within, and one.

    Raises:
        ImageError: damaged or cut short: something lies past the end, or is impossible.
    """
    if depth > _DEEPEST:
        raise ImageError("damaged tags: directories inside each other without an end")
    count_format, entry_format = ("Q", "HHQ") if encoding.big else ("H", "HHI")
    counted = struct.calcsize("=" + count_format)
    (count,) = struct.unpack(encoding.order + count_format, _take(file, offset, counted))
    if count == 0 and depth > 1:  # some writers leave such a one for what they have nothing to say of
        return {}, 0
    if not 1 <= count <= _MOST_TAGS:
        raise ImageError(f"damaged tags: a directory of {count:,} tags")
    described = struct.calcsize("=" + entry_format)
    length = described + encoding.word
    table = _take(file, offset + counted, count * length + encoding.word)
    room = room or Room(_length(file))
    room.take(entries=count)
    tree: Tree = {}
    for start in range(0, count * length, length):
        number, kind, values = struct.unpack_from(encoding.order + entry_format, table, start)
        inline = table[start + described : start + length]
        size = values * _SIZES.get(kind, 0)
        if not size:  # of a later standard, or empty: its length cannot be known, or there is none
            if number in essential:
                raise ImageError(f"damaged tags: tag {number} has no value of a known type; save the file again")
            continue
        if number in _POINTERS:
            place = encoding.unpack_word(inline)
            below = read_tree(file, encoding, place, room, depth=depth + 1)[0] if place else {}
            if below:
                tree[number] = below
            continue
        if size > encoding.word:
            room.take(size=size)
        data = inline[:size] if size <= encoding.word else _take(file, encoding.unpack_word(inline), size)
        tag, first = Tag(kind, values, data), tree.get(number)
        tree[number] = replace(first, others=(*first.others, tag)) if isinstance(first, Tag) else tag
    return tree, encoding.unpack_word(table[-encoding.word :])


def pack_tree(tree: Tree, encoding: Encoding, offset: int, following: int = 0) -> bytes:
    """Return the directory as bytes that are right when they stand at ``offset``, which is even.

    ``following`` is the offset of the directory after it, 0 for none.
    """
    entries = list(_entries(tree))
    head = struct.pack(encoding.order + ("Q" if encoding.big else "H"), len(entries))
    entry_format = encoding.order + ("HHQ" if encoding.big else "HHI")
    end = offset + len(head) + len(entries) * (struct.calcsize(entry_format) + encoding.word) + encoding.word
    table, behind = bytearray(), bytearray()
    for number, value in entries:
        behind += bytes((end + len(behind)) % 2)
        place = encoding.pack_word(end + len(behind))
        if isinstance(value, Tag):
            table += struct.pack(entry_format, number, value.kind, value.count)
            if len(value.data) > encoding.word:
                behind += value.data
            else:
                place = value.data.ljust(encoding.word, b"\0")
        else:
            table += struct.pack(entry_format, number, LONG8 if encoding.big else LONG, 1)
            behind += pack_tree(value, encoding, end + len(behind))
        table += place
    return head + bytes(table) + encoding.pack_word(following) + bytes(behind)


def _entries(tree: Tree) -> "Iterator[tuple[int, Tag | Tree]]":
    """Yield what a directory lists, in the order of the numbers."""
    for number, value in sorted(tree.items(), key=lambda item: item[0]):
        yield number, value
        for other in value.others if isinstance(value, Tag) else ():
            yield number, other


def read_block(block: bytes) -> tuple[Tree, Order]:
    """Return the tags of an EXIF block and its byte order.

    Raises:
        ImageError: it is damaged.
    """
    file = BytesIO(block)
    encoding, offset = read_start(file)
    return read_tree(file, encoding, offset)[0], encoding.order


def orientation(block: bytes | None) -> int:
    """Return how a camera was held, 1 to 8, by an EXIF block; 1, upright, where it does not say or is damaged."""
    try:
        tree, order = read_block(block or b"")
        return Directory(tree, Encoding(order)).number(Name.ORIENTATION, 1)
    except ImageError:
        return 1


def pack_block(tree: Tree, order: Order) -> bytes:
    """Return an EXIF block that holds the tags."""
    encoding = Encoding(order)
    return encoding.start(8) + pack_tree(tree, encoding, 8)


def _length(file: BinaryIO) -> int:
    return file.seek(0, 2)


def _take(file: BinaryIO, offset: int, count: int) -> bytes:
    if offset + count > _length(file):
        raise ImageError("tags cut short or damaged: they point past the end of the file; copy it again")
    file.seek(offset)
    return file.read(count)
