"""The scheduler of diffusers walks as we do, to the bit, alone and in pipelines of that library."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from documents import ROOT
from indi.errors import ConfigError
from indi.process import Noise
from indi.process import path as process
from indi.process.samplers import trajectory
from indi.process.sampling import Sampling
from indi.restoration.restorer import Restorer
from problems import tiny_model

diffusers = pytest.importorskip("diffusers")
scheduler = pytest.importorskip("indi.export.diffusers")
pytestmark = pytest.mark.medium


def model(sample: Tensor, time: float | Tensor) -> Tensor:
    time = torch.as_tensor(time).to(torch.float32)  # as networks see it
    return sample * (0.5 + 0.3 * time) + 0.1


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(5)


def degraded(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def ours(image: Tensor, noise: Noise, times: list[float], predict: Any = model) -> Tensor:
    """Return where our own walk ends."""
    own = generator()
    path = process.indi(0.05, noise)
    *_, last = trajectory(predict, path, image, times, noise=lambda number: torch.randn(image.shape, generator=own))
    return last.image


def walked(one: Any, image: Tensor, kind: torch.dtype = torch.float32, predict: Any = model) -> Tensor:
    """Return where the scheduler's walk ends, as a pipeline does it, with timesteps in a precision of its own."""
    own = generator()
    sample = one.start(image, own)
    for time in one.timesteps:
        output = predict(one.scale_model_input(sample, time), time)
        sample = one.step(output, time.to(kind), sample, generator=own).prev_sample
    return torch.as_tensor(sample)


@pytest.mark.parametrize("steps", [1, 3, 10])
@pytest.mark.parametrize("noise", ["constant", "brownian"])
def test_its_walk_is_ours(noise: Noise, steps: int) -> None:
    one = scheduler.InDIScheduler(epsilon=0.05, noise=noise)
    one.set_timesteps(steps)
    image = degraded(2, 3, 8, 9)
    assert torch.equal(walked(one, image), ours(image, noise, process.uniform_times(steps)))


@pytest.mark.parametrize("steps", [10, 1000])  # bfloat16 cannot tell a thousand times apart
@pytest.mark.parametrize("kind", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_timesteps_may_come_in_any_precision(kind: torch.dtype, steps: int) -> None:
    one = scheduler.InDIScheduler(epsilon=0.05)
    one.set_timesteps(steps)
    assert one.timesteps.dtype == torch.float32  # which every device has
    image = degraded(1, 1, 4, 4)
    assert torch.equal(walked(one, image, kind), ours(image, "constant", process.uniform_times(steps)))


def test_times_of_ones_own() -> None:
    one = scheduler.InDIScheduler(epsilon=0.05, noise="brownian")
    image = degraded(1, 3, 5, 6)
    one.set_timesteps(timesteps=[1.0, 0.6, 0.3])
    assert one.num_inference_steps == 3
    assert torch.equal(walked(one, image), ours(image, "brownian", [1.0, 0.6, 0.3, 0.0]))
    one.set_timesteps(timesteps=torch.tensor([1.0, 0.5]))
    assert one.timesteps.tolist() == [1.0, 0.5]


def test_a_walk_may_begin_below_one_and_again() -> None:
    one = scheduler.InDIScheduler(epsilon=0.05, noise="brownian")
    one.set_timesteps(4)
    image = degraded(2, 1, 4, 4)
    noise = torch.randn(image.shape, generator=generator())
    # As image-to-image pipelines do: skip the first steps, and mix the image with noise for where the rest begins.
    times = one.timesteps[2:]
    one.set_begin_index(2)
    sample = one.add_noise(image, noise, times[:1].repeat(2))
    torch.testing.assert_close(sample, image + 0.05 * 0.5**0.5 * noise)
    for number, time in enumerate(times, start=2):
        assert one.step_index == (None if number == 2 else number)
        assert one.begin_index == 2
        sample = one.step(model(sample, time), time, sample).prev_sample
    assert one.step_index == 4
    assert torch.equal(one.add_noise(image, noise, torch.tensor([1.0])), one.start(image, generator()))
    one.set_timesteps(4)
    assert one.step_index is one.begin_index is None
    first = walked(one, image)
    assert torch.equal(walked(one, image), first)  # the first of the times says that a walk begins again


def test_half_precision_rounds_the_answer_alone() -> None:
    one = scheduler.InDIScheduler()
    one.set_timesteps(10)
    image, clean = degraded(1, 1, 8, 8).half(), degraded(1, 1, 8, 8).half().flip(-1)
    state = one.step(clean, 0.7, image).prev_sample
    assert state.dtype == torch.float16
    exact = one.path.step(image.float(), image.float(), clean.float(), 0.7, 0.6)
    torch.testing.assert_close(state, exact.half(), rtol=0, atol=1e-3)
    assert one.step(clean.bfloat16(), 0.6, image.float()).prev_sample.dtype == torch.float32


def test_each_image_may_have_its_generator() -> None:
    one = scheduler.InDIScheduler(epsilon=0.05, noise="brownian")
    image = degraded(1, 1, 4, 4).repeat(2, 1, 1, 1)
    begun = one.start(image, [generator(), generator()])
    assert torch.equal(begun[0], begun[1])
    assert torch.equal(begun[:1], one.start(image[:1], generator()))


def test_it_keeps_the_habits_of_diffusers(tmp_path: Path) -> None:
    one = scheduler.InDIScheduler(epsilon=0.02, noise="brownian")
    one.save_pretrained(tmp_path)
    again = scheduler.InDIScheduler.from_pretrained(tmp_path)
    assert (again.config.epsilon, again.config.noise) == (0.02, "brownian")
    one.set_timesteps(4)
    assert one.timesteps.tolist() == [1.0, 0.75, 0.5, 0.25]
    assert (one.order, one.init_noise_sigma) == (1, 1.0)
    sample = torch.rand(1, 1, 4, 4)
    (state,) = one.step(sample, 0.25, sample, return_dict=False)
    assert torch.equal(state, sample)  # the last move ends at the estimate


def test_what_is_wrong_is_said() -> None:
    one = scheduler.InDIScheduler()
    one.set_timesteps(4)
    sample = torch.rand(1, 1, 4, 4)
    for wrong in (0.3, 999, 0, float("nan")):
        with pytest.raises(ConfigError, match=rf"timestep is {wrong:g}, none of those"):
            one.step(sample, wrong, sample)
    with pytest.raises(ConfigError, match="num_inference_steps is 0"):
        one.set_timesteps(0)
    for arguments in ({}, {"num_inference_steps": 2, "timesteps": [1.0, 0.5]}):
        with pytest.raises(ConfigError, match="give either num_inference_steps or timesteps"):
            one.set_timesteps(**arguments)
    with pytest.raises(ConfigError, match="must fall strictly from exactly 1"):
        one.set_timesteps(timesteps=[0.9, 0.5])


def unet() -> Any:
    """Return a network of diffusers' own that restores nothing, and depends on its time."""
    torch.manual_seed(0)
    return diffusers.UNet2DModel(
        sample_size=16,
        in_channels=1,
        out_channels=1,
        block_out_channels=(8, 16),
        norm_num_groups=4,
        layers_per_block=1,
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
    ).eval()


def test_the_pipeline_of_the_document_is_saved_loaded_and_walks(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "export.md").read_text(encoding="utf-8")
    (code,) = [code for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "DiffusionPipeline" in code]
    names: dict[str, Any] = {"__name__": __name__}
    exec(code, names)
    image = degraded(1, 1, 16, 16)
    pipeline = names["Restore"](unet(), scheduler.InDIScheduler(epsilon=0.05, noise="brownian"))
    pipeline.save_pretrained(tmp_path / "pipeline")
    again = names["Restore"].from_pretrained(tmp_path / "pipeline")
    assert type(again.scheduler) is scheduler.InDIScheduler
    assert again.scheduler.config.epsilon == 0.05
    for one in (pipeline, again):
        one.set_progress_bar_config(disable=True)

        def predict(state: Tensor, time: float, network: Any = one.unet) -> Tensor:
            return torch.as_tensor(network(state, torch.tensor(time, dtype=torch.float32)).sample)

        with torch.no_grad():
            wanted = ours(image, "brownian", process.uniform_times(10), predict)
        assert torch.equal(one(image, generator=generator()), wanted)
    torch.testing.assert_close(again(image, generator=generator()), pipeline(image, generator=generator()))


def test_a_pipeline_of_diffusers_own_walks_with_it() -> None:
    pipeline = diffusers.DDPMPipeline(unet(), scheduler.InDIScheduler())
    pipeline.set_progress_bar_config(disable=True)
    images = pipeline(batch_size=2, generator=generator(), num_inference_steps=3, output_type="np").images
    assert images.shape == (2, 16, 16, 1)


def test_with_our_network_it_restores_as_the_restorer_does() -> None:
    restorer = Restorer(tiny_model(1, epsilon=0.0), precision="float32")
    image = degraded(24, 20).numpy()
    sample = restorer.unit(image)
    one = scheduler.InDIScheduler(epsilon=0.0)
    one.set_timesteps(10)
    for t in one.timesteps:
        clean = restorer.method.estimate(restorer.model.network, sample, sample, t.expand(1))
        sample = one.step(clean, t, sample).prev_sample
    (*_, last) = restorer.trajectory(image, Sampling(steps=10, sampler="euler"))
    assert torch.equal(sample, last.image)
