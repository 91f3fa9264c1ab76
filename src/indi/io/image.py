"""What an image file holds, as values: pixels, alpha and all that must find its way back into a file."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from indi.errors import ImageError, MissingExtraError
from indi.io.convert import Array
from indi.io.formats.gamma import profile_of

PIXEL_TYPES = (np.dtype(np.uint8), np.dtype(np.uint16), np.dtype(np.float32))
MAX_CHANNELS = 64
MAX_PLANES = 2**20  # pictures of a file: a few bytes can claim any number, and each is listed
MAX_PIXELS = 2**29
"""How many pixels ``read`` accepts unless told otherwise: 1.6 GB as 8-bit colour."""

Unit = Literal["inch", "cm", "metre", "aspect"]
_PER_METRE = {"inch": 1 / 0.0254, "cm": 100.0, "metre": 1.0}


@dataclass(frozen=True)
class MapScale:
    """What the values of a map are.

    Attributes:
        high: The largest value to show; the least is 0.
        unit: Of the values, such as counts.
    """

    high: float
    unit: str


@dataclass(frozen=True)
class Resolution:
    """Pixels per ``unit`` of length, across and down; ``"aspect"`` tells the ratio of the two alone."""

    x: float
    y: float
    unit: Unit

    def per(self, unit: Unit) -> tuple[float, float] | None:
        """Return pixels per ``unit`` across and down, or None when only the ratio is known."""
        if self.unit == unit:
            return self.x, self.y
        if "aspect" in (self.unit, unit):
            return None
        scale = _PER_METRE[self.unit] / _PER_METRE[unit]
        return self.x * scale, self.y * scale


@dataclass(frozen=True)
class TiffLayout:
    """How a TIFF stored its pixels, by the numbers of the TIFF 6.0 tags: the same is written again.

    ``tile`` is height and width of its tiles.
    """

    compression: int
    photometric: int
    planar: int
    premultiplied: bool
    tile: tuple[int, int] | None = None


@dataclass(frozen=True)
class Metadata:
    """What goes from a file into the file made from it.

    ``exif`` is a block of tags as EXIF and TIFF store them, from its byte-order mark on. For a TIFF file it
    holds all tags that do not describe how pixels are stored: description, software, orientation, resolution,
    EXIF, GPS. ``png_chunks`` and ``jpeg_segments`` (text, comments, IPTC, …) only return into the format they
    came from. ``quality`` is what a file is to be written with that is compressed so, None for the default.
    ``left_out`` says in words what of the file no other can hold.
    """

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    resolution: Resolution | None = None
    png_chunks: tuple[tuple[bytes, bytes], ...] = ()
    jpeg_segments: tuple[tuple[int, bytes], ...] = ()
    tiff: TiffLayout | None = None
    quality: int | None = None
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Header:
    """What an image is, found without decoding it.

    ``channels`` does not count alpha. Three are ``apart`` where the file does not say that they are colours.
    """

    height: int
    width: int
    channels: int
    dtype: np.dtype[np.generic]
    apart: bool = False


@dataclass(frozen=True, eq=False)
class Image:
    """One still image as its file stores it; ``dataclasses.replace(image, pixels=…)`` keeps the rest.

    Attributes:
        pixels: (H, W) gray or (H, W, C) with 2 to 64 channels; uint8, uint16 or float32; as stored, so an
            EXIF orientation is not applied.
        alpha: (H, W) of the same type, or None.
        metadata: what to write back beside the pixels.

    Raises:
        ImageError: the arrays do not have such shapes and types.
    """

    pixels: Array
    alpha: Array | None = None
    metadata: Metadata = field(default_factory=Metadata)

    def __post_init__(self) -> None:
        shape, dtype = self.pixels.shape, self.pixels.dtype
        if dtype not in PIXEL_TYPES:
            raise ImageError(f"pixels are {dtype}; an image holds uint8, uint16 or float32")
        is_gray, has_channels = len(shape) == 2, len(shape) == 3 and 2 <= shape[2] <= MAX_CHANNELS
        if not (is_gray or has_channels) or 0 in shape:
            raise ImageError(f"pixels have shape {shape}; an image is (H, W), or (H, W, C) with C from 2 to 64")
        if self.alpha is not None and (self.alpha.shape, self.alpha.dtype) != (shape[:2], dtype):
            found = f"{self.alpha.dtype} {self.alpha.shape}"
            raise ImageError(f"alpha is {found}; it must be {dtype} {shape[:2]} as the pixels are")

    @property
    def channels(self) -> int:
        """Channels of the pixels: 1 for gray; alpha is not one."""
        return 1 if self.pixels.ndim == 2 else self.pixels.shape[2]

    @property
    def fitting_icc(self) -> bytes | None:
        """The colour profile, unless it is for gray and the pixels are in colour or the reverse."""
        icc = self.metadata.icc
        space = icc[16:20] if icc else b""
        misfit = (space == b"GRAY" and self.channels > 1) or (space == b"RGB " and self.channels == 1)
        return None if misfit else icc

    @property
    def portable_icc(self) -> bytes | None:
        """The fitting colour profile, or for formats without PNG's chunks what these say of the colours."""
        chunks = dict(self.metadata.png_chunks)
        if self.metadata.icc or {b"sRGB", b"cICP"} & chunks.keys():
            return self.fitting_icc
        return profile_of(chunks.get(b"gAMA"), chunks.get(b"cHRM"), gray=self.channels == 1)

    def stacked(self) -> Array:
        """Return the samples as files hold them: pixels, and alpha as the last channel if there is one."""
        return self.pixels if self.alpha is None else np.dstack([self.pixels, self.alpha])


def split_alpha(samples: Array) -> tuple[Array, Array]:
    """Return pixels and alpha of (H, W, C + 1) samples whose last channel is alpha."""
    pixels = samples[..., 0] if samples.shape[2] == 2 else samples[..., :-1]
    return np.ascontiguousarray(pixels), np.ascontiguousarray(samples[..., -1])


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Put a file's name before what a format says of it.

    Raises:
        ImageError, MissingExtraError: the block raised one.
    """
    try:
        yield
    except (ImageError, MissingExtraError) as error:
        raise type(error)(f"{path}: {error}") from error


@contextmanager
def foreign_code(doing: str) -> Iterator[None]:
    """Turn whatever a codec raises into one line: on damaged data they raise nearly every type there is.

    Raises:
        ImageError: the block raised anything but an ImageError or an error of the file system.
    """
    try:
        yield
    except (ImageError, OSError) as error:
        if isinstance(error, OSError) and error.errno is None:  # Pillow's own, not the system's
            raise ImageError(f"{doing}: {one_line(error)}") from error
        raise
    except MemoryError as error:
        raise ImageError(f"{doing}: not enough memory; close other programs or use a smaller image") from error
    except Exception as error:
        raise ImageError(f"{doing}: {one_line(error)}") from error


@contextmanager
def foreign_file(path: Path, kind: str) -> Iterator[None]:
    """Turn whatever a library that reads or writes volumes raises into one line that names the file.

    Raises:
        ImageError: the block raised anything.
    """
    try:
        yield
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error
    except MemoryError as error:
        raise ImageError(f"{path}: not enough memory; close other programs or use a smaller volume") from error
    except Exception as error:
        raise ImageError(f"{path}: damaged {kind}: {one_line(error)}; copy it again, or write it elsewhere") from error


def one_line(error: Exception) -> str:
    """Return the message of ``error`` on one line, or its type where it has none."""
    return " ".join(str(error).split())[:200] or type(error).__name__
