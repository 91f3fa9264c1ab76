"""ND2, of Nikon microscopes, by nd2; read only. Each position of the stage is a series.

Source: nd2, https://tlambert03.github.io/nd2.
"""

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

SIGNATURE = b"\xda\xce\xbe\n"

_OF_FRAME = "CYXS"  # axes that one frame of the file has


def open_stack(path: Path, by_axes: bool = True) -> PlanesStack:
    """Open a file.

    Raises:
        ImageError: It is damaged, or holds what is not read.
        MissingExtraError: nd2 cannot be imported.
    """
    library = optional("nd2", "ND2 files", extra="microscopes")
    return PlanesStack(path, "ND2", lambda opened: [_series(opened.enter_context(library.ND2File(path)))])


def _series(file: Any) -> Series:
    sizes = dict(file.sizes)  # slowest first, without those of one
    loops = {axis: size for axis, size in sizes.items() if axis not in _OF_FRAME}
    if list(sizes)[: len(loops)] != list(loops):
        raise ImageError(f"ND2 with axes {', '.join(sizes)}; those of a frame must come last; export it as TIFF first")
    channels, samples = sizes.get("C", 1), sizes.get("S", 1)
    height, width = sizes.get("Y", 1), sizes.get("X", 1)

    def plane(place: Mapping[str, int]) -> Array:
        along = tuple(place[axis] for axis in loops)
        frame = file.read_frame(int(np.ravel_multi_index(along, tuple(loops.values()))) if loops else 0)
        pixels: Array = np.asarray(frame).reshape(channels, height, width, samples)[place.get("C", 0)]
        return pixels

    counted = {**loops, **({"C": channels} if channels > 1 else {})}
    header = Header(height, width, samples, np.dtype(file.dtype).newbyteorder("="))
    return Series(counted, header, regions_of(plane), _notes(file, channels))


def _notes(file: Any, channels: int) -> dict[str, Any]:
    sizes, names = dict[str, float](), list[str]()
    with suppress(Exception):  # notes of other programs, which hold anything
        described = file.metadata.channels
        names = [each.channel.name for each in described]
        volume = described[0].volume
        measured = zip("xyz", volume.axesCalibration, volume.axesCalibrated, strict=True)
        sizes = {axis: float(size) for axis, size, is_known in measured if is_known}
    return noted(sizes, "µm", names if len(names) == channels else None)
