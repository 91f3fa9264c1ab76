"""The scoring rule: fair, proper, and what its dial says; a network trained by it draws from the exact posterior."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Generator, Tensor

from indi.config import Config
from indi.models.checkpoint import Card
from indi.process import objectives
from indi.process import path as process
from indi.process.objectives import Draw, Examples, draw_filters, draw_realism, energy, score, spread_weight
from indi.process.path import uniform_times
from indi.process.samplers import trajectory
from indi.training.distributed import World
from indi.training.trainer import Trainer
from indi.version import __version__
from problems import Gaussian

SEEN = 0.8944  # the standard deviation of x given y, where x ~ N(0, 1) and y = x + 2 n: 2 / sqrt(5)


def generator(seed: int = 0) -> Generator:
    return torch.Generator().manual_seed(seed)


def gaussian_score(deviation: float, realism: float) -> float:
    """Return S_a of draws N(0, deviation^2) against clean N(0, 1), in closed form: E|N(0, s^2)| = s sqrt(2 / pi)."""
    weight = float(spread_weight(torch.tensor(realism)))
    return math.sqrt(2 / math.pi) * (math.hypot(1, deviation) - weight / 2 * math.sqrt(2) * deviation)


@given(st.floats(0, 1), st.floats(0, 2))
def test_draws_that_deviate_by_the_dial_score_best(realism: float, deviation: float) -> None:
    assert gaussian_score(realism, realism) <= gaussian_score(deviation, realism) + 1e-6


def pairs_of(count: int, deviation: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return errors F - x of two draws N(0, deviation^2) for each of many clean N(0, 1)."""
    clean, *draws = torch.randn(3, count, 1, 1, 1, generator=generator(seed))
    first, second = (deviation * draw - clean for draw in draws)
    return first, second


@pytest.mark.parametrize("realism", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("deviation", [0.3, 1.0])
def test_two_draws_estimate_the_score_without_bias(realism: float, deviation: float) -> None:
    count = 200_000
    first, second = pairs_of(count, deviation)
    values = score(first, second, torch.arange(count), torch.full((count,), realism), [])
    error = values.std().item() / math.sqrt(count)
    assert values.mean().item() == pytest.approx(gaussian_score(deviation, realism), abs=4 * error)


def test_the_gradient_of_two_draws_is_that_of_the_score() -> None:
    """Of the deviation: d S / d s in closed form, and from pairs. A draw paired with itself would halve its pull."""
    count, at, step = 400_000, 0.6, 1e-4
    wanted = (gaussian_score(at + step, 1.0) - gaussian_score(at - step, 1.0)) / (2 * step)
    deviation = torch.tensor(at, requires_grad=True)
    clean, *draws = torch.randn(3, count, 1, 1, 1, generator=generator())
    first, second = (deviation * draw - clean for draw in draws)
    score(first, second, torch.arange(count), torch.ones(count), []).mean().backward()  # type: ignore[no-untyped-call]
    assert deviation.grad is not None
    assert deviation.grad.item() == pytest.approx(wanted, abs=0.006)
    assert abs(wanted) > 0.05


def test_at_realism_0_it_is_the_error_and_asks_for_one_answer() -> None:
    asked: list[int] = []
    batch = 8
    clean, state = torch.rand(2, batch, 1, 16, 16, generator=generator())

    def answer(state: Tensor, degraded: Tensor, t: Tensor, draw: Draw | None) -> Tensor:
        assert draw is not None
        asked.append(len(state))
        assert not draw.inputs()[draw.realism == 0].any()  # no noise where it has no effect, and the dial at 0
        return state

    crops = Examples(state, state, clean, torch.ones(batch), batch, slice(0, batch))
    energy(answer, crops, 1, generator())
    dial = draw_realism(batch, generator())
    assert asked == [batch + int((dial > 0).sum())] == [13]  # a second answer for those above 0 alone, in one call
    first = clean - state
    single = score(first, first[:0], torch.tensor([], dtype=torch.long), torch.zeros(batch), [])
    torch.testing.assert_close(single, first.abs().mean(dim=(1, 2, 3)))


@given(st.integers(1, 64), st.integers(0, 1000))
def test_the_dial_is_drawn_over_its_whole_range(batch: int, seed: int) -> None:
    dial = draw_realism(batch, generator(seed))
    assert len(dial) == batch
    assert 0 <= dial.min() <= dial.max() <= 1
    assert abs(int((dial == 0).sum()) - 3 * batch / 8) <= 1
    assert abs(int((dial == 1).sum()) - batch / 4) <= 1


@pytest.mark.medium
@given(st.integers(1, 4), st.integers(1, 70))
def test_filters_have_unit_norm_and_fit_any_size(channels: int, side: int) -> None:
    filters = draw_filters(channels, side, generator())
    image = torch.rand(2, channels, side, side + 3, generator=generator())
    parts = list(objectives.features(image, filters))
    every = [weights for sizes in filters for weights in sizes]
    assert len(parts) == len(every) + 1
    assert all(len(part) == 2 and part.shape[1] for part in parts)
    for weights in every:
        torch.testing.assert_close(weights.flatten(1).norm(dim=1), torch.ones(len(weights)))


def test_what_pixels_alone_do_not_see_is_scored() -> None:
    """Draws with the right pixels but neighbours independent, where they are equal in truth, score worse."""
    count = 20_000
    filters = draw_filters(1, 8, generator(1))

    def mean(parts: list[Tensor], filters: list[list[Tensor]]) -> float:
        clean, first, second = parts
        whole = torch.arange(count)
        return score(first - clean, second - clean, whole, torch.ones(count), filters).mean().item()

    flat = [torch.randn(count, 1, 1, 1, generator=generator(k)).expand(-1, 1, 8, 8) for k in range(3)]
    grainy = [flat[0], *(torch.randn(count, 1, 8, 8, generator=generator(k)) for k in (4, 5))]
    assert mean(grainy, []) == pytest.approx(mean(flat, []), abs=0.015)
    assert mean(grainy, filters) > mean(flat, filters) + 0.03


@pytest.mark.parametrize("conditioned", [False, True])
def test_the_random_numbers_of_an_iteration_are_shared_by_processes(conditioned: bool) -> None:
    """Two processes with half a batch each have the loss of one with all of it, but for the mean."""
    clean, state = torch.rand(2, 4, 1, 16, 16, generator=generator())

    def loss(share: slice) -> float:
        def answer(state: Tensor, degraded: Tensor, t: Tensor, draw: Draw | None) -> Tensor:
            assert draw is not None
            return state + draw.inputs()[:, :1]

        part = Examples(state[share], state[share], clean[share], torch.ones(4)[share], 4, share)
        return energy(answer, part, 1, generator(7)).item()

    halves = (loss(slice(0, 2)) + loss(slice(2, 4))) / 2
    assert halves == pytest.approx(loss(slice(0, 4)), rel=1e-5)


@pytest.fixture(scope="module")
def sampler() -> Callable[[Tensor, float, int], Tensor]:
    """A perceptron trained on x ~ N(0, 1), y = x + 2 n: returns its draws for y at a realism."""
    config = Config.parse(
        {
            "method": {"name": "distributional", "share_at_one": 1.0},
            "network": {"name": "mlp", "size": "tiny"},
            "training": {"iterations": 1500, "learning_rate": 0.01, "precision": "float32", "average": 0.995},
        },
        source="test",
    )
    card = Card(version=__version__, name="gaussian", method=config.method, network=config.network, channels=1)
    trainer = Trainer(config, card, Path("never-written"), World(0, 1, torch.device("cpu")))
    for number in range(1500):
        trainer.learn(*(part.float() for part in Gaussian().pairs(1024, seed=number)))
    method, network = trainer.method, trainer.model().network.eval()

    def draws(y: Tensor, realism: float, seed: int) -> Tensor:
        noise = torch.randn(y.shape, generator=generator(seed))
        with torch.no_grad():
            return method.estimate(network, y, y, torch.ones(len(y)), Draw.of(y, realism, lambda: noise))

    return draws


@pytest.mark.medium
def test_one_call_draws_from_the_posterior(sampler: Callable[[Tensor, float, int], Tensor]) -> None:
    count = 40_000
    for given_y in (-2.0, 0.0, 3.0):
        drawn = sampler(torch.full((count, 1, 1, 1), given_y), 1.0, 3)
        assert drawn.mean().item() == pytest.approx(given_y / 5, abs=0.03 * SEEN)
        assert drawn.std().item() == pytest.approx(SEEN, rel=0.03)
    _, y = Gaussian().pairs(count, seed=10**6)
    restored = sampler(y.float(), 1.0, 4)
    assert restored.std().item() == pytest.approx(1.0, abs=0.03)  # a regression gives 0.447


@pytest.mark.medium
def test_the_dial_goes_from_the_regression_to_the_posterior(sampler: Callable[[Tensor, float, int], Tensor]) -> None:
    y = torch.linspace(-3, 3, 61).reshape(-1, 1, 1, 1)
    assert (sampler(y, 0.0, 0) - y / 5).abs().max().item() < 0.05
    torch.testing.assert_close(sampler(y, 0.0, 0), sampler(y, 0.0, 1), rtol=0, atol=0)  # nothing is drawn
    one = torch.full((20_000, 1, 1, 1), 1.0)
    spreads = [sampler(one, realism, 2).std().item() / SEEN for realism in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert spreads == sorted(spreads)
    assert spreads == pytest.approx([0, 0.25, 0.5, 0.75, 1], abs=0.06)


def exact(state: Tensor, t: float, seen: Tensor | None, problem: Gaussian, noise: Tensor) -> Tensor:
    """Draw x ~ p(x | x_t), or p(x | x_t, y) where y is seen, for x_t = (1 - t) x + t y + t eps n in closed form."""
    weights, variances = [], []  # of observations weight x + N(0, variance)
    values = []
    if seen is None:
        weights, values = [1.0], [state]
        variances = [t**2 * (problem.noise**2 + problem.epsilon**2)]
    else:  # y, and what the state adds to it
        weights, values = [1.0, 1 - t], [seen, state - t * seen]
        variances = [problem.noise**2, (t * problem.epsilon) ** 2]
    precision = torch.tensor(1 / problem.clean**2 + sum(w * w / v for w, v in zip(weights, variances, strict=True)))
    mean = sum(w * x / v for w, x, v in zip(weights, values, variances, strict=True)) / precision
    return mean + noise / precision.sqrt()


@pytest.mark.parametrize("steps", [1, 2, 5, 20])
@pytest.mark.parametrize("is_seen", [False, True], ids=["state alone", "with the degraded image"])
def test_with_an_exact_sampler_the_law_is_the_same_on_any_grid(steps: int, is_seen: bool) -> None:
    """With y beside the state it is the posterior given y; from the state alone restored images are as clean ones."""
    problem, count = Gaussian(epsilon=0.5), 40_000
    clean, y = problem.pairs(count, seed=5)
    if is_seen:
        y = torch.full_like(y, 1.5)
    random = generator(6)

    def fresh(number: int = 0) -> Tensor:
        return torch.randn(y.shape, generator=random, dtype=y.dtype)

    *_, last = trajectory(
        lambda state, t: exact(state, t, y if is_seen else None, problem, fresh()),
        process.indi(problem.epsilon),
        y,
        uniform_times(steps),
        noise=fresh,
    )
    mean, deviation = (1.5 / 5, SEEN) if is_seen else (0.0, 1.0)
    assert last.image.mean().item() == pytest.approx(mean, abs=4 * deviation / math.sqrt(count))
    assert last.image.std().item() == pytest.approx(deviation, abs=4 * deviation / math.sqrt(2 * count))
    if not is_seen:  # two samples of one law: the distance of their distribution functions (Smirnov, 0.1 %)
        both = torch.cat([last.image.flatten(), clean.flatten()])
        order = both.argsort()
        signs = torch.where(order < count, 1.0, -1.0)
        assert signs.cumsum(0).abs().max().item() / count < 1.95 * math.sqrt(2 / count)
