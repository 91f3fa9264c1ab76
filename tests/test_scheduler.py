"""The scheduler of diffusers walks as we do, to the bit."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from indi import process
from indi.errors import ConfigError
from indi.samplers import walk

scheduler = pytest.importorskip("indi.scheduler")


def model(sample: Tensor, time: float) -> Tensor:
    return sample * (0.5 + 0.3 * time) + 0.1


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(5)


@pytest.mark.parametrize("steps", [1, 3, 10])
@pytest.mark.parametrize("noise", ["constant", "brownian"])
def test_its_walk_is_ours(noise: process.Noise, steps: int) -> None:
    degraded = torch.rand(2, 3, 8, 9, generator=torch.Generator().manual_seed(0))
    ours = generator()
    *_, last = walk(
        model,
        process.indi(0.05, noise),
        degraded,
        process.uniform_times(steps),
        draw=lambda number: torch.randn(degraded.shape, generator=ours),
    )
    theirs, one = generator(), scheduler.InDIScheduler(epsilon=0.05, noise=noise)
    one.set_timesteps(steps)
    sample = one.start(degraded, theirs)
    for time in one.timesteps:
        said = model(one.scale_model_input(sample, time), float(time))
        sample = one.step(said, time, sample, generator=theirs).prev_sample
    assert torch.equal(sample, last.image)


def test_it_keeps_the_habits_of_diffusers(tmp_path: Path) -> None:
    one = scheduler.InDIScheduler(epsilon=0.02, noise="brownian")
    one.save_pretrained(tmp_path)
    again = scheduler.InDIScheduler.from_pretrained(tmp_path)
    assert (again.config.epsilon, again.config.noise) == (0.02, "brownian")
    one.set_timesteps(4)
    assert one.timesteps.tolist() == [1.0, 0.75, 0.5, 0.25]
    sample = torch.rand(1, 1, 4, 4)
    (state,) = one.step(sample, 0.25, sample, return_dict=False)
    assert torch.equal(state, sample)  # the last move ends at the estimate
    with pytest.raises(ConfigError, match=r"timestep is 0\.3, none of those"):
        one.step(sample, 0.3, sample)
    with pytest.raises(ConfigError, match="num_inference_steps is 0"):
        one.set_timesteps(0)
