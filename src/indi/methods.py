"""Methods: what is trained, as rows of one table.

A method says which path leads from degraded to clean (process.py), what the network is shown, and
what its output means. Trainer, restorer, tiler and reports know no method by name.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from indi.process import Noise, Path, indi


@dataclass(frozen=True)
class Method:
    """A way of restoring: a path, and how a network serves it.

    Attributes:
        path: The process between clean and degraded.
        conditioned: Whether the network sees the degraded image beside the state.
        share_at_one: The weight of the point mass at t = 1 in p(t), Eq. (2).
        one_step: Whether it knows t = 1 alone, so that only one step makes sense.
    """

    path: Path
    conditioned: bool
    share_at_one: float
    one_step: bool = False

    def inputs(self, state: Tensor, degraded: Tensor) -> Tensor:
        """Return what the network sees: (B, C, H, W), or (B, 2C, H, W) where it is conditioned."""
        return torch.cat([state, degraded], dim=1) if self.conditioned else state

    def clean(self, output: Tensor, state: Tensor) -> Tensor:
        """Return the estimate of clean, in float32: the network predicts what the state lacks.

        The sum is made in float32, so that a network in bfloat16 never rounds the image itself.
        """
        return state + output.float()


def _indi(epsilon: float, noise: Noise, conditioned: bool, share_at_one: float) -> Method:
    return Method(indi(epsilon, noise), conditioned, share_at_one)


def _regression(epsilon: float, noise: Noise, conditioned: bool, share_at_one: float) -> Method:
    # One network call from the degraded image itself: no noise, no second view of it, no other time.
    return Method(indi(0.0), conditioned=False, share_at_one=1.0, one_step=True)


METHODS: dict[str, Callable[[float, Noise, bool, float], Method]] = {  # add a method here
    "indi": _indi,
    "regression": _regression,
}
