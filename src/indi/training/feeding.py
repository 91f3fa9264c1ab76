"""Crops on their way to the device: how many threads make them, and copies while the device works."""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import TypeVar

import torch
from torch import Tensor

from indi.data import Crops
from indi.devices import cores
from indi.training.trainer import Trainer

_MOST = 8  # makers: they share Python's lock, and beyond that wait for it more than they work

_T = TypeVar("_T")
_U = TypeVar("_U")
Batch = tuple[Tensor, Tensor]


def makers_for(device: torch.device, neighbours: int) -> int:
    """Return how many threads make crops.

    On the CPU half of those that compute, since the network needs many times what its crops do; beside an accelerator
    all cores that this process has, but one.
    """
    free = torch.get_num_threads() // 2 if device.type == "cpu" else cores() // neighbours - 1
    return min(max(free, 1), _MOST)


def fed(crops: Crops, trainer: Trainer, share: slice) -> Generator[Batch, None, None]:
    """Yield this process's share of the batches from the trainer's place on, on its device."""
    device, is_cuda = trainer.device, trainer.device.type == "cuda"
    makers = makers_for(device, trainer.world.neighbours)
    size = trainer.config.data.batch
    stream = crops.stream(trainer.iteration, size, share=share, makers=makers, pinned=is_cuda)
    with closing(stream):
        batches = (batch for _, batch in stream)
        yield from one_ahead(batches, Copier(device)) if is_cuda else batches


def one_ahead(items: Iterator[_T], begin: Callable[[_T], Callable[[], _U]]) -> Generator[_U, None, None]:
    """Yield what becomes of each item, which was begun before the item before it was asked for.

    Args:
        items: Without end, or with one.
        begin: Begins the work on an item, and returns what waits for it.
    """
    waiting = None
    for item in items:
        begun = begin(item)
        if waiting is not None:
            yield waiting()
        waiting = begun
    if waiting is not None:
        yield waiting()


class Copier:
    """Copies batches to a CUDA device on a queue of its own, beside what the device computes."""

    def __init__(self, device: torch.device) -> None:
        self._device, self._queue = device, torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def __call__(self, batch: Batch) -> Callable[[], Batch]:
        """Begin to copy pinned memory; what is returned makes the device's work wait for it, not this process."""
        with torch.cuda.stream(self._queue):
            clean, degraded = (part.to(self._device, non_blocking=True) for part in batch)

        def arrived() -> Batch:
            working = torch.cuda.current_stream(self._device)
            working.wait_stream(self._queue)
            for part in (clean, degraded):
                part.record_stream(working)  # its memory is free only when that work is done
            return clean, degraded

        return arrived
