"""Masks: where an image is to stay as it is, which is where they are not 0."""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from unicodedata import normalize

import numpy as np
import tifffile
from numpy.typing import NDArray

from indi.data import count
from indi.errors import ImageError
from indi.io import find_images, is_volume, orientation, read, span_of
from indi.io.formats.registry import format_of
from indi.io.region import Region, cores
from indi.io.stacks import Stack, is_stack, open_stack

log = logging.getLogger("indi")

IN_MEMORY = 2**25  # values of a mask up to which it is read as a whole
_BAND = 256  # rows that are looked through at a time
_UNKNOWN = {"I", "Q"}  # axes of which the file does not say what they are
_LOSSY = ("JPEG", "TIFF with JPEG", "WebP", "AVIF", "HEIF")  # some have a mode without loss, which few use
_JPEG = (6, 7, 34892)  # compressions of TIFF
_ALPHA = "is a mask with alpha, which may hide what is not 0; save it without alpha, with 0 where to restore"

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


def check_mask(mask: Path | None, stack: Stack, axes: str | None = None) -> None:
    """Refuse what is no mask of the pictures of a stack; warn where it keeps all of them, or nothing.

    Args:
        mask: As of ``opened_mask``.
        stack: Of which it is the mask.
        axes: As of ``opened_mask``.

    Raises:
        ImageError: The mask cannot be read, or does not fit.
    """
    if mask is None:
        return
    with _opened(mask, stack, axes) as opened:
        places = [opened.place(number) for number in range(len(stack.headers))]
        for place, header in zip(places, stack.headers, strict=True):
            _check_size(mask, opened.size(place), (header.height, header.width))
        parts: set[bool] = set()
        for place in sorted({*places}):
            for region in cores(Region(0, 0, *opened.size(place)), _BAND):
                parts |= _parts(opened.kept(place, region))
                if len(parts) == 2:
                    return
    _warn(mask, parts)


@contextmanager
def opened_mask(mask: Path | None, stack: Stack, number: int, axes: str | None = None) -> Iterator[ReadMask | None]:
    """Open the mask of a picture of a stack, and yield what reads a region of it; None where there is no mask.

    Masks are placed by the letters of their axes, and hold along all axes that they lack. Where those of the masks or
    of the stack are unknown they go by count: one for each picture, or one for each place along the only axis of that
    length.

    Args:
        mask: An image for all pictures, or a stack.
        stack: Of the pictures.
        number: Which picture it is.
        axes: Of both, where they are given: then masks are counted as they lie in the file, as the pictures are.

    Raises:
        ImageError: The mask cannot be read, or does not fit.
    """
    if mask is None:
        yield None
        return
    header = stack.headers[number]
    with _opened(mask, stack, axes) as opened:
        place = opened.place(number)
        _check_size(mask, opened.size(place), (header.height, header.width))
        yield lambda region: opened.kept(place, region)


def read_mask(mask: Path, size: tuple[int, int], turned: int = 1) -> Kept:
    """Return the mask of an image; warn where it keeps all of it, or nothing.

    Args:
        mask: The file.
        size: Height and width of the image.
        turned: Its EXIF orientation, 1 to 8.

    Raises:
        ImageError: As ``opened_mask``.
    """
    _check_kind(mask)
    kept = _read(mask, turned)
    _check_size(mask, kept.shape, size)
    _warn(mask, _parts(kept))
    return kept


@dataclass(frozen=True)
class _Opened:
    """The masks of a stack: which is that of a picture, height and width of one, and regions of it."""

    place: Callable[[int], int]
    size: Callable[[int], tuple[int, int]]
    kept: Callable[[int, Region], Kept]


@contextmanager
def _opened(mask: Path, stack: Stack, axes: str | None) -> Iterator[_Opened]:
    _check_kind(mask)
    turned = _noted(stack.path).turned
    if not is_stack(mask, IN_MEMORY):
        whole = _read(mask, turned)
        height, width = whole.shape
        yield _Opened(lambda number: 0, lambda place: (height, width), lambda place, region: region.cut(whole))
        return
    notes = _noted(mask)
    _check_turned(mask, notes.turned, turned)
    if notes.has_alpha:
        raise ImageError(f"{mask}: {_ALPHA}")
    with open_stack(mask, axes=axes) as masks:
        for header in masks.headers:
            _check_type(mask, header.dtype)
        yield _Opened(
            _placing(masks, stack),
            lambda place: (masks.headers[place].height, masks.headers[place].width),
            lambda place, region: _kept(mask, masks.pixels(place, region), notes),
        )


def _placing(masks: Stack, stack: Stack) -> Callable[[int], int]:
    """Return what tells which of the masks is that of a picture.

    Raises:
        ImageError: The masks do not fit the stack.
    """
    of_masks, along = _lengths(masks), _lengths(stack)
    held, needed = len(masks.headers), len(stack.headers)
    by_count = bool(_UNKNOWN & of_masks.keys()) or (len(of_masks) == 1 and along.keys() <= _UNKNOWN)
    if held == 1:
        return lambda number: 0
    if by_count and held == needed:
        return lambda number: number
    if by_count:
        fitting = [letter for letter, size in along.items() if size == held]
        if len(fitting) != 1:
            pictures = count(needed, "picture") + (f" by {_words(along)}" if len(along) > 1 else "")
            advice = "give one mask for all, one for each, or name the axes in both files"
            raise ImageError(f"{masks.path}: holds {held} masks, and the stack {pictures}; {advice}")
        of_masks = {fitting[0]: held}
    elif any(along.get(letter) != size for letter, size in of_masks.items()):
        found = f"counts its masks by {_words(of_masks)}, and the pictures are counted by {_words(along)}"
        raise ImageError(f"{masks.path}: {found}; write both with the same axes, or name them by --axes")
    letters, lengths = [*along], [*along.values()]

    def place(number: int) -> int:
        where = dict(zip(letters, np.unravel_index(number, lengths), strict=True))
        return int(np.ravel_multi_index([where[letter] for letter in of_masks], [*of_masks.values()]))

    return place


def _lengths(stack: Stack) -> dict[str, int]:
    """Return how many pictures there are along each axis of more than one, slowest first."""
    if len(stack.axes) != len(stack.places):  # several axes were given, and not how long each is
        return {"I": len(stack.headers)}
    return {letter: size for letter, size in zip(stack.axes, stack.places, strict=True) if size > 1}


def _words(along: dict[str, int]) -> str:
    return ", ".join(f"{letter} ({size})" for letter, size in along.items())


def _read(mask: Path, turned: int) -> Kept:
    """Return a mask as a whole, of an image of this EXIF orientation."""
    image = read(mask)
    _check_turned(mask, orientation(image.metadata.exif), turned)
    if image.alpha is not None and (image.alpha != span_of(image.alpha.dtype)).any():
        raise ImageError(f"{mask}: {_ALPHA}")
    return _kept(mask, image.pixels, _noted(mask))


def _check_kind(mask: Path) -> None:
    """Refuse a mask that was compressed with loss.

    Raises:
        ImageError: It is one, or cannot be read.
    """
    kind = "TIFF with JPEG" if _noted(mask).is_jpeg else format_of(mask).name
    if kind in _LOSSY:
        found = f"is a {kind} file, which changes values beside what was drawn"
        raise ImageError(f"{mask}: {found}; draw the mask again, and save it as PNG or TIFF")


def _check_turned(mask: Path, found: int, needed: int) -> None:
    if found != needed:
        advice = "save both upright, without EXIF orientation"
        raise ImageError(f"{mask}: has EXIF orientation {found}, the image {needed}; {advice}")


def _check_size(mask: Path, found: tuple[int, ...], size: tuple[int, int]) -> None:
    if found != size:
        is_, needed = (f"{height}x{width}" for height, width in (found, size))
        raise ImageError(f"{mask}: is {is_} px (height x width), the image {needed}; give a mask of the image's size")


def _check_type(mask: Path, dtype: np.dtype[Any]) -> None:
    if dtype.kind == "f":
        raise ImageError(f"{mask}: is a mask in {dtype}; save it in 8 or 16 bit, with 0 where to restore")


def _parts(kept: Kept) -> set[bool]:
    """Return whether something is kept, and whether something is not: True, False or both."""
    return {bool(value) for value in np.unique(kept)}


def _warn(mask: Path, parts: set[bool]) -> None:
    """Say of a mask that has no two parts what becomes of all of the image."""
    if parts == {True}:
        log.warning(
            "warning: %s: is 0 nowhere, so all of the image stays as it is; save it with 0 where to restore", mask
        )
    elif parts == {False}:
        log.warning("warning: %s: is 0 everywhere, so all of the image is restored", mask)


class _Notes(NamedTuple):
    """What the first picture of a TIFF says of all.

    Where its 0 is white it is read inverted: so tifffile writes arrays of truth values and ImageJ its masks, and in
    both what is not 0 is what was marked.
    """

    turned: int = 1
    has_alpha: bool = False
    is_jpeg: bool = False
    is_white_zero: bool = False


def _noted(path: Path) -> _Notes:
    """Return what a TIFF says; nothing of other files."""
    with suppress(Exception), tifffile.TiffFile(path) as file:  # whoever reads it says what is wrong with it
        page = file.pages.first
        turned, is_jpeg = int(page.tags.valueof("Orientation", 1)), page.compression in _JPEG
        return _Notes(turned, any(page.extrasamples), is_jpeg, page.photometric == 0)
    return _Notes()


def _kept(mask: Path, pixels: NDArray[Any], notes: _Notes) -> Kept:
    _check_type(mask, pixels.dtype)
    stored = np.invert(pixels) if notes.is_white_zero else pixels
    return np.asarray(np.atleast_3d(stored).any(axis=2), dtype=bool)


def _name(file: Path) -> str:
    """Return the name that a mask and its image have in common, as those of a pair do."""
    name = normalize("NFC", file.stem)
    return name[: -len(".ome")] if name.lower().endswith(".ome") and len(name) > len(".ome") else name
