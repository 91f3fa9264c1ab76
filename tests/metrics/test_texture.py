"""Metrics of texture: references and hand-worked values, then the order of known distortions."""

import itertools
import math

import numpy as np
import numpy.typing as npt
import pytest
import torch
from image_pairs import gaussian_blurred, noisy, pair, photograph, values
from torch import Tensor
from torch.testing import assert_close

from indi.metrics import psnr, spectrum, swd

Array = npt.NDArray[np.float64]


def blurred(images: Tensor, times: int = 1) -> Tensor:
    for _ in range(times):
        images = torch.nn.functional.avg_pool2d(images, 3, stride=1, padding=1, count_include_pad=False)
    return images


# Sliced Wasserstein distance


def halve(image: Array) -> Array:
    """Mean of 2 x 2 pixels; an odd side is completed by its last row or column."""
    channels, height, width = image.shape
    image = np.pad(image, ((0, 0), (0, height % 2), (0, width % 2)), mode="edge")
    squares: Array = image.reshape(channels, (height + 1) // 2, 2, (width + 1) // 2, 2)
    return np.asarray(squares.mean(axis=(2, 4)))


def double(image: Array) -> Array:
    """Bilinear: each new pixel lies a quarter of an old one from the nearest, edges repeated."""
    for axis in (1, 2):
        before = np.concatenate([image.take([0], axis), image], axis).take(range(image.shape[axis]), axis)
        after = np.concatenate([image, image.take([-1], axis)], axis).take(range(1, image.shape[axis] + 1), axis)
        halves = np.stack([0.75 * image + 0.25 * before, 0.75 * image + 0.25 * after], axis + 1)
        image = halves.reshape(*[2 * n if a == axis else n for a, n in enumerate(image.shape)])
    return image


def slow_swd(restored: Array, clean: Array) -> float:
    """The definition, word for word, of one (C, H, W) pair."""
    size = restored.shape[0] * 49
    directions = torch.randn(128, size, generator=torch.Generator().manual_seed(0)).double().numpy()
    levels = []
    for _ in range(3):
        projected = []
        smaller = []
        for image in (restored, clean):
            half = halve(image)
            smaller.append(half)
            band = image - double(half)[:, : image.shape[1], : image.shape[2]]
            rows, columns = (range(0, side - 6, 3) for side in band.shape[1:])
            windows = [band[:, i : i + 7, j : j + 7].ravel() for i, j in itertools.product(rows, columns)]
            projected.append([np.array(windows) @ d / np.sqrt(d @ d) for d in directions])
        levels.append(np.mean([np.mean(np.abs(np.sort(a) - np.sort(b))) for a, b in zip(*projected, strict=True)]))
        restored, clean = smaller
    return float(1000 * np.mean(levels))


@pytest.mark.parametrize("shape", [(1, 3, 32, 48), (2, 1, 33, 46), (1, 2, 25, 31)], ids=str)
def test_swd_agrees_with_the_slow_reference(shape: tuple[int, ...]) -> None:
    restored, clean = pair(*shape)
    expected = [slow_swd(*images) for images in zip(restored.double().numpy(), clean.double().numpy(), strict=True)]
    assert min(expected) > 1
    assert_close(swd(restored, clean), values(*expected), atol=1e-5, rtol=0)


def test_swd_grows_with_blur() -> None:
    _, clean = pair(1, 3, 64, 64)
    distances = [swd(blurred(clean, times), clean).item() for times in range(4)]
    assert distances[0] == 0
    assert distances == sorted(distances)
    assert distances[1] > 1


def test_swd_grows_with_noise() -> None:
    distances = [swd(*pair(1, 3, 64, 64, noise=noise)).item() for noise in (0, 0.02, 0.05, 0.1, 0.2)]
    assert distances[0] == 0
    assert all(b > 1.2 * a for a, b in itertools.pairwise(distances))


def test_swd_sees_the_blur_that_psnr_prefers() -> None:
    _, clean = pair(1, 1, 96, 96)
    other_texture = pair(1, 1, 96, 96, seed=1)[1]
    assert psnr(blurred(clean), clean) > psnr(other_texture, clean)
    assert swd(blurred(clean), clean) > 2 * swd(other_texture, clean)


def test_swd_does_not_see_the_rest_of_the_pyramid() -> None:
    restored, clean = pair(1, 1, 32, 32)
    assert_close(swd(restored + 0.25, clean), swd(restored, clean), atol=1e-3, rtol=0)


# Spectrum


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


def slow_spectrum(restored: Array, clean: Array) -> float:
    """The definition, word for word, of one (C, H, W) pair in [0, 1]."""
    channels, height, width = clean.shape
    window = np.outer(*(np.sin(np.pi * np.arange(side) / side) ** 2 for side in (height, width)))
    logs = []
    for image in (restored, clean):
        rings: list[list[float]] = [[] for _ in range(32)]
        spectra = np.fft.fft2((image - image.mean(axis=(1, 2), keepdims=True)) * window)
        for i, j in itertools.product(range(height), range(width)):
            frequency = math.hypot(min(i, height - i) / height, min(j, width - j) / width)
            if frequency < 0.5:
                rings[int(frequency / 0.5 * 32)].append(float((abs(spectra[:, i, j]) ** 2).sum()))
        floor = channels * (window**2).sum() / 12 / 255**2
        logs.append([10 * math.log10(np.mean(ring) + floor) for ring in rings[1:] if ring])
    return float(np.abs(np.array(logs[0]) - logs[1]).mean())


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
