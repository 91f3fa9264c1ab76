"""The metric of grain: hand-worked values, what it forgives, and that no noise improves it."""

import itertools

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from image_pairs import gaussian_blurred, photograph, values
from torch import Tensor
from torch.testing import assert_close

from indi.metrics import grain, spectrum, swd

Array = npt.NDArray[np.float64]


def noise(like: Tensor, seed: int = 0) -> Tensor:
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(seed))


def half_textured() -> Tensor:
    """Return an image whose left half is flat, and whose right half is texture."""
    image = torch.full((1, 1, 128, 128), 0.5)
    image[..., 64:] += 0.05 * noise(image)[..., 64:]
    return image


def picture() -> Tensor:
    return photograph("astronaut")[..., 100:292, 150:342]


# Closed forms


@pytest.mark.parametrize(("factor", "expected"), [(0, 0), (0.5, 0), (1.4, 0), (2, 1 / 2), (4, 7 / 8), (-4, 7 / 8)])
def test_detail_that_is_too_strong_by_a_factor(factor: float, expected: float) -> None:
    # Bands are linear, so energies are its square: (factor^2 - 2) / factor^2 is beyond twice the clean's everywhere.
    clean = 0.5 + 0.1 * noise(torch.zeros(1, 3, 64, 80))
    assert_close(grain(0.5 + factor * (clean - 0.5), clean), values(expected), atol=1e-3, rtol=0)


def test_grain_on_the_flat_half_alone_is_all_that_is_there() -> None:
    clean = half_textured()
    flat_too = clean.clone()
    flat_too[..., :64] += 0.05 * noise(clean, seed=1)[..., :64]
    # About the 64 columns of 128 that the clean image has nothing in, but for windows that look over the border.
    assert 0.42 < grain(flat_too, clean).item() < 0.5
    assert grain(clean, flat_too).item() == 0  # what is missing does not count


def slow_share(restored: Array, clean: Array) -> float:
    """The definition on the first level, word for word."""
    height, width = clean.shape
    total = 0.0
    for row, column in itertools.product(range(height), range(width)):
        window = slice(max(row - 3, 0), row + 4), slice(max(column - 3, 0), column + 4)
        ours, theirs = (float((band[window] ** 2).mean()) for band in (restored, clean))
        total += max(ours - 2 * theirs, 0) / (ours + 1 / (12 * 255**2))
    return float(total / (height * width))


def test_the_slow_definition_is_met_where_the_first_level_is_the_worst() -> None:
    clean = torch.full((1, 1, 32, 40), 0.5)
    clean[..., 20:] += 0.02 * noise(clean)[..., 20:]
    restored = clean + 0.02 * noise(clean, seed=1)

    def first_band(image: Tensor) -> Array:
        halved = torch.nn.functional.avg_pool2d(image, 2)
        doubled = torch.nn.functional.interpolate(halved, scale_factor=2, mode="bilinear")
        return np.asarray((image - doubled)[0, 0].double())

    expected = slow_share(first_band(restored), first_band(clean))
    assert 0.3 < expected < 0.9
    assert_close(grain(restored, clean), values(expected), atol=1e-5, rtol=0)


def test_rounding_is_no_grain() -> None:
    clean = photograph("astronaut")[..., :128, :128] * 0.999
    assert grain((clean * 255).round() / 255, clean).item() < 1e-3
    flat = torch.full((1, 3, 64, 64), 0.5)
    assert grain(flat + (torch.rand(flat.shape, generator=torch.Generator().manual_seed(0)) - 0.5) / 255, flat) < 0.5


# What is detail, and what is not


@pytest.mark.medium
def test_noise_on_a_blurred_image_fools_the_spectrum_and_not_this() -> None:
    clean = picture()
    blurred = gaussian_blurred(clean, 1.5)
    for width in (0.01, 0.7, 1.0):  # of the filter of the noise: as good as none, and two that leave coarser grain
        filtered = gaussian_blurred(noise(clean), width)
        missing = ((clean - blurred).square().mean() / filtered.square().mean()).sqrt()
        grainy = blurred + 0.5 * missing * filtered
        assert spectrum(grainy, clean) < 0.6 * spectrum(blurred, clean)
        assert swd(grainy, clean) < swd(blurred, clean)
        assert grain(blurred, clean) < 0.005  # edges spread into flat parts
        assert grain(grainy, clean).item() > 0.1


def test_true_detail_is_good_even_off_by_a_pixel() -> None:
    clean = picture()
    blurred = gaussian_blurred(clean, 1.5)
    grainy = grain(blurred + (clean - blurred).std() * noise(clean), clean)
    assert grain((clean + blurred) / 2, clean).item() < 0.005
    assert grain(1.2 * clean - 0.2 * blurred, clean).item() < 0.005
    for shift in (1, 2):
        moved, still = clean[..., shift:, shift:], clean[..., :-shift, :-shift]
        assert grain(moved, still) < 0.2 * grainy


def test_grain_of_the_clean_image_is_right() -> None:
    clean = picture() + 0.05 * noise(picture())
    assert grain(picture() + 0.05 * noise(picture(), seed=1), clean).item() < 2e-3
    assert grain(picture() + 0.2 * noise(picture(), seed=1), clean).item() > 0.5


@pytest.mark.medium
@settings(max_examples=15, deadline=None)
@given(
    sharpness=st.floats(0, 1),
    already=st.sampled_from([0.0, 0.01, 0.05]),
    width=st.sampled_from([0.01, 0.7, 1.5]),
    seed=st.integers(1, 99),
)
def test_no_noise_makes_it_better(sharpness: float, already: float, width: float, seed: int) -> None:
    clean = picture()
    restored = sharpness * clean + (1 - sharpness) * gaussian_blurred(clean, 2) + already * noise(clean)
    added = gaussian_blurred(noise(clean, seed), width)
    shares = [grain(restored + s * added / added.std(), clean).item() for s in (0, 0.002, 0.01, 0.03, 0.1, 0.3)]
    assert all(after > before - 1e-3 for before, after in itertools.pairwise(shares)), shares
    assert shares[-1] > 0.5
    assert max(shares) < 1


# What does not matter


@settings(max_examples=10, deadline=None)
@given(scale=st.floats(1e-3, 1e5), axis=st.sampled_from([-1, -2]))
def test_scale_brightness_and_flips_do_not_matter(scale: float, axis: int) -> None:
    clean = picture()[..., :64, :96]
    restored = clean + 0.05 * noise(clean)
    expected = grain(restored, clean)
    assert expected > 0.1
    assert_close(grain(restored * scale, clean * scale, data_range=scale), expected, atol=1e-4, rtol=0)
    assert_close(grain(restored.flip(axis), clean.flip(axis)), expected, atol=1e-5, rtol=0)
    assert_close(grain(restored + 0.3, clean), expected, atol=1e-4, rtol=0)
    gray = restored[:, :1], clean[:, :1]
    assert_close(grain(*(image.expand(-1, 3, -1, -1) for image in gray)), grain(*gray), atol=1e-6, rtol=0)


def test_images_of_nothing() -> None:
    flat = torch.full((1, 1, 40, 40), 0.5)
    assert grain(flat, flat).item() == 0
    assert grain(flat + 0.1 * noise(flat), flat).item() > 0.99
    assert grain(flat * float("nan"), flat).isnan().all()
