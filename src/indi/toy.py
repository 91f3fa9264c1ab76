"""The paper's Figure 1: small steps cure regression to the mean, on two sets whose exact answer is known.

Clean is one of the four points (+-1, +-1), all equally likely. Degraded is what is kept of it, plus noise:

    set 1   degraded = clean + 1.5 n                       plain noise
    set 2   degraded = (first coordinate, 0) + 0.25 n      the second coordinate destroyed, then noise

The state (1 - t) clean + t degraded is again a weight times clean, plus noise of t times the strength, so
the estimate of clean is known in closed form, a coordinate at a time:

    F(state, t) = tanh(weight state / (t noise)^2),    weight = 1 - t + t kept

Here networks are trained by the library's own trainer and sampled by its own loop, as on images (a
point is an image of two channels and one pixel), and held against that closed form.

Set 2 without its noise shows why InDI adds some. Degraded is then one of two points, and equal inputs
get equal answers at any number of steps: it never splits. In between lie states that training never met,
so the network's own small error decides where a trajectory ends. Noise of strength epsilon = 0.25 in the process
brings those states back: degraded enters the state as t (kept clean + epsilon n), and that is set 2.

A trajectory without fresh noise turns one way from one start: on set 1 to the point nearest to it. A network that is
given noise and trained by a scoring rule (objectives.py) draws instead, in one call: each point as often as it was the
clean one behind such a degraded point. The squared error of an exact draw is twice the least: draw and clean then
deviate from the closed form alike, and independently.

Source: Delbracio and Milanfar, TMLR 2023, arXiv:2303.11435, Figure 1. Its settings are read off the figure.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from indi.config import Config
from indi.io import write_atomic
from indi.models.checkpoint import Card, write_text
from indi.process import path as process
from indi.process.objectives import Draw
from indi.process.samplers import Predict, trajectory
from indi.report import ToyPanel, draw_toy_animation, draw_toy_figure
from indi.training.distributed import World
from indi.training.trainer import Trainer
from indi.version import __version__

STEPS = (1, 2, 3, 5, 10, 20, 50)
DRAWS = 20_000
ITERATIONS = 5000
_SHORT = 4  # regression, set 2 without noise, and the sampler take so many times fewer iterations
_BATCH = 512
_BATCH_OF_SAMPLER = 2048  # its gradient is noisier: a quarter of the batch alone has realism 1
_CALLS = 20  # of the sampler from each start of the figure
_NEAR = 0.05  # a point is reached within so much in both coordinates
_TEST = -1  # the number of the draws to measure on, which no iteration of training has
_POINTS = torch.tensor([(-1.0, -1.0), (-1.0, 1.0), (1.0, -1.0), (1.0, 1.0)])

Sample = Callable[[Tensor, Tensor], Tensor]  # (degraded, standard normal noise of its shape) -> a draw of clean


@dataclass(frozen=True)
class Problem:
    """A set of pairs of points, as images of two channels and one pixel.

    Attributes:
        kept: The share that degrading keeps of each coordinate.
        noise: The standard deviation that it adds, 0 or more.
    """

    kept: tuple[float, float]
    noise: float

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return clean and degraded, each (count, 2, 1, 1) float32."""
        clean = 2.0 * torch.randint(0, 2, (count, 2, 1, 1), generator=generator) - 1
        return clean, clean * self._kept() + self.noise * torch.randn(clean.shape, generator=generator)

    def predict(self, state: Tensor, t: float) -> Tensor:
        """Return E[clean | state] at a time in (0, 1], for states (B, 2, 1, 1): the closed form of F."""
        signal = (1 - t + t * self._kept()) * state
        return (signal / (t * self.noise) ** 2).tanh() if self.noise else signal.sign()

    def _kept(self) -> Tensor:
        return torch.tensor(self.kept).reshape(2, 1, 1)


SET1 = Problem(kept=(1.0, 1.0), noise=1.5)
SET2 = Problem(kept=(1.0, 0.0), noise=0.25)
WITHOUT_NOISE = replace(SET2, noise=0.0)


def demonstrate(
    out: Path, *, seed: int = 0, iterations: int = ITERATIONS, progress: Callable[[float], None] | None = None
) -> dict[str, Any]:
    """Train on both sets, measure, and write toy.json, toy.png and toy.gif.

    Args:
        out: A folder; made if it is not there.
        seed: Of everything random; one seed gives one result, on one machine and thread count.
        iterations: Of training for each set.
        progress: Called with the share of the iterations that is done.

    Returns:
        The table that toy.json holds: for each set the regression and a row a number of steps, with ``mse``
        summed over the two coordinates, ``hit`` the share of draws with both coordinates within 0.05 of a
        point, and ``points`` the shares that reach each of the four, in the order (-, -), (-, +), (+, -), (+, +).
        ``distributional`` is one call of the sampler; its ``shares`` are of the draws nearest to each point, and sum
        to 1, so that they tell of the choice alone and not of how near the draws come.

    Raises:
        ConfigError: The seed is below 0.
        IndiError: The folder cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    short = max(1, iterations // _SHORT)
    plan = {
        "set1": (SET1, "indi", iterations),
        "set1 in one step": (SET1, "regression", short),
        "set2": (SET2, "indi", iterations),
        "set2 in one step": (SET2, "regression", short),
        "without noise": (WITHOUT_NOISE, "indi", short),
    }
    sets = {"set1": SET1, "set2": SET2}
    total = _BATCH * sum(count for _, _, count in plan.values()) + _BATCH_OF_SAMPLER * short * len(sets)
    done = 0

    def learned(points: int) -> None:
        nonlocal done
        done += points
        if progress is not None:
            progress(done / total)

    networks = {
        name: train(problem, method=method, iterations=count, seed=seed, learned=learned)
        for name, (problem, method, count) in plan.items()
    }
    samplers = {
        name: train_sampler(problem, iterations=short, seed=seed, learned=learned) for name, problem in sets.items()
    }
    table: dict[str, Any] = {
        name: {
            "distributional": measure_sampler(problem, samplers[name], seed),
            **_measured(problem, networks[name], networks[f"{name} in one step"], seed),
        }
        for name, problem in sets.items()
    }
    table["set2"]["without_noise"] = _without_noise(networks["without noise"], seed)
    settings = {"seed": seed, "draws": DRAWS, "iterations": iterations, "seconds": round(time.monotonic() - begun, 1)}
    for name in sets:
        table[name]["settings"] = settings
    write_text(out / "toy.json", json.dumps(table, indent=1, allow_nan=False) + "\n")
    write_atomic(out / "toy.png", draw_toy_figure(_panels(networks, samplers, seed), table))
    write_atomic(out / "toy.gif", draw_toy_animation(_moving(networks, samplers, seed)))
    return table


def train(
    problem: Problem,
    *,
    method: str = "indi",
    iterations: int = ITERATIONS,
    seed: int = 0,
    learned: Callable[[int], None] = lambda points: None,
) -> Predict:
    """Return F of a perceptron trained on pairs alone: squared error, no noise of the process.

    Args:
        problem: Where the pairs come from.
        method: A row of the table of methods.
        iterations: Of training.
        seed: Of everything random.
        learned: Called after each iteration, with how many points it had.
    """
    trainer = _trained(problem, _config(method, 0.05, _BATCH, iterations, seed), learned)
    network = trainer.model().network.eval()

    def predict(state: Tensor, t: float) -> Tensor:
        return trainer.method.estimate(network, state, state, torch.full((len(state),), t))

    return predict


def train_sampler(
    problem: Problem, *, iterations: int, seed: int = 0, learned: Callable[[int], None] = lambda points: None
) -> Sample:
    """Return a perceptron trained to draw from all clean points behind a degraded one, in one call.

    The arguments are those of ``train``. It is trained at t = 1 alone, where its one call is, and its learning rate
    falls for longer: the choice between the points wanders as long as the rate is high.
    """
    config = _config("distributional", 1.0, _BATCH_OF_SAMPLER, iterations, seed, cooldown=0.8)
    trainer = _trained(problem, config, learned)
    network = trainer.model().network.eval()

    def sample(degraded: Tensor, noise: Tensor) -> Tensor:
        draw = Draw.of(degraded, 1.0, lambda: noise)
        return trainer.method.estimate(network, degraded, degraded, torch.ones(len(degraded)), draw)

    return sample


def _config(method: str, share_at_one: float, batch: int, iterations: int, seed: int, **training: float) -> Config:
    settings = {"iterations": iterations, "learning_rate": 0.02, "norm": 2, "average": 0.998, **training}
    return Config.parse(
        {
            "method": {"name": method, "epsilon": 0.0, "share_at_one": share_at_one},
            "network": {"name": "mlp", "size": "tiny"},
            "data": {"batch": batch},
            "training": {**settings, "precision": "float32", "seed": seed},
        },
        source="toy",
    )


def _trained(problem: Problem, config: Config, learned: Callable[[int], None]) -> Trainer:
    card = Card(version=__version__, name="toy", method=config.method, network=config.network, channels=2)
    trainer = Trainer(
        config, card, Path("toy"), World(0, 1, torch.device("cpu"))
    )  # it keeps no files, so the run is but a name
    batch, iterations = config.data.batch, config.training.iterations
    assert iterations is not None
    for number in range(iterations):
        trainer.learn(*problem.draw(batch, _generator(config.training.seed, number)))
        learned(batch)
    return trainer


def states(predict: Predict, degraded: Tensor, times: list[float]) -> list[Tensor]:
    """Return the states of a trajectory without noise at each of the falling ``times``, each (B, 2, 1, 1)."""
    return [state.image for state in trajectory(predict, process.indi(0.0), degraded, times, noise=_no_noise)]


def score(restored: Tensor, clean: Tensor) -> dict[str, float]:
    """Return ``mse``, summed over the two coordinates, and ``hit``, the share of draws that reach a point."""
    mse = (restored - clean).square().sum(dim=1).mean()
    return {"mse": round(float(mse), 4), "hit": round(sum(_reached(restored)), 5)}


def _measured(problem: Problem, predict: Predict, regression: Predict, seed: int) -> dict[str, Any]:
    clean, degraded = problem.draw(DRAWS, _generator(seed, _TEST))
    rows: list[dict[str, Any]] = []
    for steps in STEPS:
        times = process.uniform_times(steps)
        restored = states(predict, degraded, times)[-1]
        exact = score(states(problem.predict, degraded, times)[-1], clean)
        rows.append({"steps": steps, **score(restored, clean), **{f"{k}_closed_form": v for k, v in exact.items()}})
    points = [round(share, 5) for share in _reached(restored)]
    return {"regression": score(regression(degraded, 1.0), clean), "rows": rows, "points": points}


def measure_sampler(problem: Problem, sample: Sample, seed: int) -> dict[str, Any]:
    """Return the scores of one call of a sampler, and the share of its draws that are nearest to each point."""
    generator = _generator(seed, _TEST)
    clean, degraded = problem.draw(DRAWS, generator)
    drawn = sample(degraded, torch.randn(degraded.shape, generator=generator))
    nearest = _distances(drawn).argmin(dim=1)
    shares = torch.bincount(nearest, minlength=len(_POINTS)) / DRAWS
    return {"network_calls": 1, **score(drawn, clean), "shares": [round(share, 5) for share in shares.tolist()]}


def _without_noise(predict: Predict, seed: int) -> dict[str, Any]:
    """Return the scores of set 2 without noise at the most steps, and how many different answers there are."""
    clean, degraded = WITHOUT_NOISE.draw(DRAWS, _generator(seed, _TEST))
    restored = states(predict, degraded, process.uniform_times(STEPS[-1]))[-1]
    answers = np.unique(restored.flatten(1).numpy().round(3), axis=0)
    return {"steps": STEPS[-1], **score(restored, clean), "answers": len(answers)}


def _reached(restored: Tensor) -> list[float]:
    """Return the share of draws that reach each of the four points."""
    return (_distances(restored) < _NEAR).float().mean(dim=0).tolist()


def _distances(restored: Tensor) -> Tensor:
    """Return how far each of (B, 2, 1, 1) is from the four points, in the worse coordinate: (B, 4)."""
    return (restored.flatten(1)[:, None] - _POINTS).abs().amax(dim=2)


def _generator(seed: int, number: int) -> torch.Generator:
    """Return a generator that is a pure function of the seed and an iteration (or ``_TEST``)."""
    mixed = np.random.SeedSequence([seed, number - _TEST]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(mixed) >> 1)


def _no_noise(number: int) -> Tensor:
    raise AssertionError("a path with epsilon 0 draws no noise")


# What is drawn


def starts(problem: Problem) -> Tensor:
    """Return the 20 points that the paper's figure starts from, (20, 2, 1, 1) float32: set 1's ring or set 2's rows."""
    k = torch.arange(20)
    if problem is SET1:
        angle = 0.1 + 2 * torch.pi * k / 20
        points = torch.stack([2.5 * angle.cos(), 2.5 * angle.sin()], dim=1)
    else:
        points = torch.stack([-2.48 + 0.25 * k, 0.2 * (-1.0) ** k], dim=1)
    return points.reshape(-1, 2, 1, 1)


def _panels(networks: dict[str, Predict], samplers: dict[str, Sample], seed: int) -> list[ToyPanel]:
    """Return the panels of the figure: the closed form and the networks for each set, and set 2 without noise."""
    panels = []
    for name, problem in (("set1", SET1), ("set2", SET2)):
        regression, begin = networks[f"{name} in one step"], starts(problem)
        panels.append(_panel(problem, problem.predict, problem.predict, begin, seed))
        drawn = _drawn(samplers[name], begin, _CALLS, _generator(seed, _TEST))
        panels.append(replace(_panel(problem, networks[name], regression, begin, seed), drawn=drawn))
    only = torch.tensor([[-1.0, 0.0], [1.0, 0.0]]).reshape(2, 2, 1, 1)
    panels.append(_panel(WITHOUT_NOISE, networks["without noise"], networks["without noise"], only, seed))
    return panels


def _panel(problem: Problem, predict: Predict, regression: Predict, begin: Tensor, seed: int) -> ToyPanel:
    _, cloud = problem.draw(1500, _generator(seed, _TEST))
    restored = states(predict, begin, process.geometric_times(20))
    with torch.no_grad():
        return ToyPanel(_points([cloud])[0], _points(restored), _points([regression(begin, 1.0)])[0])


def _moving(networks: dict[str, Predict], samplers: dict[str, Sample], seed: int) -> list[ToyPanel]:
    """Return a few hundred draws of each set on their way."""
    panels = []
    for name, problem in (("set1", SET1), ("set2", SET2)):
        generator = _generator(seed, _TEST)
        _, cloud = problem.draw(300, generator)
        panel = _panel(problem, networks[name], networks[f"{name} in one step"], cloud, seed)
        panels.append(replace(panel, drawn=_drawn(samplers[name], cloud, 1, generator)))
    return panels


def _drawn(sample: Sample, begin: Tensor, calls: int, generator: torch.Generator) -> Any:
    """Return what so many calls of a sampler make of each start: (calls, K, 2)."""
    noises = torch.randn((calls, *begin.shape), generator=generator)
    return _points([sample(begin, noise) for noise in noises])


def _points(images: Sequence[Tensor]) -> Any:
    return torch.stack([image.flatten(1) for image in images]).numpy()
