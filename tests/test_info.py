import json
from pathlib import Path

import numpy as np
import pytest

from indi.checkpoint import MODEL_FILE, save_model
from indi.errors import ImageError, ModelError
from indi.images import Image, write
from indi.info import info
from problems import tiny_model


@pytest.mark.parametrize(("name", "dtype"), [("x.png", "uint16"), ("x.JPG", "uint8"), ("x.tif", "float32")])
def test_an_image(tmp_path: Path, name: str, dtype: str) -> None:
    write(tmp_path / name, Image(np.zeros((7, 9, 3), dtype)))
    facts = {"kind": "image", "path": str(tmp_path / name), "height": 7, "width": 9, "channels": 3, "type": dtype}
    assert info(tmp_path / name) == facts


def test_a_run_and_a_model(tmp_path: Path) -> None:
    run = tmp_path / "run.png"  # a folder, whatever its name
    save_model(tiny_model(3, epsilon=0.02), run)
    facts = info(run)
    assert facts["kind"] == "run"
    assert facts["name"] == "tiny"
    assert facts["channels"] == 3
    assert facts["method"]["epsilon"] == 0.02
    assert facts["network"] == {"name": "unet", "size": "tiny"}
    assert facts["parameters"] == sum(p.numel() for p in tiny_model(3).network.parameters())
    assert facts["halo"] % facts["stride"] == 0
    assert "last" not in facts
    model = info(run / MODEL_FILE)
    assert model["kind"] == "model"
    assert {name: model[name] for name in ("name", "halo", "parameters")} == {
        name: facts[name] for name in ("name", "halo", "parameters")
    }


def test_the_last_record_is_the_last_whole_one(tmp_path: Path) -> None:
    save_model(tiny_model(), tmp_path)
    log = tmp_path / "training.jsonl"
    for text, last in [
        ('{"iteration": 1, "loss": 0.5}\n{"iteration": 2, "loss": NaN}\n', {"iteration": 2, "loss": None}),
        ('{"iteration": 1, "loss": 0.5}\n{"iteration": 2, "lo', {"iteration": 1, "loss": 0.5}),
        ("", None),
    ]:
        log.write_text(text)
        assert info(tmp_path).get("last") == last
        json.dumps(info(tmp_path), allow_nan=False)


def test_what_is_none_of_these_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_text("no")
    (tmp_path / "x.bin").write_text("no")
    (tmp_path / "folder").mkdir()
    for name, error in [
        ("x.png", ImageError),
        ("none.png", ImageError),
        ("x.bin", ModelError),
        ("none", ModelError),
        ("folder", ModelError),
    ]:
        with pytest.raises(error, match=name):
            info(tmp_path / name)
