"""Models on the Hugging Face hub: fetched by name, pushed with a card. Nothing here runs unless it is asked for.

A model on the hub is a folder as a run leaves it, model.safetensors and model.json, with config.json (the same card,
under the name the hub counts downloads by) and README.md.

Source: Hugging Face, "Model Cards" and "Integrate a library with the Hub".
"""

import json
from pathlib import Path
from typing import Any

from indi.checkpoint import CARD_FILE, MODEL_FILE, Model, save_model, write_text
from indi.errors import MissingExtraError, ModelError
from indi.uncertainty import CALIBRATION_FILE

PREFIX = "hf:"
CONFIG_FILE, README_FILE = "config.json", "README.md"
_FILES = [MODEL_FILE, CARD_FILE, CONFIG_FILE, CALIBRATION_FILE]


def is_on_hub(model: str | Path) -> bool:
    """Return whether a model is named as one of the hub: hf:USER/NAME, or hf:USER/NAME@REVISION."""
    return isinstance(model, str) and model.startswith(PREFIX)


def fetch(model: str) -> Path:
    """Return the folder of a model of the hub, fetched where it is not in the cache.

    Raises:
        ModelError: There is no such model, or the hub cannot be reached.
        MissingExtraError: huggingface_hub cannot be imported.
    """
    hub = _hub()
    name, _, revision = model.removeprefix(PREFIX).partition("@")
    try:
        folder = hub.snapshot_download(name, revision=revision or None, allow_patterns=_FILES, library_name="indi")
    except (OSError, ValueError) as error:  # what the hub's errors derive from
        raise ModelError(f"{model}: cannot be fetched ({_line(error)}); check the name and the network") from error
    return Path(folder)


def save_pretrained(model: Model, folder: str | Path) -> None:
    """Write a model as the hub wants it: weights, config.json and a README with what is known of it.

    Raises:
        ImageError: The folder cannot be written.
    """
    folder = Path(folder)
    save_model(model, folder)
    write_text(folder / CONFIG_FILE, model.card.model_dump_json(indent=2) + "\n")
    write_text(folder / README_FILE, readme(model))


def push(folder: Path, name: str, *, private: bool) -> str:
    """Put a folder that ``save_pretrained`` wrote on the hub, under the account that is logged in; return its address.

    Args:
        folder: The folder.
        name: USER/NAME.
        private: Whether only its owner sees it, where it is new.

    Raises:
        ModelError: The hub refuses, or cannot be reached.
        MissingExtraError: huggingface_hub cannot be imported.
    """
    api = _hub().HfApi(library_name="indi")
    try:
        address = api.create_repo(name, private=private, exist_ok=True)
        api.upload_folder(repo_id=name, folder_path=folder, commit_message="A model of indi")
    except (OSError, ValueError) as error:
        raise ModelError(f"{name}: cannot be pushed ({_line(error)}); log in with hf auth login") from error
    return str(address)


def readme(model: Model) -> str:
    """Return the model card: what the hub reads, then what people do."""
    card = model.card
    tags = ["image-restoration", "indi", *([card.task] if card.task else [])]
    head = {"library_name": "indi", "pipeline_tag": "image-to-image", "tags": tags}
    rows = {
        "method": f"{card.method.name}, epsilon {card.method.epsilon:g}",
        "network": f"{card.network.name}, size {card.network.size}",
        "channels": card.channels,
        "task": card.task or "pairs",
        "trained on": f"{card.pairs} images, {card.iterations:,} iterations, {card.seconds / 60:.0f} minutes",
        "intensities": "normalised" if card.normalisation else "as the files have them",
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    lines = "\n".join(f"{name}: {json.dumps(value)}" for name, value in head.items())
    return f"""---
{lines}
---

# {card.name}

Restores images by InDI, Inversion by Direct Iteration (Delbracio and Milanfar, TMLR 2023, arXiv:2303.11435).

```
indi restore IMAGE --model hf:USER/NAME --steps 10
```

| | |
|---|---|
{table}

It learned from the images it was trained on. On others it may do harm, and at many steps it can add detail that is
likely, not known.
"""


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _hub() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise MissingExtraError("models of the hub need huggingface_hub; install indi[hub]") from error
    return huggingface_hub
