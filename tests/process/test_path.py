import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from indi.errors import ConfigError, ShapeError
from indi.process import Noise
from indi.process import path as process
from indi.process.path import (
    TIMES,
    check_times,
    draw_times,
    geometric_times,
    indi,
    loss,
    power_times,
    uniform_times,
)

SCHEDULES: tuple[Noise, ...] = ("constant", "brownian")
times_in_order = st.tuples(st.floats(0.01, 1.0), st.floats(0.0, 0.99)).map(lambda pair: (pair[0], pair[0] * pair[1]))


def test_ends_are_exact() -> None:
    generator = torch.Generator().manual_seed(0)
    x, y, n = (torch.rand(2, 3, 4, 5, generator=generator) for _ in range(3))
    path = indi(0.0)
    assert torch.equal(path.state(x, y, torch.zeros(2), n), x)
    assert torch.equal(path.state(x, y, torch.ones(2), n), y)


@pytest.mark.parametrize("noise", SCHEDULES)
def test_state_is_equation_1(noise: Noise) -> None:
    x, y, n = torch.tensor([[0.8]]), torch.tensor([[0.2]]), torch.tensor([[2.0]])
    spread = {"constant": 0.25 * 0.1, "brownian": 0.5 * 0.1}[noise]
    state = indi(0.1, noise).state(x, y, torch.tensor([0.25]), n)
    torch.testing.assert_close(state, torch.tensor([[0.75 * 0.8 + 0.25 * 0.2 + 2.0 * spread]]))


def test_each_image_has_its_own_time() -> None:
    x, y = torch.zeros(3, 1, 2, 2), torch.ones(3, 1, 2, 2)
    state = indi(0.0).state(x, y, torch.tensor([0.0, 0.5, 1.0]), torch.zeros(3, 1, 2, 2))
    assert state[:, 0, 0, 0].tolist() == [0.0, 0.5, 1.0]


def test_shapes_must_agree() -> None:
    with pytest.raises(ShapeError, match="one shape"):
        indi(0.0).state(torch.zeros(2, 3), torch.zeros(1, 3), torch.zeros(2), torch.zeros(2, 3))


@given(times_in_order)
def test_perfect_estimate_lands_on_the_path(times: tuple[float, float]) -> None:
    t, s = times
    x, y, n = (torch.randn(1, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(i)) for i in range(3))
    path = indi(0.1)
    moved = path.step(path.state(x, y, torch.tensor([t], dtype=torch.float64), n), y, x, t, s)
    torch.testing.assert_close(moved, path.state(x, y, torch.tensor([s], dtype=torch.float64), n))


@given(times_in_order)
def test_degraded_cancels_out_of_the_move(times: tuple[float, float]) -> None:
    """So that Eq. (4') is the paper's recursion (4) for both schedules."""
    t, s = times
    state, estimate = torch.tensor([[0.3]]), torch.tensor([[0.9]])
    anything = torch.tensor([[1e6]])
    for noise in SCHEDULES:
        moved = indi(0.1, noise).step(state, anything, estimate, t, s)
        torch.testing.assert_close(moved, (s / t) * state + (1 - s / t) * estimate)


def test_one_move_from_degraded_to_clean_is_the_estimate_itself() -> None:
    state, estimate = torch.full((1, 4), torch.inf), torch.tensor([[0.1, 0.2, 0.3, 0.4]])
    assert torch.equal(indi(0.01).step(state, state, estimate, 1.0, 0.0), estimate)


@given(times_in_order, st.floats(1e-4, 1.0))
def test_constant_noise_is_never_refreshed(times: tuple[float, float], epsilon: float) -> None:
    assert indi(epsilon).fresh(*times) == 0.0


@given(times_in_order, st.floats(1e-4, 1.0))
def test_brownian_noise_is_the_finite_form(times: tuple[float, float], epsilon: float) -> None:
    t, s = times
    fresh = indi(epsilon, "brownian").fresh(t, s)
    assert fresh == pytest.approx(epsilon * math.sqrt(s * (t - s) / t), rel=1e-4, abs=1e-6 * epsilon)
    assert indi(epsilon, "brownian").fresh(t, 0.0) == 0.0


@pytest.mark.parametrize("noise", SCHEDULES)
def test_noise_of_the_walk_has_the_variance_of_training(noise: Noise) -> None:
    """Kept and fresh noise add up to the noise of Eq. (1) at every time, so the network sees what it was trained on."""
    path = indi(0.3, noise)
    for t, s in itertools.pairwise(uniform_times(20)):
        total = math.hypot(path.k(s, t) * float(path.c(t)), path.fresh(t, s))
        assert total == pytest.approx(float(path.c(s)), rel=1e-9)


@pytest.mark.parametrize("noise", SCHEDULES)
def test_variance_of_sampled_noise(noise: Noise) -> None:
    """The same by drawing: x = y = 0, walked with F = 0, within four standard errors."""
    count = 200_000
    generator = torch.Generator().manual_seed(0)
    path, zero = indi(0.5, noise), torch.zeros(count, dtype=torch.float64)
    state = path.start(zero, lambda: torch.randn(count, generator=generator, dtype=torch.float64))
    for t, s in itertools.pairwise([1.0, 0.7, 0.5]):
        state = path.step(state, zero, zero, t, s)
        state = state + path.fresh(t, s) * torch.randn(count, generator=generator, dtype=torch.float64)
        assert state.std().item() == pytest.approx(float(path.c(s)), rel=4 / math.sqrt(2 * count))


def test_times_are_stratified_with_a_point_mass_at_one() -> None:
    generator = torch.Generator().manual_seed(0)
    t = draw_times(64, 0.5, generator)
    assert t.dtype == torch.float32
    assert (t == 1).sum().item() == 32
    assert torch.equal((t[t < 1] * 32).floor(), torch.arange(32.0))


def test_density_of_times_integrates_to_its_share() -> None:
    generator = torch.Generator().manual_seed(1)
    t = torch.cat([draw_times(7, 0.25, generator) for _ in range(4000)])
    assert (t == 1).float().mean().item() == pytest.approx(0.25, abs=0.01)
    assert t[t < 1].mean().item() == pytest.approx(0.5, abs=0.01)
    assert t.min().item() < 0.01


def test_all_at_one() -> None:
    assert torch.equal(draw_times(5, 1.0, torch.Generator()), torch.ones(5))


def test_loss_is_equation_2() -> None:
    estimate, wanted = torch.tensor([1.0, 3.0]), torch.tensor([0.0, 0.0])
    assert loss(estimate, wanted, 1).item() == 2.0
    assert loss(estimate, wanted, 2).item() == 5.0


def test_published_grids() -> None:
    assert uniform_times(4) == [1.0, 0.75, 0.5, 0.25, 0.0]
    assert geometric_times(4) == [1.0, 0.75, 0.5625, 0.421875, 0.0]
    assert power_times(2) == [1.0, 0.25, 0.0]


@given(st.integers(1, 300), st.sampled_from(list(TIMES)))
def test_every_grid_is_a_walk_of_as_many_moves(steps: int, name: str) -> None:
    times = TIMES[name](steps)
    assert len(check_times(times)) == steps + 1
    assert (times[0], times[-1]) == (1.0, 0.0)


@pytest.mark.parametrize(
    "times", [[], [1.0], [0.9, 0.0], [1.1, 0.0], [math.nan, 0.0], [1.0, 0.5, 0.5, 0.0], [1.0, -0.1], [1.0, math.nan]]
)
def test_refused_times(times: list[float]) -> None:
    with pytest.raises(ConfigError, match="fall strictly"):
        check_times(times)


def test_a_walk_of_mild_damage_begins_within_the_path() -> None:
    """Where degraded is the mix of a cleaner and a worse image, the walk from t takes the noise that x_t has."""
    y, noise = torch.full((1, 1, 1, 1), 0.5), torch.ones(1, 1, 1, 1)
    for path in (process.indi(0.1), process.indi(0.1, "brownian"), process.bridge(0.1)):
        for t in (0.04, 0.5, 1.0):
            torch.testing.assert_close(path.start(y, lambda: noise, t), y + float(path.c(t)) * noise)
    with pytest.raises(ConfigError, match="leave strength at 1"):
        process.diffusion().start(y, lambda: noise, 0.5)
    assert not process.bridge(0.1).draws([1.0, 0.0])  # no noise at the start
    assert process.bridge(0.1).draws([0.5, 0.0])


@given(st.integers(1, 50), st.floats(0.01, 1))
def test_strength_scales_a_walk_that_begins_at_1(steps: int, strength: float) -> None:
    times = process.scaled_times(uniform_times(steps), strength)
    assert (times[0], times[-1]) == (strength, 0)
    assert times == [strength * time for time in uniform_times(steps)]


@pytest.mark.parametrize("strength", [0.0, -0.1, 1.01, math.nan])
def test_refused_strengths(strength: float) -> None:
    with pytest.raises(ConfigError, match="strength is"):
        process.scaled_times([1.0, 0.0], strength)
