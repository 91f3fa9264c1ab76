"""Whether a model can sample as is asked."""

from indi.errors import ConfigError
from indi.process import DEFAULT_SAMPLER
from indi.process.methods import Method
from indi.process.path import scaled_times
from indi.process.sampling import Sampling


def check_fit(sampling: Sampling, method: Method, name: str) -> None:
    """Refuse what a method cannot do.

    Args:
        sampling: With no None where the model decides.
        method: Of the model.
        name: Of the method.

    Raises:
        ConfigError: The method has one step only, knows full degradation alone, draws in each call or has no realism,
            and the sampling asks for other; or all samples would be equal.
    """
    if sampling.realism is not None and not method.draws:
        raise ConfigError(f"this model is of the method {name}, which has no dial of realism; use steps instead")
    times = sampling.grid()
    if method.one_step and len(times) > 2:
        raise ConfigError(f"this model was trained by {name}, which has one step; give steps 1")
    if method.one_step and sampling.strength != 1:
        raise ConfigError(f"this model was trained by {name}, which knows full degradation alone; leave strength at 1")
    if method.draws and sampling.sampler != DEFAULT_SAMPLER:
        raise ConfigError(f"this model was trained by {name}, which draws in each call; use {DEFAULT_SAMPLER}")
    if sampling.samples is not None and sampling.samples > 1:
        _check_samples_differ(sampling, method, scaled_times(times, sampling.strength))


def _check_samples_differ(sampling: Sampling, method: Method, times: list[float]) -> None:
    if sampling.realism == 0:
        raise ConfigError("at realism 0 samples would all be equal; leave one of the two out")
    if not sampling.realism and not method.path_of(times).draws(times):
        advice = "take more steps" if method.path.draws(times) else "leave out samples"
        raise ConfigError(f"this sampling draws no noise, so samples would all be equal; {advice}")
