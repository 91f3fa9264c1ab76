"""Files of a Zarr array that are missing or cut short. zarr returns other pixels for them, and no error.

Where a file is missing, zarr takes all that is in it for the fill value. Blosc is not told how long its data are, reads
on behind the end of a cut chunk and finds other pixels; neither zarr nor numcodecs has a public function that asks
its header, so sixteen bytes are read here. The same happens in a cut shard whose index comes first.

Source: the Zarr specifications 2 and 3, https://zarr-specs.readthedocs.io; the Blosc chunk format,
https://github.com/Blosc/c-blosc/blob/main/README_CHUNK_FORMAT.rst.
"""

import logging
import math
import os
import re
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from indi.errors import ImageError
from indi.io.folders import files_below

log = logging.getLogger("indi")

_BLOSC_HEADER = 16  # bytes; the last four say how long the chunk is
_NO_CHUNK = 2**64 - 1  # where a shard's index has no chunk
_counted: set[tuple[Path, int]] = set()  # arrays whose missing chunks were said: a volume is opened many times


class Chunks:
    """The files of an array: its chunks, or its shards of several chunks.

    Args:
        volume: The folder that messages name.
        array: Of zarr, somewhere in that folder.
    """

    def __init__(self, volume: Path, array: Any) -> None:
        self._volume, self._folder, self._array = volume, volume / array.path, array
        self._sides = array.shards or array.chunks
        self._bytes_needed = _bytes_needed(array)

    def check(self, part: tuple[int | slice, ...]) -> None:
        """Refuse a part of the array of which a file is cut short.

        Raises:
            ImageError: It is.
        """
        if self._bytes_needed is None:
            return
        slices = (index if isinstance(index, slice) else slice(index, index + 1) for index in part)
        along = (range(s.start // size, -(-s.stop // size)) for s, size in zip(slices, self._sides, strict=True))
        for place in product(*along):
            chunk = self._folder / self._array.metadata.encode_chunk_key(place)
            with suppress(FileNotFoundError), chunk.open("rb") as file:
                needed, found = self._bytes_needed(file), os.fstat(file.fileno()).st_size
                if found < needed:
                    name = chunk.relative_to(self._volume).as_posix()
                    raise ImageError(f"chunk {name} is cut short: {found} of {needed} bytes; copy the volume again")

    def warn_of_missing(self) -> None:
        """Log how many files are missing: they were lost, or all that is in them is the fill value.

        The files that are there are counted. zarr's own count lists all that there could be, which a small file that
        claims a large array makes endless.
        """
        state = self._folder, self._folder.stat().st_mtime_ns
        if state in _counted:
            return
        _counted.add(state)
        grid = [-(-length // size) for length, size in zip(self._array.shape, self._sides, strict=True)]
        total = math.prod(grid)
        missing = total - sum(self._is_chunk(name, grid) for name, _ in files_below(self._folder))
        if missing:
            what = "chunks" if self._array.shards is None else "shards"
            line = "%s: %d of %d %s are missing and read as %s; copy the volume again, unless they are empty"
            log.warning(line, self._volume, missing, total, what, self._array.fill_value or 0)

    def _is_chunk(self, name: str, grid: list[int]) -> bool:
        place = tuple(int(index) for index in re.findall("[0-9]+", name))
        is_within = len(place) == len(grid) and all(index < count for index, count in zip(place, grid, strict=True))
        return is_within and bool(self._array.metadata.encode_chunk_key(place) == name)


def _bytes_needed(array: Any) -> Callable[[BinaryIO], int] | None:
    """Return what reads from the head of a file how long it must be, where a cut would not be noticed.

    An index that comes last in its shard is cut off with it, which its checksum tells.
    """
    if array.shards is None:
        is_blosc = [type(codec).__name__ in ("Blosc", "BloscCodec") for codec in array.compressors]
        return _blosc_bytes if is_blosc[-1:] == [True] else None
    codec = next(codec for codec in array.metadata.codecs if hasattr(codec, "index_location"))
    if codec.index_location.value == "end":
        return None
    order = ">" if codec.index_codecs[0].endian.value == "big" else "<"
    count = math.prod(shard // chunk for shard, chunk in zip(array.shards, array.chunks, strict=True))
    return partial(_shard_bytes, np.dtype(f"{order}u8"), count)


def _blosc_bytes(file: BinaryIO) -> int:
    header = file.read(_BLOSC_HEADER)
    return int.from_bytes(header[12:], "little") if len(header) == _BLOSC_HEADER else _BLOSC_HEADER


def _shard_bytes(dtype: np.dtype[Any], count: int, file: BinaryIO) -> int:
    """Return where the last chunk of a shard ends, by the index at its start: offset and length of each chunk."""
    size = 2 * count * dtype.itemsize
    index = file.read(size)
    if len(index) < size:
        return size
    chunks = np.frombuffer(index, dtype).reshape(-1, 2).tolist()
    return max((offset + length for offset, length in chunks if offset != _NO_CHUNK), default=size)
