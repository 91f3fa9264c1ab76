"""How to sample: what a user chooses, and the times that follow."""

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

from indi.errors import ConfigError
from indi.process import DEFAULT_STEPS
from indi.process.path import TIMES, check_times, scaled_times
from indi.process.samplers import SAMPLERS


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How an image is restored. It is checked where it is made, and handed on whole.

    Attributes:
        steps: Steps from degraded to clean: 1 is the least error, more are sharper. A model that draws needs 1. None is
            what the model is best with.
        samples: How many restorations; None is one, without an axis of samples.
        seed: Of the noise; the same seed gives the same image.
        times: The time grid: uniform, geometric, power, or the times themselves, from 1 down to 0.
        sampler: The rule of a step: euler, heun or multistep; None is what the model is best with.
        strength: Below 1 for degradation that is milder than most in training: sampling begins nearer to clean, changes
            less and adds less noise of its own.
        realism: Of a model that draws (method distributional): 0 is the least error, 1 a draw from all clean images
            that fit, in between a draw that deviates from the least error so much less. None is what the model is best
            with for one image, 1 for samples.

    Raises:
        ConfigError: A value is invalid.
    """

    steps: int | None = None
    samples: int | None = None
    seed: int = 0
    times: str | Sequence[float] = "uniform"
    sampler: str | None = None
    strength: float = 1.0
    realism: float | None = None

    def __post_init__(self) -> None:
        """Check what needs no model."""
        if self.samples is not None and self.samples < 1:
            raise ConfigError(f"samples is {self.samples}; give 1 or more")
        if self.steps is not None and self.steps < 1:
            raise ConfigError(f"steps is {self.steps}; give 1 or more")
        if self.sampler is not None and self.sampler not in SAMPLERS:
            raise ConfigError(f"unknown sampler {self.sampler!r}; there are {', '.join(SAMPLERS)}")
        if isinstance(self.times, str):
            if self.times not in TIMES:
                raise ConfigError(f"unknown times {self.times!r}; there are {', '.join(TIMES)}, or a list from 1 to 0")
        else:
            times = check_times([float(time) for time in self.times])
            if times[-1] != 0:
                raise ConfigError(f"times end at {times[-1]}, which leaves the image half restored; end at 0")
            object.__setattr__(self, "times", tuple(times))
        scaled_times([1.0, 0.0], self.strength)
        if self.realism is not None:
            is_number = isinstance(self.realism, Real) and not isinstance(self.realism, bool)
            if not is_number or not 0 <= self.realism <= 1:
                raise ConfigError(
                    f"realism is {self.realism!r}; give 0, the least error, to 1, a draw from all that fits"
                )
            object.__setattr__(self, "realism", float(self.realism))

    def grid(self) -> list[float]:
        """Return the times, from 1 to 0, before ``strength`` scales them."""
        if not isinstance(self.times, str):
            return list(self.times)
        return TIMES[self.times](self.steps or DEFAULT_STEPS)

    def settings(self) -> dict[str, Any]:
        """Return what decides one restoration beside its seed, as JSON holds it: a realism only where there is one."""
        return {
            "steps": self.steps,
            "times": self.times if isinstance(self.times, str) else list(self.times),
            "sampler": self.sampler,
            "strength": self.strength,
            **({} if self.realism is None else {"realism": self.realism}),
        }
