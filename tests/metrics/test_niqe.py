"""NIQE: its features against laws of known parameters and a slow reference, then the order of known distortions."""

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from image_pairs import gaussian_blurred, jpeg, noisy, pair, photograph, values
from PIL import Image
from torch.testing import assert_close

from indi.errors import ConfigError, ShapeError
from indi.metrics import METRICS, Niqe, measure, with_niqe
from indi.metrics.niqe import LEAST_PATCHES_TO_FIT, fit_sides

Array = npt.NDArray[np.float64]
PHOTOGRAPHS = ("astronaut", "coffee", "rocket", "camera", "hubble_deep_field", "brick", "gravel", "grass")


@pytest.fixture(scope="module")
def model() -> Niqe:
    fitted = Niqe.fit(photograph(name) for name in PHOTOGRAPHS if name not in ("coffee", "camera"))
    assert fitted is not None
    return fitted


# The law


@pytest.mark.parametrize(
    ("alpha", "left", "right"),
    [(2.0, 1.0, 1.0), (1.0, 0.5, 0.5), (0.6, 2.0, 2.0), (1.0, 1.0, 3.0), (3.0, 2.0, 0.5)],
)
def test_the_fit_recovers_known_parameters(alpha: float, left: float, right: float) -> None:
    generator = np.random.default_rng(0)
    count = 400_000
    sizes = generator.gamma(1 / alpha, size=count) ** (1 / alpha)  # |x| / beta of a generalised Gaussian law
    negative = generator.random(count) < left / (left + right)
    samples = torch.from_numpy(np.where(negative, -left, right) * sizes)
    found = [part.item() for part in fit_sides(samples[None])]
    assert found == pytest.approx([alpha, left, right], rel=0.02)


def test_the_fit_of_uniform_and_of_one_sided_samples() -> None:
    uniform = torch.linspace(-1, 1, 10_001, dtype=torch.float64)
    one_sided, zeros = uniform.abs() + 1, torch.zeros_like(uniform)
    alpha, left, right = fit_sides(torch.stack([uniform, one_sided, zeros]))
    assert alpha[0] == pytest.approx(10, abs=0.01)  # the law nears the uniform one as alpha grows; the table ends here
    assert left[0] == pytest.approx(right[0].item(), rel=1e-3)
    assert torch.stack([alpha, left, right])[:, 1:].isnan().any(dim=0).all()


# References


def slow_fit(x: Array) -> list[float]:
    special = pytest.importorskip("scipy.special")
    left, right = math.sqrt((x[x < 0] ** 2).mean()), math.sqrt((x[x > 0] ** 2).mean())
    skew = left / right
    ratio = np.abs(x).mean() ** 2 / (x**2).mean() * (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2
    table = np.arange(0.2, 10.001, 0.001)
    ratios = special.gamma(2 / table) ** 2 / (special.gamma(1 / table) * special.gamma(3 / table))
    alpha = table[np.argmin((ratios - ratio) ** 2)]
    width = math.sqrt(special.gamma(1 / alpha) / special.gamma(3 / alpha))
    return [alpha, left * width, right * width]


def slow_features(luma: Array) -> Iterator[Array]:
    """Yield the features of each patch of one image from 0 to 255, word for word."""
    ndimage, special = pytest.importorskip("scipy.ndimage"), pytest.importorskip("scipy.special")
    half = np.array(Image.fromarray(luma.astype(np.float32)).resize((luma.shape[1] // 2, luma.shape[0] // 2), 3))
    maps = []
    for image in (luma, half.astype(np.float64)):
        mean, square = (ndimage.gaussian_filter(x, 7 / 6, mode="nearest", radius=3) for x in (image, image**2))
        maps.append((image - mean) / (np.sqrt(np.abs(square - mean**2)) + 1))
    for i, j in itertools.product(range(luma.shape[0] // 96), range(luma.shape[1] // 96)):
        features: list[float] = []
        for contrast, side in zip(maps, (96, 48), strict=True):
            patch = contrast[i * side : (i + 1) * side, j * side : (j + 1) * side]
            alpha, left, right = slow_fit(patch)
            features += [alpha, (left + right) / 2]
            for shift in ((0, 1), (1, 0), (1, 1), (1, -1)):
                alpha, left, right = slow_fit(patch * np.roll(patch, shift, (0, 1)))
                features += [alpha, (right - left) * special.gamma(2 / alpha) / special.gamma(1 / alpha), left, right]
        yield np.array(features)


@pytest.mark.medium
def test_the_distance_agrees_with_the_slow_reference(model: Niqe) -> None:
    photo = photograph("camera")[..., :200, :290]
    features = np.array(list(slow_features(photo[0, 0, :192, :288].double().numpy() * 255)))
    assert features.shape == (6, 36)
    gap = features.mean(axis=0) - model.mean.numpy()
    covariance = (np.cov(features.T) + model.covariance.numpy()) / 2
    expected = math.sqrt(gap @ np.linalg.pinv(covariance) @ gap)
    assert_close(model(photo), values(expected), rtol=2e-3, atol=0)  # its table has steps, ours lies between them


def test_only_sharp_patches_speak_for_clean_images() -> None:
    photo = photograph("gravel")[..., :480, :480]  # 25 patches, all of them about as sharp
    blurred = gaussian_blurred(photo, 3)
    both = [torch.cat([photo, part], dim=3) for part in (blurred, torch.full_like(photo, 0.5))]
    with_blurred, with_flat = (Niqe.fit([part, part.flip(3)]) for part in both)
    assert with_blurred is not None
    assert with_flat is not None
    assert_close(with_blurred.mean, with_flat.mean, rtol=0.01, atol=0.01)


# The order of known distortions


@pytest.mark.medium
@pytest.mark.parametrize("name", ["coffee", "camera"])
def test_niqe_ranks_blur_noise_and_compression(model: Niqe, name: str) -> None:
    photo = photograph(name)
    for distances in (
        [model(photo), *(model(gaussian_blurred(photo, sigma)) for sigma in (1, 2, 4))],
        [model(photo), *(model(noisy(photo, sigma / 255)) for sigma in (10, 25, 50))],
        [model(photo), *(model(jpeg(photo, quality)) for quality in (50, 20, 5))],
    ):
        assert all(b > 1.1 * a for a, b in itertools.pairwise(map(float, distances)))


# Images of all kinds


def test_gray_and_equal_channels_are_the_same(model: Niqe) -> None:
    gray = photograph("camera")[..., :300, :300]
    for channels in (2, 3, 4):
        assert_close(model(gray.expand(-1, channels, -1, -1)), model(gray), rtol=1e-4, atol=0)


def test_a_model_depends_on_intensities_over_the_range(model: Niqe) -> None:
    scaled = Niqe.fit(
        (256 * photograph(name) for name in PHOTOGRAPHS if name not in ("coffee", "camera")), data_range=256
    )
    assert scaled is not None
    assert_close((scaled.mean, scaled.covariance), (model.mean, model.covariance))


def test_too_few_patches_are_no_model(model: Niqe) -> None:
    photo = photograph("gravel")[..., :480, :480]
    sharp = len(photo) * 25
    assert sharp < LEAST_PATCHES_TO_FIT
    assert Niqe.fit([]) is None
    assert Niqe.fit([photo]) is None
    assert Niqe.fit([photo[..., :95, :], torch.full((1, 1, 960, 960), 0.3)]) is None
    assert with_niqe(METRICS, None) == METRICS


def test_flat_images_have_no_value(model: Niqe) -> None:
    assert model(torch.full((1, 3, 300, 300), 0.3)).isnan().tolist() == [True]


@pytest.mark.medium
def test_measure_asks_the_model_about_the_restored_image(model: Niqe) -> None:
    restored, clean = photograph("coffee")[..., :300, :300], pair(1, 3, 300, 300)[1]
    metrics = with_niqe(METRICS, model)
    assert measure(restored, clean, border=4, metrics=metrics)["niqe"] == model(restored[..., 4:-4, 4:-4]).tolist()
    assert metrics["niqe"].label == METRICS["niqe"].label


@pytest.mark.parametrize("images", [torch.zeros(3, 200, 200), torch.zeros(1, 3, 0, 2), torch.zeros(1, 1, 9, 9).byte()])
def test_what_is_no_image_is_refused(model: Niqe, images: Any) -> None:
    with pytest.raises(ShapeError, match="float tensor"):
        model(images)
    with pytest.raises(ShapeError, match="float tensor"):
        Niqe.fit([images])
    with pytest.raises(ConfigError, match="data_range"):
        model(torch.zeros(1, 1, 9, 9), data_range=0)
