"""Where an iteration does not fit in memory: which crops would."""

import gc
import traceback
from collections.abc import Callable

import torch
from torch import Tensor

from indi.restoration.tiling import is_out_of_memory

SMALLEST = 16  # px, of crops

Rehearse = Callable[[Tensor, Tensor], None]  # goes forward and back with crops, and changes nothing


def fitting_crops(error: BaseException, rehearse: Rehearse, clean: Tensor, degraded: Tensor) -> tuple[int, int] | None:
    """Return the first of ever fewer, then ever smaller crops that fit, as (how many, side in pixels); None for none.

    Args:
        error: What said that these crops do not; its frames hold memory, which is let go.
        rehearse: Tries crops.
        clean: (B, C, H, W).
        degraded: The same.
    """
    traceback.clear_frames(error.__traceback__)
    count, side = len(clean) // 2, clean.shape[-1]
    while side >= SMALLEST:
        if count and _fits(rehearse, *(part[:count, :, :side, :side] for part in (clean, degraded))):
            return count, side
        count, side = (count // 2, side) if count > 1 else (1, side // 2)
    return None


def _fits(rehearse: Rehearse, clean: Tensor, degraded: Tensor) -> bool:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    try:
        rehearse(clean, degraded)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        traceback.clear_frames(error.__traceback__)
        return False
    return True
