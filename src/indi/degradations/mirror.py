"""The edge of an image, mirrored as often as it takes."""

from torch import Tensor


def mirrored(positions: Tensor, side: int) -> Tensor:
    """Return the pixel from 0 to ``side`` - 1 that a position beyond the line shows, the edge pixel included."""
    folded = positions % (2 * side)
    return folded.where(folded < side, 2 * side - 1 - folded)
