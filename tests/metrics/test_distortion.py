"""PSNR, SSIM and MS-SSIM: hand-worked values, then references in other packages."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from image_pairs import pair, values
from torch.testing import assert_close

from indi.metrics import ms_ssim, psnr, psnr_y, ssim

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


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_only_rgb_has_luma(channels: int) -> None:
    assert psnr_y(*pair(2, channels, 8, 8)).isnan().tolist() == [True, True]


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


@pytest.mark.medium
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
