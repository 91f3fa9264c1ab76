"""How far a restored image is from the clean one: one value an image.

Every metric is a pure function ``(restored, clean, *, data_range=1.0) -> (B,)`` of two (B, C, H, W) float
tensors of the same shape, whose intensities span ``data_range``. The answer is float64, one value an image;
averaging is the caller's choice. A metric that has no meaning for an image (luma of a gray image, a window
larger than the image) is NaN there. Everything is computed on the CPU, so that a figure does not depend on
the device or its rounding.

``METRICS`` lists them all with their units; ``measure`` computes them all for a batch.

Sources:
    SSIM: Wang, Bovik, Sheikh and Simoncelli, IEEE Transactions on Image Processing 13(4), 2004.
    MS-SSIM: Wang, Simoncelli and Bovik, Asilomar Conference on Signals, Systems and Computers, 2003.
    Sliced Wasserstein distance: Karras, Aila, Laine and Lehtinen, ICLR 2018, for the idea. They normalise
    the windows, which hides blur; here they are compared as they are.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from indi.errors import ConfigError, ShapeError

# Matlab's rgb2ycbcr: R, G, B to studio-swing luma, 16 to 235 of 255. The offset cancels in a difference.
LUMA_WEIGHTS = (65.481 / 255, 128.553 / 255, 24.966 / 255)
SSIM_WINDOW = 11
MS_SSIM_EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # finest scale first
SWD_LEVELS, SWD_WINDOW, SWD_STRIDE, SWD_DIRECTIONS = 3, 7, 3, 128

# Pieces that keep the working memory small on large images; these blocks also fit the processor's cache.
_BLOCK_SIDE = 128
_DIRECTIONS_AT_A_TIME = 8


def psnr(restored: Tensor, clean: Tensor, *, data_range: float = 1.0) -> Tensor:
    """Return the peak signal-to-noise ratio in dB, over all channels; ``data_range`` is the peak.

    Identical images give infinity.

    Raises:
        ShapeError: the tensors are not two (B, C, H, W) float tensors of one shape.
        ConfigError: ``data_range`` is not positive.
    """
    restored, clean = _checked(restored, clean, data_range)
    return _decibels(restored - clean, data_range)


def psnr_y(restored: Tensor, clean: Tensor, *, data_range: float = 1.0) -> Tensor:
    """Return the peak signal-to-noise ratio in dB of the BT.601 luma; NaN unless the image is RGB.

    Luma is that of the super-resolution literature: Matlab's ``rgb2ycbcr``, where black is 16 and white 235
    of 255, while the peak stays the whole ``data_range``. A gray error therefore scores 20 log10(255 / 219) =
    1.32 dB above `psnr`. Luma is not rounded to 8 bit.

    Raises:
        ShapeError: the tensors are not two (B, C, H, W) float tensors of one shape.
        ConfigError: ``data_range`` is not positive.
    """
    restored, clean = _checked(restored, clean, data_range)
    if restored.shape[1] != 3:
        return _undefined(restored)
    weights = restored.new_tensor(LUMA_WEIGHTS).reshape(3, 1, 1)
    return _decibels(((restored - clean) * weights).sum(dim=1, keepdim=True), data_range)


def ssim(restored: Tensor, clean: Tensor, *, data_range: float = 1.0) -> Tensor:
    """Return the structural similarity, 1 for identical images; NaN where a side is under 11 px.

    The 2004 paper's form: 11 x 11 Gaussian window of sigma 1.5, K = (0.01, 0.03), biased covariances, the
    mean over all windows that lie wholly in the image, then over channels. scikit-image gives the same with
    ``gaussian_weights=True, use_sample_covariance=False``.

    Raises:
        ShapeError: the tensors are not two (B, C, H, W) float tensors of one shape.
        ConfigError: ``data_range`` is not positive.
    """
    restored, clean = _checked(restored, clean, data_range)
    if min(restored.shape[-2:]) < SSIM_WINDOW:
        return _undefined(restored)
    similarity, _ = _structure(restored, clean, data_range)
    return similarity


def ms_ssim(restored: Tensor, clean: Tensor, *, data_range: float = 1.0) -> Tensor:
    """Return the multi-scale structural similarity, 1 for identical images; NaN where a side is under 176 px.

    Five scales, each half the one before, so a side of 176 px leaves one 11 px window at the coarsest.
    Channels are averaged at each scale and negative similarities count as 0. The value is that of
    torchmetrics, which mirrors the edges of the coarsest scale and of no other.

    Raises:
        ShapeError: the tensors are not two (B, C, H, W) float tensors of one shape.
        ConfigError: ``data_range`` is not positive.
    """
    restored, clean = _checked(restored, clean, data_range)
    if min(restored.shape[-2:]) < SSIM_WINDOW * 2 ** (len(MS_SSIM_EXPONENTS) - 1):
        return _undefined(restored)
    value = torch.ones(len(restored), dtype=torch.float64)
    for exponent in MS_SSIM_EXPONENTS[:-1]:
        _, contrast = _structure(restored, clean, data_range)
        value *= contrast.relu() ** exponent
        restored, clean = F.avg_pool2d(restored, 2), F.avg_pool2d(clean, 2)
    restored, clean = (F.pad(image, [SSIM_WINDOW // 2] * 4, mode="reflect") for image in (restored, clean))
    similarity, _ = _structure(restored, clean, data_range)
    return value * similarity.relu() ** MS_SSIM_EXPONENTS[-1]


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
    restored, clean = _checked(restored, clean, data_range)
    channels, *sides = restored.shape[1:]
    if math.ceil(min(sides) / 2 ** (SWD_LEVELS - 1)) < SWD_WINDOW:
        return _undefined(restored)
    directions = torch.randn(SWD_DIRECTIONS, channels * SWD_WINDOW**2, generator=torch.Generator().manual_seed(0))
    directions /= directions.norm(dim=1, keepdim=True)
    kernels = directions.reshape(SWD_DIRECTIONS, channels, SWD_WINDOW, SWD_WINDOW)
    values = [
        np.mean([_sliced_distance(*bands, kernels) for bands in zip(_bands(r), _bands(c), strict=True)])
        for r, c in zip(restored.float(), clean.float(), strict=True)
    ]
    # The distance scales with the intensities, so the scaling to [0, 1] can wait until here.
    return torch.tensor(values, dtype=torch.float64) * (1000 / data_range)


@dataclass(frozen=True)
class Metric:
    """One row of ``METRICS``: a metric and what a table or an axis needs to know about it.

    Attributes:
        compute: the function, as the module docstring describes it; calling the row calls it.
        label: its name in words, for tables and axes.
        unit: unit of its values, empty where there is none.
        higher_is_better: which way is better.
    """

    compute: Callable[..., Tensor]
    label: str
    unit: str
    higher_is_better: bool

    def __call__(self, restored: Tensor, clean: Tensor, *, data_range: float = 1.0) -> Tensor:
        """Return one value an image, float64 of shape (B,)."""
        return self.compute(restored, clean, data_range=data_range)


METRICS: dict[str, Metric] = {  # add a metric here
    "psnr": Metric(psnr, "PSNR", "dB", higher_is_better=True),
    "psnr_y": Metric(psnr_y, "PSNR of luma", "dB", higher_is_better=True),
    "ssim": Metric(ssim, "SSIM", "", higher_is_better=True),
    "ms_ssim": Metric(ms_ssim, "MS-SSIM", "", higher_is_better=True),
    "swd": Metric(swd, "sliced Wasserstein distance x 1000", "", higher_is_better=False),
}


def measure(
    restored: Tensor, clean: Tensor, *, border: int = 0, data_range: float = 1.0
) -> dict[str, list[float | None]]:
    """Return every metric of every image, with None where a metric has no meaning.

    Args:
        restored: (B, C, H, W) float, intensities spanning ``data_range``.
        clean: the same shape.
        border: pixels left out on each of the four sides.
        data_range: the peak, in the images' unit.

    Returns:
        Metric names to B values. Identical images have an infinite PSNR, which strict JSON cannot hold.

    Raises:
        ShapeError: the tensors are not two (B, C, H, W) float tensors of one shape, or the border leaves
            nothing of them.
        ConfigError: ``data_range`` is not positive or ``border`` is negative.
    """
    restored, clean = _checked(restored, clean, data_range)
    if border < 0:
        raise ConfigError(f"border is {border}; give the pixels to leave out on each side, 0 or more")
    height, width = restored.shape[-2:]
    if 2 * border >= min(height, width):
        raise ShapeError(f"a border of {border} px leaves nothing of {height} x {width} px; give a smaller border")
    inside = (..., slice(border, height - border), slice(border, width - border))
    return {
        name: [
            None if math.isnan(value) else value
            for value in metric(restored[inside], clean[inside], data_range=data_range).tolist()
        ]
        for name, metric in METRICS.items()
    }


def _checked(restored: Tensor, clean: Tensor, data_range: float) -> tuple[Tensor, Tensor]:
    """Return both on the CPU, or raise: unequal shapes would broadcast and integers would wrap unnoticed."""
    if restored.shape != clean.shape or restored.ndim != 4 or 0 in restored.shape[1:]:
        raise ShapeError(
            f"restored {tuple(restored.shape)} and clean {tuple(clean.shape)} must be of one shape "
            "(B, C, H, W) with at least one pixel; crop or resize one of them"
        )
    if not (restored.is_floating_point() and clean.is_floating_point()):
        raise ShapeError(
            f"restored ({restored.dtype}) and clean ({clean.dtype}) must be float tensors; convert them first"
        )
    if not data_range > 0:
        raise ConfigError(f"data_range is {data_range}; give the peak of the intensities, above 0")
    # At least float32: the square of a small error is 0 in float16.
    dtype = torch.promote_types(torch.promote_types(restored.dtype, clean.dtype), torch.float32)
    return restored.detach().cpu().to(dtype), clean.detach().cpu().to(dtype)


def _undefined(images: Tensor) -> Tensor:
    return torch.full((len(images),), math.nan, dtype=torch.float64)


def _decibels(error: Tensor, data_range: float) -> Tensor:
    mean_square = error.square().mean(dim=(1, 2, 3), dtype=torch.float64)
    return 10 * torch.log10(data_range**2 / mean_square)


def _structure(restored: Tensor, clean: Tensor, data_range: float) -> tuple[Tensor, Tensor]:
    """Return SSIM and its contrast-structure factor, each (B,): means over whole windows and channels."""
    small_square, small_variance = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    rows, columns = (side - SSIM_WINDOW + 1 for side in restored.shape[-2:])
    similarity_sum, contrast_sum = torch.zeros(2, len(restored), dtype=torch.float64)
    for top, left in itertools.product(range(0, rows, _BLOCK_SIDE), range(0, columns, _BLOCK_SIDE)):
        reach = _BLOCK_SIDE + SSIM_WINDOW - 1
        block = (..., slice(top, top + reach), slice(left, left + reach))
        # Without float64 the small variances of smooth regions drown in rounding.
        r, c = restored[block].double(), clean[block].double()
        mean_r, mean_c, mean_rr, mean_cc, mean_rc = _window_means(torch.stack([r, c, r * r, c * c, r * c]))
        squares, product = mean_r**2 + mean_c**2, mean_r * mean_c
        luminance = (2 * product + small_square) / (squares + small_square)
        contrast = (2 * (mean_rc - product) + small_variance) / (mean_rr + mean_cc - squares + small_variance)
        similarity_sum += (luminance * contrast).sum(dim=(1, 2, 3))
        contrast_sum += contrast.sum(dim=(1, 2, 3))
    count = restored.shape[1] * rows * columns
    return similarity_sum / count, contrast_sum / count


def _window_means(images: Tensor) -> Tensor:
    """Average over each whole 11 x 11 Gaussian window of sigma 1.5 of (..., H, W)."""
    # Sums of shifted images, because float64 convolutions are slow on a CPU.
    offsets = torch.arange(SSIM_WINDOW, dtype=torch.float64) - SSIM_WINDOW // 2
    weights = torch.softmax(-(offsets**2) / (2 * 1.5**2), dim=0).tolist()
    for axis in (-2, -1):
        kept = images.shape[axis] - SSIM_WINDOW + 1
        shifted = (images.narrow(axis, shift, kept) for shift in range(SSIM_WINDOW))
        images = sum((weight * image for weight, image in zip(weights, shifted, strict=True)), torch.zeros(()))
    return images


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
