"""What only the pixels of a folder of pairs can tell."""

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from indi.data.intensities import agree, gain_and_shift
from indi.data.loading import Pair, Pixels, decode_pair, on_grid
from indi.data.matching import PairReport
from indi.data.registration import find_shift, find_turn
from indi.data.wording import count, few
from indi.errors import IndiError
from indi.io import to_unit

LARGEST_FLOAT = 2.0  # floats are taken as [0, 1]; noise and sharp edges go beyond, other scales go far beyond


def check_pairs(report: PairReport, *, any_scale: bool = False) -> PairReport:
    """Read every image of ``report`` and return it with what the pixels show.

    Problems: files that do not decode, NaN or infinite pixels, channels that cannot be converted without loss.
    Warnings: pairs turned or shifted by whole pixels against each other (`indi.data.registration`), float
    images far outside [0, 1] and pairs whose sides differ in contrast or brightness (both without ``any_scale``,
    which says that intensities are normalised), and clean images that occur in several pairs, which get
    `Pair.same_as` so that `split_pairs` keeps them together.
    """
    workers = min(4, os.cpu_count() or 1)  # each holds a decoded pair in memory
    with ThreadPoolExecutor(workers) as pool:
        findings = list(pool.map(lambda pair: _inspect(pair, report.channels, any_scale), report.pairs))

    pairs: list[Pair] = []
    problems, warnings = list(report.problems), list(report.warnings)
    digests: list[tuple[bytes, ...]] = []
    for pair, found in zip(report.pairs, findings, strict=True):
        warnings += found.warnings
        if found.problem:
            problems.append((pair.name, found.problem))
        else:
            pairs.append(pair)
            digests.append(found.digests)
    by_name = {pair.name: tuple(map(bytes.hex, each)) for pair, each in zip(pairs, digests, strict=True)}
    pairs = with_repeats(pairs, (clean for clean, *_ in digests))
    if repeats := [f"{pair.name} (as in {pair.same_as})" for pair in pairs if pair.same_as]:
        warnings.append(
            f"{count(len(repeats), 'pair')} with the clean image of another pair, kept together when "
            f"training and validation are split: {few(repeats)}"
        )
    scales = {pair.name: found.scale for pair, found in zip(report.pairs, findings, strict=True) if found.scale}
    if warning := _scale_warning(scales, any_scale=any_scale):
        warnings.append(warning)
    return replace(report, pairs=tuple(pairs), problems=tuple(problems), warnings=tuple(warnings), digests=by_name)


@dataclass(frozen=True)
class _Findings:
    digests: tuple[bytes, ...] = ()  # of the pixels of each file
    problem: str | None = None
    scale: tuple[float, float] | None = None  # gain and shift of degraded against clean
    warnings: tuple[str, ...] = ()


def _scale_warning(scales: Mapping[str, tuple[float, float]], *, any_scale: bool) -> str | None:
    """Return a sentence where pairs differ in the scale of their sides, with those pairs' names.

    With ``any_scale`` a difference that all pairs have is evened out, and one that only some have is not. Of a few
    pairs among many contrast alone tells: the brightness of single images may differ by what is to be seen.
    """
    usual = np.median(np.array(list(scales.values())), axis=0) if any_scale and scales else (1.0, 0.0)
    off = {name: scale for name, scale in scales.items() if not agree(scale[0] / usual[0], scale[1] - usual[1])}
    if len(off) * 2 < len(scales):
        off = {name: scale for name, scale in off.items() if not agree(scale[0] / usual[0], 0)}
    if not off:
        return None
    gain, shift = np.median(np.array(list(off.values())), axis=0)
    advice = 'normalise = "deviation" under [data] evens out what all pairs have in common'
    return (
        f"clean and degraded images differ in scale in {len(off)} of {count(len(scales), 'pair')} ({few(list(off))}): "
        f"clean ones have {gain:.2g} times the contrast and are {shift:+.2g} deviations brighter; {advice}"
    )


def with_repeats(pairs: Sequence[Pair], digests: Iterable[bytes]) -> list[Pair]:
    """Return pairs that know of an earlier one with the same clean image, as ``digest_of`` tells."""
    first_with: dict[bytes, str] = {}
    firsts = [first_with.setdefault(digest, pair.scene) for pair, digest in zip(pairs, digests, strict=True)]
    return [
        pair if first == pair.scene else replace(pair, same_as=first) for pair, first in zip(pairs, firsts, strict=True)
    ]


def digest_of(image: Pixels) -> bytes:
    """Return what images have in common that are the same, pixel by pixel and in type."""
    digest = hashlib.blake2b(f"{image.shape} {image.dtype}".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(image).data)
    return digest.digest()


def _inspect(pair: Pair, channels: int, any_scale: bool) -> _Findings:
    try:
        decoded = decode_pair(pair, channels=channels)
        loaded = on_grid(pair, decoded, resample=True)  # match_pairs has judged the sizes
    except IndiError as error:
        return _Findings(problem=str(error))
    warnings = []
    for file, pixels in zip(pair.files, loaded, strict=True):
        if not any_scale and pixels.dtype.kind == "f" and (largest := np.abs(pixels).max()) > LARGEST_FLOAT:
            warnings.append(f"{file} reaches {largest:g} where floats are taken as [0, 1]; divide by its range")
    if len(loaded) == 2 and (turn := find_turn(*loaded)):
        warnings.append(f"{pair.degraded} is turned {turn}, perhaps by its EXIF orientation; save both sides upright")
    elif len(loaded) == 2 and (shift := find_shift(*loaded)):
        warnings.append(f"{pair.degraded} is shifted by about ({shift[0]}, {shift[1]}) px (down, right); align it")
    scale = gain_and_shift(*([to_unit(image)] for image in loaded)) if len(loaded) == 2 else None
    return _Findings(digests=tuple(map(digest_of, decoded)), scale=scale, warnings=tuple(warnings))
