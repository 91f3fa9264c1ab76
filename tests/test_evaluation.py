import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from indi import evaluation
from indi.data import Pair, load_test_pair
from indi.errors import ConfigError, MissingExtraError
from indi.evaluation import Evaluation, evaluate
from indi.images import Image, from_unit, read, to_unit, write
from indi.metrics import METRICS, PERCEPTUAL, SETS, measure, niqe
from indi.restoration import Restorer
from indi.test_pairs import find_test_pairs
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
    assert set(table["settings"]) == set(settings.split())


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
    monkeypatch.setattr(evaluation, "inception_features", lambda x, data_range: stand_in(x)[:, None] / data_range)
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
    of_times = Evaluation(restorer, *find_test_pairs(None, **folders, task=None), steps=(1, 5), times=[1.0, 0.4, 0.0])
    table = of_times.table(of_times.measurements())
    assert [(row["steps"], row["network_calls"]) for row in table["rows"]] == [(2, 2)]


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
    clean = np.random.default_rng(0).random((40, 48)).astype(np.float32) * 2800
    for side, image in (("clean", clean), ("degraded", clean + 9)):
        for name in "ab":
            write(tmp_path / side / f"{name}.tif", Image(image))
    given: dict[str, Any] = {"clean": tmp_path / "clean", "degraded": tmp_path / "degraded", "steps": [1]}
    said = "floats are measured against a range of 1; give the range that is meant with --data-range"
    with caplog.at_level("WARNING", logger="indi"):
        evaluate(Restorer(tiny_model(1)), **given)
        assert caplog.text.count(said) == 1
        evaluate(Restorer(tiny_model(1)), **given, data_range=2800)
        assert caplog.text.count(said) == 1
