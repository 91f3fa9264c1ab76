"""Commands that make images: restore, degrade."""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.progress import MofNCompleteColumn, TimeRemainingColumn

from indi.cli.app import app
from indi.cli.options import (
    TASKS,
    WHOLE,
    Convolutions,
    Device,
    Inputs,
    Overwrite,
    Realism,
    Recursive,
    Sampler,
    Seed,
    Strength,
    Threads,
    Tile,
    Times,
    times_of,
)
from indi.cli.terminal import bar_of, complain, printable, say
from indi.config import DEFAULT_TILE
from indi.devices import set_threads
from indi.errors import IndiError
from indi.process import DEFAULT_STEPS

if TYPE_CHECKING:
    from indi.restoration.batch import Job, Outcome

    Work = Callable[[Callable[[float], None]], Iterator[Outcome]]  # tells the share of the image at hand


@app.command
def restore(
    *inputs: Inputs,
    model: Annotated[
        str | None,
        Parameter(
            help="a pretrained model (see indi models), a run folder or a model file; by default photo for photographs "
            "of 8 bit, super-resolve-4x with --enlarge 4"
        ),
    ] = None,
    out: Path = Path("restored"),
    steps: Annotated[
        int | None,
        WHOLE,
        Parameter(
            help=f"1: least error; more: sharper images; by default {DEFAULT_STEPS}, or what the model is best with. "
            "A model that draws, such as photo, needs 1, which is its default; more are as many draws, and its dial is "
            "--realism"
        ),
    ] = None,
    realism: Realism = None,
    samples: Annotated[int | None, WHOLE] = None,
    enlarge: Annotated[
        int, WHOLE, Parameter(help="enlarge so many times first, as super-resolve-4x expects of small images")
    ] = 1,
    seed: Seed = 0,
    tile: Tile = DEFAULT_TILE,
    precision: Convolutions = "auto",
    times: Times = "uniform",
    sampler: Sampler = None,
    strength: Strength = 1.0,
    axes: str | None = None,
    noise_along: str | None = None,
    mask: Annotated[
        Path | None,
        Parameter(
            help="an image of the inputs' height and width, or a folder of such with their names: where it is not 0 "
            "the input stays as it is"
        ),
    ] = None,
    quality: Annotated[int | None, WHOLE] = None,
    recursive: Recursive = False,
    overwrite: Overwrite = False,
    scheduler: str | None = None,
    device: Device = "auto",
    threads: Threads = None,
) -> int:
    """Restore images of any size: files, or folders of them.

    Args:
        inputs: image files or folders
        out: a folder; with an image suffix and one input, the file
        samples: restore each image so many times, and from 2 on write their mean and maps too, such as their spread
        axes: of stacks, such as ZCYX, where the files do not know them or are wrong
        noise_along: the axis of stacks, such as Z, along which planes share their noise, against flicker
        quality: of JPEG files, 1 to 100; by default about that of the input, 95 where it is no JPEG file
        scheduler: address of a Dask scheduler, such as tcp://node1:8786: its workers restore, and see the same files
    """
    from indi.models.pretrained import pretrained_file, pretrained_names
    from indi.process.sampling import Sampling
    from indi.restoration.batch import restore_files
    from indi.restoration.cluster import Worker, restore_on_cluster
    from indi.restoration.outputs import Restoration
    from indi.restoration.restorer import load

    set_threads(threads)
    jobs = _planned(inputs, out, recursive, mask)
    is_asked_for = model is not None
    if model is None:
        model, why = _fitting(jobs, enlarge)
        say(f"model: {model}, {why}; others by --model: {', '.join(pretrained_names())}")
    sampling = Sampling(
        steps=steps,
        samples=samples,
        seed=seed,
        times=times_of(times),
        sampler=sampler,
        strength=strength,
        realism=realism,
        noise_along=noise_along,
    )
    asked = Restoration(sampling, enlarge, axes, quality, overwrite)
    if samples == 1:
        say("1 sample has no mean and no spread: it is written alone; use --samples 2 or more for maps")
    if scheduler is not None:
        worker = Worker(model, device, precision, tile, threads)
        return _restored(lambda _: restore_on_cluster(scheduler, worker, jobs, asked), jobs, out)
    restorer = load(model if is_asked_for else pretrained_file(model), device=device, precision=precision, tile=tile)
    if restorer.card.task == "super-resolve-4x" and enlarge == 1:
        say("super-resolve-4x restores images that were enlarged already; add --enlarge 4 to have it done")

    def work(progress: Callable[[float], None]) -> "Iterator[Outcome]":
        return restore_files(restorer, jobs, asked, progress=progress)

    return _restored(work, jobs, out)


@app.command
def degrade(
    *inputs: Inputs,
    task: Annotated[str, Parameter(help=", ".join(TASKS))],
    out: Path = Path("degraded"),
    seed: Seed = 0,
    recursive: Recursive = False,
    overwrite: Overwrite = False,
    threads: Threads = None,
) -> int:
    """Degrade clean images in a task's fixed form, as evaluations do: a file's name and the seed decide the noise.

    Args:
        inputs: image files or folders
        out: a folder; with an image suffix and one input, the file
    """
    from indi.restoration.batch import degrade_files

    set_threads(threads)
    jobs = _planned(inputs, out, recursive)
    return follow(
        lambda progress: degrade_files(jobs, task=task, seed=seed, overwrite=overwrite), jobs, "degraded", out
    )


def _planned(inputs: Sequence[Path], out: Path, recursive: bool, mask: Path | None = None) -> "list[Job]":
    """Return the jobs; what cannot be written is said now, not after hours."""
    from indi.io.atomic import check_place
    from indi.restoration.batch import plan

    jobs = plan(inputs, out, recursive=recursive, mask=mask)
    for folder in dict.fromkeys(job.target.parent for job in jobs if job.error is None):
        check_place(folder)
    return jobs


def _fitting(jobs: "Sequence[Job]", enlarged: int) -> tuple[str, str]:
    """Return the model for what is there, and why; where nothing is, the first word is on that."""
    from indi.models.pretrained import fitting_model

    files = [job.source for job in jobs if job.error is None]
    if not files and jobs[0].error is not None:
        raise jobs[0].error
    return fitting_model(files, enlarged=enlarged)


@lru_cache(maxsize=1)
def _labelled(source: Path) -> str:
    """Return what an image is called while it is worked on, with its size."""
    from indi.io import read_headers

    try:
        headers = read_headers(source)
    except IndiError:
        return printable(source.name)
    pixels = sum(header.height * header.width for header in headers)
    return printable(f"{source.name}, {pixels / 1e6:.1f} megapixels")


def _restored(work: "Work", jobs: "Sequence[Job]", out: Path) -> int:
    try:
        return follow(work, jobs, "restored", out)
    except KeyboardInterrupt:
        if len(jobs) > 1:
            say("what is restored is kept; the same command goes on from there")
        raise


def follow(work: "Work", jobs: "Sequence[Job]", done: str, out: Path) -> int:
    """Work through files; say what failed and how many did not; return the exit code."""
    failed = kept = 0
    total = len(jobs)
    with bar_of(MofNCompleteColumn(), TimeRemainingColumn()) as bar:
        shown = bar.add_task("images", total=total)

        def tell(share: float) -> None:
            """Say how far the image at hand is, which is the next to be finished."""
            bar.update(shown, completed=finished + share, description=_labelled(jobs[finished].source))

        finished = 0
        outcomes = work(tell)
        for finished, outcome in enumerate(outcomes, start=1):
            bar.update(shown, completed=finished)
            kept += outcome.kept
            if outcome.error is not None:
                failed += 1
                complain(outcome.error)
    already = f", {kept} of them by an earlier command" if kept else ""
    where = out if out.exists() else out.parent  # samples of one image have names of their own
    say(f"{total - failed} of {total} {done}{already}{f': see {where}' if failed < total else ''}")
    return 2 if failed else 0
