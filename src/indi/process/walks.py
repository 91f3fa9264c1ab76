"""How to walk: what a user says of it, and the times that follow."""

from collections.abc import Sequence
from dataclasses import dataclass

from indi.errors import ConfigError

DEFAULT_STEPS, DEFAULT_SAMPLER = 10, "euler"
DEFAULT_REALISM = 0.6  # of a network that draws, where a single image is asked for


@dataclass(frozen=True)
class Walk:
    """How to walk from degraded to clean: how many steps, at which times, by which rule.

    Attributes:
        steps: Moves; 1 is plain regression.
        times: A name (uniform, geometric, power), or the times themselves, from 1 down to 0.
        sampler: A name (euler, heun, multistep).
        strength: Where the walk begins: 1 is the damage of training, less is milder.
        realism: Of a network that draws: 0 is the least error, 1 a draw from all clean images that fit.
    """

    steps: int
    times: str | Sequence[float] = "uniform"
    sampler: str = DEFAULT_SAMPLER
    strength: float = 1.0
    realism: float | None = None

    def grid(self) -> list[float]:
        """Return the times to walk, from 1, before ``strength`` scales them.

        Raises:
            ConfigError: The steps, the times or the sampler are not ones there are.
        """
        from indi.process.path import TIMES, check_times  # here: who asks for the defaults alone needs no torch
        from indi.process.samplers import SAMPLERS

        if self.sampler not in SAMPLERS:
            raise ConfigError(f"unknown sampler {self.sampler!r}; there are {', '.join(SAMPLERS)}")
        if not isinstance(self.times, str):
            times = check_times([float(time) for time in self.times])
            if times[-1] != 0:
                raise ConfigError(f"times end at {times[-1]}, which leaves the image half restored; end at 0")
            return times
        if self.times not in TIMES:
            raise ConfigError(f"unknown times {self.times!r}; there are {', '.join(TIMES)}, or a list from 1 to 0")
        if self.steps < 1:
            raise ConfigError(f"steps is {self.steps}; give 1 or more")
        return TIMES[self.times](self.steps)
