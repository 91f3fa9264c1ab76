"""Evaluation: what each number of steps buys, in distortion and in perception."""

import json
import logging
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from indi.checkpoint import write_text
from indi.data import LARGEST_FLOAT, Pair, load_pair, load_test_pair
from indi.display import for_display, liveliest_window
from indi.errors import ConfigError
from indi.images import from_unit, to_unit
from indi.metrics import METRICS, SETS, Metric, Niqe, available, measure, with_niqe
from indi.metrics.checks import inside
from indi.metrics.perceptual import inception_features
from indi.report import Strip, draw_curve, row_label, write_report
from indi.restoration import Pixels, Restorer, load
from indi.test_pairs import find_test_pairs
from indi.walks import Walk

log = logging.getLogger("indi")

STEPS = (1, 2, 5, 10, 20)
DIAL = (0.0, 0.25, 0.5, 0.75, 1.0)  # of realism, for models that draw: they need one step
_STRIPS = 3  # images shown in the report
_CROP = 128  # px, side of what is shown of them


class Row(NamedTuple):
    """One way to restore: a number of steps, 0 for the degraded image itself, and the realism of a model that draws."""

    steps: int
    realism: float | None = None


@dataclass(frozen=True)
class Measurement:
    """One image restored one way.

    Attributes:
        metrics: Values by name; None where a metric has no meaning for this image.
        shown: The crop that reports show, and the same of the clean image; None past the first few images.
        features: Of the image and of the clean one, as ``inception_features`` gives them: what distances of sets
            compare. Empty unless perceptual metrics are asked for.
    """

    file: str
    row: Row
    network_calls: int
    seconds: float
    megapixels: float
    metrics: dict[str, float | None]
    shown: tuple[Pixels, Pixels] | None
    features: Sequence[Tensor] = ()


_DEGRADED = Row(0)


@dataclass(frozen=True)
class Evaluation:
    """A restorer against pairs: what to measure. ``measurements`` measures it, ``table`` sums it up.

    Attributes:
        restorer: The restorer.
        pairs: What to restore, and what it should be.
        source: Where the pairs come from, in words or paths, for the report.
        task: Makes the degraded images, in its fixed form, seeded by file name; None where they are files.
        resample: Bring degraded images of a whole-number lower size to the clean grid.
        steps: Numbers of steps to compare; None is 1 for a model that draws, else ``STEPS``.
        realism: Of a model that draws: settings of the dial to compare; None is ``DIAL``, or with ``steps`` what a
            restoration takes when none is asked for.
        chosen: What to measure where it is not every number of steps at every realism.
        border: Pixels left out on each side.
        data_range: Peak of PSNR and SSIM in the images' own unit; None is the type's range, 1 for floats.
        times: As ``Restorer.restore``.
        sampler: As ``Restorer.restore``.
        seed: As ``Restorer.restore``.
        strength: As ``Restorer.restore``.
        perceptual: Measure ST-LPIPS, LPIPS, DISTS, FID and KID too, those of them that can be had.
    """

    restorer: Restorer
    pairs: tuple[Pair, ...]
    source: Mapping[str, str | None]
    task: str | None = None
    resample: bool = False
    steps: tuple[int, ...] | None = None
    realism: tuple[float, ...] | None = None
    chosen: tuple[Row, ...] | None = None
    border: int = 0
    data_range: float | None = None
    times: str | Sequence[float] = "uniform"
    sampler: str | None = None
    seed: int = 0
    strength: float = 1.0
    perceptual: bool = False

    def __post_init__(self) -> None:
        """Refuse what could not be measured.

        Raises:
            ConfigError: There is no step count, or one below 1; or a realism is out of range, or the model has none.
        """
        if self.steps is not None and (not self.steps or min(self.steps) < 1):
            raise ConfigError(f"steps are {list(self.steps)}; give numbers of 1 or more")
        if self.realism is not None and not self.realism:
            raise ConfigError("no realism is named; give numbers from 0 to 1")
        for row in self.rows():
            self._walk(row)

    @property
    def _sampler(self) -> str:
        return self.sampler or self.restorer.default_sampler

    def rows(self) -> tuple[Row, ...]:
        """Return the ways of restoring that are measured.

        Of a one-step method 1 step, of a list of times as many as it has, else each number of steps; with each realism
        of a model that draws.
        """
        if self.chosen is not None:
            return self.chosen
        draws, once = self.restorer.method.draws, self.restorer.method.one_step
        steps = (1,) if once else tuple(sorted(set(self.steps or ((1,) if draws else STEPS))))
        if not isinstance(self.times, str):
            steps = (len(self.times) - 1,)
        dial: tuple[float | None, ...] = self.realism or (None,)
        if draws:
            unasked = DIAL if self.steps is None else (self.restorer.default_realism,)
            dial = tuple(sorted(set(self.realism or unasked)))
        return tuple(Row(number, realism) for number in steps for realism in dial)

    def _walk(self, row: Row) -> Walk:
        return self.restorer.walk(
            row.steps,
            samples=None,
            times=self.times,
            sampler=self._sampler,
            strength=self.strength,
            realism=row.realism,
        )

    def measurements(self) -> Iterator[Measurement]:
        """Yield one measurement for each image and way of restoring, image by image, the degraded first.

        The clean images are read twice: NIQE needs its model of all of them before the first measurement.

        Raises:
            MissingExtraError: Perceptual metrics are asked for, and none of their packages can be imported.
            ModelError: They are asked for, and no weights of any could be had.
        """
        perceptual, sets = available() if self.perceptual else ({}, {})
        metrics = with_niqe(METRICS | perceptual, Niqe.fit(self._clean_images()))
        channels = self.restorer.card.channels
        # Over the whole set: neighbours are often of one scene.
        shown = {len(self.pairs) * number // _STRIPS for number in range(min(_STRIPS, len(self.pairs)))}
        warm: set[tuple[int, ...]] = set()  # sizes whose first call, which prepares the network for them, is made
        has_warned = False
        for index, pair in enumerate(self.pairs):
            clean, degraded = load_test_pair(
                pair, channels=channels, task=self.task, resample=self.resample, seed=self.seed
            )
            if self.data_range is None and not has_warned and clean.dtype.kind == "f" and clean.max() > LARGEST_FLOAT:
                has_warned = True
                log.warning(
                    "warning: %s reaches %.4g, and floats are measured against a range of 1; "
                    "give the range that is meant with --data-range",
                    pair.name,
                    clean.max(),
                )
            window = liveliest_window(clean, _CROP) if index in shown else None
            measured = partial(self._measured, pair.name, clean, window, metrics, bool(sets))
            yield measured(_as_stored(degraded, clean))
            if clean.shape not in warm:
                self.restorer.restore(degraded, steps=1)
                warm.add(clean.shape)
            for row in self.rows():
                began = time.perf_counter()
                *_, last = self.restorer.trajectory(degraded, self._walk(row), seed=self.seed)
                restored = self.restorer.pixels(last.image, like=clean)
                seconds = time.perf_counter() - began
                yield measured(restored, row=row, calls=last.network_calls, seconds=seconds)

    def _clean_images(self) -> Iterator[Tensor]:
        """Yield each clean image in units of the peak, as a batch of one."""
        for pair in self.pairs:
            (clean,) = load_pair(replace(pair, degraded=None), channels=self.restorer.card.channels)
            yield _batch(clean) / self._peak(clean)

    def _peak(self, clean: Pixels) -> float:
        """Return ``data_range`` where the range of the image's type is 1."""
        span = np.iinfo(clean.dtype.name).max if clean.dtype.kind == "u" else 1.0
        return 1.0 if self.data_range is None else self.data_range / span

    def _measured(
        self,
        file: str,
        clean: Pixels,
        window: Any,
        metrics: Mapping[str, Metric],
        with_features: bool,
        image: Pixels,
        *,
        row: Row = _DEGRADED,
        calls: int = 0,
        seconds: float = 0.0,
    ) -> Measurement:
        both, peak = (_batch(image), _batch(clean)), self._peak(clean)
        measured = measure(*both, border=self.border, data_range=peak, metrics=metrics)
        values = {name: _finite(value[0]) for name, value in measured.items()}
        pixels = clean.shape[0] * clean.shape[1] / 1e6
        shown = None if window is None else (for_display(image[window]), for_display(clean[window]))
        features = [inception_features(inside(part, self.border), data_range=peak) for part in both if with_features]
        return Measurement(file, row, calls, seconds, pixels, values, shown, features)

    def table(self, measurements: Iterable[Measurement]) -> dict[str, Any]:
        """Return the content of metrics.json: means over the images by row, and every image's values."""
        rows: dict[Row, list[Measurement]] = {}
        for measurement in measurements:
            rows.setdefault(measurement.row, []).append(measurement)
        restorer = self.restorer
        return {
            "model": restorer.card.name,
            "method": restorer.card.method.name,
            "settings": {
                **self.source,
                "task": self.task,
                "images": len(rows[_DEGRADED]),
                "border": self.border,
                "data_range": self.data_range,
                "times": self.times,
                "sampler": self._sampler,
                "strength": self.strength,
                "seed": self.seed,
                "precision": str(restorer.precision).removeprefix("torch."),
                "device": str(restorer.device),
            },
            "degraded": self._summary(rows[_DEGRADED]),
            "rows": [
                {
                    **_named(row),
                    "network_calls": some[0].network_calls,
                    **self._summary(some),
                    "seconds_per_megapixel": sum(m.seconds for m in some) / sum(m.megapixels for m in some),
                }
                for row, some in rows.items()
                if row != _DEGRADED
            ],
            "per_image": [{"file": m.file, **_named(m.row), **m.metrics} for some in rows.values() for m in some],
        }

    def _summary(self, row: Sequence[Measurement]) -> dict[str, float | None]:
        """Return the mean of each metric over the images, and the distances of their set from the clean one."""
        means = _means(row)
        if not row[0].features:
            return means
        sets = [torch.cat(part) for part in zip(*(m.features for m in row), strict=True)]
        return means | {name: _finite(metric.compute(*sets).item()) for name, metric in SETS.items()}

    def write(self, out: Path, measurements: Sequence[Measurement]) -> dict[str, Any]:
        """Write metrics.json, curve.png and report.html into ``out``; return the table."""
        table = self.table(measurements)
        strips = self._strips(measurements)
        write_text(out / "metrics.json", json.dumps(table, indent=1, allow_nan=False) + "\n")
        draw_curve(table, out / "curve.png")
        write_report(table, strips, out)
        return table

    def _strips(self, measurements: Iterable[Measurement]) -> list[Strip]:
        strips: dict[str, Strip] = {}
        for m in measurements:
            if m.shown is not None:
                image, clean = m.shown
                strip = strips.setdefault(m.file, Strip(m.file, [], clean))
                strip.panels.append((row_label(*m.row), image, m.metrics))
        return list(strips.values())


def evaluate(
    model: Restorer | str | Path,
    *,
    clean: str | Path | None = None,
    degraded: str | Path | None = None,
    task: str | None = None,
    resample: bool = False,
    steps: Sequence[int] | None = None,
    realism: Sequence[float] | None = None,
    border: int = 0,
    data_range: float | None = None,
    times: str | Sequence[float] = "uniform",
    sampler: str | None = None,
    seed: int = 0,
    strength: float = 1.0,
    perceptual: bool = False,
    out: str | Path | None = None,
) -> dict[str, Any]:
    """Measure a restorer on pairs; return the table, and write the report where ``out`` says.

    Args:
        model: A restorer, or the shipped name, run folder or model file of one.
        clean: Folder of clean images; without any folder, a run's own validation pairs.
        degraded: Folder of degraded images of the same names, or else ``task``.
        task: Makes the degraded images, in its fixed form.
        resample: Bring degraded images of a whole-number lower size to the clean grid.
        steps: Numbers of steps to compare; None is 1 for a model that draws, else 1, 2, 5, 10 and 20.
        realism: Of a model that draws: settings of the dial to compare; None is 0, 0.25, 0.5, 0.75 and 1, or with
            ``steps`` what a restoration takes when none is asked for.
        border: Pixels left out on each side.
        data_range: Peak of PSNR and SSIM; None is the type's range, 1 for floats.
        times: As ``Restorer.restore``.
        sampler: As ``Restorer.restore``.
        seed: As ``Restorer.restore``.
        strength: As ``Restorer.restore``.
        perceptual: Measure ST-LPIPS, LPIPS, DISTS, FID and KID too, those of them that can be had. It needs
            ``indi[perceptual]``; the first use of all but ST-LPIPS fetches standard weights from the network.
        out: Folder for metrics.json, curve.png and report.html.

    Raises:
        ConfigError, DataError, ImageError: The pairs or the options do not fit.
        ModelError: There is no such model, or no weights of any perceptual metric could be had.
        MissingExtraError: Perceptual metrics are asked for, and none of their packages can be imported.
    """
    restorer = model if isinstance(model, Restorer) else load(model)
    run = None if isinstance(model, Restorer) else model
    found = find_test_pairs(
        run,
        clean=clean,
        degraded=degraded,
        task=task,
        channels=restorer.card.channels,
        apart=restorer.card.apart,
        resample=resample,
    )
    evaluation = Evaluation(
        restorer,
        *found,
        steps=None if steps is None else tuple(steps),
        realism=None if realism is None else tuple(realism),
        border=border,
        data_range=data_range,
        times=times,
        sampler=sampler,
        strength=strength,
        seed=seed,
        perceptual=perceptual,
    )
    measurements = list(evaluation.measurements())
    return evaluation.table(measurements) if out is None else evaluation.write(Path(out), measurements)


def _named(row: Row) -> dict[str, Any]:
    """Return how a row is told apart in metrics.json: a realism only where the model draws."""
    return {name: value for name, value in row._asdict().items() if value is not None}


def _means(measurements: Sequence[Measurement]) -> dict[str, float | None]:
    """Return the mean of each metric over the images that have it; None where none has."""
    means: dict[str, float | None] = {}
    for name in measurements[0].metrics:
        values = [m.metrics[name] for m in measurements]
        known = [value for value in values if value is not None]
        means[name] = sum(known) / len(known) if known else None
    return means


def _finite(value: float | None) -> float | None:
    """Return None for the infinite PSNR of identical images: JSON has no infinity."""
    return value if value is not None and math.isfinite(value) else None


def _as_stored(image: Pixels, clean: Pixels) -> Pixels:
    """Return an image in the type of the clean one, as it would be written to a file."""
    return image if image.dtype == clean.dtype else from_unit(to_unit(image), clean.dtype)


def _batch(image: Pixels) -> Tensor:
    return torch.from_numpy(np.moveaxis(np.atleast_3d(to_unit(image)), -1, 0).copy())[None]
