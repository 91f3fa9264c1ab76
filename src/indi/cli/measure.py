"""Commands that measure: evaluate, compare."""

import logging
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.progress import MofNCompleteColumn, TimeRemainingColumn

from indi.cli.app import app
from indi.cli.options import (
    METHODS,
    WHOLE,
    Convolutions,
    Device,
    Epsilon,
    Json,
    Model,
    Range,
    Sampler,
    Seed,
    SettingOfPrecision,
    SettingOfSeed,
    Size,
    Strength,
    Task,
    Threads,
    Tile,
    Times,
    Whole,
    numbers_of,
    range_of,
    shares_of,
    times_of,
)
from indi.cli.terminal import STOPPING, bar_of, complain, patience, print_json, print_table, say
from indi.config import DEFAULT_TILE, STEPS
from indi.devices import set_threads


@app.command
def evaluate(
    *,
    model: Model,
    clean: Path | None = None,
    degraded: Path | None = None,
    task: Task = None,
    steps: str | None = None,
    realism: str | None = None,
    border: Whole = 0,
    data_range: Range = None,
    out: Path = Path("evaluation"),
    resample: Annotated[bool, Parameter(negative="")] = False,
    seed: Seed = 0,
    tile: Tile = DEFAULT_TILE,
    precision: Convolutions = "auto",
    times: Times = "uniform",
    sampler: Sampler = None,
    strength: Strength = 1.0,
    perceptual: Annotated[
        bool,
        Parameter(
            negative="",
            help="ST-LPIPS, LPIPS, DISTS, FID and KID too, those that can be had; needs indi[perceptual], and all but "
            "the first fetch weights at their first use",
        ),
    ] = False,
    device: Device = "auto",
    threads: Threads = None,
    json: Json = False,
) -> int:
    """Measure what each number of steps buys, or each realism of a model that draws, on pairs the model has not seen.

    Writes metrics.json, curve.png and report.html.

    Args:
        clean: folder of clean images; without any folder, the pairs that the run kept from training
        degraded: folder of degraded images, with the names of the clean ones
        steps: numbers of steps to compare, with commas; by default 1 for a model that draws, 1,2,5,10,20 for others
        realism: settings of the dial of a model that draws, with commas; by default 0,0.25,0.5,0.75,1, with steps 0.6
        border: pixels left out on each side
        out: folder for the report
        resample: bring degraded images of a lower size to the clean grid
    """
    from indi.evaluation.benchmark import pairs_for
    from indi.evaluation.evaluate import Evaluation
    from indi.io.atomic import check_place
    from indi.process.sampling import Sampling
    from indi.report import table_rows
    from indi.restoration.restorer import load

    set_threads(threads)
    check_place(out)
    restorer = load(model, device=device, precision=precision, tile=tile)
    found = pairs_for(restorer.card, model, clean=clean, degraded=degraded, task=task, resample=resample)
    evaluation = Evaluation(
        restorer,
        *found,
        steps=None if steps is None else numbers_of(steps),
        realism=None if realism is None else shares_of(realism),
        border=border,
        data_range=range_of(data_range),
        sampling=Sampling(times=times_of(times), sampler=sampler, seed=seed, strength=strength),
        perceptual=perceptual,
    )
    for _, problem in evaluation.problems:
        complain(problem)
    with bar_of(MofNCompleteColumn(), TimeRemainingColumn()) as bar:
        shown = bar.add_task("measuring", total=evaluation.total)
        measured = []
        for measurement in evaluation.measurements():
            measured.append(measurement)
            bar.advance(shown)
    table = evaluation.write(out, measured)
    if json:
        print_json(table)
    else:
        print_table(table_rows(table))
        _say_what_it_is(table, out)
    return 2 if evaluation.problems else 0


@app.command
def compare(
    *,
    clean: Path | None = None,
    degraded: Path | None = None,
    task: Task = None,
    methods: Annotated[str, Parameter(help="with commas between")] = ",".join(METHODS),
    minutes: float | None = None,
    iterations: Annotated[int | None, WHOLE] = None,
    steps: str = ",".join(map(str, STEPS)),
    test_clean: Path | None = None,
    test_degraded: Path | None = None,
    seed: SettingOfSeed = None,
    seeds: Whole = 1,
    size: Size = None,
    epsilon: Epsilon = None,
    resample: Annotated[bool, Parameter(negative="")] = False,
    precision: SettingOfPrecision = None,
    config: Path | None = None,
    border: Whole = 0,
    data_range: Range = None,
    out: Path = Path("comparison"),
    runs: Path | None = None,
    device: Device = "auto",
    threads: Threads = None,
    json: Json = False,
) -> int:
    """Train methods side by side, with the same network, pairs, seed and budget, and measure them on the same images.

    Writes compare.json, compare.png and report.html. What is finished is kept: the same command goes on after an
    interruption, and with more methods or seeds adds to it. A budget of iterations is the same on a busy machine.

    Args:
        clean: folder of clean images to train on
        degraded: folder of degraded images, with the names of the clean ones
        minutes: budget of each training in minutes
        iterations: budget of each training in iterations, instead of minutes
        steps: numbers of steps to compare, with commas
        test_clean: folder of clean images to test on; without it, those kept from training
        test_degraded: their degraded images; without it, the task makes them in its fixed form
        seeds: how many trainings of each method, on one split; from three on their spread means something
        resample: bring degraded images of a lower size to the clean grid
        config: more settings: a TOML or JSON file, or a recipe by name, such as denoise; the options go over it
        border: pixels left out of the measuring on each side
        out: folder for the report
        runs: folder of the trained runs, to be used again on other test images; OUT/runs by default
    """
    from indi.evaluation.compare import Comparison
    from indi.io.atomic import check_place
    from indi.report import comparison_rows

    set_threads(threads)
    check_place(out)
    comparison = Comparison.of(
        out=out,
        methods=methods.split(","),
        clean=clean,
        degraded=degraded,
        task=task,
        minutes=minutes,
        iterations=iterations,
        test_clean=test_clean,
        test_degraded=test_degraded,
        steps=numbers_of(steps),
        seed=seed,
        seeds=seeds,
        size=size,
        epsilon=epsilon,
        resample=resample or None,
        precision=precision,
        config=config,
        border=border,
        data_range=range_of(data_range),
        runs=runs,
        device=device,
    )
    say(comparison.cost())
    with (
        bar_of(TimeRemainingColumn()) as bar,
        closing(comparison.progress()) as all_progress,
        patience(lambda: bar.update(shown, description=STOPPING)) as interrupted,
    ):
        shown = bar.add_task("", total=1.0)
        first, current = None, None
        for name, stage, share in all_progress:
            if current != (name, stage):
                if name != (first := first or name):  # what is odd about the pairs was said at the first
                    logging.getLogger("indi").setLevel(logging.WARNING)
                current = (name, stage)
                say(f"{stage} {name}")
                bar.reset(shown, description=f"{stage} {name}")
            bar.update(shown, completed=share)
            if interrupted.is_set():
                break
    if interrupted.is_set():
        say("interrupted; what is finished is kept: the same command goes on")
        return 130
    table = comparison.write()
    if json:
        print_json(table)
    else:
        print_table(comparison_rows(table))
        _say_what_it_is(table, out)
    return 0


def _say_what_it_is(table: Mapping[str, Any], out: Path) -> None:
    """Say what the figures of a table are means over, what is not in them, and where the report is."""
    from indi.report import means_explained

    first, *more = means_explained(table["settings"])
    say(f"{first}; report: {out / 'report.html'}")
    for line in more:
        say(line)
