"""Several processes that train one model, on one machine or many, started by torchrun.

Each takes its share of every batch, and torch's DistributedDataParallel averages their gradients: the same training as
that of one process, up to the rounding of floats. Without torchrun a world of one is meant, at no cost.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from indi.devices import choose_device
from indi.errors import ConfigError


@dataclass(frozen=True)
class World:
    """The processes that train together, and which of them this is.

    Attributes:
        rank: Of this process, from 0; the first one writes.
        size: How many there are.
        device: That this one computes on.
    """

    rank: int
    size: int
    device: torch.device

    @property
    def writes(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    def share(self, batch: int) -> slice:
        """Return which part of a batch is this process's.

        Raises:
            ConfigError: The batch cannot be shared evenly.
        """
        if batch % self.size:
            raise ConfigError(f"a batch of {batch} cannot be shared by {self.size} processes; make it a multiple")
        each = batch // self.size
        return slice(self.rank * each, (self.rank + 1) * each)

    def wrapped(self, network: nn.Module) -> nn.Module:
        """Return the network with gradients that are averaged over all processes."""
        if self.size == 1:
            return network
        from torch.nn.parallel import DistributedDataParallel

        return DistributedDataParallel(network)

    def mean(self, value: Tensor) -> Tensor:
        """Return the mean of a value over all processes, which all call this."""
        if self.size == 1:
            return value
        total = value.detach().clone()
        torch.distributed.all_reduce(total)
        return total / self.size

    def first(self, value: float) -> float:
        """Return the value of the first process, such as what its clock says; all call this."""
        if self.size == 1:
            return value
        held = torch.tensor([value], dtype=torch.float64, device=self.device)
        torch.distributed.broadcast(held, src=0)
        return held.item()


def speaks() -> bool:
    """Return whether this process tells the user what all of them do."""
    return os.environ.get("RANK", "0") == "0"


def agreed(flag: bool) -> bool:
    """Return whether the flag is set in any of the processes that train together; all of them call this."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return flag
    backend = torch.distributed.get_backend()
    held = torch.tensor([float(flag)], device="cuda" if backend == "nccl" else "cpu")
    torch.distributed.all_reduce(held)
    return bool(held.item())


@contextmanager
def joined(device: str) -> Iterator[World]:
    """Join the processes that torchrun started; a world of one without it.

    Raises:
        DeviceError: The device is not there.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    chosen = choose_device(device)
    if size == 1:
        yield World(0, 1, chosen)
        return
    rank = int(os.environ["RANK"])
    if chosen.type == "cuda" and chosen.index is None:
        chosen = choose_device(f"cuda:{os.environ['LOCAL_RANK']}")
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    torch.distributed.init_process_group("nccl" if chosen.type == "cuda" else "gloo", rank=rank, world_size=size)
    if rank:
        logging.getLogger("indi").setLevel(logging.ERROR)
    try:
        yield World(rank, size, chosen)
    finally:
        torch.distributed.destroy_process_group()
