"""Objectives: what training asks of the network's answers, as rows of one table.

    error   the mean of |F - x|^p, Eq. (2): the answer is an average of all clean images that fit the degraded one.
    energy  a proper scoring rule: the answer is a draw from them, with as much variety as the dial says.

The second one needs a network that draws: F(x_t, t, z, a), with standard normal noise z of the image's shape and the
realism a from 0 to 1. Two draws F and F' of each crop are scored together:

    (5)  S_a = E|D(F - x)| - lambda(a) / 2 E|D(F - F')|,    lambda(a) = a sqrt(2 / (1 + a^2))

The first term draws both to the clean image, the second parts them. At a = 0 it is Eq. (2) with p = 1, of D. At a = 1
it is the energy score, of one value the CRPS: over all distributions of F it is least at that of the clean image given
what the network sees, as far as D can tell them apart. In between, lambda is such that the draws of a Gaussian deviate
by the share a of its standard deviation, and so their squared error is 1 + a^2 times the least.

Two draws are enough, and fair: E|F - F'| over independent draws is what its one pair is in expectation, so the loss and
its gradient are unbiased; both also take the place of F in the first term, which halves its variance. (An average over
pairs that counts a draw with itself would be too small, and the draws would part too far.)

D makes values out of images, and what is matched is what they see: pixels alone would match each pixel's distribution
and leave the pixels next to each other independent. Here it is the image, and of each band of its Laplacian pyramid and
what is left the responses to random filters of two sizes over all channels, of unit norm, new ones each iteration: a
sliced energy score of patches, where fine detail counts beside coarse. Other choices, measured: docs/results.md.

Sources:
    Gneiting and Raftery, "Strictly proper scoring rules, prediction, and estimation", JASA 102(477), 2007.
    Shen and Meinshausen, "Engression", JRSS B 2024, arXiv:2307.00835: networks trained as samplers so.
    De Bortoli et al., "Distributional diffusion models with scoring rules", ICML 2025, arXiv:2502.02483: of every t.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional

from indi.process import path as process

BANDS, SIDES, FILTERS = 3, (7, 3), 8  # of the pyramid; sides of filters in pixels, how many of each
LEAST_ERROR, POSTERIOR = 0.375, 0.25  # shares of the crops with realism 0 and 1; the others lie between


@dataclass(frozen=True)
class Draw:
    """What a network that draws is given beside the images.

    Attributes:
        noise: (B, C, H, W) standard normal; of no effect where the realism is 0.
        realism: (B,) from 0, the least error, to 1, a draw from all clean images that fit.
    """

    noise: Tensor
    realism: Tensor

    @classmethod
    def of(cls, images: Tensor, realism: float, noise: Callable[[], Tensor] | None = None) -> "Draw":
        """Return the draw of one realism for all images; the noise is asked for only where it has an effect."""
        drawn = noise() if realism and noise is not None else torch.zeros_like(images)
        return cls(drawn, images.new_full((len(images),), realism))

    def inputs(self) -> Tensor:
        """Return the channels (B, C + 1, H, W) that the network sees: the noise times the realism, and the realism."""
        realism = self.realism.reshape(-1, 1, 1, 1)
        return torch.cat([realism * self.noise, realism.expand(-1, 1, *self.noise.shape[2:])], dim=1)


Answer = Callable[[Tensor, Tensor, Tensor, Draw | None], Tensor]  # of states, degraded, times (B,) and a draw


@dataclass(frozen=True)
class Examples:
    """One process's share of a batch of training examples, as an objective sees it.

    Attributes:
        state: (B, C, H, W), and so are degraded and target, what the network is asked for; degraded may have the
            channels of planes around it behind its own.
        t: Times (B,).
        batch: Examples of all processes together.
        share: Which of them these are.
    """

    state: Tensor
    degraded: Tensor
    target: Tensor
    t: Tensor
    batch: int
    share: slice


Objective = Callable[[Answer, Examples, int, Generator], Tensor]  # (answer, examples, norm, generator) -> the loss


def error(answer: Answer, examples: Examples, norm: int, generator: Generator) -> Tensor:
    """Return the mean of |answer - target|^p, Eq. (2), with p = ``norm``. One network call; nothing is drawn."""
    return process.loss(answer(examples.state, examples.degraded, examples.t, None), examples.target, norm)


def energy(answer: Answer, examples: Examples, norm: int, generator: Generator) -> Tensor:
    """Return the mean of S_a, Eq. (5), over the batch. One network call, with a second draw where a is above 0.

    ``norm`` has no part in it: p = 1 is what makes the score one of distributions.
    """
    state, degraded, wanted, t = examples.state, examples.degraded, examples.target, examples.t
    shape = (examples.batch, *state.shape[1:])
    realism = draw_realism(examples.batch, generator)[examples.share].to(state.device)
    noises = [torch.randn(shape, generator=generator)[examples.share].to(state.device) for _ in range(2)]
    filters = draw_filters(state.shape[1], min(state.shape[2:]), generator)
    twice = realism.nonzero()[:, 0]  # the others are answered without noise: a second answer would be the first
    draw = Draw(torch.cat([noises[0], noises[1][twice]]), torch.cat([realism, realism[twice]]))
    state, degraded, t = (torch.cat([part, part[twice]]) for part in (state, degraded, t))
    answers = answer(state, degraded, t, draw)
    first, second = answers[: len(wanted)] - wanted, answers[len(wanted) :] - wanted[twice]
    return score(first, second, twice, realism, filters).mean()


OBJECTIVES: dict[str, Objective] = {"error": error, "energy": energy}  # add an objective here


def draw_realism(batch: int, generator: Generator) -> Tensor:
    """Draw the dial for a batch, (batch,) in [0, 1]: 3 in 8 are 0, 2 in 8 are 1, stratified, in random order."""
    slices = (torch.arange(batch) + torch.rand(batch, generator=generator)) / batch
    dial = ((slices - LEAST_ERROR) / (1 - LEAST_ERROR - POSTERIOR)).clamp(0, 1)
    return dial[torch.randperm(batch, generator=generator)]  # times are stratified too: neither may follow the other


def draw_filters(channels: int, side: int, generator: Generator) -> list[list[Tensor]]:
    """Draw the filters of each part of the pyramid of an image whose shorter side is given, the finest band first.

    Each are (FILTERS, channels, k, k) of unit norm; k is one of ``SIDES``, or the side of a smaller image. There are
    fewer bands where the largest filters would not fit into what is left of the image.
    """
    sides = sorted({min(each, side) for each in SIDES}, reverse=True)
    filters: list[list[Tensor]] = []
    while len(filters) < BANDS and side // 2 >= sides[0]:
        filters.append([_filters_of(channels, each, generator) for each in sides])
        side //= 2
    return [*filters, [_filters_of(channels, each, generator) for each in sides]]


def _filters_of(channels: int, side: int, generator: Generator) -> Tensor:
    weights = torch.randn((FILTERS, channels, side, side), generator=generator)
    unit: Tensor = weights / weights.flatten(1).norm(dim=1).reshape(-1, 1, 1, 1)
    return unit


def spread_weight(realism: Tensor) -> Tensor:
    """Return lambda(a) of Eq. (5), for which draws of a Gaussian deviate by a times its standard deviation."""
    return realism * (2 / (1 + realism.square())).sqrt()


def score(first: Tensor, second: Tensor, twice: Tensor, realism: Tensor, filters: list[list[Tensor]]) -> Tensor:
    """Return S_a of each crop, Eq. (5), estimated from one or two draws of it: (B,).

    Args:
        first: Errors F - x of a draw of each crop, (B, C, H, W).
        second: The same of another draw, for the N crops that have one.
        twice: Which these are, (N,).
        realism: a, (B,).
        filters: As ``draw_filters`` returns them.
    """
    weight = spread_weight(realism)[twice] / 2
    scores: list[Tensor] = []
    for one, other in zip(features(first, filters), features(second, filters), strict=True):
        single = one.abs().mean(dim=1)
        both = (single[twice] + other.abs().mean(dim=1)) / 2 - weight * (one[twice] - other).abs().mean(dim=1)
        scores.append(single.index_copy(0, twice, both))
    return torch.stack(scores).mean(dim=0)


def features(image: Tensor, filters: list[list[Tensor]]) -> Iterator[Tensor]:
    """Yield D of (B, C, H, W) in parts of equal weight, each (B, values): the image, then responses to filters.

    D is linear: that of a difference is the difference.
    """
    yield image.flatten(1)
    for sizes in filters:
        band = image
        if sizes is not filters[-1]:
            height, width = image.shape[2:]
            image = functional.avg_pool2d(image, 2, ceil_mode=True)
            band = band - functional.interpolate(image, scale_factor=2, mode="bilinear")[..., :height, :width]
        for weights in sizes:
            stride = (weights.shape[-1] + 1) // 2  # windows that overlap by half tell nearly all
            yield functional.conv2d(band, weights.to(image.device), stride=stride).flatten(1)
