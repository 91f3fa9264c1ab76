"""Real JPEG compression."""

import io

import numpy as np
import torch
from PIL import Image
from torch import Generator, Tensor

from indi.degradations.draws import uniform
from indi.errors import ShapeError

_JPEG_LIMIT_PX = 65_500  # libjpeg's


def compress_jpeg(clean: Tensor, *, quality: int, subsampling: str) -> Tensor:
    """Round to 8 bit, encode as JPEG with Pillow (libjpeg), and decode.

    Args:
        clean: (1, H, W) gray or (3, H, W) RGB, float in [0, 1].
        quality: libjpeg's quality, 1 to 95.
        subsampling: of the colours, "4:4:4" or "4:2:0"; without effect on gray.

    Raises:
        ShapeError: the image has neither one nor three channels, or a side above 65,500 px.
    """
    if clean.ndim != 3 or clean.shape[0] not in (1, 3):
        raise ShapeError(f"JPEG holds gray (1, H, W) or RGB (3, H, W), not {tuple(clean.shape)}; split the channels")
    if max(clean.shape) > _JPEG_LIMIT_PX:
        raise ShapeError(f"JPEG holds sides up to {_JPEG_LIMIT_PX} px, not {tuple(clean.shape)}; crop the image")
    pixels = (clean.clamp(0, 1) * 255).round().to(torch.uint8).cpu()
    image = Image.fromarray(pixels[0].numpy() if len(pixels) == 1 else pixels.permute(1, 2, 0).numpy())
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality, subsampling=subsampling)
    with Image.open(file) as decoded:
        values = torch.from_numpy(np.array(decoded)).reshape(*clean.shape[1:], len(clean)).permute(2, 0, 1)
    return (values / 255).contiguous().to(clean)


def train_jpeg(clean: Tensor, generator: Generator) -> Tensor:
    """Any quality from 5 to 95, with whole colours or halved ones."""
    quality = int(torch.randint(5, 96, (), generator=generator, device=generator.device))
    subsampling = "4:4:4" if uniform(0, 1, generator) < 0.5 else "4:2:0"
    return compress_jpeg(clean, quality=quality, subsampling=subsampling)


def test_jpeg(clean: Tensor, generator: Generator) -> Tensor:
    """Quality 10 as in Dong, Deng, Loy and Tang ("ARCNN"), ICCV 2015; 4:2:0 is libjpeg's default."""
    return compress_jpeg(clean, quality=10, subsampling="4:2:0")
