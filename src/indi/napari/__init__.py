"""A plugin of napari: restore image layers, and train on pairs of them, without a command line.

What it does stands in layers.py, which needs neither napari nor Qt; widgets.py lays it out. napari finds the two
functions here by napari.yaml.
"""

from typing import Any

from indi.errors import MissingExtraError


def restore_widget() -> Any:
    """Return the widget that restores an image layer.

    Raises:
        MissingExtraError: napari cannot be imported.
    """
    return _widgets().RestoreWidget()


def train_widget() -> Any:
    """Return the widget that trains on two image layers.

    Raises:
        MissingExtraError: napari cannot be imported.
    """
    return _widgets().TrainWidget()


def _widgets() -> Any:
    try:
        from indi.napari import widgets
    except ImportError as error:
        raise MissingExtraError(f"the widgets need napari and Qt ({error}); run pip install 'indi[napari]'") from error
    return widgets
