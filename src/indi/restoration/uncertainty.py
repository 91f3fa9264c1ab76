"""What several restorations of one image tell: their mean, how far they part, how far off the truth may lie.

An interval is the mean plus and minus a half width, ``factor`` times hypot(spread, least): the spread of the samples,
and the least spread that counts, which keeps pixels on which all samples agree from being taken as certain. Calibration
(calibration.py) finds the factor on pairs that the model was not trained on.
"""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional as F

from indi.config import Config, Settings
from indi.errors import ModelError
from indi.models.checkpoint import CALIBRATION_FILE
from indi.process.sampling import Sampling

MARGIN = 24  # px around a piece that its maps look at
LEAST = 0.001  # in intensities on the network's scale, where the model has less noise of its own

_DETAIL, _WINDOW = 2.0, 3.0  # px, deviations: finer than the first is detail, the second is how far it is gathered

Values = NDArray[np.floating[Any]]


class Calibration(Settings):
    """How wide intervals must be, and for which restorations that was measured.

    Attributes:
        weights: Fingerprint of the model's, so that another one, or one trained on, gets no intervals.
        rate: Share of the pixels that intervals are to hold.
        factor: That does so: of the guarantee, where there were scenes enough for one, else the plain one.
        plain: The factor of the plain quantile: the share that it held of the pixels it was measured on.
        guaranteed: The factor of conformal risk control, None with too few scenes.
        least: The least spread that counts, in intensities of the files' range.
        samples, steps, times, sampler, realism: Of the restorations.
        scenes, pixels: What it was measured on.
        half_width: Mean of the intervals on those, in intensities of the files' range.
        check: Coverage on scenes left out, over random halvings.
        sparsification: How the error falls as the pixels of the largest spread are left out.
    """

    format: Literal[1] = 1
    weights: str
    rate: float
    factor: float
    plain: float
    guaranteed: float | None
    least: float
    samples: int
    steps: int
    times: str | list[float]
    sampler: str
    realism: float | None = None
    scenes: int
    pixels: int
    half_width: float
    check: dict[str, Any]
    sparsification: dict[str, Any]

    def misfit(self, weights: str, sampling: Sampling) -> str | None:
        """Say why intervals of other restorations would not hold; None for those it was measured on.

        Args:
            weights: Fingerprint of the model's.
            sampling: Of the restorations, as the model resolves it.
        """
        if weights != self.weights:
            return "calibrated for other weights; calibrate again"
        if sampling.strength != 1:
            return f"calibrated for strength 1, not {sampling.strength:g}"
        asked = {"samples": sampling.samples, "realism": None, **sampling.settings()}
        for name in ("samples", "steps", "times", "sampler", "realism"):
            if asked[name] != getattr(self, name):
                return f"calibrated for {name} {getattr(self, name)}, not {asked[name]}"
        return None


def read_calibration(run: Path) -> Calibration | None:
    """Return the calibration of a run folder, None where there is none.

    Raises:
        ModelError: It is damaged.
    """
    file = run / CALIBRATION_FILE
    if not file.is_file():
        return None
    try:
        return Calibration.model_validate(Config.read(file))
    except ValidationError as error:
        raise ModelError(f"{file}: not a calibration that this version reads; make it anew, or remove it") from error


def half_width(spread: Values, least: float, factor: float = 1.0) -> Values:
    """Return the half widths of intervals: ``factor`` times hypot(spread, least)."""
    widths: Values = (factor * np.hypot(spread, least)).astype(np.float32)
    return widths


def maps(samples: Values, least: float, calibration: Calibration | None) -> dict[str, Values]:
    """Return what (K, C, H, W) samples tell, by name, each (C, H, W) float32 but the last, which is (1, H, W).

    mean: of the samples.
    spread: their standard deviation.
    interval: the half width that holds the truth at the calibrated rate; only with a calibration.
    invented: the share of local detail that the samples do not have in common, 0 to 1, in the channel where it is
        largest: where they put different structures, or only some of them do. Unbiased for independent samples, and 0
        where there is next to no detail.
    """
    mean: Values = samples.mean(axis=0, dtype=np.float64).astype(np.float32)
    spread: Values = samples.std(axis=0, dtype=np.float64).astype(np.float32)
    found: dict[str, Values] = {"mean": mean, "spread": spread}
    if calibration is not None:
        found["interval"] = half_width(spread, calibration.least, calibration.factor)
    found["invented"] = _invented(torch.from_numpy(np.ascontiguousarray(samples, dtype=np.float32)), least)
    return found


def names(calibration: Calibration | None) -> list[str]:
    """Return the names of ``maps``."""
    return ["mean", "spread", *(["interval"] if calibration is not None else []), "invented"]


def _invented(samples: Tensor, least: float) -> Values:
    count = len(samples)
    if count < 2:
        return np.zeros((1, *samples.shape[2:]), np.float32)
    shares = [_unshared(samples[:, channel : channel + 1], least) for channel in range(samples.shape[1])]
    most: Values = torch.stack(shares).amax(dim=0).numpy()
    return most


def _unshared(samples: Tensor, least: float) -> Tensor:
    """Return the share of the detail of (K, 1, H, W) samples that they do not have in common, (1, H, W)."""
    detail = samples - _smoothed(samples, _DETAIL)
    energy = _smoothed(detail.square().mean(dim=0, keepdim=True), _WINDOW)
    # What the samples do not share, as the variance between them, with the one degree of freedom that the mean took.
    apart = _smoothed(detail.var(dim=0, keepdim=True), _WINDOW)
    return (apart / (energy + least**2 / 4)).clamp(0, 1)[0]


def _smoothed(images: Tensor, deviation: float) -> Tensor:
    """Return (B, 1, H, W) images under a Gaussian window, the edges repeated."""
    reach = int(3 * deviation)
    offsets = torch.arange(-reach, reach + 1, dtype=images.dtype)
    line = torch.softmax(-(offsets**2) / (2 * deviation**2), dim=0)
    padded = F.pad(images, [reach] * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, line.reshape(1, 1, -1, 1)), line.reshape(1, 1, 1, -1))
