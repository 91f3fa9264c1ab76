"""Walk through an image that memory does not hold: every move is a sweep over tiles, the state lies on disk.

The same moves as those of ``samplers.walk``: a tile sees the state that the move before left, with as much around it as
the network looks at, so the result is that of the whole image up to the rounding of floats.
"""

from collections.abc import Callable, Generator
from contextlib import ExitStack
from functools import partial
from itertools import pairwise
from pathlib import Path as Folder

import numpy as np
import torch
from torch import Tensor

from indi.io.region import Box, cores
from indi.process.path import Path, scaled_times
from indi.process.samplers import Estimate, Move, Sampler
from indi.restoration.state import Canvas

Draw = Callable[[], Tensor]
Predict = Callable[[Tensor, Tensor, float, Draw], Tensor]


@torch.no_grad()
def sweep(
    predict: Predict,
    path: Path,
    degraded: Callable[[Box], Tensor],
    shape: tuple[int, int, int],
    times: list[float],
    *,
    draw: Callable[[int, Box], Tensor],
    sampler: Sampler,
    tile: int,
    halo: int,
    folder: Folder,
    finished: Callable[[Box, Tensor], None],
    strength: float = 1.0,
) -> Generator[float, None, None]:
    """Yield the share that is done, tile by tile; give each tile of the answer to ``finished``.

    Args:
        predict: F(state, degraded, time, draw) of a piece, (1, C, height, width) each; ``draw`` returns the noise of
            this move there, for a network that takes some.
        path: The process that the network was trained on.
        degraded: Returns a box of the image, (1, C, height, width) float32 in [0, 1].
        shape: Channels, height and width of the image.
        times: From exactly 1 strictly down.
        draw: Standard normal noise of a box, (1, C, height, width), for draw number 0, 1, 2, ...
        sampler: The rule of one move.
        tile: Side of a tile's core, a multiple of the network's stride.
        halo: How far the network sees, a multiple of its stride.
        folder: Where the states lie meanwhile: two or three times the image in float32.
        finished: Called with each core and its (1, C, height, width) values.
        strength: As ``walk``.

    Raises:
        ConfigError, ImageError: ``times`` is not a walk, the sampler does not fit the path, or the disk is full.
    """
    times = scaled_times(times, strength)
    _, height, width = shape
    tiles = list(cores(Box(0, 0, height, width), tile))
    with ExitStack() as stack:
        canvases = [stack.enter_context(Canvas(shape, "float32", folder)) for _ in range(2)]
        said = [stack.enter_context(Canvas(shape, "float32", folder)) for _ in range(2 * sampler.looks_back)]
        for core in tiles:
            _put(canvases[0], core, path.start(degraded(core), partial(draw, 0, core), times[0]))
        for number, (time, to) in enumerate(pairwise(times), start=1):
            for done, core in enumerate(tiles, start=1):
                outer = core.grown(sampler.depth * halo, height, width)
                inner = core.seen_from(outer)
                window = degraded(outer)
                state = _get(canvases[0], outer, window.device)
                before = (
                    Estimate(times[number - 2], _get(said[0], outer, window.device)) if said and number > 1 else None
                )

                noise = partial(draw, number, outer)

                def here(image: Tensor, at: float, window: Tensor = window, noise: Draw = noise) -> Tensor:
                    return predict(image, window, at, noise)

                estimate, image = sampler.move(Move(here, path, state, window, time, to, before), noise)
                if number == len(times) - 1:
                    finished(core, inner.cut(image))
                else:
                    _put(canvases[1], core, inner.cut(image))
                if said:
                    _put(said[1], core, inner.cut(estimate.clean))
                yield (number - 1 + done / len(tiles)) / (len(times) - 1)
            canvases.reverse()
            said.reverse()


def _get(canvas: Canvas, box: Box, device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(canvas.read(box)))[None].to(device)


def _put(canvas: Canvas, box: Box, image: Tensor) -> None:
    canvas.write(box, image[0].cpu().numpy())
