import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data

from indi import io as images
from indi.data import check_pairs, match_pairs, split_pairs
from indi.errors import DataError


def save(path: Path, pixels: NDArray[Any]) -> Path:
    images.write(path, images.Image(pixels))
    return path


def textures() -> dict[str, NDArray[np.uint8]]:
    return {name: getattr(data, name)()[:256, :256] for name in ("camera", "brick", "grass")}


def test_good_pairs_pass_untouched(tmp_path: Path) -> None:
    for name, pixels in textures().items():
        save(tmp_path / "clean" / f"{name}.png", pixels)
        save(tmp_path / "degraded" / f"{name}.jpg", pixels // 2)
    report = match_pairs(tmp_path / "clean", tmp_path / "degraded")
    assert check_pairs(report) == report
    assert not report.problems + report.warnings


def test_a_cut_file_and_one_with_nan_are_named_and_the_rest_stays(tmp_path: Path) -> None:
    for name, pixels in textures().items():
        save(tmp_path / "clean" / f"{name}.png", pixels)
        save(tmp_path / "degraded" / f"{name}.tif", images.to_unit(pixels))
    cut = tmp_path / "clean" / "brick.png"
    cut.write_bytes(cut.read_bytes()[:-3000])
    holed = images.to_unit(textures()["grass"]).copy()
    holed[5, 6] = np.nan
    save(tmp_path / "degraded" / "grass.tif", holed)
    report = check_pairs(match_pairs(tmp_path / "clean", tmp_path / "degraded"))
    assert [pair.name for pair in report.pairs] == ["camera"]
    problems = dict(report.problems)
    assert problems.keys() == {"brick", "grass"}
    assert str(cut) in problems["brick"]
    assert "grass.tif" in problems["grass"]
    assert "NaN" in problems["grass"]
    with pytest.raises(DataError, match=r"2 pairs to fix.*brick.*grass"):
        report.raise_if_unusable()


def test_colour_for_a_gray_model_must_be_gray(tmp_path: Path) -> None:
    gray = textures()["camera"]
    save(tmp_path / "gray.png", np.dstack([gray] * 3))
    save(tmp_path / "red.png", np.dstack([gray, gray // 2, gray // 2]))
    report = check_pairs(match_pairs(tmp_path, None, channels=1))
    assert [pair.name for pair in report.pairs] == ["gray"]
    assert [name for name, _ in report.problems] == ["red"]
    assert check_pairs(match_pairs(tmp_path, None)).problems == ()


def test_shifted_pairs_are_named_with_their_shift(tmp_path: Path) -> None:
    for name, pixels in textures().items():
        save(tmp_path / "clean" / f"{name}.png", pixels)
        save(
            tmp_path / "degraded" / f"{name}.png",
            np.roll(pixels, (4, -7), (0, 1)) if name == "brick" else pixels,
        )
    report = check_pairs(match_pairs(tmp_path / "clean", tmp_path / "degraded"))
    (warning,) = report.warnings
    assert warning == f"{tmp_path / 'degraded' / 'brick.png'} is shifted by about (4, -7) px (down, right); align it"
    assert len(report.pairs) == 3
    assert f"warning: {warning}" in report.summary()
    report.raise_if_unusable()


@pytest.mark.parametrize("times", [2, 4])
def test_lower_resolution_is_no_shift_once_resampled(tmp_path: Path, times: int) -> None:
    for name, pixels in textures().items():
        small = pixels.reshape(256 // times, times, 256 // times, times).mean(axis=(1, 3)).astype(np.uint8)
        save(tmp_path / "clean" / f"{name}.png", pixels)
        save(tmp_path / "degraded" / f"{name}.png", small)
    report = check_pairs(match_pairs(tmp_path / "clean", tmp_path / "degraded", resample=True))
    assert report.problems == ()
    (warning,) = report.warnings
    assert warning.startswith("3 degraded images resampled to the clean grid: ")


def test_floats_on_another_scale_are_reported(tmp_path: Path) -> None:
    unit = images.to_unit(textures()["camera"])
    save(tmp_path / "a.tif", unit * 1.5 - 0.2)  # noise and sharp edges reach beyond [0, 1]
    save(tmp_path / "b.tif", unit * 4095)
    (warning,) = check_pairs(match_pairs(tmp_path, None)).warnings
    assert "b.tif reaches 4095" in warning


def test_pairs_that_share_a_clean_image_stay_on_one_side(tmp_path: Path) -> None:
    for name, pixels in textures().items():
        for take in range(4):
            save(tmp_path / "clean" / f"{name}{take}.{'png' if take < 2 else 'tif'}", pixels)
            save(tmp_path / "degraded" / f"{name}{take}.png", pixels // (take + 1))
    report = check_pairs(match_pairs(tmp_path / "clean", tmp_path / "degraded"))
    assert len(report.pairs) == 12
    assert sum(pair.same_as is None for pair in report.pairs) == 3
    assert all(pair.same_as == f"{pair.name[:-1]}0" for pair in report.pairs if pair.same_as)
    assert report.warnings[0].startswith("9 pairs with the clean image of another pair")
    for seed in range(20):
        sides = split_pairs(report.pairs, validation=0.3, seed=seed)
        training, validation = ({pair.name[:-1] for pair in side} for side in sides)
        assert not training & validation
        assert len(validation) == 1


def test_only_images_of_one_shape_and_type_can_be_the_same(tmp_path: Path) -> None:
    for name, shape in (("a", (12, 8)), ("b", (8, 12)), ("c", (4, 24))):
        save(tmp_path / f"{name}.png", np.zeros(shape, np.uint8))
    save(tmp_path / "d.png", np.zeros((12, 4), np.uint16))
    report = check_pairs(match_pairs(tmp_path, None))
    assert [pair.same_as for pair in report.pairs] == [None] * 4


@pytest.mark.skipif("INDI_DATA" not in os.environ, reason="INDI_DATA names no folder of real pairs")
@pytest.mark.parametrize("name", ["noisyoffice", "w2s", "polyu", "city100_nikon"])
def test_real_pairs_give_no_false_alarm(name: str) -> None:
    folder = Path(os.environ["INDI_DATA"]) / "pairs" / name
    report = check_pairs(match_pairs(folder / "clean", folder / "degraded"))
    assert report.problems == ()
    assert not [warning for warning in report.warnings if "shifted" in warning]
    repeats = sum(pair.same_as is not None for pair in report.pairs)
    assert repeats == (54 if name == "noisyoffice" else 0)


def test_a_turned_pair_is_named(tmp_path: Path) -> None:
    """As where a viewer heeded the EXIF orientation of one side."""
    for name, pixels in textures().items():
        save(tmp_path / "clean" / f"{name}.png", pixels)
        save(tmp_path / "degraded" / f"{name}.png", np.ascontiguousarray(pixels[::-1, ::-1]))
    report = check_pairs(match_pairs(tmp_path / "clean", tmp_path / "degraded"))
    assert any(
        "camera.png is turned by 180 degrees, perhaps by its EXIF orientation" in line for line in report.warnings
    )


def test_digests_are_of_the_pixels_of_both_sides(tmp_path: Path) -> None:
    pixels = textures()["brick"]
    for side, suffix in (("clean", "png"), ("degraded", "tif")):
        save(tmp_path / side / f"a.{suffix}", pixels)
    ours = check_pairs(match_pairs(tmp_path / "clean", tmp_path / "degraded")).digests["a"]
    assert ours[0] == ours[1]  # of the pixels, whatever the format
    save(tmp_path / "degraded" / "a.tif", pixels[::4, ::4].copy())
    other = check_pairs(match_pairs(tmp_path / "clean", tmp_path / "degraded", resample=True)).digests["a"]
    assert other[0] == ours[0] != other[1]
