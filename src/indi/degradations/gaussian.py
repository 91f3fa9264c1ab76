"""The Gaussian that noise and images are smoothed by, a line at a time."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def gaussian_line(sigma: float, like: Tensor) -> Tensor:
    """Return (2 r + 1,) values of a Gaussian of ``sigma`` px out to r, three deviations rounded up; 1 in the middle."""
    reach = math.ceil(3 * sigma)
    offsets = torch.arange(-reach, reach + 1, dtype=like.dtype, device=like.device)
    return torch.exp(-(offsets**2) / (2 * sigma**2))


def along_both(image: Tensor, line: Tensor) -> Tensor:
    """Correlate each channel of (C, H, W) with a line down and across, where it fits: each side loses 2 r px."""
    down = F.conv2d(image[:, None], line.reshape(1, 1, -1, 1))
    return F.conv2d(down, line.reshape(1, 1, 1, -1))[:, 0]
