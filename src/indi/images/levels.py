"""Levels of lower resolution, as viewers of large volumes want them: local means of the level above."""

from itertools import product
from typing import Any

import numpy as np

from indi.images.convert import Array


def fill_level(coarse: Any, fine: Any) -> None:
    """Fill an array with the means over blocks of a finer one of as many axes, rows of its chunks at a time.

    A block is as long along each axis as fine is to coarse, rounded to a whole number. Where the coarse array reaches
    further than the blocks do, the edge is repeated; where it ends before, as at an odd last row, the rest is left out.

    Args:
        coarse: To write: an array of zarr, or what is indexed as one, with ``chunks``.
        fine: To read, of its type.
    """
    factors = [max(1, round(large / small)) for large, small in zip(fine.shape, coarse.shape, strict=True)]
    band = coarse.chunks[-2]
    for place in product(*map(range, coarse.shape[:-2])):
        for top in range(0, coarse.shape[-2], band):
            rows = slice(top, min(top + band, coarse.shape[-2]))
            ours = (*(slice(at, at + 1) for at in place), rows, slice(0, coarse.shape[-1]))
            coarse[ours] = _means(fine, ours, factors).astype(coarse.dtype)


def _means(fine: Any, part: tuple[slice, ...], factors: list[int]) -> Array:
    """Return the means of the blocks that a part of the coarse array stands for; whole numbers where fine has them."""
    wanted = [np.arange(s.start * f, s.stop * f) for s, f in zip(part, factors, strict=True)]
    places = [np.minimum(along, length - 1) for along, length in zip(wanted, fine.shape, strict=True)]
    values = np.asarray(fine[tuple(slice(int(along[0]), int(along[-1]) + 1) for along in places)])
    blocks = values[np.ix_(*(along - along[0] for along in places))]
    shape = [size for s, f in zip(part, factors, strict=True) for size in (s.stop - s.start, f)]
    means: Array = blocks.reshape(shape).mean(axis=tuple(range(1, 2 * len(factors), 2)), dtype=np.float64)
    return np.rint(means) if fine.dtype.kind == "u" else means
