"""The process as a scheduler of diffusers, so that it drops into pipelines of that library.

Import it as indi.scheduler; it needs diffusers. Its moves are those of process.py, so its walk is ours bit for bit.
"""

from dataclasses import dataclass

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from diffusers.utils.outputs import BaseOutput
from torch import Tensor

from indi import process
from indi.errors import ConfigError


@dataclass
class InDISchedulerOutput(BaseOutput):  # type: ignore[misc]
    """What a step gives: the state at the next time, and the estimate of clean it was made with."""

    prev_sample: Tensor
    pred_original_sample: Tensor


class InDIScheduler(SchedulerMixin, ConfigMixin):  # type: ignore[misc]
    """InDI as a scheduler: ``set_timesteps``, ``start``, then a ``step`` for each of ``timesteps``.

    A model is called as model(sample, timestep) and gives its estimate of clean, as F does. Times are floats that fall
    from 1; there is no number of training steps.

    Args:
        epsilon: Standard deviation of the noise at t = 1, in intensities.
        noise: constant or brownian.
    """

    order = 1
    init_noise_sigma = 1.0

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(self, epsilon: float = 0.01, noise: process.Noise = "constant") -> None:
        self.path = process.indi(epsilon, noise)
        self.set_timesteps(10)

    def set_timesteps(self, num_inference_steps: int, device: str | torch.device | None = None) -> None:
        """Choose the times: uniform, that many steps."""
        if num_inference_steps < 1:
            raise ConfigError(f"num_inference_steps is {num_inference_steps}; give 1 or more")
        self._times = process.uniform_times(num_inference_steps)
        self.num_inference_steps = num_inference_steps
        self.timesteps = torch.tensor(self._times[:-1], dtype=torch.float64, device=device)

    def start(self, degraded: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return the state at t = 1: the degraded image and its noise."""
        return self.path.start(degraded, lambda: _normal(degraded, generator))

    def scale_model_input(self, sample: Tensor, timestep: float | Tensor | None = None) -> Tensor:
        """Return what the model is to be called with: the sample as it is."""
        return sample

    def step(
        self,
        model_output: Tensor,
        timestep: float | Tensor,
        sample: Tensor,
        *,
        generator: torch.Generator | None = None,
        return_dict: bool = True,
    ) -> InDISchedulerOutput | tuple[Tensor]:
        """Move from one of ``timesteps`` to the next.

        Args:
            model_output: The estimate of clean.
            timestep: Where the sample is.
            sample: The state.
            generator: Of the noise that a Brownian move adds.
            return_dict: False for a plain tuple.

        Raises:
            ConfigError: ``timestep`` is none of ``timesteps``.
        """
        time = float(timestep)
        if time not in self._times[:-1]:
            raise ConfigError(f"timestep is {time}, none of those that set_timesteps chose; take them from timesteps")
        to = self._times[self._times.index(time) + 1]
        # On InDI's path the degraded image cancels out of a move, so any image may stand for it.
        state = self.path.move(sample, sample, model_output, time, to)
        if spread := self.path.fresh(time, to):
            state = state + spread * _normal(sample, generator)
        return InDISchedulerOutput(state, model_output) if return_dict else (state,)


def _normal(like: Tensor, generator: torch.Generator | None) -> Tensor:
    return torch.randn(like.shape, generator=generator, dtype=like.dtype).to(like.device)
