"""How far a restored image is from the clean one: one value an image.

Every metric is a pure function ``(restored, clean, *, data_range=1.0) -> (B,)`` of two (B, C, H, W) float
tensors of the same shape, whose intensities span ``data_range``. The answer is float64, one value an image;
averaging is the caller's choice. A metric that has no meaning for an image (luma of a gray image, a window
larger than the image) is NaN there. Everything is computed on the CPU, so that a figure does not depend on
the device or its rounding.

``METRICS`` lists those that need nothing but the images, with their units; ``measure`` computes them for a
batch. ``PERCEPTUAL`` and ``SETS`` list those that need standard weights, and with them the extra ``perceptual``;
``available`` says which of them can be had here.
"""

import logging
import math
from collections import ChainMap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from torch import Tensor

from indi.errors import MissingExtraError, ModelError
from indi.metrics.checks import checked, inside, undefined
from indi.metrics.distortion import ms_ssim, psnr, psnr_y, ssim
from indi.metrics.grain import grain
from indi.metrics.niqe import Niqe
from indi.metrics.perceptual import dists, fid, kid, lpips, prepare
from indi.metrics.spectra import frc, spectrum
from indi.metrics.stlpips import load as load_stlpips
from indi.metrics.stlpips import stlpips
from indi.metrics.texture import swd

__all__ = [
    "EVERY_METRIC",
    "METRICS",
    "PERCEPTUAL",
    "SETS",
    "Metric",
    "Niqe",
    "available",
    "dists",
    "fid",
    "frc",
    "grain",
    "kid",
    "lpips",
    "measure",
    "ms_ssim",
    "psnr",
    "psnr_y",
    "spectrum",
    "ssim",
    "stlpips",
    "swd",
    "with_niqe",
]

log = logging.getLogger("indi")


@dataclass(frozen=True)
class Metric:
    """One row of ``METRICS``: a metric and what a table or an axis needs to know about it.

    Attributes:
        compute: the function, as the module docstring describes it; calling the row calls it.
        label: its name in words, for tables and axes.
        unit: unit of its values, empty where there is none.
        higher_is_better: which way is better.
    """

    compute: Callable[..., Tensor]
    label: str
    unit: str
    higher_is_better: bool

    def __call__(self, restored: Tensor, clean: Tensor, *, data_range: float = 1.0) -> Tensor:
        """Return one value an image, float64 of shape (B,)."""
        return self.compute(restored, clean, data_range=data_range)


def _without_model(restored: Tensor, clean: Tensor, *, data_range: float = 1.0) -> Tensor:
    """Return NaN: without a model of clean images NIQE has no meaning."""
    return undefined(checked(restored, clean, data_range)[0])


METRICS: dict[str, Metric] = {  # add a metric here
    "psnr": Metric(psnr, "PSNR", "dB", higher_is_better=True),
    "psnr_y": Metric(psnr_y, "PSNR of luma", "dB", higher_is_better=True),
    "ssim": Metric(ssim, "SSIM", "", higher_is_better=True),
    "ms_ssim": Metric(ms_ssim, "MS-SSIM", "", higher_is_better=True),
    "swd": Metric(swd, "sliced Wasserstein distance x 1000", "", higher_is_better=False),
    "spectrum": Metric(spectrum, "spectrum gap", "dB", higher_is_better=False),
    "grain": Metric(grain, "grain", "", higher_is_better=False),
    "frc": Metric(frc, "FRC", "of Nyquist", higher_is_better=True),
    "niqe": Metric(_without_model, "NIQE", "", higher_is_better=False),  # with_niqe gives it its model
}
PERCEPTUAL: dict[str, Metric] = {
    "stlpips": Metric(stlpips, "ST-LPIPS", "", higher_is_better=False),
    "lpips": Metric(lpips, "LPIPS", "", higher_is_better=False),
    "dists": Metric(dists, "DISTS", "", higher_is_better=False),
}
SETS: dict[str, Metric] = {  # of the features of two sets of images, one value a set
    "fid": Metric(fid, "FID", "", higher_is_better=False),
    "kid": Metric(kid, "KID", "", higher_is_better=False),
}
# Whatever a table can hold, rows that are added later too. Those of METRICS come first: it counts from the last.
EVERY_METRIC: Mapping[str, Metric] = ChainMap(SETS, PERCEPTUAL, METRICS)

# What has to be loaded for them, and which it is for.
_LOADED: dict[Callable[[], object], tuple[str, ...]] = {
    load_stlpips: ("stlpips",),
    partial(prepare, "LPIPS"): ("lpips",),
    partial(prepare, "DISTS"): ("dists",),
    partial(prepare, "InceptionV3"): ("fid", "kid"),
}


def available() -> tuple[dict[str, Metric], dict[str, Metric]]:
    """Return those of ``PERCEPTUAL`` and those of ``SETS`` that can be had here; their networks are then loaded.

    What cannot be had is named in one line of the log, with the reason and what to do about it. Features of
    ``inception_features`` are there exactly where the second is not empty.

    Raises:
        MissingExtraError, ModelError: none can be had, and this is why not the first of them.
    """
    missing: dict[str, str] = {}
    errors = []
    for load_network, names in _LOADED.items():
        try:
            load_network()
        except (MissingExtraError, ModelError) as error:
            errors.append(error)
            missing |= dict.fromkeys(names, str(error).partition(": ")[2])  # it begins with what is missing
    found = tuple({name: row for name, row in table.items() if name not in missing} for table in (PERCEPTUAL, SETS))
    if errors and not any(found):
        raise errors[0]
    if missing:
        reasons = [
            f"{', '.join(EVERY_METRIC[name].label for name in missing if missing[name] == reason)} ({reason})"
            for reason in dict.fromkeys(missing.values())
        ]
        log.warning("warning: not measured: %s", "; ".join(reasons))
    return found[0], found[1]


def with_niqe(metrics: Mapping[str, Metric], model: Niqe | None) -> dict[str, Metric]:
    """Return the metrics with NIQE against a model of clean images; as they are without one."""
    if model is None:
        return dict(metrics)

    def against_model(restored: Tensor, clean: Tensor, *, data_range: float = 1.0) -> Tensor:
        return model(checked(restored, clean, data_range)[0], data_range=data_range)

    return {**metrics, "niqe": replace(METRICS["niqe"], compute=against_model)}


def measure(
    restored: Tensor,
    clean: Tensor,
    *,
    border: int = 0,
    data_range: float = 1.0,
    metrics: Mapping[str, Metric] = METRICS,
) -> dict[str, list[float | None]]:
    """Return every metric of every image, with None where a metric has no meaning.

    Args:
        restored: (B, C, H, W) float, intensities spanning ``data_range``.
        clean: the same shape.
        border: pixels left out on each of the four sides.
        data_range: the peak, in the images' unit.
        metrics: what to measure.

    Returns:
        Metric names to B values. Identical images have an infinite PSNR, which strict JSON cannot hold.

    Raises:
        ShapeError: the tensors are not two (B, C, H, W) float tensors of one shape, or the border leaves
            nothing of them.
        ConfigError: ``data_range`` is not positive or ``border`` is negative.
    """
    restored, clean = (inside(images, border) for images in checked(restored, clean, data_range))
    return {
        name: [
            None if math.isnan(value) else value for value in metric(restored, clean, data_range=data_range).tolist()
        ]
        for name, metric in metrics.items()
    }
