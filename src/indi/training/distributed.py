"""Several processes that train one model, on one machine or many, started by torchrun.

Each takes its share of every batch, and torch's DistributedDataParallel averages their gradients: the same training as
that of one process, up to the rounding of floats. Without torchrun a world of one is meant, at no cost.
"""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor, nn

from indi.devices import choose_device
from indi.errors import ConfigError, IndiError

_T = TypeVar("_T")
_PATIENCE = timedelta(days=1)  # while the first process reads all images; torchrun ends all where one ends


@dataclass(frozen=True)
class World:
    """The processes that train together, and which of them this is.

    Attributes:
        rank: Of this process, from 0; the first one writes.
        size: How many there are.
        device: That this one computes on.
        neighbours: How many of them are on this machine, this one included.
    """

    rank: int
    size: int
    device: torch.device
    neighbours: int = 1

    @property
    def writes(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    def share(self, batch: int) -> slice:
        """Return which part of a batch is this process's: every so many, since times rise along a batch.

        Raises:
            ConfigError: The batch cannot be shared evenly.
        """
        if batch % self.size:
            raise ConfigError(f"a batch of {batch} cannot be shared by {self.size} processes; make it a multiple")
        return slice(self.rank, batch, self.size)

    def wrapped(self, network: nn.Module) -> nn.Module:
        """Return the network with gradients that are averaged over all processes."""
        if self.size == 1:
            return network
        from torch.nn.parallel import DistributedDataParallel

        return DistributedDataParallel(network, gradient_as_bucket_view=True)  # no second copy of the gradients

    def mean(self, value: Tensor) -> Tensor:
        """Return the mean of a value over all processes, which all call this."""
        if self.size == 1:
            return value
        total = value.detach().clone()
        torch.distributed.all_reduce(total)
        return total / self.size

    def from_first(self, make: Callable[[], _T]) -> _T:
        """Return what the first process makes, which alone works for it; all call this, and raise what it raises."""
        if self.size == 1:
            return make()
        held: list[object] = [None]
        if self.rank == 0:
            try:
                held[0] = make()
            except IndiError as error:
                held[0] = error
        torch.distributed.broadcast_object_list(held, src=0)
        if isinstance(held[0], IndiError):
            raise held[0]
        return held[0]  # type: ignore[return-value]

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
    is_cuda = chosen.type == "cuda"
    torch.distributed.init_process_group(
        "nccl" if is_cuda else "gloo",
        rank=rank,
        world_size=size,
        timeout=_PATIENCE,
        device_id=chosen if is_cuda else None,  # or NCCL guesses it, and connects at the first message only
    )
    if rank:
        logging.getLogger("indi").setLevel(logging.ERROR)
    try:
        yield World(rank, size, chosen, neighbours=int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    finally:
        torch.distributed.destroy_process_group()
