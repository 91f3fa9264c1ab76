"""Zarr volumes: OME-Zarr 0.4 and 0.5, and plain arrays whose last two axes are Y and X.

Source: the OME-NGFF specifications 0.4 and 0.5, https://ngff.openmicroscopy.org.
"""

import logging
import math
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from indi.boxes import Box
from indi.errors import ImageError, MissingExtraError
from indi.images.convert import Array
from indi.images.image import PIXEL_TYPES, Header

log = logging.getLogger("indi")

SUFFIXES = (".zarr",)
_MARKS = ("zarr.json", ".zgroup", ".zarray")


def is_zarr(path: Path) -> bool:
    """Return whether a path is a Zarr folder."""
    return path.is_dir() and any((path / mark).is_file() for mark in _MARKS)


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
            self._group = node if isinstance(node, zarr.Group) else None
            self._level, self._array, names = _full_resolution(node, zarr)
            shape, dtype = self._array.shape, np.dtype(self._array.dtype)
            if len(shape) < 2 or 0 in shape or dtype not in PIXEL_TYPES:
                raise ImageError(f"holds {dtype} of shape {shape}; planes of uint8, uint16 or float32 are needed")
        self.places = self._places = tuple(shape[:-2])
        self.axes = "".join(names) if len(names) == len(shape[:-2]) else "I" * len(shape[:-2])
        self.headers: Sequence[Header] = [Header(shape[-2], shape[-1], 1, dtype)] * math.prod(self._places)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def pixels(self, number: int, box: Box) -> Array:
        """Return a box of a plane, (height, width)."""
        with _named(self.path):
            return np.asarray(self._array[self._part(number, box)])

    def write_like(
        self,
        path: Path,
        picture: Callable[[int], Callable[[int, int], Array]],
        dtype: npt.DTypeLike | None = None,
    ) -> None:
        """Write a volume of new planes, with the axes, scales and names of this one."""
        header = self.headers[0]
        temporary = path.parent / f".indi-{secrets.token_hex(6)}.zarr"
        try:
            with _named(path):
                _check_free(path)
                array = self._created(temporary, np.dtype(dtype or header.dtype))
                band = array.chunks[-2]
                for number in range(len(self.headers)):
                    rows = picture(number)
                    for top in range(0, header.height, band):
                        box = Box(top, 0, min(top + band, header.height), header.width)
                        array[self._part(number, box)] = rows(box.top, box.bottom)
                _check_free(path)
                temporary.replace(path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _part(self, number: int, box: Box) -> tuple[int | slice, ...]:
        place = (int(index) for index in np.unravel_index(number, self._places)) if self._places else ()
        return (*place, slice(box.top, box.bottom), slice(box.left, box.right))

    def _created(self, path: Path, dtype: np.dtype[Any]) -> Any:
        """Make an empty volume like this one; return its array."""
        zarr = _zarr()
        old = self._array
        how: dict[str, Any] = {
            "shape": old.shape,
            "chunks": old.chunks,
            "shards": old.shards,
            "dtype": dtype,
            "attributes": dict(old.attrs),
            "zarr_format": old.metadata.zarr_format,
            "compressors": old.compressors,
        }
        if old.metadata.zarr_format == 3:
            how["dimension_names"] = old.metadata.dimension_names
        else:
            how["chunk_key_encoding"] = {"name": "v2", "separator": old.metadata.dimension_separator}
        path.parent.mkdir(parents=True, exist_ok=True)
        if self._group is None:
            return zarr.create_array(store=str(path), **how)
        group = zarr.open_group(str(path), mode="w", zarr_format=old.metadata.zarr_format)
        attributes = _of_one_level(dict(self._group.attrs))
        group.attrs.update(attributes if dtype == old.dtype else _without_windows(attributes))
        return group.create_array(self._level, **{k: v for k, v in how.items() if k != "zarr_format"})


def _full_resolution(node: Any, zarr: Any) -> tuple[str, Any, list[str]]:
    """Return path and array of the full resolution of an image, or the array itself; and its axes but Y and X."""
    if isinstance(node, zarr.Array):
        return "", node, [name.upper() for name in (getattr(node.metadata, "dimension_names", None) or [])[:-2] if name]
    scales = _multiscales(dict(node.attrs))
    if not scales:
        raise ImageError("is a Zarr group without an OME image; give the folder of an image or of an array")
    image = scales[0]
    axes = [axis["name"] if isinstance(axis, dict) else axis for axis in image.get("axes", ["y", "x"])]
    if [name.lower() for name in axes[-2:]] != ["y", "x"]:
        raise ImageError(f"has axes {', '.join(axes)}; y and x must come last")
    level = str(image["datasets"][0]["path"])
    return level, node[level], [name.upper() for name in axes[:-2]]


def _multiscales(attributes: dict[str, Any]) -> list[Any]:
    """Return OME's list of images: under "ome" from version 0.5 on."""
    found = attributes.get("ome", attributes).get("multiscales", [])
    return found if isinstance(found, list) else []


def _of_one_level(attributes: dict[str, Any]) -> dict[str, Any]:
    """Return OME's attributes without the levels of lower resolution, which show the old pixels."""
    for image in _multiscales(attributes):
        if len(image["datasets"]) > 1:
            log.info("only the full resolution is written; the levels below it can be made from it")
        image["datasets"] = image["datasets"][:1]
    return attributes


def _without_windows(attributes: dict[str, Any]) -> dict[str, Any]:
    """Return OME's attributes without the range that a viewer shows, which is that of other pixels."""
    for channel in attributes.get("ome", attributes).get("omero", {}).get("channels", []):
        channel.pop("window", None)
    return attributes


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
    except MemoryError:
        raise
    except Exception as error:
        message = " ".join(str(error).split())[:200]
        raise ImageError(f"{path}: damaged Zarr: {message}; copy it again, or write it elsewhere") from error


def _zarr() -> Any:
    try:
        import zarr
    except ImportError as error:
        raise MissingExtraError("Zarr volumes need zarr; install indi[zarr]") from error
    return zarr
