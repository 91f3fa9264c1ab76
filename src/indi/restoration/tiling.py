"""Run a network over tiles, exactly.

Each network call is tiled, never the whole trajectory: tiles of one would need a halo that grows with
every step, or show seams. A tile is a core, whose output is kept, and a halo around it as wide as the
network sees. Cores lie on the network's own grid, so tiled equals whole up to the rounding of floats.
"""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from indi.errors import DeviceError
from indi.io.region import Region, cores

# What torch says: on Linux and macOS, on Windows, on accelerators, their libraries, cuDNN and oneDNN, which may name no
# cause.
_OUT_OF_MEMORY = (
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "ALLOC_FAILED",
    "ALLOCATION_FAILED",
    "unable to find an engine",
    "Unable to find a valid cuDNN algorithm",
    "could not create a primitive",
    "could not create a memory",
)

Call = Callable[[Tensor, Tensor], Tensor]  # network(inputs, t)
Progress = Callable[[float], None]


class TiledCall(Protocol):
    """A call that can tell how far it is, tile by tile."""

    def __call__(self, inputs: Tensor, t: Tensor, /, progress: Progress | None = None) -> Tensor:
        """Return the output; ``progress`` hears the share that is done, and what it raises ends the call."""


def tiled(network: Call, *, tile: int, halo: int, stride: int) -> TiledCall:
    """Return ``network`` run over tiles: the same call, the same output.

    A tile that does not fit in memory is cut into smaller ones, and so are those after it; nothing is
    left out.

    Args:
        network: Called as network(inputs (B, C, H, W), t (B,)).
        tile: Side of a core in pixels; rounded up to the stride.
        halo: How far the network sees, in pixels, a multiple of the stride.
        stride: The network's grid.

    Raises:
        DeviceError: (by the returned call) a tile of one stride does not fit in memory.
    """
    side = -(-tile // stride) * stride

    def call(inputs: Tensor, t: Tensor, /, progress: Progress | None = None) -> Tensor:
        nonlocal side
        height, width = inputs.shape[-2:]
        finished = 0
        restored: Tensor | None = None
        waiting = [Region(0, 0, height, width)]
        while waiting:
            area = waiting.pop()
            extent = max(area.bottom - area.top, area.right - area.left)
            if extent > side:
                waiting.extend(reversed(list(cores(area, side))))
                continue
            outer = area.grown(halo, height, width)
            try:
                output = area.seen_from(outer).cut(network(outer.cut(inputs), t))
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if side <= stride:
                    message = f"a tile of {side} px with a halo of {halo} px does not fit in memory; free memory"
                    raise DeviceError(f"{message} or use a smaller model") from error
                side = -(-extent // (2 * stride)) * stride
                waiting.append(area)
                continue
            finished += area.height * area.width
            if progress is not None:
                progress(finished / (height * width))
            if restored is None:
                if area == Region(0, 0, height, width):
                    return output
                restored = output.new_empty((*output.shape[:-2], height, width))
            area.cut(restored).copy_(output)
        assert restored is not None
        return restored

    return call


def part_of(progress: Progress | None, number: int, count: int) -> Progress | None:
    """Return what tells the progress of one part, from 0, of so many as that of the whole."""
    return None if progress is None else lambda share: progress((number + share) / count)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out, on an accelerator or on the CPU."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return (
        isinstance(error, RuntimeError)
        and any(words in str(error) for words in _OUT_OF_MEMORY)
        and (
            "primitive descriptor" not in str(error)  # which oneDNN lacks for what it cannot do
        )
    )
