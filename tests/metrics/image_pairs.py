"""Pairs of images for metrics: made ones, photographs, and known distortions of rising strength."""

import io

import numpy as np
import torch
from PIL import Image
from skimage import data
from torch import Tensor
from torch.nn import functional


def pair(*shape: int, seed: int = 0, noise: float = 0.05, data_range: float = 1.0) -> tuple[Tensor, Tensor]:
    """Return a restored and a clean image with smooth and textured parts."""
    generator = torch.Generator().manual_seed(seed)
    ramp = torch.linspace(0.1, 0.9, shape[-1]) * torch.linspace(0.5, 1, shape[-2])[:, None]
    clean = ramp + 0.1 * torch.rand(shape, generator=generator)
    restored = clean + noise * torch.randn(shape, generator=generator)
    return restored * data_range, clean * data_range


def values(*expected: float) -> Tensor:
    return torch.tensor(expected, dtype=torch.float64)


def photograph(name: str) -> Tensor:
    """Return a photograph that comes with scikit-image as (1, C, H, W) of [0, 1]."""
    return _tensor(getattr(data, name)())


def blurred(images: Tensor, times: int = 1) -> Tensor:
    for _ in range(times):
        images = functional.avg_pool2d(images, 3, stride=1, padding=1, count_include_pad=False)
    return images


def gaussian_blurred(images: Tensor, sigma: float) -> Tensor:
    reach = int(4 * sigma + 1)
    weights = torch.softmax(-(torch.arange(-reach, reach + 1.0) ** 2) / (2 * sigma**2), dim=0)
    planes = functional.pad(images.flatten(0, 1)[:, None], [reach] * 4, mode="reflect")
    planes = functional.conv2d(functional.conv2d(planes, weights.view(1, 1, -1, 1)), weights.view(1, 1, 1, -1))
    return planes.reshape(images.shape)


def noisy(images: Tensor, sigma: float) -> Tensor:
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    return (images + sigma * noise).clamp(0, 1)


def jpeg(image: Tensor, quality: int) -> Tensor:
    pixels = (image[0].permute(1, 2, 0) * 255).round().byte().numpy()
    buffer = io.BytesIO()
    Image.fromarray(pixels.squeeze()).save(buffer, "JPEG", quality=quality)
    return _tensor(np.array(Image.open(buffer)))


def _tensor(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> Tensor:
    return torch.from_numpy(np.atleast_3d(pixels).copy()).permute(2, 0, 1)[None].float() / 255
