"""The scale of the intensities of pairs: whether both sides agree in it, and what makes it suit a network."""

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from indi.data.loading import Pair, Pixels, load_pair
from indi.data.normalization import Kind, Normalisation, Scale
from indi.errors import DataError
from indi.io import to_unit

Values = NDArray[np.floating]

KINDS = ("none", "deviation", "quantiles")
QUANTILES = (0.001, 0.999)  # what becomes 0 and 1
DEVIATIONS = 2.0  # on either side of the mean, which become 0 and 1
# Up to which two sides agree: a factor, and in standard deviations. Blur and stains stay below, exposures go beyond.
LARGEST_GAIN, LARGEST_SHIFT = 3.0, 3.0

_BLOCK = 8  # px, side of the means that noise does not reach
_PIXELS = 2**24  # that are looked at, over all pairs


def measure_normalisation(
    pairs: Sequence[Pair], kind: Kind | Literal["none"], *, channels: int, resample: bool
) -> Normalisation | None:
    """Return the normalisation of pairs, by channel; None for the kind "none".

    deviation: the mean less and plus two standard deviations become 0 and 1.
    quantiles: those of 0.1 and 99.9 per cent become 0 and 1.

    Clean and degraded images get one scale, that of the clean ones, where they agree in it or a task makes the
    degraded; else one each.

    Raises:
        DataError, ImageError: As ``load_pair``, or a channel has one value only.
    """
    if kind == "none":
        return None
    each = max(_PIXELS // len(pairs), 1)  # of the whole images no more is kept
    values: list[list[Values]] = [[], []]
    means: list[list[Values]] = [[], []]
    for pair in pairs:
        for side, image in enumerate(load_pair(pair, channels=channels, resample=resample)):
            intensities = to_unit(image)
            values[side].append(_spread_out(np.atleast_3d(intensities), each).copy())
            means[side].append(_spread_out(_block_means(intensities)[:, None], each)[:, 0].copy())
    clean, degraded = values
    of_clean = _scale(clean, kind)
    if not degraded or agree(*_gain_and_shift(*(np.concatenate(side) for side in means))):
        return Normalisation(kind=kind, clean=of_clean, degraded=of_clean)
    return Normalisation(kind=kind, clean=of_clean, degraded=_scale(degraded, kind))


def gain_and_shift(clean: Sequence[Pixels], degraded: Sequence[Pixels]) -> tuple[float, float]:
    """Return how many times the contrast of degraded images that of clean ones is, and how much brighter they are.

    Both are of the means of 8 x 8 pixels, where noise counts little; the brightness is in standard deviations of them.
    Images without contrast give (1, 0).
    """
    return _gain_and_shift(*(np.concatenate([_block_means(image) for image in side]) for side in (clean, degraded)))


def _gain_and_shift(ours: Values, theirs: Values) -> tuple[float, float]:
    contrast, other = float(ours.std()), float(theirs.std())
    if min(contrast, other) < 1e-6:
        return 1.0, 0.0
    return contrast / other, float(ours.mean() - theirs.mean()) / contrast


def agree(gain: float, shift: float) -> bool:
    """Return whether images of such a gain and shift against each other are on one scale."""
    return 1 / LARGEST_GAIN <= gain <= LARGEST_GAIN and abs(shift) <= LARGEST_SHIFT


def _scale(parts: Sequence[Values], kind: str) -> Scale:
    values = np.concatenate(parts)
    if kind == "quantiles":
        low, high = np.quantile(values, QUANTILES, axis=0)
    else:
        mean, deviation = values.mean(axis=0, dtype=np.float64), values.std(axis=0, dtype=np.float64)
        low, high = mean - DEVIATIONS * deviation, mean + DEVIATIONS * deviation
    if not (high - low > 1e-6).all():
        raise DataError("a channel of the training images has one value only; leave normalise out, or the channel")
    return Scale(offset=_floats(low), scale=_floats(high - low))


def _floats(values: Iterable[float]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _spread_out(image: Pixels, count: int) -> Values:
    """Return (n, C) pixels, every so many of them, about ``count``."""
    pixels: Values = image.reshape(-1, image.shape[-1])
    return pixels[:: max(len(pixels) // count, 1)]


def _block_means(image: Pixels) -> Values:
    """Return the means of 8 x 8 pixels over all channels; of a smaller image its mean."""
    height, width = (max(side // _BLOCK, 1) for side in image.shape[:2])
    down, across = (min(side, _BLOCK) for side in image.shape[:2])
    whole = np.atleast_3d(image)[: height * down, : width * across].mean(axis=2, dtype=np.float64)
    means: Values = whole.reshape(height, down, width, across).mean(axis=(1, 3)).ravel()
    return means
