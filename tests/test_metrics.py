"""Metrics: hand-worked values, references in other packages, then properties."""

import itertools
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from indi.errors import ConfigError, IndiError, ShapeError
from indi.metrics import METRICS, measure, ms_ssim, psnr, psnr_y, ssim, swd

Array = npt.NDArray[np.float64]


def pair(*shape: int, seed: int = 0, noise: float = 0.05, data_range: float = 1.0) -> tuple[Tensor, Tensor]:
    """Return a restored and a clean image with smooth and textured parts."""
    generator = torch.Generator().manual_seed(seed)
    ramp = torch.linspace(0.1, 0.9, shape[-1]) * torch.linspace(0.5, 1, shape[-2])[:, None]
    clean = ramp + 0.1 * torch.rand(shape, generator=generator)
    restored = clean + noise * torch.randn(shape, generator=generator)
    return restored * data_range, clean * data_range


def blurred(images: Tensor, times: int = 1) -> Tensor:
    for _ in range(times):
        images = torch.nn.functional.avg_pool2d(images, 3, stride=1, padding=1, count_include_pad=False)
    return images


def values(*expected: float) -> Tensor:
    return torch.tensor(expected, dtype=torch.float64)


# Hand-worked values


def test_psnr_of_known_errors() -> None:
    clean = torch.full((3, 2, 4, 5), 0.5)
    error = torch.tensor([0.1, 0.01, 1.0]).reshape(3, 1, 1, 1)
    assert_close(psnr(clean + error, clean), values(20, 40, 0), atol=1e-5, rtol=0)


def test_psnr_counts_every_channel_and_pixel() -> None:
    clean = torch.zeros(1, 3, 2, 2)
    restored = clean.clone()
    restored[0, 1, 0, 1] = 0.6  # mean square 0.36 / 12 = 0.03
    assert_close(psnr(restored, clean), values(10 * math.log10(1 / 0.03)), atol=1e-5, rtol=0)


def test_psnr_peak_is_the_data_range() -> None:
    clean = torch.zeros(1, 1, 4, 4)
    assert_close(psnr(clean + 25, clean, data_range=255), values(20 * math.log10(255 / 25)))


def test_psnr_of_identical_images_is_infinite() -> None:
    clean = torch.rand(2, 3, 4, 4)
    assert_close(psnr(clean, clean), values(math.inf, math.inf))


@pytest.mark.parametrize(
    ("channel", "weight"),
    [(0, 65.481 / 255), (1, 128.553 / 255), (2, 24.966 / 255)],
    ids=["red", "green", "blue"],
)
def test_psnr_y_weighs_the_channels(channel: int, weight: float) -> None:
    clean = torch.full((1, 3, 4, 4), 0.5)
    restored = clean.clone()
    restored[:, channel] += 0.2
    assert_close(psnr_y(restored, clean), values(-20 * math.log10(0.2 * weight)), atol=1e-5, rtol=0)


def test_psnr_y_of_a_gray_error_is_psnr_and_the_studio_swing() -> None:
    clean = torch.full((1, 3, 4, 4), 0.5)
    gain = psnr_y(clean + 0.1, clean) - psnr(clean + 0.1, clean)
    assert_close(gain, values(20 * math.log10(255 / 219)), atol=1e-5, rtol=0)


def test_psnr_y_agrees_with_rgb2ycbcr_of_scikit_image() -> None:
    color = pytest.importorskip("skimage.color")
    restored, clean = pair(2, 3, 13, 17)
    luma = [color.rgb2ycbcr(images.permute(0, 2, 3, 1).double().numpy())[..., 0] for images in (restored, clean)]
    mean_square = ((luma[0] - luma[1]) ** 2).mean(axis=(1, 2))
    assert_close(psnr_y(restored, clean), torch.from_numpy(10 * np.log10(255**2 / mean_square)), atol=1e-4, rtol=0)


# References


@pytest.fixture
def torchmetrics() -> Any:
    try:
        import torchmetrics.functional.image
    except (ImportError, RuntimeError, OSError) as error:  # it fails with a torchvision that fails
        pytest.skip(f"torchmetrics cannot be imported: {error}")
    return torchmetrics.functional.image


@pytest.mark.parametrize("data_range", [1.0, 255.0])
@pytest.mark.parametrize("shape", [(2, 1, 11, 11), (1, 3, 37, 53), (1, 2, 150, 64)], ids=str)
def test_ssim_and_psnr_agree_with_scikit_image(shape: tuple[int, ...], data_range: float) -> None:
    reference = pytest.importorskip("skimage.metrics")
    restored, clean = pair(*shape, data_range=data_range)
    doubles = list(zip(clean.double().numpy(), restored.double().numpy(), strict=True))
    expected_ssim = [
        reference.structural_similarity(
            *images, channel_axis=0, data_range=data_range, gaussian_weights=True, use_sample_covariance=False
        )
        for images in doubles
    ]
    expected_psnr = [reference.peak_signal_noise_ratio(*images, data_range=data_range) for images in doubles]
    assert_close(ssim(restored, clean, data_range=data_range), values(*expected_ssim), atol=1e-7, rtol=0)
    assert_close(psnr(restored, clean, data_range=data_range), values(*expected_psnr), atol=1e-5, rtol=0)


def test_ssim_is_exact_where_single_precision_is_not() -> None:
    # Two flat images: only the luminance factor differs from 1.
    clean, restored = torch.full((1, 1, 20, 20), 0.9), torch.full((1, 1, 20, 20), 0.85)
    expected = (2 * 0.9 * 0.85 + 1e-4) / (0.9**2 + 0.85**2 + 1e-4)
    assert_close(ssim(restored, clean), values(expected), atol=1e-7, rtol=0)


@pytest.mark.parametrize("data_range", [1.0, 65535.0])
def test_psnr_and_ssim_agree_with_torchmetrics(torchmetrics: Any, data_range: float) -> None:
    restored, clean = pair(2, 3, 41, 30, data_range=data_range)
    expected = torchmetrics.peak_signal_noise_ratio(
        restored.double(), clean.double(), data_range=data_range, reduction="none", dim=(1, 2, 3)
    )
    assert_close(psnr(restored, clean, data_range=data_range), expected, atol=1e-5, rtol=0)
    _, full = torchmetrics.structural_similarity_index_measure(
        restored.double(), clean.double(), data_range=data_range, reduction="none", return_full_image=True
    )
    whole_windows = full[..., 5:-5, 5:-5].mean(dim=(1, 2, 3))
    assert_close(ssim(restored, clean, data_range=data_range), whole_windows, atol=1e-7, rtol=0)


@pytest.mark.parametrize("shape", [(2, 3, 176, 177), (1, 1, 191, 230)], ids=str)
@pytest.mark.parametrize("noise", [0.02, 0.5])
def test_ms_ssim_agrees_with_torchmetrics(torchmetrics: Any, shape: tuple[int, ...], noise: float) -> None:
    restored, clean = pair(*shape, noise=noise, data_range=255)
    expected = torchmetrics.multiscale_structural_similarity_index_measure(
        restored.double(), clean.double(), data_range=255, reduction="none"
    )
    assert_close(ms_ssim(restored, clean, data_range=255), expected, atol=1e-6, rtol=0)


def test_ms_ssim_of_a_negative_is_zero() -> None:
    _, clean = pair(1, 1, 176, 176)
    assert_close(ms_ssim(1 - clean, clean), values(0))


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


# Properties of SWD


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


# All metrics


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_gives_one_value_an_image(name: str) -> None:
    restored, clean = pair(3, 3, 180, 200)
    together = METRICS[name](restored, clean)
    one_by_one = torch.cat([METRICS[name](restored[i : i + 1], clean[i : i + 1]) for i in range(3)])
    assert together.shape == (3,)
    assert together.dtype == torch.float64
    assert_close(together, one_by_one)
    assert METRICS[name](restored[:0], clean[:0]).shape == (0,)


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_is_best_for_identical_images(name: str) -> None:
    restored, clean = pair(1, 3, 180, 200)
    best = {"psnr": math.inf, "psnr_y": math.inf, "ssim": 1.0, "ms_ssim": 1.0, "swd": 0.0}
    assert_close(METRICS[name](clean, clean), values(best[name]))
    sign = 1 if METRICS[name].higher_is_better else -1
    worse, worst = METRICS[name](restored, clean), METRICS[name](2 * restored - clean, clean)
    assert sign * worst < sign * worse < sign * best[name]


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_is_symmetric(name: str) -> None:
    restored, clean = pair(1, 3, 180, 200)
    assert_close(METRICS[name](restored, clean), METRICS[name](clean, restored))


@pytest.mark.parametrize("name", METRICS)
@settings(max_examples=5, deadline=None)
@given(data_range=st.sampled_from([0.5, 4.0, 256.0, 65536.0]))
def test_every_metric_depends_on_intensities_over_the_range(name: str, data_range: float) -> None:
    restored, clean = pair(1, 3, 180, 200)
    scaled = METRICS[name](restored * data_range, clean * data_range, data_range=data_range)
    assert_close(scaled, METRICS[name](restored, clean), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_leaves_its_images_alone(name: str) -> None:
    restored, clean = pair(1, 3, 180, 200)
    before = restored.clone(), clean.clone()
    METRICS[name](restored.requires_grad_(), clean)
    assert_close((restored.detach(), clean), before, atol=0, rtol=0)


@pytest.mark.parametrize("name", METRICS)
def test_half_precision_images_are_measured_in_single(name: str) -> None:
    restored, clean = (images.half() for images in pair(1, 3, 180, 200, noise=1e-3))
    assert_close(METRICS[name](restored, clean), METRICS[name](restored.float(), clean.float()))


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize(
    ("restored", "clean"),
    [
        ((1, 3, 32, 32), (1, 1, 32, 32)),
        ((2, 3, 32, 32), (1, 3, 32, 32)),
        ((3, 32, 32), (3, 32, 32)),
        ((1, 3, 0, 32), (1, 3, 0, 32)),
    ],
    ids=str,
)
def test_shapes_that_would_broadcast_are_refused(name: str, restored: tuple[int, ...], clean: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError) as caught:
        METRICS[name](torch.zeros(restored), torch.zeros(clean))
    assert str(restored) in str(caught.value)
    assert str(clean) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", METRICS)
def test_integers_are_refused(name: str) -> None:
    images = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    with pytest.raises(ShapeError, match="float"):
        METRICS[name](images, images)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("data_range", [0.0, -1.0, math.nan])
def test_a_range_that_is_no_range_is_refused(name: str, data_range: float) -> None:
    with pytest.raises(ConfigError, match="data_range"):
        METRICS[name](torch.zeros(1, 3, 32, 32), torch.zeros(1, 3, 32, 32), data_range=data_range)


# Where a metric has no meaning


@pytest.mark.parametrize(("name", "least"), [("psnr", 1), ("psnr_y", 1), ("ssim", 11), ("ms_ssim", 176), ("swd", 25)])
def test_the_smallest_image_of_each_metric(name: str, least: int) -> None:
    for shape in [(1, 3, least, least + 5), (1, 3, least + 5, least)]:
        assert METRICS[name](*pair(*shape)).isfinite().all()
    if least > 1:
        for shape in [(2, 3, least - 1, least + 5), (2, 3, least + 5, least - 1)]:
            assert METRICS[name](*pair(*shape)).isnan().tolist() == [True, True]


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_only_rgb_has_luma(channels: int) -> None:
    assert psnr_y(*pair(2, channels, 8, 8)).isnan().tolist() == [True, True]


# measure


def test_measure_gives_every_metric_of_every_image() -> None:
    restored, clean = pair(2, 3, 180, 200)
    table = measure(restored, clean)
    assert list(table) == ["psnr", "psnr_y", "ssim", "ms_ssim", "swd"]
    for name, metric in METRICS.items():
        assert table[name] == metric(restored, clean).tolist()


def test_measure_puts_none_where_there_is_no_value() -> None:
    table = measure(*pair(2, 1, 12, 12))
    assert table["psnr_y"] == table["ms_ssim"] == table["swd"] == [None, None]
    assert None not in table["psnr"] + table["ssim"]
    assert json.loads(json.dumps(table, allow_nan=False)) == table


def test_measure_leaves_out_the_border() -> None:
    restored, clean = pair(1, 3, 40, 50)
    edges = torch.ones(40, 50)
    edges[3:-3, 3:-3] = 0
    assert measure(restored + edges, clean, border=3) == measure(restored[..., 3:-3, 3:-3], clean[..., 3:-3, 3:-3])
    assert measure(restored + edges, clean, border=2) != measure(restored, clean, border=2)


def test_measure_passes_the_range_on() -> None:
    restored, clean = pair(1, 3, 32, 32)
    scaled = measure(restored * 256, clean * 256, data_range=256)
    for name, expected in measure(restored, clean).items():
        assert scaled[name] == pytest.approx(expected, rel=1e-6) if expected != [None] else scaled[name] == [None]


@pytest.mark.parametrize("border", [-1, 4, 100])
def test_measure_refuses_a_border_that_leaves_nothing(border: int) -> None:
    with pytest.raises(IndiError, match="border"):
        measure(*pair(1, 1, 8, 20), border=border)


# The package around it


def test_a_broken_torchvision_does_no_harm(tmp_path: Path) -> None:
    """Metrics, and importing them, need neither torchvision nor the packages that fail with it."""
    broken = tmp_path / "torchvision"
    broken.mkdir()
    (broken / "__init__.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')\n")
    code = (
        "import sys, torch\n"
        "from indi.metrics import METRICS, measure\n"
        "images = torch.rand(1, 3, 176, 176)\n"
        "table = measure(images, images / 2)\n"
        "assert all(value is not None for values in table.values() for value in values), table\n"
        "heavy = {'torchvision', 'torchmetrics', 'scipy', 'skimage', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "try:\n"
        "    import torchvision\n"
        "except RuntimeError:\n"
        "    sys.exit(0)\n"
        "sys.exit('the broken torchvision was not found')\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=120)
