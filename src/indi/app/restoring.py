"""One image, restored step by step, as a page shows it."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from indi.app.session import Session, safe_name
from indi.display import for_display, liveliest_window
from indi.errors import ConfigError
from indi.files import Job, Restoration
from indi.images import Image, read, to_unit, write
from indi.restoration import Pixels, Restorer

WORK = "restore"
MOST_PIXELS = 40_000_000  # of an upload, once enlarged
MOST_STEPS, MOST_SAMPLES = 50, 8
_CROP = 256  # side of what is shown of the walk, in pixels


@dataclass(frozen=True)
class Progress:
    """How far a restoration is.

    Attributes:
        share: Of the work that is done.
        note: What it is at, in words.
        before: The image as it was, in 8 bit.
        after: What became of it so far.
        walk: The liveliest part of it after each step of the first walk, with what it is.
        samples: The same part of each restoration.
        spread: How much they differ, 8 bit, brightest where most.
        files: What was written, at the end.
    """

    share: float
    note: str
    before: Pixels | None = None
    after: Pixels | None = None
    walk: tuple[tuple[Pixels, str], ...] = ()
    samples: tuple[tuple[Pixels, str], ...] = ()
    spread: Pixels | None = None
    files: tuple[Path, ...] = field(default=())


def restore(
    session: Session,
    upload: Path,
    model: str | None,
    *,
    steps: int,
    samples: int,
    enlarged: int,
    strength: float = 1.0,
    seed: int = 0,
) -> Iterator[Progress]:
    """Restore an uploaded image, and yield how far it is; stop where the visitor asks to.

    The results are written in the format and bit depth of the upload, into a new folder of the session.

    Raises:
        ConfigError, ImageError, ModelError, ShapeError: The file, the model or the options do not fit.
    """
    if not 1 <= steps <= MOST_STEPS or not 1 <= samples <= MOST_SAMPLES or enlarged not in (1, 2, 4):
        raise ConfigError(f"steps go from 1 to {MOST_STEPS}, samples from 1 to {MOST_SAMPLES}, enlarging to 4")
    session.begin(WORK)
    restorer = session.restorer(model)
    steps = 1 if restorer.method.one_step else steps
    asked = Restoration(steps, samples if samples > 1 else None, seed, enlarged=enlarged, strength=strength)
    how = asked.how(restorer)
    image = asked.enlarge(read(upload, max_pixels=MOST_PIXELS // enlarged**2))
    before = for_display(image.pixels)
    window = liveliest_window(before, _CROP)
    progress = Progress(0.0, "reading", before)
    restored: list[Pixels] = []
    for sample in range(samples):
        for number, state in enumerate(restorer.trajectory(image.pixels, how, seed=seed, sample=sample)):
            pixels = restorer.pixels(state.image, like=image.pixels)
            note = f"step {number} of {steps}" + (f", sample {sample + 1} of {samples}" if samples > 1 else "")
            progress = replace(progress, share=(sample + number / steps) / samples, note=note)
            if sample == 0:
                shown = for_display(pixels)
                crop = (shown[window], "degraded" if number == 0 else f"step {number}")
                progress = replace(progress, after=shown, walk=(*progress.walk, crop))
            yield progress
            if session.is_stopping(WORK):
                yield replace(progress, note=f"stopped at {note}")
                return
        restored.append(pixels)
    yield _finished(session, restorer, asked, upload, progress, image, restored, window)


def _finished(
    session: Session,
    restorer: Restorer,
    asked: Restoration,
    upload: Path,
    progress: Progress,
    image: Image,
    restored: list[Pixels],
    window: tuple[slice, slice],
) -> Progress:
    calibration = asked.calibration(restorer)
    pixels = restored[0] if asked.samples is None else np.stack(restored)
    results = asked.results(restorer, image, pixels, calibration)
    job = Job(upload, session.new_folder("restored") / safe_name(upload.name))
    files = asked.targets(job, calibration)
    for path, result in zip(files, results, strict=True):
        write(path, result)
    done = replace(progress, share=1.0, note="done", files=tuple(files))
    if asked.samples is None:
        return done
    spread = to_unit(pixels).std(axis=0)
    brightest = max(float(np.quantile(spread, 0.999)), 1e-6)
    return replace(
        done,
        after=for_display(results[asked.samples].pixels),
        samples=tuple((for_display(each)[window], f"sample {n}") for n, each in enumerate(restored, start=1)),
        spread=for_display((spread / brightest).clip(0, 1).astype(np.float32)),
    )
