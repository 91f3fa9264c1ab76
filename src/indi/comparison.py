"""Methods side by side: the same network, pairs, seed and budget, measured on the same images.

A cell is one method with one seed. Each is trained and measured once and kept, so that a comparison that was
interrupted goes on, and one with more methods, seeds or time adds to what is there.
"""

import json
import statistics
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

from indi.checkpoint import Model, load_model, write_text
from indi.config import Config, Settings, merged
from indi.devices import Precision
from indi.errors import ConfigError, ModelError
from indi.evaluation import Evaluation, Measurement, find_test_pairs
from indi.images import Image, read, write
from indi.methods import METHODS
from indi.metrics import METRICS
from indi.report import Strip, steps_label, write_comparison
from indi.restoration import Restorer
from indi.training import settings_tree, train

STEPS = (1, 2, 5, 10, 20)
TABLE_FILE = "compare.json"


class Cell(NamedTuple):
    """One method with one seed: what is trained and measured once."""

    method: str
    seed: int

    @property
    def name(self) -> str:
        """Its name for folders and people."""
        return f"{self.method}-s{self.seed}"


class Progress(NamedTuple):
    """How far a cell is: "training" or "measuring", and the share of it that is done."""

    cell: Cell
    stage: str
    share: float


class Result(NamedTuple):
    """What is known of a cell: its training, the table of its evaluation, and the crops that reports show."""

    train: dict[str, float]
    table: dict[str, Any]
    strips: list[Strip]


@dataclass(frozen=True)
class Comparison:
    """Methods to compare. ``progress`` does the work, ``table`` sums it up, ``write`` shows it.

    Attributes:
        methods: Rows of the table of methods.
        seeds: One training each; with several, the means are shown with their spread. A seed decides the
            split into training and validation too.
        out: Folder for the report and what was measured.
        runs: Folder of the run folders; finished ones are used again.
        config: Settings of all of them, as ``indi.train`` takes them, with the budget.
        test: Where the test images are, as ``find_test_pairs`` takes it; without any, those kept for validation.
        steps: Numbers of steps to compare.
        border: Pixels left out on each side.
        data_range: Peak of PSNR and SSIM; None is the type's range, 1 for floats.
        device: auto, cpu, cuda or mps.
    """

    methods: tuple[str, ...]
    seeds: tuple[int, ...]
    out: Path
    runs: Path
    config: Mapping[str, Any]
    test: Mapping[str, Any]
    steps: tuple[int, ...] = STEPS
    border: int = 0
    data_range: float | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        """Refuse what could not be compared, before hours are spent on it.

        Raises:
            ConfigError: A method is unknown or named twice, there is no budget, or a setting is wrong.
        """
        for method in self.methods:
            if method not in METHODS:
                raise ConfigError(f"unknown method {method!r}; there are {', '.join(METHODS)}")
        if not self.methods or not self.seeds or len(set(self.methods)) < len(self.methods):
            raise ConfigError(f"methods {list(self.methods)} and seeds {list(self.seeds)}: name each once")
        if not self.steps or min(self.steps) < 1:
            raise ConfigError(f"steps are {list(self.steps)}; give numbers of 1 or more")
        for cell in self.cells():
            settings = Config.parse(self._settings(cell), source=f"settings of {cell.method}")
            settings.method.build()
            if settings.training.minutes is None and settings.training.iterations is None:
                raise ConfigError("no budget; give minutes or iterations for each method")

    @classmethod
    def of(
        cls,
        *,
        out: str | Path,
        methods: Sequence[str] = tuple(METHODS),
        clean: str | Path | None = None,
        degraded: str | Path | None = None,
        task: str | None = None,
        minutes: float | None = None,
        iterations: int | None = None,
        test_clean: str | Path | None = None,
        test_degraded: str | Path | None = None,
        steps: Sequence[int] = STEPS,
        seed: int = 0,
        seeds: int = 1,
        size: str | None = None,
        epsilon: float | None = None,
        resample: bool = False,
        precision: Precision | None = None,
        config: str | Path | Mapping[str, Any] | None = None,
        border: int = 0,
        data_range: float | None = None,
        runs: str | Path | None = None,
        device: str = "auto",
    ) -> Self:
        """Return a comparison from folders and options, as ``indi.train`` and ``indi.evaluate`` take them.

        Args:
            out: Folder for the report and what was measured.
            methods: Rows of the table of methods.
            clean: Folder of clean images to train on.
            degraded: Their degraded ones; or else ``task``.
            task: Makes the degraded images: in training anew each time, in tests in its fixed form.
            minutes: Budget of each training in minutes.
            iterations: Budget of each training in iterations, instead of ``minutes``.
            test_clean: Folder of clean images to test on; without it, those kept from training for validation.
            test_degraded: Their degraded ones; or else ``task``.
            steps: Numbers of steps to compare.
            seed: Of everything random.
            seeds: How many trainings a method, with seeds ``seed``, ``seed`` + 1, …
            size: Of the network: tiny, small, base, large.
            epsilon: Standard deviation of the noise at t = 1, in intensities.
            resample: Bring degraded images of a whole-number lower size to the clean grid.
            precision: auto, float32 or bfloat16, of the convolutions.
            config: More settings, as ``indi.train`` takes them; the arguments above go over them.
            border: Pixels left out of the measuring on each side.
            data_range: Peak of PSNR and SSIM; None is the type's range, 1 for floats.
            runs: Folder of the run folders; ``out``/runs if None. Finished runs there are used again.
            device: auto, cpu, cuda or mps.

        Raises:
            ConfigError, DataError, ImageError: The options or the test images do not fit.
        """
        given = settings_tree(
            config,
            clean=clean,
            degraded=degraded,
            task=task,
            size=size,
            epsilon=epsilon,
            resample=resample,
            minutes=minutes,
            iterations=iterations,
            precision=precision,
        )
        test: dict[str, Any] = {"clean": test_clean, "degraded": test_degraded, "task": None, "resample": resample}
        if test_clean is not None or test_degraded is not None:
            test["task"] = task if test_degraded is None else None
            find_test_pairs(None, **test)
        out = Path(out)
        return cls(
            methods=tuple(methods),
            seeds=tuple(range(seed, seed + seeds)),
            out=out,
            runs=out / "runs" if runs is None else Path(runs),
            config=given,
            test=test,
            steps=tuple(sorted(set(steps))),
            border=border,
            data_range=data_range,
            device=device,
        )

    def cells(self) -> list[Cell]:
        """Return every method with every seed, seed by seed, so that whole comparisons come first."""
        return [Cell(method, seed) for seed in self.seeds for method in self.methods]

    def cost(self) -> str:
        """Return in words what is ahead."""
        waiting = [cell for cell in self.cells() if self._kept(cell) is None]
        training = Config.parse(dict(self.config), source="settings").training
        each = f"{training.minutes:g} min" if training.minutes else f"{training.iterations} iterations"
        total = f", {len(waiting) * training.minutes:g} min in all" if training.minutes else ""
        calls = sum(self.steps)
        return (
            f"{len(self.cells())} trainings of {each}, {len(self.cells()) - len(waiting)} of them kept{total}; "
            f"then {calls} network calls on each test image for each (1 for a method of one step)"
        )

    def progress(self) -> Generator[Progress, None, None]:
        """Train and measure what is not there yet, and yield how far it is; closing it early keeps what was done.

        Raises:
            ConfigError, DataError, ImageError, ModelError, TrainingError: As ``train`` and ``evaluate``.
        """
        for cell in self.cells():
            if self._kept(cell) is None:
                yield Progress(cell, "training", 0.0)
                with closing(
                    train(run=self.runs / cell.name, config=self._settings(cell), resume=True, device=self.device)
                ) as records:
                    for record in records:
                        yield Progress(cell, "training", record.progress)
                yield from self._measure(cell)

    def table(self) -> dict[str, Any]:
        """Return the content of compare.json.

        Raises:
            ModelError: A cell is not finished.
        """
        return self._table(self._results())

    def write(self) -> dict[str, Any]:
        """Write compare.json, compare.png and report.html; return the table."""
        results = self._results()
        table = self._table(results)
        first = self.seeds[0]
        strips = {method: results[Cell(method, first)].strips for method in self.methods}
        write_text(self.out / TABLE_FILE, json.dumps(table, indent=1, allow_nan=False) + "\n")
        write_comparison(table, strips, self.out)
        return table

    def _settings(self, cell: Cell) -> dict[str, Any]:
        return merged(dict(self.config), {"method": {"name": cell.method}, "training": {"seed": cell.seed}})

    def _folder(self, cell: Cell) -> Path:
        return self.out / "cells" / cell.name

    def _key(self, cell: Cell) -> dict[str, Any]:
        """Return what a kept cell must agree with to be used again."""
        settings = Config.parse(self._settings(cell), source="settings")
        test = {name: None if value is None else str(value) for name, value in self.test.items()}
        measured = {"steps": list(self.steps), "border": self.border, "data_range": self.data_range}
        return {"settings": settings.model_dump(mode="json"), "test": test, **measured}

    def _kept(self, cell: Cell) -> dict[str, Any] | None:
        """Return a cell that is finished, or None."""
        file = self._folder(cell) / "cell.json"
        try:
            kept: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return kept if kept.get("key") == self._key(cell) else None

    def _measure(self, cell: Cell) -> Iterator[Progress]:
        yield Progress(cell, "measuring", 0.0)
        run = self.runs / cell.name
        model = load_model(run)
        found = find_test_pairs(run, channels=model.card.channels, **self.test)
        evaluation = Evaluation(
            Restorer(model, device=self.device),
            *found,
            steps=self.steps,
            border=self.border,
            data_range=self.data_range,
            seed=cell.seed,
        )
        total = len(found.pairs) * (1 + len(evaluation.walked()))
        measurements = []
        for measurement in evaluation.measurements():
            measurements.append(measurement)
            yield Progress(cell, "measuring", len(measurements) / total)
        kept = {
            "key": self._key(cell),
            "train": _training(model),
            "table": evaluation.table(measurements),
            "crops": self._keep_crops(cell, measurements),
        }
        write_text(self._folder(cell) / "cell.json", json.dumps(kept, indent=1, allow_nan=False) + "\n")

    def _keep_crops(self, cell: Cell, measurements: Sequence[Measurement]) -> list[str]:
        """Write the crops that reports show as PNG files; return the names of their images."""
        shown = [m for m in measurements if m.shown is not None]
        names = list(dict.fromkeys(m.file for m in shown))
        for m in shown:
            assert m.shown is not None
            crop, clean = m.shown
            write(self._folder(cell) / f"{names.index(m.file)}-{m.steps}.png", Image(crop))
            write(self._folder(cell) / f"{names.index(m.file)}-clean.png", Image(clean))
        return names

    def _results(self) -> dict[Cell, Result]:
        results = {}
        for cell in self.cells():
            kept = self._kept(cell)
            if kept is None:
                raise ModelError(f"{self._folder(cell)}: not finished; go through the progress first")
            results[cell] = Result(kept["train"], kept["table"], self._strips(cell, kept))
        return results

    def _strips(self, cell: Cell, kept: Mapping[str, Any]) -> list[Strip]:
        folder = self._folder(cell)
        values = {(row["file"], row["steps"]): row for row in kept["table"]["per_image"]}
        steps = [0, *(row["steps"] for row in kept["table"]["rows"])]
        return [
            Strip(
                file,
                [(steps_label(n), read(folder / f"{index}-{n}.png").pixels, values[file, n]) for n in steps],
                read(folder / f"{index}-clean.png").pixels,
            )
            for index, file in enumerate(kept["crops"])
        ]

    def _table(self, results: Mapping[Cell, Result]) -> dict[str, Any]:
        first = results[self.cells()[0]].table
        settings = {name: value for name, value in first["settings"].items() if name != "seed"}
        config = Config.parse(dict(self.config), source="settings")
        return {
            "settings": {
                **settings,
                "size": config.network.size,
                "minutes": config.training.minutes,
                "iterations": config.training.iterations,
                "seeds": list(self.seeds),
                **_named("method", config.method, "epsilon", "noise", "conditioned", "share_at_one"),
                **_named("training", config.training, "norm", "learning_rate"),
                **_named("data", config.data, "crop", "batch"),
            },
            "degraded": _mean([results[Cell(self.methods[0], seed)].table["degraded"] for seed in self.seeds]),
            "methods": {method: self._method(method, results) for method in self.methods},
        }

    def _method(self, method: str, results: Mapping[Cell, Result]) -> dict[str, Any]:
        mine = [results[Cell(method, seed)] for seed in self.seeds]
        rows = list(zip(*(result.table["rows"] for result in mine), strict=True))
        summary: dict[str, Any] = {
            "train": _mean([result.train for result in mine]),
            "rows": [_mean(row) for row in rows],
        }
        if len(mine) > 1:
            summary["spread"] = [{"steps": row[0]["steps"], **_spread(row)} for row in rows]
            summary["seeds"] = [
                {"seed": seed, "train": result.train, "rows": result.table["rows"]}
                for seed, result in zip(self.seeds, mine, strict=True)
            ]
        return summary


def _training(model: Model) -> dict[str, float]:
    card = model.card
    return {
        "seconds": card.seconds,
        "iterations": card.iterations,
        "crops_per_second": card.images_seen / card.seconds if card.seconds else 0.0,
        "parameters": sum(weight.numel() for weight in model.network.parameters()),
    }


def _named(part: str, settings: Settings, *names: str) -> dict[str, Any]:
    return {f"{part}.{name}": getattr(settings, name) for name in names}


def _mean(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the mean of each value over rows of the same keys; None where one is None, whole numbers kept."""
    means: dict[str, Any] = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        if None in values:
            means[name] = None
        else:
            means[name] = values[0] if len(set(values)) == 1 else statistics.fmean(values)
    return means


def _spread(rows: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """Return the sample standard deviation of each metric over seeds."""
    values = {name: [row[name] for row in rows] for name in METRICS if name in rows[0]}
    return {name: None if None in some else statistics.stdev(some) for name, some in values.items()}


def compare(*, out: str | Path, **options: Any) -> dict[str, Any]:
    """Train and measure methods side by side, write the report into ``out``, and return the table.

    Args:
        out: Folder for compare.json, compare.png, report.html, and what is kept.
        options: As ``Comparison.of``.

    Raises:
        ConfigError, DataError, ImageError, ModelError, TrainingError: As ``train`` and ``evaluate``.
    """
    comparison = Comparison.of(out=out, **options)
    for _ in comparison.progress():
        pass
    return comparison.write()
