"""Draws from a generator that several degradations share."""

import torch
from torch import Generator, Tensor


def uniform(low: float, high: float, generator: Generator) -> float:
    """Return a number drawn evenly from ``low`` to ``high``."""
    return low + (high - low) * torch.rand((), generator=generator, device=generator.device).item()


def normal_like(clean: Tensor, generator: Generator) -> Tensor:
    """Return standard normal numbers of the shape, type and device of ``clean``."""
    return torch.randn(clean.shape, generator=generator, dtype=clean.dtype, device=clean.device)
