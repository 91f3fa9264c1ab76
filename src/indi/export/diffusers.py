"""The process as a scheduler of diffusers, so that it drops into pipelines of that library.

Import it as indi.export.diffusers; it needs diffusers. Its steps are those of path.py, so its trajectory is
bit-identical to ours.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from diffusers.utils.outputs import BaseOutput
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor

from indi.errors import ConfigError
from indi.process import Noise
from indi.process import path as process

Generators = torch.Generator | list[torch.Generator] | None  # one for all, or one an image
_ROUNDING = 2**-8  # more than the share by which bfloat16 rounds a time


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
    init_noise_sigma = 1.0  # pipelines multiply the state they begin with by it

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(self, epsilon: float = 0.01, noise: Noise = "constant") -> None:
        self.path = process.indi(epsilon, noise)
        self.set_timesteps(10)

    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        *,
        device: str | torch.device | None = None,
        timesteps: Iterable[float | Tensor] | None = None,
    ) -> None:
        """Choose the times, and begin again: so many uniform steps, or the times themselves.

        Args:
            num_inference_steps: How many steps.
            device: Where ``timesteps`` are to lie.
            timesteps: From 1 strictly down, without the 0 where the last step ends.

        Raises:
            ConfigError: Both or neither are given, there are no steps, or the times do not fall so.
        """
        if timesteps is not None and num_inference_steps is None:
            self._times = process.check_times([*map(float, timesteps), 0.0])
        elif timesteps is None and num_inference_steps is not None:
            if num_inference_steps < 1:
                raise ConfigError(f"num_inference_steps is {num_inference_steps}; give 1 or more")
            self._times = process.uniform_times(num_inference_steps)
        else:
            raise ConfigError("set_timesteps was given both or neither; give either num_inference_steps or timesteps")
        self.num_inference_steps = len(self._times) - 1
        self.timesteps = torch.tensor(self._times[:-1], dtype=torch.float32, device=device)
        self._step_index: int | None = None
        self._begin_index: int | None = None

    @property
    def step_index(self) -> int | None:
        """Which of ``timesteps`` the next step begins at; None before the first."""
        return self._step_index

    @property
    def begin_index(self) -> int | None:
        """Which of ``timesteps`` sampling begins at, where a pipeline said so."""
        return self._begin_index

    def set_begin_index(self, begin_index: int = 0) -> None:
        """Say which of ``timesteps`` sampling begins at."""
        self._begin_index = begin_index

    def index_for_timestep(self, timestep: float | Tensor) -> int:
        """Return which of ``timesteps`` this one is: the nearest.

        Raises:
            ConfigError: None is as near as rounding leaves it.
        """
        time = float(timestep)
        index = min(range(self.num_inference_steps), key=lambda i: abs(self._times[i] - time))
        if not self._is_at(index, time):
            raise ConfigError(f"timestep is {time:g}, none of those that set_timesteps chose; take them from timesteps")
        return index

    def start(self, degraded: Tensor, generator: Generators = None) -> Tensor:
        """Return the state at t = 1: the degraded image and its noise."""
        return self.path.start(degraded, lambda: _normal(degraded, generator))

    def add_noise(self, original_samples: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return degraded images as states at ``timesteps``, for sampling that begins below 1: with the noise of there.

        Args:
            original_samples: The degraded images; clean ones have no part in it.
            noise: Standard normal noise, of their shape.
            timesteps: A time for each image, or one for all.
        """
        spread = [float(self.path.c(float(time))) for time in timesteps.flatten()]
        shape = (-1, *[1] * (original_samples.ndim - 1))
        return original_samples + noise * noise.new_tensor(spread).reshape(shape)

    def scale_model_input(self, sample: Tensor, timestep: float | Tensor | None = None) -> Tensor:
        """Return what the model is to be called with: the sample as it is."""
        return sample

    def step(
        self,
        model_output: Tensor,
        timestep: float | Tensor,
        sample: Tensor,
        *,
        generator: Generators = None,
        return_dict: bool = True,
    ) -> InDISchedulerOutput | tuple[Tensor]:
        """Move from one of ``timesteps`` to the next.

        Args:
            model_output: The estimate of clean.
            timestep: Where the sample is, rounded as it may be.
            sample: The state.
            generator: Of the noise that a Brownian step adds.
            return_dict: False for a plain tuple.

        Raises:
            ConfigError: ``timestep`` is none of ``timesteps``.
        """
        index = self._begin_index if self._step_index is None else self._step_index
        if index is None or not self._is_at(index, float(timestep)):
            index = self.index_for_timestep(timestep)
        time, to = self._times[index : index + 2]
        # On InDI's path the degraded image cancels out of a step, so any image may stand for it.
        wide = sample.to(torch.promote_types(sample.dtype, torch.float32))  # half precision would round the image away
        state = self.path.step(wide, wide, model_output.to(wide.dtype), time, to)
        if spread := self.path.fresh(time, to):
            state = state + spread * _normal(sample, generator)
        state = state.to(sample.dtype)
        self._step_index = index + 1
        return InDISchedulerOutput(state, model_output) if return_dict else (state,)

    def _is_at(self, index: int, time: float) -> bool:
        """Return whether a time is the one at an index, but for rounding."""
        return index < self.num_inference_steps and math.isclose(self._times[index], time, rel_tol=_ROUNDING)


def _normal(like: Tensor, generator: Generators) -> Tensor:
    noise: Tensor = randn_tensor(like.shape, generator=generator, device=like.device, dtype=like.dtype)
    return noise
