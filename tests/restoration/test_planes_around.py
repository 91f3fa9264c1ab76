"""A model that sees the planes before and after: trained on stacks, restored from them, exact as any other."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
import torch

import indi
from indi.cli import main
from indi.data import Crops, check_pairs, load_pair, load_test_neighbours, match_pairs
from indi.errors import ConfigError, DataError, ImageError, ModelError, ShapeError
from indi.io.neighbours import Neighbours
from indi.models.checkpoint import load_model
from indi.process.sampling import Sampling
from indi.restoration import stacks
from indi.restoration.batch import plan, restore_files
from indi.restoration.restorer import Restorer
from indi.training import train
from indi.training.starting import check_start, widened
from problems import asking, seeing, tiny_model

Array = npt.NDArray[Any]


def random(*shape: int) -> Array:
    return (np.random.default_rng(0).random(shape) * 50000).astype(np.uint16)


def write_stacks(folder: Path, count: int = 3, planes: int = 4) -> dict[str, Any]:
    """Write pairs of stacks whose clean planes are alike, and whose degraded ones have noise of their own."""
    generator = np.random.default_rng(0)
    folders: dict[str, Any] = {"clean": folder / "clean", "degraded": folder / "degraded"}
    for path in folders.values():
        path.mkdir(parents=True)
    for number in range(count):
        plane = np.kron(generator.integers(60, 180, (5, 6)), np.ones((8, 8)))
        clean = np.repeat(plane[None], planes, axis=0).astype(np.uint8)
        noisy = (clean + generator.normal(0, 20, clean.shape)).clip(0, 255).astype(np.uint8)
        for side, data in (("clean", clean), ("degraded", noisy)):
            tifffile.imwrite(folders[side] / f"{number}.tif", data, imagej=True, metadata={"axes": "ZYX"})
    return folders


def restore(restorer: Restorer, source: Path, out: Path, **options: Any) -> Array:
    (outcome,) = restore_files(restorer, plan([source], out), asking(**options))
    if outcome.error:
        raise outcome.error
    restored: Array = tifffile.imread(outcome.written[0])
    return restored


@pytest.mark.parametrize("method", [{}, {"name": "distributional"}, {"conditioned": True}, {"name": "regression"}])
def test_the_network_sees_the_planes_and_nothing_else_changes(method: dict[str, Any]) -> None:
    restorer = Restorer(seeing(1, **method), precision="float32")
    alone, before, after = random(3, 24, 160)
    restored = restorer.restore(alone, around=[before, after], steps=1)
    assert (restored.shape, restored.dtype) == (alone.shape, alone.dtype)
    assert not np.array_equal(restored, restorer.restore(alone, around=[after, before], steps=1))
    moved = before.copy()
    moved[:, 159] = 0
    changed = restored != restorer.restore(alone, around=[moved, after], steps=1)
    assert changed[:, 159].any()
    halo = restorer.model.network.halo
    assert halo is not None
    assert not changed[:, : 159 - halo].any()


def test_planes_that_are_missing_or_unlike_are_refused() -> None:
    restorer = Restorer(seeing(2), precision="float32")
    image = random(24, 24)
    with pytest.raises(ShapeError, match="tiny sees 2 planes on each side along Z, and 0 are there"):
        restorer.restore(image)
    with pytest.raises(ShapeError, match="planes of one shape and type"):
        restorer.restore(image, around=[image, image, image, image[1:]])
    with pytest.raises(ShapeError, match="planes of one shape and type"):
        restorer.restore(image, around=[image, image, image, (image >> 8).astype(np.uint8)])
    together: Any = np.stack([image] * 4)
    as_list = restorer.restore(image, around=list(together), steps=1)
    np.testing.assert_array_equal(restorer.restore(image, around=together, steps=1), as_list)
    with pytest.raises(ImageError):
        restorer.restore(image, around=["a.tif"] * 4)  # type: ignore[list-item]
    with pytest.raises(ShapeError, match="sees one plane alone; leave around out"):
        Restorer(tiny_model(1)).restore(image, around=[image])


@pytest.mark.medium
def test_a_stack_is_restored_plane_by_plane(tmp_path: Path) -> None:
    restorer = Restorer(seeing(1, epsilon=0.05), precision="float32", tile=32)
    data = random(4, 70, 75)
    tifffile.imwrite(tmp_path / "a.tif", data, imagej=True, metadata={"axes": "ZYX"})
    restored = restore(restorer, tmp_path / "a.tif", tmp_path / "out", steps=2)
    for z in range(4):
        around = [data[max(z - 1, 0)], data[min(z + 1, 3)]]
        np.testing.assert_array_equal(restored[z], restorer.restore(data[z], around=around, steps=2, plane=z))


@pytest.mark.medium
def test_planes_that_memory_does_not_hold_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    restorer = Restorer(seeing(1, channels=2, epsilon=0.05), precision="float32", tile=32)
    data = random(2, 3, 70, 75)
    tifffile.imwrite(tmp_path / "a.tif", data, metadata={"axes": "CZYX"}, ome=True)
    whole = restore(restorer, tmp_path / "a.tif", tmp_path / "whole", steps=3)
    monkeypatch.setattr(stacks, "IN_MEMORY", 1)
    tiled = restore(restorer, tmp_path / "a.tif", tmp_path / "tiled", steps=3)
    assert np.abs(whole.astype(int) - tiled.astype(int)).max() <= 1
    assert not np.array_equal(whole, data)


@pytest.mark.medium
def test_planes_share_their_noise_along_an_axis(tmp_path: Path) -> None:
    restorer = Restorer(seeing(1, epsilon=0.2), precision="float32")
    data = np.repeat(random(1, 1, 32, 32), 6, axis=0).reshape(2, 3, 32, 32)
    tifffile.imwrite(tmp_path / "a.tif", data, imagej=True, metadata={"axes": "TZYX"})
    own = restore(restorer, tmp_path / "a.tif", tmp_path / "own", steps=2)
    shared = restore(restorer, tmp_path / "a.tif", tmp_path / "shared", steps=2, noise_along="z")
    assert not np.array_equal(own[0, 0], own[0, 1])
    np.testing.assert_array_equal(shared[0, 0], shared[0, 1])
    np.testing.assert_array_equal(shared[0, 0], own[0, 0])
    assert not np.array_equal(shared[0, 0], shared[1, 0])  # of another time
    with pytest.raises(ImageError, match=r"a\.tif: no axis P"):
        restore(restorer, tmp_path / "a.tif", tmp_path / "none", noise_along="P")
    with pytest.raises(ConfigError, match="letter of an axis"):
        Sampling(noise_along="ZT")


def test_an_image_alone_is_refused_before_work(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", random(24, 24))
    with pytest.raises(ImageError, match=r"a\.tif: tiny sees .*; give a stack that has them"):
        restore(Restorer(seeing(1)), tmp_path / "a.tif", tmp_path / "out")
    tifffile.imwrite(tmp_path / "b.tif", random(3, 24, 24), photometric="minisblack")
    with pytest.raises(ImageError, match="no axis Z: it does not say what its pictures are"):
        restore(Restorer(seeing(1)), tmp_path / "b.tif", tmp_path / "out")
    assert restore(Restorer(seeing(1)), tmp_path / "b.tif", tmp_path / "out", axes="ZYX").shape == (3, 24, 24)


def test_crops_hold_the_planes_of_the_same_place(tmp_path: Path) -> None:
    folders = write_stacks(tmp_path)
    report = check_pairs(match_pairs(**folders, neighbours=Neighbours(2)))
    assert [pair.around for pair in report.pairs[:4]] == [(0, 0, 1, 2), (0, 0, 2, 3), (0, 1, 3, 3), (1, 2, 3, 3)]
    clean, degraded = Crops(report.pairs, crop=16, channels=1, seed=0).batch(0, 8)
    assert (clean.shape, degraded.shape) == ((8, 1, 16, 16), (8, 5, 16, 16))
    plain_clean, plain = Crops(match_pairs(**folders).pairs, crop=16, channels=1, seed=0).batch(0, 8)
    assert torch.equal(clean, plain_clean)  # the crops are those of a model that sees none
    assert torch.equal(degraded[:, :1], plain)
    # clean planes are all alike here, so each plane around is that place too, with noise of its own
    errors = (degraded - clean).flatten(1).std(dim=1)
    assert (errors < 0.12).all()
    assert not torch.equal(degraded[:, 1], degraded[:, 4])
    some = [pair for pair in report.pairs if pair.picture == 1]  # planes of pairs that are not trained on are read too
    _, degraded = Crops(some, crop=16, channels=1, seed=0).batch(0, 4)
    assert (degraded.std(dim=(2, 3)) > 0).all()


def test_a_task_degrades_planes_with_one_strength(tmp_path: Path) -> None:
    folders = write_stacks(tmp_path)
    pairs = match_pairs(folders["clean"], None, neighbours=Neighbours(1)).pairs
    crops = Crops(pairs, crop=32, channels=1, seed=0, task="denoise-photons")
    clean, degraded = crops.batch(0, 6)
    strengths = (degraded - clean).std(dim=(2, 3))
    assert (strengths.amax(dim=1) < 1.2 * strengths.amin(dim=1)).all()  # of the planes of a crop
    assert strengths.amax() > 2 * strengths.amin()  # from crop to crop
    noises = (degraded - clean).flatten(2)
    assert abs(torch.corrcoef(noises[0])[0, 1]) < 0.2
    with pytest.raises(ConfigError, match="'jpeg' makes no stacks of planes; tasks that do: denoise-photons"):
        Crops(pairs, crop=32, channels=1, seed=0, task="jpeg")


def test_planes_to_measure_with_are_those_of_the_stack(tmp_path: Path) -> None:
    folders = write_stacks(tmp_path)
    pairs = match_pairs(**folders, neighbours=Neighbours(1)).pairs
    stack = tifffile.imread(folders["degraded"] / "0.tif")
    before, after = load_test_neighbours(pairs[1], channels=1, task=None)
    np.testing.assert_array_equal(before, stack[0])
    np.testing.assert_array_equal(after, stack[2])
    made = match_pairs(folders["clean"], None, neighbours=Neighbours(1)).pairs
    before, _ = load_test_neighbours(made[1], channels=1, task="denoise-photons")
    (first, _), own = load_test_neighbours(made[0], channels=1, task="denoise-photons"), made[0]
    np.testing.assert_array_equal(before, first)  # the plane before the second is the first, degraded once and for all
    assert load_pair(own, channels=1)[0].shape == before.shape


def test_files_of_one_picture_have_no_neighbours(tmp_path: Path) -> None:
    folders = write_stacks(tmp_path, count=1, planes=1)
    report = match_pairs(**folders, neighbours=Neighbours(1))
    with pytest.raises(DataError, match="is no stack, and the model sees planes around each"):
        report.raise_if_unusable()


OF_RUN: dict[str, Any] = {"size": "tiny", "crop": 16, "batch": 4, "checkpoint_every": 4}


@pytest.mark.medium
@pytest.mark.parametrize("method", ["indi", "distributional"])
def test_a_run_sees_neighbours_from_training_to_intervals(tmp_path: Path, method: str) -> None:
    folders = write_stacks(tmp_path)
    asked: dict[str, Any] = {**folders, **OF_RUN, "method": method, "neighbours": 1, "normalise": "deviation"}
    list(train(run=tmp_path / "run", iterations=8, **asked))
    restorer = indi.load(tmp_path / "run")
    assert (restorer.card.neighbours, restorer.card.neighbours_axis) == (1, "Z")
    table = indi.evaluate(tmp_path / "run")
    assert all(row["psnr"] > 10 for row in table["rows"])
    calibration = indi.calibrate(tmp_path / "run", **folders, samples=2)
    assert calibration.pixels == 3 * 4 * 40 * 48
    written = restore(restorer, folders["degraded"] / "0.tif", tmp_path / "out", samples=2)
    assert written.shape == (4, 40, 48)


@pytest.mark.medium
def test_a_resumed_run_is_the_one_that_was_never_stopped(tmp_path: Path) -> None:
    asked: dict[str, Any] = {**write_stacks(tmp_path), **OF_RUN, "neighbours": 1, "cooldown": 0.0, "warmup": 0.0}
    list(train(run=tmp_path / "whole", iterations=8, **asked))
    records = train(run=tmp_path / "cut", iterations=8, **asked)
    for _ in range(4):
        next(records)
    records.close()
    list(train(run=tmp_path / "cut", resume=True))
    ours, theirs = (load_model(tmp_path / name).network.state_dict() for name in ("whole", "cut"))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.medium
def test_a_model_of_one_plane_is_a_start(tmp_path: Path) -> None:
    folders = write_stacks(tmp_path)
    list(train(run=tmp_path / "plane", iterations=4, **folders, **OF_RUN))
    begun = train(run=tmp_path / "run", start=tmp_path / "plane", iterations=4, **folders, **OF_RUN, neighbours=1)
    next(begun)
    begun.close()
    list(train(run=tmp_path / "more", start=tmp_path / "run", iterations=2, **folders, **OF_RUN))
    assert load_model(tmp_path / "more").card.neighbours == 1  # as the model that it starts from
    with pytest.raises(ModelError, match="sees 1 plane on each side along Z; leave neighbours and neighbours_axis out"):
        list(train(run=tmp_path / "none", start=tmp_path / "run", iterations=1, **folders, **OF_RUN, neighbours=2))


def test_neighbours_are_a_start_for_their_own_method_alone() -> None:
    theirs = seeing(1).card
    ours = seeing(1, name="distributional").card
    with pytest.raises(ModelError, match="sees neighbours, which fit its own method alone; leave method out"):
        check_start(theirs, ours)
    check_start(tiny_model(1).card, ours)  # of single planes any is


def test_a_model_that_starts_blind_to_neighbours_answers_as_before() -> None:
    plane, wide = tiny_model(1), seeing(1)
    wide.network.load_state_dict(widened(plane.network.state_dict(), wide.network.state_dict()))
    image, before, after = random(3, 32, 32)
    ours = Restorer(plane, precision="float32").restore(image, steps=2)
    theirs = Restorer(wide, precision="float32").restore(image, around=[before, after], steps=2)
    assert np.abs(ours.astype(int) - theirs.astype(int)).max() <= 1


def test_a_task_that_makes_no_planes_leaves_no_run(tmp_path: Path) -> None:
    folders = write_stacks(tmp_path)
    with pytest.raises(ConfigError, match="makes no stacks of planes"):
        list(train(run=tmp_path / "run", clean=folders["clean"], task="jpeg", neighbours=1, iterations=1))
    assert not (tmp_path / "run").exists()


@pytest.mark.medium
def test_where_a_stack_is_needed_it_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = write_stacks(tmp_path)
    asked = ["train", "--run", str(tmp_path / "run"), "--clean", str(folders["clean"])]
    asked += ["--degraded", str(folders["degraded"]), "--iterations", "1", "--size", "tiny", "--neighbours", "1"]
    assert main(asked) == 0
    assert f"now try: indi restore STACK --model {tmp_path / 'run'}" in capsys.readouterr().err
    assert main(["app", str(tmp_path / "run")]) == 2
    assert "sees neighbours in stacks, and the page takes images" in capsys.readouterr().err
    indi.load(tmp_path / "run").save_pretrained(tmp_path / "hub")
    text = (tmp_path / "hub" / "README.md").read_text(encoding="utf-8")
    assert "indi restore STACK" in text
    assert "1 plane before and after each, along Z" in text
