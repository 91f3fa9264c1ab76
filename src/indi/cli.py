"""The command line: parse, call, print. Exit codes: 0 done, 1 our bug, 2 yours to mend, 130 interrupted after saving."""

import json
import logging
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

from cyclopts import App, CycloptsError, Parameter
from rich.console import Console
from rich.logging import RichHandler
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from indi.devices import Precision, set_threads
from indi.errors import ConfigError, IndiError
from indi.version import __version__

app = App(
    name="indi",
    help="Restore images by Inversion by Direct Iteration: train on pairs, restore any size, see what each step buys.",
    version=__version__,
    help_format="plaintext",
)
errors = Console(stderr=True, highlight=False, soft_wrap=True)
output = Console(highlight=False, soft_wrap=True)

_N = TypeVar("_N", int, float)

Device = Annotated[str, Parameter(help="auto, cpu, cuda or mps")]
Threads = Annotated[int | None, Parameter(help="CPU threads; as many as there are cores by default")]
Json = Annotated[bool, Parameter(help="print one JSON object and nothing else", negative="")]
Times = Annotated[str, Parameter(help="uniform, geometric, power, or a list such as 1,0.5,0.2,0")]
Sampler = Annotated[str, Parameter(help="euler, heun or multistep")]


@app.command
def train(
    *,
    run: Path,
    clean: Path | None = None,
    degraded: Path | None = None,
    task: str | None = None,
    minutes: float | None = None,
    iterations: int | None = None,
    method: str | None = None,
    size: str | None = None,
    epsilon: float | None = None,
    config: Path | None = None,
    from_: Annotated[str | None, Parameter(name="--from")] = None,
    seed: int | None = None,
    checkpoint_every: int | None = None,
    resume: Annotated[bool, Parameter(negative="")] = False,
    device: Device = "auto",
    threads: Threads = None,
) -> int:
    """Train a restorer on pairs of clean and degraded images.

    The run folder gets the model, ready to use, a log, preview pictures, and what --resume needs.
    Ctrl-C saves first.

    Args:
        run: the run folder; made if it is not there
        clean: folder of clean images
        degraded: folder of degraded images, with the names of the clean ones
        task: make the degraded images from the clean ones: denoise, super-resolve-4x, jpeg
        minutes: budget in minutes of training
        iterations: budget in iterations, instead of minutes
        method: indi or regression
        size: tiny, small, base or large
        epsilon: strength of the noise, in intensities of [0, 1]
        config: more settings, a TOML or JSON file; the options go over it
        from_: a model or run whose weights to start from
        seed: of everything random
        checkpoint_every: iterations between checkpoints
        resume: go on from the last checkpoint, with the run's settings
    """
    from indi.training import train

    set_threads(threads)
    records = train(
        run=run,
        clean=clean,
        degraded=degraded,
        task=task,
        minutes=minutes,
        iterations=iterations,
        method=method,
        size=size,
        epsilon=epsilon,
        config=config,
        start=from_,
        seed=seed,
        checkpoint_every=checkpoint_every,
        resume=resume,
        device=device,
    )
    last = None
    try:
        with _bar(TextColumn("{task.fields[note]}"), TimeRemainingColumn()) as bar:
            shown = bar.add_task("training", total=1.0, note="reading images")
            for last in records:
                note = (
                    f"loss {last.loss:.4f}  {last.crops_per_second:.0f} crops/s  iteration {last.iteration}"
                )
                bar.update(shown, completed=last.progress, note=note)
                if last.psnr is not None:
                    psnr = ", ".join(f"{_steps(steps)} {value:.2f} dB" for steps, value in last.psnr.items())
                    errors.print(f"iteration {last.iteration}: loss {last.loss:.4f}; preview PSNR: {psnr}")
    except KeyboardInterrupt:
        errors.print(f"interrupted; saved in {run}: go on with indi train --run {run} --resume")
        return 130
    if last is None:
        errors.print(f"{run}: its budget is spent; give a larger one with --minutes or --iterations to go on")
    else:
        errors.print(f"{last.iteration} iterations in {last.seconds / 60:.1f} min, {last.skipped} skipped")
    errors.print(f"now try: indi restore IMAGE --model {run}")
    return 0


@app.command
def restore(
    *inputs: Path,
    model: str,
    out: Path = Path("restored"),
    steps: int | None = None,
    samples: int | None = None,
    seed: int = 0,
    tile: int | None = None,
    precision: Precision = "auto",
    times: Times = "uniform",
    sampler: Sampler = "euler",
    device: Device = "auto",
    threads: Threads = None,
) -> int:
    """Restore images of any size: files, or folders of them.

    Args:
        inputs: image files or folders
        model: a run folder or a model file
        out: a folder; with an image suffix and one input, the file
        steps: 1 for the least error, more for sharper images
        samples: restore each image so many times, and write their mean and spread too
        seed: of the noise
        tile: side of a tile in pixels; a smaller one needs less memory, the result is the same
        precision: auto, float32 or bfloat16
    """
    from indi.files import plan, restore_files
    from indi.restoration import load

    set_threads(threads)
    jobs = plan(inputs, out)
    restorer = load(model, device=device, precision=precision, **({} if tile is None else {"tile": tile}))
    failed = 0
    with _bar(MofNCompleteColumn(), TimeRemainingColumn()) as bar:
        outcomes = restore_files(
            restorer, jobs, steps=steps, samples=samples, seed=seed, times=_times(times), sampler=sampler
        )
        for outcome in bar.track(outcomes, total=len(jobs), description="restoring"):
            if outcome.error is not None:
                failed += 1
                _complain(outcome.error)
    errors.print(f"{len(jobs) - failed} of {len(jobs)} restored to {out}")
    return 2 if failed else 0


@app.command
def evaluate(
    *,
    model: str,
    clean: Path | None = None,
    degraded: Path | None = None,
    task: str | None = None,
    steps: str = "1,2,5,10,20",
    border: int = 0,
    data_range: float | None = None,
    out: Path = Path("evaluation"),
    resample: Annotated[bool, Parameter(negative="")] = False,
    seed: int = 0,
    tile: int | None = None,
    precision: Precision = "auto",
    times: Times = "uniform",
    sampler: Sampler = "euler",
    device: Device = "auto",
    threads: Threads = None,
    json: Json = False,
) -> int:
    """Measure what each number of steps buys, on pairs the model has not seen.

    Writes metrics.json, curve.png and report.html.

    Args:
        model: a run folder or a model file
        clean: folder of clean images; without any folder, the pairs that the run kept from training
        degraded: folder of degraded images, with the names of the clean ones
        task: make the degraded images from the clean ones, in the task's fixed form
        steps: numbers of steps to compare, with commas
        border: pixels left out on each side
        data_range: peak of PSNR and SSIM; the type's range by default, 1 for floats
        out: folder for the report
        resample: bring degraded images of a lower size to the clean grid
        seed: of the noise
        tile: side of a tile in pixels
        precision: auto, float32 or bfloat16
    """
    from indi.evaluation import Evaluation, find_test_pairs
    from indi.report import table_rows
    from indi.restoration import load

    set_threads(threads)
    restorer = load(model, device=device, precision=precision, **({} if tile is None else {"tile": tile}))
    pairs, source, task = find_test_pairs(model, clean=clean, degraded=degraded, task=task, resample=resample)
    evaluation = Evaluation(
        restorer,
        pairs,
        source,
        task,
        steps=_numbers(steps),
        border=border,
        data_range=data_range,
        times=_times(times),
        sampler=sampler,
        seed=seed,
        resample=resample,
    )
    total = len(pairs) * (1 + len(evaluation.walked()))
    with _bar(MofNCompleteColumn(), TimeRemainingColumn()) as bar:
        measured = list(bar.track(evaluation.measurements(), total=total, description="measuring"))
    table = evaluation.write(out, measured)
    if json:
        _print_json(table)
    else:
        _print_table(table_rows(table))
        errors.print(f"report: {out / 'report.html'}")
    return 0


@app.command
def info(path: Path, /, *, json: Json = False) -> int:
    """Say what a run, a model or an image is.

    Args:
        path: a run folder, a model file or an image
    """
    from indi.info import info

    facts = info(path)
    if json:
        _print_json(facts)
    else:
        for name, value in facts.items():
            output.print(f"{name:>12}  {value}", markup=False)
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    logging.basicConfig(
        level=logging.WARNING,
        format="%(message)s",
        handlers=[RichHandler(console=errors, show_path=False, show_time=False, show_level=False)],
    )
    logging.getLogger("indi").setLevel(logging.INFO)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        code = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
        return code if isinstance(code, int) else 0
    except CycloptsError as error:
        _complain(f"{_one_line(error)}; see indi --help")
    except IndiError as error:
        _complain(error)
    except KeyboardInterrupt:
        errors.print("interrupted")
        return 130
    return 2


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _complain(error: object) -> None:
    errors.print(f"indi: {error}", markup=False, style="red")


def _one_line(error: CycloptsError) -> str:
    return " ".join(str(error).split()).removesuffix(".")


@contextmanager
def _bar(*columns: Any) -> Iterator[Progress]:
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        *columns,
        console=errors,
        transient=True,
    ) as bar:
        yield bar


def _steps(steps: str) -> str:
    return "degraded" if steps == "0" else f"{steps} step{'' if steps == '1' else 's'}"


def _times(times: str) -> str | list[float]:
    return [_number(part, float, "--times") for part in times.split(",")] if "," in times else times


def _numbers(steps: str) -> tuple[int, ...]:
    return tuple(_number(part, int, "--steps") for part in steps.split(","))


def _number(text: str, kind: type[_N], option: str) -> _N:
    try:
        return kind(text)
    except ValueError:
        raise ConfigError(f"{option}: {text!r} is not a number; give numbers with commas between") from None


def _print_json(values: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(values, indent=1, allow_nan=False) + "\n")


def _print_table(rows: Iterable[list[str]]) -> None:
    header, *body = rows
    table = Table(*header, box=None, pad_edge=False)
    for column in table.columns:
        column.justify = "right"
    for row in body:
        table.add_row(*row)
    output.print(table)


if __name__ == "__main__":
    sys.exit(main())
