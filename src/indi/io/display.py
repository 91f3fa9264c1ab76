"""Images as people look at them: 8 bit, in colour, stretched where they are counts, with a scale bar and words."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Drawing
from PIL import ImageDraw, ImageFont

from indi.io.convert import from_unit, to_unit

Pixels = NDArray[np.generic]

Stretch = tuple[float, float]

_SHOWN = (0.005, 0.998)  # shares of the pixels of a clean image that are at most black, and that are not beyond white
_FILLED = 0.5  # of the range of a type, from which on it is shown as it is
_BAR, _LEAST = 0.3, 48  # most of the width that a scale bar takes, and pixels below which a picture has none


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


def font_of(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return a font of so many pixels: matplotlib's own, as that of Pillow lacks µ and most scripts."""
    found = find_spec("matplotlib")
    file = Path(found.origin or "").parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf" if found else None
    return ImageFont.truetype(file, size) if file is not None and file.is_file() else ImageFont.load_default(size)


def scale_bar(picture: Pixels, micrometres: float | None) -> Pixels:
    """Return a (H, W, 3) uint8 picture with a scale bar of 1, 2 or 5 times a power of ten in its lower left corner.

    Args:
        picture: What to draw on.
        micrometres: Side of a pixel of the picture; None, where it is not known, draws nothing.
    """
    height, width = picture.shape[:2]
    if micrometres is None or min(height, width) < _LEAST:
        return picture
    most = _BAR * width * micrometres
    power = 10.0 ** np.floor(np.log10(most))
    length = float(max(step * power for step in (1, 2, 5) if step * power <= most))
    unit, size = ("nm", 1000 * length) if length < 1 else ("mm", length / 1000) if length >= 1000 else ("µm", length)
    drawn = Drawing.fromarray(picture)
    pen = ImageDraw.Draw(drawn)
    margin, thick = max(4, height // 40), max(2, height // 100)
    box = (margin, height - margin - thick, margin + round(length / micrometres) - 1, height - margin - 1)
    pen.rectangle(tuple(np.add(box, (-1, -1, 1, 1))), fill="black")
    pen.rectangle(box, fill="white")
    place = (margin, box[1] - 3)
    font = font_of(max(10, height // 24))
    pen.text(place, f"{size:g} {unit}", fill="white", font=font, anchor="ls", stroke_width=1, stroke_fill="black")
    return np.asarray(drawn)


def named(picture: Pixels, names: Sequence[str]) -> Pixels:
    """Return a (H, W, 3) uint8 picture with the names of its channels in the upper left corner."""
    height, width = picture.shape[:2]
    if not names or min(height, width) < _LEAST:
        return picture
    text, size = ", ".join(names), max(10, height // 24)
    size = max(8, min(size, int(size * (width - 8) / font_of(size).getlength(text))))
    drawn = Drawing.fromarray(picture)
    pen = ImageDraw.Draw(drawn)
    pen.text((4, 4), text, fill="white", font=font_of(size), anchor="lt", stroke_width=1, stroke_fill="black")
    return np.asarray(drawn)


def with_line(picture: Pixels, text: str) -> Pixels:
    """Return a (H, W, 3) uint8 picture with a line of text below, no longer than it is wide."""
    height, width = picture.shape[:2]
    size = max(12, height // 32)
    size = max(8, min(size, int(size * (width - 8) / font_of(size).getlength(text))))
    page = Drawing.new("RGB", (width, height + 2 * size), "white")
    page.paste(Drawing.fromarray(picture), (0, 0))
    ImageDraw.Draw(page).text((4, height + size), text, fill="black", font=font_of(size), anchor="lm")
    return np.asarray(page)
