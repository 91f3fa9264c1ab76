"""What the plugin makes of layers, without napari: every plane as the library restores it, shown as its source."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from indi.data.normalization import Normalisation, Scale
from indi.errors import ConfigError, DeviceError, ImageError, ShapeError, TrainingError
from indi.io import from_unit, read, span_of, to_unit
from indi.models.runs import Split
from indi.napari.layers import PAIRS, Layer, StoppedError, restored_layers, train_on_layers
from indi.process.sampling import Sampling
from indi.restoration.restorer import Restorer, load
from indi.restoration.uncertainty import maps
from problems import seeing, tiny_calibration, tiny_model

STEPS = Sampling(steps=2)


def pixels(*shape: int, dtype: str = "uint8") -> NDArray[Any]:
    return from_unit(np.random.default_rng(0).random(shape, dtype=np.float32) * 0.8 + 0.1, dtype)


def layer(data: Any, **metadata: Any) -> Layer:
    shown = {"name": "cells", "rgb": False, "multiscale": False, "contrast_limits": [3.0, 200.0], "colormap": "green"}
    return data, shown | metadata, "image"


def named(layers: list[Layer]) -> dict[str, Layer]:
    return {each[1]["name"].removeprefix("cells "): each for each in layers}


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_an_image_becomes_what_the_library_restores(gray: Restorer, dtype: str) -> None:
    data = pixels(20, 27, dtype=dtype)
    (result,) = restored_layers(gray, layer(data), STEPS)
    np.testing.assert_array_equal(result[0], gray.restore(data, steps=2))
    assert result[0].dtype == data.dtype
    assert result[2] == "image"
    assert result[1]["name"] == "cells restored"


def test_every_plane_of_a_stack_has_noise_of_its_own(gray: Restorer) -> None:
    data = np.broadcast_to(pixels(20, 27), (2, 3, 20, 27))
    (result,) = restored_layers(gray, layer(data), STEPS)
    assert result[0].shape == data.shape
    for number, place in enumerate(np.ndindex(2, 3)):
        np.testing.assert_array_equal(result[0][place], gray.restore(data[place], steps=2, plane=number))
    assert (result[0][0, 0] != result[0][1, 2]).any()


def test_a_layer_that_memory_does_not_hold_is_read_plane_by_plane(gray: Restorer) -> None:
    array = pytest.importorskip("dask.array")
    data, asked = pixels(3, 20, 27), []

    def noted(block: NDArray[Any], block_info: Any = None) -> NDArray[Any]:
        if block_info:
            asked.append(block_info[0]["chunk-location"][0])
        return block

    lazy = array.from_array(data, chunks=(1, 20, 27)).map_blocks(noted, dtype=data.dtype, meta=np.empty((0,) * 3))
    seen: list[int] = []
    (result,) = restored_layers(gray, layer(lazy), STEPS, progress=lambda share: seen.append(len(asked)))
    assert asked == [0, 1, 2]
    assert seen[0] == 1  # the first plane alone was there when its restoration began
    np.testing.assert_array_equal(result[0], restored_layers(gray, layer(data), STEPS)[0][0])


def test_one_plane_alone_is_the_same_and_lies_where_it_was(gray: Restorer) -> None:
    source = layer(pixels(2, 3, 20, 27), scale=[1, 2.0, 0.5, 0.5], translate=[0, 10.0, 1, 1])
    (whole,) = restored_layers(gray, source, STEPS)
    (alone,) = restored_layers(gray, source, STEPS, only=(1, 2))
    np.testing.assert_array_equal(alone[0], whole[0][1:2, 2:3])
    assert alone[1]["translate"] == [1, 14.0, 1, 1]
    assert whole[1]["scale"] == alone[1]["scale"] == [1, 2.0, 0.5, 0.5]


def test_colour_is_restored_together_by_a_model_of_colour(colour: Restorer) -> None:
    data = pixels(20, 27, 3)
    (result,) = restored_layers(colour, layer(data, rgb=True), STEPS)
    np.testing.assert_array_equal(result[0], colour.restore(data, steps=2))
    assert result[1]["rgb"]
    assert "contrast_limits" not in result[1]


def test_colour_is_restored_channel_by_channel_by_a_model_of_gray(gray: Restorer) -> None:
    data = pixels(2, 20, 27, 3)
    several = named(restored_layers(gray, layer(data, rgb=True), Sampling(steps=2, samples=2)))
    (result,) = restored_layers(gray, layer(data, rgb=True), STEPS)
    for place in np.ndindex(2, 3):
        plane, channel = place
        restored = gray.restore(data[plane, ..., channel], steps=2, plane=plane)
        np.testing.assert_array_equal(result[0][plane, ..., channel], restored)
    assert several["restored"][0].shape == data.shape
    assert several["spread"][0].shape == several["disagreement"][0].shape == data.shape[:3]
    assert "rgb" not in several["disagreement"][1]


def test_alpha_stays(colour: Restorer) -> None:
    data = pixels(20, 27, 4)
    (result,) = restored_layers(colour, layer(data, rgb=True), STEPS)
    np.testing.assert_array_equal(result[0][..., 3], data[..., 3])
    np.testing.assert_array_equal(result[0][..., :3], colour.restore(data[..., :3], steps=2))


def test_of_several_scales_the_finest_is_restored(gray: Restorer) -> None:
    data = pixels(20, 28)
    (result,) = restored_layers(gray, layer([data, data[::2, ::2]], multiscale=True), STEPS)
    np.testing.assert_array_equal(result[0], gray.restore(data, steps=2))
    assert "multiscale" not in result[1]


def test_floats_and_bytes_of_any_order_are_taken(gray: Restorer) -> None:
    data = pixels(20, 27, dtype="float32")
    (result,) = restored_layers(gray, layer(data.astype(np.float64)), STEPS)
    assert result[0].dtype == np.float32
    np.testing.assert_array_equal(result[0], gray.restore(data, steps=2))
    counts = pixels(20, 27, dtype="uint16")
    (result,) = restored_layers(gray, layer(counts.astype(">u2")), STEPS)
    np.testing.assert_array_equal(result[0], gray.restore(counts, steps=2))


def test_samples_bring_their_mean_spread_and_disagreement(gray: Restorer) -> None:
    data = pixels(2, 20, 27, dtype="uint16")
    found = named(restored_layers(gray, layer(data), Sampling(steps=2, samples=3)))
    assert list(found) == ["restored", "spread", "disagreement"]
    for number in range(2):
        samples = to_unit(gray.restore(data[number], steps=2, samples=3, plane=number))[:, None]
        wanted = maps(samples, gray.least_spread, None, np.uint16)
        np.testing.assert_array_equal(found["restored"][0][number], from_unit(wanted["mean"][0], np.uint16))
        np.testing.assert_array_equal(found["spread"][0][number], wanted["spread"][0])
        np.testing.assert_array_equal(found["disagreement"][0][number], wanted["invented"][0])
    assert found["disagreement"][1]["contrast_limits"] == [0.0, 1.0]
    assert found["spread"][1]["contrast_limits"] == [0.0, found["spread"][0].max()]
    assert found["spread"][1]["colormap"] == found["disagreement"][1]["colormap"] == "inferno"


def test_a_calibrated_model_brings_the_ends_of_the_interval() -> None:
    restorer = Restorer(tiny_model(1, epsilon=0.05), precision="float32")
    restorer.calibration = calibration = tiny_calibration(weights=restorer.fingerprint, samples=3, steps=2, factor=2.0)
    data = pixels(20, 27)
    data[0] = 0  # where the lower end would fall below what the type holds
    found = named(restored_layers(restorer, layer(data), Sampling(steps=2, samples=3)))
    assert list(found) == ["restored", "lower", "upper", "disagreement"]
    samples = to_unit(restorer.restore(data, steps=2, samples=3))[:, None]
    wanted = maps(samples, restorer.least_spread, calibration, np.uint8)
    half = wanted["interval"][0] / span_of(np.dtype(np.uint8))
    for name, sign in (("lower", -1), ("upper", 1)):
        np.testing.assert_array_equal(found[name][0], from_unit(wanted["mean"][0] + sign * half, np.uint8))
    assert (found["lower"][0] < found["upper"][0]).any()
    assert [each[1]["visible"] for each in found.values()] == [True, False, False, True]


def test_a_result_is_shown_as_its_source() -> None:
    gray = Restorer(tiny_model(1), precision="float32")
    shown = {
        "scale": [2.0, 0.3, 0.3],
        "translate": [1.0, 2.0, 3.0],
        "rotate": np.eye(3),
        "shear": [0, 0, 0],
        "affine": np.eye(4),
        "units": ("um",) * 3,
        "axis_labels": ("z", "y", "x"),
        "gamma": 0.7,
        "blending": "additive",
        "metadata": {"theirs": 1},
        "visible": False,
    }
    (result,) = restored_layers(gray, layer(pixels(2, 20, 27), **shown), STEPS)
    for name in shown.keys() - {"metadata", "visible"}:
        assert result[1][name] is shown[name]
    assert (result[1]["contrast_limits"], result[1]["colormap"]) == ([3.0, 200.0], "green")
    assert result[1]["visible"]
    noted = result[1]["metadata"]["indi"]
    assert (noted["model"], noted["steps"], noted["samples"]) == ("tiny", 2, None)
    assert noted["fingerprint"] == gray.fingerprint


def test_limits_of_contrast_follow_a_model_that_brightens() -> None:
    model = tiny_model(1)
    scales = Normalisation(clean=Scale(offset=(0.0,), scale=(4.0,)), degraded=Scale(offset=(0.0,), scale=(1.0,)))
    brightens = Restorer(type(model)(model.card.model_copy(update={"normalisation": scales}), model.network))
    (result,) = restored_layers(brightens, layer(pixels(20, 27, dtype="uint16"), contrast_limits=[100, 1000.4]), STEPS)
    assert result[1]["contrast_limits"] == [400.0, 4000.0]
    (result,) = restored_layers(brightens, layer(pixels(20, 27), contrast_limits=[-2, -1]), STEPS)
    assert "contrast_limits" not in result[1]  # which would be 0 to 0


def test_progress_is_of_all_planes_and_can_stop_the_work(gray: Restorer) -> None:
    shares: list[float] = []
    restored_layers(gray, layer(pixels(2, 20, 27)), Sampling(steps=2, samples=2), progress=shares.append)
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    assert 0.5 in shares

    def stop(share: float) -> None:
        if share >= 0.5:
            raise StoppedError

    with pytest.raises(StoppedError):
        restored_layers(gray, layer(pixels(2, 20, 27)), STEPS, progress=stop)


def test_what_cannot_be_restored_is_said_with_its_plane(gray: Restorer) -> None:
    data = pixels(2, 20, 27, dtype="float32")
    data[1, 3, 3] = np.nan
    with pytest.raises(ImageError, match=r"^cells: plane 2 of 2: 1 of 540 pixel values are NaN"):
        restored_layers(gray, layer(data), STEPS)
    with pytest.raises(ImageError, match=r"^cells: plane 1 of 2: pixels are int32; convert them to uint8"):
        restored_layers(gray, layer(np.zeros((2, 20, 27), np.int32)), STEPS)
    with pytest.raises(ConfigError, match="no dial of realism"):
        restored_layers(gray, layer(data), Sampling(realism=0.5))


def test_too_little_memory_is_an_error_of_ours(gray: Restorer, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any, **options: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(gray, "restore", full, raising=False)
    with pytest.raises(DeviceError, match=r"^cells: does not fit in memory; restore the plane shown alone"):
        restored_layers(gray, layer(pixels(20, 27)), STEPS)


def pair(*shape: int, **metadata: Any) -> tuple[Layer, Layer]:
    clean = np.kron(pixels(*shape[:-2], shape[-2] // 8, shape[-1] // 8, dtype="uint16"), np.ones((8, 8), np.uint16))
    return layer(clean, name="clean", **metadata), layer(clean // 4, name="degraded", **metadata)


def options(**other: Any) -> dict[str, Any]:
    return {"minutes": 0.02, "size": "tiny", "method": "indi", "progress": lambda share, note: None} | other


@pytest.mark.medium
def test_two_layers_make_a_run(tmp_path: Path) -> None:
    clean, degraded = pair(3, 40, 48)
    said: list[tuple[float, str]] = []
    run = train_on_layers(
        clean, degraded, tmp_path / "run", **options(progress=lambda share, note: said.append((share, note)))
    )
    assert said[-1][0] == 1.0
    assert "writing plane 3 of degraded" in [note for _, note in said]
    assert said[-1][1].startswith("iteration ")
    for number in range(3):
        np.testing.assert_array_equal(read(run / PAIRS / "clean" / f"plane{number:06d}.tif").pixels, clean[0][number])
    split = Split.read(run)
    assert split is not None
    assert (len(split.training), split.validation) == (3, ())  # one stack is one scene
    assert load(run).restore(degraded[0][0]).shape == (40, 48)
    assert load(run).card.normalisation is not None
    assert json.loads((run / "config.json").read_text())["data"]["clean"] == str(run / PAIRS / "clean")


@pytest.mark.medium
def test_a_training_that_is_stopped_keeps_what_it_has(tmp_path: Path) -> None:
    def stop(share: float, note: str) -> None:
        if note.startswith("iteration 2,"):
            raise StoppedError

    run = train_on_layers(*pair(40, 48), tmp_path / "run", **options(minutes=10, progress=stop))
    assert load(run).card.iterations == 2


def test_a_training_that_never_began_leaves_nothing(tmp_path: Path) -> None:
    def stop(share: float, note: str) -> None:
        if note == "reading every plane":
            raise StoppedError

    with pytest.raises(StoppedError):
        train_on_layers(*pair(40, 48), tmp_path / "run", **options(progress=stop))
    clean, degraded = pair(40, 48)
    with pytest.raises(ImageError, match="int32"):
        train_on_layers(clean, (degraded[0].astype(np.int32), *degraded[1:]), tmp_path / "run", **options())
    assert list(tmp_path.rglob("*.tif")) == []
    assert train_on_layers(clean, degraded, tmp_path / "run", **options()) == tmp_path / "run"


def test_layers_and_folders_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    clean, degraded = pair(40, 48)
    with pytest.raises(ShapeError, match=r"clean has shape \(40, 48\), degraded \(40, 40\); choose two layers"):
        train_on_layers(clean, (degraded[0][:, :40], *degraded[1:]), tmp_path / "run", **options())
    (tmp_path / "notes.txt").touch()
    with pytest.raises(TrainingError, match="is not empty; choose a new or empty folder"):
        train_on_layers(clean, degraded, tmp_path, **options())
    with pytest.raises(TrainingError, match="cannot be used as a folder"):
        train_on_layers(clean, degraded, tmp_path / "notes.txt", **options())
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(("labels", "which"), [(("-4", "-3", "-2", "-1"), 1), (("z", "t", "y", "x"), 0)])
def test_a_model_sees_the_planes_around_each(labels: tuple[str, ...], which: int) -> None:
    restorer = Restorer(seeing(1), precision="float32")
    data = pixels(2, 3, 20, 27)
    (result,) = restored_layers(restorer, layer(data, axis_labels=labels), STEPS, only=(1, 0))
    before, after = ((1, 0), (1, 1)) if which == 1 else ((0, 0), (1, 0))
    wanted = restorer.restore(data[1, 0], around=[data[before], data[after]], steps=2, plane=3)
    np.testing.assert_array_equal(result[0][0, 0], wanted)
    with pytest.raises(ImageError, match="give a stack that has them"):
        restored_layers(restorer, layer(data[0, 0]), STEPS)
    with pytest.raises(ImageError, match="labelled T, C, and the model sees planes along Z"):
        restored_layers(restorer, layer(data, axis_labels=("t", "c", "y", "x")), STEPS)


def test_contrast_follows_the_normalisation_of_a_model_with_neighbours() -> None:
    model = seeing(1)
    scales = Normalisation(clean=Scale(offset=(0.1,), scale=(0.5,)), degraded=Scale(offset=(0.0,), scale=(1.0,)))
    restorer = Restorer(replace(model, card=model.card.model_copy(update={"normalisation": scales})))
    (result,) = restored_layers(restorer, layer(pixels(3, 20, 27), contrast_limits=[51.0, 204.0]), STEPS)
    assert result[1]["contrast_limits"] == pytest.approx([255 * (0.1 + 0.5 * 0.2), 255 * (0.1 + 0.5 * 0.8)], abs=1)
