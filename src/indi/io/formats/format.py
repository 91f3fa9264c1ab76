"""What a format is to the rest of the library: how it is known, read and written, and what it holds."""

import logging
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, Self

from indi.errors import MissingExtraError
from indi.io.convert import Array
from indi.io.image import Header, Image, MapScale
from indi.io.region import Region

log = logging.getLogger("indi")

ReadRows = Callable[[int, int], Array]  # rows from one to another, (height, width[, C])


class Stack(ABC):
    """Pictures that are read region by region. Use it as a context manager.

    Attributes:
        path: Where it lies.
        headers: Size, channels and type of each picture.
        suffixes: What the name of a stack that is written from this one may end in.
        axes: What the pictures are counted by, slowest first, such as TZC; I where nothing says so.
        places: How many there are along each of these axes.
    """

    path: Path
    headers: Sequence[Header]
    suffixes: Sequence[str]
    axes: str
    places: tuple[int, ...]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:  # noqa: B027 - not every stack holds a file open
        """Close the file."""

    def notes(self) -> dict[str, Any]:
        """Return what a microscope noted: "pixel_size" by axis with its "unit", and "channel_names".

        It may raise anything, of what other programs wrote there.
        """
        return {}

    @abstractmethod
    def pixels(self, number: int, region: Region) -> Array:
        """Return a region of a picture, (height, width[, C]), without its alpha.

        Raises:
            ImageError: The file is damaged.
        """

    @abstractmethod
    def write_like(self, path: Path, picture: Callable[[int], ReadRows], scale: MapScale | None = None) -> None:
        """Write a stack of new pictures, with everything else of this one; whole or not at all.

        Args:
            path: Where to.
            picture: Returns rows of a picture, of the size and the channels it has here.
            scale: Of the new pictures, where they are maps, in float32.

        Raises:
            ImageError: It cannot be written.
        """


@dataclass(frozen=True)
class Format:
    """A format of images: a row of ``registry.FORMATS``.

    What reads and writes may raise an ``ImageError`` without the name of the file, which callers add; ``open_stack``
    names it, as it may be used for long. A format that needs an optional package raises a ``MissingExtraError``.

    Attributes:
        name: For messages.
        suffixes: Of its files, in lower case, the usual one first.
        signatures: Regular expressions of the first ``START`` bytes of its files; a dot stands for any byte.
        headers: Returns size, channels and type of each picture in a file; None where only ``open_stack`` tells.
        decode: Returns the picture of a file of one; None where only ``open_stack`` reads.
        encode: Writes an image; None where the format is not written.
        open_stack: Opens a file of many pictures, or of one that memory does not hold, which are numbered by the axes
            that it knows or (False) as they lie in the file. None where files hold one picture.
        dtypes: The types of pixels that it holds.
        channels: How many it holds, alpha not counted; None for any number.
        alpha: Whether it holds alpha.
        premultiplied: Whether it can say that colours are multiplied by their alpha.
        marks: Where an image is a folder: the names of files of which one lies in it.
        becomes: The suffix of what is made from a file, where the format is not written.
    """

    name: str
    suffixes: tuple[str, ...]
    signatures: Sequence[bytes] = ()
    headers: Callable[[BinaryIO], list[Header]] | None = None
    decode: Callable[[BinaryIO], Image] | None = None
    encode: Callable[[Image, BinaryIO], None] | None = None
    open_stack: Callable[[Path, bool], Stack] | None = None
    dtypes: tuple[str, ...] = ("uint8",)
    channels: tuple[int, ...] | None = (1, 3)
    alpha: bool = False
    premultiplied: bool = False
    marks: tuple[str, ...] = ()
    becomes: str = ""

    def is_of(self, start: bytes) -> bool:
        """Return whether a file that begins with these bytes is of this format."""
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


def optional(module: str, what: str, *, extra: str) -> Any:
    """Import a package that a format needs and the library does not.

    Raises:
        MissingExtraError: It cannot be imported.
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0].replace("_", "-")
        raise MissingExtraError(f"{what} need {package}; install indi[{extra}]") from error


def noted(sizes: Mapping[str, float], unit: str, channels: Sequence[Any] | None) -> dict[str, Any]:
    """Return notes for ``Stack.notes``.

    Args:
        sizes: Of a pixel, by axis, where they are known.
        unit: Of the sizes.
        channels: Their names; where one has none, none is noted.
    """
    found: dict[str, Any] = {"pixel_size": {**sizes, "unit": unit}} if sizes else {}
    return found | ({"channel_names": [str(name) for name in channels]} if channels and all(channels) else {})


def warn_left_out(path: Path, left_out: Sequence[str]) -> None:
    """Log what of the file that an image came from is not in the file that was written."""
    if left_out:
        log.warning("warning: %s: written without %s", path, " and without ".join(left_out))
