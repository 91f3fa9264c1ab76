"""The mathematics: path, objectives, methods, samplers and noise."""

from typing import Literal

Noise = Literal["constant", "brownian"]  # the schedule eps(t) of path.py; here, as its name needs no torch
