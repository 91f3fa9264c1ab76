"""Stacks are restored picture by picture, go on after an interruption, and keep what they said of themselves."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile

from indi.data.normalization import Normalisation, Scale
from indi.errors import ImageError
from indi.io import manifest as archive
from indi.io import read
from indi.io.formats.zarr_stack import ZarrStack
from indi.io.stacks import is_stack
from indi.process.sampling import Sampling
from indi.restoration import stacks
from indi.restoration.batch import Job, plan, restore_files
from indi.restoration.restorer import Restorer
from indi.restoration.resuming import begin_work
from indi.restoration.stacks import StackJob
from indi.restoration.uncertainty import Bounds, Calibration
from problems import asking, tiny_calibration, tiny_model

Array = npt.NDArray[Any]


@pytest.fixture(scope="module")
def gray() -> Restorer:
    return Restorer(tiny_model(1, epsilon=0.05), precision="float32", tile=32)


@pytest.fixture(scope="module")
def colour() -> Restorer:
    return Restorer(tiny_model(3, epsilon=0.05), precision="float32", tile=32)


def random(*shape: int, dtype: str = "uint16") -> Array:
    values = np.random.default_rng(0).random(shape)
    return (values * 0.8 * np.iinfo(dtype).max).astype(dtype)


def restore(restorer: Restorer, source: Path, out: Path, **options: Any) -> list[Path]:
    progress = options.pop("progress", None)
    asked = asking(**{"steps": 2, **options})
    (outcome,) = restore_files(restorer, plan([source], out), asked, progress=progress)
    if outcome.error:
        raise outcome.error
    return list(outcome.written)


def test_maps_of_an_ome_file_are_named_as_ome_files(tmp_path: Path, gray: Restorer) -> None:
    tifffile.imwrite(tmp_path / "a.ome.tif", random(2, 24, 24), metadata={"axes": "ZYX"})
    written = restore(gray, tmp_path / "a.ome.tif", tmp_path / "out", samples=2)
    *written, drawn = written
    ends = ["s01", "s02", "mean", "spread", "invented"]
    assert [path.name for path in written] == [f"a_{end}.ome.tif" for end in ends]
    assert drawn.name == "a_overlay.png"
    for path in written:
        with tifffile.TiffFile(path) as file:
            assert file.ome_metadata


@pytest.mark.parametrize("kind", ["inside", "beside"])
def test_smaller_copies_are_left_out_aloud(
    tmp_path: Path, gray: Restorer, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    data = random(1, 64, 64)[0]
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(data, subifds=1 if kind == "inside" else 0, tile=(16, 16))
        file.write(data[::2, ::2], subfiletype=1, tile=(16, 16))
    with caplog.at_level("INFO", "indi"):
        (path,) = restore(gray, tmp_path / "a.tif", tmp_path / "out")
    assert tifffile.imread(path).shape == (64, 64)
    if is_stack(tmp_path / "a.tif", stacks.IN_MEMORY):
        assert "a.tif: only the full resolution is written" in caplog.text


METADATA = {"axes": "TZCYX", "spacing": 0.5, "unit": "um"}


@pytest.mark.medium
def test_each_picture_is_restored_with_noise_of_its_own(tmp_path: Path, gray: Restorer) -> None:
    data = np.repeat(random(1, 1, 1, 40, 50), 6, axis=0).reshape(2, 3, 1, 40, 50)
    tifffile.imwrite(tmp_path / "a.tif", data, imagej=True, metadata=METADATA)
    (written,) = restore(gray, tmp_path / "a.tif", tmp_path / "out")
    with tifffile.TiffFile(written) as file, tifffile.TiffFile(tmp_path / "a.tif") as before:
        assert file.imagej_metadata == before.imagej_metadata
        assert file.series[0].axes == before.series[0].axes
        restored = file.asarray().reshape(6, 40, 50)
    for number, picture in enumerate(data.reshape(6, 40, 50)):
        np.testing.assert_array_equal(restored[number], gray.restore(picture, steps=2, plane=number))
    assert not np.array_equal(restored[0], restored[1])
    np.testing.assert_array_equal(restored[0], gray.restore(data[0, 0, 0], steps=2))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [archive.MANIFEST, "a.tif"]


@pytest.mark.medium
def test_samples_are_stacks_with_their_mean_and_spread(tmp_path: Path, gray: Restorer) -> None:
    data = random(2, 40, 50)
    tifffile.imwrite(tmp_path / "a.tif", data, ome=True, metadata={"axes": "ZYX", "PhysicalSizeX": 0.2})
    *samples, mean, spread, _, drawn = restore(gray, tmp_path / "a.tif", tmp_path / "out", samples=3)
    wanted = np.stack([gray.restore(picture, steps=2, samples=3, plane=k) for k, picture in enumerate(data)], axis=1)
    for path, stack in zip(samples, wanted, strict=True):
        np.testing.assert_array_equal(tifffile.imread(path), stack)
    unit = wanted / 65535
    assert np.abs(tifffile.imread(mean) / 65535 - unit.mean(axis=0)).max() < 1e-5
    assert np.abs(tifffile.imread(spread) / 65535 - unit.std(axis=0)).max() < 1e-6
    with tifffile.TiffFile(spread) as file:
        assert "PhysicalSizeX" in (file.ome_metadata or "")
        assert file.series[0].dtype == np.float32
    picture = read(drawn).pixels
    assert picture.shape[2] == 3
    assert picture.shape[1] > 2 * 240


def test_maps_of_a_stack_of_imagej_say_their_range_and_unit(tmp_path: Path, gray: Restorer) -> None:
    tifffile.imwrite(tmp_path / "a.tif", random(3, 40, 50), imagej=True, metadata={"axes": "ZYX", "max": 9.0})
    *_, spread, invented, _ = restore(gray, tmp_path / "a.tif", tmp_path / "out", samples=2)
    with tifffile.TiffFile(spread) as file:
        found = file.imagej_metadata or {}
        assert found["vunit"] == "counts"
        assert (found["min"], found["max"]) == (0.0, pytest.approx(file.asarray().max(), rel=1e-5))
        assert found["images"] == 3
    with tifffile.TiffFile(invented) as file:
        assert ((file.imagej_metadata or {})["max"], (file.imagej_metadata or {})["vunit"]) == (1.0, "share")


@pytest.mark.medium
@pytest.mark.parametrize("samples", [None, 2])
def test_a_picture_too_large_for_memory_comes_out_the_same(
    tmp_path: Path, gray: Restorer, monkeypatch: pytest.MonkeyPatch, samples: int | None
) -> None:
    data = random(130, 170)
    tifffile.imwrite(tmp_path / "a.tif", data, compression="zlib", tile=(64, 64), software="kept")
    assert not is_stack(tmp_path / "a.tif", stacks.IN_MEMORY)
    whole = restore(gray, tmp_path / "a.tif", tmp_path / "whole", samples=samples)
    monkeypatch.setattr(stacks, "IN_MEMORY", 1000)
    assert is_stack(tmp_path / "a.tif", stacks.IN_MEMORY)
    pieces = restore(gray, tmp_path / "a.tif", tmp_path / "pieces", samples=samples)
    assert len(whole) == len(pieces)
    for one, other in zip(whole, pieces, strict=True):
        before, after = (read(path).pixels.astype(float) for path in (one, other))
        span = 65535 if "spread" in one.name else 1  # in counts
        assert np.abs(before - after).max() <= (1e-5 * span if read(one).pixels.dtype == np.float32 else 1)
    with tifffile.TiffFile(pieces[0]) as file:
        assert file.pages.first.software == "kept"


def test_alpha_goes_over(tmp_path: Path, colour: Restorer, monkeypatch: pytest.MonkeyPatch) -> None:
    data = random(2, 30, 40, 4, dtype="uint8")
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="rgb", extrasamples=["unassalpha"])
    for limit in (stacks.IN_MEMORY, 1000):
        monkeypatch.setattr(stacks, "IN_MEMORY", limit)
        (written,) = restore(colour, tmp_path / "a.tif", tmp_path / "out")
        restored = tifffile.imread(written)
        np.testing.assert_array_equal(restored[..., 3], data[..., 3])
        for number in range(2):
            wanted = colour.restore(data[number, ..., :3], steps=2, plane=number)
            assert np.abs(restored[number, ..., :3].astype(int) - wanted).max() <= 1


def test_an_interrupted_stack_goes_on(tmp_path: Path, gray: Restorer, monkeypatch: pytest.MonkeyPatch) -> None:
    data = random(5, 20, 30)
    tifffile.imwrite(tmp_path / "a.tif", data)
    (whole,) = restore(gray, tmp_path / "a.tif", tmp_path / "whole")
    calls: list[int] = []
    original = Restorer.restore

    def interrupted(self: Restorer, image: Array, **options: Any) -> Array:
        if options["plane"] == 3 and len(calls) == 3:
            raise KeyboardInterrupt
        calls.append(options["plane"])
        return original(self, image, **options)

    monkeypatch.setattr(Restorer, "restore", interrupted)
    with pytest.raises(KeyboardInterrupt):
        restore(gray, tmp_path / "a.tif", tmp_path / "out")
    assert not (tmp_path / "out" / "a.tif").exists()
    (work,) = (tmp_path / "out").glob(".a.tif-*.indi")
    assert json.loads((work / "manifest.json").read_text())["walk"]["steps"] == 2
    (work / "000003-0.1234abcd.part").write_bytes(b"half")  # of what was at work when a kill came
    calls += [-1]
    shares: list[float] = []
    (written,) = restore(gray, tmp_path / "a.tif", tmp_path / "out", progress=shares.append)
    assert calls == [0, 1, 2, -1, 3, 4]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert written.read_bytes() == whole.read_bytes()
    assert not work.exists()


def test_what_another_command_left_is_not_mixed_in(tmp_path: Path, gray: Restorer) -> None:
    data = random(2, 20, 30)
    tifffile.imwrite(tmp_path / "a.tif", data)
    source, target = tmp_path / "a.tif", tmp_path / "out" / "a.tif"
    (three,) = restore(gray, source, tmp_path / "three", steps=3)
    job = StackJob(source, (target,), Sampling(steps=2))
    work, manifest = job.work, job._manifest(gray)
    others: list[dict[str, Any]] = [{"seed": 1}, {"model": "another"}, {"walk": {}}, {"source": []}]
    for changed in others:
        begin_work(work, {**manifest, "walk": {**manifest["walk"], "steps": 3}, **changed})
        (work / "000000-0").write_bytes(np.zeros((20, 30), np.uint16).tobytes())
        restore(gray, source, target.parent, steps=3)
        assert target.read_bytes() == three.read_bytes(), changed


def test_commands_at_once_on_sources_of_one_name_do_not_meet(tmp_path: Path, gray: Restorer) -> None:
    jobs = []
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        tifffile.imwrite(tmp_path / folder / "a.tif", random(2, 20, 30) if folder == "one" else random(2, 20, 30)[::-1])
        jobs.append(StackJob(tmp_path / folder / "a.tif", (tmp_path / "out" / f"{folder}.tif",), Sampling(steps=2)))
    for job in jobs:
        assert job.begin(gray) == [0, 1]
    for number in (0, 1):
        for job in jobs:
            with job.opened() as stack:
                job.restore(gray, stack, number)
    for job in jobs:
        job.finish()
        (alone,) = restore(gray, job.source, tmp_path / "alone" / job.targets[0].stem, steps=2)
        assert job.targets[0].read_bytes() == alone.read_bytes()


def test_work_that_another_command_clears_away_is_an_error(tmp_path: Path, gray: Restorer) -> None:
    tifffile.imwrite(tmp_path / "a.tif", random(2, 20, 30), photometric="minisblack")
    job = StackJob(tmp_path / "a.tif", (tmp_path / "out" / "a.tif",), Sampling(steps=2))
    job.begin(gray)
    with job.opened() as stack:
        job.restore(gray, stack, 0)
    with pytest.raises(ImageError, match=r"000001-0: is gone: does another command work here"):
        job.finish()
    assert not job.targets[0].exists()


def test_channels_that_a_model_gets_one_by_one_are_remarked(
    tmp_path: Path, colour: Restorer, caplog: pytest.LogCaptureFixture
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", random(4, 20, 30), photometric="minisblack")
    with caplog.at_level("WARNING", logger="indi"):
        restore(colour, tmp_path / "a.tif", tmp_path / "out")
    assert "a.tif: its pictures have 1 channel and are restored alone, as gray, by a model of 3" in caplog.text


def volume(folder: Path, pixels: Array) -> Path:
    zarr = pytest.importorskip("zarr")
    zarr.create_array(store=str(folder), data=pixels, chunks=(1, 20, 30), overwrite=True)
    return folder


def test_a_volume_that_was_interrupted_while_it_was_written_goes_on(
    tmp_path: Path, gray: Restorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = volume(tmp_path / "a.zarr", random(2, 20, 30))
    original = ZarrStack.write_like
    written: list[Path] = []

    def interrupted(self: ZarrStack, path: Path, *others: Any) -> None:
        if len(written) == 2:
            written.append(path)
            raise KeyboardInterrupt
        written.append(path)
        original(self, path, *others)

    monkeypatch.setattr(ZarrStack, "write_like", interrupted)
    with pytest.raises(KeyboardInterrupt):
        restore(gray, source, tmp_path / "out", samples=2)
    results = restore(gray, source, tmp_path / "out", samples=2)
    assert len(results) == 6
    assert all(path.is_dir() for path in results[:-1])  # the overlay is a file
    assert len(written) == 6  # no target twice but the one that was interrupted
    (outcome,) = restore_files(gray, plan([source], tmp_path / "out"), asking(steps=2, samples=2))
    assert "is there already" in str(outcome.error)


def test_a_volume_that_changed_in_place_is_not_mixed_with_what_it_was(tmp_path: Path, gray: Restorer) -> None:
    source = volume(tmp_path / "a.zarr", random(2, 20, 30))
    job = StackJob(source, (tmp_path / "out" / "a.zarr",), Sampling(steps=2))
    with job.opened() as stack:
        job.begin(gray)
        job.restore(gray, stack, 0)
    assert job.begin(gray) == [1]
    volume(source, random(2, 20, 30)[::-1])
    assert job.begin(gray) == [0, 1]


def test_a_damaged_file_of_the_work_is_made_again(tmp_path: Path, gray: Restorer) -> None:
    tifffile.imwrite(tmp_path / "a.tif", random(3, 20, 30), photometric="minisblack")
    (whole,) = restore(gray, tmp_path / "a.tif", tmp_path / "whole", samples=None)
    job = StackJob(tmp_path / "a.tif", (tmp_path / "out" / "a.tif",), Sampling(steps=2))
    with job.opened() as stack:
        for number in job.begin(gray):
            job.restore(gray, stack, number)
    assert job.begin(gray) == []
    (job.work / "000001-0").write_bytes(b"cut short")
    assert job.begin(gray) == [1]
    (written,) = restore(gray, tmp_path / "a.tif", tmp_path / "out")
    assert written.read_bytes() == whole.read_bytes()


def test_intensities_far_from_training_are_remarked_once(
    tmp_path: Path, gray: Restorer, caplog: pytest.LogCaptureFixture
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.full((3, 20, 30), 400, np.float32), photometric="minisblack")
    restorer = Restorer(gray.model, precision="float32")
    with caplog.at_level("WARNING", logger="indi"):
        restore(restorer, tmp_path / "a.tif", tmp_path / "out")
    assert caplog.text.count("far from those of training: their mean is 400") == 1
    caplog.clear()
    tifffile.imwrite(tmp_path / "b.tif", random(3, 20, 30), photometric="minisblack")
    restore(restorer, tmp_path / "b.tif", tmp_path / "out")
    assert not caplog.text


def test_an_image_of_another_type_than_the_counts_of_training_is_remarked(caplog: pytest.LogCaptureFixture) -> None:
    """Counts in floats were trained on, and the same in 16 bit come: all lie in one place of the model's scale."""
    scale = Scale(offset=(394.0,), scale=(2413.0,))
    first = tiny_model(1)
    card = first.card.model_copy(update={"normalisation": Normalisation(clean=scale, degraded=scale)})
    counts = np.random.default_rng(0).integers(0, 1900, (20, 30))
    for dtype, warnings in ((np.float32, 0), (np.uint16, 1)):
        with caplog.at_level("WARNING", logger="indi"):
            Restorer(replace(first, card=card), precision="float32").restore(counts.astype(dtype), steps=1)
        assert caplog.text.count("they spread over a thousandth of what is meant") == warnings


def test_a_cut_stack_is_an_error_and_leaves_nothing(tmp_path: Path, gray: Restorer) -> None:
    tifffile.imwrite(tmp_path / "a.tif", random(5, 40, 50), compression="zlib", photometric="minisblack")
    data = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(ImageError, match=r"a\.tif"):
        restore(gray, tmp_path / "a.tif", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_does_not_fit_is_named(tmp_path: Path, gray: Restorer) -> None:
    tifffile.imwrite(tmp_path / "a.tif", random(2, 20, 30, 3, dtype="uint8"), photometric="rgb")
    with pytest.raises(ImageError, match=r"a\.tif: picture 1 of 2: this image: it is in colour, and gray is needed"):
        restore(gray, tmp_path / "a.tif", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
    tifffile.imwrite(tmp_path / "b.tif", random(2, 20, 30))
    with pytest.raises(ImageError, match=r"written as \.tif"):
        restore(gray, tmp_path / "b.tif", tmp_path / "out.png")
    with pytest.raises(ImageError, match="stacks are not enlarged"):
        restore(gray, tmp_path / "b.tif", tmp_path / "out", enlarged=2)


def test_a_calibrated_stack_has_intervals_in_counts_and_a_mask_of_what_is_trusted(
    tmp_path: Path, gray: Restorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", random(2, 40, 50), imagej=True, metadata={"axes": "ZYX"})
    bounds = Bounds(psnr_margin=-1.0, trusted_up_to=0.5, trusted=0.5, check={})
    fit = tiny_calibration(weights=gray.fingerprint, guaranteed=3.0, bounds=bounds, samples=2, steps=2)
    monkeypatch.setattr(gray, "calibration", fit)
    *_, spread, interval, invented, trusted, drawn = restore(gray, tmp_path / "a.tif", tmp_path / "out", samples=2)
    assert [path.name for path in (trusted, drawn)] == ["a_trusted.tif", "a_overlay.png"]
    spreads, intervals = (tifffile.imread(path).astype(float) for path in (spread, interval))
    np.testing.assert_allclose(intervals, 3 * np.hypot(spreads, 0.001 * 65535), rtol=1e-4)
    np.testing.assert_array_equal(tifffile.imread(trusted), tifffile.imread(invented) <= 0.5)


def test_the_job_of_a_calibrated_stack_is_a_key() -> None:
    """A cluster keeps tasks by it, and what a calibration holds has no hash."""
    held: dict[str, Any] = {"check": {"plain": None}, "times": [1.0, 0.0]}
    calibration = Calibration.model_construct(**held)
    asked = asking(steps=1, samples=2)
    job = Job(Path("a.tif"), Path("out/a.tif"))
    one, other = (asked.stack(job, Restorer(tiny_model(1)), calibration) for _ in range(2))
    assert len({one: 0, other: 1}) == 2
