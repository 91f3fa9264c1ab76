"""Which pictures a TIFF file holds, and whether all are there that it describes.

Directories are walked here, since tifffile returns fewer pages, or zeros, from a file that was cut.

Source: TIFF 6.0 (Adobe, 1992); ImageJ's and tifffile's descriptions of stacks; OME-TIFF 2016-06.
"""

import json
import math
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO
from xml.etree import ElementTree

from indi.errors import ImageError
from indi.images import tags
from indi.images.image import MAX_PLANES
from indi.images.tags import Directory, Name, Room, Tag

_COUNTS = ("SizeZ", "SizeC", "SizeT", "FirstZ", "FirstC", "FirstT", "IFD", "PlaneCount", "NumPlanes")
_IMAGEJ_STACK = re.compile(rb"ImageJ=.*?^images=([0-9]{1,9})\b", re.DOTALL | re.MULTILINE)

# Tags that would lead to other pixels, or fewer pictures, where they were taken for absent.
# fmt: off
_ESSENTIAL = frozenset((
    Name.SUBFILE, Name.WIDTH, Name.LENGTH, Name.BITS, Name.COMPRESSION, Name.PHOTOMETRIC, Name.FILL_ORDER,
    Name.STRIP_OFFSETS, Name.SAMPLES, Name.ROWS, Name.STRIP_COUNTS, Name.PLANAR, Name.PREDICTOR, Name.COLOUR_MAP,
    Name.TILE_WIDTH, Name.TILE_LENGTH, Name.TILE_OFFSETS, Name.TILE_COUNTS, Name.EXTRA, Name.FORMAT, Name.JPEG_TABLES,
    Name.SUBSAMPLING, Name.DEPTH, Name.METAMORPH_PLANES,
))
# fmt: on
_NUMBERS = _ESSENTIAL - {Name.JPEG_TABLES, Name.METAMORPH_PLANES}


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
        behind = max(_planes_behind(every[0]), 1)
        if behind > MAX_PLANES:
            raise ImageError(f"TIFF of more than {MAX_PLANES:,} pictures; save it as several files")
        return found, behind
    _check_series([directory for _, directory in found])
    return found, 1


def _every_directory(file: BinaryIO) -> Iterator[Directory]:
    encoding, offset = tags.read_start(file)
    room, seen = Room(file.seek(0, 2)), set[int]()
    while offset or not seen:
        if offset in seen:
            raise ImageError("damaged TIFF: its directories run in a circle")
        seen.add(offset)
        tree, offset = tags.read_tree(file, encoding, offset, room, essential=_ESSENTIAL)
        directory = Directory(tree, encoding)
        for tag in _NUMBERS:
            directory.number(tag, 0)
        yield directory


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
    claim = f"{described:,}" if described <= MAX_PLANES else f"more than {MAX_PLANES:,}"
    return ImageError(f"TIFF cut short: {claim} pictures are described, {there:,} are there; {advice}")


def is_of_imagej(directory: Directory) -> bool:
    """Return whether ImageJ, or Fiji, wrote the description."""
    return (directory.data(Name.DESCRIPTION) or b"").startswith(b"ImageJ=")


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
        if any(number > MAX_PLANES for element in root.iter() for number in _claims(element)):
            raise ImageError(f"OME's description claims more than {MAX_PLANES:,} pictures; save the image again")
        blocks = [
            block
            for pixels in root.iterfind(".//{*}Pixels")
            for block in _blocks_of_ome(pixels, root.get("UUID"), name, directory.number(Name.SAMPLES, 1))
        ]
    except (ElementTree.ParseError, ValueError):
        return 0
    return max(blocks, default=0)


def _claims(element: ElementTree.Element) -> Iterator[float]:
    """Yield the numbers of planes, and places among them, that an element of OME's description tells."""
    for name in _COUNTS:
        if name in element.attrib:
            yield int(element.attrib[name])
    if "Along" in element.tag and "Start" in element.attrib:  # axes within another
        start, end, step = (float(element.get(name, 1)) for name in ("Start", "End", "Step"))
        yield abs((end - start) / step) if step else math.inf


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
    return next(filter(None, map(shape_note, directory.all(Name.DESCRIPTION))), None)


def shape_note(description: Tag) -> dict[str, Any] | None:
    """Return the content of a description of tifffile's own kind: JSON that begins with the array's shape."""
    if not description.data.startswith(b'{"shape":'):
        return None
    try:
        content: dict[str, Any] = json.loads(description.data.rstrip(b"\0"))
    except (ValueError, RecursionError):
        return None
    shape = content["shape"]
    return content if isinstance(shape, list) and all(isinstance(size, int) for size in shape) else None
