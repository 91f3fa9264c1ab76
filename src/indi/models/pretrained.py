"""The models that come with the package: which there are, where they lie, which one a file asks for.

A model is NAME.safetensors; what its data were, how it was trained and what was measured stand in NAME.json beside it.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from indi.errors import ConfigError, ImageError, IndiError, MissingExtraError, ModelError
from indi.io import Header, read_headers
from indi.models.checkpoint import MODEL_FILE, Card, Model, read_card
from indi.models.hub import fetch, is_on_hub
from indi.process import DEFAULT_REALISM

WEIGHTS = Path(__file__).parent / "weights"
FREE = "MIT"  # the terms of weights that may be used for anything, as an SPDX expression


def pretrained_names() -> list[str]:
    """Return the names of the pretrained models, sorted: weights that nothing is said of are none."""
    return sorted(file.stem for file in WEIGHTS.glob("*.safetensors") if file.with_suffix(".json").exists())


def pretrained_file(name: str) -> Path:
    """Return where the pretrained model of a name lies."""
    return WEIGHTS / f"{name}.safetensors"


def find_model(model: str | Path) -> Path:
    """Return where a model lies: a pretrained one by its name, one of the hub fetched, any other by its path.

    A ``Path`` is never a name, and nor is ``./NAME``.

    Raises:
        ModelError: The name of a pretrained model is that of a run or a file here too; or as ``hub.fetch``.
        MissingExtraError: As ``hub.fetch``.
    """
    if is_on_hub(model):
        return fetch(str(model))
    path = Path(model)
    if isinstance(model, Path) or model not in pretrained_names():
        return path
    if path.is_file() or (path / MODEL_FILE).exists():
        advice = f"give ./{model} for the one here, or rename that for the other"
        raise ModelError(f"{model}: names a pretrained model and one in this folder; {advice}")
    return pretrained_file(model)


def existing_model(model: str | Path) -> Path:
    """Return where a model lies, as ``find_model``.

    Raises:
        ModelError: Nothing lies there; the message says where a model can come from.
        MissingExtraError: As ``hub.fetch``.
    """
    path = find_model(model)
    if not path.exists():
        raise ModelError(f"{model}: no such run folder or model file; {advice()}")
    return path


def advice() -> str:
    """Return in words where a model can come from."""
    names = ", ".join(pretrained_names())
    return f"train one with indi train{f', or name one that comes with indi: {names}' if names else ''}"


def pretrained_models() -> list[dict[str, Any]]:
    """Return what is known of each pretrained model, by name: its card in short, and all that NAME.json says.

    Raises:
        ModelError: One is damaged.
    """
    return [_known(read_card(pretrained_file(name)), name) for name in pretrained_names()]


def best_steps(model: str | Path) -> int | None:
    """Return the steps that a pretrained model is at its best with, None where nothing is said of them."""
    return _said(str(model)).get("steps") if str(model) in pretrained_names() else None


def best_realism(model: str | Path) -> float:
    """Return the realism that a pretrained model is best with, or that of all models where none is known."""
    known = _said(str(model)) if str(model) in pretrained_names() else {}
    return float(known.get("best_realism", DEFAULT_REALISM))


def usual_way(about: Mapping[str, Any]) -> dict[str, Any]:
    """Return how a pretrained model restores by default, as its figures name it: steps, and its realism."""
    realism = {} if about.get("realism") is None else {"realism": about.get("best_realism", DEFAULT_REALISM)}
    return {"steps": about["steps"], **realism}


def about_weights(model: Model) -> dict[str, Any] | None:
    """Return what is known of a model if it is a pretrained one, told by its name and its weights."""
    name = model.card.name
    if name not in pretrained_names() or _said(name)["fingerprint"] != model.fingerprint():
        return None  # a run may be called so too
    return _known(model.card, name)


def _known(card: Card, name: str) -> dict[str, Any]:
    short: dict[str, Any] = {"task": card.task, "channels": card.channels, "size": card.network.size}
    dial = [0, 1] if card.method.build().draws else None
    short |= {"realism": dial, "licence": card.licence, "license": card.licence}
    return {"name": name, **short, **_said(name)}


def _said(name: str) -> dict[str, Any]:
    """Return what NAME.json says."""
    said: dict[str, Any] = json.loads((WEIGHTS / f"{name}.json").read_text(encoding="utf-8"))
    return said


def fitting_model(files: Sequence[Path], *, enlarged: int = 1) -> tuple[str, str]:
    """Return the pretrained model for files of which no more is known than what they are, and why it is this one.

    super-resolve-4x where they are to be enlarged so many times; photo where all are of 8 bit, gray or in colour. Files
    that cannot be read have no say, unless there are no others.

    Raises:
        ConfigError: Nothing says what is wrong with them; the message names the choices.
        ImageError: None can be read.
    """
    names, says = pretrained_names(), "say with --model which restorer fits these images"
    headers, errors = _headers(files)
    if errors and not headers:
        raise errors[0]
    if enlarged == 4 and "super-resolve-4x" in names:
        return "super-resolve-4x", "since these are to be enlarged 4 times"
    if enlarged == 1 and "photo" in names:
        others = [file for file, header in headers if header.dtype != np.uint8 or header.channels not in (1, 3)]
        if headers and not others:
            return "photo", "for photographs of 8 bit: noise, JPEG, a little blur"
        if others:
            says = f"{others[0]}: not gray or colour of 8 bit, which photo restores; give --model"
    raise ConfigError(f"{says}: {advice()}")


def _headers(files: Sequence[Path]) -> tuple[list[tuple[Path, Header]], list[IndiError]]:
    """Return the headers of each file that can be read, with it, and why the others cannot be."""
    headers: list[tuple[Path, Header]] = []
    errors: list[IndiError] = []
    for file in files:
        try:
            headers += [(file, header) for header in read_headers(file)]
        except (ImageError, MissingExtraError) as error:
            errors.append(error)
    return headers, errors
