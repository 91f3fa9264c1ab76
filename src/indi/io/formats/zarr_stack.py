"""Zarr volumes: OME-Zarr 0.4 and 0.5, and plain arrays whose last two axes are Y and X.

Source: the OME-NGFF specifications 0.4 and 0.5, https://ngff.openmicroscopy.org.
"""

import logging
import math
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from indi.errors import ImageError
from indi.io.atomic import temporary_beside
from indi.io.convert import Array
from indi.io.formats import zarr_ome
from indi.io.formats.format import ReadRows, Stack, optional
from indi.io.formats.pyramid import blocks, fill_level
from indi.io.formats.zarr_chunks import Chunks
from indi.io.image import MAX_PIXELS, MAX_PLANES, PIXEL_TYPES, Header, MapScale, foreign_file
from indi.io.region import Region

log = logging.getLogger("indi")

_BLOCK = 2**25  # values that are gathered before they are written, where chunks are small


class ZarrStack(Stack):
    """The planes of a Zarr volume; see ``format.Stack``.

    Raises:
        ImageError: It is damaged, or not a volume of planes.
        MissingExtraError: zarr cannot be imported.
    """

    suffixes: Sequence[str] = (".zarr",)

    def __init__(self, path: Path, by_axes: bool = True) -> None:
        self.path = path
        zarr = optional("zarr", "Zarr volumes", extra="zarr")
        with foreign_file(path, "Zarr"):
            node = zarr.open(str(path), mode="r")
            if isinstance(node, zarr.Group):
                self._group = zarr_ome.image_of(node)
                self._level, self._array, names = zarr_ome.full_resolution(self._group)
                self._beside = zarr_ome.beside(path, self._group)
            else:
                self._group, self._level, self._array = None, "", node
                names = zarr_ome.leading_axes(zarr_ome.axis_names(node))
                self._beside = []
            shape, dtype = self._array.shape, np.dtype(self._array.dtype).newbyteorder("=")
            if len(shape) < 2 or 0 in shape or dtype not in PIXEL_TYPES:
                raise ImageError(f"holds {dtype} of shape {shape}; planes of uint8, uint16 or float32 are needed")
            if math.prod(shape[:-2]) > MAX_PLANES:
                raise ImageError(f"claims {math.prod(shape[:-2]):,} planes; {MAX_PLANES:,} at most are read; split it")
            if math.prod(self._array.chunks) > MAX_PIXELS:
                raise ImageError(f"has chunks of {self._array.chunks}; {MAX_PIXELS:,} values at most are read at once")
            self._chunks = Chunks(path, self._array)
            self._chunks.warn_of_missing()
        self.places = self._places = tuple(shape[:-2])
        is_lettered = len(names) == len(self._places) and all(len(name) == 1 and name.isalpha() for name in names)
        self.axes = "".join(names) if is_lettered else "I" * len(self._places)
        self.headers: Sequence[Header] = [Header(shape[-2], shape[-1], 1, dtype)] * math.prod(self._places)

    def notes(self) -> dict[str, Any]:
        """Return what OME-Zarr noted."""
        return {} if self._group is None else zarr_ome.notes(dict(self._group.attrs))

    def pixels(self, number: int, region: Region) -> Array:
        """Return a region of a plane, (height, width)."""
        part = self._part(number, region)
        with foreign_file(self.path, "Zarr"):
            self._chunks.check(part)
            return np.asarray(self._array[part], self.headers[number].dtype)

    def write_like(
        self,
        path: Path,
        picture: Callable[[int], ReadRows],
        scale: MapScale | None = None,
    ) -> None:
        """Write a volume of new planes, with the axes, scales, names and levels of resolution of this one."""
        temporary = temporary_beside(path, ".zarr")
        try:
            with foreign_file(path, "Zarr"):
                _check_free(path)
                if self._beside:
                    names = ", ".join(self._beside[: zarr_ome.SHOWN]) + (
                        ", …" if len(self._beside) > zarr_ome.SHOWN else ""
                    )
                    log.warning("%s: only the image is written, without what lies beside it: %s", self.path, names)
                    self._beside = []
                array, lower = self._created(temporary, scale)
                self._fill(array, picture)
                above = array
                for level, factors in lower:
                    fill_level(level, above, factors)
                    above = level
                _check_free(path)
                temporary.replace(path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _fill(self, array: Any, picture: Callable[[int], ReadRows]) -> None:
        """Write the planes, each file of chunks once, however many planes are in it."""
        *depths, height, width = array.shards or array.chunks
        across = width * max(1, _BLOCK // math.prod((*depths, height, width)))
        for part in blocks(array.shape, (*depths, height, across)):
            *places, rows, columns = part
            values = np.empty([s.stop - s.start for s in part], array.dtype)
            for inner in np.ndindex(*values.shape[:-2]):
                place = [s.start + index for s, index in zip(places, inner, strict=True)]
                number = int(np.ravel_multi_index(place, self._places)) if place else 0
                values[inner] = picture(number)(rows.start, rows.stop)[:, columns]
            array[part] = values

    def _part(self, number: int, region: Region) -> tuple[int | slice, ...]:
        place = (int(index) for index in np.unravel_index(number, self._places)) if self._places else ()
        return (*place, slice(region.top, region.bottom), slice(region.left, region.right))

    def _created(self, path: Path, scale: MapScale | None) -> tuple[Any, list[tuple[Any, list[int]]]]:
        """Make an empty volume like this one; return its array, and each level below it with its factors."""
        zarr = optional("zarr", "Zarr volumes", extra="zarr")
        dtype = self._array.dtype if scale is None else np.dtype(np.float32)
        form = self._array.metadata.zarr_format
        path.parent.mkdir(parents=True, exist_ok=True)
        if self._group is None:
            return zarr.create_array(store=str(path), zarr_format=form, **_like(self._array, dtype)), []
        group = zarr.open_group(str(path), mode="w", zarr_format=form)
        lower = self._lower_levels()
        attributes = zarr_ome.of_levels(dict(self._group.attrs), [self._level, *lower])
        group.attrs.update(attributes if scale is None else zarr_ome.with_windows(attributes, scale))
        array = group.create_array(self._level, **_like(self._array, dtype))
        return array, [(group.create_array(name, **_like(old, dtype)), by) for name, (old, by) in lower.items()]

    def _lower_levels(self) -> dict[str, tuple[Any, list[int]]]:
        """Return the levels of lower resolution by their paths, and how many pixels of the one above become one.

        What is damaged, or no level of means over blocks, is left out aloud.
        """
        first, *others = zarr_ome.multiscales(dict(self._group.attrs))[0]["datasets"]
        found: dict[str, tuple[Any, list[int]]] = {}
        above, scale = self._array, zarr_ome.scale_of(first)
        for dataset in others:
            name = str(dataset["path"])
            try:
                level = self._group[name]
                factors = zarr_ome.factors_of(level.shape, above.shape, zarr_ome.scale_of(dataset), scale)
            except Exception:  # whatever zarr and its codecs raise on damaged data
                factors = None
            if factors is None:
                log.warning("%s: level %s is left out: it is damaged, or no level of the one above", self.path, name)
                continue
            found[name], above, scale = (level, factors), level, zarr_ome.scale_of(dataset)
        return found


def _like(array: Any, dtype: np.dtype[Any]) -> dict[str, Any]:
    """Return how to make an empty array like another."""
    how: dict[str, Any] = {
        "shape": array.shape,
        "chunks": array.chunks,
        "shards": array.shards,
        "dtype": dtype,
        "attributes": dict(array.attrs),
        "compressors": array.compressors,
    }
    if array.metadata.zarr_format == 3:
        return how | {"dimension_names": array.metadata.dimension_names}
    return how | {"chunk_key_encoding": {"name": "v2", "separator": array.metadata.dimension_separator}}


def _check_free(path: Path) -> None:
    """Refuse a place that is taken: a folder may hold what is nowhere else."""
    if path.exists():
        raise ImageError("is there already; remove it, or choose another place")
