"""Standard normal noise as a pure function of position.

The noise under a pixel depends on the seed, on which picture, restoration and draw it is, and on the
block of the image that the pixel lies in: never on the size, order or batch of the pieces that are
worked on, nor on the machine that works on them.
"""

import numpy as np
import torch
from torch import Tensor

from indi.errors import ConfigError

BLOCK = 64  # side of a block in pixels; changing it changes all noise


def normal(
    seed: int,
    *,
    channels: int,
    size: tuple[int, int],
    at: tuple[int, int] = (0, 0),
    sample: int = 0,
    draw: int = 0,
    plane: int = 0,
) -> Tensor:
    """Return the noise (channels, height, width), float32, of a piece of the image.

    Args:
        seed: The user's seed, 0 or more.
        channels: Channels of the whole image.
        size: Height and width of the piece.
        at: First row and first column of the piece in the image.
        sample: Which restoration of the image this is, from 0.
        draw: Which draw of this restoration: 0 at the start, then one a step.
        plane: Which picture of a stack this is, from 0.

    Raises:
        ConfigError: The seed is below 0.
    """
    if seed < 0:
        raise ConfigError(f"seed is {seed}; give 0 or more")
    (height, width), (top, left) = size, at
    noise = np.empty((channels, height, width), dtype=np.float32)
    for row in range(top // BLOCK, -(-(top + height) // BLOCK)):
        for column in range(left // BLOCK, -(-(left + width) // BLOCK)):
            key = np.random.SeedSequence([seed, sample, draw, row, column, *[plane][: plane > 0]])
            block = np.random.Generator(np.random.Philox(key)).standard_normal(
                (channels, BLOCK, BLOCK), dtype=np.float32
            )
            up, down = max(top, row * BLOCK), min(top + height, (row + 1) * BLOCK)
            start, stop = max(left, column * BLOCK), min(left + width, (column + 1) * BLOCK)
            noise[:, up - top : down - top, start - left : stop - left] = block[
                :, up - row * BLOCK : down - row * BLOCK, start - column * BLOCK : stop - column * BLOCK
            ]
    return torch.from_numpy(noise)
