"""How a degraded image is made from a clean one: the tasks that need no recorded pairs.

Every degradation is a pure function ``(clean, generator) -> degraded``: clean is (C, H, W) float32 with
intensities in [0, 1], degraded has the same shape and dtype, and all randomness comes from the generator (on
the device of clean).

``DEGRADATIONS`` lists them by task name, each in two forms: ``train`` draws a new strength each time,
``test`` is the fixed form behind published figures, where only the noise is drawn. Give ``test`` a generator
seeded by `seed_for`, and a file is degraded alike whatever the order of files.
"""

import hashlib
import io
import math
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from PIL import Image
from torch import Generator, Tensor

from indi.errors import ConfigError, ShapeError

Degrade = Callable[[Tensor, Generator], Tensor]

_JPEG_LIMIT_PX = 65_500  # libjpeg's


@dataclass(frozen=True)
class Degradation:
    """One task: what is done to a clean image, in its two forms.

    Attributes:
        name: the task name, as the command line takes it.
        description: one line for a person.
        train: the randomised form for training.
        test: the fixed form for comparisons.
    """

    name: str
    description: str
    train: Degrade
    test: Degrade


def seed_for(name: str, seed: int) -> int:
    """Return a seed in [0, 2^63) that depends on a file's name and on ``seed`` alone.

    Accented letters count the same however the file system composes them.
    """
    text = f"{seed}/{unicodedata.normalize('NFC', name)}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def add_gaussian_noise(clean: Tensor, generator: Generator, *, sigma: float) -> Tensor:
    """Add white Gaussian noise of standard deviation ``sigma``, in intensities of [0, 1].

    The sum is neither clipped nor rounded, so the noise keeps its mean and variance at black and white too;
    this is the convention of published denoising figures.
    """
    return clean + sigma * _normal_like(clean, generator)


def add_camera_noise(clean: Tensor, generator: Generator, *, shot: float, read: float) -> Tensor:
    """Add signal-dependent noise of variance ``shot * clean + read``, neither clipped nor rounded.

    The Gaussian approximation of a sensor's Poisson and read-out noise: Foi, Trimeche, Katkovnik and
    Egiazarian, IEEE Transactions on Image Processing 17(10), 2008.
    """
    # Resampled images undershoot black a little, and a variance cannot be negative.
    sigma = (shot * clean.clamp(min=0) + read).sqrt()
    return clean + sigma * _normal_like(clean, generator)


def shrink_and_enlarge(clean: Tensor, *, factor: int) -> Tensor:
    """Shrink by ``factor`` with antialiased bicubic, round to 8 bit, and enlarge back to the size of clean.

    Both resizings follow Matlab's ``imresize``, as published figures do: Keys' kernel with a = -0.5,
    stretched by the factor when shrinking, and the image mirrored at its edges. (PyTorch enlarges with
    a = -0.75.) A side that the factor does not divide shrinks to the next whole pixel and is cut back after
    enlarging, so pixels stay aligned to the top left corner. The answer is clipped to [0, 1].

    Source: Keys, "Cubic convolution interpolation for digital image processing", IEEE Transactions on
    Acoustics, Speech and Signal Processing 29(6), 1981.

    Args:
        clean: (C, H, W) float in [0, 1].
        factor: how many times smaller each side becomes in between.
    """
    height, width = clean.shape[-2:]
    small_height, small_width = math.ceil(height / factor), math.ceil(width / factor)
    shrink = (_resizing(height, small_height, 1 / factor), _resizing(width, small_width, 1 / factor))
    enlarge = (_resizing(small_height, height, factor), _resizing(small_width, width, factor))
    small = (_separable(clean, *shrink).clamp(0, 1) * 255).round() / 255
    return _separable(small, *enlarge).clamp(0, 1)


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


def _train_denoise(clean: Tensor, generator: Generator) -> Tensor:
    """Three crops in four get Gaussian noise of any strength up to 55 of 255, the fourth a camera's.

    Gaussian strengths: Zhang, Zuo, Chen, Meng and Zhang ("DnCNN"), IEEE Transactions on Image Processing
    26(7), 2017. Camera strengths: the sensor statistics of Brooks et al., "Unprocessing Images for Learned
    Raw Denoising", CVPR 2019, where read noise follows shot noise on a logarithmic line with some scatter.
    """
    if _uniform(0, 1, generator) < 0.75:
        return add_gaussian_noise(clean, generator, sigma=_uniform(0, 55 / 255, generator))
    log_shot = _uniform(math.log(1e-4), math.log(0.012), generator)
    log_read = 2.18 * log_shot + 1.2 + 0.26 * torch.randn((), generator=generator, device=generator.device).item()
    return add_camera_noise(clean, generator, shot=math.exp(log_shot), read=math.exp(log_read))


def _test_denoise(clean: Tensor, generator: Generator) -> Tensor:
    return add_gaussian_noise(clean, generator, sigma=25 / 255)


def _super_resolve_4x(clean: Tensor, generator: Generator) -> Tensor:
    return shrink_and_enlarge(clean, factor=4)


def _train_jpeg(clean: Tensor, generator: Generator) -> Tensor:
    quality = int(torch.randint(5, 96, (), generator=generator, device=generator.device))
    subsampling = "4:4:4" if _uniform(0, 1, generator) < 0.5 else "4:2:0"
    return compress_jpeg(clean, quality=quality, subsampling=subsampling)


def _test_jpeg(clean: Tensor, generator: Generator) -> Tensor:
    """Quality 10 as in Dong, Deng, Loy and Tang ("ARCNN"), ICCV 2015; 4:2:0 is libjpeg's default."""
    return compress_jpeg(clean, quality=10, subsampling="4:2:0")


DEGRADATIONS: dict[str, Degradation] = {  # add a degradation here
    "denoise": Degradation(
        "denoise",
        "noise: Gaussian or a camera's in training, Gaussian of sigma 25 of 255 in tests",
        train=_train_denoise,
        test=_test_denoise,
    ),
    "super-resolve-4x": Degradation(
        "super-resolve-4x",
        "a quarter of the size by antialiased bicubic, rounded to 8 bit, and back by bicubic",
        train=_super_resolve_4x,
        test=_super_resolve_4x,
    ),
    "jpeg": Degradation(
        "jpeg",
        "JPEG compression of quality 5 to 95 in training, 10 in tests",
        train=_train_jpeg,
        test=_test_jpeg,
    ),
}


def degradation(task: str) -> Degradation:
    """Return the degradation of a task by name.

    Raises:
        ConfigError: there is no such task.
    """
    if task not in DEGRADATIONS:
        raise ConfigError(f"there is no task {task!r}; choose from {', '.join(DEGRADATIONS)}")
    return DEGRADATIONS[task]


def _uniform(low: float, high: float, generator: Generator) -> float:
    return low + (high - low) * torch.rand((), generator=generator, device=generator.device).item()


def _normal_like(clean: Tensor, generator: Generator) -> Tensor:
    return torch.randn(clean.shape, generator=generator, dtype=clean.dtype, device=clean.device)


def _separable(image: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Apply one resizing matrix down the rows and one along the columns of (C, H, W)."""
    return rows.to(image) @ image @ columns.to(image).T


@lru_cache(maxsize=4)  # what crops of one size need
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
    mirrored = positions % (2 * old)
    mirrored = torch.where(mirrored < old, mirrored, 2 * old - 1 - mirrored)
    return torch.zeros(new, old, dtype=torch.float64).index_add_(1, mirrored, weights)


def _keys(distance: Tensor) -> Tensor:
    """Keys' cubic convolution kernel with a = -0.5, which reproduces parabolas."""
    d = distance.abs()
    near = (1.5 * d - 2.5) * d**2 + 1
    far = ((-0.5 * d + 2.5) * d - 4) * d + 2
    return torch.where(d <= 1, near, torch.where(d < 2, far, 0.0))
