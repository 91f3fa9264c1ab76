"""Make intervals that hold: measure on pairs the model was not trained on how wide they must be.

Each scene i gives a curve L_i(factor): the share of its pixels that lie outside of intervals with that factor. It
falls as the factor grows.

    plain       the least factor with mean L <= 1 - rate: exact on the scenes at hand, near it on others.
    guaranteed  the least factor with (sum L + 1) / (n + 1) <= 1 - rate. By conformal risk control, if the n scenes and
                a new one are exchangeable (such as independent fields of view from one microscope, sample and
                protocol), the expected share of the new scene's pixels outside is at most 1 - rate. It is an
                expectation over scenes: no promise for each pixel, for each scene, or for another microscope. It needs
                n + 1 >= 1 / (1 - rate).

Source: Angelopoulos, Bates, Fisch, Lei and Schuster, "Conformal Risk Control", ICLR 2024, arXiv:2208.02814, theorem 1,
with losses from 0 to 1.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indi.config import RATE, SAMPLES
from indi.data import digest_of, load_pair, load_test_pair, scenes_of, with_repeats
from indi.errors import ConfigError
from indi.evaluation.benchmark import find_test_pairs
from indi.io import to_unit
from indi.io.atomic import check_place
from indi.models.checkpoint import CALIBRATION_FILE, write_text
from indi.models.runs import settings_of_data
from indi.process import DEFAULT_SAMPLER
from indi.process.sampling import Sampling
from indi.report.calibration import draw_calibration
from indi.restoration.restorer import Restorer, load
from indi.restoration.uncertainty import Calibration, half_width

SPLITS = 20
FACTORS = np.geomspace(1e-3, 1e4, 7001)  # 0.23 % apart
SHARES = np.linspace(0, 0.95, 20)  # of the pixels, those of the largest spread, that are left out

Curve = NDArray[np.float64]
Values = NDArray[np.floating[Any]]


@dataclass
class Scene:
    """What the pairs of one scene showed.

    Attributes:
        counts: Pixels by the least factor in ``FACTORS`` that holds them, and beyond.
        widths: Sum of hypot(spread, least) over the pixels.
        kept: Sum of squared errors and number of pixels once those of the largest spread are left out, by ``SHARES``;
            and the same where those of the largest error are.
    """

    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(FACTORS) + 1, np.int64))
    widths: float = 0.0
    kept: NDArray[np.float64] = field(default_factory=lambda: np.zeros((3, len(SHARES))))

    def add(self, error: Values, spread: Values, least: float) -> None:
        """Count the pixels of an image in: absolute errors of its mean, and the spread of its samples."""
        widths = half_width(spread, least)
        self.counts += np.bincount(np.searchsorted(FACTORS, (error / widths).ravel()), minlength=len(FACTORS) + 1)
        self.widths += float(widths.sum(dtype=np.float64))
        squares = error.ravel().astype(np.float64) ** 2
        by_spread = np.cumsum(squares[np.argsort(spread.ravel(), kind="stable")])
        by_error = np.cumsum(np.sort(squares))
        left = np.ceil((1 - SHARES) * squares.size).astype(int) - 1
        self.kept += np.stack([by_spread[left], by_error[left], left + 1.0])

    @property
    def pixels(self) -> int:
        """How many there were."""
        return int(self.counts.sum())

    def outside(self) -> Curve:
        """Return the share of pixels outside, for each of ``FACTORS``."""
        curve: Curve = 1 - np.cumsum(self.counts[:-1]) / self.pixels
        return curve


def plain_factor(scenes: Sequence[Scene], rate: float) -> float:
    """Return the least factor whose intervals hold a share ``rate`` of the pixels, on average over the scenes."""
    return _first(np.mean([scene.outside() for scene in scenes], axis=0) <= 1 - rate)


def guaranteed_factor(scenes: Sequence[Scene], rate: float) -> float | None:
    """Return the factor of conformal risk control; None with fewer than 1 / (1 - rate) - 1 scenes, or if none holds."""
    count = len(scenes)
    if (count + 1) * (1 - rate) < 1 - 1e-9:
        return None
    outside = np.sum([scene.outside() for scene in scenes], axis=0)
    holds = (outside + 1) / (count + 1) <= 1 - rate + 1e-12
    return _first(holds) if holds.any() else None


def coverage(scenes: Sequence[Scene], factor: float) -> float:
    """Return the share of pixels inside of intervals with a factor, the mean over scenes."""
    place = min(int(np.searchsorted(FACTORS, factor * (1 + 1e-9), side="right")) - 1, len(FACTORS) - 1)
    return float(np.mean([1 - scene.outside()[place] for scene in scenes]))


def sparsification(scenes: Sequence[Scene]) -> dict[str, Any]:
    """Return how the error falls as the pixels of the largest spread are left out.

    Root mean squares against that of all pixels: by spread, and at best, if the errors themselves were known; ``area``
    is the area between the two curves, 0 for a spread that ranks as the errors do. Leaving out at random stays at 1.
    """
    by_spread, by_error, counts = np.sum([scene.kept for scene in scenes], axis=0)
    ours, best = (np.sqrt(squares / counts) for squares in (by_spread, by_error))
    whole = ours[0] or 1.0
    area = float(np.trapezoid(ours - best, SHARES) / whole / SHARES[-1])
    return {
        "left_out": SHARES.tolist(),
        "by_spread": (ours / whole).tolist(),
        "at_best": (best / whole).tolist(),
        "area": area,
    }


def check(scenes: Sequence[Scene], rate: float, *, splits: int = SPLITS, seed: int = 0) -> dict[str, Any]:
    """Return the coverage on scenes left out: means over random halvings, with their standard deviations."""
    random = np.random.default_rng(seed)
    found: dict[str, list[float]] = {"plain": [], "guaranteed": []}
    half = (len(scenes) + 1) // 2
    for _ in range(splits if len(scenes) > 1 else 0):
        order = random.permutation(len(scenes))
        ours, others = ([scenes[index] for index in part] for part in (order[:half], order[half:]))
        for name, factor in (("plain", plain_factor(ours, rate)), ("guaranteed", guaranteed_factor(ours, rate))):
            if factor is not None:
                found[name].append(coverage(others, factor))
    return {
        "splits": splits if len(scenes) > 1 else 0,
        "scenes_calibrated_on": half,
        **{
            name: {"mean": float(np.mean(values)), "deviation": float(np.std(values))} if values else None
            for name, values in found.items()
        },
    }


def calibrate(
    run: str | Path,
    *,
    clean: str | Path | None = None,
    degraded: str | Path | None = None,
    task: str | None = None,
    resample: bool = False,
    group: str | None = None,
    rate: float = RATE,
    samples: int = SAMPLES,
    device: str = "auto",
    progress: Callable[[float], None] | None = None,
    **sampling: Any,
) -> Calibration:
    """Measure how wide intervals must be, and keep it in the run folder, where restoring with samples finds it.

    Args:
        run: The run folder; calibration.json and calibration.png are written there.
        clean: Folder of clean images that were not trained on; without any folder, those the run kept from training.
        degraded: Folder of degraded images of the same names, or else ``task``.
        task: Makes the degraded images, in its fixed form.
        resample: Bring degraded images of a whole-number lower size to the clean grid.
        group: Pattern whose match names an image's scene; by default that of the run.
        rate: Share of the pixels that intervals are to hold.
        samples: Restorations of each image.
        device: auto, cpu, cuda or mps.
        progress: Called with the share that is done.
        sampling: The rest of ``Sampling`` by name: steps, seed, times, sampler, realism; strength stays 1.

    Raises:
        ConfigError, DataError, ImageError, ModelError: The run, the pairs or the options do not fit.
    """
    if not 0 < rate < 1:
        raise ConfigError(f"rate is {rate}; give a share between 0 and 1")
    if samples < 2:
        raise ConfigError(f"samples is {samples}; a spread needs 2 or more")
    asked = Sampling(samples=samples, **sampling)
    if asked.strength != 1:
        raise ConfigError(f"strength is {asked.strength:g}; intervals are calibrated at strength 1")
    folder = Path(run)
    if not folder.is_dir():
        raise ConfigError(f"{run}: a calibration belongs to a run folder; give one that indi train made")
    check_place(folder)
    restorer = load(folder, device=device)
    how = restorer.resolve(asked)
    found = find_test_pairs(
        folder,
        clean=clean,
        degraded=degraded,
        task=task,
        channels=restorer.card.channels,
        apart=restorer.card.apart,
        resample=resample,
    )
    found.check(channels=restorer.card.channels)
    trained = settings_of_data(folder)
    clean_images = (load_pair(replace(pair, degraded=None), channels=restorer.card.channels) for pair in found.pairs)
    pairs = with_repeats(found.pairs, (digest_of(image) for (image,) in clean_images))
    scene_of = scenes_of(pairs, group or (trained.group if trained else None))
    scenes = {name: Scene() for name in dict.fromkeys(scene_of.values())}
    for done, pair in enumerate(pairs, start=1):
        target, image = load_test_pair(
            pair, channels=restorer.card.channels, task=found.task, resample=found.resample, seed=how.seed
        )
        restored = to_unit(restorer.restore(image, sampling=how))
        mean, spread = restored.mean(axis=0, dtype=np.float64), restored.std(axis=0, dtype=np.float64)
        scenes[scene_of[pair]].add(np.abs(to_unit(target) - mean), spread, restorer.least_spread)
        if progress is not None:
            progress(done / len(pairs))
    calibration = _calibration(list(scenes.values()), restorer, how, rate=rate)
    write_text(folder / CALIBRATION_FILE, calibration.model_dump_json(indent=1) + "\n")
    draw_calibration(calibration, reliability(list(scenes.values())), folder / "calibration.png")
    return calibration


def reliability(scenes: Sequence[Scene]) -> list[tuple[float, float]]:
    """Return the coverage on scenes left out for each of several rates: what a plain quantile of half of them holds."""
    rates = np.linspace(0.05, 0.95, 19)
    found = [(float(rate), check(scenes, float(rate))["plain"]) for rate in rates]
    return [(rate, one["mean"]) for rate, one in found if one is not None]


def _calibration(scenes: list[Scene], restorer: Restorer, how: Sampling, *, rate: float) -> Calibration:
    plain, guaranteed = plain_factor(scenes, rate), guaranteed_factor(scenes, rate)
    pixels = sum(scene.pixels for scene in scenes)
    factor = plain if guaranteed is None else guaranteed
    return Calibration(
        weights=restorer.fingerprint,
        rate=rate,
        factor=factor,
        plain=plain,
        guaranteed=guaranteed,
        least=restorer.least_spread,
        samples=how.samples or 1,
        steps=how.steps or 1,
        times=how.times if isinstance(how.times, str) else list(how.times),
        sampler=how.sampler or DEFAULT_SAMPLER,
        realism=how.realism,
        scenes=len(scenes),
        pixels=pixels,
        half_width=factor * sum(scene.widths for scene in scenes) / pixels,
        check=check(scenes, rate),
        sparsification=sparsification(scenes),
    )


def _first(holds: NDArray[np.bool_]) -> float:
    """Return the first of ``FACTORS`` that holds; the last where none does."""
    return float(FACTORS[int(np.argmax(holds)) if holds.any() else -1])
