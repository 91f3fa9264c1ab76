"""One image, restored one way and measured against the clean one."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from indi.evaluation.means import Row
from indi.io import span_of, to_unit
from indi.io.display import for_display, named, scale_bar, stretch_of
from indi.metrics import Metric, measure
from indi.metrics.checks import inside
from indi.metrics.perceptual import inception_features
from indi.restoration.restorer import Pixels

DEGRADED = Row(0)


@dataclass(frozen=True)
class Measurement:
    """One image restored one way.

    Attributes:
        peak: The range that PSNR and SSIM were measured against, in the image's own unit.
        metrics: Values by name; None where a metric has no meaning for this image, or is infinite.
        shown: The crop that reports show, and the same of the clean image; None past the first few images.
        features: Of the image and of the clean one, as ``inception_features`` gives them: what distances of sets
            compare. Empty unless perceptual metrics are asked for.
    """

    file: str
    row: Row
    network_calls: int
    seconds: float
    megapixels: float
    peak: float
    metrics: dict[str, float | None]
    shown: tuple[Pixels, Pixels] | None
    features: Sequence[Tensor] = ()


@dataclass(frozen=True)
class Subject:
    """A clean image that restorations are measured against.

    Attributes:
        file: Its name.
        clean: Its pixels.
        peak: The range to measure against, where that of the image's type is 1; 0 of an image of one value.
        window: What reports show of it, None for nothing.
        pixel: The side of a pixel in micrometres, where it is known.
        channels: What its channels are called, likewise.
    """

    file: str
    clean: Pixels
    peak: float
    window: Any = None
    pixel: float | None = None
    channels: Sequence[str] = ()

    def measured(
        self,
        metrics: Mapping[str, Metric],
        image: Pixels,
        *,
        border: int,
        with_features: bool,
        row: Row = DEGRADED,
        calls: int = 0,
        seconds: float = 0.0,
    ) -> Measurement:
        """Return what the metrics say of an image; of none where the clean one has no range of its own.

        Args:
            metrics: By name.
            image: Of the size and type of the clean one.
            border: Pixels left out on each side.
            with_features: Whether distances of sets are wanted too.
            row: How the image was restored.
            calls: Of the network, for it.
            seconds: That it took.
        """
        clean, peak = self.clean, self.peak
        both = batch(image), batch(clean)
        values: dict[str, float | None] = dict.fromkeys(metrics)
        if peak > 0:
            found = measure(*both, border=border, data_range=peak, metrics=metrics)
            values = {name: finite(value[0]) for name, value in found.items()}
        shown = None
        if self.window is not None:
            stretch = stretch_of(clean)
            bar = scale_bar(for_display(clean[self.window], stretch), self.pixel)
            shown = for_display(image[self.window], stretch), named(bar, self.channels)
        features = [inception_features(inside(part, border), data_range=peak or 1.0) for part in both if with_features]
        megapixels = clean.shape[0] * clean.shape[1] / 1e6
        own = peak * span_of(clean.dtype)
        return Measurement(self.file, row, calls, seconds, megapixels, own, values, shown, features)


def finite(value: float | None) -> float | None:
    """Return None for the infinite PSNR of identical images: JSON has no infinity."""
    return value if value is not None and math.isfinite(value) else None


def batch(image: Pixels) -> Tensor:
    """Return an image as the metrics take it: (1, C, H, W), integers in [0, 1]."""
    return torch.from_numpy(np.moveaxis(np.atleast_3d(to_unit(image)), -1, 0).copy())[None]
