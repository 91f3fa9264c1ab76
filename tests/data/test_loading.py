from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as PillowImage

from indi import io as images
from indi.data import Pair, enlarge, load_pair
from indi.errors import ConfigError, DataError, ImageError


def save(path: Path, pixels: NDArray[Any]) -> Path:
    images.write(path, images.Image(pixels))
    return path


def test_files_keep_their_types_and_values(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    clean = random.integers(0, 65536, (9, 7), np.uint16)
    degraded = random.random((9, 7), np.float32)
    pair = Pair("a", save(tmp_path / "clean/a.tif", clean), save(tmp_path / "degraded/a.tif", degraded))
    for loaded, saved in zip(load_pair(pair, channels=1), (clean, degraded), strict=True):
        assert loaded.dtype == saved.dtype
        np.testing.assert_array_equal(loaded, saved)
    (alone,) = load_pair(Pair("a", pair.clean), channels=1)
    np.testing.assert_array_equal(alone, clean)


def test_channels_change_only_without_loss(tmp_path: Path) -> None:
    gray = np.arange(20, dtype=np.uint8).reshape(4, 5)
    colour = np.repeat(gray[..., None], 3, axis=2)
    pair = Pair("a", save(tmp_path / "clean/a.png", gray), save(tmp_path / "degraded/a.png", colour))
    for loaded in load_pair(pair, channels=3):
        np.testing.assert_array_equal(loaded, colour)
    for loaded in load_pair(pair, channels=1):
        np.testing.assert_array_equal(loaded, gray)
        assert loaded.flags.c_contiguous  # a strided view would keep all three colours in memory
    colour[0, 0, 0] = 99
    save(tmp_path / "degraded/a.png", colour)
    with pytest.raises(ImageError, match="degraded"):
        load_pair(pair, channels=1)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_pixels_that_are_no_number_are_refused(tmp_path: Path, value: float) -> None:
    pixels = np.zeros((4, 5), np.float32)
    pixels[1:3, 2] = value
    pair = Pair("a", save(tmp_path / "a.tif", pixels))
    with pytest.raises(DataError, match=r"a\.tif.*2.*NaN or infinite"):
        load_pair(pair, channels=1)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [1, 3])
def test_enlarging_continues_a_ramp(tmp_path: Path, dtype: type, channels: int) -> None:
    """Bicubic reproduces straight lines: pixel centres of the fine grid lie at (i + 1/2) / 2 - 1/2."""
    shape = (20, 12) if channels == 1 else (20, 12, channels)
    small: NDArray[Any] = np.zeros(shape, dtype)
    small.T[:] = 10 * np.arange(20)
    pair = Pair(
        "a",
        save(tmp_path / "clean/a.tif", np.zeros((40, 24, *shape[2:]), dtype)),
        save(tmp_path / "degraded/a.tif", small),
    )
    _, fine = load_pair(pair, channels=channels, resample=True)
    assert fine.shape == (40, 24, *shape[2:])
    assert fine.dtype == dtype
    expected = 10 * ((np.arange(40) + 0.5) / 2 - 0.5)
    inside = slice(4, -4)  # the border repeats its edge
    column = fine[:, 5] if channels == 1 else fine[:, 5, 1]
    tolerance = 1e-3 if dtype is np.float32 else 0.501
    np.testing.assert_allclose(column[inside].astype(float), expected[inside], atol=tolerance)


def test_shrinking_is_antialiased(tmp_path: Path) -> None:
    stripes = np.tile(np.array([0, 255], np.uint8), (24, 12))
    pair = Pair(
        "a",
        save(tmp_path / "clean/a.png", np.zeros((6, 6), np.uint8)),
        save(tmp_path / "degraded/a.png", stripes),
    )
    _, coarse = load_pair(pair, channels=1, resample=True)
    assert abs(coarse.astype(float) - 127.5).max() < 10  # point sampling would give 0 or 255


def test_a_size_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    pair = Pair(
        "a",
        save(tmp_path / "clean/a.png", np.zeros((6, 6), np.uint8)),
        save(tmp_path / "degraded/a.png", np.zeros((3, 3), np.uint8)),
    )
    with pytest.raises(DataError, match=r"degraded.*3x3 px.*clean 6x6.*2 times lower"):
        load_pair(pair, channels=1)
    assert load_pair(pair, channels=1, resample=True)[1].shape == (6, 6)


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n broken")
    with pytest.raises(ImageError, match=r"a\.png"):
        load_pair(Pair("a", path), channels=1)


def test_enlarging_is_that_of_pillow_and_keeps_the_type() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 11, 3), np.uint8)
    planes = [PillowImage.fromarray(plane) for plane in np.moveaxis(pixels.astype(np.float32), -1, 0)]
    resized = [np.asarray(plane.resize((44, 36), PillowImage.Resampling.BICUBIC)) for plane in planes]
    wanted = np.stack(resized, axis=-1)
    large = enlarge(pixels, 4)
    assert large.dtype == np.uint8
    assert np.abs(large - wanted.clip(0, 255)).max() <= 0.51
    deep = enlarge(pixels[..., 0].astype(np.uint16) * 257, 4)
    assert deep.dtype == np.uint16
    assert np.abs(deep / 257 - large[..., 0]).max() <= 0.51
    assert enlarge(pixels, 1) is pixels
    with pytest.raises(ConfigError, match="enlarge is 0"):
        enlarge(pixels, 0)
