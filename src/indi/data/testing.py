"""Pairs as tests use them: the whole image, and for a task its fixed form."""

import numpy as np
import torch
from numpy.typing import NDArray

from indi.data.loading import Pair, load_pair
from indi.degradations import degradation, seed_for
from indi.images import to_unit

Pixels = NDArray[np.generic]


def load_test_pair(
    pair: Pair, *, channels: int, task: str | None, resample: bool = False, seed: int = 0
) -> tuple[Pixels, Pixels]:
    """Return (clean, degraded), each (H, W) or (H, W, C).

    Files keep their types. A degraded image that a task makes is float32 in the unit of [0, 1], in the
    task's fixed form, and depends on the file's name and ``seed`` alone.

    Raises:
        DataError, ImageError: As ``load_pair``.
    """
    clean, *degraded = load_pair(pair, channels=channels, resample=resample)
    if task is None:
        return clean, degraded[0]
    generator = torch.Generator().manual_seed(seed_for(pair.name, seed))
    planes = torch.from_numpy(np.moveaxis(np.atleast_3d(to_unit(clean)), -1, 0).copy())
    made = degradation(task).test(planes, generator).numpy()
    return clean, made[0] if clean.ndim == 2 else np.moveaxis(made, 0, -1)
