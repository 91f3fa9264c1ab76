"""Files of many pictures, or of one too large for memory, whatever their format."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import numpy.typing as npt

from indi.boxes import Box
from indi.errors import ImageError
from indi.images import tiff
from indi.images.convert import Array
from indi.images.image import Header
from indi.images.tiff_stack import TiffStack
from indi.images.zarr_stack import ZarrStack, is_zarr

ReadRows = Callable[[int, int], Array]  # rows from one to another, (height, width[, C])


class Stack(AbstractContextManager["Stack"], Protocol):
    """Pictures that are read box by box. Use it as a context manager.

    Attributes:
        path: Where it lies.
        headers: Size, channels and type of each picture.
        suffixes: What the name of a file of this kind ends in.
    """

    path: Path
    headers: Sequence[Header]
    suffixes: Sequence[str]

    def pixels(self, number: int, box: Box) -> Array:
        """Return a box of a picture, (height, width[, C]), without its alpha.

        Raises:
            ImageError: The file is damaged.
        """

    def write_like(self, path: Path, picture: Callable[[int], ReadRows], dtype: npt.DTypeLike | None = None) -> None:
        """Write a stack of new pictures, with everything else of this one; whole or not at all.

        Args:
            path: Where to.
            picture: Returns rows of a picture, of the size and the channels it has here.
            dtype: Of the new pictures, where it is another: float32.

        Raises:
            ImageError: It cannot be written.
        """


def open_stack(path: Path) -> Stack:
    """Open a TIFF file or a Zarr folder.

    Raises:
        ImageError: It is missing, damaged, cut short, or of a kind that is refused.
        MissingExtraError: It is a Zarr folder, and zarr cannot be imported.
    """
    return ZarrStack(path) if is_zarr(path) else TiffStack(path)


def is_stack(path: Path, in_memory: int) -> bool:
    """Return whether a path holds several pictures, or one of more values than ``in_memory``.

    What cannot be read holds none: whoever reads it says why.
    """
    if is_zarr(path):
        return True
    try:
        with path.open("rb") as file:
            if not file.read(4).startswith(tiff.SIGNATURES):
                return False
        with TiffStack(path) as stack:
            header = stack.headers[0]
            return len(stack.headers) > 1 or header.height * header.width * header.channels > in_memory
    except (OSError, ImageError):
        return False
