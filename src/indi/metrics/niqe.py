"""NIQE, the natural image quality evaluator: how unlike clean images an image is, without its clean version.

Source:
    Mittal, Soundararajan and Bovik, "Making a 'Completely Blind' Image Quality Analyzer", IEEE Signal
    Processing Letters 20(3), 2013. As in the authors' own program, edges are repeated, the neighbour over the
    edge of a patch is that of the other side, and beta of the symmetric law is the mean of both sides' fits.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from indi.metrics.checks import checked_alone, undefined

PATCH = 96  # px, at the full scale; half as many at the second
LEAST_PATCHES_TO_FIT = 40  # more than the 36 features, or their covariance would be singular
LEAST_PATCHES = 4  # of an image to be judged: 192 x 192 px

_LUMA = (0.299, 0.587, 0.114)  # BT.601, full range: a gray image and an RGB one of equal channels are the same
_SHARP = 0.75  # of the sharpest patch: how sharp a patch of a clean image must be to speak for it
_NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))
_SHAPES = torch.arange(0.2, 10.0005, 0.001, dtype=torch.float64)


@dataclass(frozen=True)
class Niqe:
    """A model of clean images, as the Gaussian law of the features of their sharp patches.

    Its values cannot be compared with those of other models of clean images, such as the paper's: 36 features
    of each patch of 96 x 96 px are compared with what *these* clean images show.

    Attributes:
        mean: (36,) float64.
        covariance: (36, 36) float64.
    """

    mean: Tensor
    covariance: Tensor

    @classmethod
    def fit(cls, clean: Iterable[Tensor], *, data_range: float = 1.0) -> "Niqe | None":
        """Return the model of clean images; None where they hold fewer than 40 sharp patches, too few for one.

        Of each image the patches count whose mean local deviation is above 0.75 of its sharpest patch's.

        Args:
            clean: (B, C, H, W) float images, intensities spanning ``data_range``, one batch at a time.
            data_range: the peak, in the images' unit.

        Raises:
            ShapeError: an item is not a (B, C, H, W) float tensor.
            ConfigError: ``data_range`` is not positive.
        """
        kept = [torch.empty(0, 36, dtype=torch.float64)]
        for images in clean:
            for image in checked_alone(images, data_range):
                features, sharpness = _features(_luma(image, data_range))
                if len(sharpness):
                    kept.append(features[sharpness > _SHARP * sharpness.max()])
        law = _law(torch.cat(kept), LEAST_PATCHES_TO_FIT)
        return None if law is None else cls(*law)

    def __call__(self, restored: Tensor, *, data_range: float = 1.0) -> Tensor:
        """Return the distance of each image from the model, float64 of shape (B,); lower is better.

        NaN where an image holds fewer than four whole patches of 96 x 96 px that are not flat.

        Args:
            restored: (B, C, H, W) float, intensities spanning ``data_range``.
            data_range: the peak, in the images' unit.

        Raises:
            ShapeError: ``restored`` is not a (B, C, H, W) float tensor.
            ConfigError: ``data_range`` is not positive.
        """
        restored = checked_alone(restored, data_range)
        values = undefined(restored)
        for index, image in enumerate(restored):
            law = _law(_features(_luma(image, data_range))[0], LEAST_PATCHES)
            if law is not None:
                mean, covariance = law
                gap = self.mean - mean
                inverse = torch.linalg.pinv((self.covariance + covariance) / 2, hermitian=True)
                values[index] = (gap @ inverse @ gap).clamp(min=0).sqrt()
        return values


def fit_sides(samples: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Fit an asymmetric generalised Gaussian law to each row by its moments.

    Its density falls as exp(-(|x| / beta)^alpha), with one beta to the left of 0 and another to the right.

    Args:
        samples: (N, n) float.

    Returns:
        alpha, beta to the left and beta to the right, each (N,) float64; NaN where a side has no samples.
        alpha lies from 0.2 to 10.

    Source:
        Lasmar, Stitou and Berthoumieu, ICIP 2009, for the estimator.
    """
    n = samples.shape[1]
    square = samples.square()
    second, signed = (part.sum(dim=1, dtype=torch.float64) for part in (square, torch.copysign(square, samples)))
    left = ((second - signed) / 2 / (samples < 0).sum(dim=1)).clamp(min=0).sqrt()
    right = ((second + signed) / 2 / (samples > 0).sum(dim=1)).clamp(min=0).sqrt()
    skew = left / right
    ratio = (samples.abs().sum(dim=1, dtype=torch.float64) / n) ** 2 / (second / n)
    ratio = ratio * (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2
    alpha = _shape_of(ratio)
    width = (0.5 * (torch.lgamma(1 / alpha) - torch.lgamma(3 / alpha))).exp()  # beta over the deviation
    return alpha, left * width, right * width


def _shape_of(ratio: Tensor) -> Tensor:
    """Return the alpha whose E|x|^2 / E x^2 is ``ratio``, from a table; NaN stays NaN."""
    table = _moment_ratio(_SHAPES)
    above = torch.searchsorted(table, ratio).clamp(1, len(table) - 1)
    low, high = table[above - 1], table[above]
    alpha = torch.lerp(_SHAPES[above - 1], _SHAPES[above], ((ratio - low) / (high - low)).clamp(0, 1))
    return torch.where(ratio.isnan(), math.nan, alpha)


def _moment_ratio(alpha: Tensor) -> Tensor:
    return (2 * torch.lgamma(2 / alpha) - torch.lgamma(1 / alpha) - torch.lgamma(3 / alpha)).exp()


def _law(features: Tensor, least: int) -> tuple[Tensor, Tensor] | None:
    """Return mean and covariance of (N, 36) features; None for fewer rows than ``least``. Flat patches have none."""
    features = features[features.isfinite().all(dim=1)]
    return (features.mean(dim=0), torch.cov(features.T)) if len(features) >= least else None


def _luma(image: Tensor, data_range: float) -> Tensor:
    """Return the luma of (C, H, W) from 0 to 255, as (H, W); of no RGB image the mean of its channels."""
    weights = image.new_tensor(_LUMA) if len(image) == 3 else image.new_full((len(image),), 1 / len(image))
    return (weights[:, None, None] * image).sum(dim=0) * (255 / data_range)


def _features(luma: Tensor) -> tuple[Tensor, Tensor]:
    """Return 36 features and the sharpness of each whole patch of (H, W): (N, 36) and (N,), float64."""
    rows, columns = (side // PATCH for side in luma.shape)
    if rows * columns == 0:
        return torch.empty(0, 36, dtype=torch.float64), torch.empty(0, dtype=torch.float64)
    luma = luma[: rows * PATCH, : columns * PATCH]
    contrast, deviation = _normalised(luma)
    sharpness = _patches(deviation, PATCH).mean(dim=(1, 2), dtype=torch.float64)
    half = F.interpolate(luma[None, None], scale_factor=0.5, mode="bicubic", antialias=True)[0, 0]
    scales = [_patches(contrast, PATCH), _patches(_normalised(half)[0], PATCH // 2)]
    return torch.cat([_patch_features(patches) for patches in scales], dim=1), sharpness


def _normalised(luma: Tensor) -> tuple[Tensor, Tensor]:
    """Return luma without its local mean over its local deviation, and that deviation."""
    luma = luma.double()  # in single precision the small deviations of bright flat parts drown in rounding
    mean, square = _local_mean(luma), _local_mean(luma.square())
    deviation = (square - mean.square()).abs().sqrt()
    return ((luma - mean) / (deviation + 1)).float(), deviation


def _local_mean(image: Tensor) -> Tensor:
    """Average over a 7 x 7 Gaussian window of sigma 7/6, the edges repeated."""
    weights = torch.softmax(-(torch.arange(-3, 4, dtype=torch.float64) ** 2) / (2 * (7 / 6) ** 2), dim=0).tolist()
    image = F.pad(image[None, None], [3] * 4, mode="replicate")[0, 0]
    for axis in (0, 1):  # sums of shifted images, because float64 convolutions are slow on a CPU
        kept = image.shape[axis] - 6
        total = torch.zeros_like(image.narrow(axis, 0, kept))
        for shift, weight in enumerate(weights):
            total.add_(image.narrow(axis, shift, kept), alpha=weight)
        image = total
    return image


def _patches(image: Tensor, side: int) -> Tensor:
    rows, columns = image.shape[0] // side, image.shape[1] // side
    return image.reshape(rows, side, columns, side).transpose(1, 2).reshape(-1, side, side)


def _patch_features(patches: Tensor) -> Tensor:
    """Return the 18 features of one scale for each of (N, side, side)."""
    alpha, left, right = fit_sides(patches.flatten(1))
    features = [alpha, (left + right) / 2]
    for shift in _NEIGHBOURS:  # the neighbour of the last pixel is the first, within the patch
        alpha, left, right = fit_sides((patches * patches.roll(shift, (1, 2))).flatten(1))
        mean = (right - left) * (torch.lgamma(2 / alpha) - torch.lgamma(1 / alpha)).exp()
        features += [alpha, mean, left, right]
    return torch.stack(features, dim=1)
