"""The command that trains."""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.progress import TextColumn, TimeRemainingColumn

from indi.cli.app import app
from indi.cli.options import (
    WHOLE,
    Device,
    Epsilon,
    SettingOfPrecision,
    SettingOfSeed,
    Size,
    Task,
    Threads,
    explained,
)
from indi.cli.terminal import STOPPING, bar_of, patience, say
from indi.config import DataSettings, MethodSettings, TrainingSettings
from indi.devices import set_threads

if TYPE_CHECKING:
    from indi.training import Record


@app.command
def train(
    *,
    run: Path,
    clean: Path | None = None,
    degraded: Path | None = None,
    task: Task = None,
    minutes: float | None = None,
    iterations: Annotated[int | None, WHOLE] = None,
    method: Annotated[str | None, Parameter(help=explained(MethodSettings, "name"))] = None,
    size: Size = None,
    epsilon: Epsilon = None,
    neighbours: Annotated[int | None, WHOLE, Parameter(help=explained(DataSettings, "neighbours"))] = None,
    resample: Annotated[bool, Parameter(negative="")] = False,
    config: Path | None = None,
    from_: Annotated[
        str | None,
        Parameter(
            name="--from",
            help="a pretrained model, a run folder or a model file whose weights to start from; method, network and "
            "channels are then as there unless asked otherwise",
        ),
    ] = None,
    seed: SettingOfSeed = None,
    checkpoint_every: Annotated[
        int | None, WHOLE, Parameter(help=explained(TrainingSettings, "checkpoint_every"))
    ] = None,
    resume: Annotated[bool, Parameter(negative="")] = False,
    precision: SettingOfPrecision = None,
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
        config: more settings: a TOML or JSON file, or a recipe by name, such as denoise; the options go over it
        resume: go on from the last checkpoint, with the run's settings
    """
    from indi.models.checkpoint import MODEL_FILE, STATE_FILE, read_card
    from indi.models.pretrained import pretrained_names
    from indi.models.runs import PREVIEWS
    from indi.training import run as training
    from indi.training.distributed import agreed, speaks

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
        neighbours=neighbours,
        resample=resample or None,
        config=config,
        start=from_,
        seed=seed,
        checkpoint_every=checkpoint_every,
        resume=resume,
        precision=precision,
        device=device,
    )
    last: Record | None = None
    with (
        bar_of(TextColumn("{task.fields[note]}"), TimeRemainingColumn()) as bar,
        closing(records),
        # An iteration that is cut in two could not be resumed exactly, so the first interrupt waits for its end.
        patience(lambda: bar.update(shown, note=f"{STOPPING}; interrupt again to stop at once")) as interrupted,
    ):
        shown = bar.add_task("training", total=None, note="reading images")
        stopped = False
        for last in records:
            bar.update(shown, total=1.0, completed=last.progress, note=_note(last))
            if last.psnr is not None:
                psnr = ", ".join(f"{_called(way)} {value:.2f} dB" for way, value in last.psnr.items())
                say(f"iteration {last.iteration}: loss {last.loss:.4f}; preview PSNR: {psnr}")
            if stopped := agreed(interrupted.is_set()):
                break
    if not speaks():
        return 130 if stopped else 0
    if stopped or interrupted.is_set():
        saved = f"saved in {run}: go on with indi train --run {run} --resume"
        say(f"interrupted; {saved if (run / STATE_FILE).exists() else 'there was nothing to save yet'}")
        return 130
    if last is None:
        say(f"{run}: its budget is spent; give a larger one with --minutes or --iterations to go on")
    else:
        spent = f"{last.iteration} iterations in {last.seconds / 60:.1f} min, {last.skipped} skipped"
        say(f"{spent}; see {run / PREVIEWS}")
        if last.psnr is not None and max(last.psnr.values()) == last.psnr["0"]:
            say("warning: previews are no closer to clean than before; are the folders swapped, or was it too short?")
    sees_stacks = (run / MODEL_FILE).is_file() and read_card(run / MODEL_FILE).neighbours
    what = "STACK" if sees_stacks else "IMAGE"
    say(f"now try: indi restore {what} --model {f'./{run}' if str(run) in pretrained_names() else run}")
    return 0


def _called(way: str) -> str:
    from indi.report import steps_label

    return steps_label(int(way)) if way.isdecimal() else way


def _note(record: "Record") -> str:
    return f"loss {record.loss:.4f}  {record.crops_per_second:.0f} crops/s  iteration {record.iteration}"
