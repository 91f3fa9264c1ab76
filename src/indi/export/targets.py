"""What a model can be exported to: one row a target, one file each."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from indi.export import bioimageio, darktable, onnx
from indi.models.checkpoint import Model


@dataclass(frozen=True)
class Target:
    """One kind of file or package.

    Attributes:
        place: Where to write where no place is named.
        export: Writes a model there, whole or not at all.
    """

    place: Path
    export: Callable[[Model, Path], None]


TARGETS: dict[str, Target] = {  # add a target here, and its name in cli/options.py
    "onnx": Target(Path("model.onnx"), onnx.export),
    "bioimageio": Target(Path("model.zip"), bioimageio.export),
    "darktable": Target(Path("denoise-model.dtmodel"), darktable.export),
}
