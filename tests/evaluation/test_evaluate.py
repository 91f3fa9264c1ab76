import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from numpy.typing import NDArray
from torch import Tensor

from indi.data import Pair, load_test_pair
from indi.errors import ConfigError, DataError, IndiError, MissingExtraError
from indi.evaluation import evaluate as evaluation
from indi.evaluation.benchmark import find_test_pairs
from indi.evaluation.evaluate import Evaluation, evaluate
from indi.io import Image, from_unit, read, to_unit, write
from indi.metrics import METRICS, PERCEPTUAL, SETS, measure, niqe
from indi.process.sampling import Sampling
from indi.restoration.restorer import Restorer
from problems import hide_perceptual, tiny_model, write_pairs


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return write_pairs(tmp_path_factory.mktemp("pairs"), count=3, size=(40, 48), channels=3)


@pytest.fixture(scope="module")
def restorer() -> Restorer:
    return Restorer(tiny_model(3, epsilon=0.05), precision="float32")


@pytest.fixture(scope="module")
def table(restorer: Restorer, folders: dict[str, Any]) -> dict[str, Any]:
    return evaluate(restorer, **folders, steps=[3, 1, 3])


def pixels(file: Path) -> NDArray[Any]:
    return read(file).pixels


def batch(image: NDArray[Any]) -> Tensor:
    return torch.from_numpy(to_unit(image).copy()).permute(2, 0, 1)[None]


def values(image: Any, clean: Any, **options: Any) -> dict[str, float | None]:
    return {name: value[0] for name, value in measure(batch(image), batch(clean), **options).items()}


def test_the_table_has_the_keys_it_promises(table: dict[str, Any]) -> None:
    assert list(table) == ["model", "method", "settings", "degraded", "rows", "per_image"]
    assert (table["model"], table["method"]) == ("tiny", "indi")
    assert list(table["degraded"]) == list(METRICS)
    assert [row["steps"] for row in table["rows"]] == [1, 3]
    assert [row["network_calls"] for row in table["rows"]] == [1, 3]
    for row in table["rows"]:
        assert list(row) == ["steps", "network_calls", *METRICS, "seconds_per_megapixel"]
        assert row["seconds_per_megapixel"] > 0
    for row in table["per_image"]:
        assert list(row) == ["file", "steps", *METRICS]
    assert [(row["file"], row["steps"]) for row in table["per_image"]] == [
        (file, steps) for steps in (0, 1, 3) for file in ("0", "1", "2")
    ]
    settings = "clean degraded task images border data_range times sampler seed strength precision device"
    added = "peak not_measured left_out"
    assert set(table["settings"]) == {*settings.split(), *added.split()}


def test_the_values_are_those_of_the_restored_images(
    table: dict[str, Any], restorer: Restorer, folders: dict[str, Any]
) -> None:
    for row in table["per_image"]:
        clean = pixels(folders["clean"] / f"{row['file']}.png")
        degraded = pixels(folders["degraded"] / f"{row['file']}.png")
        image = restorer.restore(degraded, steps=row["steps"]) if row["steps"] else degraded
        wanted = values(image, clean)
        assert wanted["ms_ssim"] is None  # under its size limit
        assert {name: row[name] for name in METRICS} == pytest.approx(wanted)


def test_means_are_over_the_images(table: dict[str, Any]) -> None:
    for row in ({"steps": 0, **table["degraded"]}, *table["rows"]):
        for name in METRICS:
            each = [image[name] for image in table["per_image"] if image["steps"] == row["steps"]]
            assert row[name] == (None if None in each else pytest.approx(np.mean(each)))


def test_border_and_peak(restorer: Restorer, folders: dict[str, Any]) -> None:
    table = evaluate(restorer, **folders, steps=[1], border=5, data_range=127.5)
    clean, degraded = (pixels(folders[side] / "0.png") for side in ("clean", "degraded"))
    (first,) = (row for row in table["per_image"] if (row["file"], row["steps"]) == ("0", 0))
    assert first["psnr"] == pytest.approx(values(degraded, clean, border=5, data_range=0.5)["psnr"])
    inside = values(degraded[5:-5, 5:-5], clean[5:-5, 5:-5])
    assert first["psnr"] == pytest.approx((inside["psnr"] or 0) + 20 * np.log10(0.5))
    assert table["settings"]["border"] == 5
    assert table["settings"]["data_range"] == 127.5
    assert table["settings"]["peak"] == [127.5, 127.5]
    wrong: Any
    for wrong in (-5, 0, float("inf"), float("nan"), "images"):
        with pytest.raises(ConfigError, match=f"data range is {wrong}; give a number above 0"):
            evaluate(restorer, **folders, steps=[1], data_range=wrong)
    with pytest.raises(ConfigError, match="border is -1"):
        evaluate(restorer, **folders, steps=[1], border=-1)
    for steps in ([], [0], [1, -2]):
        with pytest.raises(ConfigError, match="steps are"):
            evaluate(restorer, **folders, steps=steps)


def test_identical_images_have_no_psnr_in_json(tmp_path: Path, restorer: Restorer) -> None:
    folders: dict[str, Any] = dict(write_pairs(tmp_path, count=1, size=(20, 20), channels=3))
    write(folders["degraded"] / "0.png", Image(pixels(folders["clean"] / "0.png")))
    table = evaluate(restorer, **folders, steps=[1], out=tmp_path / "out")
    assert table["degraded"] == dict.fromkeys(METRICS) | {"ssim": 1.0}
    written = json.loads((tmp_path / "out/metrics.json").read_text(), parse_constant=lambda name: pytest.fail(name))
    assert written == table


@pytest.mark.medium
def test_niqe_is_against_all_clean_images(tmp_path: Path, restorer: Restorer, monkeypatch: pytest.MonkeyPatch) -> None:
    folders: dict[str, Any] = dict(write_pairs(tmp_path, count=3, size=(200, 208), channels=3))
    table = evaluate(restorer, **folders, steps=[1])
    assert table["degraded"]["niqe"] is None  # 12 patches are no model
    monkeypatch.setattr(niqe, "LEAST_PATCHES_TO_FIT", 2)
    table = evaluate(restorer, **folders, steps=[1], border=2, data_range=510)
    model = niqe.Niqe.fit((batch(pixels(file)) for file in sorted(folders["clean"].iterdir())), data_range=2)
    assert model is not None
    for row in (row for row in table["per_image"] if row["steps"] == 0):
        degraded = batch(pixels(folders["degraded"] / f"{row['file']}.png")[2:-2, 2:-2])
        assert row["niqe"] == pytest.approx(model(degraded, data_range=2).item(), rel=1e-3)


def stand_in(images: Tensor, *_: Any, data_range: float = 1.0) -> Tensor:
    return images.mean(dim=(1, 2, 3), dtype=torch.float64) / data_range


def test_perceptual_metrics_where_they_are_asked_for(
    restorer: Restorer, folders: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "available", lambda: (dict(PERCEPTUAL), dict(SETS)))
    monkeypatch.setattr(
        "indi.evaluation.measurement.inception_features",
        lambda x, data_range: stand_in(x)[:, None] / data_range,
    )
    for name, metric in PERCEPTUAL.items():
        monkeypatch.setitem(PERCEPTUAL, name, replace(metric, compute=stand_in))
    for name, metric in SETS.items():
        monkeypatch.setitem(SETS, name, replace(metric, compute=lambda restored, clean: (restored - clean).sum()))
    table = evaluate(restorer, **folders, steps=[1], border=3, data_range=127.5, perceptual=True)
    for row in (table["degraded"], *table["rows"]):
        assert {"lpips", "dists", "fid", "kid"} < set(row)
    degraded = [row for row in table["per_image"] if row["steps"] == 0]
    clean_sum = 0.0
    for row in degraded:
        assert set(row) == {"file", "steps", *METRICS, *PERCEPTUAL}
        inner = {side: to_unit(pixels(folders[side] / f"{row['file']}.png"))[3:-3, 3:-3] for side in folders}
        assert row["lpips"] == row["dists"] == pytest.approx(2 * inner["degraded"].mean())
        clean_sum += 2 * inner["clean"].mean()
    assert table["degraded"]["lpips"] == pytest.approx(np.mean([row["lpips"] for row in degraded]))
    assert table["degraded"]["fid"] == pytest.approx(sum(row["lpips"] for row in degraded) - clean_sum)


def test_missing_packages_are_said_before_anything_is_measured(
    restorer: Restorer, folders: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    hide_perceptual(monkeypatch)
    monkeypatch.setattr(evaluation, "load_pair", lambda *_, **__: pytest.fail("an image was read"))
    monkeypatch.setattr(evaluation, "load_test_pair", lambda *_, **__: pytest.fail("an image was read"))
    with pytest.raises(MissingExtraError, match=r"ST-LPIPS.*indi\[perceptual\]"):
        evaluate(restorer, **folders, steps=[1], perceptual=True)


def test_stlpips_needs_no_other_package(
    restorer: Restorer, folders: dict[str, Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("stlpips_pytorch")
    monkeypatch.setitem(sys.modules, "piq", None)
    table = evaluate(restorer, **folders, steps=[1], perceptual=True)
    assert set(table["rows"][0]) >= {"stlpips", "grain"}
    assert not {"lpips", "fid"} & set(table["rows"][0])
    assert table["degraded"]["stlpips"] == pytest.approx(
        np.mean([row["stlpips"] for row in table["per_image"] if row["steps"] == 0])
    )
    assert "not measured: LPIPS, DISTS, FID, KID (piq cannot be imported" in caplog.text


def test_a_task_is_measured_in_its_fixed_form(restorer: Restorer, folders: dict[str, Any]) -> None:
    table = evaluate(restorer, clean=folders["clean"], task="denoise", steps=[1])
    assert table["settings"]["task"] == "denoise"
    clean, degraded = load_test_pair(Pair("1", folders["clean"] / "1.png"), channels=3, task="denoise")
    stored = from_unit(to_unit(degraded), np.uint8)
    noisy, restored = (row for row in table["per_image"] if row["file"] == "1")
    assert noisy["psnr"] == pytest.approx(values(stored, clean)["psnr"])
    # The network is given what the task makes, which no file has clipped; its answer is stored as clean is.
    answer = from_unit(restorer.restore(degraded, steps=1), np.uint8)
    assert restored["psnr"] == pytest.approx(values(answer, clean)["psnr"])


def test_a_method_of_one_step_has_one_row(folders: dict[str, Any]) -> None:
    regression = Restorer(tiny_model(3, name="regression"), precision="float32")
    table = evaluate(regression, **folders)
    assert [row["steps"] for row in table["rows"]] == [1]


def test_a_list_of_times_is_its_own_number_of_steps(restorer: Restorer, folders: dict[str, Any]) -> None:
    of_times = Evaluation(
        restorer, *find_test_pairs(None, **folders, task=None), steps=(1, 5), sampling=Sampling(times=[1.0, 0.4, 0.0])
    )
    table = of_times.table(of_times.measurements())
    assert [(row["steps"], row["network_calls"]) for row in table["rows"]] == [(2, 2)]


@pytest.mark.medium
def test_what_is_written(tmp_path: Path, restorer: Restorer, folders: dict[str, Any]) -> None:
    table = evaluate(restorer, **folders, steps=[1, 2], out=tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["curve.png", "metrics.json", "report.html"]
    assert json.loads((tmp_path / "metrics.json").read_text()) == table
    page = (tmp_path / "report.html").read_text()
    assert page.count("<h3>") == 3  # a strip an image
    assert page.count("<figure>") == 3 * 4  # degraded, 1 step, 2 steps, clean


def test_floats_beyond_1_are_remarked_unless_their_range_is_given(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clean = np.random.default_rng(0).random((40, 48)).astype(np.float32)
    clean *= 2800 / clean.max()
    for side, image in (("clean", clean), ("degraded", clean + 9)):
        for name in "ab":
            write(tmp_path / side / f"{name}.tif", Image(image))
    given: dict[str, Any] = {"clean": tmp_path / "clean", "degraded": tmp_path / "degraded", "steps": [1]}
    said = "(a up to 2800, b up to 2800), and floats are measured against a range of 1; give the range that is meant"
    with caplog.at_level("WARNING", logger="indi"):
        evaluate(Restorer(tiny_model(1)), **given)
        assert caplog.text.count(said) == 1
        evaluate(Restorer(tiny_model(1)), **given, data_range=2800)
        assert caplog.text.count(said) == 1


def test_the_clean_crop_of_a_report_names_its_channel(tmp_path: Path) -> None:
    pictures = np.random.default_rng(0).integers(0, 255, (2, 64, 64), np.uint8)
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, pictures, metadata={"axes": "CYX", "Channel": {"Name": ["DAPI", "GFP"]}})
    pairs = tuple(Pair(f"a_{number}", path, path, picture=number) for number in (0, 1))
    for m in Evaluation(Restorer(tiny_model(1)), pairs, {}, steps=(1,)).measurements():
        assert m.shown is not None
        clean = m.shown[1]
        gray = pictures[int(m.file[-1])]
        assert (clean[:16, ..., 0] != gray[:16]).any()
        np.testing.assert_array_equal(clean[20:, ..., 0], gray[20:])


def counts_of(tmp_path: Path) -> dict[str, Any]:
    """Write pairs of 12-bit counts on an offset, in files of 16 bit."""
    random = np.random.default_rng(0)
    for name in "ab":
        clean = random.integers(100, 4096, (40, 48)).astype(np.uint16)
        noisy = (clean + random.normal(0, 60, clean.shape)).clip(0).astype(np.uint16)
        for side, image in (("clean", clean), ("degraded", noisy)):
            write(tmp_path / side / f"{name}.tif", Image(image))
    return {"clean": tmp_path / "clean", "degraded": tmp_path / "degraded", "steps": [1]}


@pytest.mark.medium
def test_counts_are_measured_against_their_own_range_where_that_is_asked_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    given = counts_of(tmp_path)
    restorer = Restorer(tiny_model(1))
    of_type = evaluate(restorer, **given)
    assert "2 of 2 clean images fill a small part of their 16 bit (a up to 4094, b up to 4094)" in caplog.text
    assert "give the range that is meant with --data-range" in caplog.text
    assert (of_type["settings"]["data_range"], of_type["settings"]["peak"]) == (None, [65535, 65535])
    caplog.clear()
    own = evaluate(restorer, **given, data_range="image", out=tmp_path / "out")
    assert caplog.text == ""
    (first,) = (row for row in own["per_image"] if (row["file"], row["steps"]) == ("a", 0))
    clean, degraded = (pixels(given[side] / "a.tif").astype(float) for side in ("clean", "degraded"))
    span = clean.max() - clean.min()
    assert first["psnr"] == pytest.approx(10 * np.log10(span**2 / ((clean - degraded) ** 2).mean()))
    assert own["settings"]["data_range"] == "image"
    assert own["settings"]["peak"] == pytest.approx([span, span], rel=0.01)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "against a range of" in page
    assert "what each clean image spans" in page


@pytest.mark.medium
def test_every_row_is_a_mean_over_the_same_images(tmp_path: Path, restorer: Restorer) -> None:
    """Two degraded images are equal to their clean ones: infinitely good, and a restoration can only be worse."""
    folders: dict[str, Any] = dict(write_pairs(tmp_path, count=4, size=(40, 48), channels=3))
    for name in ("1", "3"):
        write(folders["degraded"] / f"{name}.png", Image(pixels(folders["clean"] / f"{name}.png")))
    table = evaluate(restorer, **folders, steps=[1, 2], out=tmp_path / "out")
    for row in ({"steps": 0, **table["degraded"]}, *table["rows"]):
        each = {image["file"]: image for image in table["per_image"] if image["steps"] == row["steps"]}
        assert row["psnr"] == pytest.approx(np.mean([each[name]["psnr"] for name in ("0", "2")]))
        assert row["ssim"] == pytest.approx(np.mean([image["ssim"] for image in each.values()]))
    assert table["settings"]["left_out"]["psnr"] == ["1", "3"]
    assert "ssim" not in table["settings"]["left_out"]
    page = (tmp_path / "out" / "report.html").read_text()
    assert "over 2 images in every row; infinite (equal to the clean image) or undefined: 1, 3" in page


@pytest.mark.parametrize("how", ["cut short", "no image", "of another size", "of five channels"])
def test_a_broken_image_is_named_before_anything_is_restored(
    tmp_path: Path, restorer: Restorer, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    folders: dict[str, Any] = dict(write_pairs(tmp_path, count=3, size=(40, 48), channels=3))
    last = folders["degraded"] / "2.png"
    if how == "cut short":
        last.write_bytes(last.read_bytes()[:-30])
    elif how == "no image":
        last.write_bytes(b"nothing")
    elif how == "of another size":
        write(last, Image(pixels(last)[:20]))
    else:
        last.unlink()
        write(folders["degraded"] / "2.tif", Image(np.zeros((40, 48, 5), np.uint8)))
        last = folders["degraded"] / "2.tif"
    found = find_test_pairs(None, **folders, task=None, channels=3)
    evaluation = Evaluation(restorer, *found, steps=(1,))
    ((name, sentence),) = evaluation.problems
    assert name == "2"
    assert str(last) in sentence
    table = evaluation.table(evaluation.measurements())
    assert table["settings"]["images"] == 2
    assert table["settings"]["not_measured"] == ["2"]
    assert [row["file"] for row in table["per_image"] if row["steps"] == 1] == ["0", "1"]
    monkeypatch.setattr(Restorer, "trajectory", lambda *_, **__: pytest.fail("an image was restored"))
    with pytest.raises(DataError, match=r"1 pair to fix or remove: 2: "):
        evaluate(restorer, **folders, steps=[1])


def test_a_border_that_leaves_nothing_of_one_image_leaves_it_out(tmp_path: Path, restorer: Restorer) -> None:
    folders: dict[str, Any] = dict(write_pairs(tmp_path, count=2, size=(40, 48), channels=3))
    for folder in folders.values():
        write(folder / "1.png", Image(pixels(folder / "1.png")[:12]))
    found = find_test_pairs(None, **folders, task=None, channels=3)
    evaluation = Evaluation(restorer, *found, steps=(1,), border=6)
    ((name, sentence),) = evaluation.problems
    assert name == "1"
    assert "1.png: a border of 6 px leaves nothing of 12 x 48 px" in sentence
    with pytest.raises(DataError, match="2 pairs to fix or remove"):
        _ = Evaluation(restorer, *found, steps=(1,), border=30).problems


def test_a_report_that_could_not_be_written_is_refused_at_once(
    tmp_path: Path, restorer: Restorer, folders: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in-the-way").touch()
    monkeypatch.setattr(Restorer, "trajectory", lambda *_, **__: pytest.fail("an image was restored"))
    with pytest.raises(IndiError, match=r"in-the-way.*: cannot write: Not a directory"):
        evaluate(restorer, **folders, steps=[1], out=tmp_path / "in-the-way" / "report")
