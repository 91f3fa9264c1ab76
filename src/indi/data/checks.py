"""What only the pixels of a folder of pairs can tell."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from indi.data.alignment import find_shift
from indi.data.intensities import agree, gain_and_shift
from indi.data.loading import Pair, load_pair
from indi.data.pairs import PairReport
from indi.data.wording import count, few
from indi.errors import IndiError
from indi.images import to_unit

LARGEST_FLOAT = 2.0  # floats are taken as [0, 1]; noise and sharp edges go beyond, other scales go far beyond


def check_pairs(report: PairReport, *, any_scale: bool = False) -> PairReport:
    """Read every image of ``report`` and return it with what the pixels show.

    Problems: files that do not decode, NaN or infinite pixels, channels that cannot be converted without loss.
    Warnings: pairs shifted against each other by whole pixels (`indi.data.alignment.find_shift`), float
    images far outside [0, 1] and pairs whose sides differ in contrast or brightness (both without ``any_scale``,
    which says that intensities are normalised), and clean images that occur in several pairs, which get
    `Pair.same_as` so that `split_pairs` keeps them together.
    """
    workers = min(4, os.cpu_count() or 1)  # each holds a decoded pair in memory
    with ThreadPoolExecutor(workers) as pool:
        findings = list(pool.map(lambda pair: _inspect(pair, report.channels, any_scale), report.pairs))

    pairs: list[Pair] = []
    problems, warnings = list(report.problems), list(report.warnings)
    first_with: dict[bytes, str] = {}
    for pair, found in zip(report.pairs, findings, strict=True):
        warnings += found.warnings
        if found.problem:
            problems.append((pair.name, found.problem))
        else:
            first = first_with.setdefault(found.digest, pair.scene)
            pairs.append(pair if first == pair.scene else replace(pair, same_as=first))
    if repeats := [f"{pair.name} (as in {pair.same_as})" for pair in pairs if pair.same_as]:
        warnings.append(
            f"{count(len(repeats), 'pair')} with the clean image of another pair, kept together when "
            f"training and validation are split: {few(repeats)}"
        )
    if not any_scale and (warning := _scale_warning([found.scale for found in findings if found.scale])):
        warnings.append(warning)
    return replace(report, pairs=tuple(pairs), problems=tuple(problems), warnings=tuple(warnings))


@dataclass(frozen=True)
class _Findings:
    digest: bytes = b""  # of the clean pixels
    problem: str | None = None
    scale: tuple[float, float] | None = None  # gain and shift of degraded against clean
    warnings: tuple[str, ...] = ()


def _scale_warning(scales: list[tuple[float, float]]) -> str | None:
    """Return a sentence where half of the pairs and more differ in the scale of their sides."""
    off = sum(not agree(*scale) for scale in scales)
    if not scales or off * 2 < len(scales):
        return None
    gain, shift = np.median(np.array(scales), axis=0)
    return (
        f"clean and degraded images differ in scale in {count(off, 'pair')}: clean ones have {gain:.2g} times the "
        f'contrast and are {shift:+.2g} deviations brighter; normalise = "deviation" under [data] evens that out'
    )


def _inspect(pair: Pair, channels: int, any_scale: bool) -> _Findings:
    try:
        loaded = load_pair(pair, channels=channels, resample=True)  # match_pairs has judged the sizes
    except IndiError as error:
        return _Findings(problem=str(error))
    warnings = []
    for file, pixels in zip(pair.files, loaded, strict=True):
        if not any_scale and pixels.dtype.kind == "f" and (largest := np.abs(pixels).max()) > LARGEST_FLOAT:
            warnings.append(f"{file} reaches {largest:g} where floats are taken as [0, 1]; divide by its range")
    if len(loaded) == 2 and (shift := find_shift(*loaded)):
        warnings.append(f"{pair.degraded} is shifted by about ({shift[0]}, {shift[1]}) px (down, right); align it")
    clean = loaded[0]
    digest = hashlib.blake2b(f"{clean.shape} {clean.dtype}".encode())
    digest.update(clean.data)
    scale = gain_and_shift(*([to_unit(image)] for image in loaded)) if len(loaded) == 2 else None
    return _Findings(digest=digest.digest(), scale=scale, warnings=tuple(warnings))
