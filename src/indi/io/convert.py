"""Between stored pixels and intensities, and between gray and colour; what is not exact is refused."""

from typing import Any

import numpy as np
import numpy.typing as npt

from indi.errors import ImageError

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]

_SPANS = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535}


def span_of(dtype: np.dtype[Any]) -> float:
    """Return the range of a type of pixels, 1 for floats."""
    return float(np.iinfo(dtype).max) if dtype.kind == "u" else 1.0


def to_unit(pixels: Array) -> Floats:
    """Return ``pixels`` as float32 intensities: integers span [0, 1], floats pass unchanged.

    The bit depth is that of the type, never guessed from the values: a dark 16-bit image stays dark.

    Args:
        pixels: any shape; uint8, uint16 or float32.

    Raises:
        ImageError: another type, or floats that are not finite.
    """
    if span := _SPANS.get(pixels.dtype):
        return pixels.astype(np.float32) / np.float32(span)
    if pixels.dtype != np.float32:
        raise ImageError(f"pixels are {pixels.dtype}; convert them to uint8, uint16 or float32")
    _refuse_not_finite(pixels)
    return pixels


def from_unit(values: npt.NDArray[np.floating], dtype: npt.DTypeLike) -> Array:
    """Return intensities as pixels of ``dtype``: clipped to [0, 1] and rounded to the nearest integer.

    The exact inverse of ``to_unit`` for every uint8 and uint16 value. Nothing is clipped for float32.

    Args:
        values: any shape, floating.
        dtype: uint8, uint16 or float32.

    Raises:
        ImageError: another type, or values that are not finite.
    """
    dtype = np.dtype(dtype)
    _refuse_not_finite(values)
    if dtype == np.float32:
        return values.astype(np.float32)
    if dtype not in _SPANS:
        raise ImageError(f"pixels cannot be stored as {dtype}; choose uint8, uint16 or float32")
    precise = np.result_type(values, np.float32)  # float16 ends at 65504
    unit = np.clip(values, 0, 1).astype(precise, copy=False)
    rounded: Array = np.rint(unit * _SPANS[dtype]).astype(dtype)
    return rounded


def fit_channels(image_pixels: Array, channels: int, *, what: str) -> Array:
    """Return pixels with ``channels`` channels, converted only where that loses nothing.

    Gray becomes colour by repeating; colour becomes gray when red, green and blue are equal everywhere.

    Args:
        image_pixels: (H, W) gray, or (H, W, C).
        channels: 1 for gray, giving (H, W); else C.
        what: names the image in the error.

    Raises:
        ImageError: the conversion would lose or invent something.
    """
    found = 1 if image_pixels.ndim == 2 else image_pixels.shape[2]
    if found == channels:
        return image_pixels
    if (found, channels) == (1, 3):
        return np.repeat(image_pixels.reshape(*image_pixels.shape[:2], 1), 3, axis=2)
    if (found, channels) == (3, 1):
        red = image_pixels[..., 0]
        if np.array_equal(red, image_pixels[..., 1]) and np.array_equal(red, image_pixels[..., 2]):
            return red
        raise ImageError(f"{what}: it is in colour, and gray is needed; convert it to gray yourself if colour may go")
    advice = "no conversion keeps everything"
    if found == channels + 1:
        advice = "if the last one is alpha, have the file say so (in TIFF: ExtraSamples), else " + advice
    raise ImageError(f"{what}: channels do not fit: it has {found}, {channels} needed; {advice}")


def _refuse_not_finite(values: Array) -> None:
    bad = values.size - int(np.count_nonzero(np.isfinite(values)))
    if bad:
        raise ImageError(f"{bad:,} of {values.size:,} pixel values are NaN or infinite; replace them first")
