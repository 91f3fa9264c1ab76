"""What maps tell, as one picture: each laid over the restored mean, with a colour bar in its unit."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Drawing
from PIL import ImageDraw

from indi.io import span_of
from indi.io.display import Pixels, font_of, for_display, scale_bar, stretch_of, with_line
from indi.io.image import MapScale
from indi.restoration.uncertainty import Calibration, Values, overlaid, scale_of

MOST = 1600  # pixels of a side that are drawn; of larger images every second, third, …
_BAR, _MARGIN = 18, 12  # pixels
_LEAST = 240  # pixels of width, so that there is room for words


def step_of(height: int, width: int) -> int:
    """Return the step between pixels of an image that are drawn: 1 up to ``MOST`` of a side."""
    return -(-max(height, width) // MOST)


def overlay(
    mean: Pixels, found: Mapping[str, Values], calibration: Calibration | None, *, micrometres: float | None = None
) -> Pixels:
    """Return a picture, (h, w, 3) uint8, of maps over a gray image, side by side.

    The colours, of matplotlib's plasma, differ for people who confuse red and green too, and they cover the image the
    more the larger the value. Of several channels the largest value is shown, and no more than 99.8 % of the pixels
    decide where the colours end, so that one pixel does not.

    Args:
        mean: (H, W) or (H, W, C), already reduced by ``step_of``, in the type of the files.
        found: Maps by name, as ``maps`` returns them, reduced likewise; the mean is not needed.
        calibration: As of ``maps``.
        micrometres: Side of a pixel of these, for a scale bar.
    """
    gray = np.atleast_3d(for_display(mean, stretch_of(mean))).mean(axis=2, keepdims=True)
    drawn = []
    for name, title in overlaid(calibration).items():
        values = found[name].max(axis=0)
        scale = scale_of(name, float(np.quantile(values, 0.998)), mean.dtype)
        drawn.append(_drawn(gray, title, values, scale, micrometres))
    gap = np.full((drawn[0].shape[0], 2 * _MARGIN, 3), 255, np.uint8)
    picture = np.concatenate([part for one in drawn for part in (one, gap)][:-1], axis=1)
    span = span_of(mean.dtype)
    worth = None if calibration is None else calibration.least_psnr(found["spread"] / span)
    if calibration is None or worth is None:
        return picture
    against = f"against {span:g}, with {calibration.rate:.0%} of scenes"
    return with_line(picture, f"PSNR at least {worth:.1f} dB {against}")


def _drawn(
    gray: NDArray[np.floating], title: str, values: Values, scale: MapScale, micrometres: float | None
) -> Pixels:
    """Return one map over the image, with its title above and its colour bar beside it."""
    shares = np.clip(values / (scale.high or 1.0), 0, 1)[..., None]
    blended = np.rint((1 - shares) * gray + shares * _colours(shares[..., 0])).astype(np.uint8)
    picture = scale_bar(blended, micrometres)
    height, width = picture.shape[:2]
    size = max(12, min(height, width) // 28)
    font, small = font_of(size + 2), font_of(size)
    head, labels = size + 2 * _MARGIN, 5 * size
    page = Drawing.new("RGB", (max(width, _LEAST) + _MARGIN + _BAR + labels, height + head + _MARGIN), "white")
    page.paste(Drawing.fromarray(picture), (0, head))
    pen = ImageDraw.Draw(page)
    pen.text((4, head / 2), f"{title} ({scale.unit})", fill="black", font=font, anchor="lm")
    left = max(width, _LEAST) + _MARGIN
    ramp = np.linspace(1, 0, height)[:, None]
    bar = (1 - ramp) * float(gray.mean()) + ramp * _colours(ramp[:, 0])
    page.paste(Drawing.fromarray(np.rint(bar).astype(np.uint8)[:, None].repeat(_BAR, axis=1)), (left, head))
    for share in (1.0, 0.5, 0.0):
        place = head + (1 - share) * (height - 1)
        pen.line((left + _BAR, place, left + _BAR + 4, place), fill="black")
        pen.text((left + _BAR + 7, place), f"{share * scale.high:.3g}", fill="black", font=small, anchor="lm")
    return np.asarray(page)


def _colours(shares: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the colours of values from 0 to 1, with another axis of red, green and blue from 0 to 255."""
    from matplotlib import colormaps

    colours: NDArray[np.floating] = 255 * colormaps["plasma"](np.asarray(shares, dtype=np.float64))[..., :3]
    return colours
