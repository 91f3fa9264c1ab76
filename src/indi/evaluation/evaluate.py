"""Evaluation: what each number of steps buys, in distortion and in perception."""

import json
import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from indi.config import STEPS
from indi.data import Pair, load_pair, load_test_neighbours, load_test_pair, unusable, what_to_fix
from indi.errors import ConfigError, DataError
from indi.evaluation.benchmark import pairs_for
from indi.evaluation.means import Row, with_means
from indi.evaluation.measurement import DEGRADED, Measurement, Subject, batch, finite
from indi.evaluation.ranges import DataRange, check_measure, peak_of, warn_of_range
from indi.io import from_unit, span_of, to_unit
from indi.io.atomic import check_place
from indi.io.channel_names import channel_names
from indi.io.pixel_size import pixel_size
from indi.metrics import METRICS, SETS, Metric, Niqe, available, with_niqe
from indi.models.checkpoint import write_text
from indi.process.sampling import Sampling
from indi.report import Strip, draw_curve, row_label, write_report
from indi.report.display import liveliest_window
from indi.restoration.restorer import Pixels, Restorer, load

log = logging.getLogger("indi")

DIAL = (0.0, 0.25, 0.5, 0.75, 1.0)  # of realism, for models that draw: they need one step
_STRIPS = 3  # images shown in the report
_CROP = 128  # px, side of what is shown of them


@dataclass(frozen=True)
class Evaluation:
    """A restorer against pairs: what to measure. ``measurements`` measures it, ``table`` sums it up.

    Attributes:
        restorer: The restorer.
        pairs: What to restore, and what it should be.
        source: Where the pairs come from, in words or paths, for the report.
        task: Makes the degraded images, in its fixed form, seeded by file name; None where they are files.
        resample: Bring degraded images of a whole-number lower size to the clean grid.
        known_problems: (name, sentence) for each pair that is known not to be usable.
        steps: Numbers of steps to compare; None is 1 for a model that draws, else ``STEPS``.
        realism: Of a model that draws: settings of the dial to compare; None is ``DIAL``, or with ``steps`` what a
            restoration takes when none is asked for.
        chosen: What to measure where it is not every number of steps at every realism.
        border: Pixels left out on each side.
        data_range: Peak of PSNR and SSIM in the images' own unit; None is the type's range, 1 for floats; "image" is
            what each clean image spans.
        sampling: How images are restored, but for the steps and the realism that are compared.
        perceptual: Measure ST-LPIPS, LPIPS, DISTS, FID and KID too, those of them that can be had.
    """

    restorer: Restorer
    pairs: tuple[Pair, ...]
    source: Mapping[str, str | None]
    task: str | None = None
    resample: bool = False
    known_problems: tuple[tuple[str, str], ...] = ()
    steps: tuple[int, ...] | None = None
    realism: tuple[float, ...] | None = None
    chosen: tuple[Row, ...] | None = None
    border: int = 0
    data_range: DataRange = None
    sampling: Sampling = field(default_factory=Sampling)
    perceptual: bool = False

    def __post_init__(self) -> None:
        """Refuse what could not be measured.

        Raises:
            ConfigError: There is no step count, or one below 1; or a realism is out of range, or the model has none; or
                the border or the range is none.
        """
        check_measure(self.border, self.data_range)
        if self.steps is not None and (not self.steps or min(self.steps) < 1):
            raise ConfigError(f"steps are {list(self.steps)}; give numbers of 1 or more")
        if self.realism is not None and not self.realism:
            raise ConfigError("no realism is named; give numbers from 0 to 1")
        for row in self.rows():
            self._sampling(row)

    def rows(self) -> tuple[Row, ...]:
        """Return the ways of restoring that are measured.

        Of a one-step method 1 step, of a list of times as many as it has, else each number of steps; with each realism
        of a model that draws.
        """
        if self.chosen is not None:
            return self.chosen
        draws, once = self.restorer.method.draws, self.restorer.method.one_step
        steps = (1,) if once else tuple(sorted(set(self.steps or ((1,) if draws else STEPS))))
        if not isinstance(self.sampling.times, str):
            steps = (len(self.sampling.times) - 1,)
        dial: tuple[float | None, ...] = self.realism or (None,)
        if draws:
            unasked = DIAL if self.steps is None else (self.restorer.default_realism,)
            dial = tuple(sorted(set(self.realism or unasked)))
        return tuple(Row(number, realism) for number in steps for realism in dial)

    def _sampling(self, row: Row) -> Sampling:
        return self.restorer.resolve(replace(self.sampling, steps=row.steps, realism=row.realism))

    @cached_property
    def _extra(self) -> tuple[dict[str, Metric], dict[str, Metric]]:
        return available() if self.perceptual else ({}, {})

    @cached_property
    def problems(self) -> tuple[tuple[str, str], ...]:
        """(name, sentence) for each pair that cannot be measured; it reads every image when it is first asked for.

        Raises:
            DataError: That is all of them.
            MissingExtraError, ModelError: As ``measurements``.
        """
        _ = self._extra  # what is missing is said first
        channels = self.restorer.card.channels
        read = unusable(self.pairs, channels=channels, resample=self.resample, border=self.border)
        problems = self.known_problems + read
        if len(read) == len(self.pairs):
            raise DataError(what_to_fix(problems))
        return problems

    @cached_property
    def usable(self) -> tuple[Pair, ...]:
        """The pairs that can be measured, which ``measurements`` measures."""
        names = {name for name, _ in self.problems}
        return tuple(pair for pair in self.pairs if pair.name not in names)

    @property
    def total(self) -> int:
        """How many measurements there are."""
        return len(self.usable) * (1 + len(self.rows()))

    def measurements(self) -> Iterator[Measurement]:
        """Yield one measurement for each image and way of restoring, image by image, the degraded first.

        All images are read before the first restoration, which finds the broken ones; and the clean ones once more, as
        NIQE needs its model of all of them.

        Raises:
            MissingExtraError: Perceptual metrics are asked for, and none of their packages can be imported.
            ModelError: They are asked for, and no weights of any could be had.
        """
        perceptual, sets = self._extra
        pairs = self.usable
        metrics = with_niqe(METRICS | perceptual, Niqe.fit(self._clean_images()))
        channels = self.restorer.card.channels
        # Over the whole set: neighbours are often of one scene.
        strips = min(_STRIPS, len(pairs))
        shown = {len(pairs) * number // strips for number in range(strips)}
        warm: set[tuple[int, ...]] = set()  # sizes whose first call, which prepares the network for them, is made
        for index, pair in enumerate(pairs):
            how: dict[str, Any] = {"task": self.task, "resample": self.resample, "seed": self.sampling.seed}
            clean, degraded = load_test_pair(pair, channels=channels, **how)
            around = load_test_neighbours(pair, channels=channels, **how)
            window = liveliest_window(clean, _CROP) if index in shown else None
            peak, size = peak_of(clean, self.data_range), pixel_size(pair.clean)
            names = channel_names(pair.clean, pair.picture, channels=channels, axes=pair.axes, apart=pair.apart)
            subject = Subject(pair.name, clean, peak, window, size, names)
            measured = partial(subject.measured, metrics, border=self.border, with_features=bool(sets))
            yield measured(_as_stored(degraded, clean))
            if clean.shape not in warm:
                self.restorer.restore(degraded, steps=1, around=around)
                warm.add(clean.shape)
            for row in self.rows():
                began = time.perf_counter()
                *_, last = self.restorer.trajectory(degraded, self._sampling(row), around=around)
                restored = self.restorer.pixels(last.image, like=clean)
                seconds = time.perf_counter() - began
                yield measured(restored, row=row, calls=last.network_calls, seconds=seconds)

    def _clean_images(self) -> Iterator[Tensor]:
        """Yield each clean image in units of the peak, as a batch of one; say where the peak is far from the image."""
        largest: dict[str, tuple[float, float]] = {}
        for pair in self.usable:
            (clean,) = load_pair(replace(pair, degraded=None), channels=self.restorer.card.channels)
            largest[pair.name] = float(clean.max()), span_of(clean.dtype)
            if (peak := peak_of(clean, self.data_range)) > 0:
                yield batch(clean) / peak
        if self.data_range is None:
            warn_of_range(largest)

    def table(self, measurements: Iterable[Measurement]) -> dict[str, Any]:
        """Return the content of metrics.json: means over the images by row, and every image's values."""
        rows: dict[Row, list[Measurement]] = {}
        for measurement in measurements:
            rows.setdefault(measurement.row, []).append(measurement)
        restorer, degraded = self.restorer, rows[DEGRADED]
        peaks = [m.peak for m in degraded]
        table = {
            "model": restorer.card.name,
            "method": restorer.card.method.name,
            "settings": {
                **self.source,
                "task": self.task,
                "images": len(degraded),
                "not_measured": [name for name, _ in self.problems] or None,
                "border": self.border,
                "data_range": self.data_range,
                "peak": [min(peaks), max(peaks)],
                "times": self.sampling.times,
                "sampler": self.sampling.sampler or restorer.default_sampler,
                "strength": self.sampling.strength,
                "seed": self.sampling.seed,
                "precision": str(restorer.precision).removeprefix("torch."),
                "device": str(restorer.device),
            },
            "degraded": {**dict.fromkeys(degraded[0].metrics), **_of_sets(degraded)},
            "rows": [
                {
                    **_named(row),
                    "network_calls": some[0].network_calls,
                    **dict.fromkeys(some[0].metrics),
                    **_of_sets(some),
                    "seconds_per_megapixel": sum(m.seconds for m in some) / sum(m.megapixels for m in some),
                }
                for row, some in rows.items()
                if row != DEGRADED
            ],
            "per_image": [{"file": m.file, **_named(m.row), **m.metrics} for some in rows.values() for m in some],
        }
        return with_means([table])[0]

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
    steps: Sequence[int] | None = None,
    realism: Sequence[float] | None = None,
    out: str | Path | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Measure a restorer on pairs; return the table, and write the report where ``out`` says.

    Args:
        model: A restorer, or the name of a pretrained model, run folder or model file of one.
        clean: Folder of clean images; without any folder, a run's own validation pairs.
        degraded: Folder of degraded images of the same names, or else ``task``.
        task: Makes the degraded images, in its fixed form.
        steps: Numbers of steps to compare; None is 1 for a model that draws, else 1, 2, 5, 10 and 20.
        realism: Of a model that draws: settings of the dial to compare; None is 0, 0.25, 0.5, 0.75 and 1, or with
            ``steps`` what a restoration takes when none is asked for.
        out: Folder for metrics.json, curve.png and report.html.
        options: By name. ``border``: pixels left out on each side. ``data_range``: peak of PSNR and SSIM; None is the
            type's range, 1 for floats; "image" is what each clean image spans. ``perceptual``: measure ST-LPIPS, LPIPS,
            DISTS, FID and KID too, those of them that can be had; it needs ``indi[perceptual]``, and the first use of
            all but ST-LPIPS fetches standard weights from the network. ``resample``: bring degraded images of a
            whole-number lower size to the clean grid. And the rest of ``Sampling``: times, sampler, seed, strength.

    Raises:
        ConfigError, DataError, ImageError: The options or any of the pairs do not fit. Every image is read before the
            first restoration.
        IndiError: ``out`` cannot be written, which is said before any work too.
        ModelError: There is no such model, or no weights of any perceptual metric could be had.
        MissingExtraError: Perceptual metrics are asked for, and none of their packages can be imported.
    """
    if out is not None:
        check_place(Path(out))
    restorer = model if isinstance(model, Restorer) else load(model)
    run = None if isinstance(model, Restorer) else model
    sampling, measuring = Sampling().parted(options, "border", "data_range", "perceptual", "resample")
    resample = measuring.pop("resample", False)
    found = pairs_for(restorer.card, run, clean=clean, degraded=degraded, task=task, resample=resample)
    evaluation = Evaluation(
        restorer,
        *found,
        steps=None if steps is None else tuple(steps),
        realism=None if realism is None else tuple(realism),
        sampling=sampling,
        **measuring,
    )
    if evaluation.problems:
        raise DataError(what_to_fix(evaluation.problems))
    measurements = list(evaluation.measurements())
    return evaluation.table(measurements) if out is None else evaluation.write(Path(out), measurements)


def _named(row: Row) -> dict[str, Any]:
    """Return how a row is told apart in metrics.json: a realism only where the model draws."""
    return {name: value for name, value in row._asdict().items() if value is not None}


def _of_sets(row: Sequence[Measurement]) -> dict[str, float | None]:
    """Return the distances of the set of images from the clean one, where they are asked for."""
    if not row[0].features:
        return {}
    sets = [torch.cat(part) for part in zip(*(m.features for m in row), strict=True)]
    return {name: finite(metric.compute(*sets).item()) for name, metric in SETS.items()}


def _as_stored(image: Pixels, clean: Pixels) -> Pixels:
    """Return an image in the type of the clean one, as it would be written to a file."""
    return image if image.dtype == clean.dtype else from_unit(to_unit(image), clean.dtype)
