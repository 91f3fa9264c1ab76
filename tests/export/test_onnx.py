"""An exported model walks as ours does: in onnxruntime and in OpenVINO, at any size, for every method."""

import json
import re
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from documents import ROOT
from indi.errors import ConfigError, MissingExtraError
from indi.export.onnx import METADATA, export
from indi.models.checkpoint import Model
from indi.process.sampling import Sampling
from indi.restoration.restorer import Restorer
from problems import awake, tiny_model

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytestmark = [pytest.mark.medium, pytest.mark.filterwarnings("ignore")]  # of the exporter's own making

Array = NDArray[Any]


class Run(Protocol):
    def __call__(self, *inputs: Array) -> Array: ...


def with_onnxruntime(path: Path) -> Run:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    return lambda *inputs: np.asarray(session.run(None, dict(zip(names, inputs, strict=True)))[0])


def with_openvino(path: Path) -> Run:
    openvino = pytest.importorskip("openvino")
    # By default OpenVINO computes in bfloat16 where the processor can, which 16-bit images do not survive.
    compiled = openvino.compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda *inputs: np.array(compiled(list(inputs))[0])


RUNTIMES = {"onnxruntime": with_onnxruntime, "OpenVINO": with_openvino}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Path]:
    model, path = tiny_model(3, epsilon=0.05), tmp_path_factory.mktemp("onnx") / "model.onnx"
    export(model, path)
    return model, path


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_walk_is_ours_at_any_size(exported: tuple[Model, Path], runtime: str) -> None:
    model, path = exported
    run = RUNTIMES[runtime](path)
    for height, width in ((64, 64), (45, 70), (101, 33), (1, 1)):
        degraded = np.random.default_rng(0).random((height, width, 3), np.float32)
        restorer = Restorer(model, precision="float32")
        states = list(restorer.trajectory(degraded, Sampling(steps=10, sampler="euler")))
        x = states[0].image.numpy()  # the degraded image with the noise of the start
        for k in range(10, 0, -1):
            t, s = k / 10, (k - 1) / 10
            x = (s / t) * x + (1 - s / t) * run(x, np.array([t], np.float32))
            assert np.abs(x - states[11 - k].image.numpy()).max() < 1e-4


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_batch_is_its_images(exported: tuple[Model, Path], runtime: str) -> None:
    run = RUNTIMES[runtime](exported[1])
    images = np.random.default_rng(0).random((3, 3, 40, 24), np.float32)
    times = np.array([1, 0.5, 0.01], np.float32)
    together = run(images, times)
    for k in range(3):
        np.testing.assert_allclose(together[k : k + 1], run(images[k : k + 1], times[k : k + 1]), atol=1e-5)


@pytest.mark.parametrize("method", ["flow", "diffusion"])  # the two that are not asked for the clean image itself
def test_other_methods_give_their_estimate_of_clean(tmp_path: Path, method: str) -> None:
    model = tiny_model(1, name=method)
    export(model, tmp_path / "model.onnx")
    state, degraded = (torch.rand(2, 1, 21, 34, generator=torch.Generator().manual_seed(k)) for k in range(2))
    t = torch.tensor([1.0, 0.3])
    rule = model.card.method.build()
    with torch.no_grad():
        wanted = rule.estimate(model.network, state, degraded, t).numpy()
    inputs = (state, degraded, t) if rule.conditioned else (state, t)
    found = with_onnxruntime(tmp_path / "model.onnx")(*(each.numpy() for each in inputs))
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_the_file_says_what_a_walk_needs(exported: tuple[Model, Path]) -> None:
    model, path = exported
    (entry,) = [each for each in onnx.load(path).metadata_props if each.key == METADATA]
    told = json.loads(entry.value)
    assert told["channels"] == 3
    assert told["epsilon"] == 0.05
    assert told["method"] == "indi"
    assert (told["halo"], told["stride"]) == (model.network.halo, model.network.stride)
    assert told["normalisation"] is None
    assert [file.name for file in path.parent.iterdir()] == ["model.onnx"]  # the weights are inside


def test_what_is_wrong_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"model\.pt.*end the name in \.onnx"):
        export(tiny_model(1), tmp_path / "model.pt")
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    with pytest.raises(MissingExtraError, match=r"onnxscript; install indi\[export\]"):
        export(tiny_model(1), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_the_walk_of_the_document_is_ours(exported: tuple[Model, Path], tmp_path: Path) -> None:
    model, path = tiny_model(3, epsilon=0), tmp_path / "model.onnx"
    file = onnx.load(exported[1])
    for entry in file.metadata_props:  # the same weights without noise, which would be drawn otherwise
        entry.value = json.dumps(json.loads(entry.value) | {"epsilon": 0})
    onnx.save(file, path)
    text = (ROOT / "docs" / "export.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (code,) = [block for block in blocks if "onnxruntime" in block]
    image = np.random.default_rng(0).random((40, 50, 3), np.float32)
    names: dict[str, Any] = {"image": image}
    exec(code.replace("denoise.onnx", str(path)), names)
    assert names["restored"].shape == image.shape
    restorer = Restorer(model, precision="float32")
    assert np.abs(names["restored"] - restorer.restore(image, steps=10).clip(0, 1)).max() < 1e-4
    pytest.importorskip("openvino")
    (code,) = [block for block in blocks if "openvino" in block]
    names["state"] = np.moveaxis(image, -1, 0)[None]
    exec(code.replace("denoise.onnx", str(path)), names)
    assert np.abs(np.moveaxis(names["clean"][0], 0, -1) - restorer.restore(image, steps=1)).max() < 1e-4


def test_planes_around_are_an_input_of_their_own(tmp_path: Path) -> None:
    card = tiny_model(1, conditioned=True).card.model_copy(update={"neighbours": 1})
    model = Model.new(card)
    awake(model.network)
    export(model, tmp_path / "model.onnx")
    run = with_onnxruntime(tmp_path / "model.onnx")
    image, before, after = np.random.default_rng(0).random((3, 45, 70), np.float32)
    ours = Restorer(model, precision="float32").restore(image, around=[before, after], steps=1)
    state = image[None, None]
    theirs = run(state, state, np.stack([before, after])[None], np.ones(1, np.float32))
    assert np.abs(ours - theirs[0, 0]).max() < 1e-4
    about = json.loads({each.key: each.value for each in onnx.load(tmp_path / "model.onnx").metadata_props}[METADATA])
    assert (about["neighbours"], about["neighbours_axis"]) == (1, "Z")
