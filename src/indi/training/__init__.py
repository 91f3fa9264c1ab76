"""Training a restorer."""

from indi.training.run import Record, train

__all__ = ["Record", "train"]
