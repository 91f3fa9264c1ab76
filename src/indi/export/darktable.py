"""A model as a package of darktable, for its module neural restore (darktable 5.6 and later).

darktable hands a model of the task ``denoise`` a tile (1, 3, height, width) of red, green and blue in float32, encoded
as sRGB in [0, 1], and takes a tile of that size back. Tiles are squares of 256 to 2048 px that overlap by 64 px on each
side, and what is kept of them begins at multiples of their side less 128 px. So a network fits that sees at most 64 px
around a pixel: its tiles then agree exactly. Beyond the image's edge a tile shows the image mirrored, where indi's
network sees that the image ends: within 64 px of it results differ a little.

Enlarging (the task ``upscale``) overlaps by 16 px only and changes the size, which no model of indi does; raw denoise
has inputs of its own. Neither is written.

A package is a folder named as the model's id, or that folder in a ZIP archive ID.dtmodel: model.onnx, whose free axes
are named height and width, and config.json.

Sources, read on 28 November 2026:
    darktable: dev-doc/AI_Tasks.md, "Denoise"; src/common/ai/restore.c, the overlap and the sides of tiles;
        src/common/ai/restore_rgb.c, colours and mirroring. https://github.com/darktable-org/darktable
    the package: docs/dtmodel-format.md and docs/model-yaml-spec.md of
        https://github.com/andriiryzhkov/darktable-ai-sdk
"""

import json
import re
from pathlib import Path
from typing import Any

import torch

from indi.errors import ConfigError
from indi.export.one_call import OneCall, halo_of
from indi.export.onnx import check_extra, write
from indi.export.package import package
from indi.models.checkpoint import CARD_FILE, Model, write_text
from indi.models.pretrained import about_weights

SUFFIX = ".dtmodel"
_OVERLAP = 64  # of tiles, on each side, in pixels
_CONFIG, _ONNX = "config.json", "model.onnx"
_FILES = frozenset({_CONFIG, _ONNX, CARD_FILE})  # the last is indi's own; darktable passes over it


def export(model: Model, path: Path) -> None:
    """Write a model as a package, a folder or an archive ID.dtmodel; whole or not at all.

    Args:
        model: The model.
        path: The folder, or the archive; its name is the model's id in darktable.

    Raises:
        ConfigError: The name is no id; or the model restores in no single call, is not for colour, restores images that
            are enlarged already, or sees further than tiles overlap; or something else lies at ``path``.
        IndiError: It cannot be written.
        MissingExtraError: onnx or onnxscript cannot be imported.
    """
    check_extra()
    name = path.stem if path.suffix.lower() == SUFFIX else path.name
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
        advice = "use lowercase letters, digits and hyphens, such as denoise-mine"
        raise ConfigError(f"{path}: darktable takes the name as the id of the model; {advice}")
    _check_fit(model)
    with package(path, SUFFIX, marks=_FILES, files=_FILES, inside=name) as folder:
        small = torch.rand(2, model.card.channels, 45, 53)  # of an odd size, and more than one: onnx.py
        module = OneCall(model, model.card.normalisation)
        write(module, folder / _ONNX, {"input": small}, output="output")
        write_text(folder / _CONFIG, json.dumps(_config(model, name), indent=4, ensure_ascii=False) + "\n")
        write_text(folder / CARD_FILE, model.card.model_dump_json(indent=2) + "\n")


def _check_fit(model: Model) -> None:
    card, halo, stride = model.card, halo_of(model), model.network.stride
    if card.channels != 3 or card.colour is False:
        raise ConfigError(
            f"{card.name}: darktable restores red, green and blue, which this model does not; use --to onnx"
        )
    if card.task == "super-resolve-4x":
        raise ConfigError(
            f"{card.name}: restores images that are enlarged already, which darktable has not; use --to onnx"
        )
    if halo > _OVERLAP or _OVERLAP % stride:
        raise ConfigError(
            f"{card.name}: its network sees {halo} px around a pixel, and darktable's tiles overlap by {_OVERLAP} px, "
            "so seams would show; train a model with --size tiny, or use --to onnx"
        )


def _config(model: Model, name: str) -> dict[str, Any]:
    """Return what darktable knows of a model before it opens the graph, and shows of it."""
    card, known = model.card, about_weights(model) or {}
    purpose = known.get("purpose", f"Restores images by InDI ({card.task or 'learned from pairs'})")
    shown = {
        "long_description": known.get("limits", purpose),
        "scope": "image restoration in one call",
        "author": "The indi authors" if known else None,
        "paper": "https://arxiv.org/abs/2303.11435",
        "license": card.licence,
        "training_data": known.get("data"),
        "notes": f"exported by indi {card.version}",
    }
    return {
        "id": name,
        "name": name.replace("-", " "),
        "description": purpose,
        "task": "denoise",
        "version": "1.0",
        "arch": card.network.name,
        "backend": "onnx",
        "tiling": True,
        "num_inputs": 1,
        "model_card": {key: value for key, value in shown.items() if value is not None},
    }
