"""Samplers, and the one loop that walks from degraded to clean.

A sampler chooses the estimate of clean that a move is made with; the path (path.py) makes the
move. Euler serves every path; Heun and multistep serve those whose moves add no fresh noise. The loop over
times exists once, as a generator.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor

from indi.errors import ConfigError
from indi.process.path import Path, scaled_times

Predict = Callable[[Tensor, float], Tensor]  # F(state, time): the estimate of clean


@dataclass(frozen=True)
class Estimate:
    """What the network said at a time."""

    time: float
    clean: Tensor


@dataclass(frozen=True)
class Move:
    """A move to be made: everything a sampler may look at."""

    predict: Predict
    path: Path
    state: Tensor
    degraded: Tensor
    time: float
    to: float
    before: Estimate | None  # the network's estimate at the previous time, none at the first move


Rule = Callable[[Move], tuple[Estimate, Tensor]]  # -> the network's estimate here, and the one to move with


def euler(move: Move) -> tuple[Estimate, Tensor]:
    """Move with the network's estimate: the paper's recursion, order 1. One network call."""
    here = Estimate(move.time, move.predict(move.state, move.time))
    return here, here.clean


def heun(move: Move) -> tuple[Estimate, Tensor]:
    """Heun's rule on Eq. (3), order 2. Two network calls, one where the move ends at 0.

    Averaging the slopes (z - F) / tau at both ends (path.py) is the same as a move with
    F_t + tau_t / (2 tau_s) (F_s - F_t).
    """
    _refuse_fresh_noise(move)
    here, clean = euler(move)
    if move.to == 0:  # Eq. (3) divides by tau, so time 0 has no slope
        return here, clean
    there = move.path.move(move.state, move.degraded, clean, move.time, move.to)
    ticks = move.path.clock(move.to) - move.path.clock(move.time)
    return here, clean + math.exp(ticks) / 2 * (move.predict(there, move.to) - clean)


def multistep(move: Move) -> tuple[Estimate, Tensor]:
    """Second-order exponential multistep. One network call.

    The walk is solved exactly for F linear in the clock (-log t on a straight path) through this estimate and
    the one before. The first move, which has none before it, and a move to 0, where the clock has no value, are
    Euler moves. (On the diffusion path this is the idea of DPM-Solver++, arXiv:2211.01095, on another clock.)
    """
    _refuse_fresh_noise(move)
    here, clean = euler(move)
    if move.before is None or move.to == 0:
        return here, clean
    before, now, then = (move.path.clock(time) for time in (move.before.time, move.time, move.to))
    ticks = then - now
    share = (ticks + math.expm1(-ticks)) / (-math.expm1(-ticks) * (now - before))
    return here, clean + share * (clean - move.before.clean)


def _refuse_fresh_noise(move: Move) -> None:
    if move.path.fresh(move.time, move.to):
        raise ConfigError("heun and multistep need a walk without fresh noise; use euler, or another method or noise")


@dataclass(frozen=True)
class Sampler:
    """A rule, and what it needs of its surroundings.

    Attributes:
        rule: Of one move.
        depth: Network calls on top of each other in a move: it looks so many times as far as the network does.
        looks_back: Whether it looks at the estimate before.
    """

    rule: Rule
    depth: int = 1
    looks_back: bool = False

    def move(self, move: Move, draw: Callable[[], Tensor]) -> tuple[Estimate, Tensor]:
        """Return what the network said, and the state where the move ends; noise is drawn where the path has it."""
        said, clean = self.rule(move)
        state = move.path.move(move.state, move.degraded, clean, move.time, move.to)
        if spread := move.path.fresh(move.time, move.to):
            state = state + spread * draw()
        return said, state


SAMPLERS: dict[str, Sampler] = {  # add a sampler here
    "euler": Sampler(euler),
    "heun": Sampler(heun, depth=2),
    "multistep": Sampler(multistep, looks_back=True),
}


@dataclass(frozen=True)
class State:
    """Where a walk stands."""

    time: float
    image: Tensor
    network_calls: int


@torch.no_grad()
def walk(
    predict: Predict,
    path: Path,
    degraded: Tensor,
    times: list[float],
    *,
    draw: Callable[[int], Tensor],
    sampler: Sampler = SAMPLERS["euler"],
    strength: float = 1.0,
) -> Iterator[State]:
    """Yield the state at each of the falling ``times``, from the degraded image at 1 to the answer at 0.

    Args:
        predict: F(state, time), the estimate of clean.
        path: The process that the network was trained on.
        degraded: (B, C, H, W), intensities in [0, 1].
        times: From exactly 1 strictly down; N moves have N + 1 times.
        draw: Standard normal noise of the shape of ``degraded`` for draw number 0 (the start), 1, 2, ...
            (one a move); asked for only where the path has noise.
        sampler: The rule of one move.
        strength: Where the walk begins in truth: all times are so much smaller.

    Raises:
        ConfigError: ``times`` is not a walk, or a sampler of second order meets a path with fresh noise.
    """
    times = scaled_times(times, strength)
    calls = 0

    def counted(state: Tensor, time: float) -> Tensor:
        nonlocal calls
        calls += 1
        return predict(state, time)

    image = path.start(degraded, lambda: draw(0), times[0])
    yield State(times[0], image, calls)
    before: Estimate | None = None
    for number, (time, to) in enumerate(pairwise(times), start=1):
        move = Move(counted, path, image, degraded, time, to, before)
        before, image = sampler.move(move, partial(draw, number))
        yield State(to, image, calls)
