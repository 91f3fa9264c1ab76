import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from indi.data import Pair, load_test_pair, match_pairs
from indi.degradations import DEGRADATIONS
from indi.errors import ConfigError, ImageError
from indi.io import Image, Metadata, Resolution, from_unit, read, span_of, to_unit, write
from indi.io.manifest import MANIFEST
from indi.restoration.batch import Job, degrade_files, plan, restore_files
from indi.restoration.outputs import Restoration
from indi.restoration.restorer import Restorer
from problems import asking, tiny_model


def pixels(channels: int = 1, dtype: str = "uint8", seed: int = 0) -> NDArray[np.generic]:
    shape = (20, 27) if channels == 1 else (20, 27, channels)
    values = np.random.default_rng(seed).random(shape, dtype=np.float32)
    return from_unit(values * 0.8 + 0.1, dtype)


def save(path: Path, channels: int = 1, dtype: str = "uint8", seed: int = 0) -> Path:
    write(path, Image(pixels(channels, dtype, seed)))
    return path


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir() if file.name != MANIFEST)


def test_folders_and_files_keep_their_names(tmp_path: Path) -> None:
    for name in ("2.png", "10.png", "1.jpg"):
        save(tmp_path / "in" / name)
    other = save(tmp_path / "other.tif")
    jobs = plan([tmp_path / "in", other], tmp_path / "out")
    assert [job.target.name for job in jobs] == ["1.jpg", "2.png", "10.png", "other.tif"]
    assert all(job.target.parent == tmp_path / "out" for job in jobs)
    assert [job.source.name for job in jobs] == [job.target.name for job in jobs]


def test_out_is_a_file_for_one_input_with_an_image_suffix(tmp_path: Path) -> None:
    one, two = save(tmp_path / "one.png"), save(tmp_path / "two.png")
    assert plan([one], tmp_path / "x.TIF") == [Job(one, tmp_path / "x.TIF")]
    assert plan([one], tmp_path / "x.d") == [Job(one, tmp_path / "x.d" / "one.png")]
    (tmp_path / "folder.png").mkdir()
    assert plan([one], tmp_path / "folder.png") == [Job(one, tmp_path / "folder.png" / "one.png")]
    assert plan([one, two], tmp_path / "folder.png")[1] == Job(two, tmp_path / "folder.png" / "two.png")


@pytest.mark.parametrize("name", ["x.png", "x.TIF", "x.zarr"])
def test_no_folder_is_made_whose_name_is_that_of_an_image(tmp_path: Path, name: str) -> None:
    for image in ("one.png", "two.png"):
        save(tmp_path / "in" / image)
    with pytest.raises(ConfigError, match=rf"{name}: names one file, and there are 2 inputs; give --out a folder"):
        plan([tmp_path / "in"], tmp_path / name)
    assert not (tmp_path / name).exists()


def test_a_kind_of_file_that_is_not_written_is_refused(tmp_path: Path) -> None:
    one = save(tmp_path / "one.png")
    for suffix in ("gif", "bmp", "heic"):
        with pytest.raises(ConfigError, match=rf"x\.{suffix}: \.{suffix} files are not written; use \.avif, \.jpeg"):
            plan([one], tmp_path / f"x.{suffix}")
    (tmp_path / "album.gif").mkdir()
    assert plan([one], tmp_path / "album.gif")[0].target.parent == tmp_path / "album.gif"


def test_a_kind_that_is_read_alone_becomes_png(tmp_path: Path) -> None:
    for name in ("a.gif", "b.BMP", "c.webp"):
        (tmp_path / name).write_bytes(b"")
    targets = [job.target.name for job in plan([tmp_path], tmp_path / "out")]
    assert targets == ["a.png", "b.png", "c.webp"]


def test_inputs_of_one_name_are_refused(tmp_path: Path) -> None:
    paths = [save(tmp_path / folder / "same.png") for folder in "ab"]
    with pytest.raises(ConfigError, match=r"2 inputs are named same\.png"):
        plan(paths, tmp_path / "out")
    with pytest.raises(ConfigError, match="no input"):
        plan([], tmp_path / "out")


def test_an_empty_folder_is_reported_and_the_rest_goes_on(tmp_path: Path, gray: Restorer) -> None:
    (tmp_path / "empty").mkdir()
    good = save(tmp_path / "good.png", 1)
    outcomes = list(restore_files(gray, plan([tmp_path / "empty", good], tmp_path / "out"), asking(steps=1)))
    assert [outcome.source for outcome in outcomes] == [good, tmp_path / "empty"]
    assert outcomes[0].written == (tmp_path / "out" / "good.png",)
    assert isinstance(outcomes[1].error, ImageError)
    assert "no images in this folder" in str(outcomes[1].error)


def test_what_of_a_folder_is_passed_over_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    album = tmp_path / "album"
    save(album / "one.png")
    with caplog.at_level("INFO", logger="indi"):
        assert len(plan([album], tmp_path / "out")) == 1
        assert caplog.messages == []
        for name in ("a.JXL", "b.jxl", "clip.mp4", "notes", ".hidden.webp"):
            (album / name).write_bytes(b"")
        (album / "more").mkdir()
        assert len(plan([album], tmp_path / "out")) == 1
    (line,) = caplog.messages
    start, _, kinds = line.partition(": passed over: 2 .jxl (a.JXL, b.jxl), ")
    assert start == str(album)
    assert sorted(kinds.split(", ")) == ["1 .mp4 (clip.mp4)", "1 file without suffix (notes)", "1 folder (more)"]
    (album / "gone.png").symlink_to(tmp_path / "gone.png")
    caplog.clear()
    with caplog.at_level("INFO", logger="indi"):
        assert len(plan([album], tmp_path / "out")) == 1
    assert "1 link to nowhere (gone.png)" in caplog.text
    (album / "one.png").unlink()
    caplog.clear()
    with caplog.at_level("INFO", logger="indi"):
        (job,) = plan([album], tmp_path / "out")
    assert "no images in this folder" in str(job.error)
    assert "passed over: 2 .jxl" in caplog.text


def test_an_image_too_large_for_memory_is_reported_and_the_rest_goes_on(
    tmp_path: Path, gray: Restorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [save(tmp_path / name, 1) for name in ("a.png", "b.png")]
    restore = gray.restore
    asked: list[int] = []

    def first_fails(*arguments: Any, **options: Any) -> Any:
        asked.append(1)
        if len(asked) == 1:
            raise RuntimeError("can't allocate memory: you tried to allocate 99999999999 bytes")
        return restore(*arguments, **options)

    monkeypatch.setattr(gray, "restore", first_fails)
    first, second = restore_files(gray, plan(paths, tmp_path / "out"), asking(steps=1))
    assert "does not fit in memory" in str(first.error)
    assert second.error is None


def test_colour_that_is_gray_everywhere_goes_through_a_gray_model(tmp_path: Path, gray: Restorer) -> None:
    pixels = np.repeat(np.arange(64, dtype=np.uint8).reshape(8, 8, 1), 3, axis=2)
    write(tmp_path / "x.png", Image(pixels))
    (outcome,) = restore_files(gray, plan([tmp_path / "x.png"], tmp_path / "out"), asking(steps=1))
    assert outcome.error is None
    assert read(tmp_path / "out" / "x.png").pixels.shape == (8, 8, 3)


@pytest.mark.parametrize(
    ("name", "channels", "dtype"),
    [("x.jpg", 3, "uint8"), ("x.png", 3, "uint16"), ("x.png", 1, "uint8"), ("x.tif", 3, "float32")],
)
def test_what_goes_in_comes_out(
    tmp_path: Path, gray: Restorer, colour: Restorer, name: str, channels: int, dtype: str
) -> None:
    save(tmp_path / name, channels, dtype)
    restorer = gray if channels == 1 else colour
    (outcome,) = restore_files(restorer, plan([tmp_path / name], tmp_path / "out"), asking(steps=2, seed=5))
    assert outcome.error is None
    assert outcome.written == (tmp_path / "out" / name,)
    before, after = read(tmp_path / name), read(tmp_path / "out" / name)
    wanted = restorer.restore(before.pixels, steps=2, seed=5)
    assert after.pixels.dtype == dtype
    if name == "x.jpg":
        assert (tmp_path / "out" / name).read_bytes()[:3] == b"\xff\xd8\xff"
        write(tmp_path / "wanted.jpg", replace(before, pixels=wanted))
        np.testing.assert_array_equal(after.pixels, read(tmp_path / "wanted.jpg").pixels)
    else:
        np.testing.assert_array_equal(after.pixels, wanted)
        assert not np.array_equal(after.pixels, before.pixels)


@pytest.mark.parametrize("what", ["restore", "degrade"])
def test_alpha_and_metadata_go_over(tmp_path: Path, colour: Restorer, what: str) -> None:
    metadata = Metadata(resolution=Resolution(3000, 2000, "metre"), exif=exif("a camera"))
    image = Image(pixels(3, "uint16"), pixels(1, "uint16", seed=1), metadata)
    write(tmp_path / "x.png", image)
    jobs = plan([tmp_path / "x.png"], tmp_path / "out")
    outcomes = (
        restore_files(colour, jobs, asking(steps=1)) if what == "restore" else degrade_files(jobs, task="denoise")
    )
    assert [outcome.error for outcome in outcomes] == [None]
    before, after = read(tmp_path / "x.png"), read(tmp_path / "out/x.png")
    assert before.alpha is not None
    assert after.alpha is not None
    np.testing.assert_array_equal(after.alpha, before.alpha)
    assert after.metadata.resolution == before.metadata.resolution == metadata.resolution
    assert after.metadata.exif == before.metadata.exif
    assert b"a camera" in (after.metadata.exif or b"")
    assert not np.array_equal(after.pixels, before.pixels)


def exif(make: str) -> bytes:
    from PIL.Image import Exif

    tags = Exif()
    tags[0x010F] = make
    return tags.tobytes().removeprefix(b"Exif\0\0")


def test_an_input_is_never_written_over(tmp_path: Path, gray: Restorer) -> None:
    image = save(tmp_path / "x.png")
    before = image.read_bytes()
    (tmp_path / "linked").mkdir()
    os.link(image, tmp_path / "linked" / "x.png")
    for out in (tmp_path, tmp_path / "x.png", tmp_path / "linked"):
        (outcome,) = restore_files(gray, plan([image], out), asking(steps=1))
        assert "choose another --out" in str(outcome.error)
    assert image.read_bytes() == before

    sampled = [image, save(tmp_path / "x_s01.png", seed=1)]  # the second is what the first would write
    before = sampled[1].read_bytes()
    first, second = restore_files(gray, plan(sampled, tmp_path), asking(steps=1, samples=1))
    assert "x_s01.png: is an input" in str(first.error)
    assert sampled[1].read_bytes() == before
    assert second.error is None
    assert second.written[0].name == "x_s01_s01.png"


def test_what_one_input_gave_is_not_written_over_by_the_next(tmp_path: Path, gray: Restorer) -> None:
    """Both would write their spread to x_spread.tif."""
    paths = [save(tmp_path / "x.png"), save(tmp_path / "x.tif", seed=1)]
    first, second = restore_files(gray, plan(paths, tmp_path / "out"), asking(steps=1, samples=2))
    assert first.error is None
    assert "x_spread.tif: is an input or was just written" in str(second.error)
    assert names(tmp_path / "out") == [
        "x_invented.tif",
        "x_mean.png",
        "x_overlay.png",
        "x_s01.png",
        "x_s02.png",
        "x_spread.tif",
    ]
    again, _ = restore_files(gray, plan(paths, tmp_path / "out"), asking(steps=1, samples=2))
    assert again.error is None  # an earlier run's results are replaced


@pytest.mark.parametrize(("dtype", "suffix"), [("uint8", "png"), ("uint16", "png"), ("float32", "tif")])
def test_samples_their_mean_and_spread_are_exact(tmp_path: Path, gray: Restorer, dtype: str, suffix: str) -> None:
    image = save(tmp_path / f"x.{suffix}", dtype=dtype)
    size = Resolution(30, 20, "cm")
    write(image, replace(read(image), metadata=Metadata(resolution=size)))
    out = tmp_path / "out"
    (outcome,) = restore_files(gray, plan([image], out), asking(steps=2, samples=3, seed=4))
    stems = ["x_s01", "x_s02", "x_s03", "x_mean"]
    assert [file.name for file in outcome.written] == [
        *(f"{stem}.{suffix}" for stem in stems),
        "x_spread.tif",
        "x_invented.tif",
        "x_overlay.png",
    ]
    assert names(out) == sorted(file.name for file in outcome.written)
    *files, drawn = outcome.written
    for file in files:
        found = read(file).metadata.resolution
        assert found is not None
        assert found.per("cm") == pytest.approx((30, 20))
    assert read(drawn).pixels.shape[2] == 3
    *samples, mean, spread, _ = (read(file).pixels for file in files)
    for written, wanted in zip(samples, gray.restore(read(image).pixels, steps=2, samples=3, seed=4), strict=True):
        np.testing.assert_array_equal(written, wanted)
    values = np.stack([to_unit(sample) for sample in samples]).astype(np.float64)
    assert mean.dtype == dtype
    np.testing.assert_array_equal(mean, from_unit(values.mean(axis=0).astype(np.float32), dtype))
    assert spread.dtype == np.float32
    span = span_of(np.dtype(dtype))  # the map is in counts
    np.testing.assert_allclose(spread / span, np.sqrt(((values - values.mean(axis=0)) ** 2).mean(axis=0)), atol=1e-6)
    assert spread.max() > 0.001 * span
    with tifffile.TiffFile(files[-2]) as file:
        description = file.pages[0].description
    assert f"max={spread.max():.6g}\nvunit={'intensity' if dtype == 'float32' else 'counts'}" in description


def test_samples_of_a_named_file(tmp_path: Path, gray: Restorer) -> None:
    image = save(tmp_path / "x.jpg")
    (outcome,) = restore_files(gray, plan([image], tmp_path / "y.png"), asking(steps=1, samples=2))
    assert [file.name for file in outcome.written] == [
        "y_s01.png",
        "y_s02.png",
        "y_mean.png",
        "y_spread.tif",
        "y_invented.tif",
        "y_overlay.png",
    ]


def test_one_sample_is_written_alone_as_it_has_no_spread(tmp_path: Path, gray: Restorer) -> None:
    image = save(tmp_path / "x.png")
    stack = tmp_path / "z.tif"
    tifffile.imwrite(stack, np.stack([read(image).pixels] * 2), photometric="minisblack")
    first, second = restore_files(gray, plan([image, stack], tmp_path / "out"), asking(steps=1, samples=1))
    assert names(tmp_path / "out") == ["x_s01.png", "z_s01.tif"]
    assert [first.error, second.error] == [None, None]
    np.testing.assert_array_equal(read(first.written[0]).pixels, gray.restore(read(image).pixels, steps=1))


@pytest.mark.parametrize("what", ["restore", "degrade"])
def test_broken_files_do_not_stop_the_rest(tmp_path: Path, gray: Restorer, what: str) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    for number in range(4):
        save(folder / f"{number}.png", seed=number)
    whole = (folder / "1.png").read_bytes()
    (folder / "1.png").write_bytes(whole[: len(whole) // 2])
    (folder / "2.png").write_text("not an image")
    values = np.full((9, 9, 5), 0.5, np.float32)
    write(folder / "4.tif", Image(values))  # channels that neither the model nor JPEG takes
    jobs = plan([folder, tmp_path / "missing.png"], out)
    outcomes = list(
        restore_files(gray, jobs, asking(steps=1)) if what == "restore" else degrade_files(jobs, task="jpeg")
    )
    assert [outcome.source.name for outcome in outcomes if outcome.error is None] == ["0.png", "3.png"]
    assert names(out) == ["0.png", "3.png"]
    for outcome in outcomes:
        if outcome.error is not None:
            message = str(outcome.error)
            assert str(outcome.source) in message
            assert "\n" not in message
            assert outcome.written == ()


def test_not_a_number_is_refused_by_name(tmp_path: Path, gray: Restorer) -> None:
    values = np.full((9, 9), 0.5, np.float32)
    values[3, 4] = np.nan
    write(tmp_path / "x.tif", Image(values))
    (outcome,) = restore_files(gray, plan([tmp_path / "x.tif"], tmp_path / "out"))
    assert str(tmp_path / "x.tif") in str(outcome.error)
    assert "1 of 81 pixel values are NaN" in str(outcome.error)
    (outcome,) = restore_files(Restorer(tiny_model(3)), plan([tmp_path / "x.tif"], tmp_path / "out"))
    assert "1 of 81 pixel values are NaN" in str(outcome.error)
    assert not (tmp_path / "out").exists()


def test_a_wrong_option_stops_at_once(tmp_path: Path, gray: Restorer) -> None:
    jobs = plan([save(tmp_path / f"{number}.png") for number in range(2)], tmp_path / "out")
    wrong: list[dict[str, Any]] = [{"steps": 0}, {"samples": 0}, {"seed": -1}, {"sampler": "magic"}]
    for options in wrong:
        with pytest.raises(ConfigError, match=next(iter(options))):
            list(restore_files(gray, jobs, asking(**options)))
    assert not (tmp_path / "out").exists()
    with pytest.raises(ConfigError, match="no task 'blur'"):
        degrade_files(jobs, task="blur")


@pytest.mark.parametrize("task", DEGRADATIONS)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_degraded_files_are_those_of_an_evaluation(tmp_path: Path, task: str, dtype: str) -> None:
    clean = save(tmp_path / "in" / ("x.tif" if dtype == "float32" else "x.png"), 3, dtype)
    (outcome,) = degrade_files(plan([clean], tmp_path / "out"), task=task, seed=3)
    _, degraded = load_test_pair(Pair("x", clean), channels=3, task=task, seed=3)
    written = read(outcome.written[0]).pixels
    np.testing.assert_array_equal(written, from_unit(to_unit(degraded), dtype))


def test_the_seed_and_the_name_decide_the_noise(tmp_path: Path) -> None:
    source = save(tmp_path / "a.png")
    image = read(source)
    write(tmp_path / "b.png", image)
    write(tmp_path / "elsewhere/a.png", replace(image))
    results = {
        (path, seed): read(
            next(degrade_files([Job(tmp_path / path, out)], task="denoise", seed=seed)).written[0]
        ).pixels
        for number, (path, seed) in enumerate([("a.png", 0), ("elsewhere/a.png", 0), ("b.png", 0), ("a.png", 1)])
        for out in [tmp_path / "out" / f"{number}.png"]
    }
    first = results["a.png", 0]
    np.testing.assert_array_equal(first, results["elsewhere/a.png", 0])
    assert not np.array_equal(first, results["b.png", 0])
    assert not np.array_equal(first, results["a.png", 1])


# What is there already


def made(path: Path, text: str = "mine") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize("what", ["restore", "degrade"])
def test_what_others_made_is_not_written_over(tmp_path: Path, gray: Restorer, what: str) -> None:
    def work(*inputs: Path, **options: Any) -> list[Any]:
        jobs = plan(inputs, tmp_path / "out")
        if what == "restore":
            return list(restore_files(gray, jobs, asking(steps=1, **options)))
        return list(degrade_files(jobs, task="jpeg", **options))

    one, two = save(tmp_path / "a.png"), save(tmp_path / "b.png", seed=1)
    mine = made(tmp_path / "out" / "a.png")
    first, second = work(one, two)
    assert f"{mine}: is there already, and not made from {one} by indi; add --overwrite" in str(first.error)
    assert second.error is None
    assert mine.read_text() == "mine"
    (single,) = work(one)
    assert "is there already" in str(single.error)
    assert mine.read_text() == "mine"
    assert [outcome.error for outcome in work(one, two, overwrite=True)] == [None, None]
    assert read(mine).pixels.shape == (20, 27)
    assert [outcome.error for outcome in work(one, two)] == [None, None]  # it is this command's own now
    assert [outcome.error for outcome in work(one)] == [None]
    other = save(tmp_path / "elsewhere" / "a.png", seed=2)
    before = mine.read_bytes()
    (of_another,) = work(other)
    assert "is there already" in str(of_another.error)
    assert mine.read_bytes() == before


def test_each_result_of_a_file_is_looked_at(tmp_path: Path, gray: Restorer) -> None:
    source = save(tmp_path / "x.png")
    mine = made(tmp_path / "out" / "x_spread.tif")
    (outcome,) = restore_files(gray, plan([source], tmp_path / "out"), asking(steps=1, samples=2))
    assert "x_spread.tif: is there already" in str(outcome.error)
    assert names(tmp_path / "out") == ["x_spread.tif"]
    assert mine.read_text() == "mine"
    mine.unlink()
    for samples in (3, 2, 3):  # fewer samples leave the third, which is still ours
        (outcome,) = restore_files(gray, plan([source], tmp_path / "out"), asking(steps=1, samples=samples))
        assert outcome.error is None


def test_a_stack_that_others_made_is_not_written_over(tmp_path: Path, gray: Restorer) -> None:
    tifffile.imwrite(tmp_path / "s.tif", np.zeros((2, 20, 27), np.uint8), photometric="minisblack")
    mine = made(tmp_path / "out" / "s.tif")
    errors = []
    for overwrite in (False, True, False):
        jobs = plan([tmp_path / "s.tif"], tmp_path / "out")
        (outcome,) = restore_files(gray, jobs, asking(steps=1, overwrite=overwrite))
        errors.append(str(outcome.error))
    assert "is there already" in errors[0]
    assert errors[1:] == ["None", "None"]
    assert tifffile.imread(mine).shape == (2, 20, 27)


def test_a_command_that_was_killed_knows_its_files_again(
    tmp_path: Path, gray: Restorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "in"
    save(folder / "x.png")

    def killed(path: Path, image: Image) -> None:
        write(path, image)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("indi.restoration.batch.write", killed)
        with pytest.raises(KeyboardInterrupt):
            list(restore_files(gray, plan([folder], folder), asking(steps=1, samples=2)))
    assert (folder / "x_s01.png").exists()
    (job,) = plan([folder], folder)
    assert job.source.name == "x.png"
    (outcome,) = restore_files(gray, [job], asking(steps=1, samples=2))
    assert outcome.error is None


def test_samples_beside_their_inputs_are_no_inputs(
    tmp_path: Path, gray: Restorer, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "in"
    for number in range(2):
        save(folder / f"{number}.png", seed=number)
    counts = []
    for _ in range(3):
        outcomes = list(restore_files(gray, plan([folder], folder), asking(steps=1, samples=2)))
        assert [outcome.error for outcome in outcomes] == [None, None]
        counts.append(len(names(folder)))
    assert counts == [2 + 2 * 6] * 3
    with caplog.at_level("INFO", logger="indi"):
        assert len(plan([folder], tmp_path / "elsewhere")) == 2
    assert "passed over: 12 made by indi (0_invented.tif, 0_mean.png" in caplog.text
    assert len(plan([folder / "0_mean.png"], tmp_path / "elsewhere")) == 1  # unless they are named
    assert [pair.name for pair in match_pairs(folder, None).pairs] == ["0", "1"]
    list(restore_files(gray, plan([folder], tmp_path / "once"), asking(steps=1)))
    assert len(plan([tmp_path / "once"], tmp_path / "twice")) == 2  # results of another folder may be restored again


@pytest.mark.parametrize("name", ["nosuffix", "sixteen.jpg"])
def test_what_a_format_cannot_hold_is_refused_before_the_work(
    tmp_path: Path, gray: Restorer, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    save(tmp_path / "x.png", dtype="uint16").rename(tmp_path / name)
    monkeypatch.setattr(Restorer, "trajectory", lambda *_, **__: pytest.fail("it was restored"))
    for samples in (None, 2):
        (outcome,) = restore_files(gray, plan([tmp_path / name], tmp_path / "out"), asking(steps=1, samples=samples))
        assert "cannot write: " in str(outcome.error)
    assert not (tmp_path / "out").exists()


# Folders of folders, and patterns


def test_the_tree_is_kept(tmp_path: Path, gray: Restorer, caplog: pytest.LogCaptureFixture) -> None:
    root, out = tmp_path / "in", tmp_path / "in" / "restored"
    for number, name in enumerate(["a.png", "one/a.png", "one/two/a.tif", ".hidden/a.png"]):
        save(root / name, seed=number)
    made(root / "one" / "notes.txt")
    (root / "empty").mkdir()
    (root / "loop").symlink_to(root)
    for _ in range(2):
        caplog.clear()
        with caplog.at_level("INFO", logger="indi"):
            outcomes = list(restore_files(gray, plan([root], out, recursive=True), asking(steps=1)))
        assert [outcome.error for outcome in outcomes] == [None] * 3
        found = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
        assert [name for name in found if not name.endswith(MANIFEST)] == ["a.png", "one/a.png", "one/two/a.tif"]
        assert f"{root / 'one'}: passed over: 1 .txt (notes.txt)" in caplog.text
        assert f"{root}: passed over: 1 folder (loop)" in caplog.text
    assert all(outcome.kept for outcome in outcomes)
    (root / "a.png").unlink()
    assert len(plan([root], out, recursive=True)) == 2  # the folder itself need not hold any
    (job,) = plan([root / "empty"], out, recursive=True)
    assert "no images in this folder" in str(job.error)
    with pytest.raises(ConfigError, match=r"2 inputs are named a\.png"):
        plan([root / "one", root / "one"], out, recursive=True)


def test_patterns_are_expanded_where_the_shell_left_them(tmp_path: Path) -> None:
    for name in ("b1.png", "b2.png", "c.png", "[x].png"):
        save(tmp_path / "in" / name)
    (tmp_path / "in" / "d.txt").touch()
    assert [job.source.name for job in plan([tmp_path / "in" / "b*.png"], tmp_path / "out")] == ["b1.png", "b2.png"]
    assert [job.source.name for job in plan([tmp_path / "in" / "[x].png"], tmp_path / "out")] == ["[x].png"]
    (job,) = plan([tmp_path / "in" / "z*.png"], tmp_path / "out")
    assert job.source.name == "z*.png"


def test_a_warning_names_its_file_and_comes_once_for_each(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number, scale in enumerate([1, 4000, 1, 4000]):
        write(tmp_path / "in" / f"x{number}.tif", Image(pixels().astype(np.float32) / 255 * scale))
    with caplog.at_level("WARNING", logger="indi"):
        jobs = plan([tmp_path / "in"], tmp_path / "out")
        list(restore_files(Restorer(tiny_model(1, epsilon=0.05)), jobs, asking(steps=1, samples=2)))
    warned = [message for message in caplog.messages if "far from those of training" in message]
    assert [message.split(": ")[1] for message in warned] == [str(tmp_path / "in" / f"x{n}.tif") for n in (1, 3)]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere file names are text")
def test_names_that_are_no_text(tmp_path: Path, gray: Restorer) -> None:
    folder = tmp_path / os.fsdecode(b"d\xff")
    save(folder / os.fsdecode(b"x\xfe.png"))
    stack = folder / os.fsdecode(b"s\xfd.tif")
    with stack.open("wb") as file:
        tifffile.imwrite(file, np.zeros((2, 20, 27), np.uint8), photometric="minisblack")
    for _ in range(2):
        outcomes = list(restore_files(gray, plan([folder], folder / "out"), asking(steps=1, samples=2)))
        assert [outcome.error for outcome in outcomes] == [None, None]
    assert all(outcome.kept for outcome in outcomes)
    jobs = plan([folder / os.fsdecode(b"x\xfe.png")], folder / "degraded")
    assert [outcome.error for outcome in degrade_files(jobs, task="jpeg")] == [None]


def test_a_scale_bar_is_that_of_the_enlarged_image(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif", np.zeros((20, 30), np.uint8), imagej=True, resolution=(5, 5), metadata={"unit": "um"}
    )
    assert Restoration(enlarged=1).micrometres(tmp_path / "a.tif") == pytest.approx(0.2)
    assert Restoration(enlarged=4).micrometres(tmp_path / "a.tif") == pytest.approx(0.05)
    assert Restoration(enlarged=4).micrometres(tmp_path / "missing.tif") is None
