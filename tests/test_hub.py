"""Models travel: to a folder and back, and to the hub and back, with the hub itself replaced by a folder."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import indi
from indi.errors import ModelError
from indi.restoration import Restorer
from problems import tiny_model

huggingface_hub = pytest.importorskip("huggingface_hub")


@pytest.fixture
def far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub that is a folder, with the names and arguments of the real one."""
    root = tmp_path / "far"

    def create_repo(self: Any, repo_id: str, *, private: bool, exist_ok: bool) -> str:
        (root / repo_id).mkdir(parents=True, exist_ok=exist_ok)
        return f"https://hub/{repo_id}"

    def upload_folder(self: Any, *, repo_id: str, folder_path: Path, commit_message: str) -> None:
        if repo_id.startswith("not-mine/"):
            raise huggingface_hub.errors.LocalTokenNotFoundError("no token")
        shutil.copytree(folder_path, root / repo_id, dirs_exist_ok=True)

    def snapshot_download(repo_id: str, *, revision: str | None, allow_patterns: list[str], library_name: str) -> str:
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


def test_what_the_hub_says_is_said_in_one_line(far: Path) -> None:
    with pytest.raises(ModelError, match=r"hf:me/none: cannot be fetched \(404 for me/none\); check the name"):
        indi.load("hf:me/none")
    with pytest.raises(ModelError, match="check the name"):
        indi.load("hf:me/none@v2")
    with pytest.raises(ModelError, match=r"not-mine/x: cannot be pushed .*log in"):
        Restorer(tiny_model(1)).push_to_hub("not-mine/x")
