"""Methods side by side: the same network, pairs, seed and budget, measured on the same images.

A comparison run is one method with one seed. Each is trained and measured once and kept, so that a comparison that was
interrupted goes on, and one with more methods, seeds or time adds to what is there.
"""

import json
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

from indi.config import STEPS, Config, Settings, merged
from indi.data import split_pairs, unusable, what_to_fix
from indi.devices import choose_device
from indi.errors import ConfigError, DataError
from indi.evaluation.benchmark import find_test_pairs
from indi.evaluation.comparison_run import ComparisonRun, Result, mean_rows, spread_rows
from indi.evaluation.means import with_means
from indi.evaluation.ranges import DataRange, check_measure
from indi.models.checkpoint import write_text
from indi.process.methods import METHODS
from indi.report import write_comparison
from indi.training.run import match_training_pairs
from indi.training.settings import settings_tree

TABLE_FILE = "compare.json"


class Progress(NamedTuple):
    """How far a comparison is.

    Attributes:
        name: Of the run at hand: its method and seed.
        stage: training or measuring.
        share: Of the stage that is done.
    """

    name: str
    stage: str
    share: float


@dataclass(frozen=True)
class Comparison:
    """Methods to compare. ``progress`` does the work, ``table`` sums it up, ``write`` shows it.

    Attributes:
        methods: Rows of the table of methods.
        seeds: One training each, all with the same split into training and validation; with several, the means are
            shown with their spread.
        out: Folder for the report and what was measured.
        runs: Folder of the run folders; finished ones are used again.
        config: Settings of all of them, as ``indi.train`` takes them, with the budget.
        test: Where the test images are, as ``find_test_pairs`` takes it; without any, those kept for validation.
        steps: Numbers of steps to compare.
        border: Pixels left out on each side.
        data_range: As ``Evaluation``.
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
    data_range: DataRange = None
    device: str = "auto"

    def __post_init__(self) -> None:
        """Refuse what could not be compared, before hours are spent on it.

        Raises:
            ConfigError: A method is unknown or named twice, there is no budget, or a setting is wrong.
        """
        if not self.methods or len(set(self.methods)) < len(self.methods):
            raise ConfigError(f"methods are {', '.join(self.methods) or 'none'}; name one or more, each once")
        if not self.seeds:
            raise ConfigError("seeds is below 1; give how many trainings of each method, 1 or more")
        if not self.steps or min(self.steps) < 1:
            raise ConfigError(f"steps are {list(self.steps)}; give numbers of 1 or more")
        for one in self.comparison_runs().values():
            one.config.method.build()
            one.check()
            if one.config.training.minutes is None and one.config.training.iterations is None:
                raise ConfigError("no budget; give minutes or iterations for each method")
        choose_device(self.device)
        check_measure(self.border, self.data_range)
        report, data = match_training_pairs(one.config.data), one.config.data
        if self.test["clean"] is not None or self.test["degraded"] is not None:
            kind: dict[str, Any] = {"channels": report.channels, "apart": data.apart, "neighbours": data.around}
            found = find_test_pairs(None, **kind, **self.test)
            found.check(channels=report.channels, border=self.border)
            return
        _, kept = split_pairs(report.pairs, validation=data.validation, seed=one.config.split_seed, group=data.group)
        if not kept:
            raise ConfigError("no pair is kept for validation, and so none to measure on; give --test-clean and more")
        if problems := unusable(kept, channels=report.channels, resample=data.resample, border=self.border):
            raise DataError(what_to_fix(problems))

    @classmethod
    def of(
        cls,
        *,
        out: str | Path,
        methods: Sequence[str] = tuple(METHODS),
        test_clean: str | Path | None = None,
        test_degraded: str | Path | None = None,
        steps: Sequence[int] = STEPS,
        seed: int | None = None,
        seeds: int = 1,
        config: str | Path | Mapping[str, Any] | None = None,
        border: int = 0,
        data_range: DataRange = None,
        runs: str | Path | None = None,
        device: str = "auto",
        **settings: Any,
    ) -> Self:
        """Return a comparison from folders and options, as ``indi.train`` and ``indi.evaluate`` take them.

        Args:
            out: Folder for the report and what was measured.
            methods: Rows of the table of methods.
            test_clean: Folder of clean images to test on; without it, those kept from training for validation.
            test_degraded: Their degraded ones; or else ``task``.
            steps: Numbers of steps to compare.
            seed: Of everything random; by default that of ``config``.
            seeds: How many trainings a method, with seeds ``seed``, ``seed`` + 1, …; all keep the split of the first.
            config: Settings of all trainings, as ``indi.train`` takes them.
            border: Pixels left out of the measuring on each side.
            data_range: Peak of PSNR and SSIM; None is the type's range, 1 for floats; "image" is what each clean image
                spans.
            runs: Folder of the run folders; ``out``/runs if None. Finished runs there are used again.
            device: auto, cpu, cuda or mps.
            settings: Settings by name, over those of ``config``, as ``indi.train`` takes them. A task is drawn in
                its training form in training, and in its benchmark form in tests.

        Raises:
            ConfigError, DataError, ImageError: The options or the test images do not fit.
        """
        given = settings_tree(config, **settings)
        common = Config.parse(given, source="settings")
        seed = common.training.seed if seed is None else seed
        test: dict[str, Any] = {
            "clean": None if test_clean is None else Path(test_clean).resolve(),
            "degraded": None if test_degraded is None else Path(test_degraded).resolve(),
            "task": common.data.task if test_clean is not None and test_degraded is None else None,
            "resample": common.data.resample,
        }
        given = merged({"data": {"split_seed": seed}}, given)
        out = Path(out)
        return cls(
            methods=tuple(method.strip() for method in methods),
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

    def comparison_runs(self) -> dict[tuple[str, int], ComparisonRun]:
        """Return a comparison run for every method and seed, seed by seed, so that whole comparisons come first."""
        return {(method, seed): self._comparison_run(method, seed) for seed in self.seeds for method in self.methods}

    def cost(self) -> str:
        """Return in words what is ahead."""
        runs = self.comparison_runs().values()
        waiting = sum(not one.is_kept() for one in runs)
        training = Config.parse(dict(self.config), source="settings").training
        each = f"{training.minutes:g} min" if training.minutes else f"{training.iterations} iterations"
        total = f", {waiting * training.minutes:g} min in all" if training.minutes else ""
        return (
            f"models to train and measure: {waiting} of {len(runs)}, the others are kept; {each} of training for "
            f"each{total}, then {sum(self.steps)} network calls on each test image (1 where a method has one step)"
        )

    def progress(self) -> Generator[Progress, None, None]:
        """Train and measure what is not there yet, and yield how far it is; closing it early keeps what was done.

        Raises:
            ConfigError, DataError, ImageError, ModelError, TrainingError: As ``train`` and ``evaluate``.
        """
        for one in self.comparison_runs().values():
            with closing(one.work()) as work:
                for stage, share in work:
                    yield Progress(one.folder.name, stage, share)

    def table(self) -> dict[str, Any]:
        """Return the content of compare.json.

        Raises:
            ModelError: A run is not finished.
        """
        return self._table(self._results())

    def write(self) -> dict[str, Any]:
        """Write compare.json, compare.png and report.html; return the table.

        Raises:
            ModelError: A run is not finished.
        """
        results = self._results()
        table = self._table(results)
        strips = {method: results[method, self.seeds[0]].strips for method in self.methods}
        write_text(self.out / TABLE_FILE, json.dumps(table, indent=1, allow_nan=False) + "\n")
        write_comparison(table, strips, self.out)
        return table

    def _comparison_run(self, method: str, seed: int) -> ComparisonRun:
        name = f"{method}-s{seed}"
        settings = merged(dict(self.config), {"method": {"name": method}, "training": {"seed": seed}})
        return ComparisonRun(
            run=self.runs / name,
            folder=self.out / "cells" / name,
            config=Config.parse(settings, source=f"settings of {method}"),
            test=self.test,
            steps=self.steps,
            border=self.border,
            data_range=self.data_range,
            device=self.device,
        )

    def _results(self) -> dict[tuple[str, int], Result]:
        results = {key: one.result() for key, one in self.comparison_runs().items()}
        tables = with_means([result.table for result in results.values()])
        return {key: found._replace(table=table) for (key, found), table in zip(results.items(), tables, strict=True)}

    def _table(self, results: Mapping[tuple[str, int], Result]) -> dict[str, Any]:
        config = Config.parse(dict(self.config), source="settings")
        firsts = [results[self.methods[0], seed].table for seed in self.seeds]
        measured = firsts[0]["settings"]
        test = {f"test.{name}": measured.get(name) for name in ("clean", "degraded", "task", "pairs")}
        return {
            "settings": {
                **_named("data", config.data, "clean", "degraded", "task", "group", "validation", "crop", "batch"),
                **test,
                **{name: value for name, value in measured.items() if f"test.{name}" not in test and name != "seed"},
                "size": config.network.size,
                "minutes": config.training.minutes,
                "iterations": config.training.iterations,
                "seeds": list(self.seeds),
                **_named("method", config.method, "epsilon", "noise", "conditioned", "share_at_one"),
                **_named("training", config.training, "norm", "learning_rate"),
            },
            "degraded": mean_rows([first["degraded"] for first in firsts]),
            "methods": {
                method: self._summary([results[method, seed] for seed in self.seeds]) for method in self.methods
            },
        }

    def _summary(self, results: Sequence[Result]) -> dict[str, Any]:
        """Return what compare.json holds of a method: the means over its seeds and, of several, spread and each."""
        rows = list(zip(*(result.table["rows"] for result in results), strict=True))
        summary: dict[str, Any] = {
            "train": mean_rows([result.train for result in results]),
            "rows": [mean_rows(row) for row in rows],
        }
        if len(results) > 1:
            summary["spread"] = [{**_setting(row[0]), **spread_rows(row)} for row in rows]
            summary["seeds"] = [
                {"seed": seed, "train": result.train, "rows": result.table["rows"]}
                for seed, result in zip(self.seeds, results, strict=True)
            ]
        return summary


def _setting(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("steps", "realism") if name in row}


def _named(part: str, settings: Settings, *names: str) -> dict[str, Any]:
    return {f"{part}.{name}": getattr(settings, name) for name in names}


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
