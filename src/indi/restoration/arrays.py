"""Images as arrays to what a network sees, and back."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from indi.data.wording import count
from indi.errors import ShapeError
from indi.io import fit_channels, from_unit, to_unit
from indi.io.foreign import as_pixels
from indi.models.checkpoint import Card

Pixels = NDArray[Any]


def seen(image: Pixels, around: Sequence[Pixels], card: Card) -> Tensor:
    """Return all that a model sees of the degraded, (1, C, H, W) float32: an image, and behind it planes around it.

    It is normalised as the model asks for, else in [0, 1].

    Raises:
        ShapeError: The image is empty, not 2-D, or its channels do not fit the model; or the planes do not.
    """
    around = [as_pixels(plane) for plane in around]
    neighbours = card.around
    if len(around) != 2 * neighbours.count:
        sees = f"{card.name} sees one plane alone; leave around out"
        if neighbours.count:
            each = f"{count(neighbours.count, 'plane')} on each side along {neighbours.axis}"
            sees = f"{card.name} sees {each}, and {len(around)} are there; give a stack that has them"
        raise ShapeError(sees)
    if any((plane.shape, plane.dtype) != (image.shape, image.dtype) for plane in around):
        kinds = ", ".join(f"{plane.dtype} {plane.shape}" for plane in around)
        found = f"image is {image.dtype} {image.shape}, the planes around it {kinds}"
        raise ShapeError(f"{found}; give planes of one shape and type")
    units = [_unit(each, card.channels) for each in (image, *around)]
    together = torch.cat(units, dim=1) if around else units[0]
    return together if card.normalisation is None else card.normalisation.degraded.apply(together)


def _unit(image: Pixels, channels: int) -> Tensor:
    if image.ndim not in (2, 3) or image.size == 0:
        raise ShapeError(f"image has shape {image.shape}; give (H, W) or (H, W, C), not empty")
    pixels = fit_channels(to_unit(image), channels, what="this image")
    planes = pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)
    return torch.from_numpy(np.ascontiguousarray(planes))[None]


def pixels_of(restored: Tensor, card: Card, *, like: Pixels) -> Pixels:
    """Return a state's image, (1, C, H, W), as pixels of the type and layout of ``like``."""
    if card.normalisation is not None:
        restored = card.normalisation.clean.undo(restored)
    planes = restored[0].cpu().numpy()
    channels = 1 if like.ndim == 2 else like.shape[-1]
    if channels == 1 < len(planes):  # a gray image through a colour model
        planes = planes.mean(axis=0, keepdims=True)
    elif channels > 1 == len(planes):  # colour that is gray everywhere, through a gray model
        planes = planes.repeat(channels, axis=0)
    values = planes[0] if like.ndim == 2 else np.moveaxis(planes, 0, -1)
    return from_unit(values, like.dtype)
