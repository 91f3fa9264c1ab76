"""Restore stacks, picture by picture, and pictures that memory does not hold, tile by tile.

What is done is kept in a hidden folder beside the result until all of it is there: the same command goes on after an
interruption, and a manifest says what was asked for, so that nothing is mixed.
"""

import hashlib
import logging
import secrets
import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from indi.errors import ImageError, IndiError, ShapeError
from indi.io import Image, from_unit, to_unit, write
from indi.io.manifest import state_of
from indi.io.neighbours import ALONE, Neighbours, first_along
from indi.io.pixel_size import pixel_size
from indi.io.region import Region, cores
from indi.io.stacks import ReadRows, Stack, open_stack
from indi.process.sampling import Sampling
from indi.restoration.masks import check_mask, opened_mask
from indi.restoration.restorer import Pixels, Restorer
from indi.restoration.resuming import begin_work, deciding
from indi.restoration.stack_maps import overlay_of, scale_over
from indi.restoration.state import DiskArray
from indi.restoration.tiling import part_of
from indi.restoration.uncertainty import MARGIN, Calibration, maps, names

log = logging.getLogger("indi")

IN_MEMORY = 2**25  # values of a picture up to which it is restored as a whole
_BAND = 256  # rows that are worked on at a time where a picture is read through


@dataclass(frozen=True, eq=False)  # a key by itself: what a calibration holds has no hash
class StackJob:
    """The restoration of a TIFF file or a Zarr volume: begun, then picture after picture, then finished.

    Pictures may be restored in any order, by several processes and more than once; each is whole or not there.

    Attributes:
        source: The file.
        targets: The file to write; with ``samples`` one for each, then their maps (uncertainty.py): the mean, and the
            others in float32, in counts.
        sampling: How, as the model resolves it; the noise differs from picture to picture.
        calibration: That fits these restorations.
        channels: Of the model; those of a stack that has as many are restored together.
        axes: Of the stack, where they are given.
        apart: Whether its channels are pictures of their own, by the model's card.
        overlay: The file to write the maps of the picture in the middle to, with ``samples``.
        neighbours: Those that the model sees around each picture.
        mask: Of all pictures, or a stack (masks.py): where they stay as they are, and maps are 0.
    """

    source: Path
    targets: tuple[Path, ...]
    sampling: Sampling
    calibration: Calibration | None = None
    channels: int = 1
    axes: str | None = None
    apart: bool = False
    overlay: Path | None = None
    neighbours: Neighbours = ALONE
    mask: Path | None = None

    @property
    def written(self) -> tuple[Path, ...]:
        """All files that it writes."""
        return self.targets if self.overlay is None else (*self.targets, self.overlay)

    def opened(self) -> Stack:
        """Open the file.

        Raises:
            ConfigError, ImageError, MissingExtraError: As ``open_stack``.
        """
        return open_stack(self.source, channels=self.channels, axes=self.axes, apart=self.apart)

    @property
    def work(self) -> Path:
        """The folder of what is done so far, of this source into this target and no other."""
        target = self.targets[0]
        mark = hashlib.sha256(f"{self.source.resolve()}\0{target.name}".encode(errors="surrogateescape")).hexdigest()[
            :12
        ]
        return target.parent / f".{target.name}-{mark}.indi"

    def begin(self, restorer: Restorer) -> list[int]:
        """Return the pictures that are to be restored, after what another command left is cleared away.

        Raises:
            ImageError: The file is damaged or cut short, or a target is of another kind.
        """
        with self.opened() as stack:
            for target in self.targets:
                if target.suffix.lower() not in stack.suffixes:
                    suffix = stack.suffixes[0]
                    raise ImageError(f"{target}: this stack is written as {suffix}; end the name so")
            self.seen_with(stack, 0)
            if stack.headers[0].channels == 1 < restorer.card.channels and not self.apart:
                log.warning(
                    "warning: %s: its pictures have 1 channel and are restored alone, as gray, by a model of %d; where "
                    "some belong together, say so by --axes, such as CYX",
                    self.source.name,
                    restorer.card.channels,
                )
            try:
                check_mask(self.mask, stack, self.axes)
                begin_work(self.work, self._manifest(restorer))
            except ImageError as error:
                raise ImageError(f"{self.source}: {error}") from error
            for place, target in enumerate(self.targets):
                if target.is_dir() and not self._written(place).exists():
                    self.abandon()
                    raise ImageError(f"{target}: is there already; remove it, or choose another --out")
            return [number for number in range(len(stack.headers)) if not self._is_done(stack, number)]

    def restore(
        self, restorer: Restorer, stack: Stack, number: int, *, progress: Callable[[float], None] | None = None
    ) -> None:
        """Restore one picture of the opened file.

        Raises:
            ImageError: The picture is damaged or does not fit the model, or the disk is full.
            ConfigError: As ``Restorer.restore``.
        """
        try:
            _restore_picture(restorer, stack, number, self, progress)
        except (ImageError, ShapeError) as error:
            raise ImageError(f"{self.source}: picture {number + 1} of {len(stack.headers)}: {error}") from error

    def seen_with(self, stack: Stack, number: int) -> tuple[Sequence[int], int]:
        """Return the pictures that the model sees around one, and the one whose noise it has.

        Raises:
            ImageError: The stack has no such axis.
        """
        shared = self.sampling.noise_along
        return self.neighbours.of(stack, number), number if shared is None else first_along(stack, number, shared)

    def finish(self) -> None:
        """Write the targets from the pictures that are done.

        Raises:
            ImageError: They cannot be written.
        """
        with self.opened() as stack:
            for place, target in enumerate(self.targets):
                if target.exists() and self._written(place).exists():  # before an interruption
                    continue
                is_map = self._is_map(place)
                dtype = np.float32 if is_map else None
                files = (_file(self.work, number, place) for number in range(len(stack.headers)))
                name = (
                    names(self.sampling.samples, self.calibration)[place - (self.sampling.samples or 0)]
                    if is_map
                    else ""
                )
                scale = scale_over(files, name, stack.headers[0].dtype) if is_map else None
                stack.write_like(target, partial(_rows, stack, self.work, place, dtype), scale)
                self._written(place).touch()
            if self.overlay is not None:
                number = len(stack.headers) // 2
                made = enumerate(names(self.sampling.samples, self.calibration), self.sampling.samples or 0)
                maps_of = {name: _file(self.work, number, place) for place, name in made}
                drawn = overlay_of(maps_of, stack.headers[number], self.calibration, pixel_size(self.source))
                write(self.overlay, Image(drawn))
        shutil.rmtree(self.work, ignore_errors=True)

    def _is_map(self, place: int) -> bool:
        """Return whether a target is a map in float32: what comes after the samples and their mean, an image."""
        return self.sampling.samples is not None and place > self.sampling.samples

    def _written(self, place: int) -> Path:
        """Return the file that says that a target is written."""
        return self.work / f"target-{place}.written"

    def abandon(self) -> None:
        """Clear the work folder away after a failure, unless a picture in it is done."""
        if self.work.is_dir() and not any(path.suffix == "" for path in self.work.iterdir()):
            shutil.rmtree(self.work, ignore_errors=True)

    def _is_done(self, stack: Stack, number: int) -> bool:
        """Return whether the files of a picture are there, and whole."""
        header = stack.headers[number]
        values = header.height * header.width * header.channels
        for place in range(len(self.targets)):
            file = _file(self.work, number, place)
            size = 4 if self._is_map(place) else header.dtype.itemsize
            if not file.exists() or file.stat().st_size != values * size:
                return False
        return True

    def _manifest(self, restorer: Restorer) -> dict[str, Any]:
        """Return all that decides the result."""
        return {
            "source": [self.source.name, *state_of(self.source)],
            "axes": self.axes,
            "apart": self.apart,
            **({} if self.mask is None else {"mask": [str(self.mask.absolute()), *state_of(self.mask)]}),
            **deciding(restorer, self.sampling, self.calibration),
        }


def restore_stack(
    restorer: Restorer,
    job: StackJob,
    *,
    progress: Callable[[float], None] | None = None,
    before_writing: Callable[[], None] | None = None,
) -> None:
    """Do a whole job; ``progress`` is called with the share of the file that is done.

    Raises:
        ImageError, ConfigError: As the steps of ``StackJob``.
    """
    waiting = job.begin(restorer)
    with job.opened() as stack:
        for done, number in enumerate(waiting):
            tell = part_of(progress, done, len(waiting))
            try:
                job.restore(restorer, stack, number, progress=tell)
            except IndiError:
                job.abandon()
                raise
    if progress is not None:
        progress(1.0)
    if before_writing is not None:
        before_writing()
    job.finish()


def _restore_picture(
    restorer: Restorer, stack: Stack, number: int, job: StackJob, progress: Callable[[float], None] | None
) -> None:
    """Restore one picture into the files of the work folder; the first of them comes last, as the mark that all are."""
    header = stack.headers[number]
    work, samples, calibration = job.work, job.sampling.samples, job.calibration
    unfinished = partial(_file, work, number, mark=f".{secrets.token_hex(4)}.part")
    shape = (header.channels, header.height, header.width)
    whole = Region(0, 0, header.height, header.width)

    planes, noise_of = job.seen_with(stack, number)

    def read(region: Region) -> Pixels:
        return stack.pixels(number, region)

    def around(region: Region) -> list[Pixels]:
        return [stack.pixels(plane, region) for plane in planes]

    with ExitStack() as opened:
        results = [
            opened.enter_context(DiskArray(shape, header.dtype, unfinished(place))) for place in range(samples or 1)
        ]
        if header.height * header.width * header.channels <= IN_MEMORY:
            restored = restorer.restore(
                read(whole), sampling=job.sampling, around=around(whole), plane=noise_of, progress=progress
            )
            for array, image in zip(results, [restored] if samples is None else restored, strict=True):
                array.write(whole, _planes(image))
        else:
            for sample, array in enumerate(results):
                for share, region, answer in restorer.restore_tiles(
                    read,
                    (whole.height, whole.width),
                    job.sampling,
                    folder=work,
                    around=around,
                    sample=sample,
                    plane=noise_of,
                ):
                    if answer is not None:
                        array.write(region, _planes(answer))
                    if progress is not None:
                        progress((sample + share) / len(results))
        extra = names(samples, calibration)
        others = [
            opened.enter_context(DiskArray(shape, dtype, unfinished(place)))
            for place, dtype in enumerate(
                [header.dtype, *[np.dtype("f4")] * (len(extra) - 1)][: len(extra)], len(results)
            )
        ]
        for region in cores(whole, _BAND) if extra else ():
            outer = region.grown(MARGIN, header.height, header.width)
            values = to_unit(np.stack([array.read(outer) for array in results]))
            found = maps(values, restorer.least_spread, calibration, header.dtype)
            for name, array in zip(extra, others, strict=True):
                part = np.broadcast_to(
                    region.seen_from(outer).cut(found[name]), (shape[0], region.height, region.width)
                )
                array.write(region, from_unit(part, header.dtype) if name == "mean" else part)
        kept = opened.enter_context(opened_mask(job.mask, stack, number, job.axes))
        if kept is not None:
            for region in cores(whole, _BAND):
                stays, source = kept(region), _planes(read(region))
                for place, array in enumerate([*results, *others]):  # the first of the others is the mean, then maps
                    array.write(region, np.where(stays, source if place <= len(results) else 0, array.read(region)))
    for place in reversed(range(len(results) + len(extra))):
        try:
            unfinished(place).replace(_file(work, number, place))
        except FileNotFoundError as error:
            raise ImageError(f"{work}: was cleared away by another command; run this one again after that") from error


def _rows(stack: Stack, work: Path, place: int, dtype: npt.DTypeLike | None, number: int) -> ReadRows:
    """Return a restored picture by rows. Its file is opened for each, as thousands could not stay open."""
    header = stack.headers[number]
    shape = (header.channels, header.height, header.width)

    def read(start: int, stop: int) -> Pixels:
        with DiskArray(shape, dtype or header.dtype, _file(work, number, place), is_there=True) as array:
            values = array.read(Region(start, 0, stop, header.width))
        return values[0] if len(values) == 1 else np.moveaxis(values, 0, -1)

    return read


def _planes(image: Pixels) -> Pixels:
    return np.moveaxis(np.atleast_3d(image), -1, 0)


def _file(work: Path, number: int, place: int, *, mark: str = "") -> Path:
    return work / f"{number:06d}-{place}{mark}"
