"""Restore images by Inversion by Direct Iteration (InDI).

restorer = indi.load("jpeg")  # a shipped model, or a run folder
restored = restorer.restore(image, steps=10)
"""

import indi.interrupts  # noqa: F401  # isort: skip - first, as the others take seconds
from indi.data import enlarge
from indi.errors import IndiError
from indi.evaluation.calibrate import calibrate
from indi.evaluation.compare import Comparison, compare
from indi.evaluation.evaluate import evaluate
from indi.restoration import Restorer, load
from indi.training import Record, train
from indi.version import __version__

__all__ = [
    "Comparison",
    "IndiError",
    "Record",
    "Restorer",
    "__version__",
    "calibrate",
    "compare",
    "enlarge",
    "evaluate",
    "load",
    "train",
]
