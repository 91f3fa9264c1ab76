"""What metadata say of an image that was enlarged: as much of the world lies in more pixels."""

import re
from dataclasses import replace
from fractions import Fraction

import numpy as np

from indi.errors import ImageError
from indi.images.image import Metadata, Resolution
from indi.images.tags import LONG, RATIONAL, Directory, Encoding, Name, Tag, Tree, pack_block, read_block

_WIDTH, _HEIGHT, _FOCAL_X, _FOCAL_Y = 0xA002, 0xA003, 0xA20E, 0xA20F  # of the EXIF directory (CIPA DC-008)
_PER_LENGTH = (Name.X_RESOLUTION, Name.Y_RESOLUTION, _FOCAL_X, _FOCAL_Y)
_MOST = 2**32 - 1
_OME_SIZE = re.compile(rb'(\bSize[XY]=")(\d+)"')
_OME_PIXEL = re.compile(rb'(\bPhysicalSize[XY]=")([^"]+)"')


def enlarged(metadata: Metadata, factor: int) -> Metadata:
    """Return the metadata of an image that has ``factor`` times as many pixels each way.

    Resolutions grow with it, sizes in pixels too, and the sizes of OME's pixels shrink. A thumbnail goes, which shows
    the image as it was. Tags that are damaged stay as they are.
    """
    if factor == 1:
        return metadata
    resolution = metadata.resolution
    if resolution is not None and resolution.unit != "aspect":
        resolution = Resolution(resolution.x * factor, resolution.y * factor, resolution.unit)
    return replace(metadata, resolution=resolution, exif=metadata.exif and _block(metadata.exif, factor))


def _block(block: bytes, factor: int) -> bytes:
    try:
        tree, order = read_block(block)
        return pack_block(_tree(tree, Encoding(order), factor), order)
    except ImageError:
        return block


def _tree(tree: Tree, encoding: Encoding, factor: int) -> Tree:
    directory = Directory(tree, encoding)
    changed: Tree = {}
    for number, value in tree.items():
        if not isinstance(value, Tag):
            changed[number] = _tree(value, encoding, factor)
        elif number in _PER_LENGTH and value.kind == RATIONAL and value.count == 1:
            changed[number] = _rational(value, encoding, factor)
        elif number in (_WIDTH, _HEIGHT):
            changed[number] = encoding.tag(LONG, min(directory.number(number, 0) * factor, _MOST))
        elif number == Name.DESCRIPTION and b"<OME" in value.data:
            text = _OME_SIZE.sub(lambda found: b'%s%d"' % (found[1], int(found[2]) * factor), value.data)
            text = _OME_PIXEL.sub(lambda found: _divided(found, factor), text)
            changed[number] = Tag(value.kind, len(text), text, value.others)
    return tree | changed


def _rational(value: Tag, encoding: Encoding, factor: int) -> Tag:
    numerator, denominator = (int(part) for part in np.frombuffer(value.data, encoding.order + "u4"))
    if denominator == 0:
        return value
    share = Fraction(numerator * factor, denominator)
    if share.numerator > _MOST:
        share = share.limit_denominator(1000)
    return encoding.tag(RATIONAL, min(share.numerator, _MOST), share.denominator)


def _divided(found: re.Match[bytes], factor: int) -> bytes:
    try:
        return b'%s%s"' % (found[1], repr(float(found[2]) / factor).encode())
    except ValueError:  # no number: somebody else's
        return found[0]
