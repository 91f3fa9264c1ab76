"""HEIF, as HEIC of telephones: 8 bit, and 10 or 12 bit as 16; read only, by pillow-heif.

Pixels are upright, since the format turns them itself and has readers ignore the orientation in its EXIF block.

Source: ISO/IEC 23008-12.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np

from indi.errors import ImageError
from indi.io.convert import Array
from indi.io.formats.format import optional
from indi.io.image import Header, Image, Metadata, foreign_code, split_alpha

SIGNATURE = b"....ftyp(hei[cxms]|mif1)"

_EXIF = b"Exif\0\0"


def headers(file: BinaryIO) -> list[Header]:
    """Return what the file says of each of its images.

    Raises:
        ImageError: it is damaged or of a kind that is refused.
        MissingExtraError: pillow-heif cannot be imported.
    """
    with _opened(file) as images:
        dtype = np.dtype(np.uint16 if ";16" in images.mode else np.uint8)
        width, height = images.size
        return [Header(height, width, 3 if images.mode.startswith("RGB") else 1, dtype)] * len(images)


def decode(file: BinaryIO) -> Image:
    """Return the image.

    Raises:
        ImageError: it is damaged, cut short, or of a kind that is refused.
        MissingExtraError: pillow-heif cannot be imported.
    """
    (header,) = headers(file)
    with _opened(file) as images:
        samples: Array = np.array(images)
        optional("pillow_heif", "HEIF images", extra="heif").set_orientation(images.info)
        info, has_alpha = images.info, images.has_alpha
    depth = header.channels + has_alpha
    shape = (header.height, header.width, *([depth] if depth > 1 else []))
    if samples.shape != shape or samples.dtype != header.dtype:
        raise ImageError(f"damaged HEIF: it decodes to {samples.dtype} {samples.shape}; save it again")
    exif, xmp = (info.get(name) or None for name in ("exif", "xmp"))
    metadata = Metadata(info.get("icc_profile") or None, exif and exif.removeprefix(_EXIF), xmp)
    return Image(*split_alpha(samples), metadata) if has_alpha else Image(samples, None, metadata)


@contextmanager
def _opened(file: BinaryIO) -> Iterator[Any]:
    pillow_heif = optional("pillow_heif", "HEIF images", extra="heif")
    file.seek(0)
    with foreign_code("damaged HEIF"):
        images = pillow_heif.open_heif(file, convert_hdr_to_8bit=False)
        if images.premultiplied_alpha:
            raise ImageError("HEIF with premultiplied alpha; convert it to PNG first")
        yield images
