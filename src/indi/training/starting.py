"""What a run takes over from the model that it starts from."""

import torch
from torch import Tensor

from indi.data.wording import count
from indi.errors import ModelError
from indi.models.checkpoint import Card


def check_start(theirs: Card, ours: Card) -> None:
    """Refuse a model whose weights do not serve this run's network.

    Raises:
        ModelError: It says why.
    """
    before, now = theirs.method.build(), ours.method.build()
    found = f"cannot start from {theirs.name}: its network"
    if before.conditioned and not now.conditioned:
        advice = "leave method and conditioned out"
        raise ModelError(f"{found} sees the degraded image beside the state, this run's does not; {advice}")
    if before.draws and not now.draws:
        raise ModelError(f"{found} takes noise, this run's does not; leave method out")
    if theirs.neighbours:
        if theirs.around != ours.around:
            planes = f"{count(theirs.neighbours, 'plane')} on each side along {theirs.neighbours_axis}"
            raise ModelError(f"{found} sees {planes}; leave neighbours and neighbours_axis out, and train on stacks")
        if (before.conditioned, before.draws) != (now.conditioned, now.draws):
            raise ModelError(f"{found} sees neighbours, which fit its own method alone; leave method out")
    if (theirs.network, theirs.channels) != (ours.network, ours.channels):
        advice = "leave size, network and channels out"
        raise ModelError(f"{found} is {_said(theirs)}, this run's {_said(ours)}; {advice}")


def _said(card: Card) -> str:
    """Return a network in words."""
    return f"{card.network.name} of size {card.network.size} with {count(card.channels, 'channel')}"


def widened(weights: dict[str, Tensor], wanted: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return weights with zeros for the inputs that they lack, which come last."""
    found = {}
    for name, weight in weights.items():
        lacking = wanted[name].shape[1] - weight.shape[1] if weight.ndim > 1 else 0
        found[name] = (
            torch.cat([weight, weight.new_zeros(len(weight), lacking, *weight.shape[2:])], 1) if lacking else weight
        )
    return found
