"""A pair of files, and how it becomes arrays on one grid."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from indi import io as images
from indi.data.wording import count
from indi.errors import ConfigError, DataError

Pixels = NDArray[Any]


@dataclass(frozen=True)
class Pair:
    """A clean image and its degraded partner.

    Attributes:
        name: file name without suffix, the same on both sides, and the number of the picture.
        clean: the clean file.
        degraded: the degraded file; None where a task makes it from the clean one.
        picture: which of the pictures of both files, from 0, where they are stacks.
        axes: of the stacks, where they are given.
        apart: whether channels are pictures of their own; see `images.read_headers`.
        around: the pictures of the degraded file that a model sees around this one; see `Neighbours.of`.
        same_as: scene of an earlier pair with the very same clean pixels, as found by `check_pairs`.
    """

    name: str
    clean: Path
    degraded: Path | None = None
    picture: int | None = None
    axes: str | None = None
    apart: bool = False
    around: tuple[int, ...] = ()
    same_as: str | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """The clean file, then the degraded one if there is any."""
        return (self.clean,) if self.degraded is None else (self.clean, self.degraded)

    @property
    def neighbours(self) -> tuple["Pair", ...]:
        """The pairs that the pictures ``around`` are of, which may be this one or the same one twice."""
        return tuple(
            replace(self, name=picture_name(self.name.rpartition("_")[0], number), picture=number, around=())
            for number in self.around
        )

    @property
    def scene(self) -> str:
        """What is not to be parted: the image, or the stack that it belongs to."""
        return self.same_as or (self.name if self.picture is None else self.name.rpartition("_")[0])


def picture_name(stack: str, number: int) -> str:
    """Return the name of the pair that a picture of a stack is of."""
    return f"{stack}_{number + 1:04d}"


def load_pair(pair: Pair, *, channels: int, resample: bool = False) -> tuple[Pixels, ...]:
    """Decode the files of ``pair`` onto the grid of the clean image.

    Args:
        pair: its files are read in full; alpha is left out.
        channels: gray becomes colour by repeating; colour becomes gray only where nothing is lost.
        resample: bring a degraded image whose size is in a whole-number ratio to the clean grid, bicubically
            (antialiased where it shrinks) and rounded to its own type.

    Returns:
        (clean,) or (clean, degraded), each (H, W) or (H, W, C) in its own type.

    Raises:
        ImageError: a file cannot be read, or its channels do not fit.
        DataError: NaN or infinite pixels, or sizes that do not fit.
    """
    return on_grid(pair, decode_pair(pair, channels=channels), resample=resample)


def decode_pair(pair: Pair, *, channels: int) -> tuple[Pixels, ...]:
    """Decode the files of ``pair``, each at its own size; arguments, answer and errors as ``load_pair``."""
    loaded = []
    for file in pair.files:
        fitted = images.fit_channels(_stored(file, pair, channels), channels, what=str(file))
        pixels: Pixels = np.ascontiguousarray(fitted)  # one channel of a colour image would keep all three
        if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
            bad = int(np.count_nonzero(~np.isfinite(pixels)))
            raise DataError(f"{file}: {count(bad, 'value')} NaN or infinite; fix or remove the file")
        loaded.append(pixels)
    return tuple(loaded)


def on_grid(pair: Pair, loaded: Sequence[Pixels], *, resample: bool) -> tuple[Pixels, ...]:
    """Bring the decoded files of ``pair`` to the grid of the clean image; arguments, answer and errors as there."""
    sizes = [pixels.shape[:2] for pixels in loaded]
    if problem := grid_problem(pair, sizes, resample=resample):
        raise DataError(problem)
    return tuple(pixels if pixels.shape[:2] == sizes[0] else resampled(pixels, sizes[0]) for pixels in loaded)


def _stored(file: Path, pair: Pair, channels: int) -> Pixels:
    if pair.picture is None:
        return images.read(file).pixels
    return images.read_picture(file, pair.picture, channels=channels, axes=pair.axes, apart=pair.apart)


def grid_problem(pair: Pair, sizes: Sequence[tuple[int, ...]], *, resample: bool) -> str | None:
    """Say why images of these sizes, (height, width) of each file, are no pair; None where they are."""
    if len(set(sizes)) == 1:
        return None
    clean, degraded = sizes
    small, large = sorted(sizes)
    ratio = large[0] // small[0]
    found = f"{pair.degraded} has {degraded[0]}x{degraded[1]} px (height x width), clean {clean[0]}x{clean[1]}"
    if clean == degraded[::-1]:
        found = f"{found}, as if turned by its EXIF orientation"
    if large != (small[0] * ratio, small[1] * ratio):
        return f"{found}; give images of one size, or of a whole-number ratio of sizes with --resample"
    side = "lower" if degraded == small else "higher"
    advice = "--resample brings it to the clean grid"
    return None if resample else f"{found}, a resolution {ratio} times {side}; {advice}"


def resampled(pixels: Pixels, size: tuple[int, ...]) -> Pixels:
    """Return (H, W[, C]) pixels resized to ``size`` bicubically, antialiased where it shrinks, in their type."""
    planes = np.ascontiguousarray(np.atleast_3d(images.to_unit(pixels)).transpose(2, 0, 1))
    # Antialiasing also selects the kernel of Pillow and Matlab (a = -0.5): all that it does when enlarging.
    resized = functional.interpolate(torch.from_numpy(planes)[None], size, mode="bicubic", antialias=True)[0]
    values = resized.numpy().transpose(1, 2, 0).reshape(*size, *pixels.shape[2:])
    return images.from_unit(values, pixels.dtype)


def enlarge(pixels: Pixels, factor: int) -> Pixels:
    """Return (H, W[, C]) pixels as (factor H, factor W[, C]) in their type: bicubic, as ``super-resolve-4x`` expects.

    Raises:
        ConfigError: ``factor`` is below 1.
    """
    if factor < 1:
        raise ConfigError(f"enlarge is {factor}; give 1 or more")
    return pixels if factor == 1 else resampled(pixels, (factor * pixels.shape[0], factor * pixels.shape[1]))
