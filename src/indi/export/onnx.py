"""A model as one ONNX file, for onnxruntime, OpenVINO and whatever else reads ONNX.

The graph is the estimate of the clean image, in float32: clean = F(state, t), or F(state, degraded, t) of a model that
sees the degraded image too. One that draws (method distributional) has two inputs more, F(state, noise, realism, t):
standard normal noise of the image's shape, and a realism for each image. One that sees planes of a stack has an input
``around``: theirs, before and after, in the channels. Height, width and batch are free. The loop
over times stays outside, a few lines in any language (docs/export.md); what it needs to know stands in the file's
metadata under ``indi``.
"""

import copy
import io
import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from indi.errors import ConfigError, MissingExtraError
from indi.io import atomic
from indi.models.checkpoint import Model
from indi.process.objectives import Draw

SUFFIX = ".onnx"
METADATA = "indi"
_NUMBERS = ("realism", "t")  # inputs with one number an image
_FREE = {0: "batch", 2: "height", 3: "width"}  # axes of images


class _Estimate(nn.Module):
    """The estimate of clean as one module: the network, and what it is added to or multiplied with."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.network = copy.deepcopy(model.network).float().cpu().eval()
        self.method = model.card.method.build()
        self.neighbours = model.card.neighbours

    @property
    def names(self) -> list[str]:
        """What ``forward`` takes, in its order."""
        images = ["state", *(["degraded"] if self.method.conditioned else [])]
        images += ["noise", "realism"] if self.method.draws else []
        return [*images, *(["around"] if self.neighbours else []), "t"]

    def forward(self, *inputs: Tensor) -> Tensor:
        named = dict(zip(self.names, inputs, strict=True))
        draw = Draw(named["noise"], named["realism"]) if self.method.draws else None
        state = named["state"]
        degraded = named.get("degraded", state)
        if self.neighbours:
            degraded = torch.cat([degraded, named["around"]], dim=1)
        return self.method.estimate(self.network, state, degraded, named["t"], draw)


def export(model: Model, path: str | Path) -> None:
    """Write a model as an ONNX file; whole or not at all.

    Args:
        model: The model.
        path: The file, NAME.onnx.

    Raises:
        ConfigError: The name has another suffix.
        ImageError: The file cannot be written.
        MissingExtraError: onnx or onnxscript cannot be imported.
    """
    path = Path(path)
    if path.suffix.lower() != SUFFIX:
        raise ConfigError(f"{path}: models are exported as ONNX; end the name in {SUFFIX}, or choose a package by --to")
    check_extra()
    estimate = _Estimate(model)
    # Two images of an odd size: one, or a multiple of the stride, would be taken for all there are. And a tensor for
    # each input: of the same one twice the exporter makes one.
    channels = model.card.channels
    images = (2, channels, 45, 53)
    shapes = {name: (2,) if name in _NUMBERS else images for name in estimate.names}
    if estimate.neighbours:
        shapes["around"] = (2, 2 * estimate.neighbours * channels, 45, 53)
    examples = {name: torch.rand(shape) for name, shape in shapes.items()}
    write(estimate, path, examples, output="clean", metadata=json.dumps(about(model)))


def write(module: nn.Module, path: Path, examples: Mapping[str, Tensor], *, output: str, metadata: str = "") -> int:
    """Write a module as an ONNX file of free sizes, whole or not at all; return the version of its operators.

    Args:
        module: Of one output.
        path: The file.
        examples: An example of each input by its name, in the order of the module: images (B, C, H, W), or a number an
            image, (B,). Batch, height and width are free, and named so.
        output: The name of the output.
        metadata: What is to stand in the file under ``indi``, if anything.

    Raises:
        ImageError: The file cannot be written.
    """
    with quiet():
        program: Any = torch.onnx.export(
            module,
            tuple(examples.values()),
            input_names=list(examples),
            output_names=[output],
            dynamic_shapes=(tuple(_FREE if example.ndim > 1 else {0: _FREE[0]} for example in examples.values()),),
            dynamo=True,
            verbose=False,
        )
        if metadata:
            program.model.metadata_props[METADATA] = metadata
        with atomic(path) as temporary:
            program.save(temporary, external_data=False)
    return int(program.model.opset_imports[""])


def about(model: Model) -> dict[str, Any]:
    """Return what whoever samples with the exported file needs to know.

    ``halo`` and ``stride`` are of the network: pixels that a tile must see around it, and what its corner must be a
    multiple of; a null halo means that the network looks at the whole image. With ``normalisation`` intensities go in
    as (degraded - offset) / scale and come out by the scale and offset of clean. ``draws`` says whether it takes noise
    and a realism; its steps have no other noise. ``licence`` is that of the weights, where they have terms of their
    own.
    """
    card = model.card
    return {
        "name": card.name,
        "task": card.task,
        "channels": card.channels,
        "method": card.method.name,
        "epsilon": card.method.epsilon,
        "noise": card.method.noise,
        "conditioned": card.method.build().conditioned,
        "draws": card.method.build().draws,
        "halo": model.network.halo,
        "stride": model.network.stride,
        "neighbours": card.neighbours,
        "neighbours_axis": card.neighbours_axis,
        "normalisation": None if card.normalisation is None else card.normalisation.model_dump(mode="json"),
        "licence": card.licence,
    }


def check_extra() -> None:
    """Raise MissingExtraError where onnx or onnxscript cannot be imported."""
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(f"exporting needs {error.name}; install indi[export]") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Keep to ourselves what the exporter says of torchvision, deprecations and its progress."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
