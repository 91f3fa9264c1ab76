"""A metric of texture: whether restored images hold the detail of clean ones, wherever it lies.

Source of the sliced Wasserstein distance: Karras, Aila, Laine and Lehtinen, ICLR 2018, for the idea. They normalise
the windows, which hides blur; here they are compared as they are.
"""

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from indi.metrics.checks import checked, undefined

SWD_LEVELS, SWD_WINDOW, SWD_STRIDE, SWD_DIRECTIONS = 3, 7, 3, 128

_DIRECTIONS_AT_A_TIME = 8  # keeps the working memory small on large images


def swd(restored: Tensor, clean: Tensor, *, data_range: float = 1.0) -> Tensor:
    """Return the sliced Wasserstein distance times 1000; NaN where a side is under 25 px.

    Lower is better, 0 for identical images: it compares the textures of an image, wherever they lie, and so
    sees the blur that distortion metrics reward. Three band-pass levels of a Laplacian pyramid (2 x 2 mean
    down, bilinear up; the rest is left out); on each, 7 x 7 windows at stride 3 over all channels jointly,
    not normalised, projected on 128 unit Gaussian directions of seed 0; then the mean absolute difference of
    the sorted projections, and the mean over levels, on intensities scaled to [0, 1].

    An odd side has its last row or column repeated before it is halved, so every pixel counts.

    Raises:
        ShapeError: the tensors are not two (B, C, H, W) float tensors of one shape.
        ConfigError: ``data_range`` is not positive.
    """
    restored, clean = checked(restored, clean, data_range)
    channels, *sides = restored.shape[1:]
    if math.ceil(min(sides) / 2 ** (SWD_LEVELS - 1)) < SWD_WINDOW:
        return undefined(restored)
    directions = torch.randn(SWD_DIRECTIONS, channels * SWD_WINDOW**2, generator=torch.Generator().manual_seed(0))
    directions /= directions.norm(dim=1, keepdim=True)
    kernels = directions.reshape(SWD_DIRECTIONS, channels, SWD_WINDOW, SWD_WINDOW)
    values = [
        np.mean([_sliced_distance(*level, kernels) for level in zip(bands(r), bands(c), strict=True)])
        for r, c in zip(restored.float(), clean.float(), strict=True)
    ]
    # The distance scales with the intensities, so the scaling to [0, 1] can wait until here.
    return torch.tensor(values, dtype=torch.float64) * (1000 / data_range)


def bands(image: Tensor) -> Iterator[Tensor]:
    """Yield the band-pass levels of the Laplacian pyramid of (C, H, W) as (1, C, h, w), finest first."""
    image = image[None]
    for _ in range(SWD_LEVELS):
        # With ceil_mode a window over the edge averages what it has, as if the last row were repeated.
        halved = F.avg_pool2d(image, 2, ceil_mode=True)
        height, width = image.shape[-2:]
        yield image - F.interpolate(halved, scale_factor=2, mode="bilinear")[..., :height, :width]
        image = halved


def _sliced_distance(restored_band: Tensor, clean_band: Tensor, kernels: Tensor) -> float:
    """Return the mean absolute difference of sorted projections; each kernel is one direction."""
    means = []
    for first in range(0, len(kernels), _DIRECTIONS_AT_A_TIME):
        some = kernels[first : first + _DIRECTIONS_AT_A_TIME]
        # numpy's sort is about three times faster than torch's on a CPU.
        restored_sorted, clean_sorted = (
            np.sort(F.conv2d(band, some, stride=SWD_STRIDE)[0].flatten(1).numpy())
            for band in (restored_band, clean_band)
        )
        means.append(np.abs(restored_sorted - clean_sorted).mean(dtype=np.float64))
    return float(np.mean(means))
