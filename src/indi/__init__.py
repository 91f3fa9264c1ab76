"""Restore images by Inversion by Direct Iteration (InDI).

restorer = indi.load("jpeg")  # a pretrained model, or a run folder
restored = restorer.restore(image, steps=10)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

import indi.interrupts  # noqa: F401 - first, as the others take seconds
from indi.errors import IndiError
from indi.version import __version__

if TYPE_CHECKING:
    from indi.data import enlarge
    from indi.evaluation.calibrate import calibrate
    from indi.evaluation.compare import Comparison, compare
    from indi.evaluation.evaluate import evaluate
    from indi.process.sampling import Sampling
    from indi.restoration import Restorer, load
    from indi.training import Record, train

__all__ = [
    "Comparison",
    "IndiError",
    "Record",
    "Restorer",
    "Sampling",
    "__version__",
    "calibrate",
    "compare",
    "enlarge",
    "evaluate",
    "load",
    "train",
]

# Imported when first asked for (PEP 562): they take torch with them, which help and errors of usage have no time for.
_HOMES = {
    "Comparison": "indi.evaluation.compare",
    "Record": "indi.training",
    "Restorer": "indi.restoration",
    "Sampling": "indi.process.sampling",
    "calibrate": "indi.evaluation.calibrate",
    "compare": "indi.evaluation.compare",
    "enlarge": "indi.data",
    "evaluate": "indi.evaluation.evaluate",
    "load": "indi.restoration",
    "train": "indi.training",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'indi' has no attribute {name!r}")
    globals()[name] = value = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
