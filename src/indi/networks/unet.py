"""A U-Net that is exact to tile and fast on a CPU.

In the spirit of the paper's network, with three choices of its own:

- no statistics over the image (no normalisation layer, no attention), so its receptive field is
  finite and known: ``halo``. Tiled equals whole;
- space-to-depth at the input, so no convolution runs at full resolution;
- plain 3x3 convolutions and little between them, in channels-last memory, where CPUs and GPUs reach
  most of their speed. The time enters each block as a scale and a shift of its channels.

Every block and the last layer begin as zero, so that an untrained network returns zero, and F,
to which the state is added, begins as the identity.
"""

import math
from itertools import pairwise
from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from indi.networks.base import Network

_FREQUENCIES = 16


class UNet(Network):
    """The U-Net of DESIGN: ``network(inputs, t)``.

    Args:
        channels_in: Channels of the inputs: the image's, or twice those where it is conditioned.
        channels_out: Channels of the image.
        widths: Channels of each level, from half resolution down.
        blocks: Residual blocks of each level, each way; in the last, the middle, once.
    """

    # Channels at 1/2, 1/4, 1/8, … of the image's resolution, and blocks there (encoder, decoder; the last: middle).
    sizes: ClassVar[dict[str, tuple[tuple[int, ...], tuple[int, ...]]]] = {
        "tiny": ((32, 48, 64), (1, 1, 2)),
        "small": ((48, 96, 192), (1, 1, 4)),
        "fine": ((64, 96, 160), (2, 1, 3)),
        "base": ((96, 192, 384), (1, 1, 3)),
        "large": ((128, 256, 512), (2, 2, 6)),
    }
    halo: int
    may_be_cast = True

    def __init__(self, channels_in: int, channels_out: int, widths: tuple[int, ...], blocks: tuple[int, ...]) -> None:
        super().__init__()
        features = 2 * widths[0]
        self.time = _Time(features)
        self.head = nn.Conv2d(4 * channels_in, widths[0], 3, padding=1)
        sides = list(zip(widths[:-1], blocks[:-1], strict=True))
        self.encoder = nn.ModuleList(_Level(width, count, features) for width, count in sides)
        self.down = nn.ModuleList(nn.Conv2d(fine, coarse, 2, stride=2) for fine, coarse in pairwise(widths))
        self.middle = _Level(widths[-1], blocks[-1], features)
        self.up = nn.ModuleList(nn.ConvTranspose2d(coarse, fine, 2, stride=2) for fine, coarse in pairwise(widths))
        self.decoder = nn.ModuleList(_Level(width, count, features) for width, count in sides)
        self.tail = nn.Conv2d(widths[0], 4 * channels_out, 3, padding=1)
        nn.init.zeros_(self.tail.weight)
        nn.init.zeros_(self.tail.bias)  # type: ignore[arg-type]
        self.stride = 2 ** len(widths)
        self.halo = _halo(blocks)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @classmethod
    def of_size(cls, channels_in: int, channels_out: int, size: str) -> Self:
        """Return the network of a named size, a key of ``sizes``."""
        return cls(channels_in, channels_out, *cls.sizes[size])

    def forward(self, inputs: Tensor, t: Tensor) -> Tensor:
        """Return (B, channels_out, H, W) for inputs (B, channels_in, H, W) of any size, at times t (B,)."""
        height, width = inputs.shape[-2:]
        time = self.time(t)
        # The edge is repeated up to the stride; a tile at the image's edge sees the same.
        x = F.pad(inputs, (0, -width % self.stride, 0, -height % self.stride), mode="replicate")
        x = F.pixel_unshuffle(x, 2).contiguous(memory_format=torch.channels_last)
        x = self.head(x.to(self.head.weight.dtype))
        skips = []
        for level, down in zip(self.encoder, self.down, strict=True):
            x = level(x, time)
            skips.append(x)
            x = down(x)
        x = self.middle(x, time)
        for level, up, skip in zip(reversed(self.decoder), reversed(self.up), reversed(skips), strict=True):
            x = level(up(x) + skip, time)
        output: Tensor = F.pixel_shuffle(self.tail(x), 2)
        return output[..., :height, :width]


class _Time(nn.Module):
    """Features of the time: sines and cosines, then two layers, in float32 whatever the rest runs in."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(2 * _FREQUENCIES, features), nn.SiLU(), nn.Linear(features, features), nn.SiLU()
        )
        # Up to 8 waves over [0, 1]: fine enough to tell neighbouring steps apart, smooth enough to interpolate.
        frequencies = math.pi * torch.arange(1, _FREQUENCIES + 1)
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.frequencies: Tensor

    def forward(self, t: Tensor) -> Tensor:
        with torch.autocast(t.device.type, enabled=False):
            phase = t[:, None] * self.frequencies
            features: Tensor = self.layers(torch.cat([phase.sin(), phase.cos()], dim=1))
            return features


class _Level(nn.Module):
    """Residual blocks at one resolution."""

    def __init__(self, width: int, count: int, features: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(_Block(width, features) for _ in range(count))

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x, time)
        return x


class _Block(nn.Module):
    """x + conv(relu(scale * conv(x) + shift)), the scale and shift from the time."""

    def __init__(self, width: int, features: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.modulate = nn.Linear(features, 2 * width)
        for layer in (self.second, self.modulate):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        h = self.first(x)
        with torch.autocast(x.device.type, enabled=False):
            scale, shift = self.modulate(time).to(h.dtype)[:, :, None, None].chunk(2, dim=1)
        h = F.relu(torch.addcmul(shift, h, 1 + scale), inplace=True)
        return x + self.second(h)  # type: ignore[no-any-return]


def _halo(blocks: tuple[int, ...]) -> int:
    """Return how far the U-Net sees, in pixels: go back from an output tile to the input it needs.

    A 3x3 convolution at resolution 1/f needs f more pixels on each side; going to a coarser level
    rounds what is needed outwards to that level's grid.
    """
    *sides, middle = blocks
    reach = 2  # the last convolution
    cell = 2
    for count in sides:
        reach += 2 * count * cell
        cell *= 2
        reach = -(-reach // cell) * cell
    reach += 2 * middle * cell
    for count in reversed(sides):
        cell //= 2
        reach += 2 * count * cell
    reach += 2  # the first convolution
    stride: int = 2 ** len(blocks)
    return -(-reach // stride) * stride
