"""Images as other libraries hold them, taken for pixels where it is plain what is meant."""

import os
from typing import Any

import numpy as np
import torch
from PIL import Image as Pillow

from indi.errors import ImageError
from indi.io.convert import Array

_MODES = ("L", "RGB", "I;16", "F")  # of Pillow, whose arrays are pixels of gray or colour


def as_pixels(image: Any) -> Array:
    """Return arrays as they are, and images of Pillow and tensors as arrays.

    Raises:
        ImageError: It is something else, or a Pillow image of another mode.
    """
    if isinstance(image, np.ndarray):
        return image
    if isinstance(image, Pillow.Image):
        if image.mode not in _MODES:
            raise ImageError(f"this image of Pillow has mode {image.mode}; convert it to L or RGB first")
        return np.asarray(image)
    if isinstance(image, torch.Tensor):
        pixels = image.detach().cpu()
        if pixels.ndim not in (2, 3):
            raise ImageError(f"this tensor has shape {tuple(pixels.shape)}; give (H, W) or (H, W, C), one image")
        if pixels.dtype == torch.bfloat16:
            raise ImageError("this tensor is bfloat16; convert it to uint8, uint16 or float32")
        array: Array = pixels.numpy()
        return array
    if isinstance(image, str | os.PathLike):
        raise ImageError(f"{os.fspath(image)!r} is a path; read the file first: indi.images.read(path).pixels")
    raise ImageError(f"this is a {type(image).__name__}, not an image; give an array: numpy.asarray(image, 'uint8')")
