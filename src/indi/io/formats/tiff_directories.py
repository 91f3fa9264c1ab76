"""Which pictures a TIFF file holds, and whether all are there that it describes.

Directories are read here, since tifffile returns fewer pages, or zeros, from a file that was cut.

Source: TIFF 6.0 (Adobe, 1992); ImageJ's and tifffile's descriptions of stacks; OME-TIFF 2016-06.
"""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

from indi.errors import ImageError
from indi.io.formats import ome, tags
from indi.io.formats.tags import ASCII, Directory, Name, Room, Tag
from indi.io.image import MAX_PLANES

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
# Notes of MetaMorph, Zeiss LSM, Olympus SIS and NDPI that point to other parts of the file, which another has not.
OF_PLACES = frozenset((33628, 33629, 33630, 33631, 34412, 33560, 65324, 65325, 65426, 65432))
_NUMBERS = _ESSENTIAL - {Name.JPEG_TABLES, Name.METAMORPH_PLANES}


@dataclass(frozen=True)
class Found:
    """The pictures of a file.

    Attributes:
        directories: Of each picture.
        places: Of these, among all directories of the file: reduced copies are left out.
        behind: How many pictures lie behind a directory; more than one only where it is the only one.
        left_out: What of the file no file made from it can hold, in words.
    """

    directories: list[Directory]
    places: list[int]
    behind: int
    left_out: tuple[str, ...]


def directories(file: BinaryIO) -> Found:
    """Return what pictures a file holds.

    Raises:
        ImageError: damaged, cut short, or with several pictures behind one directory of several.
    """
    every = list(_every_directory(file))
    described = every[0]
    every[0] = _of_this_file(described, Path(str(getattr(file, "name", ""))).name, len(every))
    places = [place for place, each in enumerate(every) if place == 0 or not each.number(Name.SUBFILE, 0) & 1]
    found = [every[place] for place in places]
    left_out = []
    if len(found) < len(every) or any(Name.SUB_DIRECTORIES in each.tree for each in found):
        left_out.append("levels of lower resolution")
    if len(every[0].all(Name.DESCRIPTION)) < len(described.all(Name.DESCRIPTION)):
        left_out.append("the description in another file of its set")
    if any(tag in OF_PLACES for tag in described.tree):
        left_out.append("notes of the microscope that point into the file it came from")
    if len(found) > 1:
        _check_series(found)
        return Found(found, places, 1, tuple(left_out))
    behind = max(_planes_behind(every[0]), 1)
    if behind > MAX_PLANES:
        raise ImageError(f"TIFF of more than {MAX_PLANES:,} pictures; save it as several files")
    return Found(found, places, behind, tuple(left_out))


def ome_notes(first: Directory) -> str | None:
    """Return OME's description, if there is one."""
    found = (description.data for description in first.all(Name.DESCRIPTION))
    return next((text.rstrip(b"\0").decode("utf-8", "replace") for text in found if ome.is_ome(text)), None)


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


def _of_this_file(first: Directory, name: str, count: int) -> Directory:
    """Return the first directory with OME's description, if it has one, as that of this file alone.

    Raises:
        ImageError: It describes more pictures in this file than there are.
    """
    found = first.all(Name.DESCRIPTION)
    number = next((number for number, each in enumerate(found) if ome.is_ome(each.data)), None)
    if number is None:
        return first
    described = ome.planes_needed(found[number].data, name, first.number(Name.SAMPLES, 1))
    if count < described:
        raise _cut_short(described, count)
    text = ome.alone(found[number].data, name)
    found[number : number + 1] = [] if text is None else [Tag(ASCII, len(text), text)]
    tree = {tag: value for tag, value in first.tree.items() if tag != Name.DESCRIPTION}
    if found:
        tree[Name.DESCRIPTION] = replace(found[0], others=tuple(found[1:]))
    return replace(first, tree=tree)


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
    """Return whether tifffile's description counts pictures from it on, and is no copy of the one before.

    ImageJ's counts those of a whole file: behind the first it is a note that another program took over.
    """
    is_copy = directory.all(Name.DESCRIPTION) == before.all(Name.DESCRIPTION)
    return not is_copy and _shaped_description(directory) is not None


def _cut_short(described: int, there: int) -> ImageError:
    advice = "copy it again, or save what is there again"
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
