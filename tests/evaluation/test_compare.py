import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from indi.errors import ConfigError, DataError, DeviceError, ImageError, ModelError
from indi.evaluation.compare import Comparison, compare
from indi.evaluation.evaluate import evaluate
from indi.metrics import METRICS
from indi.process.methods import METHODS
from problems import write_pairs

pytestmark = pytest.mark.medium

QUICK: dict[str, Any] = {"iterations": 2, "size": "tiny", "steps": [2, 1]}
CONFIG = {"data": {"crop": 16, "batch": 2, "validation": 0.25}}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return write_pairs(tmp_path_factory.mktemp("pairs"), count=4)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("comparison")


@pytest.fixture(scope="module")
def table(folders: dict[str, Any], out: Path) -> dict[str, Any]:
    return compare(**folders, **QUICK, config=CONFIG, out=out, seeds=2)


def cells(comparison: Comparison) -> set[str]:
    """Work through a comparison; return what it had to do."""
    return {f"{stage} {name}" for name, stage, _ in comparison.progress()}


def test_the_table_has_the_keys_it_promises(table: dict[str, Any]) -> None:
    assert list(table["methods"]) == list(METHODS)
    assert set(table["degraded"]) == set(METRICS)
    for method, result in table["methods"].items():
        assert list(result["train"]) == ["seconds", "iterations", "crops_per_second", "parameters"]
        assert result["train"]["iterations"] == 2
        # What draws is shown over its dial in one call, and over calls at realism 1.
        steps = {"regression": [1], "distributional": [1, 1, 1, 2]}.get(method, [1, 2])
        assert [row["steps"] for row in result["rows"]] == steps
        named = ["steps", "realism"] if method == "distributional" else ["steps"]
        for row in result["rows"]:
            assert list(row) == [*named, "network_calls", *METRICS, "seconds_per_megapixel"]
            assert row["network_calls"] == row["steps"]
    assert [row["realism"] for row in table["methods"]["distributional"]["rows"]] == [0, 0.6, 1, 1]
    weights = {method: result["train"]["parameters"] for method, result in table["methods"].items()}
    # The same network for all; diffusion's sees twice the channels, since it needs the degraded image beside the noise.
    assert weights.pop("diffusion") - weights["indi"] == 4 * 32 * 9
    assert weights.pop("distributional") - weights["indi"] == 3 * 4 * 32 * 9  # degraded, noise, the dial
    assert len(set(weights.values())) == 1
    assert table["settings"]["seeds"] == [0, 1]
    assert table["settings"]["size"] == "tiny"


def test_the_figures_are_means_over_the_seeds_of_evaluations(table: dict[str, Any], out: Path) -> None:
    runs = [evaluate(out / "runs" / f"flow-s{seed}", steps=[1, 2], seed=0) for seed in (0, 1)]
    result = table["methods"]["flow"]
    for row, spread, *each in zip(result["rows"], result["spread"], *(run["rows"] for run in runs), strict=True):
        values = [other["psnr"] for other in each]
        assert row["psnr"] == pytest.approx(np.mean(values))
        assert spread["psnr"] == pytest.approx(np.std(values, ddof=1))
    assert [seed["rows"][0]["psnr"] for seed in result["seeds"]] == [run["rows"][0]["psnr"] for run in runs]


def test_what_is_written(table: dict[str, Any], out: Path) -> None:
    written = json.loads((out / "compare.json").read_text(), parse_constant=lambda name: pytest.fail(name))
    assert written == table
    page = (out / "report.html").read_text()
    assert page.count("<h3>") == len(METHODS)  # one validation image, a strip a method
    # degraded, 1 step, 2 steps, clean; regression knows one step; four ways to draw
    assert page.count("<figure>") == 4 * 4 + 3 + 6
    assert (out / "compare.png").exists()


def test_all_methods_are_trained_on_the_same_pairs_in_the_same_order(table: dict[str, Any], out: Path) -> None:
    splits = {(out / "runs" / f"{method}-s1" / "split.json").read_text() for method in table["methods"]}
    assert len(splits) == 1


def test_what_is_finished_is_kept(table: dict[str, Any], folders: dict[str, Any], out: Path) -> None:
    def again(**changed: Any) -> Comparison:
        return Comparison.of(**folders, config=CONFIG, out=out, **{**QUICK, "seeds": 2, **changed})

    assert cells(again()) == set()
    assert again().table() == table
    assert "models to train and measure: 0 of 12" in again().cost()
    # Other step counts are measured again, with the trained runs; one more seed is trained.
    assert "models to train and measure: 6 of 6" in again(seeds=1, steps=[1]).cost()
    assert cells(again(methods=["bridge"], seeds=3)) == {"training bridge-s2", "measuring bridge-s2"}
    begun = (out / "runs" / "indi-s0" / "training.jsonl").read_text()
    cells(again(methods=["indi"], seeds=1, steps=[1]))
    assert (out / "runs" / "indi-s0" / "training.jsonl").read_text() == begun


def test_another_budget_is_refused_as_it_would_not_be_the_same_for_all(table: dict[str, Any], out: Path) -> None:
    settings = json.loads((out / "runs/indi-s0/config.json").read_text())
    where: dict[str, Any] = {name: settings["data"][name] for name in ("clean", "degraded")}
    for iterations in (1, 3):
        options = {**QUICK, "iterations": iterations, "methods": ["indi"]}
        with pytest.raises(ConfigError, match=r"indi-s0: trained for 2 iterations; give the same budget"):
            Comparison.of(**where, **options, config=CONFIG, out=out)
    with pytest.raises(ConfigError, match="trained for 2 iterations"):
        Comparison.of(**where, **{**QUICK, "iterations": None, "minutes": 1.0}, config=CONFIG, out=out)


def test_all_seeds_have_one_split(table: dict[str, Any], out: Path) -> None:
    assert len({(out / "runs" / f"indi-s{seed}" / "split.json").read_text() for seed in (0, 1)}) == 1


def test_images_that_changed_are_noticed(folders: dict[str, Any], tmp_path: Path) -> None:
    pairs, test = write_pairs(tmp_path / "pairs"), write_pairs(tmp_path / "test", count=3)
    options: dict[str, Any] = {**QUICK, **pairs, "methods": ["regression"], "config": CONFIG, "out": tmp_path / "out"}
    names: dict[str, Any] = {"test_clean": test["clean"], "test_degraded": test["degraded"]}
    assert compare(**options, **names)["settings"]["images"] == 3
    for folder in test.values():
        (folder / "2.png").unlink()
    assert cells(Comparison.of(**options, **names)) == {"training regression-s0", "measuring regression-s0"}
    assert compare(**options, **names)["settings"]["images"] == 2
    for folder in pairs.values():
        (folder / "3.png").unlink()
    with pytest.raises(DataError, match="its images have changed since it began"):
        compare(**options, **names)


def test_a_cell_that_was_cut_off_is_finished(folders: dict[str, Any], tmp_path: Path) -> None:
    comparison = Comparison.of(**folders, **QUICK, config=CONFIG, out=tmp_path, methods=["indi", "regression"])
    for progress in (work := comparison.progress()):
        if progress.stage == "measuring":
            work.close()
            break
    with pytest.raises(ModelError, match="indi-s0: not finished"):
        comparison.table()
    (tmp_path / "cells/indi-s0").mkdir(parents=True, exist_ok=True)
    (tmp_path / "cells/indi-s0/cell.json").write_text("{")  # a cell that is no cell is made again
    assert cells(comparison) >= {"measuring indi-s0", "training regression-s0"}
    (tmp_path / "cells/indi-s0/0-1.png").unlink()
    assert cells(comparison) == {"training indi-s0", "measuring indi-s0"}  # training finds that it is done
    assert set(comparison.table()["methods"]) == {"indi", "regression"}


def test_other_images_to_test_on(folders: dict[str, Any], tmp_path: Path) -> None:
    test = write_pairs(tmp_path / "test", count=2)
    options: dict[str, Any] = {**QUICK, "methods": ["indi"], "config": CONFIG, "runs": tmp_path / "runs"}
    names = {"test_clean": test["clean"], "test_degraded": test["degraded"]}
    table = compare(**folders, **options, **names, out=tmp_path / "a")
    assert table["settings"]["images"] == 2
    assert table["settings"]["test.clean"] == str(test["clean"])
    assert table["settings"]["data.clean"] == str(folders["clean"])
    made = compare(
        clean=folders["clean"],
        task="denoise",
        **{**options, "runs": None},
        test_clean=test["clean"],
        out=tmp_path / "b",
    )
    assert made["settings"]["data.task"] == made["settings"]["test.task"] == "denoise"


def test_what_cannot_work_is_said_before_anything_is_trained(folders: dict[str, Any], tmp_path: Path) -> None:
    def refused(error: type[Exception], match: str, **changed: Any) -> None:
        with pytest.raises(error, match=match):
            Comparison.of(**{**folders, **QUICK, "out": tmp_path / "out", **changed})

    refused(ConfigError, "unknown method 'indy'", methods=["indy"])
    refused(ConfigError, "did you mean indi", methods=["indy"])
    refused(ConfigError, "each once", methods=["indi", "indi "])
    refused(ConfigError, "each once", methods=[])
    refused(ConfigError, "seeds is below 1", seeds=0)
    refused(DeviceError, "unknown device", device="gpu")
    refused(ImageError, "no such folder", clean=tmp_path / "nowhere")
    refused(ConfigError, "no task 'blur'", degraded=None, task="blur")
    refused(ConfigError, "no budget", iterations=None)
    refused(ConfigError, "steps are", steps=[])
    refused(ConfigError, "steps are", steps=[0])
    refused(ConfigError, "unknown size", size="huge")
    refused(ConfigError, "noise of its own", config={"method": {"noise": "brownian"}})
    refused(ConfigError, "give the clean images", test_degraded=tmp_path)
    refused(ConfigError, "one of the two", test_clean=folders["clean"])
    (tmp_path / "empty").mkdir()
    refused(Exception, "no images", test_clean=tmp_path / "empty", task="denoise", degraded=None)
    assert not (tmp_path / "out").exists()


def test_pairs_that_do_not_fit_are_said(folders: dict[str, Any], tmp_path: Path) -> None:
    other = write_pairs(tmp_path, count=1, size=(30, 30))
    (other["degraded"] / "0.png").rename(other["degraded"] / "x.png")
    with pytest.raises(DataError):
        Comparison.of(clean=other["clean"], degraded=other["degraded"], **QUICK, out=tmp_path / "out")


def test_a_link_to_nowhere_is_no_image(folders: dict[str, Any], tmp_path: Path) -> None:
    """As some editors leave beside a file that is open."""
    clean = shutil.copytree(folders["clean"], tmp_path / "clean")
    (clean / ".#0.png").symlink_to("user@host.1234:1")
    options: dict[str, Any] = {**QUICK, "steps": [1], "config": CONFIG, "methods": ["regression"]}
    table = compare(clean=clean, task="denoise", out=tmp_path / "out", **options)
    assert table["methods"]["regression"]["rows"]


def test_what_a_file_of_settings_says_holds_for_the_test_images_too(folders: dict[str, Any], tmp_path: Path) -> None:
    data = {**CONFIG["data"], "clean": folders["clean"], "task": "denoise", "resample": True}
    asked = {"training": {"seed": 7}, "data": data}
    comparison = Comparison.of(**QUICK, config=asked, test_clean=folders["clean"], out=tmp_path)
    assert (comparison.seeds, comparison.test["task"], comparison.test["resample"]) == ((7,), "denoise", True)
    assert comparison.config["data"]["split_seed"] == 7
    assert Comparison.of(**QUICK, config=asked, seed=1, out=tmp_path).seeds == (1,)


def test_trainings_of_other_seeds_meet_the_same_test_images(folders: dict[str, Any], tmp_path: Path) -> None:
    """A task damages them by the seed; the spread is to be of trainings alone."""
    options = {**QUICK, "steps": [1], "config": CONFIG, "methods": ["regression"], "out": tmp_path}
    compare(clean=folders["clean"], task="denoise", seeds=2, **options)
    kept = [json.loads(file.read_text())["table"] for file in sorted(tmp_path.glob("cells/*/*.json"))]
    assert len(kept) == 2
    assert kept[0]["degraded"] == kept[1]["degraded"]
    assert kept[0]["rows"][0]["psnr"] != kept[1]["rows"][0]["psnr"]


def test_what_cannot_be_measured_is_said_before_anything_is_trained(folders: dict[str, Any], tmp_path: Path) -> None:
    def refused(says: str, kind: type[Exception] = DataError, **more: Any) -> None:
        with pytest.raises(kind, match=says):
            Comparison.of(**{**QUICK, **folders, "out": tmp_path / "out", **more})

    refused("a border of 100 px leaves nothing of", border=100)
    refused("data range is -1", ConfigError, data_range=-1)
    one = write_pairs(tmp_path / "one", count=1)
    refused("no pair is kept for validation", ConfigError, **one)
    broken = write_pairs(tmp_path / "broken", count=2)
    file = broken["degraded"] / "1.png"
    file.write_bytes(file.read_bytes()[:-30])
    refused(r"1\.png: PNG cut short", test_clean=broken["clean"], test_degraded=broken["degraded"])
    assert not (tmp_path / "out").exists()


def test_all_methods_are_means_over_the_same_images(folders: dict[str, Any], tmp_path: Path) -> None:
    """One method restores an image without any error, another does not."""
    options: dict[str, Any] = {**QUICK, "steps": [1], "config": CONFIG, "methods": ["regression", "indi"]}
    test = {f"test_{side}": folder for side, folder in folders.items()}
    comparison = Comparison.of(**folders, **options, **test, out=tmp_path)
    for _ in comparison.progress():
        pass
    file = tmp_path / "cells" / "indi-s0" / "cell.json"
    kept = json.loads(file.read_text())
    first = next(row for row in kept["table"]["per_image"] if row["steps"] == 1)
    first["psnr"] = None
    file.write_text(json.dumps(kept))
    table = comparison.table()
    assert table["settings"]["left_out"]["psnr"] == [first["file"]]
    for method in options["methods"]:
        kept = json.loads((tmp_path / "cells" / f"{method}-s0" / "cell.json").read_text())["table"]["per_image"]
        each = [row["psnr"] for row in kept if row["steps"] == 1 and row["file"] != first["file"]]
        assert table["methods"][method]["rows"][0]["psnr"] == pytest.approx(np.mean(each))
