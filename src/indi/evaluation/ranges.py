"""The range that images are measured against: that of their type, one that is given, or what each of them spans."""

import logging
import math
from collections.abc import Mapping
from typing import Any, Literal

from numpy.typing import NDArray

from indi.data import LARGEST_FLOAT, few
from indi.errors import ConfigError
from indi.io import span_of, to_unit
from indi.restoration.intensities import DIM

log = logging.getLogger("indi")

DataRange = float | Literal["image"] | None
_BYTE = 255
_ADVICE = "give the range that is meant with --data-range, or --data-range image for that of each image"


def check_measure(border: int, data_range: float | str | None) -> None:
    """Refuse what nothing can be measured with, before there is any work.

    Raises:
        ConfigError: The border or the range is none.
    """
    if border < 0:
        raise ConfigError(f"border is {border}; give the pixels to leave out on each side, 0 or more")
    if data_range == "image" or data_range is None:
        return
    if isinstance(data_range, str) or not 0 < data_range < math.inf:
        raise ConfigError(f"data range is {data_range}; give a number above 0, in the images' own unit, or image")


def peak_of(clean: NDArray[Any], data_range: DataRange) -> float:
    """Return the range to measure an image against, where that of its type is 1; 0 for "image" of one value."""
    if data_range == "image":
        unit = to_unit(clean)
        return float(unit.max() - unit.min())
    return 1.0 if data_range is None else data_range / span_of(clean.dtype)


def warn_of_range(largest: Mapping[str, tuple[float, float]]) -> None:
    """Say where clean images are far from the range of their type, which they are measured against unless asked.

    Args:
        largest: By name, the largest value of each clean image, and the range of its type.
    """
    beyond = {name: value for name, (value, span) in largest.items() if span == 1 and value > LARGEST_FLOAT}
    below = {name: value for name, (value, span) in largest.items() if span > _BYTE and 0 < value < DIM * span}
    for images, what in (
        (beyond, "reach beyond 1 (%s), and floats are measured against a range of 1"),
        (below, "fill a small part of their 16 bit (%s), and are measured against all of its range, 65535"),
    ):
        if images:
            named = few(f"{name} up to {value:.5g}" for name, value in images.items())
            log.warning("warning: %d of %d clean images " + what + "; " + _ADVICE, len(images), len(largest), named)
