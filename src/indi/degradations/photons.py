"""Noise of photon counts: what a microscope's camera or detector adds, plane by plane."""

import math

import torch
from torch import Generator, Tensor

from indi.degradations.draws import normal_like, uniform

TEST_PHOTONS, TEST_READ = 200.0, 1.5


def add_photon_noise(clean: Tensor, generator: Generator, *, photons: float, read: float) -> Tensor:
    """Count photons, Poisson, and read them out with Gaussian noise: neither clipped nor rounded.

    The variance is (clean / photons) + (read / photons)^2: the Poisson-Gaussian model of Foi, Trimeche, Katkovnik and
    Egiazarian, IEEE Transactions on Image Processing 17(10), 2008, with real counts in place of their Gaussian limit.

    Args:
        clean: (..., H, W) float; below 0 there is no light.
        generator: of the noise.
        photons: mean count where clean is 1, the largest value of the file's type.
        read: standard deviation of the read-out, in photons.
    """
    counts = torch.poisson(photons * clean.clamp(min=0), generator=generator)
    return (counts + read * normal_like(clean, generator)) / photons


def train_denoise_photons(clean: Tensor, generator: Generator) -> Tensor:
    """Draw 30 to 3,000 photons at white, evenly on a logarithmic scale, and a read-out of 0 to 3 photons."""
    photons = math.exp(uniform(math.log(30), math.log(3000), generator))
    return add_photon_noise(clean, generator, photons=photons, read=uniform(0, 3, generator))


def test_denoise_photons(clean: Tensor, generator: Generator) -> Tensor:
    """200 photons at white, read out with 1.5: of a stack that fills a tenth of its range, 20 where it is brightest."""
    return add_photon_noise(clean, generator, photons=TEST_PHOTONS, read=TEST_READ)
