"""Noise: Gaussian, and that of a camera, which grows with the light."""

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from indi.degradations.draws import normal_like, uniform
from indi.degradations.light import light_of, picture_of


def add_gaussian_noise(clean: Tensor, generator: Generator, *, sigma: float) -> Tensor:
    """Add white Gaussian noise of standard deviation ``sigma``, in intensities of [0, 1].

    The sum is neither clipped nor rounded, so the noise keeps its mean and variance at black and white too;
    this is the convention of published denoising figures.
    """
    return clean + sigma * normal_like(clean, generator)


def add_camera_noise(
    clean: Tensor, generator: Generator, *, shot: float, read: float, softness: float = 0.0, shared: float = 0.0
) -> Tensor:
    """Add signal-dependent noise of variance ``shot * clean + read``, neither clipped nor rounded.

    The Gaussian approximation of a sensor's Poisson and read-out noise: Foi, Trimeche, Katkovnik and
    Egiazarian, IEEE Transactions on Image Processing 17(10), 2008; of light, not yet of its picture (light.py). A
    camera then makes colours of its mosaic and smooths them, which spreads noise over neighbours and channels; its
    variance here stays as above.

    Args:
        clean: (C, H, W) float in [0, 1].
        generator: of the noise.
        shot: variance at white, of what grows with the signal.
        read: variance everywhere.
        softness: standard deviation, in pixels, of the Gaussian that the noise is smoothed by; 0 for white noise.
        shared: correlation of the noise between channels, 0 to 1.
    """
    # Resampled images undershoot black a little, and a variance cannot be negative.
    sigma = (shot * clean.clamp(min=0) + read).sqrt()
    return clean + sigma * _camera_normal(clean, generator, softness, shared)


def _camera_normal(clean: Tensor, generator: Generator, softness: float, shared: float) -> Tensor:
    """Return standard normal numbers of the shape of ``clean``, correlated between neighbours and channels."""
    if softness == 0 and shared == 0:
        return normal_like(clean, generator)
    channels, height, width = clean.shape
    reach = math.ceil(3 * softness)
    field = clean.new_empty(channels + 1, height + 2 * reach, width + 2 * reach)
    noise = normal_like(field, generator)
    noise = math.sqrt(shared) * noise[:1] + math.sqrt(1 - shared) * noise[1:]
    if reach == 0:
        return noise
    offsets = torch.arange(-reach, reach + 1, dtype=clean.dtype, device=clean.device)
    line = torch.exp(-(offsets**2) / (2 * softness**2))
    line /= line.norm()  # so that the variance stays 1
    noise = F.conv2d(noise[:, None], line.reshape(1, 1, -1, 1))
    return F.conv2d(noise, line.reshape(1, 1, 1, -1))[:, 0]


def train_denoise(clean: Tensor, generator: Generator) -> Tensor:
    """Three crops in five get Gaussian noise of any strength up to 55 of 255, the others a camera's.

    The camera's noise is white or soft, of one colour or of all: on PolyU's photographs neighbours were measured
    to correlate by 0.4 to 0.8 (softness 0.5 to 1.1) and channels by 0.5 to 0.9. It is noise of the light, seen through
    the camera's curves, which make it largest at middle intensities: on PolyU, of its mean, 0.7 at black, 1.1 at
    middle and 0.5 at white, here 0.6, 1.2 and 0.4 (benchmarks/camera_noise.py).

    Gaussian strengths: Zhang, Zuo, Chen, Meng and Zhang ("DnCNN"), IEEE Transactions on Image Processing
    26(7), 2017. Camera strengths: the sensor statistics of Brooks et al., "Unprocessing Images for Learned
    Raw Denoising", CVPR 2019, where read noise follows shot noise on a logarithmic line with some scatter.
    """
    if uniform(0, 1, generator) < 0.6:
        return add_gaussian_noise(clean, generator, sigma=uniform(0, 55 / 255, generator))
    log_shot = uniform(math.log(1e-4), math.log(0.012), generator)
    log_read = 2.18 * log_shot + 1.2 + 0.26 * torch.randn((), generator=generator, device=generator.device).item()
    softness, shared = uniform(0, 1.1, generator), uniform(0, 0.9, generator)
    noisy = add_camera_noise(
        light_of(clean, contrast=True),
        generator,
        shot=math.exp(log_shot),
        read=math.exp(log_read),
        softness=softness,
        shared=shared,
    )
    return picture_of(noisy, contrast=True)


def test_denoise(clean: Tensor, generator: Generator) -> Tensor:
    """Gaussian noise of standard deviation 25 of 255."""
    return add_gaussian_noise(clean, generator, sigma=25 / 255)
