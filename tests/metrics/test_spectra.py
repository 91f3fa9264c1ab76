"""Metrics of spectra: references and closed forms, then the order of known distortions."""

import itertools
import math

import numpy as np
import numpy.typing as npt
import pytest
import torch
from image_pairs import blurred, gaussian_blurred, noisy, pair, photograph, values
from torch import Tensor
from torch.testing import assert_close

from indi.metrics import frc, psnr, spectrum

Array = npt.NDArray[np.float64]


def white(deviation: float, *shape: int) -> Tensor:
    return deviation * torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("shape", [(2, 3, 64, 64), (1, 1, 33, 90), (1, 1, 128, 45)], ids=str)
def test_half_the_amplitude_is_six_decibels(shape: tuple[int, ...]) -> None:
    clean = white(100, *shape)  # the power of rounding is 1e-10 of it
    expected = values(*[20 * math.log10(2)] * shape[0])
    assert_close(spectrum(clean / 2, clean), expected, atol=1e-7, rtol=0)
    assert_close(spectrum(1.5 - clean / 2, clean), expected, atol=1e-7, rtol=0)  # neither mean nor sign counts


def test_rounding_to_8_bit_is_three_decibels_above_nothing() -> None:
    clean = torch.full((1, 3, 512, 512), 0.4, dtype=torch.float64)
    rounding = (torch.rand(clean.shape, generator=torch.Generator().manual_seed(0)) - 0.5) / 255
    assert_close(spectrum(clean + rounding, clean), values(10 * math.log10(2)), atol=0.05, rtol=0)


def rings_of(one: Array, other: Array) -> tuple[list[float], list[float]]:
    """The rings of two (C, H, W) images, word for word: their middles, and the mean products in each."""
    height, width = one.shape[1:]
    window = np.outer(*(np.sin(np.pi * np.arange(side) / side) ** 2 for side in (height, width)))
    spectra = [np.fft.fft2((image - image.mean(axis=(1, 2), keepdims=True)) * window) for image in (one, other)]
    rings: list[list[float]] = [[] for _ in range(32)]
    for i, j in itertools.product(range(height), range(width)):
        frequency = math.hypot(min(i, height - i) / height, min(j, width - j) / width)
        if frequency < 0.5:
            rings[int(frequency / 0.5 * 32)].append(float((spectra[0][:, i, j] @ spectra[1][:, i, j].conj()).real))
    there = [number for number, ring in enumerate(rings) if number and ring]
    return [(number + 0.5) / 32 for number in there], [float(np.mean(rings[number])) for number in there]


def slow_spectrum(restored: Array, clean: Array) -> float:
    """The definition of one (C, H, W) pair in [0, 1]."""
    channels, height, width = clean.shape
    window = np.outer(*(np.sin(np.pi * np.arange(side) / side) ** 2 for side in (height, width)))
    floor = channels * (window**2).sum() / 12 / 255**2
    logs = [[10 * math.log10(mean + floor) for mean in rings_of(image, image)[1]] for image in (restored, clean)]
    return float(np.abs(np.array(logs[0]) - logs[1]).mean())


def slow_frc(restored: Array, clean: Array) -> float:
    """The definition of one (C, H, W) pair."""
    middles, shared = rings_of(restored, clean)
    powers = [rings_of(image, image)[1] for image in (restored, clean)]
    curve = [(0.0, 1.0)]
    for middle, product, ours, theirs in zip(middles, shared, *powers, strict=True):
        curve.append((middle, product / math.sqrt(ours * theirs)))
        if curve[-1][1] < 0.5:
            (low, above), (high, below) = curve[-2:]
            return float(np.interp(-0.5, [-above, -below], [low, high]))
    return 1.0


@pytest.mark.parametrize("shape", [(1, 3, 32, 48), (2, 1, 47, 33), (1, 2, 40, 51)], ids=str)
def test_spectrum_agrees_with_the_slow_reference(shape: tuple[int, ...]) -> None:
    restored, clean = pair(*shape)
    expected = [
        slow_spectrum(*images) for images in zip(restored.double().numpy(), clean.double().numpy(), strict=True)
    ]
    assert min(expected) > 0.1
    assert_close(spectrum(restored, clean), values(*expected), atol=1e-4, rtol=0)


def test_spectrum_grows_with_blur_and_with_noise() -> None:
    clean = photograph("coffee")[..., :200, :300]
    for gaps in (
        [spectrum(gaussian_blurred(clean, sigma), clean).item() for sigma in (0.5, 1, 2, 4)],
        [spectrum(noisy(clean, sigma / 255), clean).item() for sigma in (2, 5, 10, 25, 50)],
    ):
        assert gaps[0] > 0.1
        assert all(b > 1.2 * a for a, b in itertools.pairwise(gaps))


def test_spectrum_sees_the_blur_that_psnr_prefers() -> None:
    _, clean = pair(1, 1, 96, 96)
    other_texture = pair(1, 1, 96, 96, seed=1)[1]
    assert psnr(blurred(clean), clean) > psnr(other_texture, clean)
    assert spectrum(blurred(clean), clean) > 5 * spectrum(other_texture, clean)


# Fourier ring correlation


@pytest.mark.parametrize("shape", [(1, 3, 32, 48), (2, 1, 47, 33), (1, 2, 40, 51)], ids=str)
def test_frc_agrees_with_the_slow_reference(shape: tuple[int, ...]) -> None:
    restored, clean = pair(*shape)
    expected = [slow_frc(*images) for images in zip(restored.double().numpy(), clean.double().numpy(), strict=True)]
    assert 0 < min(expected) < 1
    assert_close(frc(restored, clean), values(*expected), atol=1e-5, rtol=0)


def sloped(side: int) -> Tensor:
    """An image whose power falls with the square of the frequency, 1 at that of Nyquist."""
    rows, columns = torch.fft.fftfreq(side).double(), torch.fft.rfftfreq(side).double()
    frequency = torch.hypot(rows[:, None], columns).clamp(min=1 / side)
    image: Tensor = torch.fft.irfft2(torch.fft.rfft2(white(1, side, side)) * 0.5 / frequency, s=(side, side))
    return image[None, None]


@pytest.mark.parametrize("noise", [3.0, 6.0, 12.0])
def test_frc_ends_where_noise_is_three_times_the_signal(noise: float) -> None:
    # The correlation sqrt(S / (S + N)) is 1/2 at N = 3 S; the power S is 1 / f^2 in shares of Nyquist, N = noise^2.
    clean = sloped(512)
    found = frc(clean + noise * torch.randn(clean.shape, generator=torch.Generator().manual_seed(1)).double(), clean)
    assert_close(found, values(math.sqrt(3) / noise), atol=0.02, rtol=0)


def test_frc_needs_neither_brightness_nor_contrast_and_sees_no_blur() -> None:
    clean = sloped(64)
    assert frc(0.3 * clean + 7, clean).item() == 1
    assert frc(-clean, clean).item() < 0.05
    assert frc(gaussian_blurred(clean.float(), 1).double(), clean).item() == 1


def test_frc_of_what_is_empty() -> None:
    flat, clean = torch.full((1, 1, 40, 40), 0.5), pair(1, 1, 40, 40)[1]
    assert frc(flat, flat).item() == frc(flat + 0.1, flat).item() == 1
    for side in (32, 64, 100):
        one, other = (torch.full((1, 1, side, side), value / 255) for value in (100, 101))
        assert frc(one, other).item() == 1, side
    holed = clean.clone()
    holed[..., 3, 3] = torch.nan
    assert frc(holed, clean).isnan().all()
    assert frc(clean * torch.inf, clean).isnan().all()
    assert frc(flat, clean).item() == frc(clean, flat).item() < 0.05


def test_frc_falls_with_noise() -> None:
    clean = photograph("coffee")[..., :200, :300]
    limits = [frc(noisy(clean, sigma / 255), clean).item() for sigma in (0, 5, 10, 25, 50)]
    assert limits[0] == 1
    assert limits == sorted(limits, reverse=True)
    assert limits[-1] < 0.5
