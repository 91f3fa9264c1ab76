"""Pairs as tests use them: the whole image, and for a task its fixed form."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from indi.data.loading import Pair, load_pair
from indi.degradations import degradation, seed_for
from indi.errors import IndiError, ShapeError
from indi.io import to_unit
from indi.metrics.checks import inside

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


def load_test_neighbours(
    pair: Pair, *, channels: int, task: str | None, resample: bool = False, seed: int = 0
) -> tuple[Pixels, ...]:
    """Return the degraded pictures around that of a pair, each as ``load_test_pair`` gives it; none where it has none.

    Raises:
        DataError, ImageError: As there.
    """
    how: dict[str, Any] = {"channels": channels, "task": task, "resample": resample, "seed": seed}
    loaded = {each: load_test_pair(each, **how)[1] for each in dict.fromkeys(pair.neighbours)}
    return tuple(loaded[each] for each in pair.neighbours)


def unusable(
    pairs: Sequence[Pair], *, channels: int, resample: bool = False, border: int = 0
) -> tuple[tuple[str, str], ...]:
    """Read every image, and return (name, sentence) for each pair that cannot be measured.

    Args:
        pairs: Their files are read in full.
        channels: As ``load_pair``.
        resample: As ``load_pair``.
        border: Pixels that are left out on each side.

    Raises:
        ConfigError: ``border`` is negative.
    """
    return tuple(
        (pair.name, sentence) for pair in pairs if (sentence := _problem(pair, channels, resample, border)) is not None
    )


def _problem(pair: Pair, channels: int, resample: bool, border: int) -> str | None:
    try:
        clean, *_ = load_pair(pair, channels=channels, resample=resample)
    except IndiError as error:
        return str(error)
    try:
        inside(torch.empty(clean.shape[:2], device="meta"), border)
    except ShapeError as error:
        return f"{pair.clean}: {error}"
    return None
