"""Methods: what is trained, as rows of one table.

A method says which path leads from degraded to clean (path.py), what the network is shown, and
what it is asked for. Trainer, restorer, tiler and reports know no method by name.

    method          path                       network is asked for
    indi            InDI, constant or Brownian clean
    regression      InDI at t = 1, no noise    clean
    flow            InDI, constant noise       velocity: degraded + eps n - clean
    diffusion       variance-preserving        velocity: a n - c clean (v-prediction)
    bridge          Brownian bridge            clean
    distributional  InDI, no noise             a draw of clean (objectives.py)

Sources:
    flow: Lipman et al., "Flow Matching for Generative Modeling", ICLR 2023, arXiv:2210.02747; Liu, Gong and Liu,
        "Flow Straight and Fast", ICLR 2023, arXiv:2209.03003. Here the two ends of a path are a pair.
    v-prediction: Salimans and Ho, ICLR 2022, arXiv:2202.00512.
    distributional: objectives.py.
    The others: path.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from torch import Tensor, cat

from indi.errors import ConfigError
from indi.process import Noise
from indi.process import path as process
from indi.process.objectives import Draw
from indi.process.path import Coefficient, Path

Network = Callable[[Tensor, Tensor], Tensor]  # network(inputs, t)


@dataclass(frozen=True)
class Target:
    """What the network is asked for, and how clean follows from its answer.

    The target is x clean + y degraded + n noise with these weights, functions of time; clean is then
    of_state state + of_answer answer.

    Attributes:
        added_to_state: Whether the network gives what the state lacks, so that an untrained network, which
            gives zero, answers with the state. The sum is made in float32: a network in bfloat16 never rounds
            the image itself.
    """

    x: Coefficient
    y: Coefficient
    n: Coefficient
    of_state: Coefficient
    of_answer: Coefficient
    added_to_state: bool


_CLEAN = Target(
    x=lambda t: 1.0,
    y=lambda t: 0.0,
    n=lambda t: 0.0,
    of_state=lambda t: 0.0,
    of_answer=lambda t: 1.0,
    added_to_state=True,
)


@dataclass(frozen=True)
class Method:
    """A way of restoring: a path, and how a network serves it.

    Attributes:
        path: The process between clean and degraded.
        target: What the network predicts.
        conditioned: Whether the network sees the degraded image beside the state.
        share_at_one: The weight of the point mass at t = 1 in p(t), Eq. (2).
        one_step: Whether it knows t = 1 alone, so that only one step makes sense.
        objective: What training asks of the answers: a row of the table of objectives.
        draws: Whether the network is given noise and the dial of realism (``Draw``), so that an answer is a draw.
    """

    path: Path
    conditioned: bool
    share_at_one: float
    target: Target = _CLEAN
    one_step: bool = False
    objective: str = "error"
    draws: bool = False

    def inputs(self, channels: int, neighbours: int = 0) -> int:
        """Return how many channels the network sees of images of ``channels`` with so many planes on each side."""
        return channels * (1 + self.conditioned) + (channels + 1) * self.draws + 2 * neighbours * channels

    def path_of(self, times: Sequence[float]) -> Path:
        """Return the path for sampling along ``times``.

        Without noise where a single step begins at the degraded image, which the network sees beside it too: noise is
        what several steps grow detail from, one step grows none, and here the noise carries nothing (docs/choose.md).
        """
        is_blind = not self.conditioned or float(self.path.b(1.0)) != 1
        return self.path if is_blind or len(times) > 2 else replace(self.path, c=lambda t: 0.0 * t)

    def answer(self, network: Network, state: Tensor, degraded: Tensor, t: Tensor, draw: Draw | None = None) -> Tensor:
        """Return the network's answer in float32, (B, C, H, W), at times t (B,).

        Where it draws, without a ``draw`` it is the answer of least error. Channels of ``degraded`` beyond those of the
        state are of planes around it in a stack, which the network sees last.
        """
        channels = state.shape[1]
        images = [state, *([degraded[:, :channels]] if self.conditioned else [])]
        if self.draws:
            images.append((draw or Draw.of(state, 0.0)).inputs())
        if degraded.shape[1] > channels:
            images.append(degraded[:, channels:])
        output = network(cat(images, dim=1) if len(images) > 1 else state, t).float()
        return state + output if self.target.added_to_state else output

    def target_of(self, clean: Tensor, degraded: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """Return the target of training, of the shape of ``clean``."""
        return _weighted(t, (self.target.x, clean), (self.target.y, degraded), (self.target.n, noise))

    def estimate(
        self, network: Network, state: Tensor, degraded: Tensor, t: Tensor, draw: Draw | None = None
    ) -> Tensor:
        """Return F, the estimate or draw of clean, in float32: what steps are made with (path.py)."""
        answer = self.answer(network, state, degraded, t, draw)
        return _weighted(t, (self.target.of_state, state), (self.target.of_answer, answer))


def _weighted(t: Tensor, *terms: tuple[Coefficient, Tensor]) -> Tensor:
    """Return the sum of images times their coefficients at times t (B,); a weight of 0 or 1 costs nothing."""
    summed: Tensor | None = None
    for coefficient, image in terms:
        weight = coefficient(t)
        if isinstance(weight, Tensor):
            term = weight.reshape(-1, *[1] * (image.ndim - 1)) * image
        elif weight == 0:
            continue
        else:
            term = image if weight == 1 else weight * image
        summed = term if summed is None else summed + term
    assert summed is not None
    return summed


def _indi(epsilon: float, noise: Noise, conditioned: bool, share_at_one: float) -> Method:
    return Method(process.indi(epsilon, noise), conditioned, share_at_one)


def _regression(epsilon: float, noise: Noise, conditioned: bool, share_at_one: float) -> Method:
    # One network call from the degraded image itself: no noise, no second view of it, no other time.
    return Method(process.indi(0.0), conditioned=False, share_at_one=1.0, one_step=True)


def _flow(epsilon: float, noise: Noise, conditioned: bool, share_at_one: float) -> Method:
    _constant(noise, "flow")
    velocity = Target(
        x=lambda t: -1.0,
        y=lambda t: 1.0,
        n=lambda t: epsilon,
        of_state=lambda t: 1.0,
        of_answer=lambda t: -t,
        added_to_state=False,
    )
    return Method(process.indi(epsilon), conditioned, share_at_one, velocity)


def _diffusion(epsilon: float, noise: Noise, conditioned: bool, share_at_one: float) -> Method:
    # Its noise is that of its schedule, whatever epsilon; the degraded image can enter only beside the state. Times
    # are uniform, as published: at t = 1 its state is noise alone, and half of a training there would be lost on it.
    _constant(noise, "diffusion")
    path = process.diffusion()
    velocity = Target(
        x=lambda t: -path.c(t),
        y=lambda t: 0.0,
        n=path.a,
        of_state=path.a,
        of_answer=lambda t: -path.c(t),
        added_to_state=False,
    )
    return Method(path, conditioned=True, share_at_one=0.0, target=velocity)


def _bridge(epsilon: float, noise: Noise, conditioned: bool, share_at_one: float) -> Method:
    _constant(noise, "bridge")
    return Method(process.bridge(epsilon), conditioned, share_at_one)


def _distributional(epsilon: float, noise: Noise, conditioned: bool, share_at_one: float) -> Method:
    # Its noise is an input of the network, so its path has none, whatever epsilon. It sees the degraded image at every
    # time: only of all that is known can it draw from what is still open, and so more steps have the law of one.
    _constant(noise, "distributional")
    return Method(process.indi(0.0), conditioned=True, share_at_one=share_at_one, objective="energy", draws=True)


# The share of t = 1 in training, where it is not one half. One call is what a network that draws is for.
SHARES_AT_ONE = {"distributional": 0.9}


def _constant(noise: Noise, method: str) -> None:
    if noise != "constant":
        raise ConfigError(f"{method} has a noise of its own; leave method.noise at constant")


METHODS: dict[
    str, Callable[[float, Noise, bool, float], Method]
] = {  # add a method here, and its name in cli/options.py
    "indi": _indi,
    "regression": _regression,
    "flow": _flow,
    "diffusion": _diffusion,
    "bridge": _bridge,
    "distributional": _distributional,
}
