"""Networks: one file each, listed here.

A network is a module called as ``network(inputs, t)`` with (B, C_in, H, W) of any H and W and t (B,)
float32; it returns (B, C, H, W). It publishes two numbers that make tiling exact:

    stride  sizes and positions that are multiples of it are its own grid
    halo    how far an output pixel can see, in pixels, a multiple of the stride;
            None where that is the whole image, and then it is never tiled
"""

from collections.abc import Callable
from typing import Protocol

from torch import Tensor

from indi.networks.unet import UNet


class Network(Protocol):
    """What the rest of the library needs of a network."""

    stride: int
    halo: int | None

    def __call__(self, inputs: Tensor, t: Tensor, /) -> Tensor:
        """Return the output (B, C, H, W) for inputs (B, C_in, H, W) at times t (B,)."""
        ...


NETWORKS: dict[str, Callable[[int, int, str], UNet]] = {  # add a network here: (channels in, out, size)
    "unet": UNet.of_size,
}

__all__ = ["NETWORKS", "Network", "UNet"]
