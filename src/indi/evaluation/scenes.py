"""What the pairs of one scene showed, by intensity, and the factors that follow from several scenes.

Each scene i gives a curve L_i(factor): the share of its pixels that lie outside of intervals with that factor. It
falls as the factor grows.

    plain       the least factor with mean L <= 1 - rate: exact on the scenes at hand, near it on others.
    guaranteed  the least factor with (sum L + 1) / (n + 1) <= 1 - rate. By conformal risk control, if the n scenes and
                a new one are exchangeable (such as independent fields of view from one microscope, sample and
                protocol), the expected share of the new scene's pixels outside is at most 1 - rate. It is an
                expectation over scenes: no promise for each pixel, for each scene, or for another microscope. It needs
                n + 1 >= 1 / (1 - rate).

Errors grow with intensity, so one factor for all holds the dark background always and what is bright less. The pixels
are parted into classes by the intensity of the restored mean, and each class has a factor of its own, from the scenes
that have pixels of it: the same theorem, class by class (Mondrian conformal prediction: Vovk, Gammerman and Shafer,
"Algorithmic Learning in a Random World", 2005, chapter 4).

Source: Angelopoulos, Bates, Fisch, Lei and Schuster, "Conformal Risk Control", ICLR 2024, arXiv:2208.02814, theorem 1,
with losses from 0 to 1.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indi.restoration.uncertainty import half_width, psnr_by_spread

SPLITS = 20
FACTORS = np.geomspace(1e-3, 1e4, 7001)  # 0.23 % apart
SHARES = np.linspace(0, 0.95, 20)  # of the pixels, those of the largest spread, that are left out
THRESHOLDS = np.linspace(0, 1, 101)  # of disagreement, up to which a pixel is trusted
QUANTILES = (0.5, 0.8, 0.95, 0.99)  # of the clean intensities, between the classes

Curve = NDArray[np.float64]
Values = NDArray[np.floating[Any]]


@dataclass
class Scene:
    """What the pairs of one scene showed.

    Attributes:
        edges: Intensities between the classes, rising; none is one class.
        counts: Pixels by class, and by the least factor in ``FACTORS`` that holds them, and beyond.
        widths: Sum of hypot(spread, least) over the pixels, by class.
        kept: Sum of squared errors and number of pixels once those of the largest spread are left out, by ``SHARES``;
            and the same where those of the largest error are.
        sums: Sums of signed errors and of the mean's intensities, by class.
        margins: Of each image, by how many dB its PSNR is above what the spread makes of it.
        trust: Pixels, and those with false detail, by the least of ``THRESHOLDS`` at which they are trusted.
    """

    edges: tuple[float, ...] = ()
    counts: NDArray[np.int64] = field(init=False)
    widths: NDArray[np.float64] = field(init=False)
    kept: NDArray[np.float64] = field(default_factory=lambda: np.zeros((3, len(SHARES))))
    sums: NDArray[np.float64] = field(init=False)
    margins: list[float] = field(default_factory=list)
    trust: NDArray[np.int64] = field(default_factory=lambda: np.zeros((2, len(THRESHOLDS)), np.int64))

    def __post_init__(self) -> None:
        self.counts = np.zeros((len(self.edges) + 1, len(FACTORS) + 1), np.int64)
        self.widths = np.zeros(len(self.edges) + 1)
        self.sums = np.zeros((2, len(self.edges) + 1))

    def add(self, error: Values, spread: Values, least: float, mean: Values | None = None) -> None:
        """Count the pixels of an image in.

        Args:
            error: Errors of the mean of its samples, restored minus clean.
            spread: Standard deviation of the samples.
            least: The least spread that counts.
            mean: The mean itself, which is needed with several classes alone.
        """
        widths = half_width(spread, least)
        place = np.searchsorted(FACTORS, (np.abs(error) / widths).ravel())
        number = np.zeros(place.shape, np.intp)
        if self.edges:
            assert mean is not None
            number = np.searchsorted(self.edges, mean.ravel(), side="right")
        bins = self.counts.shape[1]
        self.counts += np.bincount(number * bins + place, minlength=self.counts.size).reshape(self.counts.shape)
        self.widths += np.bincount(number, weights=widths.ravel(), minlength=len(self.widths))
        if mean is not None:
            for row, values in zip(self.sums, (error, mean), strict=True):
                row += np.bincount(number, weights=values.ravel(), minlength=len(row))
        squares = error.ravel().astype(np.float64) ** 2
        by_spread = np.cumsum(squares[np.argsort(spread.ravel(), kind="stable")])
        by_error = np.cumsum(np.sort(squares))
        left = np.ceil((1 - SHARES) * squares.size).astype(int) - 1
        self.kept += np.stack([by_spread[left], by_error[left], left + 1.0])

        guess = psnr_by_spread(spread, least)
        self.margins.append(-10 * math.log10(max(float(squares.mean()), 1e-20)) - guess)

    def add_detail(self, disagreement: Values, false: NDArray[np.bool_]) -> None:
        """Count in where an image would be trusted, and where its detail is false; maps of one shape."""
        place = np.searchsorted(THRESHOLDS, disagreement.ravel() - 1e-7).clip(max=len(THRESHOLDS) - 1)
        for row, weights in zip(self.trust, (None, false.ravel()), strict=True):
            row += np.bincount(place, weights, minlength=len(row)).astype(np.int64)

    @property
    def pixels(self) -> int:
        """How many there were."""
        return int(self.counts.sum())

    def outside(self, number: int | None = None) -> Curve:
        """Return the share of pixels outside, for each of ``FACTORS``; of one class alone where its number is given."""
        counts = self.counts.sum(axis=0) if number is None else self.counts[number]
        curve: Curve = 1 - np.cumsum(counts[:-1]) / counts.sum()
        return curve

    def merged(self, edges: Sequence[float]) -> "Scene":
        """Return the scene with some of its edges alone: classes without one between them become one."""
        starts = [0, *(self.edges.index(edge) + 1 for edge in edges)]
        scene = Scene(tuple(edges))
        scene.counts = np.add.reduceat(self.counts, starts, axis=0)
        scene.widths = np.add.reduceat(self.widths, starts)
        scene.sums = np.add.reduceat(self.sums, starts, axis=1)
        scene.kept, scene.margins, scene.trust = self.kept, self.margins, self.trust
        return scene


def some_of(image: Values) -> Values:
    """Return a regular choice of at most 2^16 or so of an image's values, so that all images fit into memory."""
    return image.ravel()[:: max(1, image.size >> 16)].copy()


def edges_of(intensities: Sequence[Values]) -> tuple[float, ...]:
    """Return the intensities between the classes, rising: ``QUANTILES`` of clean images, taken together."""
    return tuple(float(edge) for edge in np.unique(np.quantile(np.concatenate(intensities), QUANTILES)))


def with_enough(scenes: Sequence[Scene], rate: float) -> list[Scene]:
    """Merge each class that too few scenes have pixels of with the next darker one, the darkest with the next.

    Enough are as many as a guarantee needs, or all where there are fewer.
    """
    needed = min(needed_scenes(rate), len(scenes))
    while edges := scenes[0].edges:
        have = np.sum([scene.counts.sum(axis=1) > 0 for scene in scenes], axis=0)
        few = np.flatnonzero(have < needed)
        if not few.size:
            break
        number = max(int(few[-1]), 1)
        rest = edges[: number - 1] + edges[number:]
        scenes = [scene.merged(rest) for scene in scenes]
    return list(scenes)


def needed_scenes(rate: float) -> int:
    """Return how many scenes a guarantee needs."""
    return math.ceil(1 / (1 - rate) - 1 - 1e-9)


def plain_factor(scenes: Sequence[Scene], rate: float, number: int | None = None) -> float:
    """Return the least factor whose intervals hold a share ``rate`` of the pixels, on average over the scenes.

    Args:
        scenes: With pixels of the class.
        rate: The share.
        number: Of a class; by default all pixels.
    """
    return _first(np.mean([scene.outside(number) for scene in scenes], axis=0) <= 1 - rate)


def guaranteed_factor(scenes: Sequence[Scene], rate: float, number: int | None = None) -> float | None:
    """Return the factor of conformal risk control; None with fewer than 1 / (1 - rate) - 1 scenes, or if none holds.

    Arguments as ``plain_factor``.
    """
    count = len(scenes)
    if (count + 1) * (1 - rate) < 1 - 1e-9:
        return None
    outside = np.sum([scene.outside(number) for scene in scenes], axis=0)
    holds = (outside + 1) / (count + 1) <= 1 - rate + 1e-12
    return _first(holds) if holds.any() else None


def plain_factors(scenes: Sequence[Scene], rate: float) -> list[float]:
    """Return the plain factor of each class; that of all pixels where no scene has pixels of it."""
    whole = plain_factor(scenes, rate)
    parts = [_having(scenes, number) for number in range(len(scenes[0].widths))]
    return [plain_factor(part, rate, number) if part else whole for number, part in enumerate(parts)]


def guaranteed_factors(scenes: Sequence[Scene], rate: float) -> list[float] | None:
    """Return the guaranteed factor of each class, None where a class has none."""
    numbers = range(len(scenes[0].widths))
    found = [guaranteed_factor(_having(scenes, number), rate, number) for number in numbers]
    known = [factor for factor in found if factor is not None]
    return known if len(known) == len(found) else None


def coverage(scenes: Sequence[Scene], factor: float | Sequence[float]) -> float:
    """Return the share of pixels inside of intervals with a factor, or one for each class: the mean over scenes."""
    held = [_inside(scene, factor) for scene in scenes]
    return float(np.mean([inside.sum() / scene.pixels for inside, scene in zip(held, scenes, strict=True)]))


def coverage_by_class(scenes: Sequence[Scene], factor: float | Sequence[float]) -> list[float]:
    """Return ``coverage`` of each class, over the scenes that have pixels of it; NaN where none has."""
    shares = []
    for number in range(len(scenes[0].widths)):
        part = _having(scenes, number)
        held = [_inside(scene, factor)[number] / scene.counts[number].sum() for scene in part]
        shares.append(float(np.mean(held)) if held else math.nan)
    return shares


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


def check(scenes: Sequence[Scene], rate: float, *, splits: int = SPLITS) -> dict[str, Any]:
    """Return the coverage on scenes left out: means over random halvings, with their standard deviations.

    ``classes`` holds that of each class, by its own factors, plain and guaranteed, and by one for all (``one_factor``,
    plain); None where no halving tells.
    """
    random = np.random.default_rng(0)
    found: dict[str, list[float]] = {"plain": [], "guaranteed": []}
    by_class: dict[str, list[list[float]]] = {"one_factor": [], "plain": [], "guaranteed": []}
    half = (len(scenes) + 1) // 2
    splits = splits if len(scenes) > 1 else 0
    for _ in range(splits):
        order = random.permutation(len(scenes))
        ours, others = ([scenes[index] for index in part] for part in (order[:half], order[half:]))
        by_class["one_factor"].append(coverage_by_class(others, plain_factor(ours, rate)))
        for name, factors in (("plain", plain_factors(ours, rate)), ("guaranteed", guaranteed_factors(ours, rate))):
            if factors is not None:
                found[name].append(coverage(others, factors))
                by_class[name].append(coverage_by_class(others, factors))
    means = {name: _means(shares, len(scenes[0].widths)) for name, shares in by_class.items()}
    return {
        "splits": splits,
        "scenes_calibrated_on": half,
        **{
            name: {"mean": float(np.mean(values)), "deviation": float(np.std(values))} if values else None
            for name, values in found.items()
        },
        "classes": [dict(zip(means, row, strict=True)) for row in zip(*means.values(), strict=True)],
    }


def reliability(scenes: Sequence[Scene]) -> list[tuple[float, float]]:
    """Return the coverage on scenes left out for each of several rates: what a plain quantile of half of them holds."""
    rates = np.linspace(0.05, 0.95, 19)
    found = [(float(rate), check(scenes, float(rate))["plain"]) for rate in rates]
    return [(rate, one["mean"]) for rate, one in found if one is not None]


def _having(scenes: Sequence[Scene], number: int) -> list[Scene]:
    return [scene for scene in scenes if scene.counts[number].any()]


def _inside(scene: Scene, factor: float | Sequence[float]) -> NDArray[np.int64]:
    """Return how many pixels of each class intervals hold."""
    factors = np.broadcast_to(np.asarray(factor, dtype=np.float64), scene.widths.shape)
    places = np.minimum(np.searchsorted(FACTORS, factors * (1 + 1e-9), side="right"), len(FACTORS))
    return np.array([row[:place].sum() for row, place in zip(scene.counts, places, strict=True)])


def _means(shares: Sequence[Sequence[float]], classes: int) -> list[float | None]:
    """Return the mean of each class over the halvings that tell of it."""
    columns = np.array(shares).reshape(-1, classes).T
    return [float(np.nanmean(column)) if np.isfinite(column).any() else None for column in columns]


def _first(holds: NDArray[np.bool_]) -> float:
    """Return the first of ``FACTORS`` that holds; the last where none does."""
    return float(FACTORS[int(np.argmax(holds)) if holds.any() else -1])
