"""Tiles on disk give what the image in memory gives: whatever the path, the sampler, the tile and the size."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from indi.io.region import Region
from indi.networks import UNet
from indi.process import path as process
from indi.process.noise import normal
from indi.process.path import uniform_times
from indi.process.samplers import SAMPLERS, InMemory, sample
from indi.process.sampling import Sampling
from indi.restoration import Restorer
from indi.restoration.state import TilesOnDisk, Tiling
from problems import awake, tiny_model

NETWORK = awake(UNet(4, 2, (16, 16, 16), (1, 1, 1)))
PATHS = {
    "indi": process.indi(0.05),
    "brownian": process.indi(0.05, "brownian"),
    "bridge": process.bridge(0.1),
    "diffusion": process.diffusion(),
}


def predict(state: Tensor, degraded: Tensor, time: float, noise: object = None) -> Tensor:
    answer: Tensor = NETWORK(torch.cat([state, degraded], 1), torch.full((1,), time))
    return state + answer


class Held:
    """An image in memory that gives regions of itself, and remembers the largest."""

    def __init__(self, image: Tensor) -> None:
        self.image, self.shape = image, (image.shape[1], image.shape[2], image.shape[3])
        self.largest = 0

    def piece(self, region: Region) -> Tensor:
        piece = region.cut(self.image)
        self.largest = max(self.largest, piece[0, 0].numel())
        return piece


def tiled(
    image: Held, path: process.Path, steps: int, sampler: str, side: int, folder: Path, strength: float = 1.0
) -> Tensor:
    answer = torch.full(image.image.shape, torch.nan)
    rule, tiling = SAMPLERS[sampler], Tiling(side, NETWORK.halo)
    with TilesOnDisk(image.piece, image.shape, tiling, rule, folder) as store:
        grid = uniform_times(steps)
        for state in sample(predict, path, store, grid, noise=noise, sampler=rule, strength=strength):
            assert state.image.shape[-2:] == (state.region.height, state.region.width)
            if state.time == 0:
                state.region.cut(answer).copy_(state.image)
    return answer


def whole(image: Tensor, path: process.Path, steps: int, sampler: str = "euler", strength: float = 1.0) -> Tensor:
    store = InMemory(image, Region(0, 0, *image.shape[2:]))
    grid = uniform_times(steps)
    *_, last = sample(predict, path, store, grid, noise=noise, sampler=SAMPLERS[sampler], strength=strength)
    return last.image


def noise(number: int, region: Region) -> Tensor:
    height, width = region.bottom - region.top, region.right - region.left
    return normal(3, channels=2, size=(height, width), draw=number, at=(region.top, region.left))[None]


CASES = [
    (path, sampler)
    for path in PATHS
    for sampler in SAMPLERS
    if path not in ("brownian", "bridge") or sampler == "euler"
]


@pytest.mark.medium
@pytest.mark.parametrize(("path", "sampler"), CASES)
@pytest.mark.parametrize(("size", "tile"), [((97, 131), 32), ((40, 211), 64), ((30, 20), 64)])
def test_tiles_equal_the_whole(path: str, sampler: str, size: tuple[int, int], tile: int, tmp_path: Path) -> None:
    image = torch.rand(1, 2, *size, generator=torch.Generator().manual_seed(0))
    answer = tiled(Held(image), PATHS[path], 4, sampler, tile, tmp_path)
    torch.testing.assert_close(answer, whole(image, PATHS[path], 4, sampler), atol=2e-5, rtol=0)
    assert list(tmp_path.iterdir()) == []


def test_tiles_of_mild_degradation_begin_where_the_whole_does(tmp_path: Path) -> None:
    image = torch.rand(1, 2, 40, 50, generator=torch.Generator().manual_seed(0))
    answer = tiled(Held(image), PATHS["indi"], 3, "euler", 32, tmp_path, strength=0.3)
    torch.testing.assert_close(answer, whole(image, PATHS["indi"], 3, strength=0.3), atol=2e-5, rtol=0)


def test_it_never_looks_at_more_than_a_tile_and_its_halo(tmp_path: Path) -> None:
    held = Held(torch.rand(1, 2, 200, 260))
    tiled(held, PATHS["indi"], 2, "euler", 32, tmp_path)
    assert held.largest <= (32 + 2 * NETWORK.halo) ** 2 < 200 * 260 / 2


def test_a_restoration_by_tiles_can_be_stopped(tmp_path: Path) -> None:
    model = tiny_model(1, epsilon=0.05)
    restorer = Restorer(model, precision="float32", tile=32)
    pixels = np.random.default_rng(0).random((64, 64), np.float32)
    states = restorer.restore_tiles(lambda region: region.cut(pixels), (64, 64), Sampling(steps=3), folder=tmp_path)
    shares = [share for share, _, answer in itertools.islice(states, 6) if answer is None]
    assert shares == [0, 0, 0, 0, 1 / 12, 2 / 12]
    states.close()
    assert list(tmp_path.iterdir()) == []


def test_a_restoration_by_tiles_is_that_in_memory(tmp_path: Path) -> None:
    restorer = Restorer(tiny_model(1, epsilon=0.05), precision="float32", tile=32)
    pixels = np.random.default_rng(0).random((64, 40), np.float32)
    sampling, answer = Sampling(steps=3, seed=2), np.zeros((64, 40), np.float32)
    shares = []
    for share, region, part in restorer.restore_tiles(
        lambda region: region.cut(pixels), (64, 40), sampling, folder=tmp_path, sample=1, plane=4
    ):
        shares.append(share)
        if part is not None:
            region.cut(answer)[:] = part
    assert shares == sorted(shares)
    assert shares[-1] == 1
    *_, last = restorer.trajectory(pixels, sampling, sample=1, plane=4)
    np.testing.assert_allclose(answer, restorer.pixels(last.image, like=pixels), atol=2e-5)
