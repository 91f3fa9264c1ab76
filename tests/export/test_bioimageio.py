"""A package for the BioImage Model Zoo passes its own program's test, fits together tile by tile, and comes back."""

import json
import socket
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow

import indi
from indi.data.normalization import Normalisation, Scale
from indi.errors import ConfigError, IndiError, MissingExtraError, ModelError
from indi.export.bioimageio import export
from indi.export.one_call import OneCall
from indi.models.checkpoint import Model
from indi.restoration.restorer import Restorer
from problems import tiny_model

spec = pytest.importorskip("bioimageio.spec", reason="needs bioimageio.spec, of indi[bioimageio]")
pytest.importorskip("onnxscript")
pytestmark = [pytest.mark.medium, pytest.mark.filterwarnings("ignore")]  # of the exporter's and bioimageio's making

SCALES = Normalisation(
    kind="quantiles", clean=Scale(offset=(0.02,), scale=(0.3,)), degraded=Scale(offset=(0.01,), scale=(0.2,))
)
SIDE = (272, 312)  # multiples of the stride, and several blocks


@pytest.fixture(scope="module", autouse=True)
def offline() -> Iterator[None]:
    """Nothing here may reach for the network."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", lambda *_: pytest.fail("the network was reached for"))
        yield


@pytest.fixture(scope="module")
def gray(tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Path]:
    """A model that draws, of gray images with a normalisation, as a folder."""
    made = tiny_model(1, name="distributional")
    model = replace(made, card=made.card.model_copy(update={"normalisation": SCALES}))
    path = tmp_path_factory.mktemp("gray") / "package"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path.parent)
        export(model, Path("package"))  # a place within the working folder is one like any other
    return model, path


@pytest.fixture(scope="module")
def colour(tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Path]:
    """A model without a dial, of colour images, with terms of its own, as an archive."""
    made = tiny_model(3, epsilon=0)
    update = {"colour": True, "task": "denoise", "name": "mine", "licence": "For research alone."}
    model = replace(made, card=made.card.model_copy(update=update))
    path = tmp_path_factory.mktemp("colour") / "package.zip"
    export(model, path)
    return model, path


@pytest.fixture(params=["gray", "colour"])
def packaged(request: pytest.FixtureRequest) -> tuple[Model, Path]:
    found: tuple[Model, Path] = request.getfixturevalue(request.param)
    return found


def image(model: Model, height: int, width: int) -> NDArray[np.float32]:
    """Return an image in the intensities of files, as ``restore`` takes them."""
    unit = np.random.default_rng(1).random((height, width, model.card.channels), np.float32)
    pixels = unit if model.card.normalisation is None else 0.2 * unit + 0.01
    return pixels.astype(np.float32).squeeze()


def restored(model: Model, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    dial: dict[str, Any] = {"realism": 0} if model.card.method.build().draws else {}
    answer: NDArray[np.float32] = Restorer(model, precision="float32").restore(pixels, steps=1, **dial)
    return answer


def planes(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    return pixels[None, None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)[None]


@pytest.mark.parametrize("weights", ["onnx", "torchscript"])
def test_it_passes_the_test_of_bioimageio(packaged: tuple[Model, Path], weights: Any) -> None:
    core = pytest.importorskip("bioimageio.core", reason="needs bioimageio.core, of the group of tests")
    summary = core.test_description(packaged[1], weight_format=weights, expected_type="model")
    errors = [error.msg for detail in summary.details for error in detail.errors]
    assert errors == []
    assert summary.status == "passed"
    assert any(weights in detail.name for detail in summary.details)


@pytest.mark.parametrize("weights", ["onnx", "torchscript"])
def test_its_blocks_fit_together_as_our_tiles_do(packaged: tuple[Model, Path], weights: Any) -> None:
    core = pytest.importorskip("bioimageio.core", reason="needs bioimageio.core, of the group of tests")
    model, path = packaged
    pixels = image(model, *SIDE)
    description = spec.load_model_description(path)
    tensor = core.Tensor.from_numpy(planes(pixels), dims=("batch", "channel", "y", "x"))
    with core.create_prediction_pipeline(description, weight_format=weights) as pipeline:
        sample = core.Sample(members={"input": tensor}, stat={}, id="one")
        blocks, steps = pipeline.predict_sample_with_blocking_yield_intermediates(sample, ns=4)
        *_, last = steps
    found = last.sample.members["output"].data.to_numpy()
    assert blocks > 9
    wanted, halo = planes(restored(model, pixels)), model.network.halo
    assert halo is not None
    inside = np.abs(found - wanted)[..., halo:-halo, halo:-halo]  # at the edge that program sees the image mirrored
    assert inside.size > 0
    assert inside.max() < 1e-5
    assert np.abs(wanted - planes(pixels)).max() > 0.01  # the model does something


def test_the_example_is_restored_as_indi_does(packaged: tuple[Model, Path], tmp_path: Path) -> None:
    model, path = packaged
    folder = unpacked(path, tmp_path)
    degraded, wanted = (np.load(folder / f"test_{name}.npy") for name in ("input", "output"))
    assert degraded.shape[1] == model.card.channels
    pixels = np.ascontiguousarray(np.moveaxis(degraded[0], 0, -1).squeeze())
    np.testing.assert_allclose(planes(restored(model, pixels)), wanted, atol=1e-6)
    with Pillow.open(folder / "cover.png") as cover:
        assert cover.size == (2 * degraded.shape[3], degraded.shape[2])


def test_it_comes_back_as_it_was(packaged: tuple[Model, Path], tmp_path: Path) -> None:
    model, path = packaged
    pixels = image(model, 50, 61)
    for place in (path, unpacked(path, tmp_path)):
        back = indi.load(place, precision="float32")
        assert back.card == model.card
        assert back.fingerprint == model.fingerprint()
        options: dict[str, Any] = {"realism": 0.7, "seed": 3} if back.method.draws else {"steps": 3}
        wanted = Restorer(model, precision="float32").restore(pixels, **options)
        np.testing.assert_array_equal(back.restore(pixels, **options), wanted)


def unpacked(path: Path, folder: Path) -> Path:
    if path.is_dir():
        return path
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)
    return folder


def test_the_description_says_what_the_model_needs(gray: tuple[Model, Path], colour: tuple[Model, Path]) -> None:
    model, path = gray
    found = spec.load_model_description(path)
    halo, stride = model.network.halo, model.network.stride
    assert halo is not None
    (given,), (gives,) = found.inputs, found.outputs
    assert [str(axis.id) for axis in given.axes] == ["batch", "channel", "y", "x"]
    assert all((a.size.min, a.size.step) == (2 * halo + stride, stride) for a in given.axes[2:])
    assert all(axis.halo == halo for axis in gives.axes[2:])
    before, after = given.preprocessing[1].kwargs, gives.postprocessing[0].kwargs
    np.testing.assert_allclose([*before.gain, *before.offset], [1 / 0.2, -0.01 / 0.2])
    assert [*after.gain, *after.offset] == [0.3, 0.02]
    assert any("energy" in entry.text.lower() or "scoring" in entry.text.lower() for entry in found.cite)
    assert found.license is None  # nobody has said
    assert {str(each.source) for each in found.attachments} >= {"model.safetensors", "model.json"}
    readme = (path / "README.md").read_text(encoding="utf-8")
    assert "realism 0" in readme
    assert "65535" in readme
    found = spec.load_model_description(colour[1])
    assert found.name == "indi mine"
    assert found.inputs[0].axes[1].channel_names == ["red", "green", "blue"]
    assert found.inputs[0].data.range == (0, 1)
    assert "LICENSE.md" in str(found.license.source)
    assert "denoising" in found.tags


def test_one_call_has_the_network_of_any_batch_and_size() -> None:
    model = tiny_model(1, name="distributional")
    images = torch.rand(3, 1, 21, 34, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = OneCall(model)(images)
        alone = OneCall(model)(images[1:2])
    torch.testing.assert_close(found[1:2], alone, rtol=0, atol=1e-6)
    assert found.shape == images.shape


def test_what_is_not_ours_is_not_written_over(gray: tuple[Model, Path], tmp_path: Path) -> None:
    model, ours = gray
    run = tmp_path / "run"
    run.mkdir()
    (run / "model.safetensors").write_bytes(b"a run")
    (tmp_path / "other.zip").write_bytes(b"something else")
    for place in (run, tmp_path / "other.zip"):
        with pytest.raises(ConfigError, match="not a package that indi exported"):
            export(model, place)
    with_more = tmp_path / "more"
    with_more.mkdir()
    for file in ours.iterdir():
        (with_more / file.name).write_bytes(file.read_bytes())
    (with_more / "notes.txt").write_text("of a user")
    with pytest.raises(ConfigError, match="not a package that indi exported"):
        export(model, with_more)
    assert (with_more / "notes.txt").exists()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["more", "other.zip", "run"]


def test_what_does_not_go_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"tiny: method diffusion starts at noise.*use --to onnx"):
        export(tiny_model(1, name="diffusion"), tmp_path / "package")
    card = tiny_model(1).card.model_copy(update={"neighbours": 1})
    with pytest.raises(ConfigError, match=r"tiny: sees the planes around each.*use --to onnx"):
        export(Model.new(card), tmp_path / "package")
    model = tiny_model(1)
    monkeypatch.setattr(model.network, "halo", None)
    with pytest.raises(ConfigError, match=r"tiny: its network looks at the whole image.*use --to onnx"):
        export(model, tmp_path / "package")
    (tmp_path / "file").touch()
    with pytest.raises(IndiError, match=r"package: cannot write"):
        export(tiny_model(1), tmp_path / "file" / "package")
    monkeypatch.setitem(sys.modules, "bioimageio.spec", None)
    with pytest.raises(MissingExtraError, match=r"need bioimageio.spec; install indi\[bioimageio\]"):
        export(tiny_model(1), tmp_path / "package")
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_a_package_of_others_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "rdf.yaml").write_text("type: model")
    with zipfile.ZipFile(tmp_path / "their.zip", "w") as archive:
        archive.writestr("bioimageio.yaml", json.dumps({"type": "model"}))
    for place in (tmp_path / "folder", tmp_path / "their.zip"):
        with pytest.raises(ModelError, match=r"not a package that indi exported.*run it with its own program"):
            indi.load(place)
