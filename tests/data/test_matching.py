from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from indi import io as images
from indi.data import match_pairs
from indi.errors import DataError, ImageError

GRAY = np.full((12, 16), 100, np.uint8)
COLOUR = np.full((12, 16, 3), 100, np.uint8)


def save(path: Path, pixels: NDArray[Any]) -> Path:
    images.write(path, images.Image(pixels))
    return path


def folders(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "clean", tmp_path / "degraded"


def test_pairs_match_by_name_whatever_the_suffix_and_order(tmp_path: Path) -> None:
    clean, degraded = folders(tmp_path)
    for name in ("b.png", "a.tif", "c.v2.png"):
        save(clean / name, GRAY)
    for name in ("c.v2.png", "a.jpg", "b.tif"):
        save(degraded / name, GRAY)
    report = match_pairs(clean, degraded)
    found = {pair.name: (pair.clean.name, pair.degraded.name if pair.degraded else None) for pair in report.pairs}
    assert found == {"a": ("a.tif", "a.jpg"), "b": ("b.png", "b.tif"), "c.v2": ("c.v2.png", "c.v2.png")}
    assert report.channels == 1
    assert not report.problems + report.warnings + report.unmatched_clean + report.unmatched_degraded
    report.raise_if_unusable()


def test_images_without_partner_are_named_and_left_out(tmp_path: Path) -> None:
    clean, degraded = folders(tmp_path)
    for name in ("a.png", "B.png", "c.png", "d.png", "e.png"):
        save(clean / name, GRAY)
    for name in ("a.png", "b.png"):
        save(degraded / name, GRAY)
    report = match_pairs(clean, degraded)
    assert [pair.name for pair in report.pairs] == ["a"]
    assert sorted(path.name for path in report.unmatched_clean) == ["B.png", "c.png", "d.png", "e.png"]
    assert [path.name for path in report.unmatched_degraded] == ["b.png"]
    report.raise_if_unusable()
    assert report.summary().splitlines() == [
        "1 pair, 1 channel",
        "left out: 4 clean images without a degraded one: B.png, c.png, d.png, and 1 more",
        "left out: 1 degraded image without a clean one: b.png",
    ]


def test_accents_stored_as_one_or_two_characters_are_one_name(tmp_path: Path) -> None:
    clean, degraded = folders(tmp_path)
    save(clean / "caf\u00e9.png", GRAY)
    save(degraded / "cafe\u0301.png", GRAY)
    assert [pair.name for pair in match_pairs(clean, degraded).pairs] == ["caf\u00e9"]


@pytest.mark.parametrize("side", ["clean", "degraded"])
def test_two_files_of_one_name_are_a_problem(tmp_path: Path, side: str) -> None:
    clean, degraded = folders(tmp_path)
    for name in ("a.png", "b.png"):
        save(clean / name, GRAY)
        save(degraded / name, GRAY)
    save(tmp_path / side / "a.tif", GRAY)
    report = match_pairs(clean, degraded)
    assert [pair.name for pair in report.pairs] == ["b"]
    assert report.unmatched_clean == report.unmatched_degraded == ()
    ((name, sentence),) = report.problems
    assert name == "a"
    assert "a.png and a.tif" in sentence
    assert str(tmp_path / side) in sentence
    with pytest.raises(DataError, match=r"^1 pair to fix .*a\.png and a\.tif"):
        report.raise_if_unusable()


def test_no_common_name_shows_names_of_both_sides(tmp_path: Path) -> None:
    clean, degraded = folders(tmp_path)
    for number in range(5):
        save(clean / f"{number}_clean.png", GRAY)
        save(degraded / f"{number}_noisy.png", GRAY)
    with pytest.raises(DataError) as caught:
        match_pairs(clean, degraded)
    message = str(caught.value)
    assert "0_clean, 1_clean, 2_clean, and 2 more" in message
    assert "0_noisy" in message
    assert "\n" not in message


def test_one_folder_for_both_sides_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "a.png", GRAY)
    with pytest.raises(DataError, match="two folders"):
        match_pairs(tmp_path, tmp_path / "." / "")


def test_a_missing_or_empty_folder_is_named(tmp_path: Path) -> None:
    clean, degraded = folders(tmp_path)
    save(clean / "a.png", GRAY)
    with pytest.raises(ImageError, match="degraded"):
        match_pairs(clean, degraded)
    degraded.mkdir()
    with pytest.raises(ImageError, match="degraded"):
        match_pairs(clean, degraded)


def test_clean_images_alone_are_pairs_to_be_made(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "b.tif"):
        save(tmp_path / name, COLOUR)
    report = match_pairs(tmp_path, None)
    assert [(pair.name, pair.degraded, pair.files) for pair in report.pairs] == [("a", None, (tmp_path / "a.png",))]
    assert report.unmatched_clean == report.unmatched_degraded == ()
    assert [name for name, _ in report.problems] == ["b"]
    assert report.summary().startswith("1 clean image, 3 channels\ncannot be used: b: ")


SIZES = [
    # clean, degraded, usable as it is, usable with resampling
    ((12, 16), (12, 16), True, True),
    ((12, 16), (6, 8), False, True),
    ((12, 16), (3, 4), False, True),
    ((12, 16), (36, 48), False, True),
    ((12, 16), (16, 12), False, False),
    ((12, 16), (12, 8), False, False),
    ((12, 16), (6, 4), False, False),
    ((12, 16), (8, 8), False, False),
    ((12, 16), (5, 8), False, False),
    ((13, 16), (6, 8), False, False),
]


@pytest.mark.parametrize(("ours", "theirs", "as_it_is", "resampled"), SIZES)
def test_sizes_must_be_equal_or_in_a_whole_ratio_with_resampling(
    tmp_path: Path,
    ours: tuple[int, int],
    theirs: tuple[int, int],
    as_it_is: bool,
    resampled: bool,
) -> None:
    clean, degraded = folders(tmp_path)
    save(clean / "a.png", np.zeros(ours, np.uint8))
    save(degraded / "a.png", np.zeros(theirs, np.uint8))
    for resample, usable in ((False, as_it_is), (True, resampled)):
        report = match_pairs(clean, degraded, resample=resample)
        assert bool(report.pairs) == usable
        assert bool(report.warnings) == (usable and ours != theirs)
        if not usable:
            ((name, sentence),) = report.problems
            assert name == "a"
            assert f"{theirs[0]}x{theirs[1]} px" in sentence
            assert f"clean {ours[0]}x{ours[1]}" in sentence
            assert "resample" in sentence


def test_the_ratio_and_side_of_a_lower_resolution_are_said(tmp_path: Path) -> None:
    clean, degraded = folders(tmp_path)
    save(clean / "a.png", np.zeros((12, 16), np.uint8))
    save(degraded / "a.png", np.zeros((3, 4), np.uint8))
    assert "4 times lower" in match_pairs(clean, degraded).problems[0][1]
    save(degraded / "a.png", np.zeros((24, 32), np.uint8))
    assert "2 times higher" in match_pairs(clean, degraded).problems[0][1]


def test_gray_among_colour_becomes_colour_with_a_warning(tmp_path: Path) -> None:
    clean, degraded = folders(tmp_path)
    for name, pixels in (("a.png", GRAY), ("b.png", COLOUR)):
        save(clean / name, pixels)
        save(degraded / name, COLOUR)
    report = match_pairs(clean, degraded)
    assert (len(report.pairs), report.channels) == (2, 3)
    assert report.warnings == ("1 gray image repeated to colour: a.png",)
    save(degraded / "a.png", GRAY)
    assert match_pairs(clean, degraded).warnings == ("1 gray image repeated to colour: a.png",)  # both sides of it
    save(degraded / "a.png", COLOUR)
    assert match_pairs(clean, degraded, channels=1).pairs == report.pairs  # the pixels may be gray; they decide later


def test_channels_that_most_images_lack_are_a_problem(tmp_path: Path) -> None:
    clean, degraded = folders(tmp_path)
    for name, channels in (("a", 3), ("b", 3), ("c", 5)):
        save(clean / f"{name}.tif", np.zeros((8, 9, channels), np.float32))
        save(degraded / f"{name}.tif", np.zeros((8, 9, channels), np.float32))
    report = match_pairs(clean, degraded)
    assert report.channels == 3
    ((name, sentence),) = report.problems
    assert name == "c"
    assert "5 channels where 3 are needed" in sentence
    asked = match_pairs(clean, degraded, channels=5)
    assert [pair.name for pair in asked.pairs] == ["c"]
    assert [name for name, _ in asked.problems] == ["a", "b"]


def test_bit_depths_may_differ_between_sides_and_are_reported_within_one(tmp_path: Path) -> None:
    clean, degraded = folders(tmp_path)
    for name in ("a", "b"):
        save(clean / f"{name}.tif", GRAY.astype(np.uint16))
        save(degraded / f"{name}.png", GRAY)
    assert match_pairs(clean, degraded).warnings == ()
    save(clean / "b.tif", GRAY.astype(np.float32))
    (warning,) = match_pairs(clean, degraded).warnings
    assert warning.startswith("clean images of several types")
    assert "uint16 (a.tif), float32 (b.tif)" in warning


def test_a_file_that_is_no_image_is_named(tmp_path: Path) -> None:
    clean, degraded = folders(tmp_path)
    for name in ("a.png", "b.png"):
        save(clean / name, GRAY)
        save(degraded / name, GRAY)
    (degraded / "a.png").write_bytes(b"not an image")
    report = match_pairs(clean, degraded)
    assert [pair.name for pair in report.pairs] == ["b"]
    assert report.problems[0][0] == "a"
    assert str(degraded / "a.png") in report.problems[0][1]
    with pytest.raises(DataError, match="1 pair to fix"):
        report.raise_if_unusable()


def test_many_problems_make_one_short_line(tmp_path: Path) -> None:
    clean, degraded = folders(tmp_path)
    for number in range(9):
        save(clean / f"{number}.png", GRAY)
        save(degraded / f"{number}.png", GRAY[:7])
    report = match_pairs(clean, degraded)
    with pytest.raises(DataError) as caught:
        report.raise_if_unusable()
    message = str(caught.value)
    assert message.startswith("9 pairs to fix")
    assert message.endswith("and 6 more")
    assert "\n" not in message
    assert report.summary().splitlines()[-1] == "cannot be used: and 6 more"


def test_ome_is_a_part_of_the_suffix(tmp_path: Path) -> None:
    clean, degraded = folders(tmp_path)
    for name in ("a.ome.tif", "b.tif", "c.ome.tif", "d.ome.tif", "d.tif"):
        save(clean / name, GRAY)
    for name in ("a.tif", "b.OME.tiff", "c.ome.tif", "d.tif"):
        save(degraded / name, GRAY)
    report = match_pairs(clean, degraded)
    assert {pair.name: pair.degraded and pair.degraded.name for pair in report.pairs} == {
        "a.ome": "a.tif",
        "b": "b.OME.tiff",
        "c.ome": "c.ome.tif",
        "d": "d.tif",  # the very name goes first
    }
    assert [path.name for path in report.unmatched_clean] == ["d.ome.tif"]
    assert not report.unmatched_degraded


def test_what_is_passed_over_is_named(tmp_path: Path) -> None:
    clean, degraded = folders(tmp_path)
    for folder in (clean, degraded):
        save(folder / "a.png", GRAY)
        (folder / "below").mkdir()
        (folder / ".hidden").touch()
    (clean / "b.xcf").touch()
    (clean / "c.xcf").touch()
    (degraded / "README").touch()
    (degraded / "d.png").symlink_to(tmp_path / "gone.png")
    report = match_pairs(clean, degraded)
    assert report.summary().splitlines()[1] == (
        "passed over: 2 .xcf (b.xcf, c.xcf), 1 file without suffix (README), 1 link to nowhere (d.png)"
    )
    assert {path.name for path in report.passed_over} == {"b.xcf", "c.xcf", "README", "d.png"}


def test_sides_that_are_turned_against_each_other_are_said(tmp_path: Path) -> None:
    clean, degraded = folders(tmp_path)
    save(clean / "a.png", GRAY)
    save(degraded / "a.png", np.ascontiguousarray(GRAY.T))
    ((_, sentence),) = match_pairs(clean, degraded).problems
    assert "clean 12x16, as if turned by its EXIF orientation; give" in sentence
