"""How to sample: what a user chooses, and the times that follow."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from numbers import Integral, Real
from typing import Any, Self

from indi.errors import ConfigError
from indi.process import DEFAULT_STEPS
from indi.process.path import TIMES, check_times, scaled_times
from indi.process.samplers import SAMPLERS


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How an image is restored. It is checked where it is made, and handed on whole.

    Attributes:
        steps: Steps from degraded to clean: 1 is the least error, more are sharper. A model that draws
            needs 1; more are as many draws in turn, and its dial is ``realism``. None is what the model is best with.
        samples: How many restorations; None is one, without an axis of samples.
        seed: Of the noise; the same seed gives the same image.
        times: The time grid: uniform, geometric, power, or the times themselves, from 1 down to 0, which decide the
            steps too.
        sampler: The rule of a step: euler, heun or multistep; None is what the model is best with.
        strength: Below 1 for degradation that is milder than most in training: sampling begins nearer to clean, changes
            less and adds less noise of its own.
        realism: Of a model that draws (method distributional): 0 is the least error, 1 a draw from all clean images
            that fit, in between a draw that deviates from the least error so much less. None is what the model is best
            with for one image, 1 for samples.
        noise_along: The axis of stacks, such as Z, along which planes share their noise, so that what is drawn does not
            flicker from one to the next; None for noise of their own.

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
    noise_along: str | None = None

    def __post_init__(self) -> None:
        """Check what needs no model."""
        for name, least in (("samples", 1), ("steps", 1), ("seed", 0)):
            value = getattr(self, name)
            if value is None and name != "seed":
                continue
            if isinstance(value, bool) or not isinstance(value, Integral):
                raise ConfigError(f"{name} is {value!r}; give a whole number")
            if value < least:
                raise ConfigError(f"{name} is {value}; give {least} or more")
        if self.sampler is not None and self.sampler not in SAMPLERS:
            raise ConfigError(f"unknown sampler {self.sampler!r}; there are {', '.join(SAMPLERS)}")
        if isinstance(self.times, str):
            if self.times not in TIMES:
                raise ConfigError(f"unknown times {self.times!r}; there are {', '.join(TIMES)}, or a list from 1 to 0")
        else:
            times = _listed(self.times)
            if self.steps not in (None, len(times) - 1):
                raise ConfigError(f"steps is {self.steps}, and times make {len(times) - 1}; give one of the two")
            object.__setattr__(self, "times", times)
            object.__setattr__(self, "steps", len(times) - 1)
        if not isinstance(self.strength, Real):
            raise ConfigError(f"strength is {self.strength!r}; give a number above 0, and 1 at most")
        scaled_times([1.0, 0.0], float(self.strength))
        if self.realism is not None:
            is_number = isinstance(self.realism, Real) and not isinstance(self.realism, bool)
            if not is_number or not 0 <= self.realism <= 1:
                raise ConfigError(
                    f"realism is {self.realism!r}; give 0, the least error, to 1, a draw from all that fits"
                )
            object.__setattr__(self, "realism", float(self.realism))
        if self.noise_along is not None:
            if not isinstance(self.noise_along, str) or not re.fullmatch("[A-Za-z]", self.noise_along):
                raise ConfigError(f"noise_along is {self.noise_along!r}; give the letter of an axis, such as Z")
            object.__setattr__(self, "noise_along", self.noise_along.upper())

    def with_options(self, **options: Any) -> Self:
        """Return this sampling with other values by name.

        Raises:
            ConfigError: A name is unknown, or a value invalid.
        """
        return self.parted(options)[0]

    def parted(self, options: Mapping[str, Any], *others: str) -> tuple[Self, dict[str, Any]]:
        """Return this sampling with those of the options that are its own, and the rest, which are of other names.

        Raises:
            ConfigError: A name is neither, or a value invalid.
        """
        own = [field.name for field in fields(self)]
        known = [*others, *own]
        for name in options:
            if name not in known:
                near = get_close_matches(name, known, n=1)
                advice = f" (did you mean {near[0]}?)" if near else ""
                raise ConfigError(f"unknown option {name!r}; known are {', '.join(known)}{advice}")
        rest = {name: value for name, value in options.items() if name in others}
        return replace(self, **{name: value for name, value in options.items() if name in own}), rest

    def grid(self) -> list[float]:
        """Return the times, from 1 to 0, before ``strength`` scales them."""
        if not isinstance(self.times, str):
            return list(self.times)
        return TIMES[self.times](self.steps or DEFAULT_STEPS)

    def settings(self) -> dict[str, Any]:
        """Return what decides one restoration beside its seed, as JSON holds it; the last two only where given."""
        return {
            "steps": self.steps,
            "times": self.times if isinstance(self.times, str) else list(self.times),
            "sampler": self.sampler,
            "strength": self.strength,
            **({} if self.realism is None else {"realism": self.realism}),
            **({} if self.noise_along is None else {"noise_along": self.noise_along}),
        }


def _listed(times: Sequence[float]) -> tuple[float, ...]:
    """Return times that are given one by one.

    Raises:
        ConfigError: They are no numbers, or do not fall from 1 to 0.
    """
    try:
        listed = check_times([float(time) for time in times])
    except (TypeError, ValueError) as error:
        raise ConfigError(f"times is {times!r}; give a name, or numbers from 1 down to 0") from error
    if listed[-1] != 0:
        raise ConfigError(f"times end at {listed[-1]}, which leaves the image half restored; end at 0")
    return tuple(listed)
