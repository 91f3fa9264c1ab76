"""Bounds of images and places: closed forms, then coverage over new scenes by simulation."""

import numpy as np
import pytest

from indi.evaluation.bounds import (
    bias_by_class,
    bounds_of,
    false_shares,
    psnr_margin,
    trust_threshold,
    trusted_share,
)
from indi.evaluation.scenes import THRESHOLDS, Scene

RATE = 0.8


def drawn(random: np.random.Generator) -> Scene:
    """Return a scene of two images whose errors are not those that the spread says, and whose false detail varies."""
    scene, hardness = Scene(), float(random.lognormal(0, 0.7))
    for _ in range(2):
        spread = random.uniform(0.01, 0.1, 300)
        scene.add(hardness * spread * random.standard_normal(300), spread, 0.0)
        disagreement = random.random(300)
        scene.add_detail(disagreement, random.random(300) < (disagreement * min(hardness, 3) / 3))
    return scene


def test_an_image_as_good_as_its_spread_says_has_no_margin() -> None:
    scenes = []
    for factor in (1.0, 2.0, 4.0, 0.5):
        scene = Scene()
        scene.add(np.full(100, 0.1 * factor), np.full(100, 0.1), 0.0)
        scene.add(np.full(100, 0.1), np.full(100, 0.1), 0.0)
        scenes.append(scene)
    margins = [min(scene.margins) for scene in scenes]
    assert margins == pytest.approx([0, -20 * np.log10(2), -20 * np.log10(4), 0], abs=1e-9)
    assert psnr_margin(scenes, 0.8) == pytest.approx(-20 * np.log10(4))  # the first of five
    assert psnr_margin(scenes, 0.6) == pytest.approx(-20 * np.log10(2))
    assert psnr_margin(scenes, 0.9) is None


@pytest.mark.medium
def test_images_of_new_scenes_are_as_good_as_said() -> None:
    random = np.random.default_rng(0)
    held = []
    for _ in range(400):
        margin = psnr_margin([drawn(random) for _ in range(12)], RATE)
        assert margin is not None
        held.append(min(drawn(random).margins) >= margin)
    error = np.std(held) / np.sqrt(400)
    assert RATE - 3 * error < np.mean(held) < RATE + 1 / 13 + 3 * error


def test_trusted_detail_of_new_scenes_is_true_as_often_as_said() -> None:
    random = np.random.default_rng(0)
    shares, trusted = [], []
    for _ in range(300):
        scenes, new = [drawn(random) for _ in range(12)], drawn(random)
        threshold = trust_threshold(scenes, RATE)
        if threshold is None:
            shares.append(0.0)
            continue
        pixels, false = new.trust[:, : int(np.searchsorted(THRESHOLDS, threshold)) + 1].sum(axis=1)
        shares.append(false / max(pixels, 1))
        trusted.append(trusted_share([new], threshold))
    assert np.mean(shares) < 1 - RATE + 3 * np.std(shares) / np.sqrt(300)
    assert np.mean(trusted) > 0.2  # and not because nothing is trusted


def test_where_detail_is_false_where_samples_agree_nothing_is_trusted() -> None:
    scenes = []
    for _ in range(20):
        scene = Scene()
        scene.add_detail(np.linspace(0, 1, 200), np.ones(200, bool))
        scenes.append(scene)
    assert trust_threshold(scenes, 0.9) is None
    for scene in scenes:
        scene.trust[1] = 0
    assert trust_threshold(scenes, 0.9) == 1
    assert trust_threshold(scenes[:8], 0.9) is None


def test_the_loss_of_a_threshold_is_the_worst_up_to_it() -> None:
    scene = Scene()
    scene.add_detail(np.repeat([0.1, 0.5, 0.9], [40, 40, 20]), np.repeat([True, False, True], [20, 60, 20]))
    losses = dict(zip(THRESHOLDS.round(2).tolist(), false_shares(scene).tolist(), strict=True))
    assert [losses[at] for at in (0.05, 0.1, 0.3, 0.5, 0.9, 1.0)] == pytest.approx([0, 0.5, 0.5, 0.5, 0.5, 0.5])


def test_bias_is_what_the_mean_is_above_the_clean_image_by_intensity() -> None:
    random = np.random.default_rng(0)
    scenes = []
    for _ in range(16):
        clean = np.where(np.arange(4000) < 3000, 0.1, 0.8)
        mean = np.where(clean < 0.5, 1.0, 0.95) * clean + 0.01 * random.standard_normal(4000)
        scene = Scene((0.5,))
        scene.add(mean - clean, np.full(4000, 0.01), 0.001, mean)
        scenes.append(scene)
    (dark, dark_error), (bright, bright_error) = bias_by_class(scenes)
    assert dark_error is not None
    assert bright_error is not None
    assert abs(dark) < 4 * dark_error
    assert bright == pytest.approx(-0.05, abs=4 * bright_error)
    assert bright_error < 0.001
    assert bias_by_class(scenes[:1])[0][1] is None


def test_what_holds_on_scenes_left_out_is_reported() -> None:
    random = np.random.default_rng(0)
    found = bounds_of([drawn(random) for _ in range(40)], RATE)
    assert found.check["psnr"] == pytest.approx(0.83, abs=0.08)
    assert found.check["trust"] is not None
    assert found.check["trust"] > 0.75
    assert 0 < found.trusted < 1
    few = bounds_of([drawn(random) for _ in range(3)], 0.9)
    assert (few.psnr_margin, few.trusted_up_to, few.check) == (None, None, {"psnr": None, "trust": None})
