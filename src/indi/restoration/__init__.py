"""Restoring: arrays, files, stacks and clusters."""

from indi.restoration.restorer import Restorer, load

__all__ = ["Restorer", "load"]
