import copy
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from indi.errors import DeviceError
from indi.io.region import Region, cores
from indi.models.checkpoint import cast_convolutions
from indi.networks import UNet
from indi.process.noise import normal
from indi.process.path import indi, uniform_times
from indi.process.samplers import trajectory
from indi.restoration.tiling import tiled
from problems import awake

NETWORK = awake(UNet(2, 1, (16, 16, 16), (1, 1, 1)))
HALO, STRIDE = NETWORK.halo, NETWORK.stride


def restored(call: Callable[[Tensor, Tensor], Tensor], degraded: Tensor, steps: int) -> Tensor:
    """Walk in conditioned mode, as the restorer does."""

    def predict(state: Tensor, time: float) -> Tensor:
        return state + call(torch.cat([state, degraded], 1), torch.full((len(state),), time)).float()

    *_, last = trajectory(
        predict,
        indi(0.05),
        degraded,
        uniform_times(steps),
        noise=lambda number: normal(0, channels=1, size=(degraded.shape[-2], degraded.shape[-1]))[None],
    )
    return last.image


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 100))
def test_cores_cover_each_pixel_once(height: int, width: int, tile: int) -> None:
    count = torch.zeros(height, width, dtype=torch.int64)
    for region in cores(Region(0, 0, height, width), tile):
        region.cut(count).add_(1)
    assert bool((count == 1).all())


@pytest.mark.medium
@settings(deadline=None, max_examples=25)
@given(st.integers(1, 150), st.integers(1, 150), st.sampled_from([1, 8, 24, 40, 64, 200]))
def test_one_call_tiled_equals_whole(height: int, width: int, tile: int) -> None:
    inputs = torch.rand(1, 2, height, width, generator=torch.Generator().manual_seed(height * 151 + width))
    t = torch.ones(1)
    call = tiled(NETWORK, tile=tile, halo=HALO, stride=STRIDE)
    torch.testing.assert_close(call(inputs, t), NETWORK(inputs, t), atol=1e-5, rtol=0)


@pytest.mark.medium
@pytest.mark.parametrize("steps", [1, 5, 20])
@pytest.mark.parametrize("size", [(97, 131), (1, 211), (163, 1), (30, 20), (128, 128)])
def test_a_walk_tiled_equals_whole(steps: int, size: tuple[int, int]) -> None:
    degraded = torch.rand(1, 1, *size, generator=torch.Generator().manual_seed(0))
    call = tiled(NETWORK, tile=48, halo=HALO, stride=STRIDE)
    torch.testing.assert_close(restored(call, degraded, steps), restored(NETWORK, degraded, steps), atol=1e-5, rtol=0)


@pytest.mark.medium
def test_bfloat16_tiled_is_within_60_decibels() -> None:
    network = cast_convolutions(copy.deepcopy(NETWORK), torch.bfloat16)

    def strong(inputs: Tensor, t: Tensor) -> Tensor:  # so that a seam, too, would be of the size of the image
        output: Tensor = network(inputs, t)
        return 20 * output.float()

    degraded = torch.rand(1, 1, 150, 170, generator=torch.Generator().manual_seed(0))
    whole = restored(strong, degraded, 10)

    def decibels(halo: int) -> float:
        parts = restored(tiled(strong, tile=40, halo=halo, stride=STRIDE), degraded, 10)
        return float(-10 * (whole - parts).square().mean().log10())

    assert decibels(HALO) >= 60
    assert decibels(STRIDE) < 60, "this test would not see a halo that is too narrow"


def test_halo_is_needed() -> None:
    """The test above can fail: a narrower halo shows seams."""
    inputs = torch.rand(1, 2, 96, 96, generator=torch.Generator().manual_seed(0))
    call = tiled(NETWORK, tile=32, halo=STRIDE, stride=STRIDE)
    assert (call(inputs, torch.ones(1)) - NETWORK(inputs, torch.ones(1))).abs().max() > 1e-4


@pytest.mark.medium
@pytest.mark.parametrize(
    "message",
    [
        "accelerator",
        "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.",
        "DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes.",  # on Windows
        "MPS backend out of memory (MPS allocated: 17.00 GB)",
        "could not create a primitive",  # oneDNN
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
        "FIND was unable to find an engine to execute this computation",  # cuDNN, whose workspace found no room
        "Unable to find a valid cuDNN algorithm to run convolution",
    ],
)
def test_a_tile_that_does_not_fit_is_made_smaller(message: str) -> None:
    sizes: list[int] = []

    def cramped(inputs: Tensor, t: Tensor) -> Tensor:
        sizes.append(inputs.shape[-1] * inputs.shape[-2])
        if sizes[-1] > 140 * 140:
            raise torch.OutOfMemoryError if message == "accelerator" else RuntimeError(message)
        output: Tensor = NETWORK(inputs, t)
        return output

    inputs, t = torch.rand(1, 2, 300, 270, generator=torch.Generator().manual_seed(0)), torch.ones(1)
    call = tiled(cramped, tile=1000, halo=HALO, stride=STRIDE)
    torch.testing.assert_close(call(inputs, t), NETWORK(inputs, t), atol=1e-5, rtol=0)
    tried = [size for size in sizes if size > 140 * 140]
    assert all(later < earlier for earlier, later in pairwise(tried))
    sizes.clear()
    call(inputs, t)
    assert max(sizes) <= 140 * 140, "the size that fits was not remembered"


def test_no_memory_at_all_is_said() -> None:
    def hopeless(inputs: Tensor, t: Tensor) -> Tensor:
        raise MemoryError

    with pytest.raises(DeviceError, match="does not fit in memory"):
        tiled(hopeless, tile=64, halo=8, stride=8)(torch.zeros(1, 1, 64, 64), torch.ones(1))


@pytest.mark.parametrize("message", ["something else", "could not create a primitive descriptor for a convolution"])
def test_another_error_in_a_tile_comes_out(message: str) -> None:
    def broken(inputs: Tensor, t: Tensor) -> Tensor:
        raise RuntimeError(message)

    with pytest.raises(RuntimeError, match=message):
        tiled(broken, tile=64, halo=8, stride=8)(torch.zeros(1, 1, 64, 64), torch.ones(1))


def test_an_image_that_is_one_tile_is_one_call() -> None:
    calls: list[tuple[int, ...]] = []

    class Counting(nn.Module):
        def forward(self, inputs: Tensor, t: Tensor) -> Tensor:
            calls.append(tuple(inputs.shape))
            return inputs

    tiled(Counting(), tile=64, halo=8, stride=8)(torch.zeros(1, 1, 64, 50), torch.ones(1))
    assert calls == [(1, 1, 64, 50)]
