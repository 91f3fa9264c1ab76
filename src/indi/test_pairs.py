"""The pairs to measure on: those of folders, or those that a run kept from training."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from indi.config import Config, DataSettings
from indi.data import Pair, match_pairs, to_mend, unusable
from indi.degradations import degradation
from indi.errors import ConfigError, DataError, ModelError
from indi.shipped import find_model
from indi.training import CONFIG_FILE, SPLIT_FILE

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
            raise DataError(to_mend(problems))


def find_test_pairs(
    model: str | Path | None,
    *,
    clean: str | Path | None,
    degraded: str | Path | None,
    task: str | None,
    channels: int | None = None,
    axes: str | None = None,
    resample: bool = False,
) -> FoundPairs:
    """Return the pairs to measure on: those of folders, or those that a run kept for validation.

    Args:
        model: The run folder whose validation pairs are meant where no folder is given: those it kept from training.
        clean: Folder of clean images.
        degraded: Folder of degraded images of the same names, or else ``task``.
        task: Makes the degraded images, in its fixed form.
        channels: What the model takes; images that cannot fit are refused before anything is measured.
        axes: Of stacks, where the files do not know them; those that the run was trained with, unless given.
        resample: Bring degraded images of a whole-number lower size to the clean grid.

    Raises:
        ConfigError: The folders do not say what to measure on.
        DataError, ImageError: There is no pair that could be measured.
    """
    if clean is None and degraded is None and task is None:
        return _validation_pairs(None if model is None else find_model(model), channels)
    if clean is None or (degraded is None) == (task is None):
        raise ConfigError("give the clean images, and the degraded ones or a task that makes them: one of the two")
    if task is not None:
        degradation(task)
    folder = None if degraded is None else Path(degraded)
    if axes is None and (trained := _data_of(model)) is not None:
        axes = trained.axes
    report = match_pairs(Path(clean), folder, channels=channels, axes=axes, resample=resample)
    if not report.pairs:
        report.raise_if_unusable()
    if report.unmatched_clean or report.unmatched_degraded:
        for line in report.summary().splitlines():
            log.info("test images: %s", line)
    _warn_of_trained(model, Path(clean), report.pairs)
    source = {"clean": str(clean), "degraded": None if degraded is None else str(degraded)}
    return FoundPairs(report.pairs, source, task, resample, report.problems)


def _validation_pairs(run: Path | None, channels: int | None) -> FoundPairs:
    advice = "give the clean images, and the degraded ones or a task"
    kept = None if run is None else _kept_names(run / SPLIT_FILE)
    if run is None or not kept:
        raise ConfigError(f"{run or 'this model'}: kept no validation pairs; {advice}")
    data = Config.parse(Config.read(run / CONFIG_FILE), source=str(run / CONFIG_FILE)).data
    found = find_test_pairs(
        None,
        clean=data.clean,
        degraded=data.degraded,
        task=data.task,
        channels=channels,
        axes=data.axes,
        resample=data.resample,
    )
    chosen = tuple(pair for pair in found.pairs if pair.name in kept)
    if not chosen:
        raise ConfigError(f"{run}: its validation pairs are not in {data.clean} any more; {advice}")
    problems = tuple(problem for problem in found.problems if problem[0] in kept)
    return found._replace(pairs=chosen, source={**found.source, "pairs": "kept for validation"}, problems=problems)


def _warn_of_trained(model: str | Path | None, clean: Path, pairs: Sequence[Pair]) -> None:
    """Say how many of the pairs a run was trained on: its figures would be too good there."""
    data = _data_of(model)
    if model is None or data is None:
        return
    if data.clean is not None and Path(data.clean) == clean.resolve():
        kept = _kept_names(find_model(model) / SPLIT_FILE)
        trained = sum(pair.name not in kept for pair in pairs)
        if trained:
            log.warning("warning: %d of these %d pairs were trained on; name none for the others", trained, len(pairs))


def _data_of(model: str | Path | None) -> DataSettings | None:
    """Return what a run folder says of its data; None for what is no run."""
    return None if model is None else settings_of_data(find_model(model))


def settings_of_data(run: Path) -> DataSettings | None:
    """Return the settings of a run's data; None for what is no run, as a folder for the hub, which has its own config.

    Raises:
        ConfigError: They are damaged.
    """
    file = run / CONFIG_FILE
    is_run = file.is_file() and (run / SPLIT_FILE).is_file()
    return Config.parse(Config.read(file), source=str(file)).data if is_run else None


def _kept_names(split: Path) -> set[str]:
    if not split.exists():
        return set()
    try:
        return set(json.loads(split.read_text(encoding="utf-8"))["validation"])
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{split}: damaged; name the folders to measure on instead") from error
