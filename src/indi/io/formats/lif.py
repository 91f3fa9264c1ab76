"""LIF, of Leica microscopes, by liffile; read only. Each image of a project is a series.

Source: liffile, https://github.com/cgohlke/liffile.
"""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from indi.errors import ImageError
from indi.io.convert import Array
from indi.io.formats.format import noted, optional
from indi.io.formats.planes import PlanesStack, Series, boxes_of
from indi.io.image import Header

SIGNATURE = b"\x70\0\0\0....\x2a"


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
        return [_series(image) for image in file.images]

    return PlanesStack(path, "LIF", load)


def _series(image: Any) -> Series:
    sizes = dict(image.sizes)  # slowest first, without those of one
    samples, height, width = (sizes.pop(axis, 1) for axis in "SYX")
    if set(image.frames.frame_dims) - {"Y", "X", "S"}:
        raise ImageError(f"LIF whose image {image.name} is no stack of planes in y and x; export it as TIFF first")

    def plane(place: Mapping[str, int]) -> Array:
        pixels: Array = image.frames[tuple(place[axis] for axis in sizes)]
        return pixels.reshape(height, width, samples)

    header = Header(height, width, samples, np.dtype(image.dtype).newbyteorder("="))
    return Series(sizes, header, boxes_of(plane), _notes(image, sizes.get("C", 1)))


def _notes(image: Any, channels: int) -> dict[str, Any]:
    sizes, names = dict[str, float](), list[str]()
    with suppress(Exception):  # notes of other programs, which hold anything
        for axis, metres in image.coords.items():
            if axis in "ZYX" and len(metres) > 1:
                sizes[axis.lower()] = float(abs(metres[-1] - metres[0])) / (len(metres) - 1) * 1e6
        described = image.xml_element.findall(".//ChannelDescription")
        names = [each.findtext("ChannelProperty[Key='DyeName']/Value", "") for each in described]
    return noted(sizes, "µm", names if len(names) == channels else None)
