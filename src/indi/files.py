"""Restore files and folders: what is read, what is written, and what failed."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from indi.errors import ConfigError, ImageError, IndiError
from indi.images import READABLE_SUFFIXES, Image, Metadata, find_images, from_unit, read, to_unit, write
from indi.restoration import Pixels, Restorer


@dataclass(frozen=True)
class Job:
    """One image to restore: where it is, and the file to write (samples add to its name)."""

    source: Path
    target: Path


@dataclass(frozen=True)
class Outcome:
    """What became of a job: the files written, or the error."""

    source: Path
    written: tuple[Path, ...] = ()
    error: IndiError | None = None


def plan(inputs: Sequence[str | Path], out: str | Path) -> list[Job]:
    """Return the jobs for files and folders: outputs keep the inputs' names.

    Args:
        inputs: Image files, or folders whose images are meant.
        out: A folder; or, with an image suffix and one input file, the file to write.

    Raises:
        ConfigError: Nothing to do, or two inputs would be written to one file.
        ImageError: A folder holds no image.
    """
    out = Path(out)
    sources: list[Path] = []
    for item in map(Path, inputs):
        sources += find_images(item) if item.is_dir() else [item]
    if not sources:
        raise ConfigError("nothing to restore; give image files or folders")
    if len(sources) == 1 and out.suffix.lower() in READABLE_SUFFIXES and not out.is_dir():
        return [Job(sources[0], out)]
    jobs = [Job(source, out / source.name) for source in sources]
    name, times = Counter(job.target.name for job in jobs).most_common(1)[0]
    if times > 1:
        raise ConfigError(
            f"{times} inputs are named {name} and would be written to one file; restore them apart"
        )
    return jobs


def restore_files(
    restorer: Restorer,
    jobs: Sequence[Job],
    *,
    steps: int | None = None,
    samples: int | None = None,
    seed: int = 0,
    times: str | Sequence[float] = "uniform",
    sampler: str = "euler",
) -> Iterator[Outcome]:
    """Restore file by file, and yield what became of each; a file that fails does not stop the rest.

    With ``samples`` each image gives NAME_s01, NAME_s02, …, their mean NAME_mean, and their standard
    deviation NAME_spread.tif in float32, on the scale where the type's range is 1. Alpha, colour
    profile and EXIF go over unchanged. An input is never overwritten.

    Raises:
        ConfigError: Steps, samples, times or sampler are not ones there are.
    """
    inputs = {job.source.resolve() for job in jobs}
    for job in jobs:
        try:
            if {path.resolve() for path in _targets(job, samples)} & inputs:
                raise ImageError(f"{job.target}: is an input and would be overwritten; choose another --out")
            image = read(job.source)
            restored = restorer.restore(
                image.pixels, steps=steps, samples=samples, seed=seed, times=times, sampler=sampler
            )
            results = [restored] if samples is None else [*restored, *_mean_and_spread(restored)]
            targets = _targets(job, samples)
            for target, pixels in zip(targets, results, strict=True):
                write(target, _like(image, pixels))
            yield Outcome(job.source, tuple(targets))
        except ConfigError:
            raise
        except IndiError as error:
            yield Outcome(job.source, error=error)


def _targets(job: Job, samples: int | None) -> list[Path]:
    if samples is None:
        return [job.target]
    stem, suffix = job.target.stem, job.target.suffix
    names = [*(f"{stem}_s{number:02d}{suffix}" for number in range(1, samples + 1)), f"{stem}_mean{suffix}"]
    return [job.target.with_name(name) for name in [*names, f"{stem}_spread.tif"]]


def _mean_and_spread(restored: Pixels) -> tuple[Pixels, Pixels]:
    values = to_unit(restored)
    spread = values.std(axis=0, dtype=np.float64).astype(np.float32)
    return from_unit(values.mean(axis=0, dtype=np.float64).astype(np.float32), restored.dtype), spread


def _like(image: Image, pixels: Pixels) -> Image:
    """Return the image with new pixels; a map of another type than the image drops what belongs to pictures."""
    if pixels.dtype == image.pixels.dtype:
        return replace(image, pixels=pixels)
    return Image(pixels, None, Metadata())
