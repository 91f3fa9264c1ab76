"""Folders of stacks are folders of pictures, and a stack is one scene."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile

import indi
from indi.data import Crops, check_pairs, load_pair, match_pairs, split_pairs
from indi.errors import DataError, ImageError
from indi.info import info
from problems import tiny_model

Array = npt.NDArray[Any]


def stacks(folder: Path, counts: tuple[int, ...] = (3, 2, 4), **options: Any) -> dict[str, Any]:
    """Write stacks of smooth pictures, the degraded ones half as bright."""
    random = np.random.default_rng(0)
    folders = {"clean": folder / "clean", "degraded": folder / "degraded"}
    for path in folders.values():
        path.mkdir(parents=True)
    for number, count in enumerate(counts):
        clean = np.kron(random.integers(80, 250, (count, 5, 6)), np.ones((8, 8))).astype(np.uint8)
        for side, factor in (("clean", 1), ("degraded", 2)):
            tifffile.imwrite(folders[side] / f"{number}.tif", clean // factor, photometric="minisblack", **options)
    return folders


@pytest.mark.parametrize("options", [{}, {"imagej": True}, {"ome": True, "compression": "zlib"}, {"truncate": True}])
def test_each_picture_is_a_pair(tmp_path: Path, options: dict[str, Any]) -> None:
    folders = stacks(tmp_path, **options)
    report = check_pairs(match_pairs(folders["clean"], folders["degraded"]))
    assert [pair.name for pair in report.pairs] == [
        *("0_0001", "0_0002", "0_0003", "1_0001", "1_0002"),
        *("2_0001", "2_0002", "2_0003", "2_0004"),
    ]
    assert report.problems == ()
    for pair in report.pairs:
        clean, degraded = load_pair(pair, channels=1)
        stack = tifffile.imread(pair.clean)
        np.testing.assert_array_equal(clean, stack[pair.picture])
        np.testing.assert_array_equal(degraded, stack[pair.picture] // 2)
    crops = Crops(report.pairs, crop=16, channels=1, seed=0).batch(0, 8)
    assert np.abs((crops[0] - 2 * crops[1]).numpy() * 255).max() < 1.01


def test_a_stack_is_one_scene_unless_a_pattern_says_otherwise(tmp_path: Path) -> None:
    folders = stacks(tmp_path)
    pairs = match_pairs(folders["clean"], folders["degraded"]).pairs
    for seed in range(5):
        training, validation = split_pairs(pairs, validation=0.4, seed=seed)
        assert {pair.scene for pair in training} & {pair.scene for pair in validation} == set()
        assert validation
    by_picture = split_pairs(pairs, validation=0.4, seed=0, group=r"^(\d+_\d+)$")[1]
    assert len(by_picture) == 4


def test_stacks_of_unlike_length_and_cut_ones_are_problems(tmp_path: Path) -> None:
    folders = stacks(tmp_path, compression="zlib")
    tifffile.imwrite(folders["degraded"] / "1.tif", np.zeros((5, 40, 48), np.uint8), photometric="minisblack")
    data = (folders["clean"] / "2.tif").read_bytes()
    (folders["clean"] / "2.tif").write_bytes(data[: len(data) // 2])
    report = match_pairs(folders["clean"], folders["degraded"])
    problems = dict(report.problems)
    assert "holds 2 pictures, " in problems["1"]
    assert "2.tif" in problems["2"]
    assert len(report.pairs) == 3
    with pytest.raises(DataError):
        report.raise_if_unusable()


def test_one_picture_is_asked_for_where_one_is_needed(tmp_path: Path) -> None:
    folders = stacks(tmp_path)
    for ask in (indi_read_header, indi_read):
        with pytest.raises(ImageError, match=r"0\.tif: holds 3 pictures where a single one is needed"):
            ask(folders["clean"] / "0.tif")
    assert info(folders["clean"] / "0.tif")["pictures"] == 3


def indi_read(path: Path) -> object:
    from indi.io import read

    return read(path)


def indi_read_header(path: Path) -> object:
    from indi.io import read_header

    return read_header(path)


@pytest.mark.medium
def test_from_stacks_to_a_restored_stack(tmp_path: Path) -> None:
    folders = stacks(tmp_path, imagej=True)
    for _ in indi.train(**folders, run=tmp_path / "run", size="tiny", iterations=2, config={"data": {"crop": 16}}):
        pass
    table = indi.evaluate(tmp_path / "run", steps=[1])
    assert {row["file"].rpartition("_")[0] for row in table["per_image"]} < {"0", "1", "2"}


@pytest.mark.medium
@pytest.mark.parametrize("planes", [1, 3])
def test_volumes_are_trained_and_measured_on(tmp_path: Path, planes: int) -> None:
    zarr = pytest.importorskip("zarr")
    folders: dict[str, Any] = {"clean": tmp_path / "clean", "degraded": tmp_path / "degraded"}
    random = np.random.default_rng(0)
    wanted = {
        name: np.kron(random.integers(80, 250, (planes, 5, 6)), np.ones((8, 8))).astype(np.uint8)
        for name in ("a", "b.ome")
    }
    for name, clean in wanted.items():
        for side, factor in (("clean", 1), ("degraded", 2)):
            folders[side].mkdir(exist_ok=True)
            array = zarr.create_array(
                str(folders[side] / f"{name}.zarr"), shape=clean.shape, chunks=(1, 16, 16), dtype="u1"
            )
            array[:] = clean // factor
    report = check_pairs(match_pairs(folders["clean"], folders["degraded"]))
    assert report.problems == ()
    assert [pair.name for pair in report.pairs] == [f"{n}_{k + 1:04d}" for n in ("a", "b.ome") for k in range(planes)]
    for pair in report.pairs:
        ours, theirs = load_pair(pair, channels=1)
        clean = wanted[pair.clean.stem][pair.picture or 0]
        np.testing.assert_array_equal(ours, clean)
        np.testing.assert_array_equal(theirs, clean // 2)
    run = tmp_path / "run"
    for _ in indi.train(
        **folders, run=run, size="tiny", iterations=1, config={"data": {"validation": 0.5, "crop": 16}}
    ):
        pass
    assert indi.evaluate(run, steps=[1])["settings"]["images"] == planes


def test_stacks_that_count_by_other_axes_are_said(tmp_path: Path) -> None:
    for side, axes in (("clean", "ZYX"), ("degraded", "CYX")):
        (tmp_path / side).mkdir()
        pictures = np.random.default_rng(0).integers(0, 255, (3, 24, 24)).astype(np.uint8)
        tifffile.imwrite(tmp_path / side / "a.tif", pictures, imagej=True, metadata={"axes": axes})
    report = match_pairs(tmp_path / "clean", tmp_path / "degraded")
    (warning,) = report.warnings
    assert re.search(r"clean.a\.tif counts its pictures by Z, .*degraded.a\.tif by C; check the axes", warning)
    assert match_pairs(tmp_path / "clean", tmp_path / "degraded", axes="ZYX").warnings == ()


@pytest.mark.parametrize("kind", ["ome", "imagej"])
@pytest.mark.parametrize("swapped", [False, True])
def test_channels_in_another_order_are_said(tmp_path: Path, kind: str, swapped: bool) -> None:
    names = ["DAPI", "GFP", "Cy5"]
    for side in ("clean", "degraded"):
        (tmp_path / side).mkdir()
        ordered = names[::-1] if swapped and side == "degraded" else names
        metadata = {"axes": "CYX", **({"Channel": {"Name": ordered}} if kind == "ome" else {"Labels": ordered})}
        pictures = np.random.default_rng(0).integers(0, 255, (3, 24, 24)).astype(np.uint8)
        file = tmp_path / side / ("a.ome.tif" if kind == "ome" else "a.tif")
        tifffile.imwrite(file, pictures, metadata=metadata, **{kind: True})
    warnings = match_pairs(tmp_path / "clean", tmp_path / "degraded").warnings
    assert ["order: DAPI, GFP, Cy5 and Cy5, GFP, DAPI" in line for line in warnings] == [True] * swapped


def test_a_picture_of_a_stack_and_a_file_of_its_name_are_not_one(tmp_path: Path) -> None:
    """Picture 1 of a.tif is called a_0001, and so is the other file: it would be trained on and tested."""
    for side in ("clean", "degraded"):
        (tmp_path / side).mkdir()
        pictures = np.random.default_rng(0).integers(0, 255, (2, 30, 30)).astype(np.uint8)
        tifffile.imwrite(tmp_path / side / "a.tif", pictures, photometric="minisblack")
        tifffile.imwrite(tmp_path / side / "a_0001.tif", pictures[1])
    report = match_pairs(tmp_path / "clean", tmp_path / "degraded")
    assert [pair.name for pair in report.pairs] == ["a_0002"]
    ((name, sentence),) = report.problems
    assert name == "a_0001"
    assert "picture 1 of a.tif and a_0001.tif have one name, a_0001; rename one of the files" in sentence
    with pytest.raises(DataError, match="have one name"):
        indi.evaluate(indi.Restorer(tiny_model(1)), clean=tmp_path / "clean", degraded=tmp_path / "degraded")
