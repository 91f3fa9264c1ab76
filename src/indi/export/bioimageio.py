"""A model as a package of the BioImage Model Zoo: for deepImageJ, ilastik, napari and whatever else reads those.

One call of the model (one_call.py) as ONNX and as TorchScript, with a description of format 0.5 that bioimageio.spec
writes and checks. The package carries indi's own model file too, so ``indi.load`` reads it as it was.

Sizes are min + n step with the network's stride as step, and the halo is the network's: blocks of bioimageio.core then
lie on the network's grid, and fit together exactly. At the image's edge that program sees the image mirrored, where
indi's network sees that the image ends: within a halo of it results differ a little.

Source: the BioImage Model Zoo's specification, https://bioimage-io.github.io/spec-bioimage-io/, as bioimageio.spec
0.5.12 has it.
"""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from indi.data.normalization import Scale
from indi.errors import ConfigError, MissingExtraError
from indi.export.example import degraded_example
from indi.export.one_call import OneCall, halo_of
from indi.export.onnx import check_extra, write
from indi.export.package import package
from indi.io import Image, from_unit
from indi.io import write as write_image
from indi.models.checkpoint import CARD_FILE, MODEL_FILE, Card, Model, save_model, write_text
from indi.models.hub import LICENCE_FILE, README_FILE, described
from indi.models.pretrained import FREE, about_weights
from indi.process import DEFAULT_STEPS

SUFFIX = ".zip"
_ONNX, _TORCHSCRIPT, _COVER = "model.onnx", "model.torchscript.pt", "cover.png"
_INPUT, _OUTPUT = "test_input.npy", "test_output.npy"
_DESCRIPTION = "rdf.yaml"  # as bioimageio.spec names it
_MARKS = frozenset({_DESCRIPTION, _ONNX, _TORCHSCRIPT, _COVER, _INPUT, _OUTPUT, MODEL_FILE, CARD_FILE, README_FILE})
_BLOCKS = 8  # strides by which the example is larger than the smallest block
_TOLERANCE = 1e-4  # of what runtimes may differ by, as a share of the largest value

# Whose work a method is: methods.py, objectives.py.
_INDI = ("Delbracio and Milanfar, Inversion by Direct Iteration, TMLR 2023", "10.48550/arXiv.2303.11435")
_CITED = {
    "flow": [("Lipman et al., Flow Matching for Generative Modeling, ICLR 2023", "10.48550/arXiv.2210.02747")],
    "bridge": [("Li, Xue, Liu and Lai, BBDM, CVPR 2023", "10.48550/arXiv.2205.07680")],
    "distributional": [
        ("Gneiting and Raftery, Strictly Proper Scoring Rules, JASA 102, 2007", "10.1198/016214506000001437"),
        ("Shen and Meinshausen, Engression, JRSS B 2024", "10.48550/arXiv.2307.00835"),
        ("De Bortoli et al., Distributional Diffusion Models, ICML 2025", "10.48550/arXiv.2502.02483"),
    ],
}


def export(model: Model, path: Path) -> None:
    """Write a model as a package, a folder or an archive NAME.zip; whole or not at all.

    Args:
        model: The model.
        path: The folder, or the archive.

    Raises:
        ConfigError: The model restores in no single call, looks at the whole image or cannot be described; or something
            else lies at ``path``.
        IndiError: It cannot be written.
        MissingExtraError: bioimageio.spec, onnx or onnxscript cannot be imported.
    """
    spec = _spec()
    check_extra()
    halo = halo_of(model)
    smallest = 2 * halo + model.network.stride
    with package(path, SUFFIX, marks=_MARKS, files=_MARKS | {LICENCE_FILE}) as folder, torch.no_grad():
        degraded = degraded_example(model.card, model.card.channels, smallest + _BLOCKS * model.network.stride)
        restored = OneCall(model, model.card.normalisation)(degraded)
        np.save(folder / _INPUT, degraded.numpy())
        np.save(folder / _OUTPUT, restored.numpy())
        write_image(folder / _COVER, _cover(degraded, restored))
        save_model(model, folder)
        write_text(folder / README_FILE, _readme(model, halo))
        if model.card.licence not in (None, FREE):
            write_text(folder / LICENCE_FILE, f"{model.card.licence}\n")
        operators = _write_weights(model, folder, degraded)
        with _quiet(), spec.ValidationContext(root=folder, perform_io_checks=True, log_warnings=False):
            try:
                description = _described(model, folder, halo, smallest, operators, float(restored.abs().max()))
            except ValueError as error:
                message = " ".join(str(error).split())[:300]
                raise ConfigError(f"{model.card.name}: cannot be described for bioimageio: {message}") from error
            spec.save_bioimageio_package_as_folder(description, output_path=folder)


def _write_weights(model: Model, folder: Path, example: Tensor) -> int:
    """Write one call as ONNX and TorchScript, for intensities as the network has them; return the ONNX operators."""
    module = OneCall(model)
    small = torch.rand(2, model.card.channels, 45, 53)  # as onnx.py has it: of an odd size, and more than one
    operators = write(module, folder / _ONNX, {"input": small}, output="output")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated, and is what the format asks for
        traced: Any = torch.jit.trace(module, small, check_trace=False)  # type: ignore[no-untyped-call]
        if not torch.allclose(traced(example), module(example), atol=1e-4):
            raise ConfigError(f"{model.card.name}: its network cannot be traced for other sizes; use --to onnx")
        traced.save(str(folder / _TORCHSCRIPT))
    return operators


def _described(model: Model, folder: Path, halo: int, smallest: int, operators: int, largest: float) -> Any:
    """Return the description, checked."""
    from bioimageio.spec.common import FileDescr
    from bioimageio.spec.model import v0_5 as spec

    card, known = model.card, about_weights(model)
    scales = card.normalisation
    names = _channel_names(card, model.card.channels)
    sides = [spec.AxisId("y"), spec.AxisId("x")]
    size = spec.ParameterizedSize(min=smallest, step=model.network.stride)
    range_ = (0.0, 1.0) if scales is None else (None, None)
    degraded = spec.InputTensorDescr(
        id=spec.TensorId("input"),
        description="degraded image; pixels of an integer type are divided by its largest value (255, 65535)",
        axes=[
            spec.BatchAxis(),
            spec.ChannelAxis(channel_names=names),
            *(spec.SpaceInputAxis(id=side, size=size, concatenable=True) for side in sides),
        ],
        test_tensor=FileDescr(source=folder / _INPUT),
        data=spec.IntervalOrRatioDataDescr(type="float32", range=range_),
        preprocessing=[] if scales is None else [_linear(spec, *_applied(scales.degraded))],
    )
    restored = spec.OutputTensorDescr(
        id=spec.TensorId("output"),
        description="restored image, in the intensities of the degraded one",
        axes=[
            spec.BatchAxis(),
            spec.ChannelAxis(channel_names=_channel_names(card, card.channels)),
            *(
                spec.SpaceOutputAxisWithHalo(
                    id=side, size=spec.SizeReference(tensor_id=degraded.id, axis_id=side), halo=halo
                )
                for side in sides
            ),
        ],
        test_tensor=FileDescr(source=folder / _OUTPUT),
        data=spec.IntervalOrRatioDataDescr(type="float32"),
        postprocessing=[] if scales is None else [_linear(spec, scales.clean.scale, scales.clean.offset)],
    )
    cited = [_INDI, *_CITED.get(card.method.name, [])]
    licence = FileDescr(source=folder / LICENCE_FILE) if (folder / LICENCE_FILE).exists() else card.licence
    origin = f"exported by indi {card.version} from {MODEL_FILE}"
    return spec.ModelDescr(
        name=f"indi {re.sub(r'[^A-Za-z0-9_+() -]', '-', card.name)}"[:64],
        description=str(
            (known or {}).get("purpose", f"Restores images by InDI ({card.task or 'learned from pairs'}).")
        ),
        authors=[] if known is None else [spec.Author(name="The indi authors")],
        cite=[spec.CiteEntry(text=text, doi=spec.Doi(doi)) for text, doi in cited],
        license=licence,
        tags=_tags(card),
        documentation=FileDescr(source=folder / README_FILE),
        covers=[FileDescr(source=folder / _COVER)],
        attachments=[FileDescr(source=folder / name) for name in (MODEL_FILE, CARD_FILE)],
        inputs=[degraded],
        outputs=[restored],
        weights=spec.WeightsDescr(
            torchscript=spec.TorchscriptWeightsDescr(
                source=folder / _TORCHSCRIPT,
                pytorch_version=spec.Version(torch.__version__.partition("+")[0]),
                comment=origin,
            ),
            onnx=spec.OnnxWeightsDescr(
                source=folder / _ONNX, opset_version=operators, parent="torchscript", comment=origin
            ),
        ),
        config=spec.Config(
            bioimageio=spec.BioimageioConfig(
                architecture_type="U-Net" if card.network.name == "unet" else card.network.name,
                task=card.task,
                out_of_scope_use=(known or {}).get("not_for"),
                model_parameter_count=sum(weight.numel() for weight in model.network.parameters()),
                reproducibility_tolerance=[spec.ReproducibilityTolerance(absolute_tolerance=_TOLERANCE * largest)],
            )
        ),
    )


def _applied(scale: Scale) -> tuple[list[float], list[float]]:
    """Return gain and offset of (x - offset) / scale."""
    gain = [1 / each for each in scale.scale]
    return gain, [-offset * each for offset, each in zip(scale.offset, gain, strict=True)]


def _linear(spec: Any, gain: Any, offset: Any) -> Any:
    """Return x gain + offset, a value of each a channel, as a step of processing."""
    kwargs = spec.ScaleLinearAlongAxisKwargs(axis=spec.AxisId("channel"), gain=list(gain), offset=list(offset))
    return spec.ScaleLinearDescr(kwargs=kwargs)


def _channel_names(card: Card, channels: int) -> list[str]:
    if channels == 3 and card.apart:
        return ["red", "green", "blue"]
    return ["intensity"] if channels == 1 else [f"channel{number}" for number in range(channels)]


def _tags(card: Card) -> list[str]:
    """Return tags, those among them that the zoo sorts models by."""
    tags = ["2d", "pytorch", "image-restoration", "indi"]
    tags += ["unet"] if card.network.name == "unet" else []
    tags += ["denoising"] if (card.task or "").startswith("denoise") else []
    return [*tags, *([card.task] if card.task else [])]


def _cover(degraded: Tensor, restored: Tensor) -> Image:
    """Return the example as it was and restored, side by side, from the least to the largest intensity."""
    pair = torch.cat([degraded, restored], dim=3)[0, :3]
    pair = pair if len(pair) == 3 else pair[:1]
    pixels = from_unit(((pair - pair.min()) / (pair.max() - pair.min())).movedim(0, -1).numpy(), np.uint8)
    return Image(pixels if pixels.shape[-1] == 3 else pixels[..., 0])


def _readme(model: Model, halo: int) -> str:
    """Return the documentation: what is known of the model, and what whoever runs the package needs to know."""
    known = about_weights(model)
    steps = (known or {}).get("steps", 1 if model.card.method.build().one_step else DEFAULT_STEPS)
    more = [*_in_the_package(model.card, halo), _VALIDATION]
    return described(model, "PACKAGE", steps=steps, about=known, more=more)


def _in_the_package(card: Card, halo: int) -> Iterator[str]:
    yield "## In this package"
    if card.method.build().draws:
        yield (
            "One call at realism 0: the restoration of least error. Draws need noise that is a function of the seed "
            "and of the place in the whole image, which a program that shows the network one block at a time cannot "
            "give it; indi draws, from this package too."
        )
    else:
        yield (
            "One step from t = 1, the restoration of least error, without noise at its start; indi reads this package "
            "too."
        )
    yield (
        "Intensities are float32. Pixels of an integer type have to be divided by its largest value first (255 of 8 "
        "bit, 65535 of 16 bit), and restored ones multiplied by it; float images go in as they are"
        f"{', in [0, 1]' if card.normalisation is None else ''}. "
        f"{'' if card.normalisation is None else 'The normalisation measured in training is in the description. '}"
        f"An output pixel sees {halo} px of its surroundings, the halo of the description."
    )
    if card.task == "super-resolve-4x":
        yield "The image has to be enlarged 4 times by bicubic first: the size does not change here."


_VALIDATION = """## Validation

`bioimageio test PACKAGE` restores test_input.npy by both formats of weights and compares with test_output.npy. On
images of yours with a clean counterpart, `indi evaluate --model PACKAGE --clean CLEAN --degraded DEGRADED` measures
PSNR, SSIM and more."""


def _spec() -> Any:
    try:
        import bioimageio.spec
    except ImportError as error:
        message = "packages for bioimageio need bioimageio.spec; install indi[bioimageio]"
        raise MissingExtraError(message) from error
    return bioimageio.spec


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep to ourselves what bioimageio.spec logs and warns of: hints for who fills in a description by hand."""
    from loguru import logger

    logger.disable("bioimageio.spec")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.enable("bioimageio.spec")
