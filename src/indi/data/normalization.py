"""The scale of intensities that a network sees, where that of the files does not suit it.

Microscopes fill a small part of what their files could hold, and the two images of a pair may differ in exposure.
What is measured on the training images stays in the model, and is undone exactly when it restores.
"""

from typing import Literal, Self

import torch
from pydantic import model_validator
from torch import Tensor

from indi.config import Settings

Kind = Literal["deviation", "quantiles"]


class Scale(Settings):
    """What becomes 0, and how much becomes 1, for each channel, in intensities of the files' range."""

    offset: tuple[float, ...]
    scale: tuple[float, ...]

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if len(self.offset) != len(self.scale) or not all(scale > 0 for scale in self.scale):
            raise ValueError("offset and scale need a value a channel, the scale above 0")
        return self

    def apply(self, images: Tensor) -> Tensor:
        """Return images on this scale: (B, C, H, W), or more channels, as of several images of C."""
        return (images - self._of(self.offset, images)) / self._of(self.scale, images)

    def undo(self, images: Tensor) -> Tensor:
        """Return (B, C, H, W) images of this scale on that of the files."""
        return images * self._of(self.scale, images) + self._of(self.offset, images)

    @staticmethod
    def _of(values: tuple[float, ...], images: Tensor) -> Tensor:
        repeated = values * (images.shape[-3] // len(values))
        return torch.tensor(repeated, dtype=images.dtype, device=images.device).reshape(-1, 1, 1)


class Normalisation(Settings):
    """The scales of clean and of degraded images; the same, where the images of a pair agree in theirs.

    Attributes:
        kind: How they were measured; cards of before it was noted do not say.
    """

    kind: Kind | None = None
    clean: Scale
    degraded: Scale
