"""Channels that lie in planes of their own are one picture to a model of as many channels."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile

import indi
from indi.checkpoint import load_model
from indi.errors import ConfigError, ImageError
from indi.files import plan, restore_files
from indi.images import read_headers
from indi.images.stack import open_stack
from indi.restoration import Restorer
from problems import tiny_model

Array = npt.NDArray[Any]
SHAPE = (3, 4, 2, 30, 40)  # TZCYX


def random(*shape: int, seed: int = 0) -> Array:
    return (np.random.default_rng(seed).random(shape) * 50000).astype(np.uint16)


def written(path: Path, kind: str, seed: int = 0) -> Array:
    """Write a stack with its axes; return it as (T, Z, C, Y, X)."""
    data = random(*SHAPE, seed=seed)
    if kind == "ImageJ":
        tifffile.imwrite(path, data, imagej=True, metadata={"axes": "TZCYX"})
    elif kind == "OME":
        tifffile.imwrite(path, data, ome=True, metadata={"axes": "TZCYX", "Channel": {"Name": ["a", "b"]}})
    elif kind == "OME, channels first":
        moved = np.moveaxis(data, 2, 0)
        tifffile.imwrite(path, moved, ome=True, metadata={"axes": "CTZYX"}, photometric="minisblack")
    else:
        tifffile.imwrite(path, data.reshape(-1, 30, 40), photometric="minisblack")
    return data


@pytest.fixture(scope="module")
def two() -> Restorer:
    return Restorer(tiny_model(2, epsilon=0.05), precision="float32")


@pytest.mark.parametrize("kind", ["ImageJ", "OME", "OME, channels first", "plain"])
def test_a_model_of_two_channels_restores_them_together(tmp_path: Path, two: Restorer, kind: str) -> None:
    data = written(tmp_path / "a.tif", kind)
    options: dict[str, Any] = {"axes": "ICYX"} if kind == "plain" else {}
    (outcome,) = restore_files(two, plan([tmp_path / "a.tif"], tmp_path / "out"), steps=2, **options)
    assert outcome.error is None
    restored = tifffile.imread(outcome.written[0])
    if kind == "OME, channels first":
        restored = np.moveaxis(restored, 0, 2)
    restored = restored.reshape(-1, 2, 30, 40)
    for number, picture in enumerate(data.reshape(-1, 2, 30, 40)):
        wanted = two.restore(np.moveaxis(picture, 0, -1), steps=2, plane=number)
        np.testing.assert_array_equal(restored[number], np.moveaxis(wanted, -1, 0))
    with tifffile.TiffFile(tmp_path / "a.tif") as before, tifffile.TiffFile(outcome.written[0]) as after:
        assert after.series[0].axes == before.series[0].axes
        assert after.ome_metadata == before.ome_metadata


def test_a_gray_model_restores_them_apart(tmp_path: Path) -> None:
    data = written(tmp_path / "a.tif", "OME")
    gray = Restorer(tiny_model(1, epsilon=0.05), precision="float32")
    (outcome,) = restore_files(gray, plan([tmp_path / "a.tif"], tmp_path / "out"), steps=1)
    restored = tifffile.imread(outcome.written[0]).reshape(-1, 30, 40)
    wanted = gray.restore(data.reshape(-1, 30, 40)[5], steps=1, plane=5)
    np.testing.assert_array_equal(restored[5], wanted)


def test_a_model_of_two_channels_is_trained_on_such_stacks(tmp_path: Path) -> None:
    folders: dict[str, Any] = {"clean": tmp_path / "clean", "degraded": tmp_path / "degraded"}
    for side in folders.values():
        side.mkdir()
        for number in range(3):
            written(side / f"{number}.tif", "OME", seed=number)
    config = {"data": {"channels": 2, "crop": 16}}
    for _ in indi.train(**folders, run=tmp_path / "run", size="tiny", iterations=1, config=config):
        pass
    assert load_model(tmp_path / "run").card.channels == 2
    files = {row["file"] for row in indi.evaluate(tmp_path / "run", steps=[1])["per_image"]}
    assert len(files) == 12  # of the one stack that was kept


def test_pictures_are_counted_by_the_axes(tmp_path: Path) -> None:
    written(tmp_path / "a.tif", "OME")
    with open_stack(tmp_path / "a.tif") as stack:
        assert (stack.axes, stack.places) == ("TZC", (3, 4, 2))
    with open_stack(tmp_path / "a.tif", channels=2) as stack:
        assert (stack.axes, stack.places) == ("TZ", (3, 4))
        assert {header.channels for header in stack.headers} == {2}
    assert len(read_headers(tmp_path / "a.tif", channels=2)) == 12
    with open_stack(tmp_path / "a.tif", channels=3) as stack:  # no axis of three channels: each picture alone
        assert len(stack.headers) == 24


@pytest.mark.parametrize(
    ("axes", "error", "says"),
    [
        ("CZ", ConfigError, "end in YX"),
        ("YX", ConfigError, "end in YX"),
        ("CCYX", ConfigError, "different letters"),
        ("TCZYX", ConfigError, "C must come first or right before YX"),
        ("CYX", None, ""),
        ("ZCYX", ImageError, "no whole number of 5 channels"),
    ],
)
def test_axes_that_do_not_fit_are_named(tmp_path: Path, axes: str, error: type[Exception] | None, says: str) -> None:
    written(tmp_path / "a.tif", "plain")
    if error is None:
        with open_stack(tmp_path / "a.tif", channels=24, axes=axes) as stack:
            assert [header.channels for header in stack.headers] == [24]
    else:
        with pytest.raises(error, match=says):
            open_stack(tmp_path / "a.tif", channels=5, axes=axes)
