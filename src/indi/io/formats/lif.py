"""LIF, of Leica microscopes, by liffile; read only. Each image of a project is a series.

Source: liffile, https://github.com/cgohlke/liffile.
"""

import logging
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from indi.errors import ImageError
from indi.io.convert import Array
from indi.io.formats.format import noted, optional
from indi.io.formats.planes import PlanesStack, Series, regions_of
from indi.io.image import Header

log = logging.getLogger("indi")

SIGNATURE = rb"p\0\0\0....\*"  # as a regular expression
_said: set[tuple[Path, int]] = set()  # files of which it was said what is left out: one is opened many times


def open_stack(path: Path, by_axes: bool = True) -> PlanesStack:
    """Open a file.

    Raises:
        ImageError: It is damaged, or holds what is not read.
        MissingExtraError: liffile cannot be imported.
    """
    library = optional("liffile", "LIF files", extra="microscopes")

    def load(opened: Any) -> list[Series]:
        file = opened.enter_context(library.LifFile(path))
        length = path.stat().st_size
        if any(block.offset + block.size > length for block in file.memory_blocks.values()):
            raise ImageError("LIF cut short: a part of its pixels is missing; copy it again")
        odd = [image.name for image in file.images if not _has_planes(image)]
        if odd and (path, length) not in _said:
            _said.add((path, length))
            log.warning("%s: left out, as they are no planes in y and x: %s", path, ", ".join(odd))
        return [_series(image) for image in file.images if _has_planes(image)]

    return PlanesStack(path, "LIF", load)


def _has_planes(image: Any) -> bool:
    """Return whether an image is a stack of planes, and not of lines, of planes in z or of lifetimes."""
    return not image.is_flim and set(image.frames.frame_dims) <= {"Y", "X", "S"}


def _series(image: Any) -> Series:
    sizes = dict(image.sizes)  # slowest first, without those of one
    samples, height, width = (sizes.pop(axis, 1) for axis in "SYX")

    def plane(place: Mapping[str, int]) -> Array:
        pixels: Array = image.frames[tuple(place[axis] for axis in sizes)]
        return pixels.reshape(height, width, samples)

    header = Header(height, width, samples, np.dtype(image.dtype).newbyteorder("="))
    return Series(sizes, header, regions_of(plane), _notes(image, sizes.get("C", 1)))


def _notes(image: Any, channels: int) -> dict[str, Any]:
    sizes, names = dict[str, float](), list[str]()
    with suppress(Exception):  # notes of other programs, which hold anything
        for axis, metres in image.coords.items():
            if axis in "ZYX" and len(metres) > 1:
                sizes[axis.lower()] = float(abs(metres[-1] - metres[0])) / (len(metres) - 1) * 1e6
        described = image.xml_element.findall(".//ChannelDescription")
        names = [each.findtext("ChannelProperty[Key='DyeName']/Value", "") for each in described]
    return noted(sizes, "µm", names if len(names) == channels else None)
