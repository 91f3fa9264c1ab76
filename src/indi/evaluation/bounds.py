"""What holds of a restored image as a whole, and where its structure may be trusted: by scene, as intervals are.

    PSNR    An image's PSNR is guessed from the spread of its samples, as if its errors were as large as hypot(spread,
            least). The margin is by how much the truth may be below that: of n scenes the one of rank
            floor((n + 1) (1 - rate)) from below, each by its worst image. For a new scene that is exchangeable with
            them, all its images are at least as good as guess + margin with probability ``rate``.
    trust   A pixel is trusted where the samples' detail differs by at most a threshold. Of the trusted pixels of a
            scene, some show a structure that is not there: the loss is their share, at the worst threshold up to this
            one, which makes it rise with the threshold. Conformal risk control then gives the largest threshold at
            which the expected share on a new scene is at most 1 - rate.

Sources: Wen, Ahmad and Schniter, "Conformal bounds on full-reference image quality for imaging inverse problems",
arXiv:2505.09528, and Adame, Csillag and Goedert, "Image super-resolution with guarantees via conformalized generative
models", arXiv:2502.09664, whose mask has the largest error of any of its pixels as loss: here it is the share of them.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from indi.evaluation.scenes import SPLITS, THRESHOLDS, Curve, Scene
from indi.restoration.uncertainty import Bounds

_LEAST = 0.01  # of a scene's pixels: fewer trusted ones than these are counted as if they were so many


def psnr_margin(scenes: Sequence[Scene], rate: float) -> float | None:
    """Return by how many dB images are at least as good as guessed, for a share ``rate`` of scenes; None with too few.

    It is below 0 where they may be worse.
    """
    rank = int(np.floor((len(scenes) + 1) * (1 - rate) + 1e-9))
    return None if rank < 1 else sorted(min(scene.margins) for scene in scenes)[rank - 1]


def false_shares(scene: Scene) -> Curve:
    """Return the share of false pixels among the trusted, at the worst threshold up to each of ``THRESHOLDS``."""
    trusted, false = np.cumsum(scene.trust, axis=1)
    curve: Curve = np.maximum.accumulate(false / np.maximum(trusted, _LEAST * scene.trust[0].sum()))
    return curve


def trust_threshold(scenes: Sequence[Scene], rate: float) -> float | None:
    """Return up to which disagreement pixels are trusted; None where no threshold keeps the risk at 1 - ``rate``."""
    losses = np.sum([false_shares(scene) for scene in scenes], axis=0)
    holds = np.flatnonzero((losses + 1) / (len(scenes) + 1) <= 1 - rate + 1e-12)
    return float(THRESHOLDS[holds[-1]]) if holds.size else None


def trusted_share(scenes: Sequence[Scene], threshold: float) -> float:
    """Return the share of the pixels that are trusted, the mean over scenes."""
    place = int(np.searchsorted(THRESHOLDS, threshold))
    return float(np.mean([scene.trust[0, : place + 1].sum() / scene.trust[0].sum() for scene in scenes]))


def bias_by_class(scenes: Sequence[Scene]) -> list[tuple[float, float | None]]:
    """Return of each class how much the mean of samples is above the clean image: the mean over scenes, its error.

    In shares of the clean intensity there. The error is the standard error over scenes, None for one scene alone.
    """
    found = []
    for number in range(len(scenes[0].widths)):
        part = [scene.sums[:, number] for scene in scenes if scene.counts[number].any()]
        shares = np.array([error / (restored - error) for error, restored in part if restored - error > 0])
        deviation = float(np.std(shares, ddof=1) / np.sqrt(len(shares))) if len(shares) > 1 else None
        found.append((float(np.mean(shares)) if len(shares) else 0.0, deviation))
    return found


def bounds_of(scenes: Sequence[Scene], rate: float) -> Bounds:
    """Return what holds of images and places."""
    threshold = trust_threshold(scenes, rate)
    return Bounds(
        psnr_margin=psnr_margin(scenes, rate),
        trusted_up_to=threshold,
        trusted=0.0 if threshold is None else trusted_share(scenes, threshold),
        check=check_bounds(scenes, rate),
    )


def check_bounds(scenes: Sequence[Scene], rate: float) -> dict[str, Any]:
    """Return what held on scenes left out, over random halvings; None where half of the scenes are too few.

    psnr: the share of scenes whose images are all as good as said. trust: the share of the trusted pixels that is true.
    """
    random = np.random.default_rng(0)
    half = (len(scenes) + 1) // 2
    found: dict[str, list[float]] = {"psnr": [], "trust": []}
    for _ in range(SPLITS if len(scenes) > 1 else 0):
        order = random.permutation(len(scenes))
        ours, others = ([scenes[index] for index in part] for part in (order[:half], order[half:]))
        if (margin := psnr_margin(ours, rate)) is not None:
            found["psnr"].append(_mean(others, lambda scene: float(min(scene.margins) >= margin)))
        if (threshold := trust_threshold(ours, rate)) is not None:
            place = int(np.searchsorted(THRESHOLDS, threshold))
            found["trust"].append(1 - _mean(others, lambda scene: float(false_shares(scene)[place])))  # noqa: B023
    return {name: float(np.mean(values)) if values else None for name, values in found.items()}


def _mean(scenes: Sequence[Scene], of: Callable[[Scene], float]) -> float:
    return float(np.mean([of(scene) for scene in scenes]))
