"""Shift-tolerant LPIPS: that it is what its authors compute, what it is shown, and what is said where it is missing."""

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from image_pairs import gaussian_blurred, noisy, pair, photograph, values
from torch.testing import assert_close

from indi.errors import ConfigError, MissingExtraError, ModelError, ShapeError
from indi.metrics import stlpips

module: Any = importlib.import_module("indi.metrics.stlpips")  # the function has the same name
installed = importlib.util.find_spec("stlpips_pytorch") is not None
needs_weights = pytest.mark.skipif(not installed, reason="stlpips_pytorch, which brings the weights, is not installed")


@pytest.fixture(autouse=True)
def _no_weights_are_kept() -> Iterator[None]:
    yield
    module.load.cache_clear()


@pytest.fixture
def authors(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Give the metric as the package computes it; what it imports beside, and does not use, is stood in for."""
    for name, content in (("torchvision", "models"), ("torchsummary", "summary"), ("IPython", "embed")):
        stand_in: Any = ModuleType(name)
        setattr(stand_in, content, None)
        monkeypatch.setitem(sys.modules, name, stand_in)
    before = set(sys.modules)
    yield importlib.import_module("stlpips_pytorch.stlpips").LPIPS(net="alex", variant="shift_tolerant", verbose=False)
    for name in set(sys.modules) - before:
        if name.startswith("stlpips_pytorch"):
            del sys.modules[name]


@pytest.mark.medium
@needs_weights
@pytest.mark.parametrize("shape", [(1, 3, 32, 32), (1, 3, 33, 47), (2, 1, 64, 90), (1, 3, 300, 129)], ids=str)
def test_it_is_what_its_authors_compute(authors: Any, shape: tuple[int, ...]) -> None:
    restored, clean = (images.clamp(0, 1) for images in pair(*shape, noise=0.1))
    with torch.no_grad():
        expected = authors(*(2 * images.expand(-1, 3, -1, -1) - 1 for images in (restored, clean))).flatten()
    assert expected.min() > 0.05
    assert_close(stlpips(restored, clean), expected.double(), atol=1e-5, rtol=0)


@needs_weights
def test_values_that_were_computed_once() -> None:
    ramp = torch.linspace(0, 1, 64)
    waves = (0.5 + 0.5 * torch.sin(20 * ramp[:, None] * torch.stack([ramp, ramp.flip(0), 1 - ramp**2])[:, None]))[None]
    squares = (torch.arange(64)[:, None] // 8 + torch.arange(64) // 8).remainder(2).float().expand(1, 3, -1, -1)
    assert_close(stlpips(waves, squares), values(0.8450372), atol=1e-5, rtol=0)
    assert_close(stlpips(waves[:, :1], 0.5 * waves[:, :1]), values(0.1846746), atol=1e-5, rtol=0)


@pytest.mark.medium
@needs_weights
def test_the_order_of_known_distortions_is_kept() -> None:
    clean = photograph("astronaut")[..., 100:228, 150:278]
    for images in ([gaussian_blurred(clean, s) for s in (0.5, 1, 2)], [noisy(clean, s) for s in (0.02, 0.05, 0.2)]):
        distances = [stlpips(image, clean).item() for image in (clean, *images)]
        assert distances[0] == 0
        assert distances == sorted(distances)
        assert distances[-1] > 0.2


@needs_weights
def test_a_shift_by_a_pixel_is_little() -> None:
    picture = photograph("astronaut")[..., 100:229, 150:279]
    moved, still = picture[..., 1:, 1:], picture[..., :-1, :-1]
    assert stlpips(moved, still) < 0.2 * stlpips(gaussian_blurred(still, 1), still)


@needs_weights
def test_pieces_of_the_work_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    restored, clean = pair(1, 3, 70, 60)
    expected = stlpips(restored, clean)
    monkeypatch.setattr(module, "_CHANNELS_AT_A_TIME", 64)
    monkeypatch.setattr(module, "_ROWS_AT_A_TIME", 3)
    assert_close(stlpips(restored, clean), expected, atol=1e-6, rtol=0)


@needs_weights
@pytest.mark.parametrize("data_range", [0.5, 255.0])
def test_each_image_has_its_distance(data_range: float) -> None:
    restored, clean = pair(3, 1, 40, 33)
    together = stlpips(restored * data_range, clean * data_range, data_range=data_range)
    one_by_one = [stlpips(restored[i : i + 1].clamp(0, 1), clean[i : i + 1].clamp(0, 1)) for i in range(3)]
    assert together.dtype == torch.float64
    assert_close(together, torch.cat(one_by_one), atol=1e-5, rtol=0)
    assert stlpips(restored[:0], clean[:0]).shape == (0,)


@pytest.mark.parametrize("shape", [(2, 3, 31, 40), (2, 3, 40, 31), (2, 2, 40, 40), (2, 4, 40, 40)], ids=str)
def test_images_that_the_network_cannot_be_shown_have_no_value(shape: tuple[int, ...]) -> None:
    assert stlpips(*pair(*shape)).isnan().tolist() == [True, True]


def test_shapes_and_ranges_are_checked() -> None:
    with pytest.raises(ShapeError):
        stlpips(torch.zeros(1, 3, 32, 32), torch.zeros(1, 1, 32, 32))
    with pytest.raises(ConfigError, match="data_range"):
        stlpips(*pair(1, 3, 32, 32), data_range=0)


def test_a_missing_package_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PACKAGE", "not_there")
    module.load.cache_clear()
    with pytest.raises(MissingExtraError, match=r'not_there is not installed; pip install "indi\[perceptual\]"'):
        stlpips(*pair(1, 3, 32, 32))


@pytest.mark.parametrize("content", [None, b"", b"cut"])
def test_damaged_weights_are_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    file = tmp_path / "weightless" / module._FILE
    file.parent.mkdir(parents=True)
    (tmp_path / "weightless" / "__init__.py").touch()
    if content is not None:
        file.write_bytes(content)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(module, "_PACKAGE", "weightless")
    module.load.cache_clear()
    with pytest.raises(
        ModelError, match=r"ST-LPIPS: .*(cannot be read|is damaged).*install weightless again"
    ) as caught:
        stlpips(*pair(1, 3, 32, 32))
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)
