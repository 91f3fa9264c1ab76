"""Images as people look at them: 8 bit, in colour, the interesting part, side by side."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Drawing
from PIL import ImageDraw, ImageFont

from indi.io import from_unit, to_unit

Pixels = NDArray[np.generic]

Stretch = tuple[float, float]

_SHOWN = (0.005, 0.998)  # shares of the pixels of a clean image that are at most black, and that are not beyond white
_FILLED = 0.5  # of the range of a type, from which on it is shown as it is
_GAP = 4  # white pixels between panels
_TEXT, _MARGIN = 34, 8  # pixels of a line of text, and between it and what it is of


def stretch_of(clean: Pixels) -> Stretch | None:
    """Return what is to be shown as black and as white beside a clean image, in units of the range of its type.

    None for 8 bit and for what fills its range; else the 0.5 and 99.8 per cent of the clean image, as counts of a
    microscope fill a small part of it.
    """
    if clean.dtype == np.uint8:
        return None
    low, high = (float(value) for value in np.quantile(to_unit(clean), _SHOWN))
    fills = low >= 0 and high <= 1 and high - low >= _FILLED
    return None if fills or high <= low else (low, high)


def for_display(image: Pixels, stretch: Stretch | None = None) -> Pixels:
    """Return (H, W, 3) uint8 of any image: gray repeated, the first three of more channels, the first of two.

    Args:
        image: (H, W) or (H, W, C).
        stretch: As ``stretch_of``; None is the range of the type.
    """
    planes = np.atleast_3d(to_unit(image))
    if stretch is not None:
        low, high = stretch
        planes = (planes - np.float32(low)) / np.float32(high - low)
    colour = planes[..., :3] if planes.shape[-1] >= 3 else planes[..., :1].repeat(3, axis=-1)
    return from_unit(colour, np.dtype(np.uint8))


def liveliest_window(image: Pixels, side: int) -> tuple[slice, slice]:
    """Return the rows and columns of the square with the largest variance, on a coarse grid: where there is detail.

    Args:
        image: (H, W) or (H, W, C).
        side: Of the square in pixels; a smaller image is taken whole.
    """
    height, width = image.shape[:2]
    tops, lefts = (range(0, max(1, size - side + 1), max(1, side // 2)) for size in (height, width))
    windows = [(slice(top, top + side), slice(left, left + side)) for top in tops for left in lefts]
    return max(windows, key=lambda window: float(image[window].var()))


def sheet(rows: Sequence[Sequence[Pixels]], *, enlarge: int = 1) -> Pixels:
    """Return one (H, W, 3) uint8 picture of rows of images, with white between them.

    Args:
        rows: Images of any kind and size, as many in each row; smaller ones are filled up with white.
        enlarge: How many times as large, by repeating pixels.
    """
    panels = [[for_display(image).repeat(enlarge, axis=0).repeat(enlarge, axis=1) for image in row] for row in rows]
    height, width = (max(image.shape[axis] for row in panels for image in row) + _GAP for axis in (0, 1))
    picture = np.full((len(rows) * height - _GAP, len(rows[0]) * width - _GAP, 3), 255, dtype=np.uint8)
    for y, row in enumerate(panels):
        for x, image in enumerate(row):
            top, left = y * height, x * width
            picture[top : top + image.shape[0], left : left + image.shape[1]] = image
    return picture


def titled(picture: Pixels, headings: Sequence[str], sides: Sequence[str]) -> Pixels:
    """Return a sheet with a heading over each column and words beside each row."""
    font = ImageFont.load_default(24)
    height, width = picture.shape[:2]
    page = np.full((height + _TEXT + _MARGIN, width + _TEXT + _MARGIN, 3), 255, dtype=np.uint8)
    page[_TEXT + _MARGIN :, _TEXT + _MARGIN :] = picture
    drawn = Drawing.fromarray(page)
    pen = ImageDraw.Draw(drawn)
    for column, heading in enumerate(headings):
        middle = _TEXT + _MARGIN + (column + 0.5) * width / len(headings)
        pen.text((middle, _TEXT / 2), heading, fill="black", font=font, anchor="mm")
    for line, side in enumerate(sides):
        strip = Drawing.new("RGB", (height // len(sides), _TEXT), "white")
        ImageDraw.Draw(strip).text((strip.width / 2, _TEXT / 2), side, fill="black", font=font, anchor="mm")
        drawn.paste(strip.rotate(90, expand=True), (0, _TEXT + _MARGIN + line * height // len(sides)))
    return np.asarray(drawn)
