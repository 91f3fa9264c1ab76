"""The metric of texture: a reference and hand-worked values, then the order of known distortions."""

import itertools

import numpy as np
import numpy.typing as npt
import pytest
import torch
from image_pairs import blurred, pair, values
from torch.testing import assert_close

from indi.metrics import psnr, swd

Array = npt.NDArray[np.float64]


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
