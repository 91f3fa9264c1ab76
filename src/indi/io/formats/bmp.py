"""BMP: 8-bit gray, colour and palettes, as Windows writes them.

Source: BITMAPFILEHEADER and its relatives, https://learn.microsoft.com/windows/win32/gdi/bitmap-storage.
"""

from typing import BinaryIO

from indi.io.formats import by_pillow
from indi.io.image import Header, Image


def header(file: BinaryIO) -> Header:
    """Return what the file says of itself.

    Raises:
        ImageError: it is damaged or of a kind that is refused.
    """
    return by_pillow.header(file, "BMP")


def decode(file: BinaryIO) -> Image:
    """Return the image.

    Raises:
        ImageError: it is damaged, cut short or of a kind that is refused.
    """
    return by_pillow.decode(file, "BMP")
