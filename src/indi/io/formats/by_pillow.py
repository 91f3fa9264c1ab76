"""The formats that Pillow decodes and encodes: 8-bit stills, gray or in colour, with alpha.

Source: RFC 9649 (WebP); AV1 Image File Format 1.1 and the AV1 codec configuration box, https://aomediacodec.github.io.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, BinaryIO

import numpy as np

from indi.errors import ImageError
from indi.io.convert import Array
from indi.io.image import Header, Image, Metadata, Resolution, foreign_code, split_alpha

AVIF = (b"....ftypavi[fs]", b"....ftypmi[fa]1.{0,40}avif")  # how files begin

_EXIF = b"Exif\0\0"
_FREE_PIXELS = 2**25
_PIXELS_OF_A_BYTE = 64  # that are taken for true of a larger image: packed pictures have ten or fewer
_LONGEST_SIDE_OF_WEBP = 16383
_QUALITY_OF_AVIF = 95  # of images that say none


def reader(kind: str) -> tuple[Callable[[BinaryIO], list[Header]], Callable[[BinaryIO], Image]]:
    """Return what reads the headers and the image of a file of a kind, by Pillow's name (``"WEBP"``)."""
    return partial(_headers, kind), partial(_decode, kind)


def _headers(kind: str, file: BinaryIO) -> list[Header]:
    """Return what Pillow says of a file.

    Raises:
        ImageError: it is damaged, animated or of a kind that is refused.
    """
    with _opened(file, kind) as picture:
        channels = 1 if _has_gray(picture) else 3
        return [Header(picture.height, picture.width, channels, np.dtype(np.uint8))]


def _decode(kind: str, file: BinaryIO) -> Image:
    """Return the image as stored; palettes are expanded, and transparent colours become alpha.

    Raises:
        ImageError: as ``_headers``, or it is cut short.
    """
    with _opened(file, kind) as picture, foreign_code(f"damaged {_name(kind)}"):
        has_alpha = "A" in picture.getbands() or "transparency" in picture.info
        mode = ("LA" if has_alpha else "L") if _has_gray(picture) else "RGBA" if has_alpha else "RGB"
        metadata = _metadata(picture)
        shape = (picture.height, picture.width)
        gray_of_palette = picture.mode == "P" and mode in ("L", "LA")  # by luma it would be rounded
        samples: Array = np.array(picture.convert("RGBA" if gray_of_palette else mode))
    if gray_of_palette:
        samples = samples[..., [0, 3]] if has_alpha else np.ascontiguousarray(samples[..., 0])
    if samples.shape[:2] != shape or samples.dtype != np.uint8:
        raise ImageError(f"damaged {_name(kind)}: it decodes to {samples.dtype} {samples.shape}; save it again")
    return Image(*split_alpha(samples), metadata) if has_alpha else Image(samples, None, metadata)


def encode_webp(image: Image, file: BinaryIO) -> None:
    """Write the image without loss, or at the quality that the metadata say.

    Raises:
        ImageError: it is too large for WebP.
    """
    if max(image.pixels.shape[:2]) > _LONGEST_SIDE_OF_WEBP:
        raise ImageError(f"WebP holds at most {_LONGEST_SIDE_OF_WEBP:,} pixels a side; write .png or .tif instead")
    quality = image.metadata.quality
    _encode(image, file, "WEBP", **({"lossless": True, "exact": True} if quality is None else {"quality": quality}))


def encode_avif(image: Image, file: BinaryIO) -> None:
    """Write the image with full colour resolution (4:4:4), at the quality that the metadata say, 95 by default.

    Raises:
        ImageError: it is too large for AVIF.
    """
    _encode(image, file, "AVIF", quality=image.metadata.quality or _QUALITY_OF_AVIF, subsampling="4:4:4")


def _encode(image: Image, file: BinaryIO, kind: str, **options: Any) -> None:
    """Write the image with its EXIF, colour profile and XMP, as Pillow's options say."""
    from PIL.Image import fromarray

    metadata, pixels = image.metadata, image.pixels
    if image.alpha is not None and image.channels == 1:  # these know gray only without alpha
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    samples = pixels if image.alpha is None else np.dstack([pixels, image.alpha])
    icc = None if samples.ndim == 3 and image.channels == 1 else image.portable_icc
    extra = {"exif": _EXIF + metadata.exif if metadata.exif else None, "icc_profile": icc, "xmp": metadata.xmp}
    options |= {name: value for name, value in extra.items() if value}
    with foreign_code(_name(kind)):
        fromarray(np.ascontiguousarray(samples)).save(file, kind, **options)


@contextmanager
def _opened(file: BinaryIO, kind: str) -> Iterator[Any]:
    from PIL import Image as Pillow

    if kind == "AVIF":
        _refuse_deep_avif(file)
    length = file.seek(0, 2)
    file.seek(0)
    with warnings.catch_warnings(), foreign_code(f"damaged {_name(kind)}"):
        warnings.simplefilter("ignore")  # what is too large is told below, what is damaged when it is decoded
        try:
            picture = Pillow.open(file, formats=[kind])
        except Pillow.DecompressionBombError as error:
            raise ImageError(f"{_name(kind)} of more pixels than are read; save it as TIFF") from error
        if (count := getattr(picture, "n_frames", 1)) > 1:
            raise ImageError(f"animated {_name(kind)}: it holds {count:,} pictures; single images only for now")
        pixels = picture.height * picture.width
        if pixels > max(_FREE_PIXELS, _PIXELS_OF_A_BYTE * length):
            raise ImageError(f"{_name(kind)} that claims {pixels:,} pixels in {length:,} bytes; save it as PNG first")
        yield picture


def _refuse_deep_avif(file: BinaryIO) -> None:
    """Refuse more than 8 bit, which Pillow would round without a word, by the box that configures the codec."""
    file.seek(0)
    _, box, configuration = file.read(2**16).partition(b"av1C")
    if box and configuration[2:3] and configuration[2] & 0x40:
        raise ImageError("AVIF of more than 8 bit, which would be lost; convert it to a 16-bit PNG or TIFF first")


def _has_gray(picture: Any) -> bool:
    """Return whether a picture is gray: also one whose palette is."""
    if picture.mode in ("1", "L", "LA"):
        return True
    if picture.mode != "P":
        return False
    colours = np.frombuffer(bytes(picture.palette.palette), np.uint8)
    channels = len(picture.palette.mode)
    colours = colours[: len(colours) // channels * channels].reshape(-1, channels)[:, :3]
    return bool((colours == colours[:, :1]).all())


def _metadata(picture: Any) -> Metadata:
    info = picture.info
    exif, xmp = info.get("exif"), info.get("xmp")
    dpi = info.get("dpi")
    has_size = dpi is not None and len(dpi) == 2 and all(0 < float(each) < 2**31 for each in dpi)
    return Metadata(
        icc=info.get("icc_profile") or None,
        exif=exif.removeprefix(_EXIF) or None if isinstance(exif, bytes) else None,
        xmp=xmp.encode() if isinstance(xmp, str) else xmp or None,
        resolution=Resolution(float(dpi[0]), float(dpi[1]), "inch") if has_size else None,
    )


def _name(kind: str) -> str:
    return {"WEBP": "WebP"}.get(kind, kind)
