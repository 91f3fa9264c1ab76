"""Photographs of unknown damage: noise, compression, blur, sharpening and resizing, in any order and strength.

In the manner of the high-order degradations of Zhang, Liang, Van Gool and Timofte, "Designing a Practical Degradation
Model for Deep Blind Image Super-Resolution" (BSRGAN), ICCV 2021, and Wang, Xie, Dong and Shan, "Real-ESRGAN", ICCVW
2021; milder, since here a photograph keeps its size, and with a good share of crops that are hardly damaged or not at
all, so that a restorer leaves a good photograph alone.
"""

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from indi.degradations.draws import uniform
from indi.degradations.gaussian import along_both, gaussian_line
from indi.degradations.jpeg import compress_jpeg
from indi.degradations.noise import add_camera_noise, add_gaussian_noise, add_sensor_noise, camera_strength

REACH = 8  # px around a crop: a block of JPEG, and the kernels

_UNDAMAGED, _LIGHT = 0.12, 0.25  # shares of the crops
_BLOCK = 8  # px, of JPEG


def train_photo(clean: Tensor, generator: Generator) -> Tensor:
    """One crop in eight stays as it is; one in four is damaged lightly; the others by several causes in random order.

    Noise (three in four: white, a camera's or soft), blur, sharpening, JPEG and a change of size (a third or less of
    them each) come in random order; JPEG comes last in two of three, for that is how the file was saved.
    """
    kind = uniform(0, 1, generator)
    if kind < _UNDAMAGED:
        return clean
    strength = 0.25 if kind < _UNDAMAGED + _LIGHT else 1.0
    causes: list[tuple[float, Callable[[Tensor], Tensor]]] = [
        (0.75, lambda image: _noisy(image, generator, strength)),
        (0.30, lambda image: blur(image, sigma=uniform(0.2, 0.4 + 0.8 * strength, generator))),
        (0.20, lambda image: sharpen(image, amount=strength * uniform(0, 1, generator), sigma=1.0)),
        (0.30, lambda image: _compressed(image, generator, strength)),
        (0.30, lambda image: _resized(image, generator, strength)),
    ]
    image = clean
    for place in torch.randperm(len(causes), generator=generator, device=generator.device).tolist():
        share, cause = causes[place]
        if uniform(0, 1, generator) < share:
            image = cause(image)
    image = _of_size(image, clean.shape[-2:], "bicubic")
    if uniform(0, 1, generator) < 0.65:
        image = _compressed(image, generator, strength)
    return _rounded(image)


def phone(clean: Tensor, generator: Generator) -> Tensor:
    """A telephone in poor light: a sensor's noise, sharpened, JPEG of quality 80 with halved colours."""
    noisy = add_sensor_noise(clean, generator, shot=0.002, read=1e-5, red=2.0, blue=1.7)
    return compress_jpeg(sharpen(noisy, amount=0.4, sigma=1.0), quality=80, subsampling="4:2:0")


def chat(clean: Tensor, generator: Generator) -> Tensor:
    """A photograph that was sent twice: noise of 15 of 255, JPEG of quality 75, then 55 with blocks elsewhere."""
    noisy = add_gaussian_noise(clean, generator, sigma=15 / 255)
    once = compress_jpeg(noisy, quality=75, subsampling="4:2:0")
    return compress_shifted(once, down=3, right=5, quality=55, subsampling="4:2:0")


def scan(clean: Tensor, generator: Generator) -> Tensor:
    """A scanned print: a little soft, soft grain of 12 of 255, JPEG of quality 85 with whole colours."""
    grain = _grain(blur(clean, sigma=0.6), generator, sigma=12 / 255, softness=0.6, shared=0.6)
    return compress_jpeg(grain, quality=85, subsampling="4:4:4")


FORMS = {"phone": phone, "chat": chat, "scan": scan}


def test_photo(clean: Tensor, generator: Generator) -> Tensor:
    """One of the three mixtures, another for each image."""
    forms = list(FORMS.values())
    return forms[int(torch.randint(len(forms), (), generator=generator, device=generator.device))](clean, generator)


def blur(image: Tensor, *, sigma: float) -> Tensor:
    """Smooth (C, H, W) by a Gaussian of standard deviation ``sigma`` px; edges are repeated."""
    line = gaussian_line(sigma, image)
    reach = len(line) // 2
    padded = F.pad(image[None], (reach, reach, reach, reach), mode="replicate")[0]
    return along_both(padded, line / line.sum())


def sharpen(image: Tensor, *, amount: float, sigma: float) -> Tensor:
    """Return (C, H, W) with ``amount`` times what a Gaussian of ``sigma`` px takes away added: an unsharp mask."""
    return image + amount * (image - blur(image, sigma=sigma))


def compress_shifted(image: Tensor, *, down: int, right: int, quality: int, subsampling: str) -> Tensor:
    """Compress as `compress_jpeg`, with the blocks starting ``down`` and ``right`` px before the image's corner."""
    padded = F.pad(image[None], (right, 0, down, 0), mode="replicate")[0]
    return compress_jpeg(padded, quality=quality, subsampling=subsampling)[..., down:, right:]


def _noisy(image: Tensor, generator: Generator, strength: float) -> Tensor:
    kind = uniform(0, 1, generator)
    sigma = strength * 50 / 255 * uniform(0, 1, generator) ** 1.5  # weak noise is more common than strong
    if kind < 0.4:
        return add_gaussian_noise(image, generator, sigma=sigma)
    if kind < 0.6:
        return _grain(image, generator, sigma, softness=uniform(0.3, 1.5, generator), shared=uniform(0, 1, generator))
    shot, read = camera_strength(generator, strongest=strength * 0.012)
    return add_sensor_noise(
        image, generator, shot=shot, read=read, red=uniform(1.2, 2.4, generator), blue=uniform(1.2, 2.4, generator)
    )


def _grain(image: Tensor, generator: Generator, sigma: float, softness: float, shared: float) -> Tensor:
    return add_camera_noise(image, generator, shot=0, read=sigma**2, softness=softness, shared=shared)


def _compressed(image: Tensor, generator: Generator, strength: float) -> Tensor:
    """JPEG of quality 30 to 95, 82 to 95 where damage is light; every second time with its blocks anywhere."""
    lowest = 30 if strength == 1 else 82
    quality = int(torch.randint(lowest, 96, (), generator=generator, device=generator.device))
    subsampling = "4:4:4" if uniform(0, 1, generator) < 0.4 else "4:2:0"
    down, right = torch.randint(_BLOCK, (2,), generator=generator, device=generator.device).tolist()
    if uniform(0, 1, generator) < 0.5:
        down = right = 0
    return compress_shifted(image, down=down, right=right, quality=quality, subsampling=subsampling)


def _resized(image: Tensor, generator: Generator, strength: float) -> Tensor:
    """Return the image at 0.5 to 2 times its size, 0.8 to 1.25 where damage is light."""
    factor = math.exp(uniform(-1, 1, generator) * math.log(1.25 if strength < 1 else 2))
    size = [max(round(factor * side), 1) for side in image.shape[-2:]]
    return _of_size(image, size, "bilinear" if uniform(0, 1, generator) < 0.4 else "bicubic")


def _of_size(image: Tensor, size: list[int] | torch.Size, mode: str) -> Tensor:
    if image.shape[-2:] == torch.Size(size):
        return image
    return F.interpolate(image[None], size=tuple(size), mode=mode, antialias=True)[0]


def _rounded(image: Tensor) -> Tensor:
    return (image.clamp(0, 1) * 255).round() / 255
