"""Write TIFF, bit exact. It is done here because no writer at hand keeps every tag, EXIF and GPS included.

Source: TIFF 6.0 (Adobe, 1992), sections 2, 14 (differences) and 18 (extra samples); BigTIFF (2007).
"""

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, BinaryIO

import numpy as np

from indi.errors import ImageError
from indi.io.convert import Array
from indi.io.formats import tags
from indi.io.formats.tags import BYTE, LONG, LONG8, RATIONAL, SHORT, UNDEFINED, Encoding, Name, Order, Tag, Tree
from indi.io.formats.tiff import ASSOCIATED, BLACK_IS_ZERO, OF_STORAGE, RGB, UNASSOCIATED, UNITS
from indi.io.image import Image, Resolution, foreign_code

_NONE, _LZW, DEFLATE, _ZSTD = 1, 5, 8, 50000
_UNSIGNED, _FLOAT = 1, 3
_STRIP_BYTES = 2**18
_MOST_CLASSIC_BYTES = 2**32 - 2**26  # offsets are 32 bit; the rest is for tags and for data that grows


def encode(image: Image, file: BinaryIO) -> None:
    """Write the image with its metadata, compressed as the TIFF it came from where that is lossless.

    Else deflate is used. Files that would pass 4 GB become BigTIFF.

    Raises:
        ImageError: the EXIF block of the image is damaged.
    """
    tree: Tree = {}
    order: Order = "<"
    if image.metadata.exif:
        try:
            kept, order = tags.read_block(image.metadata.exif)
        except ImageError as error:
            raise ImageError(f"the EXIF block is damaged ({error}); write .png, which keeps it as it is") from error
        tree = {number: value for number, value in kept.items() if number not in OF_STORAGE}
    layout = image.metadata.tiff
    samples = image.stacked().reshape(*image.pixels.shape[:2], -1)
    compression = layout.compression if layout else DEFLATE
    planar = layout.planar if layout else 1
    tile = layout.tile if layout else None
    encoding = Encoding(order, big=needs_big(samples.nbytes))

    file.write(encoding.start(0))
    rows = Rows(samples.shape, samples.dtype, lambda start, stop: samples[start:stop])
    tree |= write_picture(file, rows, encoding, compression, planar, tile=tile)
    tree |= _colour_tags(image, encoding) | _metadata_tags(image, encoding, tree)
    write_directories(file, [tree], encoding)


@dataclass(frozen=True)
class Rows:
    """The samples of a picture, given by rows.

    Attributes:
        shape: Height, width and samples, alpha among them.
        dtype: Of the samples.
        read: Returns rows ``start`` to ``stop`` as (rows, width, samples).
    """

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    read: Callable[[int, int], Array]


def needs_big(size: int) -> bool:
    """Return whether so many bytes of samples need BigTIFF."""
    return size > _MOST_CLASSIC_BYTES


def write_picture(
    file: BinaryIO,
    picture: Rows,
    encoding: Encoding,
    compression: int,
    planar: int,
    *,
    contiguous: bool = False,
    tile: tuple[int, int] | None = None,
) -> Tree:
    """Write the samples of a picture from here on, and return the tags that say how they are stored.

    Args:
        file: Open for writing.
        picture: Its samples.
        encoding: Of the file.
        compression: By TIFF's number; deflate where it would lose something.
        planar: 1 for samples side by side, 2 for one plane after another.
        tile: Height and width of tiles, to be written instead of strips.
        contiguous: Uncompressed, with nothing between this picture and the next, as ImageJ wants its stacks.
    """
    height, width, count = picture.shape
    compression = _NONE if contiguous else compression if compression in _COMPRESSORS else DEFLATE
    differences = compression != _NONE and picture.dtype.kind == "u"
    planar = planar if count > 1 else 1
    channels: list[slice | list[int]] = [slice(None)] if planar == 1 else [[channel] for channel in range(count)]
    rows = max(1, _STRIP_BYTES // (width * (count if planar == 1 else 1) * picture.dtype.itemsize))
    tile = None if contiguous else tile
    offsets, lengths = [], []
    for chosen in channels:
        for start in range(0, height, tile[0] if tile else rows):
            values = picture.read(start, min(start + (tile[0] if tile else rows), height))[..., chosen]
            for piece in _tiles(values, tile) if tile else [values]:
                offsets.append(file.tell())
                with foreign_code("TIFF"):
                    packed = _COMPRESSORS[compression](_packable(piece, encoding.order, differences))
                    lengths.append(file.write(packed))
    word = LONG8 if encoding.big else LONG
    tree: Tree = {
        Name.WIDTH: encoding.tag(LONG, width),
        Name.LENGTH: encoding.tag(LONG, height),
        Name.BITS: encoding.tag(SHORT, *[picture.dtype.itemsize * 8] * count),
        Name.COMPRESSION: encoding.tag(SHORT, compression),
        Name.SAMPLES: encoding.tag(SHORT, count),
        Name.PLANAR: encoding.tag(SHORT, planar),
        Name.FORMAT: encoding.tag(SHORT, *[_FLOAT if picture.dtype.kind == "f" else _UNSIGNED] * count),
    }
    if tile:
        tree |= {Name.TILE_LENGTH: encoding.tag(LONG, tile[0]), Name.TILE_WIDTH: encoding.tag(LONG, tile[1])}
        tree |= {Name.TILE_OFFSETS: encoding.tag(word, *offsets), Name.TILE_COUNTS: encoding.tag(word, *lengths)}
    else:
        tree |= {Name.ROWS: encoding.tag(LONG, rows), Name.STRIP_OFFSETS: encoding.tag(word, *offsets)}
        tree[Name.STRIP_COUNTS] = encoding.tag(word, *lengths)
    if differences:
        tree[Name.PREDICTOR] = encoding.tag(SHORT, 2)
    return tree


def _tiles(rows: Array, tile: tuple[int, int]) -> Iterator[Array]:
    """Yield the tiles of (rows, width, samples), filled up by its edge."""
    height, width = rows.shape[:2]
    for left in range(0, width, tile[1]):
        part = rows[:, left : left + tile[1]]
        yield np.pad(part, ((0, tile[0] - height), (0, tile[1] - part.shape[1]), (0, 0)), mode="edge")


def write_directories(file: BinaryIO, trees: Sequence[Tree], encoding: Encoding) -> None:
    """Write the directories of all pictures, each leading to the next, and make the head lead to the first."""
    places: list[int] = []
    for number, tree in enumerate(trees):
        file.write(bytes(file.tell() % 2))  # directories stand at even offsets
        places.append(file.tell())
        is_last = number == len(trees) - 1
        packed = tags.pack_tree(tree, encoding, places[-1])
        following = 0 if is_last else places[-1] + len(packed) + len(packed) % 2
        file.write(tags.pack_tree(tree, encoding, places[-1], following))
    file.seek(0)
    file.write(encoding.start(places[0]))


def _packable(rows: Array, order: Order, differences: bool) -> bytes:
    if differences:  # each sample less its left neighbour, wrapping around, packs better
        rows = np.concatenate([rows[:, :1], rows[:, 1:] - rows[:, :-1]], axis=1)
    return rows.astype(rows.dtype.newbyteorder(order), copy=False).tobytes()


def _colour_tags(image: Image, encoding: Encoding) -> Tree:
    layout = image.metadata.tiff
    is_rgb = image.channels == 3 if layout is None else image.channels >= 3 and layout.photometric == RGB
    extra = [0] * (image.channels - (3 if is_rgb else 1))
    if image.alpha is not None:
        extra.append(ASSOCIATED if layout and layout.premultiplied else UNASSOCIATED)
    tree: Tree = {Name.PHOTOMETRIC: encoding.tag(SHORT, RGB if is_rgb else BLACK_IS_ZERO)}
    if extra:
        tree[Name.EXTRA] = encoding.tag(SHORT, *extra)
    return tree


def _metadata_tags(image: Image, encoding: Encoding, present: Tree) -> Tree:
    tree: Tree = {}
    if icc := image.portable_icc:
        tree[Name.ICC] = Tag(UNDEFINED, len(icc), icc)
    if xmp := image.metadata.xmp:
        tree[Name.XMP] = Tag(BYTE, len(xmp), xmp)
    if image.metadata.resolution and Name.X_RESOLUTION not in present:
        tree |= _resolution_tags(image.metadata.resolution, encoding)
    return tree


def _resolution_tags(resolution: Resolution, encoding: Encoding) -> Tree:
    code = {"aspect": 1, "inch": 2}.get(resolution.unit, 3)
    x, y = resolution.per(UNITS[code]) or (1.0, 1.0)

    across, down = (Fraction(value).limit_denominator(100) for value in (x, y))
    if max(across, down) * 100 >= 2**32:  # no pixel is as small
        return {}
    return {
        Name.X_RESOLUTION: encoding.tag(RATIONAL, across.numerator, across.denominator),
        Name.Y_RESOLUTION: encoding.tag(RATIONAL, down.numerator, down.denominator),
        Name.UNIT: encoding.tag(SHORT, code),
    }


def _lzw(data: bytes) -> bytes:
    from imagecodecs import lzw_encode

    return bytes(lzw_encode(data))


def _zstd(data: bytes) -> bytes:
    from imagecodecs import zstd_encode

    return bytes(zstd_encode(data))


_COMPRESSORS: dict[int, Callable[[bytes], bytes]] = {
    _NONE: bytes,
    _LZW: _lzw,
    DEFLATE: zlib.compress,
    _ZSTD: _zstd,
}
