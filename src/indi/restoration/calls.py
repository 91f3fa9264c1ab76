"""A network as restoring calls it."""

import copy

import torch
from torch import Tensor

from indi.models.checkpoint import cast_convolutions
from indi.networks import Network
from indi.restoration.tiling import Call, Progress, TiledCall, part_of


def ready(network: Network, precision: torch.dtype, device: torch.device) -> Call:
    """Return a copy of a network for a device: its layers as in use, its convolutions in a precision."""
    copied = copy.deepcopy(network).eval().to(device)
    if precision == torch.float32 or network.may_be_cast:
        return cast_convolutions(copied, precision)

    def call(inputs: Tensor, t: Tensor) -> Tensor:
        with torch.autocast(device.type, dtype=precision):
            output: Tensor = copied(inputs, t)
        return output

    return call


def whole(network: Call) -> TiledCall:
    """Return a network that looks at the whole image as a call of one tile."""

    def call(inputs: Tensor, t: Tensor, /, progress: Progress | None = None) -> Tensor:
        output = network(inputs, t)
        if progress is not None:
            progress(1.0)
        return output

    return call


def reporting(network: TiledCall, progress: Progress, calls: int) -> Call:
    """Return a call that tells ``progress`` the share that is done of so many calls."""
    finished = 0

    def call(inputs: Tensor, t: Tensor) -> Tensor:
        nonlocal finished
        output = network(inputs, t, progress=part_of(progress, finished, calls))
        finished += 1
        return output

    return call
