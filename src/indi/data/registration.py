"""Find a whole-pixel shift between the two images of a pair, and stay silent when there is none.

A pair that is shifted teaches a network to move edges. The shift is looked for by phase correlation (Kuglin
and Hines, 1975): the cross-power spectrum of both images keeps its phase only, so its inverse transform is a
sharp peak at the shift, whatever the brightness, noise or blur. A peak is believed only when it clears three
bars, because a false alarm on good pairs costs the user more than a missed pixel.
"""

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]

WINDOW_PX = 1024  # the middle of a larger image decides, which bounds time and memory
SMOOTHING_PX = 0.7  # gathers the peak of a shift between two pixels; 0.37 of its height is left one pixel away

# The three bars. On 13 textures times 15 kinds of degradation, noise of sigma 250 and JPEG of quality 2 among
# them, none gave an alarm without a shift. Sides below 16 px are too short for any peak to clear the second.
TIMES_ZERO = 1.5  # the peak against the value at shift 0: half a pixel stays silent, a whole one does not
TIMES_SPREAD = 8.0  # the peak against the standard deviation of the surface: noise alone reaches 5.4
KEPT_DIFFERENCE = 0.9  # 1 - correlation of the pixels after undoing the shift, against before

# A pair is called turned where its blocks agree so well once it is turned back, and so much less as it is. Pairs that
# are not turned agree as they are.
TURN_BLOCK_PX, TURNED_LEAST, TURNED_BETTER = 4, 0.8, 0.3

LUMA_BT601 = np.array([0.299, 0.587, 0.114], np.float32)


def find_shift(clean: NDArray[np.generic], degraded: NDArray[np.generic]) -> tuple[int, int] | None:
    """Return how far ``degraded`` lies from ``clean`` as (down, right) in pixels, or None.

    Args:
        clean: (H, W) or (H, W, C), any intensity scale.
        degraded: the same height and width.

    Returns:
        The shift, up to a quarter of the shorter side of the middle 1024 x 1024 pixels; under strong blur it
        can be off by the width of the blur. None where no shift shows clearly.
    """
    first, second = _middle_luma(clean), _middle_luma(degraded)
    reach = min(first.shape) // 4
    surface = _phase_correlation(first, second)
    nearby = np.roll(surface, (reach, reach), (0, 1))[: 2 * reach + 1, : 2 * reach + 1]
    row, column = np.unravel_index(nearby.argmax(), nearby.shape)
    down, right = int(row) - reach, int(column) - reach
    peak, at_zero = nearby[row, column], surface[0, 0]
    if peak <= TIMES_ZERO * max(at_zero, 0) or peak <= TIMES_SPREAD * nearby.std():
        return None
    before, after = _correlation(first, second, 0, 0), _correlation(first, second, down, right)
    return (down, right) if 1 - after < KEPT_DIFFERENCE * (1 - before) else None


def find_turn(clean: NDArray[np.generic], degraded: NDArray[np.generic]) -> str | None:
    """Return in words how ``degraded`` is turned against ``clean``, as viewers turn by EXIF orientation, or None.

    Args:
        clean: (H, W) or (H, W, C), any intensity scale.
        degraded: the same height and width.
    """
    first, second = (_block_means(_middle_luma(image)) for image in (clean, degraded))
    as_it_is = _correlation(first, second, 0, 0)
    others = {word: _correlation(first, turned, 0, 0) for word, turned in _turns(second) if turned.shape == first.shape}
    best = max(others, key=others.__getitem__)
    return best if others[best] > TURNED_LEAST and as_it_is < others[best] - TURNED_BETTER else None


def _turns(plane: Plane) -> list[tuple[str, Plane]]:
    return [
        ("by 180 degrees", plane[::-1, ::-1]),
        ("by 90 degrees", np.rot90(plane)),
        ("by 270 degrees", np.rot90(plane, 3)),
        ("into its mirror image", plane[:, ::-1]),
        ("upside down into its mirror image", plane[::-1]),
    ]


def _block_means(plane: Plane) -> Plane:
    """Return the means of blocks, which noise hardly reaches; a side is a whole number of them."""
    height, width = (side // TURN_BLOCK_PX or 1 for side in plane.shape)
    cut = plane[: height * min(TURN_BLOCK_PX, plane.shape[0]), : width * min(TURN_BLOCK_PX, plane.shape[1])]
    means: Plane = cut.reshape(height, cut.shape[0] // height, width, cut.shape[1] // width).mean(axis=(1, 3))
    return means


def _middle_luma(pixels: NDArray[np.generic]) -> Plane:
    height, width = pixels.shape[:2]
    top, left = max(height - WINDOW_PX, 0) // 2, max(width - WINDOW_PX, 0) // 2
    middle = pixels[top : top + WINDOW_PX, left : left + WINDOW_PX].astype(np.float32)
    if middle.ndim == 2:
        return middle
    return middle @ LUMA_BT601 if middle.shape[2] == 3 else middle.mean(axis=2)


def _phase_correlation(first: Plane, second: Plane) -> Plane:
    """Correlation surface (H, W), negative shifts wrapped to the far ends."""
    height, width = first.shape
    window = np.outer(np.hanning(height), np.hanning(width)).astype(np.float32)  # an image is not periodic
    cross = np.fft.rfft2((second - second.mean()) * window) * np.fft.rfft2((first - first.mean()) * window).conj()
    cross /= np.maximum(np.abs(cross), np.finfo(np.float32).tiny)
    squares = np.fft.fftfreq(height)[:, None] ** 2 + np.fft.rfftfreq(width) ** 2
    cross *= np.exp(-2 * (np.pi * SMOOTHING_PX) ** 2 * squares).astype(np.float32)
    return np.fft.irfft2(cross, s=(height, width)).astype(np.float32)


def _correlation(first: Plane, second: Plane, down: int, right: int) -> float:
    """Pearson correlation where the images overlap once ``second`` is moved back."""
    height, width = first.shape
    a = first[max(-down, 0) : height - max(down, 0), max(-right, 0) : width - max(right, 0)]
    b = second[max(down, 0) : height - max(-down, 0), max(right, 0) : width - max(-right, 0)]
    a, b = a - a.mean(), b - b.mean()
    scale = np.linalg.norm(a) * np.linalg.norm(b)
    return float((a * b).sum() / scale) if scale > 0 else 0.0
