"""What the rest of the library needs of a network."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from torch import nn


class Network(nn.Module, ABC):
    """A module called as ``network(inputs, t)``: (B, C_in, H, W) of any H and W, t (B,) float32 -> (B, C, H, W).

    Attributes:
        sizes: What each named size is, in the network's own terms.
        stride: Sizes and positions that are multiples of it are its own grid, in pixels.
        halo: How far an output pixel can see, in pixels, a multiple of the stride; None where that is the
            whole image, and then it is never tiled.
        may_be_cast: Whether its convolutions may be cast to bfloat16 and the rest kept: it then brings what they are
            given to their type itself. Without, it runs under torch's autocast, which suits any layers.
    """

    sizes: ClassVar[Mapping[str, Any]]
    stride: int
    halo: int | None
    may_be_cast: ClassVar[bool] = False

    @classmethod
    @abstractmethod
    def of_size(cls, channels_in: int, channels_out: int, size: str) -> Self:
        """Return the untrained network of a named size, a key of ``sizes``.

        Args:
            channels_in: Channels of the inputs: the image's, or twice those where it is conditioned.
            channels_out: Channels of the image.
            size: The name of a size.
        """
