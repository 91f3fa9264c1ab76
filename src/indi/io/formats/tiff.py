"""Read TIFF: 8 and 16 bit and 32-bit float, any number of channels, alpha; one picture a file.

tifffile decodes the strips and tiles, once it is known that they are all there.

Source: TIFF 6.0 (Adobe, 1992); BigTIFF (2007).
"""

import json
import logging
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO

import numpy as np

from indi.errors import ImageError
from indi.io.convert import Array
from indi.io.formats import ome, tags
from indi.io.formats.tags import ASCII, RATIONAL, Directory, Name, Tag
from indi.io.formats.tiff_directories import OF_PLACES, directories, is_of_imagej, shape_note
from indi.io.image import (
    MAX_CHANNELS,
    Header,
    Image,
    Metadata,
    Resolution,
    TiffLayout,
    Unit,
    foreign_code,
)

SIGNATURES = (rb"II[*+]\0", rb"MM\0[*+]")  # as regular expressions

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, YCBCR = 0, 1, 2, 3, 6
ASSOCIATED, UNASSOCIATED = 1, 2
UNITS: dict[int, Unit] = {1: "aspect", 2: "inch", 3: "cm"}

_REFUSED_COLOURS = {PALETTE: "palette", 4: "mask", 5: "CMYK", 8: "Lab", 9: "Lab", 10: "Lab", 32803: "raw sensor"}
# By bits and format: the type of the file, and the one it is read as; where they differ, if nothing is lost.
# fmt: off
_DTYPES = {
    (1, 1): ("u1", "u1"), (8, 1): ("u1", "u1"), (16, 1): ("u2", "u2"), (32, 1): ("u4", "u2"),
    (8, 2): ("i1", "u1"), (16, 2): ("i2", "u2"), (32, 2): ("i4", "u2"),
    (16, 3): ("f2", "f4"), (32, 3): ("f4", "f4"), (64, 3): ("f8", "f4"),
}
# fmt: on
_FORMATS = {1: "unsigned", 2: "signed", 3: "float", 5: "complex integer", 6: "complex"}
_FORMAT_OF = {"u": 1, "i": 2, "f": 3}
_UNCOMPRESSED, _JPEG = 1, 7
_MOST_UNPACKED = {_UNCOMPRESSED: 1, 5: 1500, 8: 1100, 32946: 1100, 32773: 64}  # bytes that a stored one can become
_ALIGNED = 4  # bytes, to which uncompressed strips may be filled up
_LARGEST_PADDING = 2**24  # pixels of a tile, where the image is smaller than the tile

# How pixels are stored, which is decided again when they are written; and copies of the picture.
# fmt: off
OF_STORAGE = frozenset((
    *range(254, 260), *range(262, 267), 273, *range(277, 282), 284, *range(288, 294), 317, *range(321, 331),
    *range(338, 343), 347, 400, *range(512, 522), *range(529, 533), 559, 32997, 32998, 33421, 33422,
))
# fmt: on

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # else its remarks reach stderr


@dataclass(frozen=True)
class Page:
    """A picture, its directory checked."""

    header: Header
    directory: Directory
    stored: np.dtype[np.generic]
    bits: int
    samples: int
    extra: list[int]
    photometric: int
    compression: int
    planar: int


def headers(file: BinaryIO) -> list[Header]:
    """Return what the directory of each picture says.

    Raises:
        ImageError: damaged, cut short, or of a kind that is refused.
    """
    found = directories(file)
    pages = [page_of(directory, found.directories[0]) for directory in found.directories]
    check_planes(pages[0], found.behind, file.seek(0, 2))
    return [page.header for page in pages] * found.behind


def decode(file: BinaryIO) -> Image:
    """Return the first image; white-is-zero is turned to black-is-zero, one bit becomes 0 and 255.

    Raises:
        ImageError: damaged, cut short, or of a kind that is refused.
    """
    from tifffile import TiffFile

    found = directories(file)
    page = page_of(found.directories[0], found.directories[0])
    check_pieces(page, file.seek(0, 2))
    file.seek(0)
    with foreign_code("damaged TIFF"), TiffFile(file) as opened:
        samples = opened.pages.first.asarray(squeeze=False)
    height, width = page.header.height, page.header.width
    planes, interleaved = (1, page.samples) if page.planar == 1 else (page.samples, 1)
    if samples.shape != (planes, 1, height, width, interleaved):
        raise ImageError(f"damaged TIFF: it decodes to shape {samples.shape}, against its directory")
    samples = np.moveaxis(samples[:, 0], 0, -2).reshape(height, width, page.samples)
    if page.bits == 1:
        samples = samples.astype(np.uint8) * np.uint8(255)
    if samples.dtype.newbyteorder("=") != page.stored:
        raise ImageError(f"damaged TIFF: it decodes to {samples.dtype}, against its directory")
    if page.photometric == WHITE_IS_ZERO:
        samples = np.invert(samples)
    pixels, alpha = split(as_read(samples, page), page)
    return Image(pixels, alpha, _metadata(page, found.left_out))


def page_of(directory: Directory, first: Directory) -> Page:
    """Return the picture that a directory describes; the first of the file tells whether ImageJ wrote it.

    Raises:
        ImageError: damaged, or of a kind that is refused.
    """
    width, height = directory.number(Name.WIDTH, 0), directory.number(Name.LENGTH, 0)
    samples = directory.number(Name.SAMPLES, 1)
    planar = directory.number(Name.PLANAR, 1)
    if not (width and height and samples and planar in (1, 2)):
        raise ImageError(f"damaged TIFF: {height} x {width} pixels, {samples} channels, planar kind {planar}")
    bits, formats = directory.numbers(Name.BITS) or [1], directory.numbers(Name.FORMAT) or [1]
    types = _DTYPES.get((bits[0], formats[0]))
    if types is None or {*bits} != {bits[0]} or {*formats} != {formats[0]} or (bits[0] == 1 and samples > 1):
        kind = f"{'/'.join(str(each) for each in sorted({*bits}))}-bit {_FORMATS.get(formats[0], 'unknown')}"
        raise ImageError(f"TIFF of {kind} pixels; convert it to 8 or 16 bit unsigned or 32-bit float first")
    extra = directory.numbers(Name.EXTRA)
    channels = samples - sum(kind != 0 for kind in extra)
    photometric = directory.number(Name.PHOTOMETRIC, BLACK_IS_ZERO)
    are_apart = channels == 3 and photometric not in (RGB, YCBCR)  # of other numbers nobody takes them for colours
    page = Page(
        header=Header(height, width, channels, np.dtype(types[1]), are_apart),
        directory=directory,
        stored=np.dtype(types[0]),
        bits=bits[0],
        samples=samples,
        extra=extra,
        photometric=photometric,
        compression=directory.number(Name.COMPRESSION, 1),
        planar=planar,
    )
    is_imagejs = page.photometric == PALETTE and (page.bits, page.samples) == (8, 1) and is_of_imagej(first)
    colours = directory.numbers(Name.COLOUR_MAP) if page.photometric == PALETTE else []
    if (is_imagejs and _only_rises(colours)) or _is_identity(colours, page):  # gray, and the colours to show it in
        page = replace(page, photometric=BLACK_IS_ZERO)
    _check_colours(page)
    return page


def _only_rises(colour_map: list[int]) -> bool:
    """Return whether red, green and blue never fall: in a table of a picture's own colours, values mean nothing."""
    channels = np.array(colour_map).reshape(3, -1) if len(colour_map) == 3 * 256 else np.array([[1, 0]])
    return bool((np.diff(channels) >= 0).all())


def _is_identity(colour_map: list[int], page: Page) -> bool:
    """Return whether a table gives each value as the gray of that value: on 8 bits, or on 16."""
    if page.bits not in (8, 16) or page.samples != 1 or len(colour_map) != 3 * 2**page.bits:
        return False
    channels, values = np.array(colour_map).reshape(3, -1), np.arange(2**page.bits)
    return any((channels == scale * values).all() for scale in ((1, 256, 257) if page.bits == 8 else (1,)))


def as_read(samples: Array, page: Page) -> Array:
    """Return samples of the file's type as those of the type that they are read as.

    Raises:
        ImageError: something would be lost.
    """
    samples, dtype = samples.astype(samples.dtype.newbyteorder("="), copy=False), page.header.dtype
    if samples.dtype == dtype:
        return samples
    with np.errstate(over="ignore"):
        read = samples.astype(dtype)
    lost = int(np.count_nonzero((read != samples) & ~np.isnan(samples)))
    if lost:
        kind = f"{page.bits}-bit {_FORMATS[_FORMAT_OF[samples.dtype.kind]]}"
        raise ImageError(
            f"TIFF of {kind} pixels, of which {lost:,} would be changed by reading them as {dtype}; convert it to 8 or "
            "16 bit unsigned or 32-bit float first"
        )
    return read


def _check_colours(page: Page) -> None:
    """Refuse what gray, RGB or plain channels cannot stand for."""
    is_gray = page.photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO)
    is_rgb = page.photometric == RGB or (page.photometric == YCBCR and page.compression == _JPEG)
    if not (is_gray or is_rgb):
        kind = _REFUSED_COLOURS.get(page.photometric, f"colour kind {page.photometric}")
        raise ImageError(f"{kind} TIFF; convert it to gray or RGB first")
    if page.photometric == WHITE_IS_ZERO and (page.stored.kind != "u" or page.bits > 16 or page.samples > 1):
        raise ImageError("white-is-zero TIFF of floats or several channels; store it with black as zero first")
    if page.samples < (1 if is_gray else 3) + len(page.extra):
        raise ImageError(f"damaged TIFF: {page.samples} channels, of which {len(page.extra)} are extra")
    if not {*page.extra} <= {0, ASSOCIATED, UNASSOCIATED} or page.samples - page.header.channels > 1:
        raise ImageError("TIFF with several alpha channels, or of an unknown kind; keep one")
    if page.header.channels > MAX_CHANNELS:
        raise ImageError(f"TIFF of {page.header.channels:,} channels; {MAX_CHANNELS} at most are read")


def layout_of(page: Page) -> tuple[int, int, list[int], list[int]]:
    """Return width and height of the strips or tiles, and where each begins and how many bytes it has."""
    height, width, directory = page.header.height, page.header.width, page.directory
    if Name.TILE_OFFSETS in directory.tree:
        across, down = directory.number(Name.TILE_WIDTH, 0), directory.number(Name.TILE_LENGTH, 0)
        return across, down, directory.numbers(Name.TILE_OFFSETS), directory.numbers(Name.TILE_COUNTS)
    down = min(directory.number(Name.ROWS, height), height)
    return width, down, directory.numbers(Name.STRIP_OFFSETS), directory.numbers(Name.STRIP_COUNTS)


def tile_of(page: Page) -> tuple[int, int] | None:
    """Return height and width of the tiles, if there are any."""
    across, down, *_ = layout_of(page)
    return (down, across) if Name.TILE_OFFSETS in page.directory.tree else None


def check_pieces(page: Page, length: int) -> None:
    """Refuse strips and tiles that are missing or end outside of the file: a decoder may fill in zeros.

    Raises:
        ImageError: the file is cut short or damaged.
    """
    height, width = page.header.height, page.header.width
    across, down, offsets, counts = layout_of(page)
    if not across or not down or across * down > max(height * width, _LARGEST_PADDING):
        raise ImageError(f"damaged TIFF: pieces of {down:,} x {across:,} pixels")
    pieces = math.ceil(width / across) * math.ceil(height / down) * (1 if page.planar == 1 else page.samples)
    if not len(offsets) == len(counts) == pieces:
        raise ImageError(f"damaged TIFF: {pieces:,} pieces are needed, {len(offsets):,} are listed")
    if not all(offsets) or not all(counts):
        raise ImageError("TIFF with empty pieces: a part of its pixels is missing; save it in full")
    if any(offset + count > length for offset, count in zip(offsets, counts, strict=True)):
        raise ImageError("TIFF cut short: a part of its pixels is missing; copy it again")
    _check_lengths(page, across, down, counts)


def _check_lengths(page: Page, across: int, down: int, counts: list[int]) -> None:
    """Refuse strips and tiles that are too short for their pixels, and uncompressed ones that are too long.

    Then their compression is another than the directory says, or a part of them is missing.
    """
    samples = page.samples if page.planar == 1 else 1
    row = -(-across * samples * page.bits // 8)
    is_tiled = Name.TILE_OFFSETS in page.directory.tree
    tops = range(0, page.header.height, down)
    rows = [down if is_tiled else min(down, page.header.height - top) for top in tops]
    beside = math.ceil(page.header.width / across)
    needed = [each * row for each in rows for _ in range(beside)] * (1 if page.planar == 1 else page.samples)
    longest = -(-down * row // _ALIGNED) * _ALIGNED  # some writers say of the last strip what is true of the others
    most = _MOST_UNPACKED.get(page.compression, math.inf)
    for count, size in zip(counts, needed, strict=True):
        if count * most < size:
            raise ImageError(f"damaged TIFF: {count:,} bytes where {size:,} bytes of pixels are; save it again")
        if page.compression == _UNCOMPRESSED and count > longest:
            raise ImageError(f"damaged TIFF: {count:,} bytes where {longest:,} bytes of pixels are; save it again")


def check_planes(page: Page, behind: int, length: int) -> None:
    """Refuse more pictures behind one directory than the file can hold: they are not compressed.

    Raises:
        ImageError: the file is cut short or damaged.
    """
    size = page.header.height * page.header.width * page.samples * page.bits // 8
    if behind > 1 and page.compression == _UNCOMPRESSED and behind * size > length:
        raise ImageError(f"TIFF cut short: it says that it holds {behind:,} pictures, and does not; copy it again")


def split(samples: Array, page: Page) -> tuple[Array, Array | None]:
    """Return pixels and alpha of (H, W, samples)."""
    places = [page.samples - len(page.extra) + index for index, kind in enumerate(page.extra) if kind]
    pixels = np.delete(samples, places, axis=2) if places else samples
    if pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    return np.ascontiguousarray(pixels), np.ascontiguousarray(samples[..., places[0]]) if places else None


def _metadata(page: Page, left_out: tuple[str, ...]) -> Metadata:
    directory = page.directory
    own_fields = {*OF_STORAGE, *OF_PLACES, Name.ICC, Name.XMP}
    kept = {number: value for number, value in directory.tree.items() if number not in own_fields}
    if descriptions := [typed(description, page) for description in _descriptions(directory)]:
        kept[Name.DESCRIPTION] = replace(descriptions[0], others=tuple(descriptions[1:]))
    else:
        kept.pop(Name.DESCRIPTION, None)
    stored_again = {WHITE_IS_ZERO: BLACK_IS_ZERO, YCBCR: RGB}.get(page.photometric, page.photometric)
    return Metadata(
        icc=directory.data(Name.ICC),
        exif=tags.pack_block(kept, directory.encoding.order) if kept else None,
        xmp=directory.data(Name.XMP),
        resolution=_resolution(directory),
        tiff=TiffLayout(page.compression, stored_again, page.planar, ASSOCIATED in page.extra, tile_of(page)),
        left_out=left_out,
    )


def typed(description: Tag, page: Page) -> Tag:
    """Return a description of the pixels as they are read."""
    if page.stored == page.header.dtype:
        return description
    text = ome.of_type(description.data, page.header.dtype.name)
    return replace(description, count=len(text), data=text)


def _descriptions(directory: Directory) -> Iterator[Tag]:
    """Yield the descriptions; tifffile's note without the shape, since the new file may hold another."""
    for description in directory.all(Name.DESCRIPTION):
        note = shape_note(description)
        if note is None:
            yield description
            continue
        del note["shape"]
        if note:
            text = json.dumps(note).encode() + b"\0"
            yield Tag(ASCII, len(text), text)


def _resolution(directory: Directory) -> Resolution | None:
    x, y = (_rational(directory, tag) for tag in (Name.X_RESOLUTION, Name.Y_RESOLUTION))
    unit = UNITS.get(directory.number(Name.UNIT, 2))
    if not (x and y and unit) or (x, y, unit) == (1, 1, "aspect"):
        return None
    return Resolution(x, y, unit)


def _rational(directory: Directory, tag: int) -> float:
    """Return a positive rational, or 0 where there is none."""
    value = directory.tree.get(tag)
    if not isinstance(value, Tag) or value.kind != RATIONAL:
        return 0.0
    above, below = struct.unpack_from(directory.encoding.order + "2I", value.data)
    return float(above / below) if below else 0.0
