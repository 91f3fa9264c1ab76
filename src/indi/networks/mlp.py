"""A multilayer perceptron, applied at each pixel.

It sees one pixel and the time, nothing around it: for points (images of one pixel, as in toy.py), or
where clean is a function of a pixel's own channels. With a halo of 0 its tiles need no margin.

The hidden layers saturate (tanh), and the time scales and shifts each of them, as in the U-Net: what a
trajectory meets between the points that it was trained on is then decided sharply. The last layer also sees
the inputs, so that none of the others has to carry them through. On the toy sets each of the three
came closer to the exact answer, at equal cost, than SiLU layers with the time beside the inputs.

The last layer begins as zero, so that an untrained network returns zero, and F, to which the state is
added, begins as the identity.
"""

import math
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from indi.networks.base import Network


class MLP(Network):
    """The perceptron: ``network(inputs, t)``.

    Args:
        channels_in: Channels of the inputs: the image's, or twice those where it is conditioned.
        channels_out: Channels of the image.
        width: Features of each hidden layer.
        depth: Hidden layers, 1 or more.
    """

    sizes: ClassVar[dict[str, tuple[int, int]]] = {  # width and depth
        "tiny": (32, 2),
        "small": (64, 2),
        "base": (128, 3),
        "large": (256, 4),
    }
    halo: int
    may_be_cast = True  # it has no convolutions

    def __init__(self, channels_in: int, channels_out: int, width: int, depth: int) -> None:
        super().__init__()
        self.stride, self.halo = 1, 0
        self.hidden = nn.ModuleList(_Layer(width if number else channels_in, width) for number in range(depth))
        self.last = nn.Linear(width + channels_in, channels_out)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    @classmethod
    def of_size(cls, channels_in: int, channels_out: int, size: str) -> Self:
        """Return the network of a named size, a key of ``sizes``."""
        return cls(channels_in, channels_out, *cls.sizes[size])

    def forward(self, inputs: Tensor, t: Tensor) -> Tensor:
        """Return (B, channels_out, H, W) for inputs (B, channels_in, H, W) of any size, at times t (B,)."""
        pixels = inputs.movedim(1, -1)
        time = torch.stack([(math.pi * t).sin(), (math.pi * t).cos()], dim=1)
        x = pixels
        for layer in self.hidden:
            x = layer(x, time)
        output: Tensor = self.last(torch.cat([x, pixels], dim=-1))
        return output.movedim(-1, 1)


class _Layer(nn.Module):
    """tanh(scale * linear(x) + shift), the scale and shift from the time."""

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(features, width)
        self.modulate = nn.Linear(2, 2 * width)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        with torch.autocast(time.device.type, enabled=False):  # in bfloat16 times near 1 fall together
            scale, shift = self.modulate(time)[:, None, None].chunk(2, dim=-1)
        return torch.addcmul(shift, self.linear(x), 1 + scale).tanh()
