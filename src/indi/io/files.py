"""Find, read and write image files: reading goes by their content, writing by the suffix."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from indi.errors import ImageError, IndiError
from indi.io.atomic import atomic
from indi.io.convert import Array
from indi.io.formats.format import warn_left_out
from indi.io.formats.registry import (
    FORMATS,
    READABLE_SUFFIXES,
    WRITABLE_SUFFIXES,
    format_for,
    format_of,
    is_volume,
    opened,
)
from indi.io.image import MAX_PIXELS, Header, Image, named
from indi.io.region import Region
from indi.io.stacks import open_stack

_SUFFIXES = ", ".join(sorted(READABLE_SUFFIXES))
_WRITABLE = ", ".join(sorted(WRITABLE_SUFFIXES))


def find_images(folder: str | os.PathLike[str], *, volumes: bool = False) -> list[Path]:
    """Return the image files in ``folder``, by suffix, in counting order: ``2.png`` before ``10.png``.

    Folders below it and hidden files are passed over.

    Args:
        folder: Where to look.
        volumes: Return folders that are images too, such as Zarr volumes, after the files.

    Raises:
        ImageError: there is no such folder, or no image in it.
    """
    folder = Path(folder)
    try:
        if not folder.is_dir():
            problem = "it is a file" if folder.exists() else "there is no such folder"
            raise ImageError(f"{folder}: cannot look for images: {problem}; give a folder that holds images")
        inside = list(folder.iterdir())
        found = [path for path in inside if _looks_like_image(path)]
        more = [path for path in inside if volumes and not path.name.startswith(".") and is_volume(path)]
    except OSError as error:
        raise ImageError(f"{folder}: cannot look for images: {error.strerror}; make the folder readable") from error
    if not found and not more:
        raise ImageError(f"{folder}: no images in this folder; it needs files ending in {_SUFFIXES}")
    return sorted(found, key=_counting_order) + sorted(more, key=_counting_order)


def read_header(path: str | os.PathLike[str]) -> Header:
    """Return size, channels and type of an image file without decoding it.

    Raises:
        ImageError: it is missing, damaged, of a kind that is refused, or holds several pictures.
    """
    headers = read_headers(path)
    with named(Path(path)):
        (header,) = _single(headers)
        return header


def read_headers(
    path: str | os.PathLike[str], *, channels: int = 1, axes: str | None = None, apart: bool = False
) -> list[Header]:
    """Return size, channels and type of each picture in a file or a volume, of which a stack holds many.

    Args:
        path: The file.
        channels: Of the model; see ``stacks.open_stack``.
        axes: Of a stack; see there.
        apart: Whether channels are pictures of their own; see there.

    Raises:
        ImageError: it is missing, damaged, or of a kind that is refused.
    """
    path = Path(path)
    if read := format_of(path).headers:
        with opened(path) as file:
            headers = read(file)
        are_whole = not (apart and any(header.apart for header in headers))
        if are_whole and (len(headers) == 1 or apart or (channels == 1 and axes is None)):
            return headers
    with open_stack(path, channels=channels, axes=axes, apart=apart) as stack:
        return list(stack.headers)


def read_picture(
    path: str | os.PathLike[str], number: int, *, channels: int = 1, axes: str | None = None, apart: bool = False
) -> Array:
    """Return the pixels of one picture of a stack, without its alpha.

    Args:
        path: The file.
        number: Which picture, from 0, of those of ``read_headers``.
        channels: Of the model; see ``stacks.open_stack``.
        axes: Of the stack; see there.
        apart: Whether channels are pictures of their own; see there.

    Raises:
        ImageError: it is missing, damaged, cut short, or of a kind that is refused.
    """
    with open_stack(Path(path), channels=channels, axes=axes, apart=apart) as stack:
        header = stack.headers[number]
        with named(Path(path)):
            _check_size(header, MAX_PIXELS)
        return stack.pixels(number, Region(0, 0, header.height, header.width))


def read(path: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS) -> Image:
    """Return the image in a file, as stored: its type, alpha and metadata kept, nothing rotated or corrected.

    Args:
        path: A file of a format of ``formats.registry``, known by its content; a wrong suffix does no harm.
        max_pixels: files that claim more are refused before memory is taken. More than four channels count
            as more pixels.

    Raises:
        ImageError: it is missing, damaged, cut short, too large, or of a kind that is refused.
    """
    path = Path(path)
    format_ = format_of(path)
    with opened(path) as file:
        if format_.headers and format_.decode:
            (header,) = _single(format_.headers(file))
            _check_size(header, max_pixels)
            return format_.decode(file)
    header = read_header(path)
    with named(path):
        _check_size(header, max_pixels)
    return Image(read_picture(path, 0))


def write(path: str | os.PathLike[str], image: Image) -> None:
    """Write an image to a PNG, JPEG, TIFF, WebP or AVIF file, by suffix; whole or not at all, with folders above made.

    PNG and TIFF are bit exact, and WebP unless the metadata say a quality; JPEG and AVIF have full colour resolution
    and that quality, 95 by default. EXIF, ICC profile and XMP go into every format, and the resolution into all but
    the last two; a profile of another kind than the pixels (gray, colour) is left out.

    Raises:
        ImageError: the format would lose something of the image, or the file cannot be written.
    """
    path = Path(path)
    encode = check_format(path, image)
    try:
        with atomic(path) as temporary, temporary.open("wb") as file, named(path):
            encode(image, file)
        warn_left_out(path, image.metadata.left_out)
    except ImageError:
        raise
    except IndiError as error:
        raise ImageError(str(error)) from error


def check_format(path: Path, image: Image) -> Callable[[Image, BinaryIO], None]:
    """Return what writes an image into a file of the format that its suffix names.

    Raises:
        ImageError: there is none, or it would lose something of the image.
    """
    format_ = format_for(path.name)
    if format_ is None or format_.encode is None:
        raise ImageError(
            f"{path}: cannot write: no image format that is written has this suffix; use one of {_WRITABLE}"
        )
    if objection := format_.objection(image):
        able = [each.suffixes[0] for each in FORMATS if each.encode and not each.objection(image)]
        raise ImageError(f"{path}: cannot write: {objection}; write {' or '.join(able)} instead")
    return format_.encode


def _check_size(header: Header, most: int) -> None:
    pixels = header.height * header.width * -(-header.channels // 4)
    if pixels > most:
        claim = f"it claims {pixels:,} pixels, above the limit of {most:,}"
        raise ImageError(f"{claim}; raise max_pixels if you trust the file")


def _single(headers: list[Header]) -> list[Header]:
    if len(headers) > 1:
        raise ImageError(f"holds {len(headers):,} pictures where a single one is needed; save it as files of one")
    return headers


def _looks_like_image(path: Path) -> bool:
    return path.suffix.lower() in READABLE_SUFFIXES and not path.name.startswith(".") and path.is_file()


def _counting_order(path: Path) -> tuple[list[int | str], str]:
    parts = re.split(r"([0-9]+)", path.name.casefold())  # text and number in turn, so like meets like
    return [int(part) if index % 2 else part for index, part in enumerate(parts)], path.name
