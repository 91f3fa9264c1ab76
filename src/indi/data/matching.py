"""Match the images of two folders by name, compare their headers, and report what does not fit."""

from collections import Counter
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from unicodedata import normalize

import numpy as np

from indi import io as images
from indi.data.loading import Pair, grid_problem, picture_name
from indi.data.remarks import kind_of, passed_over, stack_warnings
from indi.data.wording import count, few, first_lines, what_to_fix
from indi.errors import DataError, IndiError
from indi.io.manifest import results_in
from indi.io.neighbours import ALONE, Neighbours
from indi.io.stacks import open_stack

Headers = dict[Pair, list[images.Header]]  # of the pair's files, in their order


@dataclass(frozen=True)
class PairReport:
    """What was found in one or two folders.

    Attributes:
        pairs: the usable pairs, in the order of the clean folder.
        channels: what a model of these pairs needs; gray images among colour ones count as colour.
        colour: whether three channels are red, green and blue.
        unmatched_clean: clean files without a degraded partner; left out, which does not stop training.
        unmatched_degraded: degraded files without a clean partner; left out too.
        problems: (name, sentence) for each pair that cannot be used.
        warnings: sentences on what can be used but is likely not meant.
        passed_over: files that are no image of a kind that is read, and links that lead nowhere.
        digests: what tells the pixels of each file of a pair from others, by its name, as found by `check_pairs`.
    """

    pairs: tuple[Pair, ...]
    channels: int
    colour: bool = False
    unmatched_clean: tuple[Path, ...] = ()
    unmatched_degraded: tuple[Path, ...] = ()
    problems: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()
    passed_over: tuple[Path, ...] = ()
    digests: Mapping[str, tuple[str, ...]] = field(default_factory=dict, compare=False)

    def summary(self) -> str:
        """Return the report as a few lines of text."""
        noun = "clean image" if any(pair.degraded is None for pair in self.pairs) else "pair"
        lines = [f"{count(len(self.pairs), noun)}, {count(self.channels, 'channel')}"]
        for side, other, files in (
            ("clean", "degraded", self.unmatched_clean),
            ("degraded", "clean", self.unmatched_degraded),
        ):
            if files:
                images_left_out = f"{count(len(files), f'{side} image')} without a {other} one"
                lines.append(f"left out: {images_left_out}: {few(file.name for file in files)}")
        if self.passed_over:
            kinds: dict[str, list[str]] = {}
            for file in self.passed_over:
                kinds.setdefault(kind_of(file), []).append(file.name)
            named = ", ".join(f"{len(names)} {kind} ({few(names)})" for kind, names in kinds.items())
            lines.append(f"passed over: {named}")
        lines += first_lines("cannot be used: ", [f"{name}: {sentence}" for name, sentence in self.problems])
        lines += first_lines("warning: ", self.warnings)
        return "\n".join(lines)

    def raise_if_unusable(self) -> None:
        """Stop before training when any pair has a problem, or when there is none.

        Raises:
            DataError: it names the first few problems.
        """
        if self.problems:
            raise DataError(what_to_fix(self.problems))
        if not self.pairs:
            raise DataError("there is no pair to train on; give folders whose images have the same names")


def match_pairs(
    clean: Path,
    degraded: Path | None,
    *,
    channels: int | None = None,
    axes: str | None = None,
    apart: bool = False,
    resample: bool = False,
    neighbours: Neighbours = ALONE,
) -> PairReport:
    """Match images of two folders by name (suffix ignored, case kept) and compare their headers.

    Args:
        clean: folder of clean images.
        degraded: folder of degraded images; None where a task makes them from the clean ones.
        channels: what the model takes; None for what the images have. The channels of a stack that has as many make
            one picture.
        axes: of stacks, such as ZCYX, where the files do not know them or are wrong.
        apart: channels that are no colours are pictures of their own, whatever the model has.
        resample: accept sizes in a whole-number ratio; `load_pair` then brings the degraded image to the
            clean grid.
        neighbours: which pictures of a stack the model sees around each; files of one picture are then unusable.

    Raises:
        DataError: no name occurs in both folders, or both are one folder.
        ImageError: a folder is missing or holds no image.
    """
    ours = _files_by_name(clean)
    problems = _repeated_names(clean, ours)
    if degraded is None:
        theirs, partners = {}, {}
        pairs = [Pair(name, files[0]) for name, files in ours.items() if len(files) == 1]
    else:
        theirs = _files_by_name(degraded)
        problems += _repeated_names(degraded, theirs)
        partners = _partners(clean, ours, degraded, theirs)
        pairs = [
            Pair(name, ours[name][0], theirs[other][0])
            for name, other in partners.items()
            if len(ours[name]) == len(theirs[other]) == 1
        ]

    headers: Headers = {}
    for pair in pairs:
        try:
            pictures = _pictures(pair, channels or 1, axes, apart)
            headers |= _with_neighbours(pictures, neighbours, channels or 1) if neighbours.count else pictures
        except IndiError as error:
            problems.append((pair.name, str(error)))
    problems += _twins(headers)
    channels = channels or _common_channels(headers)
    for pair, found in list(headers.items()):
        problem = _channel_problem(pair, found, channels) or grid_problem(
            pair, [(header.height, header.width) for header in found], resample=resample
        )
        if problem:
            problems.append((pair.name, problem))
            del headers[pair]
    return PairReport(
        pairs=tuple(headers),
        channels=channels,
        colour=channels == 3 and not any(header.apart for _, header in _each(headers)),
        unmatched_clean=_without_partner(ours, partners) if degraded else (),
        unmatched_degraded=_without_partner(theirs, partners.values()),
        problems=tuple(problems),
        warnings=(
            *_gray_warning(headers, channels),
            *_depth_warnings(headers),
            *_grid_warning(headers),
            *(stack_warnings(headers) if axes is None else ()),
        ),
        passed_over=tuple(file for folder in (clean, degraded) if folder for file in passed_over(folder)),
    )


def _pictures(pair: Pair, channels: int, axes: str | None, apart: bool) -> Headers:
    """Return the pair, or where its files are stacks one for each picture, with the headers.

    Raises:
        DataError: One file holds more pictures than the other.
        ImageError: A header cannot be read.
    """
    found = [images.read_headers(file, channels=channels, axes=axes, apart=apart) for file in pair.files]
    counts = [len(each) for each in found]
    if len(set(counts)) > 1:
        raise DataError(f"{pair.clean} holds {count(counts[0], 'picture')}, {pair.degraded} {counts[1]}; give as many")
    if counts[0] == 1 and not any(map(images.is_volume, pair.files)):
        return {pair: [each[0] for each in found]}
    return {
        replace(pair, name=picture_name(pair.name, number), picture=number, axes=axes, apart=apart): list(headers)
        for number, headers in enumerate(zip(*found, strict=True))
    }


def _with_neighbours(found: Headers, neighbours: Neighbours, channels: int) -> Headers:
    """Return the pairs of a stack that know which pictures lie around theirs.

    Raises:
        DataError: It is an image alone.
        ImageError: The stack has no such axis.
    """
    pair = next(iter(found))
    file = pair.files[-1]
    if pair.picture is None:
        raise DataError(f"{file} is no stack, and the model sees planes around each; give stacks, or another model")
    with open_stack(file, channels=channels, axes=pair.axes, apart=pair.apart) as stack:
        return {
            replace(each, around=neighbours.of(stack, each.picture or 0)): headers for each, headers in found.items()
        }


def _files_by_name(folder: Path) -> dict[str, list[Path]]:
    files: dict[str, list[Path]] = {}
    made = results_in(folder)  # beside their inputs, which are what is meant
    for path in images.find_images(folder, volumes=True):
        if path.name in made:
            continue
        # Some file systems store an accented letter as two characters; both spellings are one name.
        files.setdefault(normalize("NFC", path.stem), []).append(path)
    return files


def _partners(
    clean: Path, ours: dict[str, list[Path]], degraded: Path, theirs: dict[str, list[Path]]
) -> dict[str, str]:
    """Return the name on the degraded side for each on the clean side that has a partner: the same, but for an .ome."""
    if clean.resolve() == degraded.resolve():
        raise DataError(f"{clean} is given as clean and as degraded; give two folders")
    bare: dict[str, list[str]] = {}
    for name in theirs.keys() - ours.keys():
        bare.setdefault(_without_ome(name), []).append(name)
    rivals = Counter(_without_ome(name) for name in ours.keys() - theirs.keys())
    partners = {}
    for name in ours:
        others = [name] if name in theirs else bare.get(_without_ome(name), [])
        if len(others) == 1 and (name in theirs or rivals[_without_ome(name)] == 1):
            partners[name] = others[0]
    if not partners:
        raise DataError(
            f"no image of {clean} ({few(ours)}) has the name of one in {degraded} ({few(theirs)}); "
            "rename them so that the two of a pair differ in suffix at most"
        )
    return partners


def _without_ome(name: str) -> str:
    """Return a name without the first half of a suffix of two parts, such as .ome.tif."""
    return name[: -len(".ome")] if name.lower().endswith(".ome") and len(name) > len(".ome") else name


def _without_partner(files: dict[str, list[Path]], partners: Container[str]) -> tuple[Path, ...]:
    return tuple(path for name, found in files.items() if name not in partners for path in found)


def _repeated_names(folder: Path, files: dict[str, list[Path]]) -> list[tuple[str, str]]:
    return [
        (name, f"{folder} holds {' and '.join(path.name for path in found)}; keep one of them")
        for name, found in files.items()
        if len(found) > 1
    ]


def _twins(headers: Headers) -> list[tuple[str, str]]:
    """Take out the pairs of one name, such as picture 1 of a.tif and a file a_0001.tif; say what is to be done."""
    same: dict[str, list[Pair]] = {}
    for pair in headers:
        same.setdefault(pair.name, []).append(pair)
    problems = []
    for name, pairs in same.items():
        if len(pairs) > 1:
            files = " and ".join(
                pair.clean.name if pair.picture is None else f"picture {pair.picture + 1} of {pair.clean.name}"
                for pair in pairs
            )
            problems.append((name, f"{pairs[0].clean.parent}: {files} have one name, {name}; rename one of the files"))
            for pair in pairs:
                del headers[pair]
    return problems


def _common_channels(headers: Headers) -> int:
    """Colour where gray and colour meet, since gray loses nothing by becoming colour; else what most have."""
    counted = Counter(header.channels for _, header in _each(headers))
    if counted.keys() <= {1, 3}:
        return max(counted, default=1)
    return max(counted, key=lambda channels: (counted[channels], channels))


def _channel_problem(pair: Pair, headers: list[images.Header], channels: int) -> str | None:
    for file, header in zip(pair.files, headers, strict=True):
        # Gray in a colour file fits a gray model; only its pixels tell.
        if header.channels != channels and {header.channels, channels} != {1, 3}:
            has = count(header.channels, "channel")
            return f"{file} has {has} where {channels} are needed; convert or remove it"
    return None


def _gray_warning(headers: Headers, channels: int) -> list[str]:
    gray = list(dict.fromkeys(file.name for file, header in _each(headers) if header.channels < channels))
    return [f"{count(len(gray), 'gray image')} repeated to colour: {few(gray)}"] if gray else []


def _depth_warnings(headers: Headers) -> list[str]:
    warnings = []
    for side, word in enumerate(("clean", "degraded")):
        example: dict[str, str] = {}
        for pair, found in headers.items():
            if side < len(found):
                example.setdefault(str(np.dtype(found[side].dtype)), pair.files[side].name)
        if len(example) > 1:
            listed = ", ".join(f"{kind} ({name})" for kind, name in example.items())
            warnings.append(f"{word} images of several types, each taken over its own range: {listed}")
    return warnings


def _grid_warning(headers: Headers) -> list[str]:
    moved = [
        pair.files[-1].name
        for pair, found in headers.items()
        if len({(header.height, header.width) for header in found}) > 1
    ]
    return [f"{count(len(moved), 'degraded image')} resampled to the clean grid: {few(moved)}"] if moved else []


def _each(headers: Headers) -> Iterable[tuple[Path, images.Header]]:
    for pair, found in headers.items():
        yield from zip(pair.files, found, strict=True)
