"""The command line: parse, call, print. Exit codes: 0 done, 1 our bug, 2 yours to mend, 130 interrupted."""

import io
import json as json_format
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

from cyclopts import App, CycloptsError, Parameter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from indi import training
from indi.checkpoint import STATE_FILE
from indi.config import Config
from indi.degradations import DEGRADATIONS
from indi.devices import Precision, set_threads
from indi.errors import ConfigError, IndiError
from indi.evaluation import STEPS, Evaluation, Measurement, find_test_pairs
from indi.files import Outcome, degrade_files, plan, restore_files
from indi.info import info as facts_about
from indi.info import shipped_models
from indi.methods import METHODS
from indi.networks.unet import SIZES
from indi.process import TIMES
from indi.report import steps_label, table_rows
from indi.restoration import DEFAULT_STEPS, DEFAULT_TILE, load
from indi.samplers import SAMPLERS
from indi.version import __version__

app = App(
    name="indi",
    help="Restore images by Inversion by Direct Iteration: train on pairs, restore any size, see what each step buys.",
    version=__version__,
    help_format="plaintext",
    suppress_keyboard_interrupt=False,
)
errors = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)

_N = TypeVar("_N", int, float)
_DEFAULTS = Config()
_TASKS = ", ".join(DEGRADATIONS)

Model = Annotated[str, Parameter(help="a run folder or a model file")]
Task = Annotated[str | None, Parameter(help=f"make the degraded images from the clean ones: {_TASKS}")]
Times = Annotated[str, Parameter(help=f"{', '.join(TIMES)}, or the times in place of steps, such as 1,0.5,0.2,0")]
Sampler = Annotated[str, Parameter(help=", ".join(SAMPLERS))]
Seed = Annotated[int, Parameter(help="of everything random")]
Tile = Annotated[int, Parameter(help="side of a tile in pixels: less needs less memory, the result is the same")]
Convolutions = Annotated[Precision, Parameter(help="of the convolutions; auto: bfloat16 where the hardware has it")]
Device = Annotated[str, Parameter(help="auto, cpu, cuda or mps")]
Threads = Annotated[int | None, Parameter(help="CPU threads; by default as many as there are cores")]
Json = Annotated[bool, Parameter(help="print one JSON object and nothing else", negative="")]


@app.command
def train(
    *,
    run: Path,
    clean: Path | None = None,
    degraded: Path | None = None,
    task: Task = None,
    minutes: float | None = None,
    iterations: int | None = None,
    method: Annotated[str | None, Parameter(help=f"{', '.join(METHODS)}; by default {_DEFAULTS.method.name}")] = None,
    size: Annotated[str | None, Parameter(help=f"{', '.join(SIZES)}; by default {_DEFAULTS.network.size}")] = None,
    epsilon: Annotated[
        float | None,
        Parameter(help=f"strength of the noise, in intensities of [0, 1]; by default {_DEFAULTS.method.epsilon}"),
    ] = None,
    resample: Annotated[bool, Parameter(negative="")] = False,
    config: Path | None = None,
    from_: Annotated[str | None, Parameter(name="--from")] = None,
    seed: Annotated[int | None, Parameter(help=f"of everything random; by default {_DEFAULTS.training.seed}")] = None,
    checkpoint_every: Annotated[
        int | None,
        Parameter(help=f"iterations between checkpoints; by default {_DEFAULTS.training.checkpoint_every}"),
    ] = None,
    resume: Annotated[bool, Parameter(negative="")] = False,
    precision: Annotated[
        Precision | None, Parameter(help=f"of the convolutions; by default {_DEFAULTS.training.precision}")
    ] = None,
    device: Device = "auto",
    threads: Threads = None,
) -> int:
    """Train a restorer on pairs of clean and degraded images.

    The run folder gets the model, ready to use, a log, preview pictures, and what --resume needs.
    Ctrl-C finishes the iteration and saves.

    Args:
        run: the run folder; made if it is not there
        clean: folder of clean images
        degraded: folder of degraded images, with the names of the clean ones
        minutes: budget in minutes of training
        iterations: budget in iterations, instead of minutes
        resample: bring degraded images of a lower size to the clean grid
        config: more settings, a TOML or JSON file; the options go over it
        from_: a run folder or a model file whose weights to start from
        resume: go on from the last checkpoint, with the run's settings
    """
    set_threads(threads)
    records = training.train(
        run=run,
        clean=clean,
        degraded=degraded,
        task=task,
        minutes=minutes,
        iterations=iterations,
        method=method,
        size=size,
        epsilon=epsilon,
        resample=resample,
        config=config,
        start=from_,
        seed=seed,
        checkpoint_every=checkpoint_every,
        resume=resume,
        precision=precision,
        device=device,
    )
    last: training.Record | None = None
    interrupted = False

    def stop(number: int, frame: object) -> None:
        # An iteration that is cut in two could not be resumed exactly, so the first interrupt waits for its end.
        nonlocal interrupted
        if interrupted:
            raise KeyboardInterrupt
        interrupted = True
        bar.update(shown, note="stopping after this iteration; interrupt again to stop at once")

    try:
        with (
            _bar(TextColumn("{task.fields[note]}"), TimeRemainingColumn()) as bar,
            closing(records),
        ):
            shown = bar.add_task("training", total=None, note="reading images")
            with _on_signals(stop, signal.SIGINT, signal.SIGTERM):
                for last in records:
                    bar.update(shown, total=1.0, completed=last.progress, note=_note(last))
                    if last.psnr is not None:
                        psnr = ", ".join(f"{steps_label(int(n))} {value:.2f} dB" for n, value in last.psnr.items())
                        _say(f"iteration {last.iteration}: loss {last.loss:.4f}; preview PSNR: {psnr}")
                    if interrupted:
                        break
    except KeyboardInterrupt:
        interrupted = True
    if interrupted:
        saved = f"saved in {run}: go on with indi train --run {run} --resume"
        _say(f"interrupted; {saved if (run / STATE_FILE).exists() else 'there was nothing to save yet'}")
        return 130
    if last is None:
        _say(f"{run}: its budget is spent; give a larger one with --minutes or --iterations to go on")
    else:
        spent = f"{last.iteration} iterations in {last.seconds / 60:.1f} min, {last.skipped} skipped"
        _say(f"{spent}; see {run / training.PREVIEWS}")
        if last.psnr is not None and max(last.psnr.values()) == last.psnr["0"]:
            _say("warning: previews are no closer to clean than before; are the folders swapped, or was it too short?")
    _say(f"now try: indi restore IMAGE --model {run}")
    return 0


@app.command
def restore(
    *inputs: Path,
    model: Model,
    out: Path = Path("restored"),
    steps: Annotated[
        int | None,
        Parameter(
            help=f"1 for the least error, more for sharper images; by default {DEFAULT_STEPS}, for a regression 1"
        ),
    ] = None,
    samples: int | None = None,
    seed: Seed = 0,
    tile: Tile = DEFAULT_TILE,
    precision: Convolutions = "auto",
    times: Times = "uniform",
    sampler: Sampler = "euler",
    device: Device = "auto",
    threads: Threads = None,
) -> int:
    """Restore images of any size: files, or folders of them.

    Args:
        inputs: image files or folders
        out: a folder; with an image suffix and one input, the file
        samples: restore each image so many times, and write their mean and spread too
    """
    set_threads(threads)
    jobs = plan(inputs, out)
    restorer = load(model, device=device, precision=precision, tile=tile)

    def work(progress: Callable[[float], None]) -> Iterator[Outcome]:
        return restore_files(
            restorer,
            jobs,
            steps=steps,
            samples=samples,
            seed=seed,
            times=_times(times),
            sampler=sampler,
            progress=progress,
        )

    return _follow(work, len(jobs), "restored", out)


@app.command
def degrade(
    *inputs: Path,
    task: Annotated[str, Parameter(help=_TASKS)],
    out: Path = Path("degraded"),
    seed: Seed = 0,
    threads: Threads = None,
) -> int:
    """Degrade clean images in a task's fixed form, as evaluations do: a file's name and the seed decide the noise.

    Args:
        inputs: image files or folders
        out: a folder; with an image suffix and one input, the file
    """
    set_threads(threads)
    jobs = plan(inputs, out)
    return _follow(lambda progress: degrade_files(jobs, task=task, seed=seed), len(jobs), "degraded", out)


@app.command
def evaluate(
    *,
    model: Model,
    clean: Path | None = None,
    degraded: Path | None = None,
    task: Task = None,
    steps: str = ",".join(map(str, STEPS)),
    border: int = 0,
    data_range: float | None = None,
    out: Path = Path("evaluation"),
    resample: Annotated[bool, Parameter(negative="")] = False,
    seed: Seed = 0,
    tile: Tile = DEFAULT_TILE,
    precision: Convolutions = "auto",
    times: Times = "uniform",
    sampler: Sampler = "euler",
    perceptual: Annotated[bool, Parameter(negative="")] = False,
    device: Device = "auto",
    threads: Threads = None,
    json: Json = False,
) -> int:
    """Measure what each number of steps buys, on pairs the model has not seen.

    Writes metrics.json, curve.png and report.html.

    Args:
        clean: folder of clean images; without any folder, the pairs that the run kept from training
        degraded: folder of degraded images, with the names of the clean ones
        steps: numbers of steps to compare, with commas
        border: pixels left out on each side
        data_range: peak of PSNR and SSIM; the type's range by default, 1 for floats
        out: folder for the report
        resample: bring degraded images of a lower size to the clean grid
        perceptual: LPIPS, DISTS, FID and KID too; needs indi[perceptual], fetches weights at its first use
    """
    set_threads(threads)
    restorer = load(model, device=device, precision=precision, tile=tile)
    found = find_test_pairs(
        model, clean=clean, degraded=degraded, task=task, channels=restorer.card.channels, resample=resample
    )
    evaluation = Evaluation(
        restorer,
        *found,
        steps=_numbers(steps),
        border=border,
        data_range=data_range,
        times=_times(times),
        sampler=sampler,
        seed=seed,
        perceptual=perceptual,
    )
    total = len(found.pairs) * (1 + len(evaluation.walked()))
    with _bar(MofNCompleteColumn(), TimeRemainingColumn()) as bar:
        measured: list[Measurement] = []
        for measurement in bar.track(evaluation.measurements(), total=total, description="measuring"):
            if not measured:
                out.mkdir(parents=True, exist_ok=True)  # what cannot be written is said now, not after hours
            measured.append(measurement)
    table = evaluation.write(out, measured)
    if json:
        _print_json(table)
    else:
        _print_table(table_rows(table))
        _say(f"mean over {table['settings']['images']} images; report: {out / 'report.html'}")
    return 0


@app.command
def models(*, json: Json = False) -> int:
    """List the models that come with the package."""
    shipped = shipped_models()
    if json:
        _print_json({"models": shipped})
    elif not shipped:
        print("no models come with this version; train one with indi train")
    else:
        _print_table([list(shipped[0]), *([str(value) for value in model.values()] for model in shipped)])
    return 0


@app.command
def info(path: Path, /, *, json: Json = False) -> int:
    """Say what a run, a model or an image is.

    Args:
        path: a run folder, a model file or an image
    """
    facts = facts_about(path)
    if json:
        _print_json(facts)
    else:
        lines = dict(_flat(facts))
        for name, value in lines.items():
            print(f"{name:>{max(map(len, lines))}}  {_printable(str(value))}")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file name may hold what the terminal cannot show
    log = logging.getLogger("indi")
    log.setLevel(logging.INFO)
    log.handlers = [_Lines()]
    try:
        with _on_signals(_interrupt, signal.SIGTERM):
            code = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
            sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except CycloptsError as error:
        command = " ".join(["indi", *(error.command_chain or [])])
        _complain(f"{' '.join(str(error).split()).removesuffix('.')}; see {command} --help")
    except IndiError as error:
        _complain(error)
    except BrokenPipeError:  # whoever read our output has seen enough, as head does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        _complain(
            f"{error.filename or 'the system'}: {error.strerror or error}; choose another place, or mend this one"
        )
    except KeyboardInterrupt:
        _say("interrupted")
        return 130
    return 2


class _Lines(logging.Handler):
    """Writes each log record as a line to stderr, above a progress bar if there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        _say(record.getMessage())


@contextmanager
def _on_signals(act: Callable[[int, object], None], *numbers: signal.Signals) -> Iterator[None]:
    before = {number: signal.signal(number, act) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _follow(work: Callable[[Callable[[float], None]], Iterator[Outcome]], total: int, done: str, out: Path) -> int:
    """Work through files; say what failed and how many did not; return the exit code."""
    failed = 0
    with _bar(MofNCompleteColumn(), TimeRemainingColumn()) as bar:
        shown = bar.add_task("images", total=total)
        outcomes = work(lambda share: bar.update(shown, completed=finished + share))
        finished = 0
        for finished, outcome in enumerate(outcomes, start=1):
            bar.update(shown, completed=finished)
            if outcome.error is not None:
                failed += 1
                _complain(outcome.error)
    _say(f"{total - failed} of {total} {done}: see {out}")
    return 2 if failed else 0


def _say(text: str) -> None:
    errors.print(_printable(text))


def _complain(error: object) -> None:
    errors.print(Text(_printable(f"indi: {error}"), style="red"))


def _printable(text: str) -> str:
    """Return the text on one line; what a file name may hold to play with the terminal is spelt out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _bar(*columns: Any) -> Progress:
    parts = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), *columns)
    return Progress(*parts, console=errors, transient=True, disable=not errors.is_terminal)


def _note(record: training.Record) -> str:
    return f"loss {record.loss:.4f}  {record.crops_per_second:.0f} crops/s  iteration {record.iteration}"


def _times(times: str) -> str | list[float]:
    return [_number(part, float, "--times") for part in times.split(",")] if "," in times else times


def _numbers(steps: str) -> tuple[int, ...]:
    return tuple(_number(part, int, "--steps") for part in steps.split(","))


def _number(text: str, kind: type[_N], option: str) -> _N:
    try:
        return kind(text)
    except ValueError:
        raise ConfigError(f"{option}: {text!r} is not a number; give numbers with commas between") from None


def _flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield the leaves of a tree with dotted names."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _print_json(values: dict[str, Any]) -> None:
    print(json_format.dumps(values, indent=1, allow_nan=False))


def _print_table(rows: Iterable[Sequence[str]]) -> None:
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)))


if __name__ == "__main__":
    sys.exit(main())
