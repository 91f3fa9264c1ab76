"""Find, read and write image files: reading goes by their content, writing by the suffix."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from indi.errors import ImageError, IndiError
from indi.io.atomic import atomic
from indi.io.convert import Array
from indi.io.formats import avif, bmp, gif, jpeg, png, tiff, tiff_write, webp
from indi.io.formats.zarr_stack import is_zarr
from indi.io.image import MAX_PIXELS, Header, Image
from indi.io.region import Box
from indi.io.stacks import open_stack


@dataclass(frozen=True)
class _Format:
    """A file format: how to know it, how to read and write it, and what it holds."""

    name: str
    signatures: tuple[bytes, ...]
    suffixes: tuple[str, ...]
    headers: Callable[[BinaryIO], list[Header]]
    decode: Callable[[BinaryIO], Image]
    encode: Callable[[Image, BinaryIO], None] | None = None
    dtypes: tuple[str, ...] = ("uint8",)
    channels: tuple[int, ...] | None = (1, 3)
    alpha: bool = False
    premultiplied: bool = False

    def is_of(self, start: bytes) -> bool:
        """Return whether a file begins as this format does; dots stand for any byte."""
        return any(re.match(signature, start, re.DOTALL) for signature in self.signatures)

    def objection(self, image: Image) -> str | None:
        """Return what of the image would be lost in this format, or None."""
        if image.pixels.dtype.name not in self.dtypes:
            return f"{self.name} cannot hold {image.pixels.dtype} pixels"
        if self.channels and image.channels not in self.channels:
            return f"{self.name} cannot hold {image.channels} channels"
        if image.alpha is not None and not self.alpha:
            return f"{self.name} cannot hold alpha"
        layout = image.metadata.tiff
        if image.alpha is not None and layout and layout.premultiplied and not self.premultiplied:
            return f"{self.name} cannot hold premultiplied alpha"
        return None


_FORMATS = (
    _Format(
        name="PNG",
        signatures=(re.escape(png.SIGNATURE),),
        suffixes=(".png",),
        headers=lambda file: [png.header(file)],
        decode=png.decode,
        encode=png.encode,
        dtypes=("uint8", "uint16"),
        alpha=True,
    ),
    _Format(
        name="JPEG",
        signatures=(re.escape(jpeg.SIGNATURE),),
        suffixes=(".jpg", ".jpeg"),
        headers=lambda file: [jpeg.header(file)],
        decode=jpeg.decode,
        encode=jpeg.encode,
    ),
    _Format(
        name="TIFF",
        signatures=tuple(map(re.escape, tiff.SIGNATURES)),
        suffixes=(".tif", ".tiff"),
        headers=tiff.headers,
        decode=tiff.decode,
        encode=tiff_write.encode,
        dtypes=("uint8", "uint16", "float32"),
        channels=None,
        alpha=True,
        premultiplied=True,
    ),
    _Format(
        name="WebP",
        signatures=(b"RIFF....WEBP",),
        suffixes=(".webp",),
        headers=lambda file: [webp.header(file)],
        decode=webp.decode,
        encode=webp.encode,
        alpha=True,
    ),
    _Format(
        name="AVIF",
        signatures=(b"....ftypavi[fs]", b"....ftypmi[fa]1.{0,40}avif"),
        suffixes=(".avif",),
        headers=lambda file: [avif.header(file)],
        decode=avif.decode,
        encode=avif.encode,
        alpha=True,
    ),
    _Format(
        name="GIF",
        signatures=(b"GIF8[79]a",),
        suffixes=(".gif",),
        headers=lambda file: [gif.header(file)],
        decode=gif.decode,
    ),
    _Format(
        name="BMP",
        signatures=(rb"BM....\0\0\0\0",),
        suffixes=(".bmp",),
        headers=lambda file: [bmp.header(file)],
        decode=bmp.decode,
    ),
)

READABLE_SUFFIXES = frozenset(suffix for each in _FORMATS for suffix in each.suffixes)
"""The suffixes of files that ``find_images`` finds, in lower case; those of files may be in capitals."""
WRITABLE_SUFFIXES = frozenset(suffix for each in _FORMATS if each.encode for suffix in each.suffixes)
"""The suffixes of files that ``write`` writes."""

_SUFFIXES = ", ".join(sorted(READABLE_SUFFIXES))
_WRITABLE = ", ".join(sorted(WRITABLE_SUFFIXES))
_NAMES = f"{', '.join(each.name for each in _FORMATS[:-1])} or {_FORMATS[-1].name}"
_START = 64  # bytes, by which a format is known


def find_images(folder: str | os.PathLike[str], *, volumes: bool = False) -> list[Path]:
    """Return the image files in ``folder``, by suffix, in counting order: ``2.png`` before ``10.png``.

    Folders below it and hidden files are passed over.

    Args:
        folder: Where to look.
        volumes: Return Zarr volumes too, after the files.

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
        more = [path for path in inside if volumes and not path.name.startswith(".") and is_zarr(path)]
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
    with _named(Path(path)):
        (header,) = _single(headers)
        return header


def read_headers(
    path: str | os.PathLike[str], *, channels: int = 1, axes: str | None = None, apart: bool = False
) -> list[Header]:
    """Return size, channels and type of each picture in a file, of which a TIFF or a Zarr volume may hold many.

    Args:
        path: The file.
        channels: Of the model; see ``stack.open_stack``.
        axes: Of a stack; see there.
        apart: Whether channels are pictures of their own; see there.

    Raises:
        ImageError: it is missing, damaged, or of a kind that is refused.
    """
    if not is_zarr(Path(path)):
        with _opened(Path(path)) as (file, format_):
            headers = format_.headers(file)
        are_whole = not (apart and any(header.apart for header in headers))
        if are_whole and (len(headers) == 1 or apart or (channels == 1 and axes is None)):
            return headers
    with open_stack(Path(path), channels=channels, axes=axes, apart=apart) as stack:
        return list(stack.headers)


def read_picture(
    path: str | os.PathLike[str], number: int, *, channels: int = 1, axes: str | None = None, apart: bool = False
) -> Array:
    """Return the pixels of one picture of a TIFF file or a Zarr volume, without its alpha.

    Args:
        path: The file.
        number: Which picture, from 0, of those of ``read_headers``.
        channels: Of the model; see ``stack.open_stack``.
        axes: Of the stack; see there.
        apart: Whether channels are pictures of their own; see there.

    Raises:
        ImageError: it is missing, damaged, cut short, or of a kind that is refused.
    """
    with open_stack(Path(path), channels=channels, axes=axes, apart=apart) as stack:
        header = stack.headers[number]
        with _named(Path(path)):
            _check_size(header, MAX_PIXELS)
        return stack.pixels(number, Box(0, 0, header.height, header.width))


def read(path: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS) -> Image:
    """Return the image in a file, as stored: its type, alpha and metadata kept, nothing rotated or corrected.

    Args:
        path: PNG, JPEG, TIFF, WebP, AVIF, GIF or BMP, known by its content; a wrong suffix does no harm.
        max_pixels: files that claim more are refused before memory is taken. More than four channels count
            as more pixels.

    Raises:
        ImageError: it is missing, damaged, cut short, too large, or of a kind that is refused.
    """
    with _opened(Path(path)) as (file, format_):
        (header,) = _single(format_.headers(file))
        _check_size(header, max_pixels)
        return format_.decode(file)


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
        with atomic(path) as temporary, temporary.open("wb") as file, _named(path):
            encode(image, file)
        tiff_write.say_left_out(path, image.metadata.tiff.left_out if image.metadata.tiff else ())
    except ImageError:
        raise
    except IndiError as error:
        raise ImageError(str(error)) from error


def check_format(path: Path, image: Image) -> Callable[[Image, BinaryIO], None]:
    """Return what writes an image into a file of the format that its suffix names.

    Raises:
        ImageError: there is none, or it would lose something of the image.
    """
    by_suffix = {suffix: each for each in _FORMATS for suffix in each.suffixes}
    format_ = by_suffix.get(path.suffix.lower())
    if format_ is None or format_.encode is None:
        raise ImageError(
            f"{path}: cannot write: no image format that is written has this suffix; use one of {_WRITABLE}"
        )
    if objection := format_.objection(image):
        able = [each.suffixes[0] for each in _FORMATS if each.encode and not each.objection(image)]
        raise ImageError(f"{path}: cannot write: {objection}; write {' or '.join(able)} instead")
    return format_.encode


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Put the file's name before what a format says of it."""
    try:
        yield
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, _Format]]:
    """Yield the open file and its format."""
    if "\0" in path.name:
        raise ImageError(f"{path!r}: cannot read: a file name cannot hold a zero character; check the name")
    try:
        if path.is_dir():
            raise ImageError(f"{path}: cannot read: it is a folder; give a file, or find the images in it first")
        if path.exists() and not path.is_file():  # opening a pipe would wait for ever
            raise ImageError(f"{path}: cannot read: it is not an ordinary file; copy it to one first")
        with path.open("rb") as file, _named(path):
            yield file, _format_of(file)
    except OSError as error:
        raise ImageError(
            f"{path}: cannot read: {error.strerror or error}; check the name and the permissions"
        ) from error


def _check_size(header: Header, most: int) -> None:
    pixels = header.height * header.width * -(-header.channels // 4)
    if pixels > most:
        claim = f"it claims {pixels:,} pixels, above the limit of {most:,}"
        raise ImageError(f"{claim}; raise max_pixels if you trust the file")


def _single(headers: list[Header]) -> list[Header]:
    if len(headers) > 1:
        raise ImageError(f"holds {len(headers):,} pictures where a single one is needed; save it as files of one")
    return headers


def _format_of(file: BinaryIO) -> _Format:
    start = file.read(_START)
    file.seek(0)
    for each in _FORMATS:
        if each.is_of(start):
            return each
    if not start:
        raise ImageError("cannot read: the file is empty; fetch it again, or leave it out")
    raise ImageError(f"cannot read: it is not a {_NAMES} file; convert it to one of these, or leave it out")


def _looks_like_image(path: Path) -> bool:
    return path.suffix.lower() in READABLE_SUFFIXES and not path.name.startswith(".") and path.is_file()


def _counting_order(path: Path) -> tuple[list[int | str], str]:
    parts = re.split(r"([0-9]+)", path.name.casefold())  # text and number in turn, so like meets like
    return [int(part) if index % 2 else part for index, part in enumerate(parts)], path.name
