"""A sweep is the walk: whatever the path, the sampler, the tile and the size."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from indi.io.region import Box
from indi.networks import UNet
from indi.process import path as process
from indi.process.noise import normal
from indi.process.path import uniform_times
from indi.process.samplers import SAMPLERS, walk
from indi.restoration.sweep import sweep
from problems import awake

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
    """An image in memory that gives boxes of itself, and remembers the largest."""

    def __init__(self, image: Tensor) -> None:
        self.image, self.shape = image, (image.shape[1], image.shape[2], image.shape[3])
        self.largest = 0

    def piece(self, box: Box) -> Tensor:
        piece = box.cut(self.image)
        self.largest = max(self.largest, piece[0, 0].numel())
        return piece


def swept(
    image: Held, path: process.Path, steps: int, sampler: str, tile: int, folder: Path, strength: float = 1.0
) -> Tensor:
    answer = torch.full(image.image.shape, torch.nan)

    def keep(box: Box, values: Tensor) -> None:
        box.cut(answer).copy_(values)

    shares = list(
        sweep(
            predict,
            path,
            image.piece,
            image.shape,
            uniform_times(steps),
            draw=noise,
            sampler=SAMPLERS[sampler],
            tile=tile,
            halo=NETWORK.halo,
            folder=folder,
            finished=keep,
            strength=strength,
        )
    )
    assert shares == sorted(shares)
    assert shares[-1] == 1
    return answer


def noise(number: int, box: Box) -> Tensor:
    height, width = box.bottom - box.top, box.right - box.left
    return normal(3, channels=2, height=height, width=width, draw=number, top=box.top, left=box.left)[None]


CASES = [
    (path, sampler)
    for path in PATHS
    for sampler in SAMPLERS
    if path not in ("brownian", "bridge") or sampler == "euler"
]


@pytest.mark.medium
@pytest.mark.parametrize(("path", "sampler"), CASES)
@pytest.mark.parametrize(("size", "tile"), [((97, 131), 32), ((40, 211), 64), ((30, 20), 64)])
def test_a_sweep_equals_the_walk(path: str, sampler: str, size: tuple[int, int], tile: int, tmp_path: Path) -> None:
    image = torch.rand(1, 2, *size, generator=torch.Generator().manual_seed(0))
    *_, last = walk(
        lambda state, time: predict(state, image, time),
        PATHS[path],
        image,
        uniform_times(4),
        draw=lambda number: noise(number, Box(0, 0, *size)),
        sampler=SAMPLERS[sampler],
    )
    answer = swept(Held(image), PATHS[path], 4, sampler, tile, tmp_path)
    torch.testing.assert_close(answer, last.image, atol=2e-5, rtol=0)
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_of_mild_damage_begins_where_the_walk_does(tmp_path: Path) -> None:
    image = torch.rand(1, 2, 40, 50, generator=torch.Generator().manual_seed(0))
    *_, last = walk(
        lambda state, time: predict(state, image, time),
        PATHS["indi"],
        image,
        uniform_times(3),
        draw=lambda number: noise(number, Box(0, 0, 40, 50)),
        strength=0.3,
    )
    answer = swept(Held(image), PATHS["indi"], 3, "euler", 32, tmp_path, strength=0.3)
    torch.testing.assert_close(answer, last.image, atol=2e-5, rtol=0)


@pytest.mark.medium
def test_it_never_looks_at_more_than_a_tile_and_its_halo(tmp_path: Path) -> None:
    held = Held(torch.rand(1, 2, 200, 260))
    swept(held, PATHS["indi"], 2, "euler", 32, tmp_path)
    assert held.largest <= (32 + 2 * NETWORK.halo) ** 2 < 200 * 260 / 2


def test_it_can_be_stopped(tmp_path: Path) -> None:
    sweeping = sweep(
        predict,
        PATHS["indi"],
        Held(torch.rand(1, 2, 64, 64)).piece,
        (2, 64, 64),
        uniform_times(3),
        draw=noise,
        sampler=SAMPLERS["euler"],
        tile=32,
        halo=NETWORK.halo,
        folder=tmp_path,
        finished=lambda box, values: None,
    )
    assert next(sweeping) == pytest.approx(1 / 12)
    sweeping.close()
    assert list(tmp_path.iterdir()) == []
