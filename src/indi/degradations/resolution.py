"""Resolution: shrink an image and bring it back to its size, or enlarge a small one as that does."""

import math
from collections.abc import Callable
from functools import lru_cache, partial

import torch
from torch import Generator, Tensor

from indi.degradations.draws import uniform
from indi.degradations.jpeg import compress_jpeg
from indi.degradations.mirror import mirrored
from indi.degradations.noise import add_gaussian_noise


def shrink_and_enlarge(clean: Tensor, *, factor: float, small: Callable[[Tensor], Tensor] | None = None) -> Tensor:
    """Shrink by ``factor`` with antialiased bicubic, round to 8 bit, and enlarge back to the size of clean.

    Both resizings follow Matlab's ``imresize``, as published figures do: Keys' kernel with a = -0.5,
    stretched by the factor when shrinking, and the image mirrored at its edges. (PyTorch enlarges with
    a = -0.75.) A side that the factor does not divide shrinks to the next whole pixel and is cut back after
    enlarging, so pixels stay aligned to the top left corner. The answer is clipped to [0, 1].

    Source: Keys, "Cubic convolution interpolation for digital image processing", IEEE Transactions on
    Acoustics, Speech and Signal Processing 29(6), 1981.

    Args:
        clean: (C, H, W) float in [0, 1].
        factor: how many times smaller each side becomes in between, 1 or more.
        small: what befalls the small image before it is rounded.
    """
    height, width = clean.shape[-2:]
    small_height, small_width = math.ceil(height / factor), math.ceil(width / factor)
    shrink = (_resizing(height, small_height, 1 / factor), _resizing(width, small_width, 1 / factor))
    grow = (_resizing(small_height, height, factor), _resizing(small_width, width, factor))
    image = _separable(clean, *shrink)
    image = ((image if small is None else small(image)).clamp(0, 1) * 255).round() / 255
    return _separable(image, *grow).clamp(0, 1)


def train_super_resolve_4x(clean: Tensor, generator: Generator) -> Tensor:
    """Three crops in four as tests do; the fourth by a factor from 1 to 4, and now and then not at all.

    In one of three the small image has some noise and was saved as JPEG, as pictures that are to be enlarged often are.
    """
    factor = 4.0 if uniform(0, 1, generator) < 0.75 else max(1.0, uniform(0, 4, generator))
    used = partial(_used, generator=generator) if uniform(0, 1, generator) < 1 / 3 else None
    return shrink_and_enlarge(clean, factor=factor, small=used)


def test_super_resolve_4x(clean: Tensor, generator: Generator) -> Tensor:
    """By 4 exactly, with nothing drawn."""
    return shrink_and_enlarge(clean, factor=4)


def _used(small: Tensor, generator: Generator) -> Tensor:
    """Add noise of up to 5 of 255, and in two of three save as JPEG of quality 60 to 95."""
    noisy = add_gaussian_noise(small, generator, sigma=uniform(0, 5 / 255, generator))
    if uniform(0, 1, generator) < 1 / 3:
        return noisy
    quality = int(torch.randint(60, 96, (), generator=generator, device=generator.device))
    return compress_jpeg(noisy, quality=quality, subsampling="4:4:4" if uniform(0, 1, generator) < 0.5 else "4:2:0")


def _separable(image: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Apply one resizing matrix down the rows and one along the columns of (C, H, W)."""
    return rows.to(image) @ image @ columns.to(image).T


@lru_cache(maxsize=8)  # what crops of one size need
def _resizing(old: int, new: int, scale: float) -> Tensor:
    """Return the (new, old) matrix that resizes a line of pixels by ``scale``; each row sums to 1.

    Output pixel i is centred on input position (i + 1/2) / scale - 1/2. Positions outside the line are
    mirrored into it, the edge pixel included.
    """
    stretch = min(scale, 1.0)
    reach = math.ceil(3 / stretch)  # two pixels of kernel, and one for a last output pixel beyond the line
    centres = (torch.arange(new, dtype=torch.float64) + 0.5) / scale - 0.5
    positions = torch.arange(-reach, old + reach)
    weights = _keys((positions - centres[:, None]) * stretch)
    weights /= weights.sum(dim=1, keepdim=True)
    return torch.zeros(new, old, dtype=torch.float64).index_add_(1, mirrored(positions, old), weights)


def _keys(distance: Tensor) -> Tensor:
    """Keys' cubic convolution kernel with a = -0.5, which reproduces parabolas."""
    d = distance.abs()
    near = (1.5 * d - 2.5) * d**2 + 1
    far = ((-0.5 * d + 2.5) * d - 4) * d + 2
    return torch.where(d <= 1, near, torch.where(d < 2, far, 0.0))
