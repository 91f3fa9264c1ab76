import io
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage, signal
from skimage import data

from indi.data import registration as alignment
from indi.data.registration import find_shift, find_turn

Plane = NDArray[np.float32]

MARGIN = 40


def texture(name: str) -> Plane:
    return np.asarray(getattr(data, name)(), np.float32)


def noisy(sigma: float) -> Callable[[Plane], Plane]:
    def add(plane: Plane) -> Plane:
        return np.asarray(plane + np.random.default_rng(0).normal(0, sigma, plane.shape), np.float32)

    return add


def jpeg(quality: int) -> Callable[[Plane], Plane]:
    def compress(plane: Plane) -> Plane:
        file = io.BytesIO()
        Image.fromarray(plane.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=quality)
        return np.asarray(Image.open(file), np.float32)

    return compress


def blurred(sigma: float) -> Callable[[Plane], Plane]:
    return lambda plane: np.asarray(ndimage.gaussian_filter(plane, sigma), np.float32)


def defocused(plane: Plane) -> Plane:
    """Disc of radius 7: half of its spectrum has the opposite sign, which misleads a phase."""
    rows, columns = np.mgrid[-7:8, -7:8]
    disc = (rows**2 + columns**2 <= 49).astype(np.float32)
    return np.asarray(signal.fftconvolve(plane, disc / disc.sum(), mode="same"), np.float32)


def moved(plane: Plane) -> Plane:
    return np.asarray(ndimage.uniform_filter1d(plane, 15, axis=1), np.float32)


def enlarged(plane: Plane) -> Plane:
    size = plane.shape[1], plane.shape[0]
    small = Image.fromarray(plane).resize((size[0] // 4, size[1] // 4), Image.Resampling.BICUBIC)
    return np.asarray(small.resize(size, Image.Resampling.BICUBIC))


def counted(plane: Plane) -> Plane:
    """Poisson counts of a few photons, as in a dim microscope."""
    return np.random.default_rng(0).poisson(plane / 50).astype(np.float32)


DEGRADED: dict[str, Callable[[Plane], Plane]] = {
    "nothing": lambda plane: plane,
    "noise 25": noisy(25),
    "noise 100": noisy(100),
    "photons": counted,
    "blur 2": blurred(2),
    "blur 5": blurred(5),
    "blur 3 and noise": lambda plane: noisy(25)(blurred(3)(plane)),
    "jpeg 10": jpeg(10),
    "jpeg 2": jpeg(2),
    "defocus": defocused,
    "motion": moved,
    "4 times lower": enlarged,
    "darker": lambda plane: np.asarray(plane / 3 + 20, np.float32),
    "negative": lambda plane: np.asarray(255 - plane, np.float32),
    "unrelated": lambda plane: noisy(50)(0 * plane),
}
TEXTURES = ["camera", "coins", "brick", "grass", "page", "text", "moon", "cell"]


def shifted_pair(degrade: Callable[[Plane], Plane], name: str, down: int, right: int) -> tuple[Plane, Plane]:
    """Cut both images out of a larger one, so that no edge betrays the shift."""
    clean = texture(name)
    degraded, (height, width) = degrade(clean), clean.shape
    return clean[MARGIN:-MARGIN, MARGIN:-MARGIN], degraded[
        MARGIN - down : height - MARGIN - down, MARGIN - right : width - MARGIN - right
    ]


@pytest.mark.medium
@pytest.mark.parametrize("name", TEXTURES)
def test_no_alarm_without_a_shift(name: str) -> None:
    for kind, degrade in DEGRADED.items():
        assert find_shift(*shifted_pair(degrade, name, 0, 0)) is None, kind


@pytest.mark.parametrize("kind", ["nothing", "noise 25", "photons", "blur 2", "blur 5", "jpeg 10", "darker"])
@pytest.mark.parametrize("name", ["camera", "coins", "brick", "grass"])
@pytest.mark.parametrize("shift", [(3, -5), (-20, 14), (0, 40), (-33, 0)])
def test_a_shift_is_found_exactly(name: str, kind: str, shift: tuple[int, int]) -> None:
    assert find_shift(*shifted_pair(DEGRADED[kind], name, *shift)) == shift


@pytest.mark.parametrize("name", TEXTURES)
@pytest.mark.parametrize("shift", [(1, 0), (0, -1), (1, 1)])
def test_a_single_pixel_is_found_where_nothing_hides_it(name: str, shift: tuple[int, int]) -> None:
    assert find_shift(*shifted_pair(DEGRADED["nothing"], name, *shift)) == shift


def test_a_shift_under_strong_defocus_is_found_to_within_the_blur() -> None:
    found = find_shift(*shifted_pair(defocused, "camera", 20, 14))
    assert found is not None
    assert np.hypot(found[0] - 20, found[1] - 14) <= 10


def test_half_a_pixel_is_no_shift() -> None:
    camera = texture("camera")
    for part in (0.5, 0.55):
        spectrum = ndimage.fourier_shift(np.fft.fft2(camera), (0, part))
        assert find_shift(camera, np.fft.ifft2(spectrum).real.astype(np.float32)) is None


def test_colour_types_and_large_images() -> None:
    photo = data.chelsea()
    clean, degraded = photo[10:250, 10:350], photo[7:247, 14:354].astype(np.uint16) * 257
    assert find_shift(clean, degraded) == (3, -4)
    five = np.concatenate([clean, clean[..., :2]], axis=2)
    assert find_shift(five, np.roll(five, (0, 6), (0, 1))) == (0, 6)
    large = np.tile(texture("camera"), (3, 4))[:1300, :1800] + noisy(20)(np.zeros((1300, 1800), np.float32))
    assert find_shift(large[:-9, 5:], large[9:, :-5]) == (-9, 5)


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (15, 200), (31, 31), (64, 64), (33, 57)])
def test_flat_and_tiny_images_are_no_shift(shape: tuple[int, int]) -> None:
    flat = np.full(shape, 7, np.uint8)
    random = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    assert find_shift(flat, flat) is None
    assert find_shift(flat, random) is None
    assert find_shift(random, flat) is None
    assert find_shift(random, random) is None


def test_an_overlap_without_texture_correlates_with_nothing() -> None:
    bar = np.zeros((8, 8), np.float32)
    bar[:, 0] = 1
    assert alignment._correlation(bar, bar, 0, 0) == pytest.approx(1)
    assert alignment._correlation(bar, bar, 0, -3) == 0  # the bar is outside; no warning of a division by zero


TURNED: dict[str, Callable[[Plane], Plane]] = {
    "by 180 degrees": lambda plane: plane[::-1, ::-1],
    "by 90 degrees": lambda plane: np.rot90(plane, 3),
    "by 270 degrees": lambda plane: np.rot90(plane),
    "into its mirror image": lambda plane: plane[:, ::-1],
    "upside down into its mirror image": lambda plane: plane[::-1],
}


@pytest.mark.parametrize("damage", [noisy(25), noisy(100), blurred(4), jpeg(5)])
@pytest.mark.parametrize("name", ["camera", "astronaut", "coffee", "coins"])
def test_a_turn_is_found_and_none_where_there_is_none(name: str, damage: Callable[[Plane], Plane]) -> None:
    plane = texture(name)[:300, :300]
    plane = plane.mean(axis=2) if plane.ndim == 3 else plane
    assert find_turn(plane, damage(plane)) is None
    assert find_turn(plane[:200], damage(plane[:200])) is None
    for turn, turned in TURNED.items():
        assert find_turn(plane, damage(np.ascontiguousarray(turned(plane)))) == turn


def test_what_shows_nothing_is_not_turned() -> None:
    flat = np.full((40, 50), 9, np.float32)
    noise = np.random.default_rng(0).random((2, 64, 64)).astype(np.float32)
    assert find_turn(flat, flat) is None
    assert find_turn(*noise) is None
    assert find_turn(np.ones((1, 1)), np.ones((1, 1))) is None
