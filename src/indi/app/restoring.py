"""One image, restored step by step or drawn at once, as a page shows it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow

from indi.app.reading import LIMIT, READERS
from indi.app.session import Session, Task, safe_name
from indi.errors import ConfigError
from indi.io import Image, orientation, read, read_header, span_of, write
from indi.io.display import for_display
from indi.io.pixel_size import pixel_size
from indi.io.region import Region
from indi.process.samplers import State
from indi.process.sampling import Sampling
from indi.report.display import liveliest_window
from indi.restoration.batch import Job
from indi.restoration.outputs import Restoration, parted
from indi.restoration.restorer import Pixels, Restorer
from indi.restoration.tiling import part_of

MOST_PIXELS = 40_000_000  # of an upload, once enlarged
MOST_TOGETHER = 100_000_000  # pixels of all samples
MOST_STEPS, MOST_SAMPLES = 50, 8
_CROP = 256  # side of what is shown of the steps, in pixels
_EVERY = 0.3  # seconds between two words on how far it is

Shown = tuple[Path, str]  # a picture with its caption

_TURNS = {  # by the orientation that a camera notes (CIPA DC-008), what shows its pixels upright
    2: Pillow.Transpose.FLIP_LEFT_RIGHT,
    3: Pillow.Transpose.ROTATE_180,
    4: Pillow.Transpose.FLIP_TOP_BOTTOM,
    5: Pillow.Transpose.TRANSPOSE,
    6: Pillow.Transpose.ROTATE_270,
    7: Pillow.Transpose.TRANSVERSE,
    8: Pillow.Transpose.ROTATE_90,
}
_LYING = 5  # the first orientation by which height and width change places


@dataclass(frozen=True)
class Progress:
    """How far a restoration is. Pictures are PNG files in 8 bit, each written once.

    Attributes:
        share: Of the work that is done.
        note: What it is at, in words.
        before: The image as it was.
        after: What became of it, at the end.
        steps: The liveliest part of it after each step of the first sample; empty of a model that draws.
        samples: The same part of each restoration.
        spread: How much they differ, brightest where most, and what the brightest stands for.
        files: What was written, at the end.
    """

    share: float
    note: str
    before: Path | None = None
    after: Path | None = None
    steps: tuple[Shown, ...] = ()
    samples: tuple[Shown, ...] = ()
    spread: Shown | None = None
    files: tuple[Path, ...] = ()


class _StoppedError(Exception):
    """Leaves a network call between two tiles."""


def look(session: Session, upload: Path) -> tuple[Path, int, int]:
    """Return a picture of an uploaded image, and the height and width that it is seen in.

    Raises:
        ImageError: The file cannot be read.
    """
    image = _read(upload)
    shown = _Pictures(session.new_folder("upload"), orientation(image.metadata.exif))
    before = for_display(image.pixels)
    height, width = before.shape[:2] if shown.orientation < _LYING else before.shape[1::-1]
    return shown.picture("before", before), height, width


def restore(
    session: Session,
    work: Task,
    upload: Path,
    model: str | None,
    *,
    enlarged: int,
    **options: Any,
) -> Iterator[Progress]:
    """Restore an uploaded image, and yield how far it is; stop where the visitor asks to.

    The results are written in the format and bit depth of the upload, into a new folder of the session. ``options`` are
    those of ``Sampling``. Steps and strength are of models that take steps, realism of those that draw: each ignores
    what is of the others.

    Raises:
        ConfigError, ImageError, ModelError, ShapeError: The file, the model or the options do not fit.
    """
    sampling = Sampling().with_options(**options)
    samples = sampling.samples or 1
    if (sampling.steps or 1) > MOST_STEPS or samples > MOST_SAMPLES or enlarged not in (1, 2, 4):
        raise ConfigError(f"steps go from 1 to {MOST_STEPS}, samples from 1 to {MOST_SAMPLES}, enlarging to 4")
    yield Progress(0.0, "reading")
    restorer = session.restorer(model)
    sampling = replace(sampling, samples=samples if samples > 1 else None)
    if draws := restorer.method.draws:
        sampling = replace(sampling, steps=1, strength=1.0)
    else:
        sampling = replace(sampling, steps=1 if restorer.method.one_step else sampling.steps, realism=None)
    asked = Restoration(restorer.resolve(sampling), enlarged=enlarged)
    image = asked.enlarge(_read(upload, enlarged))
    size = READERS.read(upload.name, LIMIT, pixel_size, upload)
    _check_together(image, samples)
    drawn = _Samples(restorer, asked.sampling, image, session.new_folder("shown"))
    progress = Progress(0.0, "beginning")
    try:
        for progress in drawn.sampled(work):
            yield progress
        yield replace(progress, note="writing")
        job = Job(upload, session.new_folder("restored") / "-restored".join(parted(Path(safe_name(upload.name)))))
        yield _finished(asked, job, drawn, progress, None if size is None else size / enlarged)
    except _StoppedError:
        yield replace(progress, note=f"stopped {'while' if draws else 'at'} {progress.note}")


def _read(upload: Path, enlarged: int = 1) -> Image:
    header = READERS.read(upload.name, LIMIT, read_header, upload)
    pixels = header.height * header.width * enlarged**2
    if pixels > MOST_PIXELS:
        size = f"{pixels / 1e6:.1f} megapixels{' once enlarged' if enlarged > 1 else ''}"
        raise ConfigError(f"{size} are too much here, {MOST_PIXELS / 1e6:.0f} at most; take indi restore for it")
    most = MOST_PIXELS // enlarged**2
    return READERS.read(upload.name, LIMIT, partial(read, max_pixels=most), upload)


def _check_together(image: Image, samples: int) -> None:
    pixels = image.pixels.shape[0] * image.pixels.shape[1]
    if pixels * samples > MOST_TOGETHER and samples > 1:
        most = max(1, MOST_TOGETHER // pixels)
        raise ConfigError(f"{samples} samples of {pixels / 1e6:.0f} megapixels are too much here; take {most} at most")


@dataclass(frozen=True)
class _Pictures:
    """A folder of pictures to look at, upright."""

    folder: Path
    orientation: int

    def picture(self, name: str, pixels: Pixels) -> Path:
        """Write one of 8 bit, quickly rather than small, and return where it is."""
        path = self.folder / f"{name}.png"
        picture = Pillow.fromarray(pixels)
        turn = _TURNS.get(self.orientation)
        (picture if turn is None else picture.transpose(turn)).save(path, compress_level=1)
        return path


@dataclass
class _Samples:
    """The restorations of one image, and what is shown of them."""

    restorer: Restorer
    sampling: Sampling
    image: Image
    folder: Path

    def __post_init__(self) -> None:
        self.count = self.sampling.samples or 1
        self.shown = _Pictures(self.folder, orientation(self.image.metadata.exif))
        before = for_display(self.image.pixels)
        self.window = liveliest_window(before, _CROP)
        self.before = self.shown.picture("before", before)
        self.restored: list[Pixels] = []

    def sampled(self, work: Task) -> Iterator[Progress]:
        """Restore as often as samples are asked for, and yield how far it is.

        Raises:
            _StoppedError: The visitor asked to stop, and not all was done.
        """
        progress, draws = Progress(0.0, "", self.before), self.restorer.method.draws
        for sample in range(self.count):
            begun = 0
            for share, state in self._advance(work, sample):
                if state is not None:
                    last = state
                    if sample == 0 and not draws:
                        progress = replace(progress, steps=(*progress.steps, self._step(begun, state)))
                    begun += 1
                progress = replace(progress, share=share, note=self._note(begun, sample))
                yield progress
            self.restored.append(self.restorer.pixels(last.image, like=self.image.pixels))

    def _note(self, begun: int, sample: int) -> str:
        """Return what it is at in words: the step, where there are some, and the sample, where there are several."""
        several = f"sample {sample + 1} of {self.count}" if self.count > 1 else ""
        if self.restorer.method.draws:
            return f"drawing {several}".strip()
        steps = len(self.sampling.grid()) - 1
        return f"step {min(begun, steps)} of {steps}" + (f", {several}" if several else "")

    def _step(self, number: int, state: State[Region]) -> Shown:
        """Return a picture of the liveliest part as a step leaves it."""
        part = self.restorer.pixels(state.image[..., *self.window], like=self.image.pixels)
        return self.shown.picture(f"step-{number}", for_display(part)), f"step {number}" if number else "degraded"

    def samples_shown(self) -> tuple[Shown, ...]:
        """Return pictures of the liveliest part of each restoration."""
        return tuple(
            (self.shown.picture(f"sample-{n}", for_display(each[self.window])), f"sample {n}")
            for n, each in enumerate(self.restored, start=1)
        )

    def _advance(self, work: Task, sample: int) -> Iterator[tuple[float, State[Region] | None]]:
        """Yield the share that is done and each state of a sample; between states, while a step takes long, None.

        The work is in a thread of its own, so that a step can be left between two tiles.
        """
        share = sample / self.count

        def told(now: float) -> None:
            nonlocal share
            share = now
            if work.stopping.is_set() and now < 1:
                raise _StoppedError

        states = self.restorer.trajectory(
            self.image.pixels,
            self.sampling,
            sample=sample,
            progress=part_of(told, sample, self.count),
        )
        with ThreadPoolExecutor(1) as worker:
            try:
                while True:
                    future = worker.submit(next, states, None)
                    while not wait([future], _EVERY).done:
                        yield share, None
                    if (state := future.result()) is None:
                        return
                    yield share, state
            except GeneratorExit:  # nobody listens any more: leave the step at its next tile
                work.stopping.set()
                raise


def _finished(asked: Restoration, job: Job, drawn: _Samples, progress: Progress, micrometres: float | None) -> Progress:
    restorer, samples = drawn.restorer, asked.sampling.samples
    calibration = restorer.calibration_for(asked.sampling)
    pixels = drawn.restored[0] if samples is None else np.stack(drawn.restored)
    results = asked.results(restorer, drawn.image, pixels, calibration, micrometres)
    files = asked.targets(job, calibration)
    for path, result in zip(files, results, strict=True):
        write(path, result)
    answer = results[samples or 0].pixels  # of several, their mean
    after = drawn.shown.picture("after", for_display(answer))
    done = replace(progress, share=1.0, note="done", after=after, files=tuple(files))
    if samples is None:
        return done
    return replace(
        done,
        samples=drawn.samples_shown(),
        spread=_spread(drawn.shown, results[samples + 1].pixels, answer.dtype),
    )


def _spread(shown: _Pictures, spread: Pixels, dtype: np.dtype[Any]) -> Shown:
    """Return the map of the samples' deviation, one value a pixel, with what its brightest stands for."""
    values = (spread if spread.ndim == 2 else spread.max(axis=2)) / span_of(dtype)
    brightest = max(float(np.quantile(values, 0.999)), 1e-6)
    scaled = for_display((values / brightest).clip(0, 1).astype(np.float32))
    legend = f"black: they agree; white: they deviate by {brightest:.1%} of the full range"
    return shown.picture("spread", scaled), legend
