"""An example for packages to test themselves with: an image made here, so that anyone may pass it on."""

import numpy as np
import torch
from torch import Tensor

from indi.degradations import DEGRADATIONS, add_gaussian_noise
from indi.models.checkpoint import Card

_DISCS = 400
_SIGMA = 25 / 255  # of the noise, where the card names no task


def degraded_example(card: Card, channels: int, side: int) -> Tensor:
    """Return a degraded image of discs that hide each other, (1, channels, side, side), as files have intensities.

    Discs of radii r with a density of r^-3 have the edges and the spectrum of photographs. The card's task degrades
    them where it names one, else Gaussian noise does.

    Source: Lee, Mumford and Huang, "Occlusion models for natural images", IJCV 41, 2001.
    """
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[:side, :side]
    clean = np.full((channels, side, side), 0.5, np.float32)
    for _ in range(_DISCS):
        row, column = random.uniform(0, side, 2)
        radius = 3 / np.sqrt(random.uniform((12 / side) ** 2, 1))  # from 3 px to a quarter of the side
        clean[:, np.hypot(rows - row, columns - column) < radius] = random.uniform(0.1, 0.9, (channels, 1))
    task = DEGRADATIONS.get(card.task or "")
    generator = torch.Generator().manual_seed(0)
    image = torch.from_numpy(clean)
    degraded = add_gaussian_noise(image, generator, sigma=_SIGMA) if task is None else task.test(image, generator)
    return _in_files(card, degraded[None])


def _in_files(card: Card, unit: Tensor) -> Tensor:
    """Return intensities of [0, 1] as files of the model have them."""
    if card.normalisation is None:
        return unit
    # What became 0 and 1 are quantiles, or the mean and a deviation above it: most intensities lie 2 around that.
    return card.normalisation.degraded.undo(4 * unit - 2 if card.normalisation.kind == "deviation" else unit)
