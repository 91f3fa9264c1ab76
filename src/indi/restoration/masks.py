"""Masks: where an image is to stay as it is, which is where they are not 0."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unicodedata import normalize

import numpy as np
import tifffile
from numpy.typing import NDArray

from indi.errors import ImageError
from indi.io import Header, find_images, is_volume, read
from indi.io.region import Region
from indi.io.stacks import is_stack, open_stack

IN_MEMORY = 2**25  # values of a mask up to which it is read as a whole

Kept = NDArray[np.bool_]  # (h, w): True where the image stays as it is
ReadMask = Callable[[Region], Kept]


class Masks:
    """A mask for all images, or a folder of masks that have the images' names, whatever their suffixes.

    Args:
        path: The mask, or the folder.

    Raises:
        ImageError: It is missing, or a folder without images.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._by_name: defaultdict[str, list[Path]] | None = None
        if not path.exists():
            raise ImageError(f"{path}: no such mask; give an image, or a folder of masks with the images' names")
        if path.is_dir() and not is_volume(path):
            self._by_name = defaultdict(list)
            for file in find_images(path, volumes=True):
                self._by_name[_name(file)].append(file)

    @property
    def are_many(self) -> bool:
        """Whether each image has one of its own."""
        return self._by_name is not None

    def of(self, source: Path) -> Path:
        """Return the mask of an image.

        Raises:
            ImageError: There is none, or there are several.
        """
        if self._by_name is None:
            return self.path
        found = self._by_name.get(_name(source), [])
        if not found:
            raise ImageError(f"{source}: no mask in {self.path} has its name; add one, all 0 to restore it whole")
        if len(found) > 1:
            names = " and ".join(file.name for file in found)
            raise ImageError(f"{source}: {self.path} holds {names}; keep one of the masks")
        return found[0]


@contextmanager
def opened_mask(mask: Path | None, headers: Sequence[Header], number: int) -> Iterator[ReadMask | None]:
    """Open the mask of a picture of a stack, and yield what reads a region of it; None where there is no mask.

    Args:
        mask: An image for all pictures, or a stack of as many.
        headers: Of the pictures.
        number: Which picture it is.

    Raises:
        ImageError: The mask cannot be read, or does not fit.
    """
    if mask is None:
        yield None
        return
    count, size = len(headers), (headers[number].height, headers[number].width)
    if not is_stack(mask, IN_MEMORY):
        kept = read_mask(mask, size)
        yield lambda region: region.cut(kept)
        return
    with open_stack(mask) as stack:
        masks = len(stack.headers)
        if masks not in (1, count):
            advice = "give one mask for all, or one for each"
            raise ImageError(f"{mask}: holds {masks} masks, and there are {count} pictures; {advice}")
        place = number if masks == count else 0
        header = stack.headers[place]
        _check_size(mask, (header.height, header.width), size)
        yield lambda region: _kept(mask, stack.pixels(place, region))


def read_mask(mask: Path, size: tuple[int, int]) -> Kept:
    """Return the mask of an image of this height and width.

    Raises:
        ImageError: As ``opened_mask``.
    """
    pixels = read(mask).pixels
    _check_size(mask, pixels.shape[:2], size)
    return _kept(mask, pixels)


def _check_size(mask: Path, found: tuple[int, ...], size: tuple[int, int]) -> None:
    if found != size:
        is_, needed = (f"{height}x{width}" for height, width in (found, size))
        raise ImageError(f"{mask}: is {is_} px (height x width), the image {needed}; give a mask of the image's size")


def _kept(mask: Path, pixels: NDArray[Any]) -> Kept:
    if pixels.dtype.kind == "f":
        raise ImageError(f"{mask}: is a mask in {pixels.dtype}; save it in 8 or 16 bit, with 0 where to restore")
    stored = np.invert(pixels) if _is_white_zero(mask) else pixels
    return np.asarray(np.atleast_3d(stored).any(axis=2), dtype=bool)


def _is_white_zero(mask: Path) -> bool:
    """Return whether a TIFF says that its 0 is white, so that it is read inverted.

    So tifffile writes arrays of truth values and ImageJ its masks, and in both what is not 0 is what was marked.
    """
    try:
        with tifffile.TiffFile(mask) as file:
            return bool(file.pages.first.photometric == 0)
    except (OSError, ValueError, tifffile.TiffFileError):  # no TIFF
        return False


def _name(file: Path) -> str:
    """Return the name that a mask and its image have in common, as those of a pair do."""
    name = normalize("NFC", file.stem)
    return name[: -len(".ome")] if name.lower().endswith(".ome") and len(name) > len(".ome") else name
