import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from indi import evaluate, train
from indi.errors import ConfigError, DataError, ModelError
from indi.evaluation.benchmark import find_test_pairs
from indi.io import Image, read, write
from indi.models.checkpoint import save_model
from indi.restoration.restorer import Restorer
from problems import tiny_model, write_pairs


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return write_pairs(tmp_path_factory.mktemp("pairs"), count=3, size=(40, 48), channels=3)


@pytest.fixture(scope="module")
def restorer() -> Restorer:
    return Restorer(tiny_model(3, epsilon=0.05), precision="float32")


def run_with(folder: Path, folders: dict[str, Any], kept: list[str], **data: Any) -> Path:
    save_model(tiny_model(3), folder)
    data |= {side: str(path) for side, path in folders.items()}
    (folder / "config.json").write_text(json.dumps({"data": data}))
    (folder / "split.json").write_text(json.dumps({"training": [], "validation": kept}))
    return folder


def test_without_folders_a_run_is_measured_on_what_it_kept(tmp_path: Path, folders: dict[str, Any]) -> None:
    run = run_with(tmp_path / "run", folders, ["2", "0"])
    table = evaluate(run, steps=[1])
    assert {row["file"] for row in table["per_image"]} == {"0", "2"}
    assert table["settings"]["pairs"] == "kept for validation"


def test_a_run_that_resampled_is_measured_so(tmp_path: Path, folders: dict[str, Any]) -> None:
    for number in range(3):
        image = Image(read(folders["degraded"] / f"{number}.png").pixels[::2, ::2])
        write(tmp_path / "small" / f"{number}.png", image)
    halves = {"clean": folders["clean"], "degraded": tmp_path / "small"}
    with pytest.raises(DataError, match="resample"):
        evaluate(run_with(tmp_path / "without", halves, ["1"]), steps=[1])
    table = evaluate(run_with(tmp_path / "with", halves, ["1"], resample=True), steps=[1])
    assert table["degraded"]["psnr"] is not None


def test_pairs_that_cannot_be_found_are_said(tmp_path: Path, restorer: Restorer, folders: dict[str, Any]) -> None:
    clean, degraded = folders["clean"], folders["degraded"]
    both = {"clean": clean, "degraded": degraded}
    for options in ({"clean": clean}, {"degraded": degraded}, {**both, "task": "jpeg"}):
        with pytest.raises(ConfigError, match="give the clean images, and the degraded ones or a task"):
            evaluate(restorer, **options)
    with pytest.raises(ConfigError, match="no task 'blur'"):
        evaluate(restorer, clean=clean, task="blur")
    with pytest.raises(ConfigError, match="this model: kept no validation pairs"):
        evaluate(restorer)
    with pytest.raises(ConfigError, match="kept no validation pairs"):
        evaluate(run_with(tmp_path / "none", folders, []))
    with pytest.raises(ConfigError, match=r"are not in .*clean any more"):
        evaluate(run_with(tmp_path / "gone", folders, ["9"]))
    damaged = run_with(tmp_path / "damaged", folders, [])
    (damaged / "split.json").write_text("{")
    with pytest.raises(ModelError, match=r"split\.json: damaged"):
        evaluate(damaged)


def test_images_that_cannot_fit_the_model_stop_before_anything_is_measured(
    tmp_path: Path, restorer: Restorer, folders: dict[str, Any]
) -> None:
    for side in ("clean", "degraded"):
        for number in range(3):
            write(tmp_path / side / f"{number}.png", Image(read(folders[side] / f"{number}.png").pixels))
        write(tmp_path / side / "x.tif", Image(np.zeros((30, 30, 5), np.uint8)))
    with pytest.raises(DataError, match=r"x\.tif has 5 channels where 3 are needed"):
        evaluate(restorer, clean=tmp_path / "clean", degraded=tmp_path / "degraded")


@pytest.mark.medium
def test_pairs_that_were_trained_on_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folders: dict[str, Any] = dict(write_pairs(tmp_path, count=4))
    config = {"network": {"size": "tiny"}, "data": {"crop": 16, "batch": 2, "validation": 0.25}}
    list(train(**folders, run=tmp_path / "run", iterations=1, config=config))
    with caplog.at_level("INFO", logger="indi"):
        caplog.clear()
        evaluate(tmp_path / "run", steps=[1])
        assert "trained on" not in caplog.text
        evaluate(tmp_path / "run", **folders, steps=[1])
        assert "3 of these 4 pairs were trained on" in caplog.text
        (folders["degraded"] / "3.png").unlink()
        evaluate(tmp_path / "run", **folders, steps=[1])
        assert "1 clean image without a degraded one" in caplog.text


def test_trained_pairs_are_known_by_their_pixels_wherever_they_lie(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folders: dict[str, Any] = dict(write_pairs(tmp_path, count=4))
    config = {"network": {"size": "tiny"}, "data": {"crop": 16, "batch": 2, "validation": 0.25}}
    run = tmp_path / "run"
    list(train(**folders, run=run, iterations=1, config=config))
    elsewhere = {}
    for side, folder in folders.items():
        elsewhere[side] = tmp_path / "moved" / side
        for file in folder.iterdir():
            write(elsewhere[side] / f"other-{file.stem}.tif", read(file))
    with caplog.at_level("INFO", logger="indi"):

        def said(**found: Any) -> str:
            caplog.clear()
            find_test_pairs(run, **found, task=None, channels=1)
            return caplog.text

        assert "3 of these 4 pairs were trained on" in said(**elsewhere)
        for folder in elsewhere.values():  # of the names of trained ones, and other pixels
            for number, file in enumerate(sorted(folder.iterdir())):
                write(folder / f"{number}.png", Image(255 - read(file).pixels))
                file.unlink()
        assert said(**elsewhere) == ""
        assert "3 of these 4" in said(**folders)
        split = json.loads((run / "split.json").read_text())
        del split["digests"]
        (run / "split.json").write_text(json.dumps(split))  # as of an older version
        assert "3 of these 4 pairs have names of pairs that were trained on" in said(**elsewhere)
        assert "3 of these 4 pairs were trained on" in said(**folders)
        (run / "split.json").write_text("{")
        assert "split.json: damaged" in said(**elsewhere)


@pytest.mark.medium
def test_kept_pairs_that_are_missing_or_others_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folders: dict[str, Any] = dict(write_pairs(tmp_path, count=6))
    config = {"network": {"size": "tiny"}, "data": {"crop": 16, "batch": 2, "validation": 0.5}}
    run = tmp_path / "run"
    list(train(**folders, run=run, iterations=1, config=config))
    first, second, third = json.loads((run / "split.json").read_text())["validation"]
    (folders["clean"] / f"{first}.png").unlink()
    file = folders["degraded"] / f"{second}.png"
    write(file, Image(read(file).pixels // 2))
    found = find_test_pairs(run, clean=None, degraded=None, task=None, channels=1)
    assert {pair.name for pair in found.pairs} == {second, third}
    assert f"1 of 3 kept pairs are missing: {first}" in caplog.text
    assert f"kept pairs have other pixels than when the run began: {second}" in caplog.text
    folders["clean"].rename(tmp_path / "moved")
    with pytest.raises(ConfigError, match=r"run: its images are not in .*clean any more; give the clean images"):
        find_test_pairs(run, clean=None, degraded=None, task=None, channels=1)


def test_stacks_have_the_axes_that_the_run_was_trained_with(tmp_path: Path) -> None:
    both: dict[str, Any] = {}
    for side in ("clean", "degraded"):
        both[side] = tmp_path / side
        both[side].mkdir()
        pictures = np.random.default_rng(0).integers(0, 255, (6, 30, 30)).astype(np.uint8)
        tifffile.imwrite(both[side] / "a.tif", pictures, photometric="minisblack")
    run = run_with(tmp_path / "run", both, [], axes="CZYX")
    elsewhere = {side: folder.rename(tmp_path / f"other-{side}") for side, folder in both.items()}
    assert len(find_test_pairs(run, **elsewhere, task=None, channels=3).pairs) == 2  # of three channels each
    assert len(find_test_pairs(None, **elsewhere, task=None, channels=3).pairs) == 6
