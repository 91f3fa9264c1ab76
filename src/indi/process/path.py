"""The InDI process: mix a clean image towards its degraded pair, and step back.

Notation. The letters live in this module only; everywhere else the words are used.
    x   clean image       (B, ...) float, intensities in [0, 1]
    y   degraded image    same shape and scale as x
    t   degradation time  no unit; t = 0 is clean, t = 1 is degraded; s < t is where a step ends
    n   standard normal noise, shape of x;  eps(t) its strength, in intensities
    F   the network; F(x_t, t) estimates E[x | x_t] and has the shape of x_t

Equations, numbered as in docs/theory.md.
    (1)  x_t   = (1 - t) x + t y + t eps(t) n          eps(t) = eps or eps / sqrt(t)
    (2)  loss  = E |F(x_t, t) - x|^p                   t ~ p(t) = U[0, 1] mixed with a point mass at 1; p = 1 or 2
    (3)  dx/dt = (x_t - F(x_t, t)) / t
    (4)  x_s   = (s/t) x_t + (1 - s/t) F(x_t, t) + s sqrt(eps(s)^2 - eps(t)^2) n

A ``Path`` writes (1) with three coefficients, and (4) with the share k of what is neither x nor y
that a step keeps. InDI is one path; with its coefficients y cancels out of the step and (4) remains.
    (1')  x_t = a(t) x + b(t) y + c(t) n
    (4')  x_s = a(s) F + b(s) y + k (x_t - a(t) F - b(t) y) + sqrt(c(s)^2 - k^2 c(t)^2) n,   k = r(s) / r(t)

Where steps add no noise, z = (x_t - b y) / (a + r) at tau = r / (a + r) obeys (3) on every path, dz/dtau =
(z - F) / tau, which samplers of second order solve; on InDI's path tau = t. ``clock`` is -log tau.

Sources:
    indi: Delbracio and Milanfar, "Inversion by Direct Iteration", TMLR 2023, arXiv:2303.11435.
    diffusion: Song, Meng and Ermon, "Denoising Diffusion Implicit Models", ICLR 2021, arXiv:2010.02502, for the step;
        Salimans and Ho, ICLR 2022, arXiv:2202.00512, for the cosine; Hoogeboom, Heek and Salimans, ICML 2023,
        arXiv:2301.11093, for shifting it.
    bridge: Li, Xue, Liu and Lai, "BBDM", CVPR 2023, arXiv:2205.07680.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from indi.errors import ConfigError, ShapeError
from indi.process import Noise

# Differences of squares below this share are rounding, not fresh noise.
_ROUNDING = 1e-12


Coefficient = Callable[[float | Tensor], float | Tensor]  # of one time, or of a tensor of times


@dataclass(frozen=True)
class Path:
    """The way from clean to degraded, Eq. (1'), and what a step keeps of the rest, Eq. (4').

    Each coefficient takes one time or a tensor of times. ``r`` is above 0 but at t = 0.
    """

    a: Coefficient
    b: Coefficient
    c: Coefficient
    r: Coefficient

    def state(self, x: Tensor, y: Tensor, t: Tensor, n: Tensor) -> Tensor:
        """Return x_t by Eq. (1') for a batch, one time an image.

        Exact at both ends where no noise is left: t = 0 gives ``x``, t = 1 gives ``y``, bit for bit.

        Raises:
            ShapeError: The three images differ in shape (they would broadcast in silence).
        """
        if not x.shape == y.shape == n.shape:
            shapes = f"clean {tuple(x.shape)}, degraded {tuple(y.shape)} and noise {tuple(n.shape)}"
            raise ShapeError(f"{shapes} must have one shape")
        t = t.reshape(-1, *[1] * (x.ndim - 1))
        return self.a(t) * x + self.b(t) * y + self.c(t) * n

    def start(self, y: Tensor, draw: Callable[[], Tensor], t: float = 1.0) -> Tensor:
        """Return x_1 = b(1) y + c(1) n, the start of restorations, as clean is not known (a(1) = 0).

        A mildly degraded image is no y of full damage: it is taken for the mix of clean and degraded at a ``t`` below
        1, and only the noise is missing, x_t = y + c(t) n.

        Raises:
            ConfigError: ``t`` is below 1, and on this path restoration does not begin at the degraded image.
        """
        b, c = float(self.b(1.0)), float(self.c(t))
        if t < 1 and b != 1:
            raise ConfigError("this method begins at noise, not at the image; leave strength at 1")
        x_t = y if b == 1 else b * y
        return x_t + c * draw() if c else x_t

    def k(self, s: float, t: float) -> float:
        """Return the share k of what is neither x nor y that a step from t to s keeps, Eq. (4')."""
        return float(self.r(s)) / float(self.r(t))

    def clock(self, t: float) -> float:
        """Return -log tau = log(1 + a / r), which rises from 0 at t = 1 and has no bound as t falls to 0."""
        return math.log1p(float(self.a(t)) / float(self.r(t)))

    def step(self, x_t: Tensor, y: Tensor, clean: Tensor, t: float, s: float) -> Tensor:
        """Return x_s by Eq. (4') for the estimate ``clean`` = F, without its noise.

        At s = 0 this is the estimate itself, so one step from t = 1 is plain regression.
        """
        k = self.k(s, t)
        weights = (k, float(self.a(s)) - k * float(self.a(t)), float(self.b(s)) - k * float(self.b(t)))
        terms = [w * image for w, image in zip(weights, (x_t, clean, y), strict=True) if abs(w) > _ROUNDING]
        return sum(terms[1:], terms[0])

    def fresh(self, t: float, s: float) -> float:
        """Return the standard deviation of the noise that a step from t to s adds, Eq. (4')."""
        wanted, kept = float(self.c(s)) ** 2, (self.k(s, t) * float(self.c(t))) ** 2
        return math.sqrt(wanted - kept) if wanted - kept > _ROUNDING * wanted else 0.0

    def draws(self, times: list[float]) -> bool:
        """Return whether sampling along ``times`` draws noise, so that samples differ."""
        return bool(self.c(times[0])) or any(self.fresh(t, s) for t, s in pairwise(times))


def indi(epsilon: float, noise: Noise = "constant") -> Path:
    """Return the path of Eq. (1).

    Constant eps keeps its one draw of noise to the end: its steps add none. Brownian eps adds
    eps sqrt(s (t - s) / t) a step, written here so that s = 0 needs no clamp.

    Args:
        epsilon: Standard deviation of the noise at t = 1, in intensities, 0 or more.
        noise: The schedule eps(t).
    """
    spread: dict[Noise, Callable[[float | Tensor], float | Tensor]] = {
        "constant": lambda t: epsilon * t,
        "brownian": lambda t: epsilon * t**0.5,
    }
    return Path(a=lambda t: 1 - t, b=lambda t: t, c=spread[noise], r=lambda t: t)


def bridge(epsilon: float) -> Path:
    """Return the Brownian bridge: noise eps sqrt(t (1 - t)), none at either end.

    A step draws from the bridge's posterior; it adds eps sqrt(s (t - s) / t), as InDI with Brownian eps does, and
    differs from it in that it starts at the degraded image itself.

    Args:
        epsilon: The noise is largest at t = 1/2, with a standard deviation of epsilon / 2, in intensities.
    """
    return Path(a=lambda t: 1 - t, b=lambda t: t, c=lambda t: epsilon * (t * (1 - t)) ** 0.5, r=lambda t: t)


def diffusion() -> Path:
    """Return variance-preserving denoising diffusion: from pure noise, with the deterministic step of DDIM.

    sqrt(alpha) / sqrt(1 - alpha) = 2 / tan(pi t / 2): the cosine schedule of images in [-1, 1], shifted to ours in
    [0, 1], whose contrast is half as large. At t = 1 nothing of the image is left.
    """

    def angle(t: float | Tensor) -> Tensor:
        quarter = torch.as_tensor(t, dtype=None if isinstance(t, Tensor) else torch.float64) * (math.pi / 2)
        return torch.atan2(quarter.sin(), 2 * quarter.cos().clamp(min=0))

    return Path(a=lambda t: angle(t).cos(), b=lambda t: 0 * t, c=lambda t: angle(t).sin(), r=lambda t: angle(t).sin())


def draw_times(batch: int, share_at_one: float, generator: torch.Generator) -> Tensor:
    """Draw t ~ p(t) of Eq. (2) for a batch, stratified: (B,) float32 in [0, 1].

    p(t) = (1 - w) U[0, 1] + w delta(t = 1) with w = ``share_at_one``. One draw falls in each of B
    equal slices of its distribution, so every batch sees the whole range and its share of t = 1.
    (The paper's "linear_a" density, section 6.3, has w = a / (1 + a).)
    """
    slices = (torch.arange(batch) + torch.rand(batch, generator=generator)) / batch
    if share_at_one >= 1:
        return torch.ones(batch)
    return (slices / (1 - share_at_one)).clamp(max=1.0)


def loss(estimate: Tensor, target: Tensor, norm: int) -> Tensor:
    """Return the mean of |estimate - target|^p over all values, Eq. (2), with p = ``norm`` of 1 or 2."""
    difference = estimate - target
    return difference.abs().mean() if norm == 1 else difference.square().mean()


def uniform_times(steps: int) -> list[float]:
    """Return steps + 1 equally spaced times from 1 to 0 (the paper's Algorithm 1)."""
    return [1 - i / steps for i in range(steps)] + [0.0]


def geometric_times(steps: int, ratio: float = 0.75) -> list[float]:
    """Return 1, ratio, ratio^2, ... and a last step to 0; 0.75 is the spacing seen in the paper's Figure 1."""
    return [ratio**i for i in range(steps)] + [0.0]


def power_times(steps: int, power: float = 2.0) -> list[float]:
    """Return (1 - i / steps)^power: a power above 1 takes finer steps near the clean end."""
    return [(1 - i / steps) ** power for i in range(steps)] + [0.0]


TIMES: dict[str, Callable[[int], list[float]]] = {
    "uniform": uniform_times,
    "geometric": geometric_times,
    "power": power_times,
}


def check_times(times: list[float]) -> list[float]:
    """Return ``times`` unchanged if they fall from exactly 1, strictly, to 0 or above.

    Raises:
        ConfigError: They do not.
    """
    falling = all(s < t for t, s in pairwise(times))
    if len(times) < 2 or times[0] != 1.0 or not falling or not times[-1] >= 0:
        raise ConfigError(f"times {times} must fall strictly from exactly 1 to 0 or above; give such a list")
    return times


def scaled_times(times: list[float], strength: float) -> list[float]:
    """Return times that begin at ``strength``: an image that is degraded less than in training is taken for x_t there.

    Raises:
        ConfigError: ``times`` do not fall from 1, or ``strength`` is not above 0 and up to 1.
    """
    if not 0 < strength <= 1:
        raise ConfigError(f"strength is {strength:g}; give more than 0, and 1 at most")
    return [strength * time for time in check_times(times)]
