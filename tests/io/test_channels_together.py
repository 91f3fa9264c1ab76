"""Channels that lie in planes of their own are one picture to a model of as many channels."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile

import indi
from indi.errors import ConfigError, ImageError
from indi.io import read_headers, read_picture
from indi.io.region import Region
from indi.io.stacks import open_stack
from indi.models.checkpoint import load_model
from indi.restoration.batch import plan, restore_files
from indi.restoration.restorer import Restorer
from problems import asking, tiny_model

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


@pytest.mark.medium
@pytest.mark.parametrize("kind", ["ImageJ", "OME", "OME, channels first", "plain"])
def test_a_model_of_two_channels_restores_them_together(tmp_path: Path, two: Restorer, kind: str) -> None:
    data = written(tmp_path / "a.tif", kind)
    options: dict[str, Any] = {"axes": "ICYX"} if kind == "plain" else {}
    (outcome,) = restore_files(two, plan([tmp_path / "a.tif"], tmp_path / "out"), asking(steps=2, **options))
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
    (outcome,) = restore_files(gray, plan([tmp_path / "a.tif"], tmp_path / "out"), asking(steps=1))
    restored = tifffile.imread(outcome.written[0]).reshape(-1, 30, 40)
    wanted = gray.restore(data.reshape(-1, 30, 40)[5], steps=1, plane=5)
    np.testing.assert_array_equal(restored[5], wanted)


@pytest.mark.medium
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


def mixed(path: Path, *, copies: bool = False) -> Array:
    """Write channel after channel of each slice where the order of the axes is XYZCT; return it as (C, Z, Y, X)."""
    data = random(2, 3, 30, 40)
    step = 2 if copies else 1
    places = "".join(
        f'<TiffData FirstZ="{z}" FirstC="{c}" FirstT="0" IFD="{(2 * z + c) * step}" PlaneCount="1"/>'
        for z in range(3)
        for c in range(2)
    )
    channels = "".join(f'<Channel ID="Channel:0:{c}" SamplesPerPixel="1"/>' for c in range(2))
    sizes = 'SizeX="40" SizeY="30" SizeC="2" SizeZ="3" SizeT="1"'
    text = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
        f'<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" {sizes}>{channels}{places}</Pixels></Image></OME>'
    )
    options: dict[str, Any] = {"metadata": None, "photometric": "minisblack", "contiguous": False}
    with tifffile.TiffWriter(path) as file:
        for number, picture in enumerate(np.moveaxis(data, 1, 0).reshape(6, 30, 40)):
            file.write(picture, description=None if number else text, **options)
            if copies:
                file.write(picture[::2, ::2], subfiletype=1, **options)
    return data


@pytest.mark.parametrize("copies", [False, True])
def test_channels_are_found_where_ome_says_that_they_lie(tmp_path: Path, two: Restorer, copies: bool) -> None:
    path = tmp_path / "a.tif"
    data = mixed(path, copies=copies)
    for number in range(3):
        np.testing.assert_array_equal(read_picture(path, number, channels=2), np.moveaxis(data[:, number], 0, -1))
    for number, picture in enumerate(data.reshape(6, 30, 40)):
        np.testing.assert_array_equal(read_picture(path, number), picture)
    (outcome,) = restore_files(two, plan([path], tmp_path / "out"), asking(steps=1))
    assert outcome.error is None
    with tifffile.TiffFile(path) as before, tifffile.TiffFile(outcome.written[0]) as after:
        assert copies or after.ome_metadata == before.ome_metadata  # without copies the pictures move up
        restored = after.asarray().reshape(data.shape)
    for z in range(3):
        wanted = two.restore(np.moveaxis(data[:, z], 0, -1), steps=1, plane=z)
        np.testing.assert_array_equal(restored[:, z], np.moveaxis(wanted, -1, 0))
        np.testing.assert_array_equal(read_picture(outcome.written[0], z, channels=2), wanted)


def test_axes_that_are_given_count_pictures_as_they_lie_in_the_file(tmp_path: Path) -> None:
    data = mixed(tmp_path / "a.tif")
    with open_stack(tmp_path / "a.tif", channels=2, axes="ZCYX") as stack:
        for z in range(3):
            np.testing.assert_array_equal(stack.pixels(z, Region(0, 0, 30, 40)), np.moveaxis(data[:, z], 0, -1))


@pytest.mark.parametrize("other", [np.zeros((30, 40), np.uint8), np.zeros((20, 40), np.uint16)], ids=["type", "size"])
def test_channels_that_differ_are_refused(tmp_path: Path, other: Array) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for page in (random(30, 40), random(30, 40), other):
            file.write(page, photometric="minisblack", metadata=None)
    with pytest.raises(ImageError, match=r"a\.tif: channels of one picture differ in size or type; check the axes"):
        open_stack(tmp_path / "a.tif", channels=3, axes="CYX")
