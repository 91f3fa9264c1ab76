"""WebP: 8-bit colour with alpha, without loss or at a quality.

Source: RFC 9649.
"""

from typing import BinaryIO

from indi.errors import ImageError
from indi.io.formats import by_pillow
from indi.io.image import Header, Image

_LONGEST_SIDE = 16383


def header(file: BinaryIO) -> Header:
    """Return what the file says of itself.

    Raises:
        ImageError: it is damaged or animated.
    """
    return by_pillow.header(file, "WEBP")


def decode(file: BinaryIO) -> Image:
    """Return the image.

    Raises:
        ImageError: it is damaged, cut short or animated.
    """
    return by_pillow.decode(file, "WEBP")


def encode(image: Image, file: BinaryIO) -> None:
    """Write the image without loss, or at the quality that the metadata say.

    Raises:
        ImageError: it is too large for WebP.
    """
    if max(image.pixels.shape[:2]) > _LONGEST_SIDE:
        raise ImageError(f"WebP holds at most {_LONGEST_SIDE:,} pixels a side; write .png or .tif instead")
    quality = image.metadata.quality
    if quality is None:
        by_pillow.encode(image, file, "WEBP", lossless=True, exact=True)
    else:
        by_pillow.encode(image, file, "WEBP", quality=quality)
