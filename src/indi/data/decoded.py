"""Decoded images of pairs, in memory up to a limit and from there on in a temporary folder."""

import os
import shutil
import sys
import tempfile
import threading
import weakref
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from indi.data.loading import Pixels
from indi.errors import DataError


@dataclass(frozen=True)
class _RawFile:
    """An array on disk, mapped again for each crop, since many open maps would use up the file handles."""

    path: Path
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @classmethod
    def write(cls, path: Path, pixels: Pixels) -> Self:
        pixels.tofile(path)
        return cls(path, pixels.dtype, pixels.shape)

    def mapped(self) -> Pixels:
        return np.asarray(np.memmap(self.path, self.dtype, "r", shape=self.shape))


class DecodedPairs:
    """Arrays of pair ``index``, decoded at the first call and kept in memory or on disk."""

    def __init__(self, load: Callable[[int], tuple[Pixels, ...]], memory_bytes: int) -> None:
        self._load = load
        self._free_bytes = memory_bytes
        self._kept: dict[int, tuple[Pixels | _RawFile, ...]] = {}
        self._folder: Path | None = None
        self._keeping = threading.Lock()  # the makers of a stream and a direct call to batch meet here
        self._decoding: defaultdict[int, threading.Lock] = defaultdict(threading.Lock)

    def __getitem__(self, index: int) -> tuple[Pixels, ...]:
        kept = self._kept.get(index)
        if kept is None:
            with self._keeping:
                decoding = self._decoding[index]
            with decoding:  # each image once, several at a time
                kept = self._kept.get(index) or self._decoded(index)
        return tuple(image.mapped() if isinstance(image, _RawFile) else image for image in kept)

    def _decoded(self, index: int) -> tuple[Pixels | _RawFile, ...]:
        decoded = self._load(index)
        with self._keeping:
            self._kept[index] = self._keep(index, decoded)
            return self._kept[index]

    def _keep(self, index: int, decoded: tuple[Pixels, ...]) -> tuple[Pixels | _RawFile, ...]:
        size = sum(pixels.nbytes for pixels in decoded)
        if size <= self._free_bytes:
            self._free_bytes -= size
            return decoded
        try:
            if self._folder is None:
                self._folder = Path(tempfile.mkdtemp(prefix="indi-crops-"))
                weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
            files = [self._folder / f"{index}-{side}" for side in range(len(decoded))]
            return tuple(_RawFile.write(file, pixels) for file, pixels in zip(files, decoded, strict=True))
        except OSError as error:
            raise DataError(
                f"decoded images do not fit into {self._folder or tempfile.gettempdir()} ({error}); "
                "set TMPDIR (on Windows TEMP) to a folder with more space"
            ) from error


def default_memory_bytes(processes: int) -> int:
    """Return what each of the processes on a machine may keep: its share of a quarter of the memory, or of 1 GiB."""
    return max(_memory_bytes() // 4, 2**30) // processes


def _memory_bytes() -> int:
    """Memory of this machine, or of the container it runs in."""
    if sys.platform == "win32":
        return _windows_memory_bytes()
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(total, int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    except (OSError, ValueError):  # no container, or one without a limit, which says "max"
        return total


def _windows_memory_bytes() -> int:
    import ctypes

    class Status(ctypes.Structure):
        """MEMORYSTATUSEX of the Windows API, its later fields left as room."""

        _fields_ = (
            ("length", ctypes.c_uint32),
            ("load", ctypes.c_uint32),
            ("total", ctypes.c_uint64),
            ("others", ctypes.c_uint64 * 6),
        )

    status = Status(length=ctypes.sizeof(Status))
    if not ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):  # type: ignore[attr-defined,unused-ignore]
        return 0
    return int(status.total)
