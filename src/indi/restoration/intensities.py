"""Whether the intensities of an image are those that a model can have been trained on, and how that is said."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
from torch import Tensor

from indi.models.checkpoint import Card

log = logging.getLogger("indi")

DIM = 0.125  # of the range of 16 bit: 12-bit counts lie below a sixteenth
_LEAST_MEAN, _MOST_MEAN = -1.0, 2.0  # of an image on the network's scale
_LEAST_SPREAD = 2.5e-4  # there, where a deviation of 0.25 is usual

_subject: ContextVar[str] = ContextVar("subject", default="")


@contextmanager
def subject(name: str) -> Iterator[None]:
    """Name in warnings what is restored within the block, such as a file: each gets its own."""
    before = _subject.set(name)
    try:
        yield
    finally:
        _subject.reset(before)


def warn_of_intensities(degraded: Tensor, dtype: np.dtype[np.generic], card: Card, warned: set[str]) -> None:
    """Say once of each subject where intensities are far from any that the model can have been trained on.

    Args:
        degraded: (1, C, H, W), on the network's scale.
        dtype: The type of the image's pixels.
        card: Of the model.
        warned: Subjects that something was said of; this one joins them.
    """
    what = _subject.get()
    problem = None if what in warned else _problem(degraded, dtype, card)
    if problem is not None:
        warned.add(what)
        log.warning("warning: %s%s", f"{what}: " if what else "", problem)


def _problem(degraded: Tensor, dtype: np.dtype[np.generic], card: Card) -> str | None:
    mean = degraded.mean().item()
    made_of_photographs = card.task is not None and card.normalisation is None
    if made_of_photographs and dtype == np.uint16 and degraded.max() < DIM:
        return (
            f"this 16-bit image uses less than {100 * DIM} % of its range, and the model was trained on "
            "photographs that span it: scale the intensities up first"
        )
    if not _LEAST_MEAN < mean < _MOST_MEAN:
        return (
            f"the intensities are far from those of training: their mean is {mean:.3g} where 0 to 1 is meant; "
            "give the type and the scale that the model was trained on"
        )
    if card.normalisation is not None and 0 < degraded.std().item() < _LEAST_SPREAD:
        return (
            "the intensities are far from those of training: they spread over a thousandth of what is meant; give "
            "the type and the scale that the model was trained on"
        )
    return None
