"""Channels of a microscope are no colours: a model of colours restores each apart, and pictures in colour as such."""

import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile

import indi
from indi.app import measuring
from indi.app.session import Session, Task
from indi.cli import main
from indi.io import read_headers, read_picture
from indi.io.stacks import open_stack
from indi.models.checkpoint import Card, load_model, save_model
from indi.restoration.batch import plan, restore_files
from indi.restoration.restorer import Restorer
from problems import asking, tiny_model

Array = npt.NDArray[Any]
HEIGHT, WIDTH = 30, 40


def random(*shape: int, seed: int = 0) -> Array:
    return (np.random.default_rng(seed).random(shape) * 50000).astype(np.uint16)


# how three channels may lie in a file: -> shape, options, and the axis of the channels
APART: dict[str, tuple[tuple[int, ...], dict[str, Any], int]] = {
    "ImageJ": ((3, HEIGHT, WIDTH), {"imagej": True, "metadata": {"axes": "CYX", "mode": "composite"}}, 0),
    "ImageJ, in depth": ((2, 3, HEIGHT, WIDTH), {"imagej": True, "metadata": {"axes": "ZCYX"}}, 1),
    "OME": ((2, 3, HEIGHT, WIDTH), {"ome": True, "metadata": {"axes": "TCYX"}, "photometric": "minisblack"}, 1),
    "samples": ((HEIGHT, WIDTH, 3), {"photometric": "minisblack", "planarconfig": "contig", "metadata": None}, 2),
    "planes of samples": ((3, HEIGHT, WIDTH), {"photometric": "minisblack", "planarconfig": "separate"}, 0),
    "pages of samples": ((2, HEIGHT, WIDTH, 3), {"photometric": "minisblack", "planarconfig": "contig"}, 3),
}


def colour_model(**card: Any) -> Restorer:
    model = tiny_model(3, epsilon=0.0)
    return Restorer(replace(model, card=model.card.model_copy(update={"colour": True, **card})), precision="float32")


def restored(source: Path, restorer: Restorer, **options: Any) -> Array:
    (outcome,) = restore_files(restorer, plan([source], source.parent / "out"), asking(steps=1, **options))
    assert outcome.error is None
    array: Array = tifffile.imread(outcome.written[0])
    return array


@pytest.mark.parametrize("kind", APART)
def test_no_fluorophore_leaks_into_another(tmp_path: Path, kind: str) -> None:
    shape, options, axis = APART[kind]
    data = random(*shape)
    blanked = data.copy()
    np.moveaxis(blanked, axis, 0)[:2] = 0
    results = []
    for number, pixels in enumerate((data, blanked)):
        tifffile.imwrite(tmp_path / f"{number}.tif", pixels, **options)
        results.append(np.moveaxis(restored(tmp_path / f"{number}.tif", colour_model()), axis, 0))
    assert results[0].shape == np.moveaxis(data, axis, 0).shape
    np.testing.assert_array_equal(results[0][2], results[1][2])
    assert (results[0][0] != results[1][0]).any()
    gray = np.moveaxis(data, axis, 0)[2].reshape(-1, HEIGHT, WIDTH)[0]
    alone = colour_model().restore(gray, steps=1)
    np.testing.assert_array_equal(results[0][2].reshape(-1, HEIGHT, WIDTH)[0], alone)


@pytest.mark.parametrize("pages", [1, 2])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_colours_stay_together(tmp_path: Path, pages: int, planar: str) -> None:
    colour = random(pages, HEIGHT, WIDTH, 3)
    stored = np.moveaxis(colour, -1, 1) if planar == "separate" else colour
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", planarconfig=planar)
    found = restored(tmp_path / "a.tif", colour_model()).reshape(stored.shape)
    found = np.moveaxis(found, 1, -1) if planar == "separate" else found
    np.testing.assert_array_equal(found[-1], colour_model().restore(colour[-1], steps=1, plane=pages - 1))


def test_axes_that_are_given_name_channels_too(tmp_path: Path) -> None:
    data = random(3, HEIGHT, WIDTH)
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="minisblack")
    found = restored(tmp_path / "a.tif", colour_model(), axes="CYX")
    np.testing.assert_array_equal(found[1], colour_model().restore(data[1], steps=1, plane=1))


def test_channels_apart_are_counted_and_read(tmp_path: Path) -> None:
    pages = random(2, HEIGHT, WIDTH, 3)
    tifffile.imwrite(tmp_path / "a.tif", pages, photometric="minisblack", planarconfig="contig")
    with open_stack(tmp_path / "a.tif", apart=True) as stack:
        assert (stack.axes[-1], stack.places[-1], len(stack.headers)) == ("C", 3, 6)
    assert [header.channels for header in read_headers(tmp_path / "a.tif", apart=True)] == [1] * 6
    assert [header.channels for header in read_headers(tmp_path / "a.tif")] == [3] * 2
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif", 4, apart=True), pages[1, ..., 1])


def test_older_cards_are_of_colours_where_a_task_was_made_of_photographs() -> None:
    card = tiny_model(3, epsilon=0.0).card
    assert not card.apart
    assert card.model_copy(update={"task": "denoise"}).apart
    assert not card.model_copy(update={"task": "denoise", "colour": False}).apart
    assert not tiny_model(2, epsilon=0.0).card.model_copy(update={"task": "denoise"}).apart


@pytest.fixture
def hyperstacks(tmp_path: Path) -> dict[str, Path]:
    folders = {"clean": tmp_path / "clean", "degraded": tmp_path / "degraded"}
    for side in folders.values():
        side.mkdir()
        for number in range(3):
            pixels = random(2, 3, HEIGHT, WIDTH, seed=number)
            tifffile.imwrite(side / f"{number}.tif", pixels, imagej=True, metadata={"axes": "ZCYX"})
    return folders


def trained(tmp_path: Path, folders: dict[str, Path], **options: Any) -> Card:
    for _ in indi.train(
        clean=folders["clean"], degraded=folders["degraded"], run=tmp_path / "run", iterations=1, **options
    ):
        pass
    return load_model(tmp_path / "run").card


@pytest.mark.parametrize("way", ["command", "page"])
def test_each_channel_is_measured_apart(tmp_path: Path, hyperstacks: dict[str, Path], way: str) -> None:
    save_model(colour_model().model, tmp_path / "model")
    if way == "command":
        folders = [f"--{side}={folder}" for side, folder in hyperstacks.items()]
        assert (
            main(["evaluate", f"--model={tmp_path / 'model'}", *folders, "--steps=1", f"--out={tmp_path / 'out'}"]) == 0
        )
        table = json.loads((tmp_path / "out" / "metrics.json").read_text())
        assert table["settings"]["images"] == 3 * 2 * 3  # files, planes, channels
        return
    session = Session({"mine": tmp_path / "model"})
    archives: list[Path] = []
    for folder in hyperstacks.values():
        archives.append(folder.with_suffix(".zip"))
        with zipfile.ZipFile(archives[-1], "w") as archive:
            for file in folder.iterdir():
                archive.write(file, file.name)
    clean, degraded = archives
    notes = [step.note for step in measuring.measure(session, Task(), "mine", clean, degraded, None, steps=(1,))]
    session.close()
    assert any("of 18" in note for note in notes), notes


@pytest.mark.medium
def test_a_model_of_colours_goes_on_training_on_each_channel_apart(
    tmp_path: Path, hyperstacks: dict[str, Path]
) -> None:
    start = colour_model().model
    save_model(start, tmp_path / "start")
    card = trained(tmp_path, hyperstacks, start=tmp_path / "start", config={"data": {"crop": 16}})
    assert (card.channels, card.apart) == (3, True)
    files = {row["file"] for row in indi.evaluate(tmp_path / "run", steps=[1])["per_image"]}
    assert len(files) == 6  # of the one stack that was kept


@pytest.mark.medium
def test_a_model_of_three_channels_is_none_of_colours(tmp_path: Path, hyperstacks: dict[str, Path]) -> None:
    card = trained(tmp_path, hyperstacks, size="tiny", config={"data": {"crop": 16, "channels": 3}})
    assert (card.channels, card.colour, card.apart) == (3, False, False)


def test_a_model_of_photographs_is_one_of_colours(tmp_path: Path) -> None:
    folders = {"clean": tmp_path / "clean", "degraded": tmp_path / "degraded"}
    for side in folders.values():
        side.mkdir()
        for number in range(3):
            tifffile.imwrite(side / f"{number}.tif", random(HEIGHT, WIDTH, 3, seed=number), photometric="rgb")
    card = trained(tmp_path, folders, size="tiny", config={"data": {"crop": 16}})
    assert (card.channels, card.colour, card.apart) == (3, True, True)
