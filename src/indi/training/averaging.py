"""The running average of the weights, which is what a run saves."""

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


@torch.no_grad()
def add(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Move the average of weights towards a network's, and take over what is no weight."""
    move = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    move(list(average.parameters()), list(network.parameters()), 1)
    copy_buffers(network, average)


@torch.no_grad()
def add_where(good: Tensor, average: nn.Module, network: nn.Module, decay: float) -> None:
    """Do as `add`, or where ``good`` is false nothing but give the network's buffers back, without reading which."""
    weights, averages = ([weight.detach() for weight in each.parameters()] for each in (network, average))
    moves = list(torch._foreach_sub(weights, averages))
    torch._foreach_mul_(moves, good * (1 - decay))
    torch._foreach_add_(averages, moves)
    for ours, averaged in zip(network.buffers(), average.buffers(), strict=True):
        kept = torch.where(good, ours, averaged)
        ours.copy_(kept)
        averaged.copy_(kept)


@torch.no_grad()
def copy_buffers(source: nn.Module, target: nn.Module) -> None:
    """Copy what is no weight, such as the statistics of batches."""
    for theirs, ours in zip(source.buffers(), target.buffers(), strict=True):
        ours.copy_(theirs)
