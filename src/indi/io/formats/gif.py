"""GIF: a palette of 8 bit, gray where all its colours are; single pictures.

Source: Graphics Interchange Format, version 89a (CompuServe, 1990).
"""

from typing import BinaryIO

from indi.io.formats import by_pillow
from indi.io.image import Header, Image


def header(file: BinaryIO) -> Header:
    """Return what the file says of itself.

    Raises:
        ImageError: it is damaged or of a kind that is refused.
    """
    return by_pillow.header(file, "GIF")


def decode(file: BinaryIO) -> Image:
    """Return the image.

    Raises:
        ImageError: it is damaged, cut short or of a kind that is refused.
    """
    return by_pillow.decode(file, "GIF")
