"""Image files to arrays and back, with type, alpha and metadata kept."""

from indi.io.atomic import atomic, write_atomic
from indi.io.convert import fit_channels, from_unit, span_of, to_unit
from indi.io.files import (
    find_images,
    read,
    read_header,
    read_headers,
    read_picture,
    write,
)
from indi.io.formats.registry import (
    FLOAT_SUFFIXES,
    IMAGE_SUFFIXES,
    READABLE_SUFFIXES,
    VOLUME_SUFFIXES,
    WRITABLE_NAMES,
    WRITABLE_SUFFIXES,
    is_volume,
    name_of_result,
    notes,
)
from indi.io.formats.tags import orientation
from indi.io.image import MAX_CHANNELS, MAX_PIXELS, Header, Image, Metadata, Resolution

__all__ = [
    "FLOAT_SUFFIXES",
    "IMAGE_SUFFIXES",
    "MAX_CHANNELS",
    "MAX_PIXELS",
    "READABLE_SUFFIXES",
    "VOLUME_SUFFIXES",
    "WRITABLE_NAMES",
    "WRITABLE_SUFFIXES",
    "Header",
    "Image",
    "Metadata",
    "Resolution",
    "atomic",
    "find_images",
    "fit_channels",
    "from_unit",
    "is_volume",
    "name_of_result",
    "notes",
    "orientation",
    "read",
    "read_header",
    "read_headers",
    "read_picture",
    "span_of",
    "to_unit",
    "write",
    "write_atomic",
]
