"""Metrics of texture: whether restored images hold the detail of clean ones, wherever it lies.

Sources:
    Sliced Wasserstein distance: Karras, Aila, Laine and Lehtinen, ICLR 2018, for the idea. They normalise
    the windows, which hides blur; here they are compared as they are.
    Spectrum: Durall, Keuper and Keuper, "Watch your Up-Convolution", CVPR 2020, for the idea to compare
    azimuthally averaged power spectra of generated and real images.
"""

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from indi.metrics.checks import checked, undefined

SWD_LEVELS, SWD_WINDOW, SWD_STRIDE, SWD_DIRECTIONS = 3, 7, 3, 128
SPECTRUM_SIDE, SPECTRUM_BINS = 32, 32  # least side in px; bins from 0 to Nyquist, 0.5 cycles/px

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
        np.mean([_sliced_distance(*bands, kernels) for bands in zip(_bands(r), _bands(c), strict=True)])
        for r, c in zip(restored.float(), clean.float(), strict=True)
    ]
    # The distance scales with the intensities, so the scaling to [0, 1] can wait until here.
    return torch.tensor(values, dtype=torch.float64) * (1000 / data_range)


def spectrum(restored: Tensor, clean: Tensor, *, data_range: float = 1.0) -> Tensor:
    """Return the gap between the radial power spectra in dB, 0 for equal ones; NaN where a side is under 32 px.

    The power of the Hann-windowed Fourier transform, summed over channels, is averaged over rings of radial
    frequency: 32 of equal width up to 0.5 cycles/px, without the lowest, which holds the mean. The gap is the
    mean over rings of |10 log10(restored / clean)|. Both powers get that of rounding to 8 bit on top, so that
    rings with nothing in them, whose ratio would be noise over noise, count little.

    Blur and noise both widen the gap, whereas texture that is right in kind but elsewhere does not. Phase does
    not count at all, so the gap alone says little about likeness.

    Raises:
        ShapeError: the tensors are not two (B, C, H, W) float tensors of one shape.
        ConfigError: ``data_range`` is not positive.
    """
    restored, clean = checked(restored, clean, data_range)
    channels, height, width = restored.shape[1:]
    if min(height, width) < SPECTRUM_SIDE:
        return undefined(restored)
    window = torch.outer(*(torch.hann_window(side, dtype=torch.float64) for side in (height, width)))
    # White noise of variance v has the power v times the sum of squares of the window at every frequency.
    rounding = channels * float(window.square().sum()) * data_range**2 / (12 * 255**2)
    ring, weight = _rings(height, width)
    levels = [10 * torch.log10(_ring_means(images, window, ring, weight) + rounding) for images in (restored, clean)]
    return (levels[0] - levels[1]).abs().mean(dim=1)


def _bands(image: Tensor) -> Iterator[Tensor]:
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


def _rings(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Return the ring and the weight of each frequency of ``rfft2``, flat; weight 0 in the lowest and the corners."""
    rows, columns = torch.fft.fftfreq(height).double(), torch.fft.rfftfreq(width).double()
    ring = (torch.hypot(rows[:, None], columns) * (2 * SPECTRUM_BINS)).long()
    # rfft2 leaves out the mirror images of all columns but the first and, of an even width, the last.
    weight = torch.full((height, len(columns)), 2.0, dtype=torch.float64)
    weight[:, 0] = 1
    if width % 2 == 0:
        weight[:, -1] = 1
    weight[(ring < 1) | (ring >= SPECTRUM_BINS)] = 0
    return ring.clamp(max=SPECTRUM_BINS).flatten(), weight.flatten()


def _ring_means(images: Tensor, window: Tensor, ring: Tensor, weight: Tensor) -> Tensor:
    """Return the mean power in each ring that holds a frequency: (B, rings), float64."""
    total = torch.bincount(ring, weight)
    means = torch.empty(len(images), int((total > 0).sum()), dtype=torch.float64)
    for index, image in enumerate(images):
        centred = image - image.mean(dim=(-2, -1), keepdim=True)
        power = torch.fft.rfft2(centred * window.to(image.dtype)).abs().square().sum(dim=0, dtype=torch.float64)
        means[index] = (torch.bincount(ring, power.flatten() * weight) / total)[total > 0]
    return means
