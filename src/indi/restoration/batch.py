"""Restore or degrade files and folders: what is read, what is written, and what failed."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from indi.degradations import degradation, seed_for
from indi.errors import ConfigError, DeviceError, ImageError, IndiError
from indi.io import Image, from_unit, read, to_unit, write
from indi.io.files import check_format
from indi.io.manifest import Manifest
from indi.io.stacks import is_stack
from indi.restoration import stacks
from indi.restoration.inputs import Job, plan
from indi.restoration.intensities import subject
from indi.restoration.outputs import Restoration
from indi.restoration.restorer import Restorer
from indi.restoration.stacks import restore_stack
from indi.restoration.tiling import is_out_of_memory
from indi.restoration.uncertainty import Calibration
from indi.version import __version__

__all__ = ["Job", "Outcome", "clashes", "degrade_files", "plan", "restore_files"]


@dataclass(frozen=True)
class Outcome:
    """What became of a job: the files written, or the error.

    Attributes:
        source: The input.
        written: The files; with ``kept`` those that an earlier command has written, the same.
        error: Why there are none.
        kept: Nothing was left to do.
    """

    source: Path
    written: tuple[Path, ...] = ()
    error: IndiError | None = None
    kept: bool = False


def restore_files(
    restorer: Restorer,
    jobs: Sequence[Job],
    asked: Restoration | None = None,
    *,
    progress: Callable[[float], None] | None = None,
    is_noted: bool = True,
) -> Iterator[Outcome]:
    """Restore file by file, and yield what became of each; a file that fails does not stop the rest.

    A TIFF of several pictures is restored picture by picture (stacks.py). An input is never overwritten, nor, unless
    that is asked for, a file that no such command made. Of several files, those that an earlier command has restored in
    just this way are kept (manifest.py).

    Args:
        restorer: The restorer.
        jobs: What to restore.
        asked: How, and what is written.
        progress: Called tile by tile with the share of the image at hand that is done.
        is_noted: Note in the folders of the results what is made; False where somebody else does.

    Raises:
        ConfigError: The model cannot sample so.
    """
    asked = asked or Restoration()
    asked = replace(asked, sampling=restorer.resolve(asked.sampling))
    calibration = restorer.calibration_for(asked.sampling)
    return _work(
        jobs,
        lambda job: asked.targets(job, calibration),
        lambda image, job: asked.images(restorer, image, job, calibration, progress),
        lambda job, note: restore_stack(
            restorer, asked.stack(job, restorer, calibration), progress=progress, before_writing=note
        ),
        asked.manifest(restorer, calibration, jobs) if is_noted else None,
        overwrite=asked.overwrite,
    )


def clashes(jobs: Sequence[Job], asked: Restoration, calibration: Calibration | None) -> dict[Job, ImageError]:
    """Return the jobs that would write over an input or over each other's files, with what is to be said."""
    inputs, folders = _inputs(jobs)
    taken: set[Path] = set()
    found: dict[Job, ImageError] = {}
    for job in jobs:
        for path in [] if job.error else asked.targets(job, calibration):
            if _identity(path) in inputs or path in taken or _touches(path, folders):
                message = f"{path}: is an input or is written for another; choose another --out"
                found.setdefault(job, ImageError(message))
            taken.add(path)
    return found


def degrade_files(jobs: Sequence[Job], *, task: str, seed: int = 0, overwrite: bool = False) -> Iterator[Outcome]:
    """Degrade file by file in the task's fixed form, and yield what became of each, as ``restore_files``.

    Each file is degraded as in an evaluation: what is drawn depends on the seed and on the file's name
    without suffix alone. Integers are then clipped and rounded to their type; alpha, profile and EXIF stay.

    Raises:
        ConfigError: There is no such task.
    """
    degrade = degradation(task).test

    def degraded(image: Image, job: Job) -> list[Image]:
        generator = torch.Generator().manual_seed(seed_for(job.source.stem, seed))
        planes = torch.from_numpy(np.moveaxis(np.atleast_3d(to_unit(image.pixels)), -1, 0).copy())
        values = np.moveaxis(degrade(planes, generator).numpy(), 0, -1)
        metadata = replace(image.metadata, quality=None)  # a degraded image is to show its degradation alone
        pixels = from_unit(values.reshape(image.pixels.shape), image.pixels.dtype)
        return [replace(image, pixels=pixels, metadata=metadata)]

    manifest = Manifest({"indi": __version__, "task": task, "seed": seed})
    return _work(jobs, lambda job: [job.target], degraded, manifest=manifest, overwrite=overwrite)


def _work(
    jobs: Sequence[Job],
    targets: Callable[[Job], list[Path]],
    make: Callable[[Image, Job], list[Image]],
    make_stack: Callable[[Job, Callable[[], None]], None] | None = None,
    manifest: Manifest | None = None,
    *,
    overwrite: bool,
) -> Iterator[Outcome]:
    """Read, make and write, job by job; no file that was an input, or was just written, is written over."""
    taken, folders = _inputs(jobs)
    for job in jobs:
        try:
            if job.error is not None:
                raise job.error
            paths = targets(job)
            for path in paths:
                if _identity(path) in taken or _touches(path, folders):
                    raise ImageError(f"{path}: is an input or was just written for another; choose another --out")
            kept = manifest is not None and len(jobs) > 1 and manifest.has(job.source, paths)
            if manifest is not None and not kept and not overwrite:
                manifest.check(job.source, paths)
            if not kept:
                with subject(str(job.source)):
                    _make(job, paths, make, make_stack, manifest)
            taken.update(_identity(path) for path in paths)
            if manifest is not None and not kept:
                manifest.add(job.source, paths)
        except ConfigError:
            raise
        except IndiError as error:
            yield Outcome(job.source, error=error)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            advice = "cut the image, or free memory"
            yield Outcome(job.source, error=DeviceError(f"{job.source}: does not fit in memory; {advice}"))
        else:
            yield Outcome(job.source, tuple(paths), kept=kept)


def _make(
    job: Job,
    paths: Sequence[Path],
    make: Callable[[Image, Job], list[Image]],
    make_stack: Callable[[Job, Callable[[], None]], None] | None,
    manifest: Manifest | None,
) -> None:
    """Read, make and write one file; what would be refused in the end is refused before the work."""

    def note() -> None:
        if manifest is not None:
            manifest.begin(job.source, paths)

    if make_stack is not None and is_stack(job.source, stacks.IN_MEMORY):
        make_stack(job, note)
        return
    image = read(job.source)
    check_format(paths[0], image)
    with _named(job.source):
        made = make(image, job)
    note()
    for path, result in zip(paths, made, strict=True):
        write(path, result)


@contextmanager
def _named(source: Path) -> Iterator[None]:
    """Put the file's name before what its pixels are refused for; a wrong option is not about one file."""
    try:
        yield
    except ConfigError:
        raise
    except IndiError as error:
        raise ImageError(f"{source}: {error}") from error


def _inputs(jobs: Sequence[Job]) -> tuple[set[tuple[int, int] | None], list[Path]]:
    """Return what tells the inputs and their masks apart, and the inputs that are folders."""
    read = [path for job in jobs for path in (job.source, job.mask) if path is not None]
    identities: set[tuple[int, int] | None] = {_identity(path) for path in read}
    return identities - {None}, [job.source.resolve() for job in jobs if job.source.is_dir()]


def _touches(path: Path, folders: Sequence[Path]) -> bool:
    """Return whether a place is one of the folders, within one, or around one."""
    place = path.resolve()
    return any(place.is_relative_to(folder) or folder.is_relative_to(place) for folder in folders)


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what tells a file apart whatever its name, through links and on disks that ignore case."""
    try:
        status = path.stat()
    except OSError:  # not there, so nothing to lose
        return None
    return status.st_dev, status.st_ino
