"""Calibration: closed forms on scenes whose law is known, the guarantee by simulation, then the whole of it."""

import json
import shutil
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
import tifffile

import indi
from indi.cli.calibrate import _told
from indi.data import Pair, scenes_of
from indi.errors import ConfigError, DataError, IndiError
from indi.evaluation.scenes import (
    FACTORS,
    Scene,
    check,
    coverage,
    coverage_by_class,
    edges_of,
    guaranteed_factor,
    guaranteed_factors,
    plain_factor,
    plain_factors,
    sparsification,
    with_enough,
)
from indi.io import Image, read, write
from indi.restoration.batch import plan, restore_files
from indi.restoration.uncertainty import Bounds
from problems import asking, tiny_calibration, write_pairs


def scene(random: np.random.Generator, pixels: int = 2000, scale: float = 1.0) -> Scene:
    """Return a scene whose errors are normal with the deviation that the spread says, times ``scale``."""
    spread = random.uniform(0.01, 0.1, pixels)
    found = Scene()
    found.add(np.abs(scale * spread * random.standard_normal(pixels)), spread, 0.0)
    return found


def test_normal_errors_need_the_quantile_of_the_normal_law() -> None:
    random = np.random.default_rng(0)
    scenes = [scene(random, 20_000) for _ in range(10)]
    for rate in (0.5, 0.9, 0.99):
        factor = plain_factor(scenes, rate)
        assert factor == pytest.approx(NormalDist().inv_cdf((1 + rate) / 2), rel=0.02)
        assert coverage(scenes, factor) == pytest.approx(rate, abs=0.002)
        assert coverage(scenes, factor) >= rate


def test_the_guarantee_asks_for_more_and_for_scenes_enough() -> None:
    random = np.random.default_rng(0)
    scenes = [scene(random) for _ in range(30)]
    guaranteed = guaranteed_factor(scenes, 0.9)
    assert guaranteed is not None
    assert guaranteed > plain_factor(scenes, 0.9)
    # (sum of the shares outside + 1) / (n + 1) = 1 - rate
    assert (30 * (1 - coverage(scenes, guaranteed)) + 1) / 31 == pytest.approx(0.1, abs=0.002)
    assert guaranteed_factor(scenes[:9], 0.9) is not None
    assert guaranteed_factor(scenes[:8], 0.9) is None


def test_no_guarantee_is_given_where_no_factor_holds_it() -> None:
    """Nine scenes with one error in a hundred where all samples agree: (9 x 0.01 + 1) / 10 is above a tenth."""
    scenes = [Scene() for _ in range(9)]
    for each in scenes:
        each.add(np.where(np.arange(100) == 0, 0.9, 0.0), np.zeros(100), 5e-5)
    assert plain_factor(scenes, 0.9) == FACTORS[0]
    assert guaranteed_factor(scenes, 0.9) is None


@pytest.mark.medium
def test_the_guarantee_holds_over_new_scenes() -> None:
    """Theorem 1 of conformal risk control, on scenes that are as different from each other as one likes."""
    random = np.random.default_rng(0)

    def drawn() -> Scene:
        return scene(random, 200, scale=float(random.lognormal(0, 0.7)))

    outside = []
    for _ in range(300):
        scenes = [drawn() for _ in range(12)]
        factor = guaranteed_factor(scenes, 0.8)
        assert factor is not None
        outside.append(1 - coverage([drawn()], factor))
    # 0.2 at most in expectation; and not idle, or a constant would do: Theorem 2 has at least 0.2 - 2 / 13.
    assert 0.2 - 2 / 13 - 0.02 < np.mean(outside) < 0.2 + 3 * np.std(outside) / np.sqrt(300)


def shaded(random: np.random.Generator, pixels: int = 4000, scale: float = 1.0) -> Scene:
    """Return a scene whose errors grow with its intensity, which the spread does not tell; 5 % of it is bright."""
    mean = np.where(np.arange(pixels) < 0.95 * pixels, 0.1, 0.9) + random.uniform(-0.05, 0.05, pixels)
    found = Scene((0.5,))
    found.add(np.abs(scale * 0.1 * mean * random.standard_normal(pixels)), np.full(pixels, 0.01), 0.0, mean)
    return found


def test_each_class_of_intensity_has_the_factor_that_it_needs() -> None:
    """Errors of 0.1 x the intensity where all spreads are 0.01: normal, of deviation about 1 in the dark and 9."""
    random = np.random.default_rng(0)
    scenes = [shaded(random, 20_000) for _ in range(10)]
    one, (dark, bright) = plain_factor(scenes, 0.9), plain_factors(scenes, 0.9)
    assert dark == pytest.approx(NormalDist().inv_cdf(0.95), rel=0.1)
    assert bright == pytest.approx(9 * NormalDist().inv_cdf(0.95), rel=0.02)
    assert coverage_by_class(scenes, one)[1] < 0.3
    assert coverage_by_class(scenes, [dark, bright]) == pytest.approx([0.9, 0.9], abs=0.002)
    assert coverage(scenes, [dark, bright]) == pytest.approx(0.9, abs=0.002)
    found = check(scenes, 0.9)
    assert [row["one_factor"] for row in found["classes"]] == pytest.approx(coverage_by_class(scenes, one), abs=0.02)
    assert [row["plain"] for row in found["classes"]] == pytest.approx([0.9, 0.9], abs=0.01)


def test_the_guarantee_holds_in_each_class_over_new_scenes() -> None:
    """Mondrian: theorem 1 among the scenes that have pixels of the class, however the scenes differ."""
    random = np.random.default_rng(0)

    def drawn() -> Scene:
        return shaded(random, 200, scale=float(random.lognormal(0, 0.7)))

    held = []
    for _ in range(300):
        scenes = [drawn() for _ in range(12)]
        factors = guaranteed_factors(scenes, 0.8)
        assert factors is not None
        new = [drawn()]
        held.append([*coverage_by_class(new, factors), coverage(new, factors)])
    outside, errors = 1 - np.mean(held, axis=0), np.std(held, axis=0) / np.sqrt(300)
    assert (outside < 0.2 + 3 * errors).all()
    assert (outside > 0.2 - 2 / 13 - 0.02).all()


def test_a_class_that_too_few_scenes_have_is_merged_with_the_next() -> None:
    random = np.random.default_rng(0)
    scenes = [Scene((0.3, 0.6)) for _ in range(12)]
    for number, each in enumerate(scenes):
        mean = random.uniform(0, 0.6 if number < 8 else 1.0, 100)
        each.add(np.zeros(100), np.ones(100), 0.0, mean)
    assert [one.edges for one in with_enough(scenes, 0.9)] == [(0.3,)] * 12  # the brightest, of 4 scenes
    assert with_enough(scenes, 0.5)[0].edges == (0.3, 0.6)
    merged = with_enough(scenes, 0.9)
    assert sum(one.pixels for one in merged) == 1200
    np.testing.assert_array_equal(merged[9].counts[1], scenes[9].counts[1:].sum(axis=0))
    darkest = [Scene((0.3, 0.6)) for _ in range(2)]
    for each in darkest:
        each.add(np.zeros(100), np.ones(100), 0.0, random.uniform(0.3, 1, 100))
    assert with_enough(darkest, 0.9)[0].edges == (0.6,)
    assert edges_of([np.zeros((8, 8)), np.ones((8, 8))]) == pytest.approx((0.5, 1.0))


def test_check_reports_scenes_left_out() -> None:
    random = np.random.default_rng(0)
    scenes = [scene(random, 500, scale=float(random.lognormal(0, 0.3))) for _ in range(40)]
    found = check(scenes, 0.9)
    assert found["splits"] == 20
    assert found["scenes_calibrated_on"] == 20
    assert found["plain"]["mean"] == pytest.approx(0.9, abs=0.02)
    assert found["guaranteed"]["mean"] > found["plain"]["mean"]
    assert found["guaranteed"]["mean"] >= 0.9
    assert check(scenes[:1], 0.9)["plain"] is None
    assert check(scenes, 0.9) == found


def test_errors_beyond_every_factor_are_not_held() -> None:
    found = Scene()
    found.add(np.full(10, 1.0), np.zeros(10), 1e-9)
    assert plain_factor([found], 0.9) == FACTORS[-1]
    assert coverage([found], FACTORS[-1]) == 0


def test_a_spread_that_ranks_as_the_errors_do_has_no_area() -> None:
    random = np.random.default_rng(0)
    error = random.random(5000)
    perfect, blind, inverse = Scene(), Scene(), Scene()
    perfect.add(error, error, 0.0)
    blind.add(error, random.random(5000), 0.0)
    inverse.add(error, 1 - error, 0.0)
    found = {
        name: sparsification([one]) for name, one in (("perfect", perfect), ("blind", blind), ("inverse", inverse))
    }
    assert found["perfect"]["area"] == pytest.approx(0, abs=1e-9)
    assert 0.2 < found["blind"]["area"] < found["inverse"]["area"]
    assert found["blind"]["by_spread"] == pytest.approx([1] * 20, abs=0.1)
    # Of uniform errors, the lowest share q has a root mean square of q times that of all.
    assert found["perfect"]["by_spread"] == pytest.approx(1 - np.linspace(0, 0.95, 20), abs=0.02)


def test_scenes_are_named_by_the_pattern_or_the_stack() -> None:
    pairs = [
        Pair("a_0001", Path("a.tif"), picture=0),
        Pair("a_0002", Path("a.tif"), picture=1),
        Pair("b_1", Path("b.png")),
    ]
    assert list(scenes_of(pairs, None).values()) == ["a", "a", "b_1"]
    assert list(scenes_of(pairs, r"_(\d+)$").values()) == ["0001", "0002", "1"]
    with pytest.raises(ConfigError, match="finds nothing"):
        scenes_of(pairs, "zzz")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("calibrated")
    pairs: dict[str, Any] = write_pairs(folder / "data", count=30)
    config = {"method": {"epsilon": 0.05}, "data": {"validation": 0.5, "crop": 16}}
    for _ in indi.train(**pairs, run=folder / "run", size="tiny", iterations=30, config=config):
        pass
    return folder / "run"


@pytest.mark.medium
def test_a_run_is_calibrated_and_restores_with_intervals_that_hold(run: Path, tmp_path: Path) -> None:
    shares: list[float] = []
    found = indi.calibrate(run, samples=4, steps=3, progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert json.loads((run / "calibration.json").read_text())["factor"] == found.factor
    assert (run / "calibration.png").stat().st_size > 10_000
    assert found.scenes == 15
    assert found.guaranteed == found.factor > found.plain
    assert [one.low for one in found.classes[1:]] == [one.high for one in found.classes[:-1]]
    assert len(found.classes) == len(found.check["classes"]) > 1
    assert sum(one.pixels for one in found.classes) == found.pixels
    assert found.bounds is not None
    assert found.bounds.psnr_margin is not None
    table = "\n".join(_told(found))
    for one, held in zip(found.classes, found.check["classes"], strict=True):
        assert f"{one.low:.4g} to {one.high:.4g}" in table
        assert f"{held['one_factor']:.1%}" in table
    assert f"PSNR: at least {found.bounds.psnr_margin:+.1f} dB" in table
    restorer = indi.load(run)
    assert restorer.calibration == found
    names = json.loads((run / "split.json").read_text())["validation"]
    held = []
    for name in names:
        source = run.parent / "data" / "degraded" / f"{name}.png"
        (outcome,) = restore_files(restorer, plan([source], tmp_path), asking(samples=4, steps=3))
        assert outcome.error is None
        clean = read(run.parent / "data" / "clean" / f"{name}.png").pixels / 255
        mean = read(tmp_path / f"{name}_mean.png").pixels / 255
        width = tifffile.imread(tmp_path / f"{name}_interval.tif") / 255
        held.append(np.mean(np.abs(clean - mean) <= width + 1 / 510))  # the mean is rounded to 8 bit
    assert np.mean(held) >= 0.9


@pytest.mark.medium
def test_other_restorations_get_no_interval_and_are_told_why(
    run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    indi.calibrate(run, samples=2, steps=1)
    source = run.parent / "data" / "degraded" / "0.png"
    with caplog.at_level("WARNING", logger="indi"):
        (outcome,) = restore_files(indi.load(run), plan([source], tmp_path), asking(samples=3, steps=1))
    assert not any("interval" in path.name for path in outcome.written)
    assert "no intervals: calibrated for samples 2, not 3" in caplog.text


@pytest.mark.medium
def test_a_run_that_was_trained_on_gets_no_interval(
    run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    indi.calibrate(run, samples=2, steps=1)
    later = tmp_path / "later"
    shutil.copytree(run, later)
    for _ in indi.train(run=later, resume=True, iterations=31):
        pass
    source = run.parent / "data" / "degraded" / "0.png"
    with caplog.at_level("WARNING", logger="indi"):
        (outcome,) = restore_files(indi.load(later), plan([source], tmp_path / "out"), asking(samples=2, steps=1))
    assert not any("interval" in path.name for path in outcome.written)
    assert "no intervals: calibrated for other weights" in caplog.text


@pytest.mark.medium
@pytest.mark.parametrize(
    ("options", "says"),
    [({"rate": 1.0}, "rate is 1.0"), ({"samples": 1}, "samples is 1"), ({"group": "zzz"}, "finds nothing")],
)
def test_what_cannot_be_calibrated_is_refused(run: Path, options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        indi.calibrate(run, **{"steps": 1, "samples": 2, **options})
    with pytest.raises(ConfigError, match="belongs to a run folder"):
        indi.calibrate(run / "model.safetensors")


@pytest.mark.medium
def test_copies_of_one_clean_image_are_one_scene(run: Path, tmp_path: Path) -> None:
    """Whatever they are called; as in the split of a training."""
    folders: dict[str, Any] = write_pairs(tmp_path, count=3)
    for side, folder in folders.items():
        for file in sorted(folder.iterdir()):
            image = read(file).pixels
            write(folder / f"again-{file.name}", Image(image if side == "clean" else image // 2))
    assert indi.calibrate(shutil.copytree(run, tmp_path / "run"), **folders, samples=2, steps=1).scenes == 3


@pytest.mark.medium
def test_what_cannot_be_kept_or_measured_is_said_before_anything_is_restored(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken: dict[str, Any] = dict(write_pairs(tmp_path, count=2))
    file = broken["degraded"] / "1.png"
    file.write_bytes(file.read_bytes()[:-30])
    monkeypatch.setattr(indi.Restorer, "restore", lambda *_, **__: pytest.fail("an image was restored"))
    with pytest.raises(DataError, match=r"1\.png: PNG cut short"):
        indi.calibrate(run, **broken)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(IndiError, match=f"{run}: cannot write: Permission denied"):
        indi.calibrate(run)


@pytest.mark.parametrize(("scenes", "why"), [(3, "that needs 9 scenes"), (9, "samples agree on false detail")])
def test_why_no_detail_is_trusted_is_said(scenes: int, why: str) -> None:
    bounds = Bounds(psnr_margin=None, trusted_up_to=None, trusted=0.0, check={})
    found = tiny_calibration(scenes=scenes, bounds=bounds, sparsification={"area": 0.1})
    assert f"no detail can be trusted at 90%: {why}" in _told(found)
