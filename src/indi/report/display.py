"""Images side by side, with words around them, and the interesting part of large ones."""

from collections.abc import Sequence

import numpy as np
from PIL import Image as Drawing
from PIL import ImageDraw, ImageFont

from indi.io.display import Pixels, font_of, for_display

_GAP = 4  # white pixels between panels
_LARGEST, _SMALLEST = 24, 9  # of letters, in pixels
_TEXT, _MARGIN = 34, 8  # pixels of a line of text, and between it and what it is of


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
    height, width = picture.shape[:2]
    font, beside = _font(headings, width // len(headings)), _font(sides, height // len(sides))
    page = np.full((height + _TEXT + _MARGIN, width + _TEXT + _MARGIN, 3), 255, dtype=np.uint8)
    page[_TEXT + _MARGIN :, _TEXT + _MARGIN :] = picture
    drawn = Drawing.fromarray(page)
    pen = ImageDraw.Draw(drawn)
    for column, heading in enumerate(headings):
        middle = _TEXT + _MARGIN + (column + 0.5) * width / len(headings)
        pen.text((middle, _TEXT / 2), heading, fill="black", font=font, anchor="mm")
    for line, side in enumerate(sides):
        strip = Drawing.new("RGB", (height // len(sides), _TEXT), "white")
        ImageDraw.Draw(strip).text((strip.width / 2, _TEXT / 2), side, fill="black", font=beside, anchor="mm")
        drawn.paste(strip.rotate(90, expand=True), (0, _TEXT + _MARGIN + line * height // len(sides)))
    return np.asarray(drawn)


def _font(words: Sequence[str], room: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return a font in which each of the words is no longer than ``room``, where it can be read then."""
    longest = max(font_of(_LARGEST).getlength(word) for word in words)
    return font_of(max(_SMALLEST, min(_LARGEST, int(_LARGEST * 0.94 * room / max(longest, 1)))))
