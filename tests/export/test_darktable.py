"""A package for darktable: what its loader reads, and tiles that agree with ours where darktable cuts them."""

import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from indi.cli import main
from indi.errors import ConfigError
from indi.export.darktable import export
from indi.models.checkpoint import Model, save_model
from indi.networks import UNet
from indi.restoration.restorer import Restorer
from problems import tiny_model

pytest.importorskip("onnxscript")
onnxruntime = pytest.importorskip("onnxruntime")
pytestmark = [pytest.mark.medium, pytest.mark.filterwarnings("ignore")]  # of the exporter's own making

OVERLAP, TILE = 64, 256  # darktable's, and the smallest of its tiles
Pixels = NDArray[np.float32]


@pytest.fixture(scope="module")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Path]:
    model = tiny_model(3, name="distributional")
    path = tmp_path_factory.mktemp("darktable") / "denoise-mine"
    export(model, path)
    return model, path


def with_darktable(path: Path, image: Pixels) -> Pixels:
    """Restore (3, H, W) by tiles as darktable cuts them (restore_rgb.c): mirrored at the edges, of one size."""
    options = onnxruntime.SessionOptions()
    for name, size in (("batch", 1), ("height", TILE), ("width", TILE)):
        options.add_free_dimension_override_by_name(name, size)
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (taken,), (given,) = session.get_inputs(), session.get_outputs()
    assert (taken.name, taken.shape) == ("input", [1, 3, TILE, TILE])
    assert given.name == "output"
    _, height, width = image.shape
    step = TILE - 2 * OVERLAP
    restored = np.empty_like(image)
    for top in range(0, height, step):
        for left in range(0, width, step):
            rows, columns = (mirrored(at - OVERLAP, side) for at, side in ((top, height), (left, width)))
            tile = session.run(None, {"input": image[None][..., rows[:, None], columns]})[0][0]
            kept = tile[:, OVERLAP:-OVERLAP, OVERLAP:-OVERLAP]
            restored[:, top : top + step, left : left + step] = kept[:, : height - top, : width - left]
    return restored


def mirrored(start: int, side: int) -> NDArray[Any]:
    """Return the places in an image that a tile's places show."""
    places = np.abs(np.arange(start, start + TILE)) % (2 * (side - 1))
    return np.where(places >= side, 2 * (side - 1) - places, places)


def test_its_tiles_fit_together_as_ours_do(packaged: tuple[Model, Path]) -> None:
    model, path = packaged
    image = np.random.default_rng(0).random((3, 301, 347), np.float32)
    found = with_darktable(path / "model.onnx", image)
    restorer = Restorer(model, precision="float32")
    wanted = np.moveaxis(restorer.restore(np.ascontiguousarray(np.moveaxis(image, 0, -1)), realism=0), -1, 0)
    inside = (slice(None), slice(OVERLAP, -OVERLAP), slice(OVERLAP, -OVERLAP))
    assert np.abs(found - wanted)[inside].max() < 1e-5
    assert np.abs(wanted - image).max() > 0.01  # the model does something
    assert np.abs(found - wanted).max() < np.abs(wanted - image).max()  # near the edge too it is a restoration


def test_the_package_is_what_darktable_reads(packaged: tuple[Model, Path], tmp_path: Path) -> None:
    model, path = packaged
    config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    assert config["id"] == path.name
    assert (config["task"], config["backend"], config["num_inputs"]) == ("denoise", "onnx", 1)
    assert {"name", "description", "version", "model_card"} <= set(config)
    assert all(isinstance(value, str) for value in config["model_card"].values())
    export(model, tmp_path / "denoise-mine.dtmodel")
    with zipfile.ZipFile(tmp_path / "denoise-mine.dtmodel") as archive:
        assert archive.namelist() == [f"denoise-mine/{name}" for name in ("config.json", "model.json", "model.onnx")]
    assert [each.name for each in tmp_path.iterdir()] == ["denoise-mine.dtmodel"]


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    tiny = tiny_model(3)
    assert tiny.network.halo == 64  # all that darktable's overlap allows
    small = replace(tiny, network=UNet.of_size(3, 3, "small"))
    with pytest.raises(ConfigError, match=r"tiny: its network sees 96 px .*overlap by 64 px.*--size tiny"):
        export(small, tmp_path / "denoise-mine")
    with pytest.raises(ConfigError, match="red, green and blue"):
        export(tiny_model(1), tmp_path / "denoise-mine")
    apart = replace(tiny, card=tiny.card.model_copy(update={"colour": False}))
    with pytest.raises(ConfigError, match="red, green and blue"):
        export(apart, tmp_path / "denoise-mine")
    enlarged = replace(tiny, card=tiny.card.model_copy(update={"task": "super-resolve-4x"}))
    with pytest.raises(ConfigError, match="enlarged already"):
        export(enlarged, tmp_path / "denoise-mine")
    with pytest.raises(ConfigError, match=r"My Model: darktable takes the name as the id"):
        export(tiny, tmp_path / "My Model")
    assert not list(tmp_path.iterdir())


def test_the_command_takes_a_target(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_model(tiny_model(3), tmp_path / "run")
    out = tmp_path / "denoise-run"
    assert main(["export", "--model", str(tmp_path / "run"), "--to", "darktable", "--out", str(out)]) == 0
    assert sorted(each.name for each in out.iterdir()) == ["config.json", "model.json", "model.onnx"]
    assert main(["export", "--model", "photo", "--to", "darktable", "--out", str(tmp_path / "photo")]) == 2
    assert "sees 96 px" in capsys.readouterr().err
