"""What several restorations of one image tell: their mean, how far they part, how far off the truth may lie.

An interval is the mean plus and minus a half width, a factor times hypot(spread, least): the spread of the samples,
and the least spread that counts, which keeps pixels on which all samples agree from being taken as certain. Calibration
(evaluation/calibrate.py) finds the factors on pairs that the model was not trained on: one for each class of
intensities of the mean.
"""

import math
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional as F

from indi.config import Config, Settings
from indi.errors import ModelError
from indi.io import span_of
from indi.io.image import MapScale
from indi.models.checkpoint import CALIBRATION_FILE
from indi.process.sampling import Sampling

MARGIN = 24  # px around a piece that its maps look at
LEAST = 0.001  # in intensities on the network's scale, where the model has less noise of its own

_FAINT = 0.01  # of the least spread: what is fainter is the floats' own noise
_DETAIL, _WINDOW = 2.0, 3.0  # px, deviations: finer than the first is detail, the second is how far it is gathered

Values = NDArray[np.floating[Any]]


class IntensityClass(Settings):
    """A range of intensities of the restored mean, and the factor of its intervals.

    Attributes:
        low, high: Its bounds, in intensities of the files' range; the outermost classes go on beyond theirs.
        factor, plain, guaranteed: As of ``Calibration``, for the pixels of this class.
        scenes: That had pixels of it.
        pixels: How many.
        bias: How much the mean of samples was above the clean image, in shares of the clean intensity there.
        bias_error: Its standard error over scenes, None for one scene.
    """

    low: float
    high: float
    factor: float
    plain: float
    guaranteed: float | None
    scenes: int
    pixels: int
    bias: float | None = None
    bias_error: float | None = None


class Bounds(Settings):
    """What holds of an image as a whole, and where its structure may be trusted (evaluation/bounds.py).

    Attributes:
        psnr_margin: By how many dB images are at least better than their spread makes them, None with too few scenes.
        trusted_up_to: The disagreement up to which a pixel is trusted, None where nothing may be.
        trusted: The share of the pixels that were trusted.
        check: What held on scenes left out.
    """

    psnr_margin: float | None
    trusted_up_to: float | None
    trusted: float
    check: dict[str, float | None]


class Calibration(Settings):
    """How wide intervals must be, and for which restorations that was measured.

    Attributes:
        weights: Fingerprint of the model's, so that another one, or one trained on, gets no intervals.
        rate: Share of the pixels that intervals are to hold.
        factor: That does so if one is for all intensities: of the guarantee, where there were scenes enough for one,
            else the plain one.
        plain: The factor of the plain quantile: the share that it held of the pixels it was measured on.
        guaranteed: The factor of conformal risk control, None with too few scenes.
        classes: Factors by intensity, from dark to bright; none where one is for all.
        bounds: Of images and of places; older files have none.
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
    classes: tuple[IntensityClass, ...] = ()
    bounds: Bounds | None = None
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

    def widths(self, mean: Values, spread: Values) -> Values:
        """Return the half widths of intervals around the mean of samples.

        Within a class the factor is nowhere less than that of the class, or its guarantee were lost: it is that of the
        class in the middle, and goes to the larger one of two at the edge between them, so that there is no step.
        """
        if not self.classes:
            return half_width(spread, self.least, self.factor)
        first = self.classes[0]
        places, factors = [(first.low + first.high) / 2], [first.factor]
        for before, one in pairwise(self.classes):
            places += [one.low, (one.low + one.high) / 2]
            factors += [max(before.factor, one.factor), one.factor]
        return half_width(spread, self.least, np.interp(mean, places, factors))

    @property
    def mark(self) -> list[Any]:
        """What tells its intervals from those of others, for a manifest."""
        trusted = [] if self.trusted_up_to is None else [self.trusted_up_to]
        return [self.factor, self.least, *([one.low, one.high, one.factor] for one in self.classes), *trusted]

    @property
    def trusted_up_to(self) -> float | None:
        """The disagreement up to which a pixel is trusted; None where that is not known, or none may be."""
        return None if self.bounds is None else self.bounds.trusted_up_to

    def least_psnr(self, spread: Values) -> float | None:
        """Return the PSNR in dB that a mean of samples has at least, for a share ``rate`` of scenes, by their spread.

        Against the range of the files' type, 1 for floats. None with too few scenes.
        """
        if self.bounds is None or self.bounds.psnr_margin is None:
            return None
        return psnr_by_spread(spread, self.least) + self.bounds.psnr_margin

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
        # Older files hold other steps than those of the times that they list.
        steps = ("steps",) if isinstance(self.times, str) else ()
        for name in ("samples", "times", *steps, "sampler", "realism"):
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
        raise ModelError(f"{file}: not a calibration that this version reads; make it again, or remove it") from error


def told(calibration: Calibration) -> str:
    """Return as Markdown what intervals hold, all and by intensity, on scenes left out: for a model's card."""
    kind = "plain" if calibration.guaranteed is None else "guaranteed"
    found = calibration.check.get(kind)
    held = "" if found is None else f"; on scenes left out they held {found['mean']:.1%}"
    way = f"{calibration.samples} samples at {calibration.steps} steps"
    text = f"**Intervals**: of {calibration.rate:.0%} from {calibration.scenes} scenes, {kind}, for {way}{held}."
    if not calibration.classes:
        return text
    lines = ["| intensity of the mean | factor | held |", "|---|---|---|"]
    for one, row in zip(calibration.classes, calibration.check["classes"], strict=True):
        share = "-" if row[kind] is None else f"{row[kind]:.1%}"
        lines.append(f"| {one.low:.3g} to {one.high:.3g} | {one.factor:.3g} | {share} |")
    return "\n".join([text, "", *lines])


def half_width(spread: Values, least: float, factor: float | Values = 1.0) -> Values:
    """Return the half widths of intervals: ``factor``, one or one a pixel, times hypot(spread, least)."""
    widths: Values = (factor * np.hypot(spread, least)).astype(np.float32)
    return widths


def psnr_by_spread(spread: Values, least: float) -> float:
    """Return the PSNR in dB, against 1, of an image whose errors are as large as hypot(spread, least)."""
    return -10 * math.log10(max(float(np.mean(np.square(spread, dtype=np.float64))) + least**2, 1e-20))


def maps(
    samples: Values, least: float, calibration: Calibration | None, dtype: npt.DTypeLike = np.float32
) -> dict[str, Values]:
    """Return what (K, C, H, W) samples tell, by name, each float32, (C, H, W), or the last ones (1, H, W).

    mean: of the samples, in intensities of the files' range.
    spread: their standard deviation, as pixels are stored: in counts, where they are whole numbers.
    interval: the half width that holds the truth at the calibrated rate, likewise; only with a calibration.
    invented: the disagreement, how much of the local detail the samples do not share, 0 to 1, in the channel where it
        is largest: where they put different structures, or only some of them do. Unbiased for independent samples,
        however faint the detail, down to a hundredth of the least spread.
    trusted: 1 where that is so small that the structure may be trusted, else 0; only with a calibration that says so.

    Args:
        samples: (K, C, H, W), 2 or more, in intensities of the files' range.
        least: The least spread that counts.
        calibration: Of such samples, if there is one.
        dtype: Of the files.
    """
    mean: Values = samples.mean(axis=0, dtype=np.float64).astype(np.float32)
    spread: Values = samples.std(axis=0, dtype=np.float64).astype(np.float32)
    span = np.float32(span_of(np.dtype(dtype)))
    found: dict[str, Values] = {"mean": mean, "spread": span * spread}
    if calibration is not None:
        found["interval"] = span * calibration.widths(mean, spread)
    found["invented"] = _disagreement(torch.from_numpy(np.ascontiguousarray(samples, dtype=np.float32)), _FAINT * least)
    if calibration is not None and calibration.trusted_up_to is not None:
        found["trusted"] = (found["invented"] <= calibration.trusted_up_to).astype(np.float32)
    return found


def names(samples: int | None, calibration: Calibration | None) -> list[str]:
    """Return the names of ``maps`` of so many samples: none of fewer than two, which have no spread."""
    if samples is None or samples < 2:
        return []
    if calibration is None:
        return ["mean", "spread", "invented"]
    trusted = [] if calibration.trusted_up_to is None else ["trusted"]
    return ["mean", "spread", "interval", "invented", *trusted]


def false_detail(mean: Values, clean: Values, least: float) -> NDArray[np.bool_]:
    """Return where the fine detail of a mean of samples is not that of the clean image, (1, H, W).

    There its difference from the clean one has at least half the energy of the clean one, in any of the channels.

    Args:
        mean: (C, H, W), in intensities of the files' range.
        clean: Likewise.
        least: As of ``maps``.
    """
    floor = max(_FAINT * least, 1e-10) ** 2
    both = (torch.from_numpy(np.ascontiguousarray(part, dtype=np.float32))[:, None] for part in (mean - clean, clean))
    wrong, wanted = (_smoothed((part - _smoothed(part, _DETAIL)).square(), _WINDOW) for part in both)
    false: NDArray[np.bool_] = (wrong - floor > 0.5 * (wanted - floor).clamp(min=floor)).amax(dim=0).numpy()
    return false


def scale_of(name: str, largest: float, dtype: np.dtype[Any]) -> MapScale:
    """Return the scale of a map by its name: that of shares ends at 1, that of deviations at their largest value."""
    if name in ("invented", "trusted"):
        return MapScale(1.0, "share")
    return MapScale(largest, "counts" if dtype.kind == "u" else "intensity")


def overlaid(calibration: Calibration | None) -> dict[str, str]:
    """Return which maps are laid over the mean, with what they are called there."""
    width = {"interval": f"interval of {calibration.rate:.0%}, half width"} if calibration else {"spread": "spread"}
    return {**width, "invented": "disagreement"}


def _disagreement(samples: Tensor, noise: float) -> Values:
    shares = [_unshared(samples[:, channel : channel + 1], noise) for channel in range(samples.shape[1])]
    most: Values = torch.stack(shares).amax(dim=0).numpy()
    return most


def _unshared(samples: Tensor, noise: float) -> Tensor:
    """Return the share of the detail of (K, 1, H, W) samples that they do not share, (1, H, W)."""
    detail = samples - _smoothed(samples, _DETAIL)
    energy = _smoothed(detail.square().mean(dim=0, keepdim=True), _WINDOW)
    # What the samples do not share, as the variance between them, with the one degree of freedom that the mean took.
    apart = _smoothed(detail.var(dim=0, keepdim=True), _WINDOW)
    # Noise is in both and no detail in either. Below twice its energy it would decide the ratio.
    floor = torch.tensor(max(noise**2, 1e-20))
    return ((apart - floor) / torch.maximum(energy - floor, floor)).clamp(0, 1)[0]


def _smoothed(images: Tensor, deviation: float) -> Tensor:
    """Return (B, 1, H, W) images under a Gaussian window, the edges repeated."""
    reach = int(3 * deviation)
    offsets = torch.arange(-reach, reach + 1, dtype=images.dtype)
    line = torch.softmax(-(offsets**2) / (2 * deviation**2), dim=0)
    padded = F.pad(images, [reach] * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, line.reshape(1, 1, -1, 1)), line.reshape(1, 1, 1, -1))
