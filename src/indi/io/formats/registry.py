"""The formats of image files, a row each. A new format is a file in this folder and a row here, and nothing else."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from indi.errors import ImageError
from indi.io.formats import (
    by_pillow,
    czi,
    heif,
    jpeg,
    lif,
    nd2,
    png,
    tiff,
    tiff_stack,
    tiff_write,
    zarr_ome,
    zarr_stack,
)
from indi.io.formats.format import Format
from indi.io.image import named

_ADDRESS = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+:/")  # as a path leaves it: of two slashes one
START = 64  # bytes, by which a format is known

FORMATS = (  # add a format here; format.py says what the fields are
    Format(
        "PNG", (".png",), (png.SIGNATURE,), png.headers, png.decode, png.encode, dtypes=("uint8", "uint16"), alpha=True
    ),
    Format("JPEG", (".jpg", ".jpeg"), (jpeg.SIGNATURE,), jpeg.headers, jpeg.decode, jpeg.encode),
    Format(
        "TIFF",
        (".tif", ".tiff"),
        tiff.SIGNATURES,
        tiff.headers,
        tiff.decode,
        tiff_write.encode,
        tiff_stack.TiffStack,
        dtypes=("uint8", "uint16", "float32"),
        channels=None,
        alpha=True,
        premultiplied=True,
    ),
    Format("WebP", (".webp",), (b"RIFF....WEBP",), *by_pillow.reader("WEBP"), by_pillow.encode_webp, alpha=True),
    Format("AVIF", (".avif",), by_pillow.AVIF, *by_pillow.reader("AVIF"), by_pillow.encode_avif, alpha=True),
    Format("HEIF", (".heic", ".heif"), (heif.SIGNATURE,), heif.headers, heif.decode, becomes=".png"),
    Format("GIF", (".gif",), (b"GIF8[79]a",), *by_pillow.reader("GIF"), becomes=".png"),
    Format("BMP", (".bmp",), (rb"BM....\0\0\0\0",), *by_pillow.reader("BMP"), becomes=".png"),
    Format("CZI", (".czi",), (czi.SIGNATURE,), open_stack=czi.open_stack, becomes=".ome.tif"),
    Format("ND2", (".nd2",), (nd2.SIGNATURE,), open_stack=nd2.open_stack, becomes=".ome.tif"),
    Format("LIF", (".lif",), (lif.SIGNATURE,), open_stack=lif.open_stack, becomes=".ome.tif"),
    Format(
        "Zarr",
        (".zarr",),
        open_stack=zarr_stack.ZarrStack,
        dtypes=("uint8", "uint16", "float32"),
        channels=None,
        marks=zarr_ome.MARKS,
    ),
)

_FILES = tuple(each for each in FORMATS if not each.marks)

READABLE_SUFFIXES = frozenset(suffix for each in _FILES for suffix in each.suffixes)
"""The suffixes of files that ``find_images`` finds, in lower case; those of files may be in capitals."""
WRITABLE_SUFFIXES = frozenset(suffix for each in _FILES if each.encode for suffix in each.suffixes)
"""The suffixes of files that ``write`` writes."""
WRITABLE_NAMES = tuple(each.name for each in _FILES if each.encode)
"""The formats of these, as people call them."""
VOLUME_SUFFIXES = frozenset(suffix for each in FORMATS if each.marks for suffix in each.suffixes)
"""The suffixes of folders that are written as one image."""
FLOAT_SUFFIXES = frozenset(suffix for each in FORMATS if "float32" in each.dtypes for suffix in each.suffixes)
"""The suffixes of what holds 32-bit floats."""
IMAGE_SUFFIXES = READABLE_SUFFIXES | {".jp2", ".jxl"}
"""The suffixes by which a name is that of an image, be it of a format that is not read here."""

_NAMES = f"{', '.join(each.name for each in _FILES[:-1])} or {_FILES[-1].name}"


def is_volume(path: Path) -> bool:
    """Return whether a path is a folder that is one image, such as Zarr's."""
    return _of_folder(path) is not None


def format_of(path: Path) -> Format:
    """Return the format of a file or of a folder that is an image, by its content.

    Raises:
        ImageError: It is missing, or of no format that is read.
    """
    if volume := _of_folder(path):
        return volume
    with opened(path) as file:
        start = file.read(START)
        found = next((each for each in _FILES if each.is_of(start)), None)
        if found is not None:
            return found
        if not start:
            raise ImageError("cannot read: the file is empty; fetch it again, or leave it out")
        raise ImageError(f"cannot read: it is not a {_NAMES} file; convert it to one of these, or leave it out")


def format_for(name: str) -> Format | None:
    """Return the format that the suffix of a name means, if it means one."""
    suffix = Path(name).suffix.lower()
    return next((each for each in FORMATS if suffix in each.suffixes), None)


def name_of_result(source: Path) -> str:
    """Return what a restored image is called: as its input, but with a suffix by which it can be written.

    Of a format that is not written it becomes one that holds all of it.
    """
    if volume := _of_folder(source):
        return source.name if source.suffix.lower() in volume.suffixes else source.name + volume.suffixes[0]
    found = format_for(source.name)
    return f"{source.stem}{found.becomes}" if found and found.becomes else source.name


def notes(path: Path) -> dict[str, Any]:
    """Return what a microscope noted in a file: "pixel_size" by axis with its "unit", and "channel_names".

    Only what the file says; what cannot be understood is left out.
    """
    with suppress(Exception):  # of other programs, which note anything; the pixels do not hang on them
        if open_stack := format_of(path).open_stack:
            with open_stack(path, True) as stack:
                return stack.notes()
    return {}


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Yield the open file; its name is put before what goes wrong inside.

    Raises:
        ImageError: It is missing, or no ordinary file.
    """
    if "\0" in path.name:
        raise ImageError(f"{path!r}: cannot read: a file name cannot hold a zero character; check the name")
    try:
        if path.is_dir():
            raise ImageError(f"{path}: cannot read: it is a folder; give a file, or find the images in it first")
        if path.exists() and not path.is_file():  # opening a pipe would wait for ever
            raise ImageError(f"{path}: cannot read: it is not an ordinary file; copy it to one first")
        with path.open("rb") as file, named(path):
            yield file
    except OSError as error:
        if _ADDRESS.match(str(path)):
            raise ImageError(f"{path}: cannot read: it is an address; copy it here, or mount where it lies") from error
        reason = error.strerror or error
        raise ImageError(f"{path}: cannot read: {reason}; check the name and the permissions") from error


def _of_folder(path: Path) -> Format | None:
    with suppress(OSError):  # said where it is opened
        if path.is_dir():
            return next((each for each in FORMATS if any((path / mark).is_file() for mark in each.marks)), None)
    return None
