"""Restore stacks, picture by picture, and pictures that memory does not hold, tile by tile.

What is done is kept in a hidden folder beside the result until all of it is there: the same command goes on after an
interruption, and a manifest says what was asked for, so that nothing is mixed.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from indi.boxes import Box, cores
from indi.canvas import Canvas
from indi.checkpoint import write_text
from indi.errors import ImageError, ShapeError
from indi.images import from_unit, to_unit
from indi.images.tiff import Page, split
from indi.images.tiff_stack import TiffStack, write_stack
from indi.images.tiff_write import Rows
from indi.restoration import Pixels, Restorer, Walk
from indi.uncertainty import MARGIN, Calibration, maps, names
from indi.version import __version__

MANIFEST = "manifest.json"
IN_MEMORY = 2**25  # values of a picture up to which it is restored as a whole
_BAND = 256  # rows that are worked on at a time where a picture is read through


def restore_stack(
    restorer: Restorer,
    source: Path,
    targets: Sequence[Path],
    how: Walk,
    *,
    samples: int | None,
    seed: int,
    calibration: Calibration | None = None,
    progress: Callable[[float], None] | None = None,
) -> None:
    """Restore every picture of a TIFF file, and write them as the stack they came from.

    Args:
        restorer: The restorer.
        source: The file.
        targets: The file to write; with ``samples`` one for each, then their maps (uncertainty.py): the mean, and the
            others in float32, on the scale where the type's range is 1.
        how: The walk.
        samples: How many restorations of each picture; None is one.
        seed: Of the noise, which differs from picture to picture.
        calibration: That fits these restorations.
        progress: Called with the share of the file that is done.

    Raises:
        ImageError: The file is damaged or cut short, a target is no TIFF, or the disk is full.
        ConfigError, ShapeError: As ``Restorer.restore``.
    """
    for target in targets:
        if target.suffix.lower() not in (".tif", ".tiff"):
            raise ImageError(f"{target}: a stack needs a TIFF file; end its name in .tif")
    work = targets[0].parent / f".{targets[0].name}.indi"
    with TiffStack(source) as stack:
        wanted = _manifest(restorer, source, how, samples=samples, seed=seed, calibration=calibration)
        _begin(work, wanted)
        for number in range(len(stack)):
            if not _file(work, number, 0).exists():
                tell = None if progress is None else partial(_tell, progress, number, len(stack))
                try:
                    _restore_picture(restorer, stack, number, work, how, samples, seed, calibration, tell)
                except (ImageError, ShapeError) as error:
                    raise ImageError(f"{source}: picture {number + 1} of {len(stack)}: {error}") from error
            if progress is not None:
                progress((number + 1) / len(stack))
        for place, target in enumerate(targets):
            dtype = np.float32 if samples is not None and place > samples else None  # a map, but the mean
            with ExitStack() as opened:
                write_stack(target, stack, partial(_rows, stack, work, place, dtype, opened), dtype=dtype)
    shutil.rmtree(work, ignore_errors=True)


def is_stack(path: Path) -> bool:
    """Return whether a file is a TIFF of several pictures, or of one too large for memory.

    A file that cannot be read is none: whoever reads it says why.
    """
    try:
        with path.open("rb") as file:
            if file.read(4) not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
                return False
        with TiffStack(path) as stack:
            header = stack.pages[0].header
            return len(stack) > 1 or header.height * header.width * header.channels > IN_MEMORY
    except (OSError, ImageError):
        return False


def _restore_picture(
    restorer: Restorer,
    stack: TiffStack,
    number: int,
    work: Path,
    how: Walk,
    samples: int | None,
    seed: int,
    calibration: Calibration | None,
    progress: Callable[[float], None] | None,
) -> None:
    """Restore one picture into the files of the work folder; the first of them comes last, as the mark that all are."""
    page = stack.pages[number]
    header = page.header
    shape = (header.channels, header.height, header.width)
    whole = Box(0, 0, header.height, header.width)

    def read(box: Box) -> Pixels:
        return split(stack.read(number, box), page)[0]

    with ExitStack() as opened:
        results = [
            opened.enter_context(Canvas(shape, header.dtype, _file(work, number, place, unfinished=True)))
            for place in range(samples or 1)
        ]
        if header.height * header.width * header.channels <= IN_MEMORY:
            restored = restorer.restore(
                read(whole),
                steps=how.steps,
                samples=samples,
                seed=seed,
                times=how.times,
                sampler=how.sampler,
                plane=number,
                progress=progress,
            )
            for canvas, image in zip(results, [restored] if samples is None else restored, strict=True):
                canvas.write(whole, _planes(image))
        else:
            for sample, canvas in enumerate(results):
                for share in restorer.sweep(
                    read,
                    (header.height, header.width),
                    how,
                    finished=lambda box, image, canvas=canvas: canvas.write(box, _planes(image)),  # type: ignore[misc]
                    folder=work,
                    seed=seed,
                    sample=sample,
                    plane=number,
                ):
                    if progress is not None:
                        progress((sample + share) / len(results))
        extra = [] if samples is None else names(calibration)
        others = [
            opened.enter_context(Canvas(shape, dtype, _file(work, number, place, unfinished=True)))
            for place, dtype in enumerate(
                [header.dtype, *[np.dtype("f4")] * (len(extra) - 1)][: len(extra)], len(results)
            )
        ]
        for box in cores(whole, _BAND) if extra else ():
            outer = box.grown(MARGIN, header.height, header.width)
            values = to_unit(np.stack([canvas.read(outer) for canvas in results]))
            found = maps(values, restorer.least_spread, calibration)
            for name, canvas in zip(extra, others, strict=True):
                part = np.broadcast_to(box.seen_from(outer).cut(found[name]), (shape[0], box.height, box.width))
                canvas.write(box, from_unit(part, header.dtype) if name == "mean" else part)
    for place in reversed(range(len(results) + len(extra))):
        _file(work, number, place, unfinished=True).replace(_file(work, number, place))


def _rows(
    stack: TiffStack, work: Path, place: int, dtype: type[np.float32] | None, opened: ExitStack, number: int
) -> Rows:
    """Return a restored picture by rows, with the alpha of the old one."""
    page = stack.pages[number]
    header = page.header
    canvas = opened.enter_context(
        Canvas((header.channels, header.height, header.width), dtype or header.dtype, _file(work, number, place))
    )

    def read(start: int, stop: int) -> Pixels:
        box = Box(start, 0, stop, header.width)
        values = np.moveaxis(canvas.read(box), 0, -1)
        return values if page.samples == header.channels else _with_alpha(values, stack.read(number, box), page)

    return Rows((header.height, header.width, page.samples), canvas.dtype, read)


def _with_alpha(values: Pixels, samples: Pixels, page: Page) -> Pixels:
    """Return the values with the alpha that stands among the old samples, in its place and in their type."""
    alpha = samples if values.dtype == samples.dtype else to_unit(samples)
    place = page.samples - len(page.extra) + next(index for index, kind in enumerate(page.extra) if kind)
    return np.insert(values, place, alpha[..., place], axis=2)


def _planes(image: Pixels) -> Pixels:
    return np.moveaxis(np.atleast_3d(image), -1, 0)


def _tell(progress: Callable[[float], None], number: int, count: int, share: float) -> None:
    progress((number + share) / count)


def _file(work: Path, number: int, place: int, *, unfinished: bool = False) -> Path:
    return work / f"{number:06d}-{place}{'.part' if unfinished else ''}"


def _manifest(
    restorer: Restorer, source: Path, how: Walk, *, samples: int | None, seed: int, calibration: Calibration | None
) -> dict[str, Any]:
    """Return all that decides the result."""
    status = source.stat()
    weights = hashlib.sha256()
    for name, tensor in restorer.weights().items():
        weights.update(name.encode() + tensor.float().cpu().numpy().tobytes())
    times = how.times if isinstance(how.times, str) else list(how.times)
    return {
        "indi": __version__,
        "source": {"name": source.name, "bytes": status.st_size, "changed": status.st_mtime_ns},
        "model": weights.hexdigest(),
        "precision": str(restorer.precision),
        "walk": {"steps": how.steps, "times": times, "sampler": how.sampler},
        "samples": samples,
        "seed": seed,
        "calibration": None if calibration is None else [calibration.factor, calibration.least],
    }


def _begin(work: Path, wanted: dict[str, Any]) -> None:
    """Keep what an interrupted restoration of the same kind has done; clear away that of another."""
    manifest = work / MANIFEST
    try:
        same = json.loads(manifest.read_text(encoding="utf-8")) == wanted
    except (OSError, ValueError):
        same = False
    if not same:
        shutil.rmtree(work, ignore_errors=True)
        write_text(manifest, json.dumps(wanted, indent=1) + "\n")
    for left in work.glob("*.part"):
        left.unlink()
