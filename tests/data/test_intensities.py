from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import indi
from image_makers import little_memory
from indi.data import Pair, check_pairs, intensities, match_pairs, measure_normalisation
from indi.data.intensities import agree, gain_and_shift
from indi.errors import DataError
from indi.io import Image, read, write
from indi.models.checkpoint import load_model

Array = npt.NDArray[Any]


def microscope(folder: Path, count: int = 6, gain: float = 1.0, offset: int = 0) -> dict[str, Any]:
    """Write dark 16-bit pairs: shapes between 200 and 1200, the degraded ones noisy, scaled and shifted."""
    random = np.random.default_rng(0)
    folders: dict[str, Any] = {"clean": folder / "clean", "degraded": folder / "degraded"}
    for number in range(count):
        coarse = random.random((8, 8))
        clean = 200 + 1000 * np.kron(coarse, np.ones((8, 8)))
        degraded = gain * clean + offset + 60 * random.standard_normal(clean.shape)
        for side, image in (("clean", clean), ("degraded", degraded)):
            write(folders[side] / f"{number}.tif", Image(np.clip(np.rint(image), 0, 65535).astype(np.uint16)))
    return folders


def pixels_of(path: Path) -> Array:
    return read(path).pixels


def pairs_of(folders: dict[str, Any]) -> tuple[Pair, ...]:
    return match_pairs(folders["clean"], folders["degraded"]).pairs


def test_deviations_and_quantiles_are_those_of_numpy(tmp_path: Path) -> None:
    pairs = pairs_of(microscope(tmp_path))
    clean = np.stack([pixels_of(pair.clean) for pair in pairs]) / 65535
    by_deviation = measure_normalisation(pairs, "deviation", channels=1, resample=False)
    assert by_deviation is not None
    assert by_deviation.clean.offset[0] == pytest.approx(clean.mean() - 2 * clean.std(), rel=1e-4)
    assert by_deviation.clean.scale[0] == pytest.approx(4 * clean.std(), rel=1e-4)
    by_quantile = measure_normalisation(pairs, "quantiles", channels=1, resample=False)
    assert by_quantile is not None
    low, high = np.quantile(clean, [0.001, 0.999])
    assert by_quantile.clean.offset[0] == pytest.approx(low, rel=1e-4)
    assert by_quantile.clean.scale[0] == pytest.approx(high - low, rel=1e-4)
    assert by_quantile.degraded == by_quantile.clean  # the sides agree in scale, noise or not
    assert measure_normalisation(pairs, "none", channels=1, resample=False) is None


def test_sides_of_another_scale_get_one_each_and_are_reported(tmp_path: Path) -> None:
    folders = microscope(tmp_path, gain=0.1, offset=5)
    pairs = pairs_of(folders)
    found = measure_normalisation(pairs, "deviation", channels=1, resample=False)
    assert found is not None
    assert found.degraded.scale[0] < 0.3 * found.clean.scale[0]
    warning = check_pairs(match_pairs(folders["clean"], folders["degraded"])).warnings
    assert any("differ in scale in 6 of 6 pairs (" in line and "normalise" in line for line in warning)
    quiet = check_pairs(match_pairs(folders["clean"], folders["degraded"]), any_scale=True).warnings
    assert not any("scale" in line for line in quiet)
    same = microscope(tmp_path / "same")
    assert check_pairs(match_pairs(same["clean"], same["degraded"])).warnings == ()


@pytest.mark.parametrize("any_scale", [False, True])
def test_a_single_pair_of_another_scale_is_named(tmp_path: Path, any_scale: bool) -> None:
    folders = microscope(tmp_path)
    file = sorted(folders["degraded"].iterdir())[2]
    write(file, Image((pixels_of(file) // 20).astype(np.uint16)))
    report = check_pairs(match_pairs(folders["clean"], folders["degraded"]), any_scale=any_scale)
    assert any(f"in 1 of 6 pairs ({file.stem})" in line for line in report.warnings)


def test_gain_and_shift_are_those_of_the_images() -> None:
    random = np.random.default_rng(0)
    clean = np.kron(random.random((20, 20)), np.ones((8, 8))).astype(np.float32)
    noisy = 0.25 * clean + 0.3 + 0.02 * random.standard_normal(clean.shape).astype(np.float32)
    gain, shift = gain_and_shift([clean], [noisy])
    assert gain == pytest.approx(4, rel=0.01)
    assert shift == pytest.approx((clean.mean() - noisy.mean()) / clean.std(), rel=0.05)
    assert gain_and_shift([np.zeros((9, 9), np.float32)], [clean]) == (1.0, 0.0)
    assert agree(1, 0)
    assert not agree(5, 0)
    assert not agree(0.2, 0)
    assert not agree(1, -4)


def test_images_are_measured_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty images of 256 x 256 px, of which a few thousand pixels are looked at, are not held at once."""
    random = np.random.default_rng(0)
    for number in range(40):
        pixels = np.kron(random.integers(0, 60000, (32, 32)), np.ones((8, 8))).astype(np.uint16)
        for side in ("clean", "degraded"):
            write(tmp_path / side / f"{number}.tif", Image(pixels))
    pairs = match_pairs(tmp_path / "clean", tmp_path / "degraded").pairs
    whole = measure_normalisation(pairs, "deviation", channels=1, resample=False)
    monkeypatch.setattr(intensities, "_PIXELS", 2**14)
    with little_memory(4):  # all of them are 10 MiB, and 20 more as floats
        found = measure_normalisation(pairs, "deviation", channels=1, resample=False)
    assert whole is not None
    assert found is not None
    assert found.clean.scale[0] == pytest.approx(whole.clean.scale[0], rel=0.02)


def test_a_flat_channel_cannot_be_normalised(tmp_path: Path) -> None:
    for side in ("clean", "degraded"):
        write(tmp_path / side / "a.png", Image(np.full((20, 20), 7, np.uint8)))
    pairs = match_pairs(tmp_path / "clean", tmp_path / "degraded").pairs
    with pytest.raises(DataError, match="one value only"):
        measure_normalisation(pairs, "deviation", channels=1, resample=False)


@pytest.mark.medium
def test_a_model_of_another_scale_is_trained_and_restores_on_the_clean_one(tmp_path: Path) -> None:
    folders = microscope(tmp_path, count=10, gain=0.1, offset=5)
    config = {"data": {"normalise": "deviation", "batch": 8, "crop": 32}, "training": {"learning_rate": 3e-3}}
    for _ in indi.train(**folders, run=tmp_path / "run", size="tiny", iterations=150, config=config):
        pass
    card = load_model(tmp_path / "run").card
    assert card.normalisation is not None
    restorer = indi.load(tmp_path / "run", precision="float32")
    errors, before = [], []
    for pair in pairs_of(folders):
        assert pair.degraded is not None
        clean, degraded = pixels_of(pair.clean).astype(float), pixels_of(pair.degraded)
        restored = restorer.restore(degraded, steps=1)
        assert restored.dtype == np.uint16
        errors.append(np.sqrt(np.mean((restored - clean) ** 2)))
        before.append(np.sqrt(np.mean((degraded - clean) ** 2)))
    assert np.mean(errors) < 0.35 * np.mean(before)  # by far closer than the tenth of the signal that it was given
