"""Maps of stacks, whose pictures lie in files of the work folder until all are done: their scale, and their overlay."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indi.io.display import Pixels
from indi.io.image import Header, MapScale
from indi.io.region import Region, cores
from indi.restoration.overlay import overlay, step_of
from indi.restoration.state import DiskArray
from indi.restoration.uncertainty import Calibration, overlaid, scale_of

_VALUES, _BAND = 2**22, 256  # values, and rows, that are read at a time


def scale_over(files: Iterable[Path], name: str, dtype: np.dtype[Any]) -> MapScale:
    """Return the scale of a map over all pictures of a stack.

    Args:
        files: The map of each picture.
        name: Of the map.
        dtype: Of the stack.
    """
    return scale_of(name, max(_largest(file) for file in files), dtype)


def overlay_of(
    files: Mapping[str, Path], header: Header, calibration: Calibration | None, micrometres: float | None
) -> Pixels:
    """Return the maps of one picture over its mean, as ``overlay``.

    Args:
        files: By name, the mean of the samples and their maps.
        header: Of the picture.
        calibration: As of ``maps``.
        micrometres: Side of a pixel, where it is known.
    """
    step = step_of(header.height, header.width)
    shape, whole = (header.channels, header.height, header.width), Region(0, 0, header.height, header.width)

    def planes(name: str, dtype: np.dtype[Any]) -> NDArray[Any]:
        with DiskArray(shape, dtype, files[name], is_there=True) as array:
            return np.concatenate(
                [array.read(region)[:, ::step, ::step] for region in cores(whole, step * _BAND)], axis=1
            )

    found = {name: planes(name, np.dtype(np.float32)) for name in {"spread", *overlaid(calibration)}}
    mean = np.moveaxis(planes("mean", header.dtype), 0, -1)
    return overlay(mean, found, calibration, micrometres=None if micrometres is None else step * micrometres)


def _largest(file: Path) -> float:
    largest = 0.0
    with file.open("rb") as opened:
        while (part := np.fromfile(opened, np.float32, _VALUES)).size:
            largest = max(largest, float(part.max()))
    return largest
