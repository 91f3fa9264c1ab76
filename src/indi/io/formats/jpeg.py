"""JPEG: 8-bit gray and colour.

Pillow refuses a file that was cut anywhere. Segments are read here for what it lets pass: bytes that belong to no
segment, by which a table or the colour profile is lost in silence; a missing part of a profile; scans without end; more
pixels than so few bytes can hold. It does not return all segments that are kept either. It sees only those that make
the pixels.

A scan that ends too early is filled with gray in silence. It is found by decoding again with more bytes behind each
scan: where all pixels are there, nothing reads them. A test says how rarely that finds nothing.

Source: ITU-T T.81 (JPEG) annex B; T.871 (JFIF); CIPA DC-008 (EXIF); ICC.1 annex B.4.
"""

import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from indi.errors import ImageError
from indi.io.convert import Array
from indi.io.image import Header, Image, Metadata, Resolution, Unit, foreign_code

if TYPE_CHECKING:
    from PIL.JpegImagePlugin import JpegImageFile

SIGNATURE = b"\xff\xd8\xff"
QUALITY = 95  # of images that come from no JPEG file
_LOWEST = 75  # below, blocks would be seen again, whatever the image came from

_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_LOSSLESS = {0xC3, 0xC7, 0xCB, 0xCF}
_END, _SCAN, _COMMENT = 0xD9, 0xDA, 0xFE
_WITHOUT_DATA = {0x00, 0x01, *range(0xD0, 0xD9)}
_APPLICATION = range(0xE0, 0xF0)
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")  # inside a scan, after stuffed bytes and restarts
_RESTART = re.compile(rb"\xff+[\xd0-\xd7]")
_PADDING = (0x00, 0xFF)  # between two segments; fill bytes alone are in the standard
_LONGEST = 65533
_LONGEST_SIDE = 65500  # libjpeg's; the format's own is 65535
_SUM = 3685  # of the luminance table that T.81 annex K gives, which encoders scale by their quality
_BLOCK = 64  # pixels
_ARITHMETIC = frozenset(range(0xC9, 0xD0))  # its encoders may leave zeros out at the end of a scan: T.81 annex D
_MORE = b"\xfe" * 64  # coded pixels that look unlike those that a decoder fills in
_BAND = 256  # rows
_MOST_SCANS = 200  # encoders write about ten; every one costs a pass over all pixels
_USUAL_SCANS, _MOST_VISITS = 32, 2**26  # of blocks by scans

_JFIF = b"JFIF\0"
_ADOBE = b"Adobe"
_EXIF = b"Exif\0\0"
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_ICC = b"ICC_PROFILE\0"
_PICTURES = b"MPF\0"  # a list of further pictures by their places in the file, which will not hold in another
_UNITS: dict[int, Unit] = {0: "aspect", 1: "inch", 2: "cm"}


def headers(file: BinaryIO) -> list[Header]:
    """Return what the frame segment says.

    Raises:
        ImageError: damaged, or of a kind that is refused: CMYK, lossless, 12 bit.
    """
    for marker, data, _ in _segments(file):
        if marker in _FRAMES:
            return [_frame(marker, data)]
    raise ImageError("damaged JPEG: it has no frame")


def decode(file: BinaryIO) -> Image:
    """Return the image. Further pictures behind the first one (previews, gain maps) are not read.

    Raises:
        ImageError: damaged, cut short, or of a kind that is refused.
    """
    from PIL.JpegImagePlugin import JpegImageFile

    (expected,) = headers(file)
    blocks = expected.height * expected.width / _BLOCK
    most = max(_USUAL_SCANS, min(_MOST_SCANS, _MOST_VISITS / blocks))
    needed, applications, scans, coded, is_arithmetic = [], [], 0, 0, False
    for marker, data, scan in _segments(file):
        scans += marker == _SCAN
        coded += len(scan)
        if scans > most:
            raise ImageError(f"JPEG with more than {most:.0f} scans: it would take very long to decode; save it again")
        is_aside = marker == _COMMENT or marker in _APPLICATION
        if is_aside:
            applications.append((marker, data))
        if not is_aside or data.startswith((_JFIF, _ADOBE)):  # these two tell RGB from YCbCr
            needed.append((_segment(marker, data), scan))
        is_arithmetic |= marker in _ARITHMETIC
    if blocks > 8 * coded:  # each takes a bit or more
        raise ImageError(f"damaged JPEG: its pixels cannot lie in {coded:,} bytes; copy it again")
    with foreign_code("damaged JPEG"):
        picture = JpegImageFile(_stream(needed))
        pixels, compressed = np.array(picture), quality(picture.quantization)
        picture.close()
        if not (is_arithmetic or _is_of(JpegImageFile(_stream(needed, _MORE)), pixels)):
            raise ImageError("JPEG cut short: a part of its pixels is missing; copy it again")
    shape = (expected.height, expected.width)
    if pixels.shape != (shape if expected.channels == 1 else (*shape, 3)) or pixels.dtype != expected.dtype:
        raise ImageError(f"damaged JPEG: it decodes to {pixels.dtype} {pixels.shape}, against its header")
    return Image(pixels, None, replace(_metadata(applications), quality=max(_LOWEST, compressed)))


def _stream(parts: Sequence[tuple[bytes, bytes]], more: bytes = b"") -> BytesIO:
    """Return a JPEG file of segments and the coded pixels behind them, with more of these wherever some end."""
    stream = BytesIO(SIGNATURE[:2])
    stream.seek(2)
    for segment, scan in parts:
        stream.write(segment)
        if more and segment[1] == _SCAN:
            scan = _RESTART.sub(lambda marker: more + marker[0], scan.rstrip(b"\xff")) + more
            scan += b"".join(bytes((0xFF, restart)) + more for restart in range(0xD0, 0xD8))
        stream.write(scan)
    stream.write(bytes((0xFF, _END)))
    stream.seek(0)
    return stream


def _is_of(picture: "JpegImageFile", pixels: Array) -> bool:
    """Return whether a picture has just these pixels; it is looked at by bands, as both would be large."""
    from PIL.Image import new

    for top in range(0, picture.height, _BAND):
        band = new(picture.mode, (picture.width, min(_BAND, picture.height - top)))
        band.paste(picture, (0, -top))  # not crop, which asks for Pillow's own limit of pixels
        if not np.array_equal(np.asarray(band), pixels[top : top + band.height]):
            return False
    return True


def quality(tables: Mapping[int, Sequence[int]]) -> int:
    """Return about which quality on libjpeg's scale, 1 to 100, made the tables of quantisation, by the first of them.

    Raises:
        ImageError: there is none.
    """
    if not tables:
        raise ImageError("damaged JPEG: it has no table of quantisation")
    percent = 100 * sum(next(iter(tables.values()))) / _SUM
    return max(1, round(5000 / percent if percent > 100 else 100 - percent / 2))


def encode(image: Image, file: BinaryIO) -> None:
    """Write the image with full colour resolution (4:4:4) and its metadata, at the quality that the metadata say.

    That is the quality of the file it came from, 75 at least, so that a photograph stays about as large; 95 where they
    say nothing.

    Raises:
        ImageError: too large for JPEG, in pixels or in metadata.
    """
    from PIL.Image import fromarray

    if max(image.pixels.shape[:2]) > _LONGEST_SIDE:
        raise ImageError(f"JPEG holds at most {_LONGEST_SIDE:,} pixels a side; write .png or .tif instead")
    stream, asked = BytesIO(), image.metadata.quality or QUALITY
    with foreign_code("JPEG"):
        fromarray(np.ascontiguousarray(image.pixels)).save(stream, "JPEG", quality=asked, subsampling=0)
    data = stream.getvalue()
    file.write(SIGNATURE[:2] + _segment(0xE0, _jfif(image.metadata.resolution)))
    for marker, content in _metadata_segments(image):
        file.write(_segment(marker, content))
    file.write(data[4 + int.from_bytes(data[4:6], "big") :])  # from behind Pillow's own JFIF segment


def _segments(file: BinaryIO) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield marker, data and, for a scan, the coded pixels behind it, up to the end, which must be there."""
    file.seek(len(SIGNATURE) - 1)
    while True:
        lead = _take(file, 2)
        while lead[0] in _PADDING and (lead[0] == 0 or lead[1] in _PADDING):  # some cameras leave zeros too
            lead = lead[1:] + _take(file, 1)
        marker = lead[1]
        if marker == _END and lead[0] == 0xFF:
            return
        if lead[0] != 0xFF or marker in _WITHOUT_DATA:
            raise ImageError("damaged JPEG: bytes that belong to no segment; copy it again, or save it again")
        length = int.from_bytes(_take(file, 2), "big")
        if length < 2:
            raise ImageError("damaged JPEG: a segment shorter than its own length")
        yield marker, _take(file, length - 2), _scan(file) if marker == _SCAN else b""


def _take(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise ImageError("JPEG cut short: its end is missing")
    return data


def _scan(file: BinaryIO) -> bytes:
    """Return the coded pixels from here to the next marker, and stop before that."""
    scan = bytearray()
    while block := file.read(8192):
        searched = max(len(scan) - 1, 0)
        scan += block
        if found := _NEXT_MARKER.search(scan, searched):
            file.seek(found.start() - len(scan), 1)
            return bytes(scan[: found.start()])
    raise ImageError("JPEG cut short: its end is missing")


def _segment(marker: int, data: bytes) -> bytes:
    if len(data) > _LONGEST:
        size = f"not {len(data):,} bytes of metadata in a piece, {_LONGEST:,} at most"
        raise ImageError(f"JPEG holds {size}; write .png or .tif instead")
    return bytes((0xFF, marker)) + (len(data) + 2).to_bytes(2, "big") + data


def _frame(marker: int, data: bytes) -> Header:
    if len(data) < 6:
        raise ImageError("damaged JPEG: its frame is too short")
    precision, height, width, components = struct.unpack_from(">BHHB", data)
    if components == 4:
        raise ImageError("CMYK JPEG: convert it to RGB first")
    if precision != 8 or marker in _LOSSLESS:
        kind = "lossless" if marker in _LOSSLESS else f"{precision}-bit"
        raise ImageError(f"{kind} JPEG: convert it to an 8-bit JPEG, a PNG or a TIFF first")
    if not (height and width and components in (1, 3)):
        raise ImageError(f"damaged JPEG: a frame of {height} x {width} pixels with {components} channels")
    return Header(height, width, components, np.dtype(np.uint8))


def _metadata(applications: list[tuple[int, bytes]]) -> Metadata:
    exif = xmp = resolution = None
    profile: dict[int, bytes] = {}
    pieces = 0
    kept = []
    for marker, data in applications:
        if marker == 0xE0 and data.startswith(_JFIF) and len(data) >= 12:
            unit, x, y = struct.unpack_from(">BHH", data, 7)
            if unit in _UNITS and (unit, x, y) != (0, 1, 1):
                resolution = Resolution(x, y, _UNITS[unit])
        elif marker == 0xE1 and data.startswith(_EXIF):
            exif = data[len(_EXIF) :]
        elif marker == 0xE1 and data.startswith(_XMP):
            xmp = data[len(_XMP) :]
        elif marker == 0xE2 and data.startswith(_ICC) and len(data) >= 14:
            pieces = data[13]
            profile[data[12]] = data[14:]
        elif marker != 0xE0 and not data.startswith((_PICTURES, _ADOBE)):
            kept.append((marker, data))
    if sorted(profile) != list(range(1, pieces + 1)):
        raise ImageError("damaged JPEG: a part of its colour profile is missing")
    icc = b"".join(profile[piece] for piece in sorted(profile))
    return Metadata(icc=icc or None, exif=exif, xmp=xmp, resolution=resolution, jpeg_segments=tuple(kept))


def _metadata_segments(image: Image) -> Iterator[tuple[int, bytes]]:
    """Yield the segments to go before the pixels."""
    metadata = image.metadata
    if metadata.exif:
        yield 0xE1, _EXIF + metadata.exif
    if metadata.xmp:
        yield 0xE1, _XMP + metadata.xmp
    if icc := image.portable_icc:
        room = _LONGEST - len(_ICC) - 2
        pieces = [icc[start : start + room] for start in range(0, len(icc), room)]
        if len(pieces) > 255:
            raise ImageError(f"JPEG cannot hold a colour profile of {len(icc):,} bytes; write .png or .tif instead")
        for number, piece in enumerate(pieces, 1):
            yield 0xE2, _ICC + bytes((number, len(pieces))) + piece
    yield from metadata.jpeg_segments


def _jfif(resolution: Resolution | None) -> bytes:
    """Return the JFIF segment; it says 1:1 where its 16-bit numbers cannot hold the resolution."""
    code, x, y = 0, 1.0, 1.0
    if resolution is not None:
        code = {"aspect": 0, "cm": 2}.get(resolution.unit, 1)
        x, y = resolution.per(_UNITS[code]) or (1.0, 1.0)
    if not (1 <= round(x) < 2**16 and 1 <= round(y) < 2**16):
        code, x, y = 0, 1.0, 1.0
    return struct.pack(">5sHBHHBB", _JFIF, 0x0101, code, round(x), round(y), 0, 0)
