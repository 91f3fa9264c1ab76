"""Restore images by Inversion by Direct Iteration (InDI).

restorer = indi.load("runs/mine")
restored = restorer.restore(image, steps=10)
"""

from indi.comparison import Comparison, compare
from indi.errors import IndiError
from indi.evaluation import evaluate
from indi.restoration import Restorer, load
from indi.training import Record, train
from indi.version import __version__

__all__ = ["Comparison", "IndiError", "Record", "Restorer", "__version__", "compare", "evaluate", "load", "train"]
