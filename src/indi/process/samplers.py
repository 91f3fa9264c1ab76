"""Samplers, and the one loop from degraded to clean.

A sampler chooses the estimate of clean that a step is made with; the path (path.py) makes the step. Euler serves every
path; Heun and multistep serve those whose steps add no fresh noise. The loop over times exists once, as a generator;
where the states lie meanwhile, whole in memory or tile by tile on disk, is up to a store.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor

from indi.errors import ConfigError
from indi.process.path import Path, scaled_times

Predict = Callable[[Tensor, float], Tensor]  # F(state, time): the estimate of clean
Place = TypeVar("Place")  # what a store calls a part of the image
Draw = Callable[[], Tensor]  # standard normal noise of the shape of a state


@dataclass(frozen=True)
class Estimate:
    """The network's estimate of clean at a time."""

    time: float
    clean: Tensor


@dataclass(frozen=True)
class Step:
    """A step to be made: everything a sampler may look at."""

    predict: Predict
    path: Path
    state: Tensor
    degraded: Tensor
    time: float
    to: float
    before: Estimate | None  # the network's estimate at the previous time, none at the first step


Rule = Callable[[Step], tuple[Estimate, Tensor]]  # -> the network's estimate here, and the one to step with


def euler(step: Step) -> tuple[Estimate, Tensor]:
    """Step with the network's estimate: the paper's recursion, order 1. One network call."""
    here = Estimate(step.time, step.predict(step.state, step.time))
    return here, here.clean


def heun(step: Step) -> tuple[Estimate, Tensor]:
    """Heun's rule on Eq. (3), order 2. Two network calls, one where the step ends at 0.

    Averaging the slopes (z - F) / tau at both ends (path.py) is the same as a step with
    F_t + tau_t / (2 tau_s) (F_s - F_t).
    """
    _refuse_fresh_noise(step)
    here, clean = euler(step)
    if step.to == 0:  # Eq. (3) divides by tau, so time 0 has no slope
        return here, clean
    there = step.path.step(step.state, step.degraded, clean, step.time, step.to)
    ticks = step.path.clock(step.to) - step.path.clock(step.time)
    return here, clean + math.exp(ticks) / 2 * (step.predict(there, step.to) - clean)


def multistep(step: Step) -> tuple[Estimate, Tensor]:
    """Second-order exponential multistep. One network call.

    The trajectory is exact for F linear in the clock (-log t on a straight path) through this estimate and the one
    before. The first step, which has none before it, and a step to 0, where the clock has no value, are Euler steps.
    (On the diffusion path this is the idea of DPM-Solver++, arXiv:2211.01095, on another clock.)
    """
    _refuse_fresh_noise(step)
    here, clean = euler(step)
    if step.before is None or step.to == 0:
        return here, clean
    before, now, then = (step.path.clock(time) for time in (step.before.time, step.time, step.to))
    ticks = then - now
    share = (ticks + math.expm1(-ticks)) / (-math.expm1(-ticks) * (now - before))
    return here, clean + share * (clean - step.before.clean)


def _refuse_fresh_noise(step: Step) -> None:
    if step.path.fresh(step.time, step.to):
        raise ConfigError("heun and multistep need steps without fresh noise; use euler, or another method or noise")


@dataclass(frozen=True)
class Sampler:
    """A rule, and what it needs of its surroundings.

    Attributes:
        rule: Of one step.
        depth: Network calls on top of each other in a step: it looks so many times as far as the network does.
        looks_back: Whether it looks at the estimate before.
    """

    rule: Rule
    depth: int = 1
    looks_back: bool = False

    def step(self, step: Step, draw: Draw) -> tuple[Estimate, Tensor]:
        """Return the network's estimate, and the state where the step ends; noise is drawn where the path has it."""
        estimate, clean = self.rule(step)
        state = step.path.step(step.state, step.degraded, clean, step.time, step.to)
        if deviation := step.path.fresh(step.time, step.to):
            state = state + deviation * draw()
        return estimate, state


SAMPLERS: dict[str, Sampler] = {  # add a sampler here, and its name in cli/options.py
    "euler": Sampler(euler),
    "heun": Sampler(heun, depth=2),
    "multistep": Sampler(multistep, looks_back=True),
}


@dataclass(frozen=True)
class View(Generic[Place]):
    """What a step looks at in one region, which is the region and what the network sees around it.

    Attributes:
        state: (B, C, H, W).
        degraded: The same part of the degraded image; channels after the first C are of planes around it in a stack,
            for the network alone.
        before: The network's estimate there at the previous time, where the sampler looks back.
        region: Where that is, for the noise.
    """

    state: Tensor
    degraded: Tensor
    before: Estimate | None
    region: Place

    @property
    def own(self) -> Tensor:
        """The degraded image alone, without planes around it."""
        is_alone = self.degraded.shape == self.state.shape
        return self.degraded if is_alone else self.degraded[:, : self.state.shape[1]]


class Store(Protocol[Place]):
    """Where the states lie between steps, region by region."""

    @property
    def regions(self) -> Sequence[Place]:
        """What the image is cut up into, in the order of work."""

    def degraded(self, region: Place) -> Tensor:
        """Return the degraded image in a region, (B, C, H, W), without surroundings."""

    def view(self, region: Place) -> View[Place]:
        """Return what a step from the present states looks at."""

    def part(self, region: Place, image: Tensor) -> Tensor:
        """Return a region without the surroundings of its view."""

    def keep(self, region: Place, state: Tensor, estimate: Estimate | None) -> None:
        """Put the next state of a region, and the estimate there, with the surroundings of its view, or None."""

    def advance(self) -> None:
        """Take the states that were put for the present ones: all regions are done."""


class InMemory(Generic[Place]):
    """A store of one region, the whole image.

    Args:
        degraded: (B, C, H, W), intensities in [0, 1]; more channels where there are planes around it.
        region: What the noise is asked for.
        channels: C; None for all.
    """

    def __init__(self, degraded: Tensor, region: Place, channels: int | None = None) -> None:
        self.regions = [region]
        self._seen = degraded
        self._degraded = self._state = degraded if channels is None else degraded[:, :channels]
        self._before: Estimate | None = None

    def degraded(self, region: Place) -> Tensor:
        """As ``Store.degraded``."""
        return self._degraded

    def view(self, region: Place) -> View[Place]:
        """As ``Store.view``."""
        return View(self._state, self._seen, self._before, region)

    def part(self, region: Place, image: Tensor) -> Tensor:
        """As ``Store.part``."""
        return image

    def keep(self, region: Place, state: Tensor, estimate: Estimate | None) -> None:
        """As ``Store.keep``."""
        self._state, self._before = state, estimate

    def advance(self) -> None:
        """As ``Store.advance``: there is nothing to wait for."""


@dataclass(frozen=True)
class State(Generic[Place]):
    """A state of the trajectory.

    Attributes:
        time: From 1, or ``strength``, down to 0, where the image is the answer.
        image: (B, C, H, W), of the region.
        network_calls: So far.
        region: Where it is.
    """

    time: float
    image: Tensor
    network_calls: int
    region: Place


@torch.no_grad()
def sample(
    predict: Callable[[Tensor, Tensor, float, Draw], Tensor],
    path: Path,
    store: Store[Place],
    times: list[float],
    *,
    noise: Callable[[int, Place], Tensor],
    sampler: Sampler = SAMPLERS["euler"],
    strength: float = 1.0,
) -> Iterator[State[Place]]:
    """Yield the state at each of the falling ``times``, region by region, from the degraded image to the answer at 0.

    Args:
        predict: F(state, degraded, time, draw), the estimate of clean; ``draw`` returns the noise of this step, for a
            network that takes some.
        path: The process that the network was trained on.
        store: Of the degraded image and the states.
        times: From exactly 1 strictly down; N steps have N + 1 times.
        noise: Standard normal noise in a region, for draw number 0 (the start), 1, 2, ... (one a step); asked for only
            where the path or the network has noise.
        sampler: The rule of one step.
        strength: Where sampling begins in truth: all times are so much smaller.

    Raises:
        ConfigError: ``times`` do not fall from 1, or a sampler of second order meets a path with fresh noise.
    """
    times = scaled_times(times, strength)
    calls = 0
    for region in store.regions:
        state = path.start(store.degraded(region), partial(noise, 0, region), times[0])
        store.keep(region, state, None)
        yield State(times[0], state, calls, region)
    store.advance()
    for number, (time, to) in enumerate(pairwise(times), start=1):
        for region in store.regions:
            view = store.view(region)
            draw = partial(noise, number, view.region)

            def counted(state: Tensor, time: float, view: View[Place] = view, draw: Draw = draw) -> Tensor:
                nonlocal calls
                calls += 1
                return predict(state, view.degraded, time, draw)

            step = Step(counted, path, view.state, view.own, time, to, view.before)
            estimate, whole = sampler.step(step, draw)
            state = store.part(region, whole)
            if number < len(times) - 1:
                store.keep(region, state, estimate if sampler.looks_back else None)
            yield State(to, state, calls, region)
        if number < len(times) - 1:
            store.advance()


def trajectory(
    predict: Predict,
    path: Path,
    degraded: Tensor,
    times: list[float],
    *,
    noise: Callable[[int], Tensor],
    sampler: Sampler = SAMPLERS["euler"],
    strength: float = 1.0,
) -> Iterator[State[None]]:
    """Yield the states of ``sample`` for an image in memory, (B, C, H, W), and a network that sees the state alone."""
    return sample(
        lambda state, _degraded, time, _draw: predict(state, time),
        path,
        InMemory(degraded, None),
        times,
        noise=lambda number, _region: noise(number),
        sampler=sampler,
        strength=strength,
    )
