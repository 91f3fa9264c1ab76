"""What the page does, without the page: restoring, training, measuring, and visitors kept apart."""

import math
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import ExifTags, ImageOps
from PIL import Image as Pillow

from indi.app import measuring, restoring, training
from indi.app.session import Session, Task
from indi.config import MethodSettings
from indi.errors import ConfigError, DataError, ImageError
from indi.io import Image, Metadata, Resolution, read, write
from indi.io.pixel_size import pixel_size
from indi.models.checkpoint import save_model
from indi.models.pretrained import pretrained_names
from indi.restoration.restorer import Restorer, load
from indi.training.run import Record, train
from problems import tiny_model, write_pairs


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    save_model(tiny_model(1, epsilon=0.05), folder)
    return folder


@pytest.fixture(scope="module")
def drawing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawing")
    save_model(tiny_model(1, name="distributional"), folder)
    return folder


@pytest.fixture
def session(run: Path, drawing: Path) -> Iterator[Session]:
    session = Session({"mine": run, "draws": drawing})
    yield session
    session.close()


def zipped(folder: Path) -> Path:
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in folder.iterdir():
            archive.write(file, file.name)
    return path


def restored(session: Session, upload: Path, **options: Any) -> list[restoring.Progress]:
    asked = {"model": "mine", "steps": 3, "samples": 1, "enlarged": 1, **options}
    return list(restoring.restore(session, Task(), upload, **asked))


def test_an_image_comes_back_as_the_library_restores_it(session: Session, run: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 65536, (30, 41), np.uint16)
    upload = tmp_path / "slide 1.tif"
    write(upload, Image(pixels, None, Metadata(resolution=Resolution(300, 300, "inch"))))
    *steps, last = restored(session, upload)
    shares = [step.share for step in (*steps, last)]
    assert shares == sorted(shares)
    states = [step for before, step in pairwise(steps) if len(step.steps) > len(before.steps)]
    assert [round(step.share, 3) for step in (*states, last)] == [0, 0.333, 0.667, 1, 1]
    assert [step.note for step in (steps[0], steps[-1], last)] == ["reading", "writing", "done"]
    assert {"step 1 of 3", "step 2 of 3", "step 3 of 3"} <= {step.note for step in steps}
    assert [text for _, text in last.steps] == ["degraded", "step 1", "step 2", "step 3"]
    (file,) = last.files
    assert file.name == "slide 1-restored.tif"
    assert file.is_relative_to(session.folder)
    np.testing.assert_array_equal(read(file).pixels, load(run).restore(pixels, steps=3))
    assert tifffile.imread(file).dtype == np.uint16
    assert read(file).metadata.resolution == Resolution(300, 300, "inch")
    assert last.before is not None
    assert last.after is not None
    assert read(last.before).pixels.shape == read(last.after).pixels.shape == (30, 41, 3)


def test_samples_give_their_mean_spread_and_maps(session: Session, run: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 41), np.uint8)
    write(tmp_path / "a.png", Image(pixels))
    last = restored(session, tmp_path / "a.png", samples=2)[-1]
    assert [file.name for file in last.files] == [
        "a-restored_s01.png",
        "a-restored_s02.png",
        "a-restored_mean.png",
        "a-restored_spread.tif",
        "a-restored_invented.tif",
        "a-restored_overlay.png",
    ]
    for file, wanted in zip(last.files, load(run).restore(pixels, steps=3, samples=2), strict=False):
        np.testing.assert_array_equal(read(file).pixels, wanted)
    assert [text for _, text in last.samples] == ["sample 1", "sample 2"]
    assert last.spread is not None
    picture, legend = last.spread
    spread = read(last.files[3]).pixels / 255
    brightest = np.quantile(spread, 0.999)
    np.testing.assert_allclose(read(picture).pixels[..., 0], (spread / brightest).clip(0, 1) * 255, atol=0.6)
    assert f"{brightest:.1%}" in legend


def test_an_upload_is_opened_by_readers_alone(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pages of all visitors hang on this process, and a file may take for ever or end what decodes it."""
    upload = tmp_path / "slide.tif"
    pixels = np.random.default_rng(0).integers(0, 256, (30, 41), np.uint8)
    tifffile.imwrite(upload, pixels, imagej=True, metadata={"unit": "um"}, resolution=(4, 4))
    open_, opened = Path.open, set()

    def noted(path: Path, *arguments: Any, **options: Any) -> Any:
        opened.add(path)
        return open_(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", noted)
    restoring.look(session, upload)
    last = restored(session, upload, samples=2)[-1]
    assert upload not in opened
    assert pixel_size(last.files[0]) == 0.25
    assert last.files[0] in opened


@pytest.mark.parametrize("realism", [0.0, 0.6, None])
def test_a_model_that_draws_is_restored_by_its_dial(
    session: Session, drawing: Path, tmp_path: Path, realism: float | None
) -> None:
    pixels = np.random.default_rng(0).integers(0, 65536, (30, 41), np.uint16)
    write(tmp_path / "a.tif", Image(pixels))
    *steps, last = restored(session, tmp_path / "a.tif", model="draws", realism=realism, strength=0.5, seed=7)
    wanted = load(drawing).restore(pixels, realism=realism, seed=7)  # one step at full strength, whatever they say
    np.testing.assert_array_equal(read(last.files[0]).pixels, wanted)
    assert {step.note for step in steps} == {"reading", "drawing", "writing"}
    assert last.steps == ()


def test_the_dial_changes_the_image_and_is_ignored_where_there_is_none(session: Session, tmp_path: Path) -> None:
    write(tmp_path / "a.png", Image(np.random.default_rng(0).integers(0, 256, (30, 41), np.uint8)))

    def at(model: str, realism: float | None) -> Any:
        return read(restored(session, tmp_path / "a.png", model=model, realism=realism)[-1].files[0]).pixels

    assert (at("draws", 0.0) != at("draws", 1.0)).any()
    np.testing.assert_array_equal(at("mine", 1.0), at("mine", None))


def test_samples_of_a_model_that_draws_are_drawn_as_the_dial_says(
    session: Session, drawing: Path, tmp_path: Path
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 41), np.uint8)
    write(tmp_path / "a.png", Image(pixels))
    *steps, last = restored(session, tmp_path / "a.png", model="draws", realism=0.6, samples=2)
    for file, wanted in zip(last.files, load(drawing).restore(pixels, realism=0.6, samples=2), strict=False):
        np.testing.assert_array_equal(read(file).pixels, wanted)
    assert [file.name for file in last.files[:3]] == ["a-restored_s01.png", "a-restored_s02.png", "a-restored_mean.png"]
    assert {"drawing sample 1 of 2", "drawing sample 2 of 2"} <= {step.note for step in steps}
    assert [text for _, text in last.samples] == ["sample 1", "sample 2"]
    with pytest.raises(ConfigError, match="at realism 0 samples would all be equal"):
        restored(session, tmp_path / "a.png", model="draws", realism=0.0, samples=2)


@pytest.mark.medium
def test_which_models_draw_is_known_without_their_weights(
    session: Session, drawing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.safetensors").write_bytes(b"no model")
    served = {"file": drawing / "model.safetensors", "broken": tmp_path / "broken.safetensors", "gone": tmp_path / "x"}
    other = Session(served)
    monkeypatch.setattr(session, "restorer", None)
    monkeypatch.setattr(other, "restorer", None)
    assert [session.draws(name) for name in ("draws", "mine", "nobody's", None)] == [True, False, False, False]
    assert [other.draws(name) for name in served] == [True, False, False]
    for name in pretrained_names():
        assert session.draws(name) == load(name).method.draws
    assert session.draws(session.add_model(drawing))
    other.close()


@pytest.mark.parametrize("held", range(1, 9))
def test_a_photograph_is_shown_upright_and_written_as_it_lies(session: Session, tmp_path: Path, held: int) -> None:
    exif = Pillow.Exif()
    exif[ExifTags.Base.Orientation] = held
    lying = np.random.default_rng(0).integers(0, 256, (30, 41), np.uint8)
    Pillow.fromarray(lying).save(tmp_path / "a.png", exif=exif)
    with Pillow.open(tmp_path / "a.png") as picture:
        upright = np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
    before, *size = restoring.look(session, tmp_path / "a.png")
    assert tuple(size) == upright.shape[:2]
    np.testing.assert_array_equal(read(before).pixels, upright)
    last = restored(session, tmp_path / "a.png", steps=1)[-1]
    assert last.before is not None
    assert last.after is not None
    np.testing.assert_array_equal(read(last.before).pixels, upright)
    assert read(last.steps[0][0]).pixels.shape == upright.shape
    assert read(last.after).pixels.shape == upright.shape
    (file,) = last.files
    assert read(file).pixels.shape == lying.shape
    with Pillow.open(file) as picture:
        assert picture.getexif()[ExifTags.Base.Orientation] == held
        np.testing.assert_array_equal(
            np.asarray(ImageOps.exif_transpose(picture).convert("RGB")), read(last.after).pixels
        )


def test_enlarged_first(session: Session, tmp_path: Path) -> None:
    write(tmp_path / "a.png", Image(np.full((10, 12), 99, np.uint8)))
    last = restored(session, tmp_path / "a.png", enlarged=4)[-1]
    assert read(last.files[0]).pixels.shape == (40, 48)


def test_a_visitor_can_stop_it(session: Session, tmp_path: Path) -> None:
    write(tmp_path / "a.png", Image(np.full((10, 12), 99, np.uint8)))
    task = Task()
    work = restoring.restore(session, task, tmp_path / "a.png", "mine", steps=50, samples=1, enlarged=1)
    next(step for step in work if step.steps)
    task.stopping.set()
    *_, last = work
    assert last.note == "stopped at step 1 of 50"
    assert not last.files
    assert restored(session, tmp_path / "a.png")[-1].note == "done"  # and begin again


class Impatient(Event):
    """Is set once it was asked a few times."""

    asked = 0

    def is_set(self) -> bool:
        self.asked += 1
        return self.asked >= 3


def test_a_step_is_left_between_two_tiles(session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "restorer", lambda name: Restorer(tiny_model(1), tile=16))
    write(tmp_path / "a.png", Image(np.full((64, 64), 99, np.uint8)))
    task = Task()
    task.stopping = Impatient()
    work = restoring.restore(session, task, tmp_path / "a.png", "mine", steps=1, samples=1, enlarged=1)
    *_, last = work
    assert last.note == "stopped at step 1 of 1"
    assert task.stopping.asked == 3  # of 16 tiles


def test_a_draw_is_left_between_two_tiles(session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    restorer = Restorer(tiny_model(1, name="distributional"), tile=16)
    monkeypatch.setattr(session, "restorer", lambda name: restorer)
    write(tmp_path / "a.png", Image(np.full((64, 64), 99, np.uint8)))
    task = Task()
    task.stopping = Impatient()
    *_, last = restoring.restore(session, task, tmp_path / "a.png", "draws", steps=1, samples=2, enlarged=1)
    assert last.note == "stopped while drawing sample 1 of 2"
    assert not last.files


def test_a_visitor_who_is_gone_is_not_worked_for(session: Session, tmp_path: Path) -> None:
    write(tmp_path / "a.png", Image(np.full((10, 12), 99, np.uint8)))
    task = Task()
    work = restoring.restore(session, task, tmp_path / "a.png", "mine", steps=50, samples=1, enlarged=1)
    next(step for step in work if step.steps)
    work.close()  # type: ignore[attr-defined]
    assert task.stopping.is_set()


def test_too_many_samples_of_a_large_image_are_refused(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "a.png", Image(np.full((10, 10), 99, np.uint8)))
    monkeypatch.setattr(restoring, "MOST_TOGETHER", 350)
    assert restored(session, tmp_path / "a.png", samples=3)[-1].note == "done"
    with pytest.raises(ConfigError, match="4 samples of 0 megapixels are too much here; take 3 at most"):
        restored(session, tmp_path / "a.png", samples=4)


def test_photographs_are_the_first_choice(run: Path) -> None:
    session = Session({"mine": run})
    names = session.models()
    assert names[0] == "photo"
    assert sorted(names) == sorted([*pretrained_names(), "mine"])
    session.close()


def test_work_waits_runs_is_stopped_and_is_done(session: Session) -> None:
    assert not session.stop("train")  # of which there is none
    assert session.ask("train")
    assert session.stop("train")  # while it waits
    with session.working("train") as task:
        assert task.stopping.is_set()
        assert not session.ask("train")  # one at a time
    assert not session.stop("train")
    with session.working("train") as another:
        assert another is not task
        assert not another.stopping.is_set()
        session.drop("train")
        assert another.is_unwanted
        assert another.stopping.is_set()
    assert session.ask("train")


def test_new_work_waits_for_dropped_work_to_end(session: Session) -> None:
    with ThreadPoolExecutor() as pool:
        with session.working("restore"):
            session.drop("restore")
            asked = pool.submit(session.ask, "restore")
            assert not wait([asked], 0.2).done
        assert asked.result()


def test_what_cannot_be_restored_is_said(session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good, broken = tmp_path / "good.png", tmp_path / "broken.png"
    write(good, Image(np.full((10, 12), 99, np.uint8)))
    broken.write_bytes(good.read_bytes()[:50])
    with pytest.raises(ImageError, match=r"broken\.png"):
        restored(session, broken)
    for options in ({"steps": 51}, {"samples": 9}, {"enlarged": 3}):
        with pytest.raises(ConfigError, match="steps go from 1 to 50"):
            restored(session, good, **options)
    with pytest.raises(ConfigError, match="steps is 0; give 1 or more"):
        restored(session, good, steps=0)
    for realism in (-0.1, 1.1, math.nan):
        for model in ("mine", "draws"):
            with pytest.raises(ConfigError, match=r"realism is .*; give 0, the least error, to 1"):
                restored(session, good, model=model, realism=realism)
    monkeypatch.setattr(restoring, "MOST_PIXELS", 16 * 119)
    with pytest.raises(
        ConfigError, match=r"0\.0 megapixels once enlarged are too much here, 0 at most; take indi restore"
    ):
        restored(session, good, enlarged=4)
    assert not list(session.folder.rglob("*.png"))


@pytest.mark.parametrize("name", [None, "", "/etc/passwd", "../mine", "yours, 1"])
def test_only_what_is_offered_is_opened(session: Session, tmp_path: Path, name: str | None) -> None:
    write(tmp_path / "a.png", Image(np.full((10, 12), 99, np.uint8)))
    with pytest.raises(ConfigError, match="choose a model first"):
        list(restoring.restore(session, Task(), tmp_path / "a.png", name, steps=1, samples=1, enlarged=1))


@pytest.mark.medium
def test_a_model_is_trained_from_archives_for_its_visitor_alone(session: Session, run: Path, tmp_path: Path) -> None:
    folders = write_pairs(tmp_path, count=6, size=(64, 64))
    clean, degraded = zipped(folders["clean"]), zipped(folders["degraded"])
    other = Session({"mine": run})
    steps = list(training.train(session, Task(), clean, degraded, None, minutes=0.02, size="tiny"))
    assert steps[0].note == "unpacking"
    assert all(before.share <= after.share for before, after in pairwise(steps))
    last = steps[-1]
    assert last.model == "yours, 1"
    assert last.preview is not None
    assert last.losses[0][0] == 1
    assert last.file is not None
    assert load(last.file).card.channels == 1
    assert session.models()[0] == "yours, 1"
    assert session.restorer("yours, 1").card.iterations >= last.losses[-1][0]
    with pytest.raises(ConfigError):
        other.restorer("yours, 1")
    other.close()
    assert not other.folder.exists()
    assert session.folder.exists()


@pytest.mark.medium
@pytest.mark.parametrize("method", ["distributional", "indi"])
def test_a_model_is_trained_by_the_method_that_is_chosen(session: Session, tmp_path: Path, method: str) -> None:
    clean = zipped(write_pairs(tmp_path, count=6, size=(64, 64))["clean"])
    *_, last = training.train(session, Task(), clean, None, "denoise", minutes=0.02, size="tiny", method=method)
    assert session.restorer(last.model).card.method.name == method
    assert session.draws(last.model) == (method == "distributional")
    assert last.preview is not None


@pytest.mark.medium
def test_without_a_choice_it_is_trained_as_the_library_does(session: Session, tmp_path: Path) -> None:
    clean = zipped(write_pairs(tmp_path, count=6, size=(64, 64))["clean"])
    *_, last = training.train(session, Task(), clean, None, "denoise", minutes=0.02, size="tiny")
    assert session.restorer(last.model).card.method.name == MethodSettings().name
    with pytest.raises(ConfigError, match="unknown method 'magic'"):
        list(training.train(session, Task(), clean, None, "denoise", minutes=0.02, size="tiny", method="magic"))


@pytest.mark.medium
def test_a_training_that_is_stopped_is_kept(session: Session, tmp_path: Path) -> None:
    folders = write_pairs(tmp_path, count=6, size=(64, 64), channels=3)
    task = Task()
    work = training.train(session, task, zipped(folders["clean"]), None, "denoise", minutes=60, size="tiny")
    next(step for step in work if step.losses)
    task.stopping.set()
    (last,) = work
    assert last.model == "yours, 1"
    assert session.restorer(last.model).card.task == "denoise"
    with pytest.raises(ConfigError, match="up to 60"):
        next(training.train(session, task, tmp_path, None, "denoise", minutes=61, size="tiny"))


@pytest.mark.medium
def test_a_loss_that_is_not_finite_is_left_out_of_the_curve(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = write_pairs(tmp_path, count=6, size=(64, 64))

    def skipping(**options: Any) -> Iterator[Record]:
        for record in train(**options):
            yield replace(record, loss=math.nan) if record.iteration in (1, 3) else record

    monkeypatch.setattr(training, "train_run", skipping)
    *_, last = training.train(session, Task(), zipped(folders["clean"]), None, "denoise", minutes=0.02, size="tiny")
    assert [number for number, _ in last.losses[:3]] == [2, 4, 5]
    assert all(math.isfinite(loss) for _, loss in last.losses)


def test_archives_that_do_not_fit_are_said(session: Session, tmp_path: Path) -> None:
    folders = write_pairs(tmp_path, count=3, size=(64, 64))
    for number, file in enumerate(folders["degraded"].iterdir()):
        file.rename(file.with_name(f"other{number}.png"))
    clean, degraded = zipped(folders["clean"]), zipped(folders["degraded"])
    with pytest.raises(DataError):
        list(training.train(session, Task(), clean, degraded, None, minutes=1, size="tiny"))


@pytest.mark.medium
def test_pairs_are_measured(session: Session, tmp_path: Path) -> None:
    folders = write_pairs(tmp_path, count=2, size=(64, 64))
    clean, degraded = zipped(folders["clean"]), zipped(folders["degraded"])
    *steps, last = measuring.measure(session, Task(), "mine", clean, degraded, None, steps=(1, 3))
    assert steps[-1].share == 1
    assert [row[0] for row in last.table] == ["steps", "degraded", "1", "3"]
    assert last.curve is not None
    assert last.report is not None
    assert last.report.read_text(encoding="utf-8").startswith("<!doctype html>")
    task = Task()
    work = measuring.measure(session, task, "mine", clean, None, "denoise", steps=(1,))
    next(step for step in work if step.share > 0)
    task.stopping.set()
    assert [step.note for step in work] == ["stopped"]
    with pytest.raises(ConfigError, match="numbers of steps go from 1 to 50"):
        next(measuring.measure(session, task, "mine", clean, degraded, None, steps=(0,)))


@pytest.mark.medium
def test_a_model_that_draws_is_measured_over_its_dial(session: Session, tmp_path: Path) -> None:
    folders = write_pairs(tmp_path, count=2, size=(64, 64))
    clean, degraded = zipped(folders["clean"]), zipped(folders["degraded"])
    *steps, last = measuring.measure(session, Task(), "draws", clean, degraded, None, steps=None)
    assert steps[-1].share == 1
    assert last.table[0][:2] == ["steps", "realism"]
    dial = [["1", "0"], ["1", "0.25"], ["1", "0.5"], ["1", "0.75"], ["1", "1"]]
    assert [row[:2] for row in last.table[1:]] == [["degraded", ""], *dial]
    assert last.curve is not None
    assert last.report is not None
    assert last.report.is_file()
