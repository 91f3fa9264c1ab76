"""What a run takes over from the model that it starts from."""

import torch
from torch import Tensor

from indi.data.wording import count
from indi.models.checkpoint import Card


def said(card: Card) -> str:
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
