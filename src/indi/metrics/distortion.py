"""Metrics of error, pixel by pixel and window by window: PSNR, SSIM and MS-SSIM.

Sources:
    SSIM: Wang, Bovik, Sheikh and Simoncelli, IEEE Transactions on Image Processing 13(4), 2004.
    MS-SSIM: Wang, Simoncelli and Bovik, Asilomar Conference on Signals, Systems and Computers, 2003.
"""

import itertools

import torch
from torch import Tensor
from torch.nn import functional as F

from indi.metrics.checks import checked, undefined

# Matlab's rgb2ycbcr: R, G, B to studio-swing luma, 16 to 235 of 255. The offset cancels in a difference.
LUMA_WEIGHTS = (65.481 / 255, 128.553 / 255, 24.966 / 255)
SSIM_WINDOW = 11
MS_SSIM_EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # finest scale first

_BLOCK_SIDE = 128  # px, of pieces that keep the working memory small and fit the processor's cache


def psnr(restored: Tensor, clean: Tensor, *, data_range: float = 1.0) -> Tensor:
    """Return the peak signal-to-noise ratio in dB, over all channels; ``data_range`` is the peak.

    Identical images give infinity.

    Raises:
        ShapeError: the tensors are not two (B, C, H, W) float tensors of one shape.
        ConfigError: ``data_range`` is not positive.
    """
    restored, clean = checked(restored, clean, data_range)
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
    restored, clean = checked(restored, clean, data_range)
    if restored.shape[1] != 3:
        return undefined(restored)
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
    restored, clean = checked(restored, clean, data_range)
    if min(restored.shape[-2:]) < SSIM_WINDOW:
        return undefined(restored)
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
    restored, clean = checked(restored, clean, data_range)
    if min(restored.shape[-2:]) < SSIM_WINDOW * 2 ** (len(MS_SSIM_EXPONENTS) - 1):
        return undefined(restored)
    value = torch.ones(len(restored), dtype=torch.float64)
    for exponent in MS_SSIM_EXPONENTS[:-1]:
        _, contrast = _structure(restored, clean, data_range)
        value *= contrast.relu() ** exponent
        restored, clean = F.avg_pool2d(restored, 2), F.avg_pool2d(clean, 2)
    restored, clean = (F.pad(image, [SSIM_WINDOW // 2] * 4, mode="reflect") for image in (restored, clean))
    similarity, _ = _structure(restored, clean, data_range)
    return value * similarity.relu() ** MS_SSIM_EXPONENTS[-1]


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
