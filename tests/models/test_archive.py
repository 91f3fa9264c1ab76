"""A model inside an archive, as packages for other programs carry it."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

import indi
from indi.errors import ModelError
from indi.info import info
from indi.models.checkpoint import MODEL_FILE, load_model, save_model
from indi.restoration.restorer import Restorer
from problems import tiny_model


def packed(folder: Path, path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.write(folder / name, name)
    return path


def test_a_model_in_an_archive_is_that_model(tmp_path: Path) -> None:
    model = tiny_model(1, epsilon=0.05)
    save_model(model, tmp_path)
    package = packed(tmp_path, tmp_path / "package.zip", MODEL_FILE)
    back = indi.load(package, precision="float32")
    assert back.card == model.card
    image = np.random.default_rng(0).random((20, 31), np.float32)
    wanted = Restorer(model, precision="float32").restore(image, steps=2)
    np.testing.assert_array_equal(back.restore(image, steps=2), wanted)
    assert info(package)["kind"] == "model"


def test_an_archive_of_others_is_refused(tmp_path: Path) -> None:
    torch.save({"weights": torch.zeros(3)}, tmp_path / "their.pt")  # an archive, as torch writes it
    (tmp_path / "rdf.yaml").write_text("type: model")
    packed(tmp_path, tmp_path / "their.zip", "rdf.yaml")
    for place in (tmp_path / "their.pt", tmp_path / "their.zip", tmp_path):
        with pytest.raises(ModelError, match=r"not a package that indi exported, .*run it with its own program"):
            load_model(place)


@pytest.mark.parametrize("share", [0.4, 0.5, 0.999])
def test_a_cut_or_altered_archive_is_refused(tmp_path: Path, share: float) -> None:
    save_model(tiny_model(1), tmp_path)
    package = packed(tmp_path, tmp_path / "package.zip", MODEL_FILE)
    whole = package.read_bytes()
    at = int(share * len(whole))
    for damaged in (whole[:at], whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :]):
        package.write_bytes(damaged)
        with pytest.raises(ModelError, match=r"package\.zip: "):
            load_model(package)


def test_a_model_in_an_archive_that_is_none_is_said_by_its_place(tmp_path: Path) -> None:
    (tmp_path / MODEL_FILE).write_bytes(b"no model")
    package = packed(tmp_path, tmp_path / "package.zip", MODEL_FILE)
    with pytest.raises(ModelError, match=r"package\.zip: model\.safetensors: not a model of indi"):
        load_model(package)
