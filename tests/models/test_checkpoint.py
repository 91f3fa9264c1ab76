import json
import os
import pickletools
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from indi.errors import ModelError
from indi.models.checkpoint import CARD_FILE, MODEL_FILE, load_model, read_card, read_tensors, save_model, write_tensors
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


@pytest.mark.parametrize("place", ["weights", "card"])
def test_a_flipped_bit_is_refused(tmp_path: Path, place: str) -> None:
    save_model(tiny_model(epsilon=0.05), tmp_path)
    file = tmp_path / MODEL_FILE
    data = bytearray(file.read_bytes())
    data[-1 if place == "weights" else data.index(b"0.05") + 3] ^= 1  # 0.05 becomes 0.04
    file.write_bytes(data)
    with pytest.raises(ModelError, match=r"model\.safetensors: damaged: its content differs from its digest"):
        load_model(tmp_path)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_file_without_a_digest_loads_whatever_width_its_floats_have(tmp_path: Path, dtype: torch.dtype) -> None:
    """As older versions and other programs write them."""
    model = tiny_model()
    tensors = {k: v.to(dtype).contiguous() for k, v in model.network.state_dict().items()}
    save_file(tensors, tmp_path / MODEL_FILE, metadata={"indi": model.card.model_dump_json()})
    back = load_model(tmp_path).network.state_dict()
    assert all(torch.equal(back[name], value.float()) for name, value in tensors.items())


@pytest.mark.medium
@pytest.mark.parametrize("dtype", [torch.float64, torch.int8, torch.int32, torch.bool, torch.complex64])
@pytest.mark.parametrize("names", ["one", "all"])
def test_weights_of_another_type_are_refused(tmp_path: Path, dtype: torch.dtype, names: str) -> None:
    save_model(tiny_model(), tmp_path)
    tensors, card = read_tensors(tmp_path / MODEL_FILE)
    chosen = ["head.weight"] if names == "one" else list(tensors)
    tensors |= {name: tensors[name].to(dtype) for name in chosen}
    write_tensors(tmp_path / MODEL_FILE, tensors, card)
    kind = str(dtype).removeprefix("torch.")
    with pytest.raises(ModelError, match=rf"model\.safetensors: its tensor .* is {kind}, float32 is needed"):
        load_model(tmp_path)


def test_a_deep_header_is_refused(tmp_path: Path) -> None:
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors", metadata={"indi": "[" * 100_000})
    for read in (load_model, read_card):
        with pytest.raises(ModelError, match=r"not a model of indi, or damaged"):
            read(tmp_path / "x.safetensors")


def test_another_programs_safetensors_are_refused(tmp_path: Path) -> None:
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

    monkeypatch.setattr("indi.models.checkpoint.save", full)
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


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_path_that_safetensors_cannot_open_is_said_so(tmp_path: Path) -> None:
    save_model(tiny_model(1), tmp_path / "run")
    run = (tmp_path / "run").rename(tmp_path / os.fsdecode(b"caf\xe9"))
    with pytest.raises(ModelError, match=r"caf\\udce9/model.safetensors': the path is not UTF-8, .*; rename it"):
        load_model(run)
