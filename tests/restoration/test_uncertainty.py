from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from indi.errors import ModelError
from indi.process.sampling import Sampling
from indi.restoration.uncertainty import (
    MARGIN,
    Bounds,
    Calibration,
    IntensityClass,
    false_detail,
    half_width,
    maps,
    names,
    psnr_by_spread,
    read_calibration,
)
from problems import tiny_calibration


def calibration(factor: float = 3.0, least: float = 0.002) -> Calibration:
    return tiny_calibration(factor=factor, plain=factor, least=least)


def test_mean_spread_and_interval_are_what_they_say() -> None:
    samples = np.random.default_rng(0).random((5, 2, 9, 8), np.float32)
    found = maps(samples, 0.01, calibration())
    assert list(found) == names(5, calibration()) == ["mean", "spread", "interval", "invented"]
    np.testing.assert_allclose(found["mean"], samples.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(found["spread"], samples.std(axis=0), rtol=1e-5)
    np.testing.assert_allclose(found["interval"], 3 * np.sqrt(found["spread"] ** 2 + 0.002**2), rtol=1e-5)
    assert list(maps(samples, 0.01, None)) == names(5, None) == ["mean", "spread", "invented"]
    assert names(None, None) == names(1, calibration()) == []
    assert all(values.dtype == np.float32 for values in found.values())
    assert half_width(np.zeros(1), 0.5, 2.0) == pytest.approx(1.0)


def classes(*factors: float) -> tuple[IntensityClass, ...]:
    """Return classes of intensity, 0.1 wide each."""
    return tuple(
        IntensityClass(
            low=number / 10, high=(number + 1) / 10, factor=one, plain=one, guaranteed=None, scenes=9, pixels=9
        )
        for number, one in enumerate(factors)
    )


def test_the_factor_follows_the_intensity_without_steps_and_is_never_below_that_of_its_class() -> None:
    found = calibration().model_copy(update={"classes": classes(2, 1, 5)})
    mean = np.linspace(-0.2, 0.6, 8001, dtype=np.float32)
    spread = np.full(mean.shape, 0.01, np.float32)
    factors = found.widths(mean, spread) / half_width(spread, found.least)
    own = np.select([mean < 0.1, mean < 0.2], [2.0, 1.0], 5.0)
    assert (factors >= own - 1e-4).all()
    assert np.abs(np.diff(factors)).max() < 0.01
    for intensity, factor in ((-0.2, 2), (0.05, 2), (0.1, 2), (0.15, 1), (0.2, 5), (0.25, 5), (0.6, 5)):
        assert factors[np.argmin(np.abs(mean - intensity))] == pytest.approx(factor, abs=0.02)


def test_a_calibration_without_classes_has_one_factor_and_the_mark_that_it_had() -> None:
    old = calibration().model_dump(exclude={"classes"})
    assert Calibration.model_validate(old) == calibration()
    assert calibration().mark == [3.0, 0.002]
    assert calibration().model_copy(update={"classes": classes(2, 1)}).mark != calibration().mark


def test_what_the_samples_share_is_not_invented_and_what_they_do_not_is() -> None:
    random = np.random.default_rng(0)
    shared = random.standard_normal((1, 1, 60, 200)).astype(np.float32)
    own = random.standard_normal((8, 1, 60, 200)).astype(np.float32)
    samples = 0.5 + 0.1 * np.broadcast_to(shared, own.shape).copy()
    samples[..., 100:] = 0.5 + 0.1 * own[..., 100:]
    samples[..., 150:] += 0.1 * shared[..., 150:]  # half of it is common
    invented = maps(samples, 0.001, None)["invented"][0]
    assert invented.shape == (60, 200)
    assert invented[:, :85].max() < 0.01
    assert invented[:, 112:135].mean() == pytest.approx(1, abs=0.06)
    assert invented[:, 165:].mean() == pytest.approx(0.5, abs=0.06)


def test_faint_differences_are_no_structures() -> None:
    faint = 0.5 + 1e-5 * np.random.default_rng(0).standard_normal((8, 1, 40, 40)).astype(np.float32)
    assert maps(faint, 0.01, None)["invented"].max() < 0.01


@pytest.mark.parametrize("strength", [1e-1, 1e-3, 1e-4])
def test_the_disagreement_follows_its_definition_however_faint_the_detail(strength: float) -> None:
    """A tenth, half and all of the detail unshared, from contrasts of a tenth of the range to counts of 16 bit."""
    random = np.random.default_rng(0)
    shared, own = random.standard_normal((2, 8, 1, 60, 180)).astype(np.float32)
    shared[1:] = shared[:1]
    parts = np.repeat([0.1, 0.5, 1.0], 60)
    samples = 0.3 + strength * (np.sqrt(1 - parts) * shared + np.sqrt(parts) * own)
    invented = maps(samples.astype(np.float32), 0.001, None)["invented"][0]
    for number, part in enumerate((0.1, 0.5, 1.0)):
        inner = invented[:, 60 * number + 15 : 60 * number + 45]
        assert inner.mean() == pytest.approx(part, abs=0.06)


def test_detail_is_false_where_it_is_not_that_of_the_clean_image() -> None:
    random = np.random.default_rng(0)
    clean = 0.5 + 0.1 * random.standard_normal((2, 60, 180)).astype(np.float32)
    mean = clean.copy()
    mean[0, :, 60:120] = 0.5 + 0.1 * random.standard_normal((60, 60))
    mean[:, :, 120:] += 1e-6 * random.standard_normal((2, 60, 60))
    false = false_detail(mean, clean, 0.001)
    assert false.shape == (1, 60, 180)
    assert false[0, :, 75:105].mean() > 0.98
    assert not false[0, :, :45].any()
    assert not false[0, :, 135:].any()
    flat = np.full((1, 20, 20), 0.5, np.float32)
    assert not false_detail(flat, flat, 0.001).any()
    assert false_detail(flat + 0.1 * random.standard_normal(flat.shape), flat, 0.001).mean() > 0.9  # made of nothing


def test_what_is_trusted_is_where_samples_agree_enough() -> None:
    random = np.random.default_rng(0)
    samples = random.random((4, 1, 40, 40), np.float32)
    samples[..., 20:] = samples[:1, ..., 20:]
    bounds = Bounds(psnr_margin=-2.0, trusted_up_to=0.3, trusted=0.5, check={})
    found = calibration().model_copy(update={"bounds": bounds})
    made = maps(samples, 0.01, found)
    assert list(made) == names(4, found) == ["mean", "spread", "interval", "invented", "trusted"]
    np.testing.assert_array_equal(made["trusted"], made["invented"] <= np.float32(0.3))
    assert 0.2 < made["trusted"].mean() < 0.6
    assert found.mark == [3.0, 0.002, 0.3]
    assert found.least_psnr(np.full((8, 8), 0.1)) == pytest.approx(20 - 2, abs=0.01)
    assert calibration().least_psnr(samples) is None
    assert psnr_by_spread(np.array([0.3, 0.4]), 0.0) == pytest.approx(-10 * np.log10(0.125))


def test_a_structure_in_one_sample_alone_stands_out() -> None:
    samples = np.full((8, 1, 64, 64), 0.2, np.float32)
    samples[:, :, 10:14, 10:14] = 0.8  # in all
    samples[2, :, 45:49, 45:49] = 0.8  # in one
    invented = maps(samples, 0.001, None)["invented"][0]
    assert invented[12, 12] < 0.01
    assert invented[47, 47] > 0.9


def test_a_structure_that_wanders_between_channels_is_invented() -> None:
    """Its mean over the channels is the same in all samples, and a microscope's channels are things of their own."""
    samples = np.full((8, 2, 40, 40), 0.2, np.float32)
    samples[::2, 0, 18:22, 18:22] = samples[1::2, 1, 18:22, 18:22] = 1
    invented = maps(samples, 0.001, None)["invented"]
    assert invented.shape == (1, 40, 40)
    assert invented[0, 20, 20] > 0.5


def test_maps_look_no_further_than_their_margin() -> None:
    random = np.random.default_rng(0)
    samples = random.random((4, 3, 120, 110), np.float32)
    whole = maps(samples, 0.01, calibration())
    part = maps(samples[..., 30 - MARGIN : 60 + MARGIN, 40 - MARGIN : 50 + MARGIN], 0.01, calibration())
    for name, values in whole.items():
        inner = part[name][..., MARGIN:-MARGIN, MARGIN:-MARGIN]
        np.testing.assert_allclose(inner, values[..., 30:60, 40:50], atol=1e-5, err_msg=name)


def test_a_calibration_is_for_the_restorations_it_was_made_with() -> None:
    sampling = Sampling(samples=8, steps=10, sampler="euler")
    assert calibration().misfit("mine", sampling) is None
    others: dict[str, Any] = {"samples": 4, "steps": 20, "times": [1.0, 0.0], "sampler": "heun", "realism": 0.5}
    for name, other in others.items():
        changed = {name: other} | ({"steps": None} if name == "times" else {})
        misfit = calibration().misfit("mine", replace(sampling, **changed))
        assert misfit is not None
        assert f"calibrated for {name}" in misfit
    assert "strength 1, not 0.5" in str(calibration().misfit("mine", replace(sampling, strength=0.5)))
    assert "other weights" in str(calibration().misfit("others", sampling))


def test_it_is_read_from_the_run_folder(tmp_path: Path) -> None:
    assert read_calibration(tmp_path) is None
    assert read_calibration(tmp_path / "model.safetensors") is None
    (tmp_path / "calibration.json").write_text(calibration().model_dump_json())
    assert read_calibration(tmp_path) == calibration()
    (tmp_path / "calibration.json").write_text('{"rate": 0.9}')
    with pytest.raises(ModelError, match=r"calibration\.json"):
        read_calibration(tmp_path)
