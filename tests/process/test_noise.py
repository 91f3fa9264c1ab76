import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from indi.process.noise import BLOCK, normal


@pytest.mark.medium
@settings(deadline=None, max_examples=40)
@given(st.integers(0, 200), st.integers(0, 200), st.integers(1, 150), st.integers(1, 150))
def test_a_piece_has_the_noise_of_the_whole(top: int, left: int, height: int, width: int) -> None:
    whole = normal(3, channels=2, size=(350, 350))
    piece = normal(3, channels=2, size=(height, width), at=(top, left))
    assert torch.equal(piece, whole[:, top : top + height, left : left + width])


def test_it_is_standard_normal_and_white() -> None:
    noise = normal(0, channels=3, size=(512, 512))
    values = noise.numel()
    assert noise.mean().item() == pytest.approx(0, abs=4 / values**0.5)
    assert noise.std().item() == pytest.approx(1, abs=4 / (2 * values) ** 0.5)
    for axis in (0, 1, 2):
        assert (noise * noise.roll(1, dims=axis)).mean().item() == pytest.approx(0, abs=4 / values**0.5)
    assert (noise * noise.roll(BLOCK, dims=2)).mean().item() == pytest.approx(0, abs=4 / values**0.5)


def test_each_seed_sample_and_draw_has_its_own() -> None:
    def drawn(seed: int, sample: int, draw: int) -> torch.Tensor:
        return normal(seed, sample=sample, draw=draw, channels=1, size=(128, 128))

    fields = [drawn(0, 0, 0), drawn(1, 0, 0), drawn(0, 1, 0), drawn(0, 0, 1)]
    assert torch.equal(fields[0], drawn(0, 0, 0))
    for i, first in enumerate(fields):
        for second in fields[:i]:
            assert (first * second).mean().abs().item() < 4 / 128
