"""CZI, of Zeiss microscopes, by pylibCZIrw; read only. Each scene is a series; tiles of a mosaic are one plane.

Source: pylibCZIrw and libCZI, https://zeiss.github.io/libczi.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from indi.errors import ImageError
from indi.io.convert import Array
from indi.io.formats.format import noted, optional
from indi.io.formats.planes import PlanesStack, Series
from indi.io.image import Header
from indi.io.region import Region

SIGNATURE = b"ZISRAWFILE"

_TYPES = {  # by the format's name: channels of a pixel, and their type
    "Gray8": (1, np.uint8),
    "Gray16": (1, np.uint16),
    "Gray32Float": (1, np.float32),
    "Bgr24": (3, np.uint8),
    "Bgr48": (3, np.uint16),
    "Bgr96Float": (3, np.float32),
}


def open_stack(path: Path, by_axes: bool = True) -> PlanesStack:
    """Open a file.

    Raises:
        ImageError: It is damaged, or holds what is not read.
        MissingExtraError: pylibCZIrw cannot be imported.
    """
    library = optional("pylibCZIrw.czi", "CZI files", extra="microscopes")
    return PlanesStack(path, "CZI", lambda opened: list(_series(opened.enter_context(library.open_czi(str(path))))))


def _series(file: Any) -> Iterator[Series]:
    kinds = set(file.pixel_types.values())
    if len(kinds) > 1 or not kinds <= _TYPES.keys():
        raise ImageError(f"CZI whose channels are {', '.join(sorted(kinds))}; export it as TIFF first")
    channels, dtype = _TYPES[kinds.pop()]
    sizes = {axis: end for axis, (_, end) in file.total_bounding_box_no_pyramid.items() if axis not in "XYS"}
    counted = {axis: sizes.pop(axis) for axis in "TZC"}
    notes = _notes(file, counted["C"])
    for scene, place in (
        file.scenes_bounding_rectangle_no_pyramid or {None: file.total_bounding_rectangle_no_pyramid}
    ).items():
        header = Header(place.h, place.w, channels, np.dtype(dtype))
        yield Series({**sizes, **counted}, header, partial(_read, file, scene, (place.x, place.y)), notes)


def _read(file: Any, scene: int | None, corner: tuple[int, int], place: Mapping[str, int], region: Region) -> Array:
    area = (corner[0] + region.left, corner[1] + region.top, region.width, region.height)
    pixels: Array = file.read(roi=area, plane=dict(place), scene=scene)
    return pixels[..., ::-1]  # blue comes first


def _notes(file: Any, channels: int) -> dict[str, Any]:
    sizes, names = dict[str, float](), list[str]()
    with suppress(Exception):  # notes of other programs, which hold anything
        found = file.metadata["ImageDocument"]["Metadata"]
        with suppress(KeyError, TypeError):
            for distance in _listed(found["Scaling"]["Items"]["Distance"]):
                if (metres := float(distance["Value"])) > 0:
                    sizes[distance["@Id"].lower()] = metres * 1e6
        described = found["Information"]["Image"]["Dimensions"]["Channels"]["Channel"]
        names = [channel.get("@Name") for channel in _listed(described)]
    return noted(sizes, "µm", names if len(names) == channels else None)


def _listed(found: Any) -> list[Any]:
    return found if isinstance(found, list) else [found]
