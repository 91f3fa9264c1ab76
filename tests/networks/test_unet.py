import pytest
import torch

from indi.networks import UNet
from problems import awake


@pytest.mark.parametrize(
    ("size", "least", "most"), [("tiny", 0.2, 0.5), ("small", 2.5, 4), ("base", 10, 13), ("large", 30, 50)]
)
def test_sizes_in_millions_of_weights(size: str, least: float, most: float) -> None:
    with torch.device("meta"):
        network = UNet.of_size(3, 3, size)
    assert least < sum(weight.numel() for weight in network.parameters()) / 1e6 < most


@pytest.mark.parametrize("shape", [(1, 1), (1, 17), (7, 5), (8, 8), (31, 23), (64, 40)])
def test_any_size_comes_back_in_its_size(shape: tuple[int, int]) -> None:
    network = UNet.of_size(6, 3, "tiny")
    assert network(torch.zeros(2, 6, *shape), torch.ones(2)).shape == (2, 3, *shape)


def test_untrained_network_returns_zero() -> None:
    output = UNet.of_size(3, 3, "tiny")(torch.rand(1, 3, 16, 16), torch.rand(1))
    assert torch.equal(output, torch.zeros_like(output))


def test_every_weight_gets_a_gradient_once_the_zero_layers_have_woken() -> None:
    network = awake(UNet.of_size(1, 1, "tiny")).requires_grad_(True)
    network(torch.rand(2, 1, 32, 32), torch.rand(2)).square().sum().backward()
    for name, weight in network.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.abs().max() > 0, name


def test_each_image_sees_its_own_time() -> None:
    network = awake(UNet.of_size(1, 1, "tiny"))
    image = torch.rand(1, 1, 24, 24)
    times = torch.tensor([0.0, 0.4, 1.0])
    together = network(image.expand(3, -1, -1, -1), times)
    for number, time in enumerate(times):
        torch.testing.assert_close(together[number : number + 1], network(image, time[None]), atol=1e-6, rtol=1e-5)
    assert (together[0] - together[1]).abs().max() > 1e-4
    assert (together[1] - together[2]).abs().max() > 1e-4


@pytest.mark.medium
@pytest.mark.parametrize("blocks", [(1, 1), (1, 1, 2), (2, 1, 1), (1, 2, 3)])
def test_halo_holds_all_that_an_output_pixel_sees(blocks: tuple[int, ...]) -> None:
    """Perturb one pixel at each place of the grid: nothing changes past the halo, and something does near it."""
    network = awake(UNet(1, 1, (8, 8, 8)[: len(blocks)], blocks)).double()
    network.time.float()
    for layer in network.modules():
        if hasattr(layer, "modulate"):
            layer.modulate.float()
    halo, stride = network.halo, network.stride
    side = 4 * halo
    image, t = torch.rand(1, 1, side, side, dtype=torch.float64), torch.ones(1)
    before = network(image, t)
    reached = 0
    for offset in range(stride):
        place = side // 2 + offset
        touched = image.clone()
        touched[0, 0, place, place] += 1
        rows, columns = (network(touched, t) != before)[0, 0].nonzero(as_tuple=True)
        top = place // stride * stride
        far = [top - rows.min(), rows.max() - (top + stride - 1)]
        far += [top - columns.min(), columns.max() - (top + stride - 1)]
        reached = max(reached, *(int(distance) for distance in far))
    assert reached <= halo
    assert reached > halo - 2 * stride, "the halo is wider than it needs to be"


@pytest.mark.parametrize(
    ("size", "halo", "stride"), [("tiny", 64, 8), ("small", 96, 8), ("base", 80, 8), ("large", 160, 8)]
)
def test_published_halos(size: str, halo: int, stride: int) -> None:
    with torch.device("meta"):
        network = UNet.of_size(1, 1, size)
    assert (network.halo, network.stride) == (halo, stride)


def test_autocast_keeps_the_time_in_float32() -> None:
    """In bfloat16 times near 1 fall together, and the network could not tell its first steps apart."""
    network = awake(UNet.of_size(1, 1, "tiny"))
    seen: list[torch.dtype] = []
    network.time.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = network(torch.rand(1, 1, 16, 16), torch.ones(1))
    assert seen == [torch.float32]
    assert output.dtype == torch.bfloat16
