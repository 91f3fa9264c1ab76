"""The pairs to measure on: those of folders, or those that a run kept from training."""

import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from indi.data import Pair, decode_pair, digest_of, match_pairs, unusable, what_to_fix
from indi.data.wording import few
from indi.degradations import degradation
from indi.errors import ConfigError, DataError, IndiError, ModelError
from indi.io.neighbours import ALONE, Neighbours
from indi.models.checkpoint import Card
from indi.models.pretrained import find_model
from indi.models.runs import Split, settings_of_data

log = logging.getLogger("indi")


class FoundPairs(NamedTuple):
    """Pairs to measure on; the fields are those of ``evaluation.Evaluation``."""

    pairs: tuple[Pair, ...]
    source: dict[str, str | None]
    task: str | None
    resample: bool
    problems: tuple[tuple[str, str], ...] = ()  # (name, sentence) for each pair whose header makes it unusable

    def check(self, *, channels: int, border: int = 0) -> None:
        """Read every image, and stop before any work where one cannot be measured.

        Raises:
            ConfigError: ``border`` is negative.
            DataError: It names the first few.
        """
        problems = self.problems + unusable(self.pairs, channels=channels, resample=self.resample, border=border)
        if problems:
            raise DataError(what_to_fix(problems))


def pairs_for(card: Card, run: str | Path | None, **where: Any) -> FoundPairs:
    """Return the pairs to measure a model on, with the channels that it takes, together or apart.

    Args:
        card: Of the model.
        run: Its run folder, if it has one.
        where: As ``find_test_pairs``: clean, degraded, task, resample.

    Raises:
        ConfigError, DataError, ImageError: As ``find_test_pairs``.
    """
    return find_test_pairs(run, channels=card.channels, apart=card.apart, neighbours=card.around, **where)


def find_test_pairs(
    model: str | Path | None,
    *,
    clean: str | Path | None,
    degraded: str | Path | None,
    task: str | None,
    channels: int | None = None,
    apart: bool = False,
    neighbours: Neighbours = ALONE,
    resample: bool = False,
) -> FoundPairs:
    """Return the pairs to measure on: those of folders, or those that a run kept for validation.

    Axes of stacks are those that the run was trained with.

    Args:
        model: The run folder whose validation pairs are meant where no folder is given: those it kept from training.
        clean: Folder of clean images.
        degraded: Folder of degraded images of the same names, or else ``task``.
        task: Makes the degraded images, in its fixed form.
        channels: What the model takes; images that cannot fit are refused before anything is measured.
        apart: Whether channels of stacks are images of their own, by the model's card.
        neighbours: Which planes of a stack it sees around each, by its card.
        resample: Bring degraded images of a whole-number lower size to the clean grid.

    Raises:
        ConfigError: The folders do not say what to measure on.
        DataError, ImageError: There is no pair that could be measured.
    """
    if clean is None and degraded is None and task is None:
        return _validation_pairs(None if model is None else find_model(model), channels, apart, neighbours)
    trained = None if model is None else settings_of_data(find_model(model))
    kind = {"channels": channels, "apart": apart, "neighbours": neighbours}
    found = _in_folders(clean, degraded, task, resample, axes=None if trained is None else trained.axes, **kind)
    _warn_of_trained(model, Path(str(clean)), found.pairs, channels)
    return found


def _in_folders(
    clean: str | Path | None, degraded: str | Path | None, task: str | None, resample: bool, **kind: Any
) -> FoundPairs:
    """Return the pairs of folders; ``kind`` is what ``match_pairs`` is to know of the images."""
    if clean is None or (degraded is None) == (task is None):
        raise ConfigError("give the clean images, and the degraded ones or a task that makes them: one of the two")
    if task is not None:
        degradation(task)
    folder = None if degraded is None else Path(degraded)
    report = match_pairs(Path(clean), folder, resample=resample, **kind)
    if not report.pairs:
        report.raise_if_unusable()
    if report.unmatched_clean or report.unmatched_degraded or report.passed_over:
        for line in report.summary().splitlines():
            log.info("test images: %s", line)
    source = {"clean": str(clean), "degraded": None if degraded is None else str(degraded)}
    return FoundPairs(report.pairs, source, task, resample, report.problems)


def _validation_pairs(run: Path | None, channels: int | None, apart: bool, neighbours: Neighbours) -> FoundPairs:
    advice = "give the clean images, and the degraded ones or a task"
    split = None if run is None else Split.read(run)
    data = None if run is None else settings_of_data(run)
    if split is None or not split.validation or data is None:
        raise ConfigError(f"{run or 'this model'}: kept no validation pairs; {advice}")
    gone = [folder for folder in (data.clean, data.degraded) if folder is not None and not Path(folder).is_dir()]
    if gone:
        raise ConfigError(f"{run}: its images are not in {gone[0]} any more; {advice}")
    kind = {"channels": channels, "axes": data.axes, "apart": apart, "neighbours": neighbours}
    found = _in_folders(data.clean, data.degraded, data.task, data.resample, **kind)
    kept = set(split.validation)
    chosen = tuple(pair for pair in found.pairs if pair.name in kept)
    if not chosen:
        raise ConfigError(f"{run}: its validation pairs are not in {data.clean} any more; {advice}")
    if missing := sorted(kept - {pair.name for pair in chosen}):
        log.warning("warning: %d of %d kept pairs are missing: %s", len(missing), len(kept), few(missing))
    if changed := [pair.name for pair in chosen if _has_changed(pair, split, channels)]:
        log.warning("warning: kept pairs have other pixels than when the run began: %s", few(changed))
    problems = tuple(problem for problem in found.problems if problem[0] in kept)
    return found._replace(pairs=chosen, source={**found.source, "pairs": "kept for validation"}, problems=problems)


def _warn_of_trained(model: str | Path | None, clean: Path, pairs: Sequence[Pair], channels: int | None) -> None:
    """Say how many of the pairs a run was trained on, wherever they lie: its figures would be too good there."""
    run = None if model is None else find_model(model)
    data = None if run is None else settings_of_data(run)
    if run is None or data is None:
        return
    try:
        split = Split.read(run)
    except ModelError as error:
        log.warning("warning: %s", error)
        return
    assert split is not None  # as the run has settings of data
    names = set(split.training)
    is_there = data.clean is not None and Path(data.clean) == clean.resolve()
    if not split.digests:  # of an older version, which knows names alone
        trained, said = [pair for pair in pairs if pair.name in names], "were trained on"
        said = said if is_there else "have names of pairs that were trained on"
    else:
        digests = {split.digests[name][0] for name in names & split.digests.keys()}
        seen = _digests([replace(pair, degraded=None) for pair in pairs], channels)
        trained = [
            pair
            for pair, found in zip(pairs, seen, strict=True)
            if (found[:1] and found[0] in digests) or (is_there and pair.name in names)
        ]
        said = "were trained on"
    if trained:
        advice = "leave out --clean and --degraded to measure on those kept from training"
        log.warning("warning: %d of these %d pairs %s; %s", len(trained), len(pairs), said, advice)


def _has_changed(pair: Pair, split: Split, channels: int | None) -> bool:
    (found,) = _digests([pair], channels)
    before = split.digests.get(pair.name, found)
    return bool(found) and found != before


def _digests(pairs: Sequence[Pair], channels: int | None) -> list[tuple[str, ...]]:
    """Return what tells the pixels of each pair's files from others; nothing of what cannot be read, or not for it."""

    def digests(pair: Pair) -> tuple[str, ...]:
        try:
            return tuple(digest_of(image).hex() for image in decode_pair(pair, channels=channels or 1))
        except IndiError:
            return ()

    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        return list(pool.map(digests, pairs))
