"""Read TIFF: 8 and 16 bit and 32-bit float, any number of channels, alpha; one picture a file.

Directories are walked here, since tifffile returns fewer pages, or zeros, from a file that was cut; it then
decodes the strips and tiles.

Source: TIFF 6.0 (Adobe, 1992); BigTIFF (2007); ImageJ's and tifffile's descriptions of stacks; OME-TIFF 2016-06.
"""

import json
import logging
import math
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO
from xml.etree import ElementTree

import numpy as np

from indi.errors import ImageError
from indi.images import tags
from indi.images.convert import Array
from indi.images.image import (
    MAX_CHANNELS,
    Header,
    Image,
    Metadata,
    Resolution,
    TiffLayout,
    Unit,
    foreign_code,
)
from indi.images.tags import ASCII, RATIONAL, Directory, Name, Tag

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, YCBCR = 0, 1, 2, 3, 6
ASSOCIATED, UNASSOCIATED = 1, 2
UNITS: dict[int, Unit] = {1: "aspect", 2: "inch", 3: "cm"}

_REFUSED_COLOURS = {PALETTE: "palette", 4: "mask", 5: "CMYK", 8: "Lab", 9: "Lab", 10: "Lab", 32803: "raw sensor"}
_DTYPES = {(1, 1): np.uint8, (8, 1): np.uint8, (16, 1): np.uint16, (32, 3): np.float32}  # by bits and format
_FORMATS = {1: "unsigned", 2: "signed", 3: "float", 5: "complex integer", 6: "complex"}
_JPEG = 7
_IMAGEJ_STACK = re.compile(rb"ImageJ=.*?^images=([0-9]{1,9})\b", re.DOTALL | re.MULTILINE)
_LARGEST_PADDING = 2**24  # pixels of a tile, where the image is smaller than the tile

# How pixels are stored, which is decided anew when they are written; and copies of the picture.
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
    found, behind = directories(file)
    return [page_of(directory, found[0][1]).header for _, directory in found] * behind


def decode(file: BinaryIO) -> Image:
    """Return the image; white-is-zero is turned to black-is-zero, one bit becomes 0 and 255.

    Raises:
        ImageError: damaged, cut short, or of a kind that is refused.
    """
    from tifffile import TiffFile

    page = _page(file)
    check_pieces(page, file.seek(0, 2))
    file.seek(0)
    with foreign_code("damaged TIFF"), TiffFile(file, _multifile=False) as opened:
        samples = opened.pages.first.asarray(squeeze=False)
    height, width, dtype = page.header.height, page.header.width, page.header.dtype
    planes, interleaved = (1, page.samples) if page.planar == 1 else (page.samples, 1)
    if samples.shape != (planes, 1, height, width, interleaved):
        raise ImageError(f"damaged TIFF: it decodes to shape {samples.shape}, against its directory")
    samples = np.moveaxis(samples[:, 0], 0, -2).reshape(height, width, page.samples)
    if page.bits == 1:
        samples = samples.astype(np.uint8) * np.uint8(255)
    if samples.dtype.newbyteorder("=") != dtype:
        raise ImageError(f"damaged TIFF: it decodes to {samples.dtype}, against its directory")
    if page.photometric == WHITE_IS_ZERO:
        samples = np.invert(samples)
    pixels, alpha = split(samples.astype(dtype, copy=False), page)
    return Image(pixels, alpha, _metadata(page))


def _page(file: BinaryIO) -> Page:
    found, behind = directories(file)
    if (pages := len(found) * behind) > 1:
        raise ImageError(f"holds {pages:,} pictures where a single one is needed; save it as files of one")
    return page_of(found[0][1], found[0][1])


def directories(file: BinaryIO) -> tuple[list[tuple[int, Directory]], int]:
    """Return the directory of each picture with its place among all of them, and how many pictures lie behind it.

    Reduced copies are left out. More than one picture lies behind a directory only where it is the only one.

    Raises:
        ImageError: damaged, cut short, or with several pictures behind one directory of several.
    """
    every = list(_every_directory(file))
    described = _planes_of_ome(every[0], Path(str(getattr(file, "name", ""))).name)
    if len(every) < described:
        raise _cut_short(described, len(every))
    found = [(place, each) for place, each in enumerate(every) if place == 0 or not each.number(Name.SUBFILE, 0) & 1]
    if len(found) == 1:
        return found, max(_planes_behind(every[0]), 1)
    _check_series([directory for _, directory in found])
    return found, 1


def _every_directory(file: BinaryIO) -> Iterator[Directory]:
    encoding, offset = tags.read_start(file)
    seen: set[int] = set()
    while offset or not seen:
        if offset in seen:
            raise ImageError("damaged TIFF: its directories run in a circle")
        seen.add(offset)
        tree, offset = tags.read_tree(file, encoding, offset)
        yield Directory(tree, encoding)


def _check_series(found: list[Directory]) -> None:
    """Refuse series of pictures, each counted in the description of its first, if a picture has no directory."""
    for directory in found:
        planes = directory.number(Name.DEPTH, 1)
        if (_shaped_description(directory) or {}).get("truncated"):
            planes = max(planes, _planes_behind(directory))
        if planes > 1:
            raise ImageError(f"TIFF of {planes} pictures behind one directory of several; save it as a plain stack")
    starts = [0, *(index for index in range(1, len(found)) if _begins_series(found[index], found[index - 1]))]
    for start, following in pairwise([*starts, len(found)]):
        if (planes := _planes_behind(found[start])) > following - start:
            raise _cut_short(planes, following - start)


def _begins_series(directory: Directory, before: Directory) -> bool:
    """Return whether its description counts pictures, and is no copy of the one before."""
    is_copy = directory.all(Name.DESCRIPTION) == before.all(Name.DESCRIPTION)
    return not is_copy and _described_planes(directory) is not None


def _cut_short(described: int, there: int) -> ImageError:
    advice = "copy it again, or save what is there anew"
    return ImageError(f"TIFF cut short: {described:,} pictures are described, {there:,} are there; {advice}")


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
    dtype = _DTYPES.get((bits[0], formats[0]))
    if dtype is None or {*bits} != {bits[0]} or {*formats} != {formats[0]} or (bits[0] == 1 and samples > 1):
        kind = f"{'/'.join(str(each) for each in sorted({*bits}))}-bit {_FORMATS.get(formats[0], 'unknown')}"
        raise ImageError(f"TIFF of {kind} pixels; convert it to 8 or 16 bit unsigned or 32-bit float first")
    extra = directory.numbers(Name.EXTRA)
    channels = samples - sum(kind != 0 for kind in extra)
    page = Page(
        header=Header(height, width, channels, np.dtype(dtype)),
        directory=directory,
        bits=bits[0],
        samples=samples,
        extra=extra,
        photometric=directory.number(Name.PHOTOMETRIC, BLACK_IS_ZERO),
        compression=directory.number(Name.COMPRESSION, 1),
        planar=planar,
    )
    is_imagejs = page.photometric == PALETTE and (page.bits, page.samples) == (8, 1) and _is_of_imagej(first)
    if is_imagejs and _only_rises(directory.numbers(Name.COLOUR_MAP)):  # gray values, and the colours to show them in
        page = replace(page, photometric=BLACK_IS_ZERO)
    _check_colours(page)
    return page


def _is_of_imagej(directory: Directory) -> bool:
    return (directory.data(Name.DESCRIPTION) or b"").startswith(b"ImageJ=")


def _only_rises(colour_map: list[int]) -> bool:
    """Return whether red, green and blue never fall: in a table of a picture's own colours, values mean nothing."""
    channels = np.array(colour_map).reshape(3, -1) if len(colour_map) == 3 * 256 else np.array([[1, 0]])
    return bool((np.diff(channels) >= 0).all())


def _check_colours(page: Page) -> None:
    """Refuse what gray, RGB or plain channels cannot stand for."""
    is_gray = page.photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO)
    is_rgb = page.photometric == RGB or (page.photometric == YCBCR and page.compression == _JPEG)
    if not (is_gray or is_rgb):
        kind = _REFUSED_COLOURS.get(page.photometric, f"colour kind {page.photometric}")
        raise ImageError(f"{kind} TIFF; convert it to gray or RGB first")
    if page.photometric == WHITE_IS_ZERO and (page.header.dtype == np.float32 or page.samples > 1):
        raise ImageError("white-is-zero TIFF of floats or several channels; store it with black as zero first")
    if page.samples < (1 if is_gray else 3) + len(page.extra):
        raise ImageError(f"damaged TIFF: {page.samples} channels, of which {len(page.extra)} are extra")
    if not {*page.extra} <= {0, ASSOCIATED, UNASSOCIATED} or page.samples - page.header.channels > 1:
        raise ImageError("TIFF with several alpha channels, or of an unknown kind; keep one")
    if page.header.channels > MAX_CHANNELS:
        raise ImageError(f"TIFF of {page.header.channels:,} channels; {MAX_CHANNELS} at most are read")


def _planes_behind(directory: Directory) -> int:
    """Return how many pictures lie behind one directory, as tifffile, ImageJ and MetaMorph write stacks."""
    if (described := _described_planes(directory)) is not None:
        return described
    planes = directory.tree.get(Name.METAMORPH_PLANES)
    return max(directory.number(Name.DEPTH, 1), planes.count if isinstance(planes, Tag) else 1)


def _described_planes(directory: Directory) -> int | None:
    """Return how many pictures a description of tifffile or ImageJ counts from this one on; None without it."""
    if (shaped := _shaped_description(directory)) is not None:
        interleaved = (Name.LENGTH, Name.WIDTH, Name.SAMPLES)
        tags_of_page = interleaved if directory.number(Name.PLANAR, 1) == 1 else interleaved[2:] + interleaved[:2]
        page = [size for size in (directory.number(tag, 1) for tag in tags_of_page) if size != 1]
        shape = [size for size in shaped["shape"] if size != 1]  # of another page where a program cut it since
        is_stack = len(shape) > len(page) and shape[-len(page) :] == page
        return math.prod(shape[: -len(page)]) if is_stack else 1
    found = _IMAGEJ_STACK.match(directory.data(Name.DESCRIPTION) or b"")
    return int(found[1]) if found else None


def _planes_of_ome(directory: Directory, name: str) -> int:
    """Return how many directories OME's description needs in this file; 0 where it is missing or not understood.

    Args:
        directory: The first of the file.
        name: Of the file: planes that are said to lie in others are not counted.
    """
    texts = (tag.data.rstrip(b"\0 \t\r\n") for tag in directory.all(Name.DESCRIPTION))
    text = next((text for text in texts if text.endswith(b"OME>")), None)
    if text is None:
        return 0
    try:
        root = ElementTree.fromstring(text.decode("utf-8", "replace"))
        blocks = [
            block
            for pixels in root.iterfind(".//{*}Pixels")
            for block in _blocks_of_ome(pixels, root.get("UUID"), name, directory.number(Name.SAMPLES, 1))
        ]
    except (ElementTree.ParseError, ValueError):
        return 0
    return max(blocks, default=0)


def _blocks_of_ome(pixels: ElementTree.Element, uuid: str | None, name: str, samples: int) -> Iterator[int]:
    """Yield how many directories this file must have for each block of planes that lies in it."""
    sizes = {axis: int(pixels.get(f"Size{axis}", 1)) for axis in "ZCT"}
    channel = pixels.find("{*}Channel")
    if channel is not None:
        samples = int(channel.get("SamplesPerPixel", samples))
    planes = sizes["Z"] * sizes["T"] * max(sizes["C"] // max(samples, 1), 1)
    blocks = pixels.findall("{*}TiffData")
    for block in blocks:
        owner = block.find("{*}UUID")
        if owner is not None and owner.text != (uuid or "") and owner.get("FileName", "").casefold() != name.casefold():
            continue
        if any(int(block.get(f"First{axis}", 0)) >= size for axis, size in sizes.items()):
            continue  # a block past the sizes is left from before the image was cropped
        count = block.get("PlaneCount", block.get("NumPlanes"))
        alone = len(blocks) == 1 and "IFD" not in block.attrib
        yield int(block.get("IFD", 0)) + min(planes, int(count) if count else planes if alone else 1)


def _shaped_description(directory: Directory) -> dict[str, Any] | None:
    """Return what tifffile notes for itself, if it does."""
    return next(filter(None, map(_shape_note, directory.all(Name.DESCRIPTION))), None)


def _shape_note(description: Tag) -> dict[str, Any] | None:
    """Return the content of a description of tifffile's own kind: JSON that begins with the array's shape."""
    if not description.data.startswith(b'{"shape":'):
        return None
    try:
        content: dict[str, Any] = json.loads(description.data.rstrip(b"\0"))
    except (ValueError, RecursionError):
        return None
    shape = content["shape"]
    return content if isinstance(shape, list) and all(isinstance(size, int) for size in shape) else None


def layout_of(page: Page) -> tuple[int, int, list[int], list[int]]:
    """Return width and height of the strips or tiles, and where each begins and how many bytes it has."""
    height, width, directory = page.header.height, page.header.width, page.directory
    if Name.TILE_OFFSETS in directory.tree:
        across, down = directory.number(Name.TILE_WIDTH, 0), directory.number(Name.TILE_LENGTH, 0)
        return across, down, directory.numbers(Name.TILE_OFFSETS), directory.numbers(Name.TILE_COUNTS)
    down = min(directory.number(Name.ROWS, height), height)
    return width, down, directory.numbers(Name.STRIP_OFFSETS), directory.numbers(Name.STRIP_COUNTS)


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


def split(samples: Array, page: Page) -> tuple[Array, Array | None]:
    """Return pixels and alpha of (H, W, samples)."""
    places = [page.samples - len(page.extra) + index for index, kind in enumerate(page.extra) if kind]
    pixels = np.delete(samples, places, axis=2) if places else samples
    if pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    return np.ascontiguousarray(pixels), np.ascontiguousarray(samples[..., places[0]]) if places else None


def _metadata(page: Page) -> Metadata:
    directory = page.directory
    own_fields = {*OF_STORAGE, Name.ICC, Name.XMP}
    kept = {number: value for number, value in directory.tree.items() if number not in own_fields}
    if descriptions := list(_descriptions(directory)):
        kept[Name.DESCRIPTION] = replace(descriptions[0], others=tuple(descriptions[1:]))
    else:
        kept.pop(Name.DESCRIPTION, None)
    stored_again = {WHITE_IS_ZERO: BLACK_IS_ZERO, YCBCR: RGB}.get(page.photometric, page.photometric)
    return Metadata(
        icc=directory.data(Name.ICC),
        exif=tags.pack_block(kept, directory.encoding.order) if kept else None,
        xmp=directory.data(Name.XMP),
        resolution=_resolution(directory),
        tiff=TiffLayout(page.compression, stored_again, page.planar, ASSOCIATED in page.extra),
    )


def _descriptions(directory: Directory) -> Iterator[Tag]:
    """Yield the descriptions; tifffile's note without the shape, since the new file may hold another."""
    for description in directory.all(Name.DESCRIPTION):
        note = _shape_note(description)
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
