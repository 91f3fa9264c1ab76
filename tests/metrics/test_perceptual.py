"""The way to piq and back, with a stand-in for it: what it is given, what comes of its answers, what is missing."""

import hashlib
import importlib
import logging
import math
import sys
import urllib.error
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from image_pairs import gaussian_blurred, noisy, pair, values
from torch import Tensor, nn
from torch.testing import assert_close

from indi.errors import ConfigError, MissingExtraError, ModelError, ShapeError
from indi.metrics import PERCEPTUAL, SETS, available, dists, fid, kid, lpips, perceptual
from indi.metrics.perceptual import inception_features, prepare


class Distance(nn.Module):
    """As piq's: it warns, averages over the batch unless told otherwise, and takes RGB in [0, 1] alone."""

    scale = 1.0
    made = 0

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        type(self).made += 1
        warnings.warn("the parameter 'pretrained' is deprecated", stacklevel=1)
        self.reduction = reduction

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        assert not torch.is_grad_enabled()
        assert x.shape == y.shape
        assert x.shape[1] == 3
        assert x.dtype == y.dtype == torch.float32
        assert min(x.min(), y.min()) >= 0
        assert max(x.max(), y.max()) <= 1
        each = self.scale * (x - y).square().mean(dim=(1, 2, 3))
        return each if self.reduction == "none" else each.mean()


class Dists(Distance):
    scale = 2.0


class Inception(nn.Module):
    def forward(self, x: Tensor) -> list[Tensor]:
        assert not self.training
        assert x.shape[1] == 3
        assert 0 <= x.min() <= x.max() <= 1
        return [x.mean(dim=(1, 2, 3)).reshape(-1, 1, 1, 1).expand(-1, 2048, 1, 1)]


class SetDistance(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        sys.stdout.write("FID calculation produces singular product\n")
        torch.randperm(len(x))
        assert x.dtype == torch.float64
        return (x.mean() - y.mean()).abs()


st_lpips: Any = importlib.import_module("indi.metrics.stlpips")  # the function has the same name


@pytest.fixture(autouse=True)
def _no_network_is_kept() -> Iterator[None]:
    yield
    perceptual._network.cache_clear()
    st_lpips.load.cache_clear()


@pytest.fixture
def piq(monkeypatch: pytest.MonkeyPatch) -> Any:
    package: Any = ModuleType("piq")
    package.LPIPS, package.DISTS, package.FID, package.KID = Distance, Dists, SetDistance, SetDistance
    package.feature_extractors = ModuleType("piq.feature_extractors")
    package.feature_extractors.InceptionV3 = Inception
    monkeypatch.setitem(sys.modules, "piq", package)
    monkeypatch.setitem(sys.modules, "piq.feature_extractors", package.feature_extractors)
    return package


@pytest.mark.usefixtures("piq")
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("data_range", [1.0, 255.0])
def test_each_image_has_its_distance(channels: int, data_range: float) -> None:
    restored, clean = (images.clamp(0, data_range) for images in pair(3, channels, 40, 33, data_range=data_range))
    expected = ((restored - clean) / data_range).double().square().mean(dim=(1, 2, 3))
    assert_close(lpips(restored, clean, data_range=data_range), expected, rtol=1e-5, atol=0)
    assert_close(dists(restored, clean, data_range=data_range), 2 * expected, rtol=1e-5, atol=0)
    assert lpips(restored[:0], clean[:0]).shape == (0,)


@pytest.mark.usefixtures("piq")
def test_intensities_beyond_the_range_are_clipped() -> None:
    clean = torch.full((1, 3, 32, 32), 0.5)
    assert_close(lpips(clean + 7, clean), values(0.25))
    assert_close(inception_features(clean - 7), torch.zeros(1, 2048))


@pytest.mark.usefixtures("piq")
@pytest.mark.parametrize("name", [name for name in PERCEPTUAL if name != "stlpips"])  # it is not piq's
def test_the_order_of_known_distortions_is_kept(name: str) -> None:
    _, clean = pair(1, 3, 64, 64)
    clean = clean.clamp(0, 1)
    metric = PERCEPTUAL[name]
    for images in ([gaussian_blurred(clean, s) for s in (0.5, 1, 2)], [noisy(clean, s) for s in (0.02, 0.05, 0.2)]):
        distances = [metric(image, clean).item() for image in (clean, *images)]
        assert distances[0] == 0
        assert distances == sorted(distances)
    assert not metric.higher_is_better


@pytest.mark.usefixtures("piq")
@pytest.mark.parametrize("shape", [(2, 3, 31, 40), (2, 3, 40, 31), (2, 2, 40, 40), (2, 4, 40, 40)], ids=str)
def test_images_that_the_networks_cannot_be_shown_have_no_value(shape: tuple[int, ...]) -> None:
    assert lpips(*pair(*shape)).isnan().tolist() == [True, True]
    assert dists(*pair(*shape)).isnan().tolist() == [True, True]
    assert inception_features(pair(*shape)[0]).shape == (0, 2048)


@pytest.mark.usefixtures("piq")
def test_sets_are_compared_by_their_features(capsys: pytest.CaptureFixture[str]) -> None:
    images = torch.tensor([0.25, 0.5, 0.75]).reshape(3, 1, 1, 1).expand(3, 1, 32, 40)
    features = inception_features(images * 255, data_range=255)
    assert_close(features, torch.tensor([0.25, 0.5, 0.75])[:, None].expand(3, 2048))
    before = torch.get_rng_state()
    for distance in (fid, kid):
        assert_close(distance(features[:2], features[1:]), torch.tensor(0.25, dtype=torch.float64))
        assert math.isnan(distance(features[:1], features[:1]).item())
    assert list(SETS) == ["fid", "kid"]
    assert (torch.get_rng_state() == before).all()  # the caller's random numbers are the caller's
    assert capsys.readouterr().out == ""  # stdout is for JSON


@pytest.mark.usefixtures("piq")
def test_each_network_is_loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Distance, "made", 0)
    prepare()
    lpips(*pair(3, 3, 32, 32))
    lpips(*pair(3, 3, 32, 32))
    assert Distance.made == 1


@pytest.mark.usefixtures("piq")
@pytest.mark.parametrize("metric", [lpips, dists])
def test_shapes_and_ranges_are_checked(metric: Any) -> None:
    with pytest.raises(ShapeError):
        metric(torch.zeros(1, 3, 32, 32), torch.zeros(1, 1, 32, 32))
    with pytest.raises(ConfigError, match="data_range"):
        metric(*pair(1, 3, 32, 32), data_range=0)
    with pytest.raises(ShapeError):
        inception_features(torch.zeros(3, 32, 32))


def test_a_missing_piq_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "piq", None)
    for call in (prepare, lambda: lpips(*pair(1, 3, 32, 32)), lambda: fid(torch.rand(2, 9), torch.rand(2, 9))):
        with pytest.raises(MissingExtraError, match=r'pip install "indi\[perceptual\]"') as caught:
            call()
        assert "\n" not in str(caught.value)


def test_a_torchvision_of_another_torch_is_said_so(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "piq.py").write_text("raise RuntimeError('operator torchvision::nms\\ndoes not exist')\n")
    monkeypatch.delitem(sys.modules, "piq", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingExtraError, match=r"nms does not exist.*torchvision that fits"):
        prepare()


@pytest.mark.parametrize(
    "error", [urllib.error.URLError("no route"), RuntimeError("invalid hash value"), OSError("disk full")]
)
def test_weights_that_cannot_be_fetched_are_said(piq: Any, error: Exception) -> None:
    def fail(reduction: str) -> None:
        raise error

    piq.DISTS = fail
    with pytest.raises(ModelError, match=r"DISTS: no standard weights in .*fetches them from the network") as caught:
        prepare()
    assert "\n" not in str(caught.value)


# What can be had


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in for the package that brings the weights of ST-LPIPS."""
    file = tmp_path / "brings_weights" / st_lpips._FILE
    file.parent.mkdir(parents=True)
    (tmp_path / "brings_weights" / "__init__.py").touch()
    torch.save({}, file)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(st_lpips, "_PACKAGE", "brings_weights")
    monkeypatch.setattr(st_lpips, "_SHA256", hashlib.sha256(file.read_bytes()).hexdigest())
    st_lpips.load.cache_clear()


@pytest.fixture
def no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(st_lpips, "_PACKAGE", "not_there")
    st_lpips.load.cache_clear()


@pytest.mark.usefixtures("piq", "weights")
def test_all_can_be_had_and_nothing_is_said(caplog: pytest.LogCaptureFixture) -> None:
    images, sets = available()
    assert (images, sets) == (PERCEPTUAL, SETS)
    assert caplog.text == ""


@pytest.mark.usefixtures("weights")
def test_without_piq_there_is_one(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setitem(sys.modules, "piq", None)
    images, sets = available()
    assert list(images) == ["stlpips"]
    assert sets == {}
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    said = record.getMessage()
    assert said.startswith("warning: not measured: LPIPS, DISTS, FID, KID (piq cannot be imported")
    assert 'pip install "indi[perceptual]"' in said
    assert "\n" not in said


@pytest.mark.usefixtures("piq", "no_weights")
def test_what_piq_has_is_had_without_the_weights_of_another(caplog: pytest.LogCaptureFixture) -> None:
    images, sets = available()
    assert list(images) == ["lpips", "dists"]
    assert sets == SETS
    (record,) = caplog.records
    assert "not measured: ST-LPIPS (not_there is not installed; pip install" in record.getMessage()


@pytest.mark.usefixtures("weights")
def test_weights_that_cannot_be_fetched_leave_the_others(piq: Any, caplog: pytest.LogCaptureFixture) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise urllib.error.URLError("no route")

    piq.LPIPS = piq.feature_extractors.InceptionV3 = fail
    images, sets = available()
    assert list(images) == ["stlpips", "dists"]
    assert sets == {}
    (record,) = caplog.records
    assert "not measured: LPIPS, FID, KID (no standard weights in " in record.getMessage()
    assert "DISTS" not in record.getMessage()


@pytest.mark.usefixtures("no_weights")
def test_where_none_can_be_had_that_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "piq", None)
    with pytest.raises(MissingExtraError, match=r"ST-LPIPS: not_there is not installed.*indi\[perceptual\]"):
        available()
