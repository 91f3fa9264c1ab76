import json
import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

import indi
import ship as ship_models
from indi.app.session import Session
from indi.config import find_config
from indi.degradations import degradation
from indi.errors import ConfigError, MissingExtraError, ModelError
from indi.info import info
from indi.io import Header, Image, read_headers, to_unit, write
from indi.models import pretrained
from indi.models.checkpoint import load_model, save_model
from indi.models.pretrained import (
    best_realism,
    best_steps,
    find_model,
    fitting_model,
    pretrained_models,
    pretrained_names,
)
from indi.process.sampling import Sampling
from indi.restoration.restorer import Pixels
from problems import ship, tiny_model, write_pairs


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "weights"
    for name in ("jpeg", "denoise"):
        ship(tiny_model(3), name, folder)
    monkeypatch.setattr(pretrained, "WEIGHTS", folder)
    return folder


def test_none_may_be_shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained, "WEIGHTS", tmp_path / "none")
    assert pretrained_models() == []
    with pytest.raises(ModelError, match="jpeg: no such run folder or model file; train one"):
        indi.load("jpeg")
    with pytest.raises(ConfigError, match="--model"):
        fitting_model([photograph(tmp_path / "x.jpg")])


def test_weights_that_nothing_is_said_of_are_not_shipped(weights: Path) -> None:
    (weights / "jpeg.json").unlink()
    assert pretrained_names() == ["denoise"]
    assert [model["name"] for model in pretrained_models()] == ["denoise"]
    with pytest.raises(ModelError, match="jpeg: no such run folder"):
        indi.load("jpeg")


def test_a_damaged_one_does_no_harm_to_the_others(weights: Path) -> None:
    (weights / "jpeg.safetensors").write_bytes(b"cut")
    assert indi.load("denoise").default_steps == 3
    with pytest.raises(ModelError, match=r"jpeg\.safetensors: not a model of indi, or damaged"):
        indi.load("jpeg")
    with pytest.raises(ModelError, match=r"jpeg\.safetensors: not a model of indi, or damaged"):
        pretrained_models()


def test_all_weights_in_the_package_are_shipped() -> None:
    assert pretrained_names() == sorted(file.stem for file in pretrained.WEIGHTS.glob("*.safetensors"))
    assert pretrained_names() == ["deblur-defocus", "deblur-motion", "denoise", "jpeg", "photo", "super-resolve-4x"]


def test_they_are_listed_with_what_is_known_of_them(weights: Path) -> None:
    denoise, jpeg = pretrained_models()
    assert (denoise["name"], jpeg["name"]) == ("denoise", "jpeg") == tuple(pretrained_names())
    assert denoise["channels"] == 3
    assert denoise["size"] == "tiny"
    assert denoise["purpose"] == "for tests"
    assert denoise["figures"][0]["set"] == "none"


@pytest.mark.medium
def test_a_name_is_a_model_wherever_one_can_be_given(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "jpeg").mkdir()  # a folder of the name stays reachable
    assert find_model("jpeg") == weights / "jpeg.safetensors"
    assert find_model("./jpeg") == Path("./jpeg") != find_model("jpeg")
    assert find_model("runs/jpeg") == Path("runs/jpeg")
    image = np.full((16, 16, 3), 99, np.uint8)
    assert indi.load("jpeg").restore(image, steps=1).shape == image.shape
    with pytest.raises(ModelError, match="jpeg"):
        indi.load("./jpeg")
    assert info("denoise")["kind"] == "model"
    with pytest.raises(ConfigError, match="kept no validation pairs"):
        indi.evaluate("jpeg")
    clean = write_pairs(tmp_path, channels=3)["clean"]
    for _ in indi.train(clean=clean, task="jpeg", run=tmp_path / "run", start="jpeg", size="tiny", iterations=1):
        pass


@pytest.mark.parametrize("kind", ["run", "file"])
def test_a_name_that_is_also_here_is_refused_and_a_path_is_never_a_name(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    save_model(tiny_model(3, seed=1), Path("jpeg"))
    if kind == "file":
        Path("jpeg/model.safetensors").rename("moved")
        shutil.rmtree("jpeg")
        Path("moved").rename("jpeg")
    ours = load_model(Path("jpeg")).fingerprint()
    for path in (Path("jpeg"), "./jpeg", str(tmp_path / "jpeg")):
        assert indi.load(path).fingerprint == ours
    given: list[Callable[[], object]] = [
        lambda: indi.load("jpeg"),
        lambda: info("jpeg"),
        lambda: indi.evaluate("jpeg"),
        lambda: next(indi.train(clean="clean", task="jpeg", run="run", start="jpeg", iterations=1)),
    ]
    for give in given:
        with pytest.raises(ModelError, match=r"jpeg: names a pretrained model and one in this folder; give \./jpeg"):
            give()
    assert len(pretrained_models()) == 2
    with closing(Session({})) as session:  # what is chosen there by its name is the pretrained one
        assert session.restorer("jpeg").fingerprint != ours


@pytest.mark.medium
def test_steps_unless_asked_are_those_it_is_best_with(weights: Path) -> None:
    about = weights / "jpeg.json"
    about.write_text(json.dumps(json.loads(about.read_text()) | {"steps": 2, "sampler": "heun"}))
    restorer, image = indi.load("jpeg"), np.full((16, 16, 3), 99, np.uint8)
    assert restorer.default_steps == 2
    np.testing.assert_array_equal(restorer.restore(image), restorer.restore(image, steps=2, sampler="heun"))
    assert not np.array_equal(restorer.restore(image), restorer.restore(image, sampler="euler"))
    assert restorer.resolve(Sampling()) == Sampling(steps=2, sampler="heun")
    clean = write_pairs(weights.parent, count=1, channels=3)["clean"]
    table = indi.evaluate(restorer, clean=clean, task="jpeg", steps=[2])
    assert (table["settings"]["sampler"], table["rows"][0]["network_calls"]) == ("heun", 3)
    assert (indi.load("denoise").default_steps, indi.load("denoise").default_sampler) == (3, "euler")
    about = weights / "denoise.json"
    about.write_text(json.dumps({key: value for key, value in json.loads(about.read_text()).items() if key != "steps"}))
    assert indi.load("denoise").default_steps == 10
    assert best_steps("denoise") is None
    assert indi.load(weights / "jpeg.safetensors").default_steps == 2  # by its file as by its name
    other = tiny_model(3, seed=1)
    save_model(replace(other, card=other.card.model_copy(update={"name": "jpeg"})), weights.parent / "run")
    assert indi.load(weights.parent / "run").default_steps == 10  # a run may be called as a pretrained model is


def test_realism_unless_asked_is_what_it_is_best_with(weights: Path) -> None:
    ship(tiny_model(3, name="distributional"), "photo", weights)
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    assert indi.load("photo").default_realism == best_realism("photo") == 0.6
    about = weights / "photo.json"
    for best in (0.25, 0.0):
        about.write_text(json.dumps(json.loads(about.read_text()) | {"best_realism": best}))
        restorer = indi.load("photo")
        assert restorer.default_realism == best_realism("photo") == best
        np.testing.assert_array_equal(restorer.restore(image), restorer.restore(image, realism=best))
        samples = restorer.restore(image, samples=2)  # these are draws all the same
        np.testing.assert_array_equal(samples, restorer.restore(image, samples=2, realism=1.0))
    assert best_realism("no such model") == 0.6


def test_a_model_that_is_not_there_is_told_which_are(weights: Path) -> None:
    with pytest.raises(ModelError, match=r"jpg: no such .* comes with indi: denoise, jpeg"):
        indi.load("jpg")


def photograph(path: Path, quality: int = 75) -> Path:
    """Write a file in the format of its suffix."""
    values = np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8)
    Pillow.fromarray(values).save(path, quality=quality)
    return path


def test_photographs_of_8_bit_ask_for_photo_and_others_for_a_choice(weights: Path, tmp_path: Path) -> None:
    old, fine = (photograph(tmp_path / f"{quality}.JPEG", quality=quality) for quality in (50, 95))
    other = photograph(tmp_path / "other.png")
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"none")
    with pytest.raises(ConfigError, match=r"^say with --model .*denoise, jpeg"):
        fitting_model([old])  # it is not shipped yet
    ship(tiny_model(3), "photo", weights)
    name, why = fitting_model([old, fine, other, broken])
    assert name == "photo"
    assert "8 bit" in why
    deep = tmp_path / "deep.tif"
    write(deep, Image(np.zeros((8, 8), np.uint16)))
    several = tmp_path / "several.tif"
    write(several, Image(np.zeros((8, 8, 5), np.uint8)))
    for files, enlarged, says in (
        (
            [deep],
            1,
            r"deep.tif: not gray or colour of 8 bit, which photo restores; give --model: .*denoise, jpeg, photo",
        ),
        ([old, several], 1, r"several.tif: not gray or colour of 8 bit"),
        ([old], 4, "^say with --model"),  # it does not enlarge, and what does is not shipped here
    ):
        with pytest.raises(ConfigError, match=says):
            fitting_model(files, enlarged=enlarged)


@pytest.mark.parametrize("name", pretrained_names())
def test_each_one_is_whole(name: str) -> None:
    (about,) = [model for model in pretrained_models() if model["name"] == name]
    assert about["task"] == name
    assert about["channels"] == 3
    for text in ("purpose", "data", "licence", "recipe", "limits", "not_for"):
        assert about[text].strip(), text
    assert find_config(about["recipe"]).exists()
    entry = ship_models.MODELS[name]
    said = {part: getattr(entry, part) for part in ("purpose", "steps", "sampler")}
    assert {part: about[part] for part in said} == said, "measure it again: python benchmarks/ship.py NAME"
    assert about["limits"] == ship_models.LIMITS + entry.limits
    assert [figures["set"] for figures in about["figures"]] == [test.name for test in entry.sets]
    model = load_model(find_model(name))
    assert model.card.name == name
    assert model.fingerprint() == about["fingerprint"], "the card is of other weights"
    assert about["licence"] == about["license"] == ship_models.LICENCES[entry.data]
    for measured in about["figures"]:
        assert measured["images"] > 1
        assert measured["rows"][0]["steps"] == 1
    flat = np.full((64, 64, 3), 120, np.uint8)
    gray = flat[..., 0]
    for image in (flat, gray):
        restored = indi.load(name).restore(image, steps=1)
        assert restored.shape == image.shape
        assert np.abs(restored.astype(int) - image).max() <= 6


@pytest.mark.medium
@pytest.mark.parametrize("name", pretrained_names())
def test_each_one_restores(name: str) -> None:
    """A photograph that none was trained on comes nearer to clean, in one step and in those unless asked."""
    data = pytest.importorskip("skimage.data")
    clean = data.astronaut()[96:288, 96:288]
    planes = torch.from_numpy(np.moveaxis(to_unit(clean), -1, 0).copy())
    degraded = np.moveaxis(degradation(name).test(planes, torch.Generator().manual_seed(0)).numpy(), 0, -1)
    restorer = indi.load(name)

    def error(image: Pixels) -> float:
        return float(np.square(image.astype(np.float64) - to_unit(clean)).mean())

    one, several = (restorer.restore(degraded.astype(np.float32), steps=steps) for steps in (1, None))
    assert error(one) < 0.9 * error(degraded)
    assert error(several) < error(degraded)


def test_a_file_that_needs_an_extra_does_not_stop_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good, missing = tmp_path / "a.png", tmp_path / "b.heic"
    write(good, Image(np.zeros((8, 8, 3), np.uint8)))

    def reading(path: Path) -> list[Header]:
        if path == missing:
            raise MissingExtraError(f"{path}: HEIF images need pillow-heif; install indi[heif]")
        return read_headers(path)

    monkeypatch.setattr(pretrained, "read_headers", reading)
    assert pretrained.fitting_model([good, missing])[0] == "photo"
    with pytest.raises(MissingExtraError, match=r"b.heic: HEIF images need"):
        pretrained.fitting_model([missing])
