"""Make intervals that hold: measure on pairs the model was not trained on how wide they must be (scenes.py)."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indi.config import RATE, SAMPLES
from indi.data import digest_of, load_pair, load_test_neighbours, load_test_pair, scenes_of, with_repeats
from indi.errors import ConfigError
from indi.evaluation.benchmark import pairs_for
from indi.evaluation.bounds import bias_by_class, bounds_of
from indi.evaluation.scenes import (
    Scene,
    check,
    edges_of,
    guaranteed_factor,
    guaranteed_factors,
    plain_factor,
    plain_factors,
    reliability,
    some_of,
    sparsification,
    with_enough,
)
from indi.io import to_unit
from indi.io.atomic import check_place
from indi.models.checkpoint import CALIBRATION_FILE, write_text
from indi.models.runs import settings_of_data
from indi.process import DEFAULT_SAMPLER
from indi.process.sampling import Sampling
from indi.report.calibration import draw_calibration
from indi.restoration.restorer import Restorer, load
from indi.restoration.uncertainty import Calibration, IntensityClass, Values, false_detail, maps


def calibrate(
    run: str | Path,
    *,
    clean: str | Path | None = None,
    degraded: str | Path | None = None,
    task: str | None = None,
    group: str | None = None,
    rate: float = RATE,
    progress: Callable[[float], None] | None = None,
    **options: Any,
) -> Calibration:
    """Measure how wide intervals must be, and keep it in the run folder, where restoring with samples finds it.

    Args:
        run: The run folder; calibration.json and calibration.png are written there.
        clean: Folder of clean images that were not trained on; without any folder, those the run kept from training.
        degraded: Folder of degraded images of the same names, or else ``task``.
        task: Makes the degraded images, in its fixed form.
        group: Pattern whose match names an image's scene; by default that of the run.
        rate: Share of the pixels that intervals are to hold.
        progress: Called with the share that is done.
        options: By name. ``samples``: restorations of each image, 8 unless given. ``device``: auto, cpu, cuda or mps.
            ``resample``: bring degraded images of a whole-number lower size to the clean grid. And the rest of
            ``Sampling``: steps, seed, times, sampler, realism; strength stays 1.

    Raises:
        ConfigError, DataError, ImageError, ModelError: The run, the pairs or the options do not fit.
    """
    if not 0 < rate < 1:
        raise ConfigError(f"rate is {rate}; give a share between 0 and 1")
    asked, others = Sampling(samples=SAMPLES).parted(options, "device", "resample")
    if (asked.samples or 1) < 2:
        raise ConfigError(f"samples is {asked.samples}; a spread needs 2 or more")
    if asked.strength != 1:
        raise ConfigError(f"strength is {asked.strength:g}; intervals are calibrated at strength 1")
    folder = Path(run)
    if not folder.is_dir():
        raise ConfigError(f"{run}: a calibration belongs to a run folder; give one that indi train made")
    check_place(folder)
    restorer = load(folder, device=others.pop("device", "auto"))
    how = restorer.resolve(asked)
    found = pairs_for(restorer.card, folder, clean=clean, degraded=degraded, task=task, **others)
    found.check(channels=restorer.card.channels)
    trained = settings_of_data(folder)
    digests, some = [], []
    for pair in found.pairs:
        (clean_image,) = load_pair(replace(pair, degraded=None), channels=restorer.card.channels)
        digests.append(digest_of(clean_image))
        some.append(some_of(to_unit(clean_image)))
    pairs = with_repeats(found.pairs, digests)
    scene_of = scenes_of(pairs, group or (trained.group if trained else None))
    ends, edges = (float(min(map(np.min, some))), float(max(map(np.max, some)))), edges_of(some)
    scenes = {name: Scene(edges) for name in dict.fromkeys(scene_of.values())}
    for done, pair in enumerate(pairs, start=1):
        loading: dict[str, Any] = {"task": found.task, "resample": found.resample, "seed": how.seed}
        target, image = load_test_pair(pair, channels=restorer.card.channels, **loading)
        around = load_test_neighbours(pair, channels=restorer.card.channels, **loading)
        restored = to_unit(restorer.restore(image, sampling=how, around=around))
        mean, spread = restored.mean(axis=0, dtype=np.float64), restored.std(axis=0, dtype=np.float64)
        scenes[scene_of[pair]].add(mean - to_unit(target), spread, restorer.least_spread, mean)
        scenes[scene_of[pair]].add_detail(*_detail(restored, to_unit(target), restorer.least_spread))
        if progress is not None:
            progress(done / len(pairs))
    measured = with_enough(list(scenes.values()), rate)
    calibration = _calibration(measured, ends, restorer, how, rate=rate)
    write_text(folder / CALIBRATION_FILE, calibration.model_dump_json(indent=1) + "\n")
    draw_calibration(calibration, reliability(measured), folder / "calibration.png")
    return calibration


def _detail(restored: Values, clean: Values, least: float) -> tuple[Values, NDArray[np.bool_]]:
    """Return how much the detail of samples differs, and where that of their mean is false."""
    samples, (truth,) = (
        np.moveaxis(values.reshape(*values.shape[:3], -1), -1, 1) for values in (restored, clean[None])
    )
    found = maps(samples, least, None)
    return found["invented"], false_detail(found["mean"], truth, least)


def _calibration(
    scenes: Sequence[Scene], ends: tuple[float, float], restorer: Restorer, how: Sampling, *, rate: float
) -> Calibration:
    plain, guaranteed = plain_factor(scenes, rate), guaranteed_factor(scenes, rate)
    classes = _classes(scenes, ends, rate)
    if guaranteed is None or any(one.guaranteed is None for one in classes):  # all are of one kind
        guaranteed = None
        classes = [one.model_copy(update={"factor": one.plain, "guaranteed": None}) for one in classes]
    factor = plain if guaranteed is None else guaranteed
    factors = [one.factor for one in classes] or [factor]
    pixels = sum(scene.pixels for scene in scenes)
    return Calibration(
        weights=restorer.fingerprint,
        rate=rate,
        factor=factor,
        plain=plain,
        guaranteed=guaranteed,
        classes=tuple(classes),
        least=restorer.least_spread,
        samples=how.samples or 1,
        steps=how.steps or 1,
        times=how.times if isinstance(how.times, str) else list(how.times),
        sampler=how.sampler or DEFAULT_SAMPLER,
        realism=how.realism,
        scenes=len(scenes),
        pixels=pixels,
        bounds=bounds_of(scenes, rate),
        half_width=float(sum(np.dot(factors, scene.widths) for scene in scenes)) / pixels,
        check=check(scenes, rate),
        sparsification=sparsification(scenes),
    )


def _classes(scenes: Sequence[Scene], ends: tuple[float, float], rate: float) -> list[IntensityClass]:
    """Return the factors by class of intensity; none where all is one class."""
    edges = scenes[0].edges
    if not edges:
        return []
    bounds = [min(ends[0], edges[0]), *edges, max(ends[1], edges[-1])]
    plain = plain_factors(scenes, rate)
    guaranteed: Sequence[float | None] = guaranteed_factors(scenes, rate) or [None] * len(plain)
    biases = bias_by_class(scenes)
    counts = np.array([scene.counts.sum(axis=1) for scene in scenes])
    return [
        IntensityClass(
            low=bounds[number],
            high=bounds[number + 1],
            factor=simple if sure is None else sure,
            plain=simple,
            guaranteed=sure,
            scenes=int((counts[:, number] > 0).sum()),
            pixels=int(counts[:, number].sum()),
            bias=biases[number][0],
            bias_error=biases[number][1],
        )
        for number, (simple, sure) in enumerate(zip(plain, guaranteed, strict=True))
    ]
