import json
import os
import pickletools
from pathlib import Path

import pytest
import torch

from indi.checkpoint import CARD_FILE, MODEL_FILE, load_model, read_tensors, save_model, write_tensors
from indi.errors import ModelError
from problems import tiny_model


def test_a_model_comes_back_as_it_was(tmp_path: Path) -> None:
    model = tiny_model()
    save_model(model, tmp_path)
    for path in (tmp_path, tmp_path / MODEL_FILE):
        back = load_model(path)
        assert back.card == model.card
        assert all(
            torch.equal(a, b) for a, b in zip(back.network.parameters(), model.network.parameters(), strict=True)
        )
        assert not any(weight.requires_grad for weight in back.network.parameters())
    assert json.loads((tmp_path / CARD_FILE).read_text())["method"]["name"] == "indi"


def test_a_model_file_needs_no_card_beside_it(tmp_path: Path) -> None:
    save_model(tiny_model(), tmp_path)
    (tmp_path / CARD_FILE).unlink()
    assert load_model(tmp_path / MODEL_FILE).card.name == "tiny"


@pytest.mark.parametrize("keep", [0, 1, 7, 8, 100, 0.5, 0.99])
def test_a_cut_model_is_refused(tmp_path: Path, keep: float) -> None:
    save_model(tiny_model(), tmp_path)
    file = tmp_path / MODEL_FILE
    data = file.read_bytes()
    file.write_bytes(data[: int(keep * len(data)) if keep < 1 else int(keep)])
    with pytest.raises(ModelError, match=MODEL_FILE):
        load_model(tmp_path)


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"not a model at all")
    for path in (tmp_path, tmp_path / "a.safetensors", tmp_path / "missing.safetensors"):
        with pytest.raises(ModelError) as caught:
            load_model(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def altered(tmp_path: Path, change: str) -> Path:
    save_model(tiny_model(), tmp_path)
    tensors, card = read_tensors(tmp_path / MODEL_FILE)
    name = "head.weight"
    if change == "nan":
        tensors[name] = tensors[name].clone().fill_(torch.nan)
    elif change == "shape":
        tensors[name] = tensors[name][:-1].clone()
    elif change == "missing":
        del tensors[name]
    elif change == "format":
        card["format"] = 2
    elif change == "method":
        card["method"]["name"] = "nothing"
    write_tensors(tmp_path / MODEL_FILE, tensors, card)
    return tmp_path


@pytest.mark.parametrize("change", ["nan", "shape", "missing", "format", "method"])
def test_an_altered_model_is_refused(tmp_path: Path, change: str) -> None:
    with pytest.raises(ModelError, match=MODEL_FILE):
        load_model(altered(tmp_path, change))


def test_another_programs_safetensors_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(ModelError, match=r"not a model of indi"):
        load_model(tmp_path / "x.safetensors")


def test_nothing_is_pickled(tmp_path: Path) -> None:
    save_model(tiny_model(), tmp_path)
    for file in tmp_path.iterdir():
        with pytest.raises(ValueError, match=r"."):
            for _ in pickletools.genops(file.read_bytes()):
                pass


def test_a_failed_write_leaves_the_old_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_model(tiny_model(), tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("indi.checkpoint.save", full)
    with pytest.raises(Exception, match="No space left"):
        save_model(tiny_model(seed=1), tmp_path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


@pytest.mark.skipif(os.name != "posix", reason="modes are those of POSIX")
def test_others_may_read_a_model_as_they_may_any_new_file(tmp_path: Path) -> None:
    save_model(tiny_model(), tmp_path)
    (tmp_path / "plain").touch()
    assert (tmp_path / MODEL_FILE).stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_a_model_that_may_not_be_read_is_not_called_missing(tmp_path: Path) -> None:
    save_model(tiny_model(), tmp_path)
    (tmp_path / MODEL_FILE).chmod(0)
    with pytest.raises(ModelError, match="Permission denied"):
        load_model(tmp_path)
