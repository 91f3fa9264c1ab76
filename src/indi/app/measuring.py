"""Pairs from two uploaded archives, measured: what each number of steps, or each realism, buys."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from indi.app.archives import unpack
from indi.app.reading import LIMIT_OF_ARCHIVES, UNPACKERS
from indi.app.session import Session, Task
from indi.errors import ConfigError
from indi.evaluation.benchmark import pairs_for
from indi.evaluation.evaluate import Evaluation
from indi.evaluation.measurement import Measurement
from indi.report import means_explained, table_rows

MOST_STEPS = 50


@dataclass(frozen=True)
class Progress:
    """How far a measurement is.

    Attributes:
        share: Of the work that is done.
        note: What it is at, in words.
        table: Its head and rows, at the end.
        curve: The perception-distortion curve, a PNG file.
        report: The report, one page that is readable offline.
    """

    share: float
    note: str
    table: tuple[list[str], ...] = ()
    curve: Path | None = None
    report: Path | None = None


def measure(
    session: Session,
    work: Task,
    model: str | None,
    clean: Path,
    degraded: Path | None,
    task: str | None,
    *,
    steps: tuple[int, ...] | None,
) -> Iterator[Progress]:
    """Unpack the archives and measure the model on their pairs; stop where the visitor asks to.

    Without ``steps`` as ``Evaluation`` does: over the dial of realism with a model that draws.

    Raises:
        ConfigError, DataError, ImageError: The archives, the model or the options do not fit.
    """
    if steps is not None and not (steps and all(1 <= number <= MOST_STEPS for number in steps)):
        raise ConfigError(f"numbers of steps go from 1 to {MOST_STEPS}")
    restorer = session.restorer(model)
    with session.working_folder("measuring") as folder:
        yield Progress(0.0, "unpacking")
        UNPACKERS.read(clean.name, LIMIT_OF_ARCHIVES, unpack, clean, folder / "clean")
        if degraded is not None:
            UNPACKERS.read(degraded.name, LIMIT_OF_ARCHIVES, unpack, degraded, folder / "degraded")
        found = pairs_for(
            restorer.card,
            None,
            clean=folder / "clean",
            degraded=None if degraded is None else folder / "degraded",
            task=None if degraded is not None else task,
        )
        evaluation = Evaluation(restorer, *found, steps=steps)
        yield Progress(0.0, "reading every image")
        total, images = evaluation.total, len(evaluation.usable)
        measured: list[Measurement] = []
        for measurement in evaluation.measurements():
            measured.append(measurement)
            image = f"image {1 + (len(measured) - 1) * images // total} of {images}"
            yield Progress(len(measured) / total, f"{image}: {measurement.file}")
            if work.stopping.is_set():
                yield Progress(len(measured) / total, "stopped")
                return
        report = folder / "report"
        table = evaluation.write(report, measured)
    note = "; ".join(["done", *means_explained(table["settings"])[1:]])
    yield Progress(1.0, note, tuple(table_rows(table)), report / "curve.png", report / "report.html")
