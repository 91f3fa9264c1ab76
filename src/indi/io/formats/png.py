"""PNG: 8 and 16 bit, gray and colour, with alpha.

Chunks are read here and their checksums compared; libpng (by way of imagecodecs) sees only those that make
the pixels, so no colour correction happens on the way, and 16-bit colour stays 16 bit.

Source: Portable Network Graphics Specification, third edition, W3C 2025.
"""

import logging
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from indi.errors import ImageError
from indi.io.image import Header, Image, Metadata, Resolution, foreign_code, split_alpha

SIGNATURE = b"\x89PNG\r\n\x1a\n"  # which is a regular expression of itself

_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}  # by colour type
_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 1, 6: 3}
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_MOST_UNPACKED = 1040  # bytes that deflate makes of one, at most
_FOR_PIXELS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
_OF_COLOUR = {b"gAMA", b"cHRM", b"sRGB", b"cICP", b"mDCV", b"cLLI"}
_XMP_KEYWORD = b"XML:com.adobe.xmp\0"
_LONGEST_TEXT = 2**26  # a small chunk must not unpack to more than any profile needs

logging.getLogger("imagecodecs").addHandler(logging.NullHandler())  # else libpng's remarks reach stderr


def headers(file: BinaryIO) -> list[Header]:
    """Return what the first chunk says.

    Raises:
        ImageError: it is damaged or not PNG's.
    """
    kind, data = next(_chunks(file))
    if kind == b"CgBI":  # what Xcode packs into apps: another order of colours, and deflate without its header
        raise ImageError("PNG of Apple's own kind (CgBI), made for apps: open it on a Mac and save it as PNG")
    if kind != b"IHDR" or len(data) != 13:
        raise ImageError("damaged PNG: it does not begin with a header chunk")
    width, height, depth, colour, compression, filtering, interlace = struct.unpack(">IIBBBBB", data)
    is_known = depth in _DEPTHS.get(colour, ()) and (compression, filtering) == (0, 0) and interlace <= 1
    if not (width and height and is_known):
        raise ImageError("damaged PNG: its header holds impossible values")
    return [Header(height, width, _CHANNELS[colour], np.dtype(np.uint16 if depth == 16 else np.uint8))]


def decode(file: BinaryIO) -> Image:
    """Return the image; palettes are expanded to colour and transparent colours to alpha.

    Raises:
        ImageError: damaged, cut short, or animated.
    """
    from imagecodecs import png_decode

    (expected,) = headers(file)
    file.seek(0)
    needed, others = [], []
    for kind, data in _chunks(file):
        if kind in _FOR_PIXELS:
            needed.append(_chunk(kind, data))
        elif kind == b"acTL":
            raise ImageError(f"animated PNG: it holds {_number(data[:4]):,} pictures; single images only for now")
        elif kind[0] & 32:
            others.append((kind, data))
        else:
            raise ImageError(f"PNG with an unknown chunk {kind!r} that it needs for its pixels; save it again")
    _check_room(needed[0], sum(map(len, needed)))
    with foreign_code("damaged PNG"):
        samples = png_decode(SIGNATURE + b"".join(needed))
    shape = (expected.height, expected.width)
    allowed = [shape, (*shape, 2)] if expected.channels == 1 else [(*shape, 3), (*shape, 4)]
    if samples.shape not in allowed or samples.dtype != expected.dtype:
        raise ImageError(f"damaged PNG: it decodes to {samples.dtype} {samples.shape}, against its header")
    metadata = _metadata(others)
    if samples.shape == allowed[1]:
        return Image(*split_alpha(samples), metadata)
    return Image(samples, None, metadata)


def encode(image: Image, file: BinaryIO) -> None:
    """Write the image, bit exact, with its metadata.

    Raises:
        ImageError: libpng refuses it.
    """
    from imagecodecs import png_encode

    with foreign_code("PNG"):
        pixels = image.stacked()
        data = png_encode(pixels.ravel().reshape(pixels.shape))  # of one pixel any strides are contiguous, but not here
    after_header = len(SIGNATURE) + 25
    file.write(data[:after_header])
    for kind, content in _metadata_chunks(image):
        file.write(_chunk(kind, content))
    file.write(data[after_header:])


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """Yield each chunk's type and data, from after the signature through IEND."""
    whole = file.seek(0, 2)
    file.seek(len(SIGNATURE))
    kind = b""
    while kind != b"IEND":
        start = file.read(8)
        if len(start) < 8:
            raise ImageError("PNG cut short: its end is missing")
        length, kind = _number(start[:4]), start[4:]
        if not kind.isalpha():
            raise ImageError("damaged PNG: a chunk has no name")
        if file.tell() + length + 4 > whole:
            raise ImageError("PNG cut short: its end is missing")
        rest = file.read(length + 4)
        if zlib.crc32(rest[:length], zlib.crc32(kind)) != _number(rest[length:]):
            raise ImageError(f"damaged PNG: the checksum of its {kind.decode('ascii')} chunk is wrong")
        yield kind, rest[:length]


def _check_room(head: bytes, length: int) -> None:
    """Refuse an image whose pixels cannot have been packed into so few bytes, before memory is taken for them."""
    width, height, depth, colour = struct.unpack_from(">IIBB", head, 8)
    if height * (width * depth * _SAMPLES[colour] // 8) > length * _MOST_UNPACKED:
        raise ImageError(f"damaged PNG: {height:,} x {width:,} pixels cannot lie in {length:,} bytes; copy it again")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _metadata(chunks: list[tuple[bytes, bytes]]) -> Metadata:
    icc = exif = xmp = resolution = None
    kept = []
    for kind, data in chunks:
        if kind == b"iCCP" and icc is None:  # a file has one: of more, each could unpack to much
            icc = _inflate(data.partition(b"\0")[2][1:])
        elif kind == b"eXIf":
            exif = data.removeprefix(b"Exif\0\0")
        elif kind == b"pHYs" and len(data) == 9:
            x, y, unit = struct.unpack(">IIB", data)
            resolution = Resolution(x, y, "metre" if unit == 1 else "aspect")
        elif kind == b"iTXt" and data.startswith(_XMP_KEYWORD) and xmp is None:
            xmp = _international_text(data[len(_XMP_KEYWORD) :])
        elif kind in _OF_COLOUR or kind[3] & 32:  # small last letter: stays true whatever the pixels are
            kept.append((kind, data))
    return Metadata(icc=icc, exif=exif, xmp=xmp, resolution=resolution, png_chunks=tuple(kept))


def _metadata_chunks(image: Image) -> Iterator[tuple[bytes, bytes]]:
    """Yield the chunks to go before the pixels."""
    metadata = image.metadata
    if image.fitting_icc:
        yield b"iCCP", b"ICC profile\0\0" + zlib.compress(image.fitting_icc)
    yield from metadata.png_chunks
    if metadata.resolution:
        per_metre = metadata.resolution.per("metre")
        x, y = per_metre or (metadata.resolution.x, metadata.resolution.y)
        if max(x, y) < 2**31:
            yield b"pHYs", struct.pack(">IIB", round(x), round(y), 1 if per_metre else 0)
    if metadata.exif:
        yield b"eXIf", metadata.exif
    if metadata.xmp:
        yield b"iTXt", _XMP_KEYWORD + b"\0\0\0\0" + metadata.xmp


def _international_text(data: bytes) -> bytes:
    """Return the text of an iTXt chunk, behind two flags, a language and a translated keyword."""
    text = data[2:].partition(b"\0")[2].partition(b"\0")[2]
    return _inflate(text) if data[:1] == b"\1" else text


def _inflate(data: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(data, _LONGEST_TEXT)
    except zlib.error as error:
        raise ImageError(f"damaged PNG: its colour profile or XMP cannot be unpacked: {error}") from error
    if not unpacker.eof:
        raise ImageError("damaged PNG: its colour profile or XMP is cut short or far too long")
    return content
