"""Zarr volumes: OME-Zarr 0.4 and 0.5, and plain arrays whose last two axes are Y and X.

Source: the OME-NGFF specifications 0.4 and 0.5, https://ngff.openmicroscopy.org.
"""

import hashlib
import logging
import math
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import product
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np

from indi.errors import ImageError, MissingExtraError
from indi.io.atomic import temporary_beside
from indi.io.convert import Array
from indi.io.formats.pyramid import are_blocks, blocks, fill_level
from indi.io.image import MAX_PIXELS, MAX_PLANES, PIXEL_TYPES, Header
from indi.io.maps import MapScale
from indi.io.region import Box

log = logging.getLogger("indi")

SUFFIXES = (".zarr",)
_MARKS = ("zarr.json", ".zgroup", ".zarray")
_BLOSC_HEADER = 16  # bytes; the last four say how long the chunk is
_NO_CHUNK = 2**64 - 1  # where a shard's index has no chunk
_SHOWN = 8  # names in a line
_BLOCK = 2**25  # values that are gathered before they are written, where chunks are small
_counted: set[tuple[Path, int]] = set()  # arrays whose missing chunks were said: a volume is opened many times


def is_zarr(path: Path) -> bool:
    """Return whether a path is a Zarr folder."""
    return path.is_dir() and any((path / mark).is_file() for mark in _MARKS)


def fingerprint(path: Path) -> str:
    """Return a digest of the names, sizes and times of change of all files below a Zarr folder.

    Links are followed; one that leads nowhere is passed over.

    Raises:
        ImageError: A folder cannot be read.
    """
    digest = hashlib.sha256()
    with _named(path):
        for name, entry in _files(path):
            status = entry.stat()
            digest.update(os.fsencode(name) + f"\0{status.st_size} {status.st_mtime_ns}\0".encode())
    return digest.hexdigest()


class ZarrStack:
    """The planes of a Zarr volume; see ``stack.Stack``.

    Raises:
        ImageError: It is damaged, or not a volume of planes.
        MissingExtraError: zarr cannot be imported.
    """

    suffixes: Sequence[str] = SUFFIXES

    def __init__(self, path: Path) -> None:
        self.path = path
        zarr = _zarr()
        with _named(path):
            node = zarr.open(str(path), mode="r")
            if isinstance(node, zarr.Group):
                self._group = _image(node, path)
                self._level, self._array, names = _full_resolution(self._group)
                self._beside = _beside(path, self._group)
            else:
                self._group, self._level, self._array, names = None, "", node, _leading(_names(node))
                self._beside = []
            shape, dtype = self._array.shape, np.dtype(self._array.dtype).newbyteorder("=")
            if len(shape) < 2 or 0 in shape or dtype not in PIXEL_TYPES:
                raise ImageError(f"holds {dtype} of shape {shape}; planes of uint8, uint16 or float32 are needed")
            if math.prod(shape[:-2]) > MAX_PLANES:
                raise ImageError(f"claims {math.prod(shape[:-2]):,} planes; {MAX_PLANES:,} at most are read; split it")
            if math.prod(self._array.chunks) > MAX_PIXELS:
                raise ImageError(f"has chunks of {self._array.chunks}; {MAX_PIXELS:,} values at most are read at once")
            self._folder = path / self._array.path
            self._file_shape = self._array.shards or self._array.chunks
            self._bytes_needed = _bytes_needed(self._array)
            self._warn_of_missing_chunks()
        self.places = self._places = tuple(shape[:-2])
        is_lettered = len(names) == len(self._places) and all(len(name) == 1 and name.isalpha() for name in names)
        self.axes = "".join(names) if is_lettered else "I" * len(self._places)
        self.headers: Sequence[Header] = [Header(shape[-2], shape[-1], 1, dtype)] * math.prod(self._places)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def pixels(self, number: int, box: Box) -> Array:
        """Return a box of a plane, (height, width)."""
        part = self._part(number, box)
        with _named(self.path):
            if self._bytes_needed is not None:
                self._check_chunks(part, self._bytes_needed)
            return np.asarray(self._array[part], self.headers[number].dtype)

    def write_like(
        self,
        path: Path,
        picture: Callable[[int], Callable[[int, int], Array]],
        scale: MapScale | None = None,
    ) -> None:
        """Write a volume of new planes, with the axes, scales, names and levels of resolution of this one."""
        temporary = temporary_beside(path, ".zarr")
        try:
            with _named(path):
                _check_free(path)
                if self._beside:
                    names = ", ".join(self._beside[:_SHOWN]) + (", …" if len(self._beside) > _SHOWN else "")
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

    def _fill(self, array: Any, picture: Callable[[int], Callable[[int, int], Array]]) -> None:
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

    def _part(self, number: int, box: Box) -> tuple[int | slice, ...]:
        place = (int(index) for index in np.unravel_index(number, self._places)) if self._places else ()
        return (*place, slice(box.top, box.bottom), slice(box.left, box.right))

    def _check_chunks(self, part: tuple[int | slice, ...], bytes_needed: Callable[[BinaryIO], int]) -> None:
        """Refuse a part of the array of which a chunk's file, or a shard's, is cut short."""
        slices = (index if isinstance(index, slice) else slice(index, index + 1) for index in part)
        along = (range(s.start // size, -(-s.stop // size)) for s, size in zip(slices, self._file_shape, strict=True))
        for place in product(*along):
            chunk = self._folder / self._array.metadata.encode_chunk_key(place)
            with suppress(FileNotFoundError), chunk.open("rb") as file:
                needed, found = bytes_needed(file), os.fstat(file.fileno()).st_size
                if found < needed:
                    name = chunk.relative_to(self.path).as_posix()
                    raise ImageError(f"chunk {name} is cut short: {found} of {needed} bytes; copy the volume again")

    def _warn_of_missing_chunks(self) -> None:
        """Log how many chunks, or shards, have no file: some were lost, or all that is in them is the fill value."""
        state = self._folder, self._folder.stat().st_mtime_ns
        if state in _counted:
            return
        _counted.add(state)
        grid = [-(-length // size) for length, size in zip(self._array.shape, self._file_shape, strict=True)]
        total = math.prod(grid)
        missing = total - sum(self._is_chunk(name, grid) for name, _ in _files(self._folder))
        if missing:
            what = "chunks" if self._array.shards is None else "shards"
            line = "%s: %d of %d %s are missing and read as %s; copy the volume again, unless they are empty"
            log.warning(line, self.path, missing, total, what, self._array.fill_value or 0)

    def _is_chunk(self, name: str, grid: list[int]) -> bool:
        place = tuple(int(index) for index in re.findall("[0-9]+", name))
        is_within = len(place) == len(grid) and all(index < count for index, count in zip(place, grid, strict=True))
        return is_within and bool(self._array.metadata.encode_chunk_key(place) == name)

    def _created(self, path: Path, scale: MapScale | None) -> tuple[Any, list[tuple[Any, list[int]]]]:
        """Make an empty volume like this one; return its array, and each level below it with its factors."""
        zarr = _zarr()
        dtype = self._array.dtype if scale is None else np.dtype(np.float32)
        form = self._array.metadata.zarr_format
        path.parent.mkdir(parents=True, exist_ok=True)
        if self._group is None:
            return zarr.create_array(store=str(path), zarr_format=form, **_like(self._array, dtype)), []
        group = zarr.open_group(str(path), mode="w", zarr_format=form)
        lower = self._lower_levels()
        attributes = _of_levels(dict(self._group.attrs), [self._level, *lower])
        group.attrs.update(attributes if scale is None else _with_windows(attributes, scale))
        array = group.create_array(self._level, **_like(self._array, dtype))
        return array, [(group.create_array(name, **_like(old, dtype)), by) for name, (old, by) in lower.items()]

    def _lower_levels(self) -> dict[str, tuple[Any, list[int]]]:
        """Return the levels of lower resolution by their paths, and how many pixels of the one above become one.

        What is damaged, or no level of means over blocks, is left out aloud.
        """
        first, *others = _multiscales(dict(self._group.attrs))[0]["datasets"]
        found: dict[str, tuple[Any, list[int]]] = {}
        above, scale = self._array, _scale(first)
        for dataset in others:
            name = str(dataset["path"])
            try:
                level = self._group[name]
                factors = _factors(level.shape, above.shape, _scale(dataset), scale)
            except Exception:  # whatever zarr and its codecs raise on damaged data
                factors = None
            if factors is None:
                log.warning("%s: level %s is left out: it is damaged, or no level of the one above", self.path, name)
                continue
            found[name], above, scale = (level, factors), level, _scale(dataset)
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


def _image(group: Any, path: Path) -> Any:
    """Return the group of an OME image: this one, or the only one in it where bioformats2raw laid it out."""
    attributes = dict(group.attrs)
    if _multiscales(attributes):
        return group
    images = []
    if "bioformats2raw.layout" in attributes.get("ome", attributes):
        names = sorted((below.name for below in path.iterdir() if is_zarr(below)), key=lambda name: (len(name), name))
        images = [name for name in names if _multiscales(dict(group[name].attrs))]
    if not images:
        raise ImageError("is a Zarr group without an OME image; give the folder of an image or of an array")
    if len(images) > 1:
        names = [*images[:_SHOWN], "…"] if len(images) > _SHOWN else images
        raise ImageError(f"holds {len(images)} images; give the folder of one: {', '.join(names)}")
    return group[images[0]]


def _full_resolution(group: Any) -> tuple[str, Any, list[str]]:
    """Return path and array of the full resolution of an image, and its axes but Y and X."""
    image = _multiscales(dict(group.attrs))[0]
    axes = [axis["name"] if isinstance(axis, dict) else axis for axis in image.get("axes", ["y", "x"])]
    level = str(image["datasets"][0]["path"])
    return level, group[level], _leading(axes)


def _scale(dataset: dict[str, Any]) -> list[float]:
    """Return how large pixels are along each axis, by OME's attributes of a level; nothing where they do not say."""
    for transformation in dataset.get("coordinateTransformations", []):
        if transformation.get("type") == "scale":
            return list(transformation.get("scale", []))
    return []


def _factors(coarse: Sequence[int], fine: Sequence[int], scale: list[float], above: list[float]) -> list[int] | None:
    """Return how many pixels of a finer level become one, by their scales or else shapes; None where that is not so."""
    if len(coarse) != len(fine):
        return None
    larger = [s / a for s, a in zip(scale, above, strict=True)] if len(scale) == len(above) == len(fine) else []
    factors = [round(factor) for factor in larger or (n / c for n, c in zip(fine, coarse, strict=True))]
    return factors if are_blocks(coarse, fine, factors) else None


def _names(array: Any) -> list[str]:
    """Return the names of a plain array's axes: version 2 has none, but xarray notes them; y and x where none has."""
    names = getattr(array.metadata, "dimension_names", None) or dict(array.attrs).get("_ARRAY_DIMENSIONS") or []
    return [name or "?" for name in names] if any(names) else ["y", "x"]


def _leading(axes: list[str]) -> list[str]:
    """Return the axes but Y and X, which must come last."""
    if [name.lower() for name in axes[-2:]] != ["y", "x"]:
        raise ImageError(f"has axes {', '.join(axes)}; y and x must come last")
    return [name.upper() for name in axes[:-2]]


def _beside(path: Path, group: Any) -> list[str]:
    """Return what lies in the folder of a volume, or in that of its image, and is no part of the image: labels, say."""
    image = path / group.path
    levels = [image / str(level["path"]) for level in _multiscales(dict(group.attrs))[0]["datasets"]]
    return sorted(
        below.relative_to(path).as_posix()
        for folder in {path, image}
        for below in folder.iterdir()
        if not below.name.startswith(".")
        and below.name not in _MARKS
        and not any(level.is_relative_to(below) for level in levels)
    )


def _multiscales(attributes: dict[str, Any]) -> list[Any]:
    """Return OME's list of images: under "ome" from version 0.5 on."""
    found = attributes.get("ome", attributes).get("multiscales", [])
    return found if isinstance(found, list) else []


def _of_levels(attributes: dict[str, Any], levels: list[str]) -> dict[str, Any]:
    """Return OME's attributes with these levels of the image and no others, and without how the old ones were made."""
    image, *others = _multiscales(attributes)
    if others:
        log.warning("only the first of %d images of one group is written", len(others) + 1)
    image["datasets"] = [level for level in image["datasets"] if str(level["path"]) in levels]
    image.pop("metadata", None)
    if "type" in image:
        image["type"] = "mean"
    attributes.get("ome", attributes)["multiscales"] = [image]
    return attributes


def _with_windows(attributes: dict[str, Any], scale: MapScale) -> dict[str, Any]:
    """Return OME's attributes with the range that a viewer shows of a map."""
    for channel in attributes.get("ome", attributes).get("omero", {}).get("channels", []):
        channel["window"] = {"min": 0.0, "max": scale.high, "start": 0.0, "end": scale.high}
    return attributes


def _bytes_needed(array: Any) -> Callable[[BinaryIO], int] | None:
    """Return what reads from the head of a chunk's file how long it must be, where a cut would not be noticed.

    Blosc reads on behind the end and finds other pixels. So may zarr where a shard's index comes first; one that comes
    last is cut off, which its checksum tells.
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


def _files(folder: Path | str, within: str = "") -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield the files below a folder in the order of their names, with their paths within it."""
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.is_dir():
                yield from _files(entry.path, f"{within}{entry.name}/")
            elif entry.is_file():
                yield f"{within}{entry.name}", entry


def _check_free(path: Path) -> None:
    """Refuse a place that is taken: a folder may hold what is nowhere else."""
    if path.exists():
        raise ImageError("is there already; remove it, or choose another place")


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Put the path before what is wrong, whatever zarr and its codecs raise on damaged data."""
    try:
        yield
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error
    except MemoryError as error:
        raise ImageError(f"{path}: not enough memory; close other programs or use a smaller volume") from error
    except Exception as error:
        message = " ".join(str(error).split())[:200]
        raise ImageError(f"{path}: damaged Zarr: {message}; copy it again, or write it elsewhere") from error


def _zarr() -> Any:
    try:
        import zarr
    except ImportError as error:
        raise MissingExtraError("Zarr volumes need zarr; install indi[zarr]") from error
    return zarr
