"""The mathematics: path, objectives, methods, samplers and noise."""

from typing import Literal

Noise = Literal["constant", "brownian"]  # the schedule eps(t) of path.py; here, as its name needs no torch

DEFAULT_STEPS, DEFAULT_SAMPLER = 10, "euler"
DEFAULT_REALISM = 0.6  # of a model that draws, where a single image is asked for
