from typing import Any

import numpy as np
import pytest

from indi.errors import ConfigError
from indi.process.path import geometric_times
from indi.process.sampling import Sampling


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"steps": 0}, "steps is 0; give 1 or more"),
        ({"steps": 2.5}, "steps is 2.5; give a whole number"),
        ({"steps": True}, "steps is True; give a whole number"),
        ({"samples": "4"}, "samples is '4'; give a whole number"),
        ({"seed": -1}, "seed is -1; give 0 or more"),
        ({"seed": None}, "seed is None; give a whole number"),
        ({"sampler": "rk4"}, "unknown sampler 'rk4'; there are euler, heun, multistep"),
        ({"times": "linear"}, "unknown times 'linear'"),
        ({"times": ["a", 0]}, "times is .*; give a name, or numbers from 1 down to 0"),
        ({"times": 3}, "times is 3; give a name, or numbers"),
        ({"times": [1.0, 0.5]}, "end at 0"),
        ({"times": [1.0, 0.5, 0.0], "steps": 10}, "steps is 10, and times make 2; give one of the two"),
        ({"strength": "0.5"}, "strength is '0.5'; give a number"),
        ({"strength": 0}, "strength is 0"),
        ({"realism": True}, "realism is True"),
        ({"realism": 1.5}, "realism is 1.5"),
    ],
)
def test_what_is_invalid_is_refused_where_it_is_made(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Sampling(**options)
    with pytest.raises(ConfigError, match=words):
        Sampling().with_options(**options)


def test_an_unknown_option_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"unknown option 'step'; known are steps, .*did you mean steps"):
        Sampling().with_options(step=3)


def test_numbers_of_numpy_are_numbers() -> None:
    sampling = Sampling(steps=np.int64(3), samples=np.uint8(2), realism=np.float32(0.5))  # type: ignore[arg-type]
    assert sampling == Sampling(steps=3, samples=2, realism=0.5)
    assert hash(sampling) == hash(Sampling(steps=3, samples=2, realism=0.5))


def test_listed_times_decide_the_steps() -> None:
    sampling = Sampling(times=[1, 0.5, 0.2, 0])
    assert sampling.steps == 3
    assert sampling.grid() == [1.0, 0.5, 0.2, 0.0]
    assert sampling.settings()["times"] == [1.0, 0.5, 0.2, 0.0]
    assert sampling == Sampling(times=(1.0, 0.5, 0.2, 0.0), steps=3)


def test_a_grid_by_name_has_the_steps() -> None:
    assert Sampling(times="geometric", steps=4).grid() == geometric_times(4)


def test_settings_hold_a_realism_only_where_there_is_one() -> None:
    assert "realism" not in Sampling(steps=1).settings()
    assert Sampling(steps=1, realism=0).settings()["realism"] == 0
