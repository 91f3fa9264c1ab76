import itertools
import math
import re
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from documents import ROOT
from indi.errors import ConfigError
from indi.process import Noise
from indi.process.path import geometric_times, indi, uniform_times
from indi.process.samplers import SAMPLERS, trajectory
from problems import Gaussian, no_noise

PROBLEM = Gaussian(clean=1.0, noise=2.0)


def restored(problem: Gaussian, y: Tensor, times: list[float], sampler: str = "euler") -> Tensor:
    *_, last = trajectory(problem.predict, indi(0.0), y, times, noise=no_noise, sampler=SAMPLERS[sampler])
    return last.image


@pytest.mark.parametrize(("steps", "spread"), [(1, 0.447), (2, 0.671), (8, 0.910), (32, 0.977), (128, 0.994)])
def test_spread_of_restored_images_rises_to_the_true_one(steps: int, spread: float) -> None:
    """Regression to the mean, and its cure: the restored images of one step vary less than clean ones.

    The walk is linear here, so the spread is known exactly: ||y|| times the walk's factor, over random draws too.
    """
    factor = restored(PROBLEM, torch.ones(1, 1, 1, 1, dtype=torch.float64), uniform_times(steps)).item()
    exact = PROBLEM.clean / math.hypot(PROBLEM.clean, PROBLEM.noise)
    bound = math.hypot(PROBLEM.clean, PROBLEM.noise)
    if steps == 1:
        assert factor == pytest.approx(exact**2)
    _, y = PROBLEM.pairs(20_000)
    assert restored(PROBLEM, y, uniform_times(steps)).std().item() == pytest.approx(spread, abs=0.02)
    assert factor * bound == pytest.approx(spread, abs=0.0005)


@pytest.mark.parametrize(("sampler", "order"), [("euler", 1), ("heun", 2)])
def test_order_on_the_uniform_grid(sampler: str, order: int) -> None:
    y = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    counts = [64, 128, 256, 512]
    wrong = [abs((restored(PROBLEM, y, uniform_times(n), sampler) - PROBLEM.restored(y)).item()) for n in counts]
    slope = -np.polyfit(np.log(counts), np.log(wrong), 1)[0]
    assert slope == pytest.approx(order, abs=0.1)


@pytest.mark.parametrize(("sampler", "order"), [("euler", 1), ("multistep", 2)])
def test_order_on_a_grid_uniform_in_log_time(sampler: str, order: int) -> None:
    y, end = torch.ones(1, 1, 1, 1, dtype=torch.float64), 0.05
    counts = [32, 64, 128, 256]
    wrong = []
    for n in counts:
        times = [1.0, *(end ** (i / n) for i in range(1, n + 1))]
        wrong.append(abs((restored(PROBLEM, y, times, sampler) - PROBLEM.restored(y, end)).item()))
    slope = -np.polyfit(np.log(counts), np.log(wrong), 1)[0]
    assert slope == pytest.approx(order, abs=0.1)


@pytest.mark.parametrize("steps", [1, 2, 5, 10])
def test_network_calls(steps: int) -> None:
    seen: list[float] = []

    def predict(state: Tensor, time: float) -> Tensor:
        seen.append(time)
        return state / 2

    for name, calls in (("euler", steps), ("heun", 2 * steps - 1), ("multistep", steps)):
        seen.clear()
        y = torch.ones(1, 1, 2, 2)
        *_, last = trajectory(predict, indi(0.0), y, uniform_times(steps), noise=no_noise, sampler=SAMPLERS[name])
        assert last.network_calls == len(seen) == calls
        assert seen[0] == 1.0
        assert min(seen) > 0


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("steps", [1, 2, 3, 20])
def test_a_perfect_network_restores_at_any_number_of_steps(sampler: str, steps: int) -> None:
    clean, y = PROBLEM.pairs(5)
    *_, last = trajectory(
        lambda state, time: clean,
        indi(0.0),
        y,
        uniform_times(steps),
        noise=no_noise,
        sampler=SAMPLERS[sampler],
    )
    torch.testing.assert_close(last.image, clean)


def test_one_step_is_the_network_on_degraded_plus_noise() -> None:
    y, n = torch.rand(2, 1, 4, 4), torch.randn(2, 1, 4, 4)
    states = list(trajectory(lambda state, t: state**2 * t, indi(0.05), y, [1.0, 0.0], noise=lambda number: n))
    torch.testing.assert_close(states[0].image, y + 0.05 * n)
    torch.testing.assert_close(states[1].image, (y + 0.05 * n) ** 2)


@pytest.mark.parametrize(("noise", "draws"), [("constant", [0]), ("brownian", [0, 1, 2, 3])])
def test_noise_is_drawn_only_where_the_path_has_it(noise: Noise, draws: list[int]) -> None:
    """Constant noise is drawn once, at the start; Brownian noise at every move but the last."""
    asked: list[int] = []

    def draw(number: int) -> Tensor:
        asked.append(number)
        return torch.zeros(1, 1, 1, 1)

    list(trajectory(lambda state, t: state, indi(0.1, noise), torch.zeros(1, 1, 1, 1), uniform_times(4), noise=draw))
    assert asked == draws


@pytest.mark.medium
def test_brownian_walk_is_finite_and_has_the_right_spread() -> None:
    problem = Gaussian(clean=1.0, noise=0.0)  # y = x, so all spread around y comes from the noise
    count = 100_000
    generator = torch.Generator().manual_seed(1)
    path = indi(0.5, "brownian")

    def predict(state: Tensor, t: float) -> Tensor:
        return state / (1 + 0.25 * t)

    _, y = problem.pairs(count)
    *_, last = trajectory(
        predict,
        path,
        y,
        uniform_times(100),
        noise=lambda number: torch.randn(y.shape, generator=generator, dtype=y.dtype),
    )
    assert torch.isfinite(last.image).all()
    assert last.image.std().item() == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("sampler", ["heun", "multistep"])
def test_second_order_needs_a_walk_without_fresh_noise(sampler: str) -> None:
    with pytest.raises(ConfigError, match="fresh noise"):
        list(
            trajectory(
                lambda state, t: state,
                indi(0.1, "brownian"),
                torch.zeros(1, 1, 1, 1),
                uniform_times(2),
                noise=lambda number: torch.zeros(1, 1, 1, 1),
                sampler=SAMPLERS[sampler],
            )
        )


def test_batches_walk_like_single_images() -> None:
    _, y = PROBLEM.pairs(7)
    together = restored(PROBLEM, y, uniform_times(5))
    apart = torch.cat([restored(PROBLEM, image[None], uniform_times(5)) for image in y])
    torch.testing.assert_close(together, apart)


def test_states_come_with_their_times() -> None:
    times = geometric_times(6)
    states = list(trajectory(PROBLEM.predict, indi(0.0), torch.ones(1, 1, 1, 1), times, noise=no_noise))
    assert [state.time for state in states] == times
    assert all(a.network_calls < b.network_calls for a, b in itertools.pairwise(states))


def test_nothing_is_recorded_for_gradients() -> None:
    weight = torch.ones(1, requires_grad=True)
    y = torch.ones(1, 1, 1, 1)
    *_, last = trajectory(lambda state, t: state * weight, indi(0.0), y, [1.0, 0.0], noise=no_noise)
    assert not last.image.requires_grad


def table_of_theory(first: str) -> Iterator[tuple[float, str, int, str]]:
    """Yield the cells of a table of the document: the number of the row, sampler and steps of the column, the text."""
    page = (ROOT / "docs" / "theory.md").read_text(encoding="utf-8")
    head, _, *rows = re.search(rf"\| {first} .*?\n\n", page, re.DOTALL)[0].strip().splitlines()  # type: ignore[index]
    columns = [column.split() for column in head.strip("| ").split(" | ")[1:]]
    assert len(rows) == 5
    for row in rows:
        number, *cells = row.strip("| ").split(" | ")
        for cell, (sampler, steps) in zip(cells, columns, strict=True):
            yield float(number), sampler, int(steps), cell


def decibels_short(mixed: float, clean: float, noise: float, sampler: str, steps: int) -> str:
    """Return how far below ``clean`` a walk ends that begins at a deviation of ``mixed`` clean and ``noise``.

    The network is linear, so one walk of 1 is its gain.
    """

    def predict(state: Tensor, t: float) -> Tensor:
        share = 1 - t + t * mixed
        return state * share * clean**2 / (share**2 * clean**2 + (t * noise) ** 2)

    one = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    *_, last = trajectory(predict, indi(0.0), one, uniform_times(steps), noise=no_noise, sampler=SAMPLERS[sampler])
    spread = abs(last.image.item()) * math.hypot(mixed * clean, noise)
    return "all" if spread == 0 else f"{round(-20 * math.log10(spread / clean), 1) + 0.0}"


def test_what_a_walk_gives_back_of_a_lost_frequency() -> None:
    for kept, sampler, steps, cell in table_of_theory("kept"):
        assert cell == decibels_short(kept, 0.1, math.hypot(0.005, 0.005), sampler, steps), (kept, sampler, steps)


@pytest.mark.parametrize("unknown", [0.01, 0.1])
def test_as_much_noise_as_there_is_to_find(unknown: float) -> None:
    """With y known, the state without what y explains is noise at first, and the same problem with nothing kept."""
    for ratio, sampler, steps, cell in table_of_theory("noise"):
        assert cell == decibels_short(0, unknown, ratio * unknown, sampler, steps), (ratio, sampler, steps)
