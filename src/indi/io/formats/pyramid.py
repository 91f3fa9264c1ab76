"""Levels of lower resolution, as viewers of large volumes want them: local means of the level above."""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np

from indi.io.convert import Array


def blocks(shape: Sequence[int], sides: Sequence[int]) -> Iterator[tuple[slice, ...]]:
    """Yield the parts of an array that lie on a grid of ``sides``: its chunks, say, each to be written once."""
    starts = (range(0, length, side) for length, side in zip(shape, sides, strict=True))
    for place in product(*starts):
        yield tuple(slice(at, min(at + s, n)) for at, s, n in zip(place, sides, shape, strict=True))


def are_blocks(coarse: Sequence[int], fine: Sequence[int], factors: Sequence[int]) -> bool:
    """Return whether a shape is that of the means over blocks of a finer one, the last ones left out or filled up."""
    return all(f > 0 and c in (n // f, -(-n // f)) for c, n, f in zip(coarse, fine, factors, strict=True))


def fill_level(coarse: Any, fine: Any, factors: Sequence[int]) -> None:
    """Fill an array with the means over blocks of a finer one, a file of its chunks at a time.

    Where the last block reaches beyond the fine array, its edge is repeated; what no block holds is left out.

    Args:
        coarse: To write: an array of zarr.
        fine: To read, of its type.
        factors: How long a block is along each axis; they fit the two (``are_blocks``).
    """
    for part in blocks(coarse.shape, coarse.shards or coarse.chunks):
        coarse[part] = _means(fine, part, factors).astype(coarse.dtype)


def _means(fine: Any, part: tuple[slice, ...], factors: Sequence[int]) -> Array:
    """Return the means of the blocks that a part of the coarse array stands for; whole numbers where fine has them."""
    wanted = [slice(s.start * f, s.stop * f) for s, f in zip(part, factors, strict=True)]
    values = np.asarray(fine[tuple(wanted)])
    missing = [s.stop - s.start - have for s, have in zip(wanted, values.shape, strict=True)]
    if any(missing):
        values = np.pad(values, [(0, more) for more in missing], mode="edge")
    shape = [size for s, f in zip(part, factors, strict=True) for size in (s.stop - s.start, f)]
    means: Array = values.reshape(shape).mean(axis=tuple(range(1, 2 * len(factors), 2)), dtype=np.float64)
    return np.rint(means) if fine.dtype.kind == "u" else means
