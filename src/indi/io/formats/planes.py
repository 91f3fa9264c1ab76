"""Stacks of planes that another library reads, and that are written as OME-TIFF, with what a microscope noted.

Source: OME-TIFF, 2016-06, https://docs.openmicroscopy.org/ome-model.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate, product
from pathlib import Path
from typing import Any

import numpy as np

from indi.errors import ImageError
from indi.io.atomic import atomic
from indi.io.convert import Array
from indi.io.formats.format import ReadRows, Stack
from indi.io.formats.tags import ASCII, SHORT, Encoding, Name, Tag, Tree
from indi.io.formats.tiff import BLACK_IS_ZERO, RGB
from indi.io.formats.tiff_write import DEFLATE, Rows, needs_big, write_directories, write_picture
from indi.io.image import MAX_PLANES, PIXEL_TYPES, Header, MapScale, foreign_file, named
from indi.io.region import Region

_AXES = "TZC"  # that OME counts planes by


@dataclass(frozen=True)
class Series:
    """Planes of one size and type.

    Attributes:
        sizes: How many planes there are along each axis, by its letter, slowest first.
        header: Of each plane.
        read: Returns a region of the plane at these places along the axes, (height, width[, 3]).
        notes: What the microscope noted, as ``Stack.notes`` gives it.
    """

    sizes: Mapping[str, int]
    header: Header
    read: Callable[[Mapping[str, int], Region], Array]
    notes: Mapping[str, Any]

    def __len__(self) -> int:
        return math.prod(self.sizes.values())

    def parts(self) -> "Iterator[Series]":
        """Yield series that T, Z and C count: one for each place along other axes, such as positions of the stage."""
        inner = {axis: size for axis, size in self.sizes.items() if axis in _AXES}
        outer = {axis: size for axis, size in self.sizes.items() if axis not in _AXES}
        for places in product(*map(range, outer.values())):
            fixed = dict(zip(outer, places, strict=True))
            yield replace(self, sizes=inner, read=partial(self._read_at, fixed))

    def _read_at(self, fixed: Mapping[str, int], place: Mapping[str, int], region: Region) -> Array:
        return self.read({**fixed, **place}, region)


class PlanesStack(Stack):
    """The planes of all series of a file; see ``format.Stack``.

    Args:
        path: The file.
        kind: The name of its format.
        load: Opens it, enters into the stack what is to be closed, and returns its series.

    Raises:
        ImageError: It is damaged, or holds what is not read.
    """

    suffixes: Sequence[str] = (".tif", ".tiff")

    def __init__(self, path: Path, kind: str, load: Callable[[ExitStack], Sequence[Series]]) -> None:
        self.path, self._kind = path, kind
        with foreign_file(path, kind), ExitStack() as opening:
            found = load(opening)
            self._check(found)
            self._series = [part for series in found for part in series.parts()]
            self._opened = opening.pop_all()
        first, *others = self._series
        self._starts = list(accumulate(map(len, self._series), initial=0))
        self.headers: Sequence[Header] = [each.header for each in self._series for _ in range(len(each))]
        counted = {axis: size for axis, size in first.sizes.items() if size > 1} if not others else {}
        self.axes = "".join(counted) if not others else "I"
        self.places: tuple[int, ...] = tuple(counted.values()) if not others else (len(self.headers),)

    def close(self) -> None:
        """Close the file."""
        self._opened.close()

    def notes(self) -> dict[str, Any]:
        """Return what was noted of the first series."""
        return dict(self._series[0].notes)

    def pixels(self, number: int, region: Region) -> Array:
        """Return a region of a plane, (height, width[, 3])."""
        which = next(index for index, start in enumerate(self._starts[1:]) if number < start)
        series = self._series[which]
        place = np.unravel_index(number - self._starts[which], tuple(series.sizes.values())) if series.sizes else ()
        header = series.header
        with foreign_file(self.path, self._kind):
            found = np.asarray(series.read(dict(zip(series.sizes, map(int, place), strict=True)), region), header.dtype)
            return found.reshape(region.height, region.width, *([header.channels] if header.channels > 1 else []))

    def write_like(self, path: Path, picture: Callable[[int], ReadRows], scale: MapScale | None = None) -> None:
        """Write new planes as an OME-TIFF, with the axes, the pixel size and the names of the channels of this one."""
        types = [header.dtype if scale is None else np.dtype(np.float32) for header in self.headers]
        size = sum(
            each.height * each.width * each.channels * dtype.itemsize
            for each, dtype in zip(self.headers, types, strict=True)
        )
        encoding, trees = Encoding("<", big=needs_big(size)), list[Tree]()
        with atomic(path) as temporary, temporary.open("wb") as file, named(path):
            file.write(encoding.start(0))
            for number, (header, kind) in enumerate(zip(self.headers, types, strict=True)):
                shape = (header.height, header.width, header.channels)
                rows = partial(_samples, picture(number), shape[1:])
                tree = write_picture(file, Rows(shape, kind, rows), encoding, DEFLATE, 1)
                tree[Name.PHOTOMETRIC] = encoding.tag(SHORT, RGB if header.channels == 3 else BLACK_IS_ZERO)
                trees.append(tree)
            text = self._described(types).encode() + b"\0"
            trees[0][Name.DESCRIPTION] = Tag(ASCII, len(text), text)
            write_directories(file, trees, encoding)

    def _described(self, types: Sequence[np.dtype[Any]]) -> str:
        """Return the description of OME."""
        from tifffile import OmeXml

        description = OmeXml()
        for series, start in zip(self._series, self._starts, strict=False):
            height, width, samples = series.header.height, series.header.width, series.header.channels
            shape = (*series.sizes.values(), height, width, *([samples] if samples > 1 else []))
            size = dict(series.notes.get("pixel_size", {}))
            unit = size.pop("unit", "µm")
            noted: dict[str, Any] = {f"PhysicalSize{axis.upper()}": value for axis, value in size.items()}
            noted |= {f"PhysicalSize{axis.upper()}Unit": unit for axis in size}
            if names := series.notes.get("channel_names"):
                noted["Channel"] = {"Name": names}
            axes = f"{''.join(series.sizes)}YX{'S' if samples > 1 else ''}"
            description.addimage(types[start], shape, (len(series), 1, 1, height, width, samples), axes=axes, **noted)
        return str(description.tostring())

    def _check(self, found: Sequence[Series]) -> None:
        if not found:
            raise ImageError(f"{self._kind} without an image; save it again")
        if (count := sum(map(len, found))) > MAX_PLANES:
            raise ImageError(f"claims {count:,} planes; {MAX_PLANES:,} at most are read; split it")
        for each in found:
            if each.header.dtype not in PIXEL_TYPES or each.header.channels not in (1, 3):
                what = f"{each.header.channels} channels of {each.header.dtype} in a pixel"
                raise ImageError(f"{self._kind} of {what}; export it as TIFF of 8 or 16 bit or of 32-bit floats first")
            if min(each.header.height, each.header.width, len(each)) < 1:
                raise ImageError(f"{self._kind} of an image without pixels; save it again")


def _samples(read: ReadRows, shape: tuple[int, int], start: int, stop: int) -> Array:
    return read(start, stop).reshape(stop - start, *shape)


def regions_of(plane: Callable[[Mapping[str, int]], Array]) -> Callable[[Mapping[str, int], Region], Array]:
    """Return what reads regions by what reads whole planes, of which the last one is kept."""
    kept: dict[tuple[tuple[str, int], ...], Array] = {}

    def read(place: Mapping[str, int], region: Region) -> Array:
        key = tuple(sorted(place.items()))
        if key not in kept:
            kept.clear()
            kept[key] = plane(place)
        return kept[key][region.top : region.bottom, region.left : region.right]

    return read
