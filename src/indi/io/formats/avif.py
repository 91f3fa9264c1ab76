"""AVIF: 8-bit colour with alpha, at a quality.

Source: AV1 Image File Format 1.1 and the AV1 codec configuration box, https://aomediacodec.github.io.
"""

from typing import BinaryIO

from indi.errors import ImageError
from indi.io.formats import by_pillow
from indi.io.image import Header, Image

QUALITY = 95  # of images that say none
_CONFIGURATION = b"av1C"
_DEEP = 0x40  # more than 8 bit, in its third byte
_START = 2**16  # bytes, before which that box comes


def header(file: BinaryIO) -> Header:
    """Return what the file says of itself.

    Raises:
        ImageError: it is damaged, animated, or of more than 8 bit.
    """
    file.seek(0)
    start = file.read(_START)
    place = start.find(_CONFIGURATION)
    if place >= 0 and start[place + 6 : place + 7] and start[place + 6] & _DEEP:
        raise ImageError("AVIF of more than 8 bit, which would be lost; convert it to a 16-bit PNG or TIFF first")
    return by_pillow.header(file, "AVIF")


def decode(file: BinaryIO) -> Image:
    """Return the image.

    Raises:
        ImageError: it is damaged, cut short, animated, or of more than 8 bit.
    """
    header(file)
    return by_pillow.decode(file, "AVIF")


def encode(image: Image, file: BinaryIO) -> None:
    """Write the image with full colour resolution (4:4:4), at the quality that the metadata say, 95 by default.

    Raises:
        ImageError: it is too large for AVIF.
    """
    by_pillow.encode(image, file, "AVIF", quality=image.metadata.quality or QUALITY, subsampling="4:4:4")
