"""What holds for every metric, and measuring them all."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from image_pairs import pair, values
from torch.testing import assert_close

from indi.errors import ConfigError, IndiError, ShapeError
from indi.metrics import METRICS, Niqe, measure, with_niqe

# A model of no clean images, so that NIQE has values.
EVERY = with_niqe(METRICS, Niqe(torch.zeros(36, dtype=torch.float64), torch.eye(36, dtype=torch.float64)))
COMPARING = [name for name in EVERY if name != "niqe"]  # NIQE never looks at the clean image

# All metrics


@pytest.mark.parametrize("name", EVERY)
def test_every_metric_gives_one_value_an_image(name: str) -> None:
    restored, clean = pair(3, 3, 200, 210)
    together = EVERY[name](restored, clean)
    one_by_one = torch.cat([EVERY[name](restored[i : i + 1], clean[i : i + 1]) for i in range(3)])
    assert together.shape == (3,)
    assert together.dtype == torch.float64
    assert_close(together, one_by_one)
    assert EVERY[name](restored[:0], clean[:0]).shape == (0,)


@pytest.mark.parametrize("name", COMPARING)
def test_every_comparing_metric_is_best_for_identical_images(name: str) -> None:
    restored, clean = pair(1, 3, 200, 210)
    best = {"psnr": math.inf, "psnr_y": math.inf, "ssim": 1.0, "ms_ssim": 1.0, "swd": 0.0, "spectrum": 0.0, "frc": 1.0}
    best["grain"] = 0.0
    assert_close(EVERY[name](clean, clean), values(best[name]))
    sign = 1 if EVERY[name].higher_is_better else -1
    worse, worst = EVERY[name](restored, clean), EVERY[name](2 * restored - clean, clean)
    assert sign * worst < sign * worse < sign * best[name]


@pytest.mark.parametrize("name", [name for name in COMPARING if name != "grain"])  # grain is what is too much alone
def test_every_comparing_metric_is_symmetric(name: str) -> None:
    restored, clean = pair(1, 3, 200, 210)
    assert_close(EVERY[name](restored, clean), EVERY[name](clean, restored))


@pytest.mark.medium
@pytest.mark.parametrize("name", EVERY)
@settings(max_examples=5, deadline=None)
@given(data_range=st.sampled_from([0.5, 4.0, 256.0, 65536.0]))
def test_every_metric_depends_on_intensities_over_the_range(name: str, data_range: float) -> None:
    restored, clean = pair(1, 3, 200, 210)
    scaled = EVERY[name](restored * data_range, clean * data_range, data_range=data_range)
    assert_close(scaled, EVERY[name](restored, clean), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", EVERY)
def test_every_metric_leaves_its_images_alone(name: str) -> None:
    restored, clean = pair(1, 3, 200, 210)
    before = restored.clone(), clean.clone()
    EVERY[name](restored.requires_grad_(), clean)
    assert_close((restored.detach(), clean), before, atol=0, rtol=0)


@pytest.mark.parametrize("name", EVERY)
def test_half_precision_images_are_measured_in_single(name: str) -> None:
    restored, clean = (images.half() for images in pair(1, 3, 200, 210, noise=1e-3))
    assert_close(EVERY[name](restored, clean), EVERY[name](restored.float(), clean.float()))


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize(
    ("restored", "clean"),
    [
        ((1, 3, 32, 32), (1, 1, 32, 32)),
        ((2, 3, 32, 32), (1, 3, 32, 32)),
        ((3, 32, 32), (3, 32, 32)),
        ((1, 3, 0, 32), (1, 3, 0, 32)),
    ],
    ids=str,
)
def test_shapes_that_would_broadcast_are_refused(name: str, restored: tuple[int, ...], clean: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError) as caught:
        EVERY[name](torch.zeros(restored), torch.zeros(clean))
    assert str(restored) in str(caught.value)
    assert str(clean) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", EVERY)
def test_integers_are_refused(name: str) -> None:
    images = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    with pytest.raises(ShapeError, match="float"):
        EVERY[name](images, images)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("data_range", [0.0, -1.0, math.nan])
def test_a_range_that_is_no_range_is_refused(name: str, data_range: float) -> None:
    with pytest.raises(ConfigError, match="data_range"):
        EVERY[name](torch.zeros(1, 3, 32, 32), torch.zeros(1, 3, 32, 32), data_range=data_range)


# Where a metric has no meaning


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("psnr", 1),
        ("psnr_y", 1),
        ("ssim", 11),
        ("ms_ssim", 176),
        ("swd", 25),
        ("spectrum", 32),
        ("grain", 32),
        ("frc", 32),
        ("niqe", 192),
    ],
)
def test_the_smallest_image_of_each_metric(name: str, least: int) -> None:
    for shape in [(1, 3, least, least + 5), (1, 3, least + 5, least)]:
        assert EVERY[name](*pair(*shape)).isfinite().all()
    if least > 1:
        for shape in [(2, 3, least - 1, least + 5), (2, 3, least + 5, least - 1)]:
            assert EVERY[name](*pair(*shape)).isnan().tolist() == [True, True]


# measure


@pytest.mark.medium
def test_measure_gives_every_metric_of_every_image() -> None:
    restored, clean = pair(2, 3, 200, 210)
    table = measure(restored, clean, metrics=EVERY)
    assert list(table) == ["psnr", "psnr_y", "ssim", "ms_ssim", "swd", "spectrum", "grain", "frc", "niqe"]
    assert list(measure(restored, clean)) == list(table)
    for name, metric in EVERY.items():
        assert table[name] == metric(restored, clean).tolist()


def test_measure_puts_none_where_there_is_no_value() -> None:
    table = measure(*pair(2, 1, 12, 12))
    assert table["psnr_y"] == table["ms_ssim"] == table["swd"] == table["spectrum"] == [None, None]
    assert table["grain"] == table["frc"] == [None, None]
    assert None not in table["psnr"] + table["ssim"]
    assert measure(*pair(2, 1, 200, 210))["niqe"] == [None, None]  # without a model of clean images
    assert json.loads(json.dumps(table, allow_nan=False)) == table


def test_measure_leaves_out_the_border() -> None:
    restored, clean = pair(1, 3, 40, 50)
    edges = torch.ones(40, 50)
    edges[3:-3, 3:-3] = 0
    assert measure(restored + edges, clean, border=3) == measure(restored[..., 3:-3, 3:-3], clean[..., 3:-3, 3:-3])
    assert measure(restored + edges, clean, border=2) != measure(restored, clean, border=2)


def test_measure_passes_the_range_on() -> None:
    restored, clean = pair(1, 3, 32, 32)
    scaled = measure(restored * 256, clean * 256, data_range=256)
    for name, expected in measure(restored, clean).items():
        assert scaled[name] == pytest.approx(expected, rel=1e-6) if expected != [None] else scaled[name] == [None]


@pytest.mark.parametrize("border", [-1, 4, 100])
def test_measure_refuses_a_border_that_leaves_nothing(border: int) -> None:
    with pytest.raises(IndiError, match="border"):
        measure(*pair(1, 1, 8, 20), border=border)


# The package around it


@pytest.mark.medium
def test_a_broken_torchvision_does_no_harm(tmp_path: Path) -> None:
    """Metrics, and importing them, need neither torchvision nor the packages that fail with it."""
    broken = tmp_path / "torchvision"
    broken.mkdir()
    (broken / "__init__.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')\n")
    code = (
        "import sys, torch\n"
        "from indi.metrics import METRICS, measure\n"
        "images = torch.rand(1, 3, 176, 176)\n"
        "table = measure(images, images / 2)\n"
        "assert [name for name, values in table.items() if values == [None]] == ['niqe'], table\n"
        "heavy = {'torchvision', 'torchmetrics', 'scipy', 'skimage', 'matplotlib', 'piq'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "try:\n"
        "    import torchvision\n"
        "except RuntimeError:\n"
        "    sys.exit(0)\n"
        "sys.exit('the broken torchvision was not found')\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=120)
