"""A model from two uploaded archives, with its loss and previews while it learns."""

import math
import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from indi.app.archives import unpack
from indi.app.reading import LIMIT_OF_ARCHIVES, UNPACKERS
from indi.app.session import Session, Task
from indi.errors import ConfigError
from indi.models.checkpoint import MODEL_FILE
from indi.training.run import train as train_run

MOST_MINUTES = 60
_SHOWN = 200  # points of the curve
_PREVIEW_EVERY = 100  # iterations


@dataclass(frozen=True)
class Progress:
    """How far a training is.

    Attributes:
        share: Of the budget that is spent.
        note: What it is at, in words.
        losses: Iterations and their losses, smoothed and thinned.
        preview: The newest picture of degraded, restored in two ways (previews.py), and clean.
        model: The name it can be chosen by, at the end.
        file: The weights, at the end.
    """

    share: float
    note: str
    losses: tuple[tuple[int, float], ...] = ()
    preview: Path | None = None
    model: str | None = None
    file: Path | None = None


def train(
    session: Session,
    work: Task,
    clean: Path,
    degraded: Path | None,
    task: str | None,
    *,
    minutes: float,
    size: str,
    method: str | None = None,
) -> Iterator[Progress]:
    """Unpack the archives, train on their pairs, and yield how far it is; where the visitor asks to stop, end early.

    Without a ``method`` by the library's own choice.

    Raises:
        ConfigError, DataError, ImageError, TrainingError: The archives or the options do not fit.
    """
    if not 0 < minutes <= MOST_MINUTES:
        raise ConfigError(f"minutes is {minutes:g}; give up to {MOST_MINUTES}")
    with session.working_folder("training") as folder:
        yield Progress(0.0, "unpacking")
        UNPACKERS.read(clean.name, LIMIT_OF_ARCHIVES, unpack, clean, folder / "clean")
        if degraded is not None:
            UNPACKERS.read(degraded.name, LIMIT_OF_ARCHIVES, unpack, degraded, folder / "degraded")
        yield Progress(0.0, "reading every image")
        losses: list[tuple[int, float]] = []
        records = train_run(
            run=folder / "run",
            clean=folder / "clean",
            degraded=None if degraded is None else folder / "degraded",
            task=None if degraded is not None else task,
            method=method,
            size=size,
            minutes=minutes,
            checkpoint_every=_PREVIEW_EVERY,
        )
        smooth = 0.0
        with closing(records):
            for record in records:
                if math.isfinite(record.loss):  # that of a skipped iteration is not
                    smooth = record.loss if not losses else 0.95 * smooth + 0.05 * record.loss
                    losses.append((record.iteration, smooth))
                left = minutes * (1 - record.progress)
                speed = f"{record.crops_per_second:.0f} crops a second"
                yield Progress(
                    record.progress,
                    f"iteration {record.iteration:,}, {speed}, {left:.1f} min left",
                    _thinned(losses),
                    _newest(folder / "run" / "previews"),
                )
                if work.stopping.is_set():
                    break
    name = session.add_model(folder / "run")
    file = folder / "run" / f"indi-{name.split()[-1]}{Path(MODEL_FILE).suffix}"
    shutil.copy(folder / "run" / MODEL_FILE, file)
    preview = _newest(folder / "run" / "previews")
    yield Progress(1.0, f"done: choose “{name}” under Restore", _thinned(losses), preview, name, file)


def _thinned(losses: list[tuple[int, float]]) -> tuple[tuple[int, float], ...]:
    return tuple(losses[:: max(1, len(losses) // _SHOWN)])


def _newest(folder: Path) -> Path | None:
    return max(folder.glob("*.png"), default=None)
