"""Masks: inside, every pixel is that of the input; outside, what restoring gives without a mask."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image as Picture

from indi.data import enlarge
from indi.errors import ConfigError, ImageError
from indi.io import Image, from_unit, read, write
from indi.io.manifest import MANIFEST
from indi.restoration import stacks
from indi.restoration.batch import Outcome, plan, restore_files
from indi.restoration.outputs import Restoration
from indi.restoration.restorer import Restorer
from problems import asking, tiny_calibration, tiny_model

SIZE = (20, 27)
KEPT = np.zeros(SIZE, bool)
KEPT[4:11, 5:20] = True


def pixels(*shape: int, dtype: str = "uint8", seed: int = 0) -> NDArray[Any]:
    return from_unit(np.random.default_rng(seed).random(shape, dtype=np.float32) * 0.8 + 0.1, dtype)


def save(path: Path, values: NDArray[Any]) -> Path:
    write(path, Image(values))
    return path


def stacked(path: Path, values: NDArray[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, values, photometric="minisblack", metadata={"axes": "ZYX"})
    return path


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    return save(tmp_path / "mask.png", KEPT.astype(np.uint8) * 255)


def restored(
    restorer: Restorer, source: Path, out: Path, mask: Path | None, asked: Restoration | None = None
) -> list[Outcome]:
    return list(restore_files(restorer, plan([source], out, mask=mask), asked or asking(steps=2)))


def files(folder: Path) -> dict[str, NDArray[Any]]:
    """Return the pixels of all results in a folder, stacks as a whole."""
    named = {path.name: path for path in sorted(folder.iterdir()) if path.name != MANIFEST}
    return {name: tifffile.imread(path) if path.suffix == ".tif" else read(path).pixels for name, path in named.items()}


def masked(values: NDArray[Any], source: NDArray[Any]) -> NDArray[Any]:
    """Return restored values as a mask is to leave them."""
    return np.where(KEPT if values.shape[-2:] == SIZE else KEPT[..., None], source, values)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_stays_inside_and_is_restored_outside(
    gray: Restorer, colour: Restorer, tmp_path: Path, mask: Path, dtype: str, channels: int
) -> None:
    values = pixels(*SIZE, dtype=dtype) if channels == 1 else pixels(*SIZE, 3, dtype=dtype)
    source, restorer = save(tmp_path / "in.tif", values), gray if channels == 1 else colour
    (outcome,) = restored(restorer, source, tmp_path / "out", mask)
    assert outcome.error is None
    result = files(tmp_path / "out")["in.tif"]
    whole = restorer.restore(values, steps=2)
    np.testing.assert_array_equal(result, masked(whole, values))
    assert (whole[KEPT] != values[KEPT]).any()


MASKS: dict[str, Callable[[Path], object]] = {
    "bool.tif": lambda path: tifffile.imwrite(path, KEPT),
    "of_imagej.tif": lambda path: tifffile.imwrite(path, KEPT.astype(np.uint8) * 255, photometric="miniswhite"),
    "ones.png": lambda path: write(path, Image(KEPT.astype(np.uint8))),
    "deep.png": lambda path: write(path, Image(KEPT.astype(np.uint16) * 300)),
    "red.png": lambda path: write(path, Image(np.stack([KEPT, 0 * KEPT, 0 * KEPT], axis=-1).astype(np.uint8) * 255)),
}


@pytest.mark.parametrize("name", MASKS)
def test_masks_are_of_8_or_16_bit_or_of_truth_values(gray: Restorer, tmp_path: Path, name: str) -> None:
    MASKS[name](tmp_path / name)
    values = pixels(*SIZE)
    restored(gray, save(tmp_path / "in" / "in.png", values), tmp_path / "out", tmp_path / name)
    np.testing.assert_array_equal(files(tmp_path / "out")["in.png"], masked(gray.restore(values, steps=2), values))


def test_samples_stay_too_and_maps_are_0(tmp_path: Path, mask: Path) -> None:
    restorer = Restorer(tiny_model(1, epsilon=0.05), precision="float32")
    restorer.calibration = tiny_calibration(weights=restorer.fingerprint, samples=2, steps=2)
    values = pixels(*SIZE, dtype="uint16")
    source, asked = save(tmp_path / "in.tif", values), asking(steps=2, samples=2)
    for out, which in (("whole", None), ("out", mask)):
        assert restored(restorer, source, tmp_path / out, which, asked)[0].error is None
    whole, found = files(tmp_path / "whole"), files(tmp_path / "out")
    assert found.keys() == whole.keys() >= {"in_mean.tif", "in_interval.tif", "in_spread.tif", "in_invented.tif"}
    for name in ("in_s01.tif", "in_s02.tif", "in_mean.tif"):
        np.testing.assert_array_equal(found[name], masked(whole[name], values))
    for name in ("in_interval.tif", "in_spread.tif", "in_invented.tif"):
        np.testing.assert_array_equal(found[name], masked(whole[name], np.zeros(SIZE, np.float32)))
        assert found[name].dtype == np.float32
        assert whole[name][KEPT].any()
    assert (found["in_overlay.png"] != whole["in_overlay.png"]).any()


def test_an_enlarged_image_keeps_its_enlarged_pixels(gray: Restorer, tmp_path: Path, mask: Path) -> None:
    values = pixels(*SIZE)
    restored(gray, save(tmp_path / "in.png", values), tmp_path / "out", mask, asking(steps=2, enlarged=2))
    large = enlarge(values, 2)
    kept = KEPT.repeat(2, axis=0).repeat(2, axis=1)
    wanted = np.where(kept, large, gray.restore(large, steps=2))
    np.testing.assert_array_equal(files(tmp_path / "out")["in.png"], wanted)


@pytest.mark.parametrize("samples", [None, 2])
@pytest.mark.parametrize("in_memory", [True, False])
def test_a_stack_keeps_what_one_mask_for_all_says(
    gray: Restorer, tmp_path: Path, mask: Path, samples: int | None, in_memory: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not in_memory:
        monkeypatch.setattr(stacks, "IN_MEMORY", 1)
    monkeypatch.setattr(stacks, "_BAND", 8)  # so that there are edges between bands
    values = pixels(3, *SIZE, dtype="uint16")
    source = stacked(tmp_path / "in.tif", values)
    for out, which in (("whole", None), ("out", mask)):
        assert restored(gray, source, tmp_path / out, which, asking(steps=2, samples=samples))[0].error is None
    whole, found = files(tmp_path / "whole"), files(tmp_path / "out")
    assert found.keys() == whole.keys()
    for name in found.keys() - {"in_overlay.png"}:
        is_map = "spread" in name or "invented" in name
        np.testing.assert_array_equal(found[name], masked(whole[name], 0 * whole[name] if is_map else values))


def test_a_stack_of_masks_goes_plane_by_plane(gray: Restorer, tmp_path: Path) -> None:
    values = pixels(2, *SIZE)
    source, mask = (
        stacked(tmp_path / "in.tif", values),
        stacked(tmp_path / "m.tif", np.stack([KEPT, ~KEPT]).astype("u1")),
    )
    restored(gray, source, tmp_path / "out", mask)
    result = files(tmp_path / "out")["in.tif"]
    for number, kept in enumerate([KEPT, ~KEPT]):
        wanted = np.where(kept, values[number], gray.restore(values[number], steps=2, plane=number))
        np.testing.assert_array_equal(result[number], wanted)


def ome(path: Path, values: NDArray[Any], axes: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, values, photometric="minisblack", ome=True, metadata={"axes": axes})
    return path


def planes_kept(restorer: Restorer, source: Path, mask: Path, out: Path, axes: str | None = None) -> NDArray[Any]:
    """Return whether the first pixel of each plane stays, of masks that keep all of a plane or nothing."""
    (outcome,) = restored(restorer, source, out, mask, asking(steps=1, axes=axes))
    assert outcome.error is None
    before, after = tifffile.imread(source), tifffile.imread(outcome.written[0])
    stays: NDArray[Any] = (before == after).all(axis=(-2, -1))
    return stays


def all_or_nothing(*marks: Any) -> NDArray[Any]:
    return np.asarray(marks, np.uint8)[..., None, None] * np.ones(SIZE, np.uint8)


BY_PLANE = np.array([[1, 0], [0, 0], [1, 1]], bool)  # of 3 Z and 2 C


@pytest.mark.parametrize("axes", ["ZCYX", "CZYX", "ZYX", "CYX", "of each", "of each Z"])
def test_masks_lie_where_their_axes_say(gray: Restorer, tmp_path: Path, axes: str) -> None:
    source, mask = ome(tmp_path / "in.ome.tif", pixels(3, 2, *SIZE), "ZCYX"), tmp_path / "mask.tif"
    wanted = BY_PLANE
    if axes in ("ZCYX", "CZYX"):
        ome(mask, all_or_nothing(*(BY_PLANE if axes == "ZCYX" else BY_PLANE.T)), axes)
    elif axes == "of each":
        tifffile.imwrite(mask, all_or_nothing(*BY_PLANE.ravel()), photometric="minisblack", metadata=None)
    elif axes == "CYX":
        ome(mask, all_or_nothing(1, 0), axes)
        wanted = np.array([[1, 0]] * 3, bool)
    else:
        options: dict[str, Any] = {"ome": True, "metadata": {"axes": "ZYX"}} if axes == "ZYX" else {"metadata": None}
        tifffile.imwrite(mask, all_or_nothing(1, 0, 1), photometric="minisblack", **options)
        wanted = np.array([[1, 1], [0, 0], [1, 1]], bool)
    np.testing.assert_array_equal(planes_kept(gray, source, mask, tmp_path / "out"), wanted)


@pytest.mark.parametrize("axes", ["ZYX", "CZYX"])
def test_channels_that_are_restored_together_have_one_mask(colour: Restorer, tmp_path: Path, axes: str) -> None:
    source, mask = ome(tmp_path / "in.ome.tif", pixels(2, 3, *SIZE), "ZCYX"), tmp_path / "mask.tif"
    if axes == "ZYX":
        ome(mask, all_or_nothing(1, 0), axes)
        stays = planes_kept(colour, source, mask, tmp_path / "out")
        np.testing.assert_array_equal(stays, np.array([[1, 1, 1], [0, 0, 0]], bool))
    else:
        ome(mask, all_or_nothing(*np.ones((3, 2))), axes)
        (outcome,) = restored(colour, source, tmp_path / "out", mask)
        words = "counts its masks by C (3), Z (2), and the pictures are counted by Z (2)"
        assert str(outcome.error).startswith(f"{source}: {mask}: {words}")


def test_axes_that_are_given_are_those_of_the_mask_too(gray: Restorer, tmp_path: Path) -> None:
    source = ome(tmp_path / "in.ome.tif", pixels(3, *SIZE), "TYX")
    mask = ome(tmp_path / "mask.ome.tif", all_or_nothing(1, 0, 1), "CYX")
    np.testing.assert_array_equal(planes_kept(gray, source, mask, tmp_path / "out", "ZYX"), [True, False, True])


@pytest.mark.parametrize(
    ("axes", "marks", "words"),
    [
        (
            "TYX",
            all_or_nothing(1, 0, 1),
            "counts its masks by T (3), and the pictures are counted by Z (3), C (3); write both",
        ),
        (
            "ZYX",
            all_or_nothing(1, 0),
            "counts its masks by Z (2), and the pictures are counted by Z (3), C (3); write both",
        ),
        (
            None,
            all_or_nothing(1, 0, 1),
            "holds 3 masks, and the stack 9 pictures by Z (3), C (3); give one mask for all",
        ),
    ],
)
def test_masks_whose_place_is_open_are_refused(
    gray: Restorer, tmp_path: Path, axes: str | None, marks: NDArray[Any], words: str
) -> None:
    source, mask = ome(tmp_path / "in.ome.tif", pixels(3, 3, *SIZE), "ZCYX"), tmp_path / "mask.tif"
    metadata = None if axes is None else {"axes": axes}
    tifffile.imwrite(mask, marks, photometric="minisblack", ome=axes is not None, metadata=metadata)
    (outcome,) = restored(gray, source, tmp_path / "out", mask)
    assert str(outcome.error).startswith(f"{source}: {mask}: {words}")
    assert not (tmp_path / "out").exists()


def test_a_stack_of_another_type_is_refused_before_the_work(gray: Restorer, tmp_path: Path) -> None:
    source = stacked(tmp_path / "in.tif", pixels(3, *SIZE))
    mask = stacked(tmp_path / "m.tif", np.ones((3, *SIZE), np.float32))
    seen: list[float] = []
    (outcome,) = restore_files(gray, plan([source], tmp_path / "out", mask=mask), asking(steps=2), progress=seen.append)
    assert (
        str(outcome.error) == f"{source}: {mask}: is a mask in float32; save it in 8 or 16 bit, with 0 where to restore"
    )
    assert seen == []


def test_a_large_mask_is_read_box_by_box(gray: Restorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("indi.restoration.masks.IN_MEMORY", 1)
    monkeypatch.setattr("indi.restoration.masks.read", None)
    values = pixels(2, *SIZE)
    tifffile.imwrite(tmp_path / "m.tif", KEPT.astype(np.uint8))
    restored(gray, stacked(tmp_path / "in.tif", values), tmp_path / "out", tmp_path / "m.tif")
    wanted = gray.restore(values[1], steps=2, plane=1)
    np.testing.assert_array_equal(files(tmp_path / "out")["in.tif"][1], masked(wanted, values[1]))


def test_a_folder_of_masks_goes_by_name(gray: Restorer, tmp_path: Path) -> None:
    images = {name: pixels(*SIZE, seed=seed) for seed, name in enumerate(["a.png", "b.tif", "ä.png", "lone.png"])}
    for name, values in images.items():
        save(tmp_path / "in" / name, values)
    for name in ("a.tif", "b.ome.tif", "a\u0308.png", "other.png"):
        save(tmp_path / "masks" / name, KEPT.astype(np.uint8))
    *outcomes, last = restored(gray, tmp_path / "in", tmp_path / "out", tmp_path / "masks")
    lone = next(outcome for outcome in (*outcomes, last) if outcome.source.name == "lone.png")
    assert str(lone.error) == (
        f"{tmp_path / 'in' / 'lone.png'}: no mask in {tmp_path / 'masks'} has its name; add one, all 0 to restore it "
        "whole"
    )
    found = files(tmp_path / "out")
    assert found.keys() == images.keys() - {"lone.png"}
    for name, result in found.items():
        np.testing.assert_array_equal(result, masked(gray.restore(images[name], steps=2), images[name]))


def test_masks_that_do_not_fit_are_refused(gray: Restorer, tmp_path: Path, mask: Path) -> None:
    source = save(tmp_path / "in" / "in.png", pixels(*SIZE))
    stack = stacked(tmp_path / "stack" / "in.tif", pixels(3, *SIZE))
    small, cut = save(tmp_path / "small.png", np.ones((27, 20), np.uint8)), tmp_path / "cut.png"
    cut.write_bytes(mask.read_bytes()[:-20])
    shares = save(tmp_path / "shares.tif", KEPT.astype(np.float32))
    two = stacked(tmp_path / "two.tif", np.ones((2, *SIZE), np.uint8))
    for which, words in (
        (small, "is 27x20 px (height x width), the image 20x27; give a mask of the image's size"),
        (shares, "is a mask in float32; save it in 8 or 16 bit, with 0 where to restore"),
        (cut, ""),
    ):
        for each in (source, stack):
            (outcome,) = restored(gray, each, tmp_path / "out", which)
            assert str(outcome.error).startswith(f"{each}: {which}: {words}")
    (outcome,) = restored(gray, stack, tmp_path / "out", two)
    assert str(outcome.error).endswith(
        "two.tif: counts its masks by Z (2), and the pictures are counted by Z (3); write both with the same axes, or "
        "name them by --axes"
    )
    (outcome,) = restored(gray, source, tmp_path / "out", two)
    assert "holds 2 pictures where a single one is needed" in str(outcome.error)
    assert not (tmp_path / "out").exists()


LOSSY = {"m.jpg": "JPEG", "m.webp": "WebP", "m.avif": "AVIF", "m.tif": "TIFF with JPEG"}


@pytest.mark.parametrize("name", LOSSY)
@pytest.mark.parametrize("is_stack", [False, True])
def test_masks_with_loss_are_refused(gray: Restorer, tmp_path: Path, name: str, is_stack: bool) -> None:
    mask = tmp_path / name
    Picture.fromarray(KEPT.astype(np.uint8) * 255).save(mask, **{"compression": "jpeg"} if name == "m.tif" else {})
    folder = tmp_path / "in"
    values = pixels(2, *SIZE)
    source = stacked(folder / "in.tif", values) if is_stack else save(folder / "in.png", values[0])
    (outcome,) = restored(gray, source, tmp_path / "out", mask)
    assert str(outcome.error) == (
        f"{source}: {mask}: is a {LOSSY[name]} file, which changes values beside what was drawn; draw the mask again, "
        "and save it as PNG or TIFF"
    )


def test_masks_with_alpha_are_refused_unless_it_is_full(gray: Restorer, tmp_path: Path) -> None:
    values = pixels(*SIZE)
    source = save(tmp_path / "in" / "in.png", values)
    stack = stacked(tmp_path / "stack" / "in.tif", pixels(2, *SIZE))
    white, marked, full = (np.asarray(each, np.uint8) * 255 for each in (KEPT | True, KEPT, KEPT | True))
    hidden, opaque, several = (tmp_path / name for name in ("hidden.png", "opaque.png", "several.tif"))
    write(hidden, Image(white, marked))
    write(opaque, Image(marked, full))
    tifffile.imwrite(several, np.stack([np.dstack([white, marked])] * 2), extrasamples=[2], planarconfig="contig")
    for each, mask in ((source, hidden), (stack, hidden), (stack, several)):
        (outcome,) = restored(gray, each, tmp_path / "out", mask)
        words = "is a mask with alpha, which may hide what is not 0; save it without alpha, with 0 where to restore"
        assert str(outcome.error) == f"{each}: {mask}: {words}"
    assert restored(gray, source, tmp_path / "out", opaque)[0].error is None
    np.testing.assert_array_equal(files(tmp_path / "out")["in.png"], masked(gray.restore(values, steps=2), values))


@pytest.mark.parametrize(("of_image", "of_mask"), [(3, 1), (6, 1), (1, 3), (3, 3)])
def test_a_mask_that_is_turned_otherwise_is_refused(
    gray: Restorer, tmp_path: Path, of_image: int, of_mask: int
) -> None:
    values, source, mask = pixels(*SIZE), tmp_path / "in.png", tmp_path / "mask.png"
    stack = tmp_path / "stack.tif"
    for path, array, turned in ((source, values, of_image), (mask, KEPT.astype(np.uint8) * 255, of_mask)):
        exif = Picture.Exif()
        exif[0x0112] = turned
        Picture.fromarray(array).save(path, exif=exif)
    turning = (274, "H", 1, of_image, True)
    tifffile.imwrite(stack, np.stack([values, values]), photometric="minisblack", extratags=[turning])
    for each in (source, stack):
        (outcome,) = restored(gray, each, tmp_path / "out", mask)
        if of_image == of_mask:  # both lie alike
            assert outcome.error is None
        else:
            assert str(outcome.error) == (
                f"{each}: {mask}: has EXIF orientation {of_mask}, the image {of_image}; save both upright, without "
                "EXIF orientation"
            )


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, "is 0 everywhere, so all of the image is restored"),
        (9, "is 0 nowhere, so all of the image stays as it is; save it with 0 where to restore"),
    ],
)
def test_a_mask_of_all_or_nothing_is_told_once_a_file(
    gray: Restorer, tmp_path: Path, caplog: pytest.LogCaptureFixture, value: int, words: str
) -> None:
    marks = np.full((2, *SIZE), value, np.uint8)
    one, several = save(tmp_path / "one.png", marks[0]), stacked(tmp_path / "several.tif", marks)
    source = save(tmp_path / "in" / "in.png", pixels(*SIZE))
    stack = stacked(tmp_path / "stack.tif", pixels(2, *SIZE))
    for each, mask in ((source, one), (stack, one), (stack, several)):
        caplog.clear()
        restored(gray, each, tmp_path / "out", mask, asking(steps=1))
        assert [record.getMessage() for record in caplog.records] == [f"warning: {mask}: {words}"]


def test_what_says_no_mask_is_refused_before_the_work(tmp_path: Path, mask: Path) -> None:
    save(tmp_path / "in" / "in.png", pixels(*SIZE))
    for name in ("in.png", "in.tif"):
        save(tmp_path / "masks" / name, KEPT.astype(np.uint8))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match=r"none\.png: no such mask; give an image, or a folder of masks"):
        plan([tmp_path / "in"], tmp_path / "out", mask=tmp_path / "none.png")
    with pytest.raises(ImageError, match="no images in this folder"):
        plan([tmp_path / "in"], tmp_path / "out", mask=tmp_path / "empty")
    with pytest.raises(ConfigError, match="is given as input and as mask; give two paths"):
        plan([tmp_path / "in"], tmp_path / "out", mask=tmp_path / "in")
    with pytest.raises(ConfigError, match="leave out --recursive"):
        plan([tmp_path / "in"], tmp_path / "out", recursive=True, mask=tmp_path / "masks")
    (job,) = plan([tmp_path / "in"], tmp_path / "out", mask=tmp_path / "masks")
    assert str(job.error).endswith(f"{tmp_path / 'masks'} holds in.png and in.tif; keep one of the masks")
    assert plan([tmp_path / "in"], tmp_path / "out", recursive=True, mask=mask)[0].mask == mask


def test_an_image_is_never_its_own_mask(tmp_path: Path, mask: Path) -> None:
    image = save(tmp_path / "in" / "0.png", pixels(*SIZE))
    for inputs, which in (([mask], mask), ([image], tmp_path / "in"), ([tmp_path / "*.png"], mask)):
        with pytest.raises(ConfigError, match=r"\.png: is given as input and as mask; give two paths"):
            plan(inputs, tmp_path / "out", mask=which)


def test_a_mask_beside_the_images_is_no_input_and_never_written_over(gray: Restorer, tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.png", pixels(*SIZE))
    mask = save(tmp_path / "in" / "mask.png", KEPT.astype(np.uint8))
    assert [job.source.name for job in plan([tmp_path / "in"], tmp_path / "out", mask=mask)] == ["a.png"]
    before = mask.read_bytes()
    jobs = plan([tmp_path / "in" / "a.png"], mask, mask=mask)
    (outcome,) = restore_files(gray, jobs, asking(steps=1, overwrite=True))
    assert "is an input or was just written for another" in str(outcome.error)
    assert mask.read_bytes() == before


def test_another_mask_restores_again_and_the_same_does_not(gray: Restorer, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        save(tmp_path / "in" / name, pixels(*SIZE))
        save(tmp_path / "masks" / name, KEPT.astype(np.uint8))

    def kept(mask: Path | None) -> list[bool]:
        return [outcome.kept for outcome in restored(gray, tmp_path / "in", tmp_path / "out", mask)]

    assert kept(None) == [False, False]
    assert kept(None) == [True, True]
    assert kept(tmp_path / "masks") == [False, False]
    assert kept(tmp_path / "masks") == [True, True]
    save(tmp_path / "masks" / "b.png", (~KEPT).astype(np.uint8))
    assert kept(tmp_path / "masks") == [True, False]
    assert kept(None) == [False, False]


def test_an_interrupted_stack_with_a_mask_goes_on_from_another_folder(
    gray: Restorer, tmp_path: Path, mask: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stacked(tmp_path / "in.tif", pixels(4, *SIZE))
    (tmp_path / "below").mkdir()

    def stop(share: float) -> None:
        if share >= 0.5:
            raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    jobs = plan(["in.tif"], "out", mask=Path("mask.png"))
    with pytest.raises(KeyboardInterrupt):
        list(restore_files(gray, jobs, asking(steps=2), progress=stop))
    monkeypatch.chdir(tmp_path / "below")
    begun: list[list[int]] = []
    begin = stacks.StackJob.begin

    def noted(job: stacks.StackJob, restorer: Restorer) -> list[int]:
        begun.append(begin(job, restorer))
        return begun[-1]

    monkeypatch.setattr(stacks.StackJob, "begin", noted)
    jobs = plan(["../in.tif"], "../out", mask=mask)
    (outcome,) = restore_files(gray, jobs, asking(steps=2))
    assert outcome.error is None
    assert begun == [[1, 2, 3]]  # one of the four was done


def test_an_interrupted_stack_begins_again_with_another_mask(
    gray: Restorer, tmp_path: Path, mask: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = pixels(2, *SIZE)
    source = stacked(tmp_path / "in.tif", values)

    def stop(share: float) -> None:
        if share >= 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(restore_files(gray, plan([source], tmp_path / "out"), asking(steps=2), progress=stop))
    restored(gray, source, tmp_path / "out", mask)
    wanted = np.stack([gray.restore(plane, steps=2, plane=number) for number, plane in enumerate(values)])
    np.testing.assert_array_equal(files(tmp_path / "out")["in.tif"], masked(wanted, values))
