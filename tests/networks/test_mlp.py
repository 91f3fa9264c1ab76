import pytest
import torch

from indi.errors import ConfigError
from indi.networks import MLP, NETWORKS
from indi.restoration.tiling import tiled
from problems import awake


@pytest.mark.parametrize("size", MLP.sizes)
@pytest.mark.parametrize("shape", [(1, 1), (1, 17), (7, 5)])
def test_any_size_comes_back_in_its_size(size: str, shape: tuple[int, int]) -> None:
    network = MLP.of_size(4, 2, size)
    assert network(torch.zeros(3, 4, *shape), torch.ones(3)).shape == (3, 2, *shape)


def test_sizes_grow() -> None:
    weights = [sum(weight.numel() for weight in MLP.of_size(2, 2, size).parameters()) for size in MLP.sizes]
    assert list(MLP.sizes) == ["tiny", "small", "base", "large"]
    assert weights == sorted(set(weights))
    assert weights[0] < 3000


def test_untrained_network_returns_zero() -> None:
    output = MLP.of_size(3, 3, "tiny")(torch.rand(1, 3, 4, 4), torch.rand(1))
    assert torch.equal(output, torch.zeros_like(output))


def test_every_weight_gets_a_gradient_once_the_zero_layer_has_woken() -> None:
    network = awake(MLP.of_size(2, 2, "small")).requires_grad_(True)
    network(torch.rand(5, 2, 3, 3), torch.rand(5)).square().sum().backward()
    for name, weight in network.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.abs().max() > 0, name


def test_each_image_sees_its_own_time_and_each_pixel_only_itself() -> None:
    network = awake(MLP.of_size(2, 2, "tiny"))
    images, times = torch.rand(3, 2, 4, 5), torch.tensor([0.0, 0.4, 1.0])
    whole = network(images, times)
    for number, time in enumerate(times):
        for row, column in [(0, 0), (3, 4), (1, 2)]:
            pixel = network(images[number : number + 1, :, row : row + 1, column : column + 1], time[None])
            torch.testing.assert_close(whole[number, :, row, column], pixel[0, :, 0, 0], atol=1e-6, rtol=0)
    same = network(images[:1].expand(3, -1, -1, -1), times)
    assert (same[0] - same[1]).abs().max() > 1e-3
    assert (same[1] - same[2]).abs().max() > 1e-3


@pytest.mark.parametrize("tile", [1, 7, 32])
def test_tiles_need_no_margin(tile: int) -> None:
    network = awake(MLP.of_size(2, 2, "tiny"))
    assert (network.halo, network.stride) == (0, 1)
    sizes: list[tuple[int, ...]] = []

    def seen(inputs: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        sizes.append(tuple(inputs.shape[-2:]))
        output: torch.Tensor = network(inputs, t)
        return output

    inputs, t = torch.rand(2, 2, 19, 23), torch.tensor([0.3, 1.0])
    call = tiled(seen, tile=tile, halo=network.halo, stride=network.stride)
    torch.testing.assert_close(call(inputs, t), network(inputs, t), atol=1e-6, rtol=0)
    assert sum(height * width for height, width in sizes) == 19 * 23, "a pixel was computed twice"


def test_autocast_keeps_the_time_in_float32() -> None:
    network = awake(MLP.of_size(1, 1, "tiny"))
    seen: list[torch.dtype] = []
    for name, layer in network.named_modules():
        if name.endswith("modulate"):
            layer.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        network(torch.rand(1, 1, 2, 2), torch.ones(1))
    assert seen == [torch.float32] * 2


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_of_the_table_has_every_promise(name: str) -> None:
    from indi.config import Config

    for size in NETWORKS[name].sizes:
        with torch.device("meta"):
            network = NETWORKS[name].of_size(2, 1, size)
        assert network.halo is None or network.halo % network.stride == 0
        assert Config.parse({"network": {"name": name, "size": size}}, source="test").network.size == size
    with pytest.raises(ConfigError, match="huge"):
        Config.parse({"network": {"name": name, "size": "huge"}}, source="test")
