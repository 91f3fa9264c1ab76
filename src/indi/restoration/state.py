"""Images on disk, read and written box by box: what is worked on where memory would not hold it.

Plain reads and writes of a file, never mapped memory, whose pages would count as the process's own.
"""

import os
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from indi.errors import ImageError
from indi.io.region import Box

Array = npt.NDArray[Any]


class Canvas:
    """A (C, H, W) image in a file, zero until it is written; rows lie one after another, channels within them.

    Args:
        shape: Channels, height and width.
        dtype: Of its values.
        path: The file to make; a folder holds a nameless file, which goes when the canvas is closed, and where the
            system can do so when the process is killed.
        is_there: The file is there, as another canvas of this shape left it, and is only read.

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
            raise self._full(error) from error

    def read(self, box: Box) -> Array:
        """Return a box as (C, height, width)."""
        values = np.empty(self._rows(box), self.dtype)
        for row, lines in enumerate(values):
            for channel, line in enumerate(lines):
                self._seek(box.top + row, channel, box.left)
                self._file.readinto(memoryview(line).cast("B"))
        return values.transpose(1, 0, 2)

    def write(self, box: Box, values: Array) -> None:
        """Put (C, height, width) values into a box."""
        rows = np.ascontiguousarray(values.transpose(1, 0, 2), dtype=self.dtype)
        assert rows.shape == self._rows(box), "values do not fill the box"
        try:
            for row, lines in enumerate(rows):
                for channel, line in enumerate(lines):
                    self._seek(box.top + row, channel, box.left)
                    left = memoryview(line).cast("B")
                    while left:  # a raw write may take less than it is given
                        left = left[self._file.write(left) :]
        except OSError as error:
            raise self._full(error) from error

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

    def _rows(self, box: Box) -> tuple[int, int, int]:
        return box.height, self.shape[0], box.width

    def _seek(self, row: int, channel: int, column: int) -> None:
        channels, _, width = self.shape
        self._file.seek(((row * channels + channel) * width + column) * self.dtype.itemsize)

    def _full(self, error: OSError) -> ImageError:
        size = int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize / 1e9
        return ImageError(f"{self._path}: no room for {size:.1f} GB of work ({error.strerror}); free space there")
