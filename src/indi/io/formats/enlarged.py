"""What metadata say of an image that was enlarged: as much of the world lies in more pixels.

No library at hand scales these: for GeoTIFF rasterio would, and brings GDAL; XML is changed as text, since what writes
it again drops or renames what it does not know.

Source: TIFF 6.0; CIPA DC-008 (EXIF); OGC 19-008r4 (GeoTIFF); Adobe XMP part 2; the OME schema, 2016-06.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import partial

import numpy as np
from numpy.typing import NDArray

from indi.errors import ImageError
from indi.io.formats.tags import DOUBLE, LONG, RATIONAL, SHORT, Encoding, Name, Tag, Tree, pack_block, read_block
from indi.io.image import Metadata, Resolution

_MOST = 2**32 - 1
_PER_LENGTH = (Name.X_RESOLUTION, Name.Y_RESOLUTION, 0xA20E, 0xA20F)  # the last two on the sensor
_IN_PIXELS = (Name.WIDTH, Name.LENGTH, 0xA002, 0xA003, 0x9214, 0xA214)  # sizes, and where the subject is
_PIXEL_SCALE, _TIE_POINTS, _TRANSFORMATION = 33550, 33922, 34264  # of GeoTIFF
_GEO_KEYS, _RASTER_TYPE, _PIXEL_IS_POINT = 34735, 1025, 2
_OME = (
    (re.compile(rb"""(\bSize[XY]=["'])(\d+)"""), 1),
    (re.compile(rb"""(\bPhysicalSize[XY]=["'])([\d.eE+-]+)"""), -1),
)
_XMP = (
    re.compile(
        rb"""(\b(?:exif:PixelXDimension|exif:PixelYDimension|tiff:ImageWidth|tiff:ImageLength)(?:=["']|>))(\d+)"""
    ),
    re.compile(rb"""(\btiff:[XY]Resolution(?:=["']|>))(\d+)"""),  # the numerator
)

Numbers = NDArray[np.float64]


def enlarged(metadata: Metadata, factor: int) -> Metadata:
    """Return the metadata of an image that has ``factor`` times as many pixels each way.

    Resolutions grow with it, and so do sizes and places in pixels; what a pixel measures shrinks (GeoTIFF, OME). A
    thumbnail goes, which shows the image as it was. Tags that are damaged stay as they are.
    """
    if factor == 1:
        return metadata
    resolution, exif, xmp = metadata.resolution, metadata.exif, metadata.xmp
    if resolution is not None and resolution.unit != "aspect":
        resolution = Resolution(resolution.x * factor, resolution.y * factor, resolution.unit)
    if xmp is not None:
        for pattern in _XMP:
            xmp = pattern.sub(partial(_times, factor), xmp)
    return replace(metadata, resolution=resolution, exif=exif and _block(exif, factor), xmp=xmp)


def _block(block: bytes, factor: int) -> bytes:
    try:
        tree, order = read_block(block)
        return pack_block(_tree(tree, Encoding(order), factor), order)
    except ImageError:
        return block


def _tree(tree: Tree, encoding: Encoding, factor: int) -> Tree:
    changed: Tree = {}
    for number, value in tree.items():
        if not isinstance(value, Tag):
            changed[number] = _tree(value, encoding, factor)
        elif number in _PER_LENGTH and value.kind == RATIONAL and value.count == 1:
            changed[number] = _rational(value, encoding, factor)
        elif number in _IN_PIXELS and value.kind in (SHORT, LONG):
            sizes = np.frombuffer(value.data, encoding.order + ("u2" if value.kind == SHORT else "u4"))
            changed[number] = encoding.tag(LONG, *(min(int(size) * factor, _MOST) for size in sizes))
        elif number in _GEOGRAPHIC and value.kind == DOUBLE:
            numbers = np.frombuffer(value.data, encoding.order + "f8").astype(np.float64)
            data = _GEOGRAPHIC[number](numbers, factor, _origin(tree, encoding)).astype(encoding.order + "f8").tobytes()
            changed[number] = replace(value, data=data)
        elif number == Name.DESCRIPTION and b"<OME" in value.data:
            text = value.data
            for pattern, sign in _OME:
                text = pattern.sub(partial(_times, Fraction(factor) ** sign), text)
            changed[number] = replace(value, count=len(text), data=text)
    return tree | changed


def _rational(value: Tag, encoding: Encoding, factor: int) -> Tag:
    numerator, denominator = (int(part) for part in np.frombuffer(value.data, encoding.order + "u4"))
    if denominator == 0:
        return value
    share = Fraction(numerator * factor, denominator)
    if share.numerator > _MOST:
        share = share.limit_denominator(1000)
    return encoding.tag(RATIONAL, min(share.numerator, _MOST), share.denominator)


def _origin(tree: Tree, encoding: Encoding) -> float:
    """Return where in the first pixel its place (0, 0) is: at its corner, or by the keys of GeoTIFF in its middle."""
    keys = tree.get(_GEO_KEYS)
    if isinstance(keys, Tag) and keys.kind == SHORT:
        numbers = np.frombuffer(keys.data, encoding.order + "u2")
        for key, place, _, value in numbers[4 : len(numbers) // 4 * 4].reshape(-1, 4):
            if (key, place, value) == (_RASTER_TYPE, 0, _PIXEL_IS_POINT):
                return 0.5
    return 0.0


def _smaller_pixels(numbers: Numbers, factor: int, origin: float) -> Numbers:
    """Return what a pixel measures across and down, and in height, which stays."""
    return np.concatenate([numbers[:2] / factor, numbers[2:]])


def _farther_points(numbers: Numbers, factor: int, origin: float) -> Numbers:
    """Return points in pixels, three numbers each, with their places in the world, three more."""
    points = numbers[: len(numbers) // 6 * 6].reshape(-1, 6).copy()
    points[:, :2] = (points[:, :2] + origin) * factor - origin
    return np.concatenate([points.ravel(), numbers[points.size :]])


def _finer_grid(numbers: Numbers, factor: int, origin: float) -> Numbers:
    """Return the 4 x 4 matrix from pixels to the world."""
    if numbers.size != 16:
        return numbers
    matrix = numbers.reshape(4, 4).copy()
    matrix[:, :2] /= factor
    matrix[:, 3] += matrix[:, :2].sum(axis=1) * (origin - origin * factor)
    return matrix.ravel()


_GEOGRAPHIC: dict[int, Callable[[Numbers, int, float], Numbers]] = {
    _PIXEL_SCALE: _smaller_pixels,
    _TIE_POINTS: _farther_points,
    _TRANSFORMATION: _finer_grid,
}


def _times(factor: Fraction | int, found: re.Match[bytes]) -> bytes:
    """Return what was found with the number behind it multiplied; as it was where that is none."""
    try:
        number = Fraction(found[2].decode()) * factor
    except ValueError:
        return found[0]
    text = str(number.numerator) if number.denominator == 1 else repr(float(number))
    return found[1] + text.encode()
