"""Models travel: to a folder and back, and to the hub and back, with the hub itself replaced by a folder."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import indi
from documents import ROOT
from indi.errors import ConfigError, ModelError
from indi.models.pretrained import FREE, pretrained_models, pretrained_names, usual_way
from indi.restoration.restorer import Restorer
from problems import tiny_model, write_pairs

huggingface_hub = pytest.importorskip("huggingface_hub")


@pytest.fixture
def far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub that is a folder, with the names and arguments of the real one; it notes the last request."""
    root = tmp_path / "far"
    root.mkdir()

    def create_repo(self: Any, repo_id: str, *, private: bool, exist_ok: bool) -> str:
        (root / repo_id).mkdir(parents=True, exist_ok=exist_ok)
        return f"https://hub/{repo_id}"

    def upload_folder(self: Any, *, repo_id: str, folder_path: Path, commit_message: str) -> None:
        if repo_id.startswith("not-mine/"):
            raise huggingface_hub.errors.LocalTokenNotFoundError("no token")
        if repo_id.startswith("unheard/"):
            raise type("ConnectError", (Exception,), {})("no route")  # of the library that speaks HTTP
        (root / "token").write_text(str(self.token))
        shutil.copytree(folder_path, root / repo_id, dirs_exist_ok=True)

    def snapshot_download(
        repo_id: str, *, revision: str | None, allow_patterns: list[str], library_name: str, **where: Any
    ) -> str:
        assert set(where) <= {"token", "cache_dir", "local_files_only"}
        (root / "asked").write_text(json.dumps({"revision": revision, **where}, default=str))
        if not (root / repo_id).is_dir() or revision not in (None, "v1"):
            raise OSError(f"404 for\n{repo_id}")
        return str(root / repo_id)

    monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", create_repo)
    monkeypatch.setattr(huggingface_hub.HfApi, "upload_folder", upload_folder)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return root


IMAGE = (np.random.default_rng(0).random((20, 30)) * 255).astype(np.uint8)


def same(one: Restorer, other: Restorer) -> bool:
    return np.array_equal(one.restore(IMAGE, steps=2), other.restore(IMAGE, steps=2))


def test_a_folder_is_written_as_the_hub_wants_it_and_read_again(tmp_path: Path) -> None:
    restorer = Restorer(tiny_model(1, epsilon=0.02), precision="float32")
    restorer.save_pretrained(tmp_path / "mine")
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == [
        *("README.md", "config.json", "model.json", "model.safetensors")
    ]
    config = json.loads((tmp_path / "mine" / "config.json").read_text())
    assert config["method"]["epsilon"] == 0.02
    head = (tmp_path / "mine" / "README.md").read_text().split("---")[1]
    assert 'library_name: "indi"' in head
    assert 'pipeline_tag: "image-to-image"' in head
    assert same(Restorer.from_pretrained(tmp_path / "mine", precision="float32"), restorer)
    assert same(indi.load(tmp_path / "mine", precision="float32"), restorer)


def test_a_model_goes_to_the_hub_and_comes_back(far: Path) -> None:
    restorer = Restorer(tiny_model(1), precision="float32")
    assert restorer.push_to_hub("me/mine") == "https://hub/me/mine"
    assert (far / "me/mine/README.md").exists()
    for name in ("hf:me/mine", "hf:me/mine@v1"):
        assert same(indi.load(name, precision="float32"), restorer)
    assert same(Restorer.from_pretrained("me/mine", precision="float32"), restorer)


def test_what_the_convention_takes_reaches_the_hub(far: Path, tmp_path: Path) -> None:
    restorer = Restorer(tiny_model(1), precision="float32")
    restorer.push_to_hub("me/mine", token="secret")
    assert (far / "token").read_text() == "secret"
    where: dict[str, Any] = {"revision": "v1", "token": "t", "cache_dir": tmp_path, "local_files_only": True}
    assert same(Restorer.from_pretrained("me/mine", precision="float32", **where), restorer)
    assert json.loads((far / "asked").read_text()) == {**where, "cache_dir": str(tmp_path)}
    for one in (Restorer.from_pretrained("me/mine@v1", precision="float32"), indi.load("hf:me/mine@v1")):
        assert one.card == restorer.card
        assert json.loads((far / "asked").read_text())["revision"] == "v1"
    with pytest.raises(ConfigError, match=r"me/mine@v1: revision is v2 and the name has one too; give either"):
        Restorer.from_pretrained("me/mine@v1", revision="v2")


def card_of(folder: Path) -> Any:
    """Return the model card as the hub's own library reads it."""
    return huggingface_hub.ModelCard.load(folder / "README.md")


def test_the_card_names_the_model_and_its_steps(far: Path, tmp_path: Path) -> None:
    restorer = Restorer(tiny_model(1))
    restorer.push_to_hub("me/mine")
    card = card_of(far / "me/mine")
    assert "indi restore IMAGE --model hf:me/mine --steps 10\n" in card.text
    assert card.data.library_name == "indi"
    assert card.data.pipeline_tag == "image-to-image"
    assert card.data.license is None  # nobody said
    restorer.best_steps = 3
    restorer.save_pretrained(tmp_path / "folder")
    assert "--model FOLDER --steps 3\n" in card_of(tmp_path / "folder").text
    Restorer(tiny_model(1, name="regression")).save_pretrained(tmp_path / "one")
    assert "--steps 1\n" in card_of(tmp_path / "one").text


@pytest.mark.parametrize("name", pretrained_names())
def test_a_shipped_model_takes_along_what_is_known_of_it(far: Path, name: str) -> None:
    (about,) = [each for each in pretrained_models() if each["name"] == name]
    indi.load(name).push_to_hub(f"me/{name}-again")
    folder = far / f"me/{name}-again"
    card = card_of(folder)
    dial = f"--realism {about['best_realism']:g}" if about["realism"] else f"--steps {about['steps']}"
    assert f"--model hf:me/{name}-again {dial}\n" in card.text
    for key in ("purpose", "licence", "limits", "not_for", "data"):
        assert about[key] in card.text, key
    if about["licence"] == FREE:
        assert card.data.license == "mit"
    else:
        assert (card.data.license, card.data.license_name) == ("other", "non-commercial")
        assert "non-commercial" in about["licence"]  # what the name says
        assert (folder / card.data.license_link).read_text(encoding="utf-8").strip() == about["licence"]
    results = {(result.dataset_name, result.metric_type): result for result in card.data.eval_results}
    for figure in about["figures"]:
        (row,) = [row for row in figure["rows"] if usual_way(about).items() <= row.items()]
        result = results[f"{figure['set']}, {figure['kind']}", "psnr"]
        assert result.metric_value == pytest.approx(row["psnr"], abs=1e-4)
        way = f"realism {about['best_realism']:g}" if about["realism"] else f"steps {about['steps']}"
        assert result.metric_name == f"PSNR (dB), {way}"
        assert re.fullmatch("[a-z0-9-]+", result.dataset_type)
        for row in figure["rows"]:
            way = f"realism {row['realism']:g}" if about["realism"] else f"steps {row['steps']}"
            assert f"| {way} | {row['psnr']:.4g} |" in card.text
    assert indi.load(f"hf:me/{name}-again").best_steps == about["steps"]


def test_a_run_that_is_called_as_a_shipped_model_is_not_it(tmp_path: Path) -> None:
    model = tiny_model(1)
    named = replace(model, card=model.card.model_copy(update={"name": pretrained_names()[0]}))
    Restorer(named).save_pretrained(tmp_path)
    assert card_of(tmp_path).data.license is None
    assert not (tmp_path / "LICENSE.md").exists()


def test_the_code_of_the_document_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docs" / "export.md").read_text(encoding="utf-8")
    (code,) = [code for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "save_pretrained" in code]
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"image": np.zeros((20, 30, 3), np.uint8)}
    exec(code, names)
    assert names["restored"].shape == (20, 30, 3)


def test_what_the_hub_says_is_said_in_one_line(far: Path) -> None:
    with pytest.raises(ModelError, match=r"hf:me/none: cannot be fetched \(404 for me/none\); check the name"):
        indi.load("hf:me/none")
    with pytest.raises(ModelError, match="check the name"):
        indi.load("hf:me/none@v2")
    with pytest.raises(ModelError, match=r"not-mine/x: cannot be pushed .*log in"):
        Restorer(tiny_model(1)).push_to_hub("not-mine/x")
    with pytest.raises(ModelError, match=r"unheard/x: cannot be pushed \(no route"):
        Restorer(tiny_model(1)).push_to_hub("unheard/x")


@pytest.mark.medium
def test_a_folder_for_the_hub_is_measured_and_calibrated(tmp_path: Path) -> None:
    """Its config.json is the hub's, not that of a run."""
    Restorer(tiny_model(1, epsilon=0.05)).save_pretrained(tmp_path / "mine")
    folders: dict[str, Any] = write_pairs(tmp_path / "data", count=2)
    assert len(indi.evaluate(tmp_path / "mine", **folders, steps=[1])["per_image"]) == 4
    assert indi.calibrate(tmp_path / "mine", **folders, samples=2, steps=1).scenes == 2


@pytest.mark.medium
def test_the_card_of_a_calibrated_model_says_what_its_intervals_hold(tmp_path: Path) -> None:
    Restorer(tiny_model(1, epsilon=0.05)).save_pretrained(tmp_path / "mine")
    folders: dict[str, Any] = write_pairs(tmp_path / "data", count=4)
    found = indi.calibrate(tmp_path / "mine", **folders, samples=2, steps=1)
    indi.load(tmp_path / "mine").save_pretrained(tmp_path / "mine")
    text = (tmp_path / "mine" / "README.md").read_text(encoding="utf-8")
    assert "**Intervals**: of 90% from 4 scenes, plain, for 2 samples at 1 steps; on scenes left out they held" in text
    for one, held in zip(found.classes, found.check["classes"], strict=True):
        assert f"| {one.low:.3g} to {one.high:.3g} | {one.factor:.3g} | {held['plain']:.1%} |" in text
