"""What every metric asks of its images, and its answer where it has no meaning for them."""

import math

import torch
from torch import Tensor

from indi.errors import ConfigError, ShapeError

LEAST_SIDE = 32  # px that a network of perception is shown; they halve their images four times and more


def checked(restored: Tensor, clean: Tensor, data_range: float) -> tuple[Tensor, Tensor]:
    """Return two (B, C, H, W) images on the CPU in one type, float32 or float64.

    Raises:
        ShapeError: they are not two (B, C, H, W) float tensors of one shape.
        ConfigError: ``data_range`` is not positive.
    """
    # Unequal shapes would broadcast and integers would wrap unnoticed.
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


def checked_alone(images: Tensor, data_range: float) -> Tensor:
    """Return (B, C, H, W) images that have no partner, as `checked` does.

    Raises:
        ShapeError: they are not a (B, C, H, W) float tensor.
        ConfigError: ``data_range`` is not positive.
    """
    if images.ndim != 4 or 0 in images.shape[1:] or not images.is_floating_point():
        raise ShapeError(
            f"images {tuple(images.shape)} of {images.dtype} must be a float tensor (B, C, H, W) with at least "
            "one pixel; reshape or convert them first"
        )
    return checked(images, images, data_range)[0]


def undefined(images: Tensor) -> Tensor:
    """Return NaN for each image: the metric has no meaning for them."""
    return torch.full((len(images),), math.nan, dtype=torch.float64)


def visible(images: Tensor) -> bool:
    """Return whether networks of perception can be shown (B, C, H, W) images: gray or RGB, and not too small."""
    return images.shape[1] in (1, 3) and min(images.shape[-2:]) >= LEAST_SIDE


def rgb(images: Tensor, data_range: float) -> Tensor:
    """Return (B, 1 or 3, H, W) images as networks of perception want them: float32 RGB, clipped to [0, 1]."""
    return (images.float() / data_range).clamp(0, 1).expand(-1, 3, -1, -1)


def inside(images: Tensor, border: int) -> Tensor:
    """Return (..., H, W) images without ``border`` pixels on each of the four sides.

    Raises:
        ShapeError: nothing would be left.
        ConfigError: ``border`` is negative.
    """
    if border < 0:
        raise ConfigError(f"border is {border}; give the pixels to leave out on each side, 0 or more")
    height, width = images.shape[-2:]
    if 2 * border >= min(height, width):
        raise ShapeError(f"a border of {border} px leaves nothing of {height} x {width} px; give a smaller border")
    return images[..., border : height - border, border : width - border]
