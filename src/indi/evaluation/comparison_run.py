"""One run of a comparison: a model that is trained once, measured once, and kept."""

import json
import statistics
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from indi.config import Config
from indi.errors import ConfigError, ModelError
from indi.evaluation.benchmark import pairs_for
from indi.evaluation.evaluate import Evaluation
from indi.evaluation.means import Row, row_of
from indi.evaluation.measurement import Measurement
from indi.evaluation.ranges import DataRange
from indi.io import Image, read, write
from indi.metrics import METRICS
from indi.models.checkpoint import Model, load_model, write_text
from indi.models.runs import CONFIG_FILE
from indi.process import DEFAULT_REALISM
from indi.process.sampling import Sampling
from indi.report import Strip, row_label
from indi.restoration.restorer import Restorer
from indi.training.run import train

_FILE = "cell.json"  # the name that folders have had from the start
_DIAL = (0.0, DEFAULT_REALISM)  # of realism, beside 1


class Result(NamedTuple):
    """What is known of a finished run.

    Attributes:
        train: Its seconds, iterations, crops_per_second and parameters.
        table: As metrics.json.
        strips: The crops that reports show.
    """

    train: dict[str, float]
    table: dict[str, Any]
    strips: list[Strip]


@dataclass(frozen=True)
class ComparisonRun:
    """What to train and what to measure it on. ``work`` does what is not done yet, ``result`` tells.

    Attributes:
        run: The run folder; a finished run there is used again.
        folder: Where the figures and crops are kept.
        config: Settings of the training, with its budget.
        test: Where the test images are, as ``find_test_pairs`` takes it; without any, those kept for validation.
        steps: Numbers of steps to measure. A model that draws is measured at realism 1 with each, and with one step at
            other settings of its dial too.
        border: Pixels left out on each side.
        data_range: As ``Evaluation``.
        device: auto, cpu, cuda or mps.
    """

    run: Path
    folder: Path
    config: Config
    test: Mapping[str, Any]
    steps: tuple[int, ...]
    border: int
    data_range: DataRange
    device: str

    def is_kept(self) -> bool:
        """Return whether it is finished, with these very settings and images."""
        return self._kept() is not None

    def check(self) -> None:
        """Refuse a run that was trained with another budget: no other method would have had the same.

        Raises:
            ConfigError: There is such a run.
        """
        file = self.run / CONFIG_FILE
        if file.exists():
            begun, asked = Config.parse(Config.read(file), source=str(file)).training, self.config.training
            if (begun.minutes, begun.iterations) != (asked.minutes, asked.iterations):
                was = f"{begun.minutes:g} min" if begun.minutes else f"{begun.iterations} iterations"
                raise ConfigError(f"{self.run}: trained for {was}; give the same budget, or another folder")

    def work(self) -> Generator[tuple[str, float], None, None]:
        """Train and measure, unless it is kept, and yield the stage and the share of it that is done.

        Raises:
            ConfigError, DataError, ImageError, ModelError, TrainingError: As ``train`` and ``evaluate``.
        """
        if self.is_kept():
            return
        yield "training", 0.0
        config = self.config.model_dump(mode="json")
        with closing(train(run=self.run, config=config, resume=True, device=self.device)) as records:
            for record in records:
                yield "training", record.progress
        yield from self._measure()

    def result(self) -> Result:
        """Return what was found.

        Raises:
            ModelError: It is not finished.
        """
        kept = self._kept()
        if kept is None:
            raise ModelError(f"{self.folder}: not finished; go through the progress first")
        return Result(kept["train"], kept["table"], self._strips(kept))

    def _key(self) -> dict[str, Any]:
        """Return what a kept run must agree with to be used again."""
        data = self.config.data
        return {
            "settings": self.config.model_dump(mode="json"),
            "test": {name: None if value is None else str(value) for name, value in self.test.items()},
            "images": [
                _listing(folder)
                for folder in (data.clean, data.degraded, self.test["clean"], self.test["degraded"])
                if folder is not None
            ],
            "steps": list(self.steps),
            "border": self.border,
            "data_range": self.data_range,
            "metrics": list(METRICS),
        }

    def _kept(self) -> dict[str, Any] | None:
        try:
            kept: Any = json.loads((self.folder / _FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):  # not there, or damaged: it is made again
            return None
        is_ours = isinstance(kept, dict) and kept.get("key") == self._key()
        return kept if is_ours and all(map(Path.exists, self._crops(kept))) else None

    def _measure(self) -> Generator[tuple[str, float], None, None]:
        yield "measuring", 0.0
        model = load_model(self.run)
        found = pairs_for(model.card, self.run, **self.test)
        restorer = Restorer(model, device=self.device)
        evaluation = Evaluation(
            restorer,
            *found,
            steps=self.steps,
            chosen=self._dial() if restorer.method.draws else None,
            border=self.border,
            data_range=self.data_range,
            # Trainings alone are to differ, not the images that a task degrades by the seed.
            sampling=Sampling(seed=self.config.split_seed),
        )
        measurements = []
        for measurement in evaluation.measurements():
            measurements.append(measurement)
            yield "measuring", len(measurements) / evaluation.total
        kept = {
            "key": self._key(),
            "train": _training(model),
            "table": evaluation.table(measurements),
            "crops": self._keep_crops(measurements),
        }
        write_text(self.folder / _FILE, json.dumps(kept, indent=1, allow_nan=False) + "\n")

    def _dial(self) -> tuple[Row, ...]:
        return (*(Row(1, realism) for realism in _DIAL), *(Row(steps, 1.0) for steps in self.steps))

    def _keep_crops(self, measurements: Sequence[Measurement]) -> list[str]:
        """Write the crops that reports show as PNG files; return the names of their images."""
        names: list[str] = []
        for m in measurements:
            if m.shown is not None:
                crop, clean = m.shown
                if m.file not in names:
                    names.append(m.file)
                    write(self.folder / f"{names.index(m.file)}-clean.png", Image(clean))
                write(self.folder / f"{names.index(m.file)}-{_key_of(m.row)}.png", Image(crop))
        return names

    def _crops(self, kept: Mapping[str, Any]) -> Iterator[Path]:
        """Yield the files of the crops that reports show."""
        for index in range(len(kept["crops"])):
            for key in ("clean", *map(_key_of, _rows(kept))):
                yield self.folder / f"{index}-{key}.png"

    def _strips(self, kept: Mapping[str, Any]) -> list[Strip]:
        values = {(row["file"], row_of(row)): row for row in kept["table"]["per_image"]}
        rows = _rows(kept)
        return [
            Strip(
                file,
                [
                    (row_label(*row), read(self.folder / f"{index}-{_key_of(row)}.png").pixels, values[file, row])
                    for row in rows
                ],
                read(self.folder / f"{index}-clean.png").pixels,
            )
            for index, file in enumerate(kept["crops"])
        ]


def _rows(kept: Mapping[str, Any]) -> list[Row]:
    """Return the ways of restoring that were measured, the degraded image itself first."""
    return [Row(0), *map(row_of, kept["table"]["rows"])]


def _key_of(row: Row) -> str:
    """Return what tells the crops of a row apart from others."""
    return "-".join(f"{value:g}" for value in row if value is not None)


def _listing(folder: str | Path) -> list[Any]:
    """Return what tells whether the files of a folder have changed: their names, sizes and times."""
    # A link to nowhere, such as the lock of an editor, is no image.
    status = [(file.name, file.stat()) for file in sorted(Path(folder).iterdir()) if file.exists()]
    return [[name, found.st_size, found.st_mtime_ns] for name, found in status]


def _training(model: Model) -> dict[str, float]:
    card = model.card
    return {
        "seconds": card.seconds,
        "iterations": card.iterations,
        "crops_per_second": card.images_seen / card.seconds if card.seconds else 0.0,
        "parameters": sum(weight.numel() for weight in model.network.parameters()),
    }


def mean_rows(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the mean of each value over rows of the same keys; None where one is None, whole numbers kept."""
    means: dict[str, Any] = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        if None in values:
            means[name] = None
        else:
            means[name] = values[0] if len(set(values)) == 1 else statistics.fmean(values)
    return means


def spread_rows(rows: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """Return the sample standard deviation of each metric over rows, such as those of several seeds."""
    values = {name: [row[name] for row in rows] for name in METRICS if name in rows[0]}
    return {name: None if None in some else statistics.stdev(some) for name, some in values.items()}
