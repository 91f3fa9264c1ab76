from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch

from indi.config import Config
from indi.data import Pair
from indi.io import Image, read, write
from indi.models.checkpoint import Model
from indi.report.display import liveliest_window, sheet, titled
from indi.restoration.restorer import Restorer
from indi.training.previews import Preview
from problems import tiny_model, write_pairs

WORDS = 42  # px of words above and beside the crops


def pairs_in(folders: dict[str, Path]) -> list[Pair]:
    files = sorted(folders["clean"].iterdir())
    return [Pair(file.stem, file, folders["degraded"] / file.name) for file in files]


def settings(**method: Any) -> Config:
    return Config.model_validate({"method": method, "training": {"preview_steps": 3, "seed": 7}})


def decibels(image: Any, clean: Any) -> float:
    error = (image.astype(float) - clean.astype(float)) / 255
    return float(10 * np.log10(1 / np.mean(error**2)))


def model_of(config: Config) -> Model:
    return tiny_model(1, **config.method.model_dump())


def test_the_clean_crop_names_its_channel_where_the_file_does(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    pictures = random.integers(0, 255, (2, 64, 64), np.uint8)
    drawn = []
    for names in ({}, {"Channel": {"Name": ["DAPI", "GFP"]}}):
        path = tmp_path / f"{len(names)}.ome.tif"
        tifffile.imwrite(path, pictures, metadata={"axes": "CYX", **names})
        pairs = [Pair(f"a_{number}", path, path, picture=number) for number in (0, 1)]
        Preview(pairs, settings(), 1).draw(model_of(settings()), len(names), tmp_path, torch.float32)
        drawn.append(read(tmp_path / f"{len(names):07d}.png").pixels.astype(int))
    plain, said = (picture[WORDS:, WORDS:] for picture in drawn)
    changed = (plain != said).any(axis=2)
    assert changed[:16, -64:].any()  # in the last column, the clean ones, of each row
    assert changed[68 : 68 + 16, -64:].any()
    assert not changed[:, :-64].any()


def test_a_row_an_image_and_a_column_a_stage(tmp_path: Path) -> None:
    config = settings()
    pairs = pairs_in(write_pairs(tmp_path, count=3, size=(40, 48)))
    model = model_of(config)
    values = Preview(pairs, config, 1).draw(model, 42, tmp_path / "out", torch.float32)
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["0000042.png"]
    picture = read(tmp_path / "out/0000042.png").pixels

    restorer = Restorer(model, precision="float32")
    wanted: dict[str, list[float]] = {"0": [], "1": [], "3": []}
    rows = []
    for pair in pairs:
        assert pair.degraded is not None
        clean, degraded = read(pair.clean).pixels, read(pair.degraded).pixels
        restored = {steps: restorer.restore(degraded, steps=steps, seed=7) for steps in (1, 3)}
        stages = [degraded, restored[1], restored[3], clean]
        rows.append(stages)
        for name, image in zip(wanted, stages, strict=False):
            wanted[name].append(decibels(image, clean))
    np.testing.assert_array_equal(
        picture, titled(sheet(rows), ["degraded", "1 step", "3 steps", "clean"], ["0", "1", "2"])
    )
    assert values == pytest.approx({name: np.mean(each) for name, each in wanted.items()}, abs=1e-3)


def test_a_method_of_one_step_shows_one(tmp_path: Path) -> None:
    config = settings(name="regression")
    pairs = pairs_in(write_pairs(tmp_path, count=1))
    values = Preview(pairs, config, 1).draw(model_of(config), 1, tmp_path / "out", torch.float32)
    assert list(values) == ["0", "1"]
    assert read(tmp_path / "out/0000001.png").pixels.shape == (WORDS + 40, WORDS + 3 * 48 + 2 * 4, 3)


def test_large_images_are_cut_and_many_are_thinned(tmp_path: Path) -> None:
    config = settings(name="regression")
    pairs = pairs_in(write_pairs(tmp_path, count=9, size=(150, 140)))
    Preview(pairs, config, 1).draw(model_of(config), 1, tmp_path / "out", torch.float32)
    picture = read(tmp_path / "out/0000001.png").pixels
    assert picture.shape == (WORDS + 4 * 132 - 4, WORDS + 3 * 132 - 4, 3)
    second = read(pairs[2].clean).pixels  # of every other image
    np.testing.assert_array_equal(
        picture[WORDS + 132 : WORDS + 260, WORDS + 264 :, 0], second[liveliest_window(second, 128)]
    )


def test_images_of_several_sizes_fit_into_one_picture(tmp_path: Path) -> None:
    pairs = []
    for name, size in (("a", (20, 30)), ("b", (40, 10))):
        image = Image(np.full(size, 90, np.uint8))
        for side in ("clean", "degraded"):
            write(tmp_path / side / f"{name}.png", image)
        pairs.append(Pair(name, tmp_path / "clean" / f"{name}.png", tmp_path / "degraded" / f"{name}.png"))
    config = settings(name="regression")
    Preview(pairs, config, 1).draw(model_of(config), 1, tmp_path / "out", torch.bfloat16)
    assert read(tmp_path / "out/0000001.png").pixels.shape == (WORDS + 2 * 44 - 4, WORDS + 3 * 34 - 4, 3)


def test_floats_of_any_range_are_measured_against_it(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    clean = (1000 + 800 * random.random((40, 48))).astype(np.float32)
    noisy = clean + 40 * random.standard_normal(clean.shape, np.float32)
    for name, image in (("clean", clean), ("noisy", noisy)):
        write(tmp_path / f"{name}.tif", Image(image))
    config = settings(name="regression")
    preview = Preview([Pair("a", tmp_path / "clean.tif", tmp_path / "noisy.tif")], config, 1)
    values = preview.draw(model_of(config), 1, tmp_path / "out", torch.float32)
    span = float(clean.max() - clean.min())
    assert values["0"] == pytest.approx(-10 * np.log10(np.mean((noisy - clean) ** 2) / span**2), abs=0.01)


@pytest.mark.parametrize("first", ["a", "b"])
def test_floats_beside_whole_numbers_are_each_measured_in_their_range(tmp_path: Path, first: str) -> None:
    clean = np.random.default_rng(0).random((40, 48)).astype(np.float32)
    whole = (clean * 200).astype(np.uint8)
    kinds: dict[str, tuple[Any, Any]] = {
        "a": (clean * 900, clean * 900 + np.float32(90)),
        "b": (whole, whole + np.uint8(20)),
    }
    pairs = []
    for name in sorted(kinds, reverse=first == "b"):
        one, other = tmp_path / f"{name}-clean.tif", tmp_path / f"{name}-degraded.tif"
        for file, image in zip((one, other), kinds[name], strict=True):
            write(file, Image(image))
        pairs.append(Pair(name, one, other))
    config = settings(name="regression")
    values = Preview(pairs, config, 1).draw(model_of(config), 1, tmp_path / "out", torch.float32)
    wanted = [-20 * np.log10(0.1 / float(clean.max() - clean.min())), -20 * np.log10(20 / 255)]
    assert values["0"] == pytest.approx(np.mean(wanted), abs=0.01)


def test_counts_are_stretched_and_the_picture_says_so(tmp_path: Path) -> None:
    """With a scale bar on the clean crop, where the file knows the size of its pixels."""
    random = np.random.default_rng(0)
    folders = {side: tmp_path / side for side in ("clean", "degraded")}
    for folder in folders.values():
        folder.mkdir()
        counts = random.integers(100, 1100, (100, 100)).astype(np.uint16)
        tifffile.imwrite(folder / "a.tif", counts, imagej=True, resolution=(10, 10), metadata={"unit": "um"})
    pairs, config = pairs_in(folders), settings(name="regression")
    Preview(pairs, config, 1).draw(model_of(config), 1, tmp_path / "out", torch.float32)
    picture = read(tmp_path / "out/0000001.png").pixels
    assert picture.shape == (WORDS + 100 + 2 * 12, WORDS + 3 * 100 + 2 * 4, 3)
    assert (picture[WORDS + 100 :] < 128).any()
    crops = [picture[WORDS : WORDS + 100, WORDS + 104 * column :][:, :100] for column in range(3)]
    assert (crops[0].min(), crops[0].max()) == (0, 255)
    bar = crops[2][100 - 4 - 1, 4:24]
    assert (bar == 255).all()  # 2 µm of 0.1 µm
    assert not (crops[0][100 - 4 - 1, 4:24] == 255).all()
