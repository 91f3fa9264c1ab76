"""States on disk, where memory would not hold them: arrays in files, and the store of tiles that sampling works on.

Plain reads and writes of a file, never mapped memory, whose pages would count as the process's own.
"""

import errno
import os
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from indi.errors import ImageError
from indi.io.region import Region, cores
from indi.process.samplers import Estimate, Sampler, View

Array = npt.NDArray[Any]


class DiskArray:
    """A (C, H, W) image in a file, zero until it is written; rows lie one after another, channels within them.

    Args:
        shape: Channels, height and width.
        dtype: Of its values.
        path: The file to make; a folder holds a nameless file, which goes when the array is closed, and where the
            system can do so when the process is killed.
        is_there: The file is there, as another array of this shape left it, and is only read.

    Raises:
        ImageError: The file cannot be written, or (by ``write``) the disk is full; or one to be read is not there, or
            not whole.
    """

    def __init__(
        self, shape: tuple[int, int, int], dtype: npt.DTypeLike, path: Path, *, is_there: bool = False
    ) -> None:
        self.shape, self.dtype, self._path = shape, np.dtype(dtype), path
        self._is_kept = not path.is_dir() and not is_there
        size = int(np.prod(shape, dtype=np.int64)) * self.dtype.itemsize
        self._file: Any
        try:
            if is_there:
                self._file = path.open("rb", buffering=0)
                if path.stat().st_size != size:
                    self._file.close()
                    raise ImageError(f"{path}: is not whole; run the command again")
                return
            if path.is_dir():
                self._file = tempfile.TemporaryFile(prefix=".indi-", dir=path, buffering=0)  # noqa: SIM115 - closed by close
            else:
                self._file = path.open("w+b", buffering=0)
            self._file.truncate(size)
        except OSError as error:
            if is_there:
                raise ImageError(f"{path}: is gone: does another command work here? run it again after that") from error
            if hasattr(self, "_file"):  # made, and there is no room for it
                self._file.close()
                if self._is_kept:
                    path.unlink(missing_ok=True)
            raise self._failed(error) from error

    def read(self, region: Region) -> Array:
        """Return a region as (C, height, width)."""
        values = np.empty(self._rows(region), self.dtype)
        for row, lines in enumerate(values):
            for channel, line in enumerate(lines):
                self._seek(region.top + row, channel, region.left)
                left = memoryview(line).cast("B")
                while left:  # a raw read may give less than there is
                    if not (count := self._file.readinto(left)):
                        raise ImageError(f"{self._path}: is not whole; run the command again")
                    left = left[count:]
        return values.transpose(1, 0, 2)

    def write(self, region: Region, values: Array) -> None:
        """Put (C, height, width) values into a region."""
        rows = np.ascontiguousarray(values.transpose(1, 0, 2), dtype=self.dtype)
        assert rows.shape == self._rows(region), "values do not fill the region"
        try:
            for row, lines in enumerate(rows):
                for channel, line in enumerate(lines):
                    self._seek(region.top + row, channel, region.left)
                    left = memoryview(line).cast("B")
                    while left:  # a raw write may take less than it is given
                        left = left[self._file.write(left) :]
        except OSError as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """Let go of the file. One that is kept is on the disk then, so that it is whole after a power cut too."""
        if self._is_kept:
            os.fsync(self._file.fileno())
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _rows(self, region: Region) -> tuple[int, int, int]:
        return region.height, self.shape[0], region.width

    def _seek(self, row: int, channel: int, column: int) -> None:
        channels, _, width = self.shape
        self._file.seek(((row * channels + channel) * width + column) * self.dtype.itemsize)

    def _failed(self, error: OSError) -> ImageError:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return ImageError(f"{self._path}: cannot be written ({error.strerror}); check the folder")
        size = int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize / 1e9
        return ImageError(f"{self._path}: no room for {size:.1f} GB of work ({error.strerror}); free space there")


@dataclass(frozen=True)
class Tiling:
    """How an image is cut up for a network.

    Attributes:
        side: Of a tile, in pixels, a multiple of the network's stride.
        halo: How far the network sees, in pixels, a multiple of its stride.
    """

    side: int
    halo: int


class TilesOnDisk:
    """A store (``samplers.Store``) whose states lie on disk: a step goes over the tiles, each with what it sees around.

    Each step sees the states that the whole step before left, so the result is that of the whole image in memory, up to
    the rounding of floats.

    Args:
        degraded: Returns a region of the image, (1, C, height, width) float32, and of planes around it behind.
        shape: Channels, height and width of the image.
        tiling: How it is cut up.
        sampler: How far a step sees, and whether it looks back.
        folder: Where the states lie: two arrays of the image's size in float32, four where the sampler looks back.

    Raises:
        ImageError: The disk is full.
    """

    def __init__(
        self,
        degraded: Callable[[Region], Tensor],
        shape: tuple[int, int, int],
        tiling: Tiling,
        sampler: Sampler,
        folder: Path,
    ) -> None:
        self._channels, *self._size = shape
        self._reach = sampler.depth * tiling.halo
        self._read = degraded
        self.regions = list(cores(Region(0, 0, *self._size), tiling.side))
        self._time: float | None = None  # of the estimates that are being put, and of those before
        self._time_before: float | None = None
        count = 4 if sampler.looks_back else 2
        with ExitStack() as opened:
            arrays = [opened.enter_context(DiskArray(shape, "float32", folder)) for _ in range(count)]
            self._open = opened.pop_all()
        self._states, self._estimates = arrays[:2], arrays[2:]

    def degraded(self, region: Region) -> Tensor:
        """As ``Store.degraded``."""
        return self._read(region)[:, : self._channels]

    def view(self, region: Region) -> View[Region]:
        """As ``Store.view``."""
        outer = self._outer(region)
        degraded = self._read(outer)
        before = None
        if self._time_before is not None:
            before = Estimate(self._time_before, _get(self._estimates[0], outer, degraded.device))
        return View(_get(self._states[0], outer, degraded.device), degraded, before, outer)

    def part(self, region: Region, image: Tensor) -> Tensor:
        """As ``Store.part``."""
        return region.seen_from(self._outer(region)).cut(image)

    def keep(self, region: Region, state: Tensor, estimate: Estimate | None) -> None:
        """As ``Store.keep``."""
        _put(self._states[1], region, state)
        if estimate is not None:
            _put(self._estimates[1], region, self.part(region, estimate.clean))
            self._time = estimate.time

    def advance(self) -> None:
        """As ``Store.advance``."""
        self._states.reverse()
        self._estimates.reverse()
        self._time_before, self._time = self._time, None

    def _outer(self, region: Region) -> Region:
        return region.grown(self._reach, *self._size)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()


def _get(array: DiskArray, region: Region, device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array.read(region)))[None].to(device)


def _put(array: DiskArray, region: Region, image: Tensor) -> None:
    array.write(region, image[0].cpu().numpy())
