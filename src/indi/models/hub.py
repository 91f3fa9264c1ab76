"""Models on the Hugging Face hub: fetched by name, pushed with a card. Nothing here runs unless it is asked for.

A model on the hub is a folder as a run leaves it, model.safetensors and model.json, with config.json (the same card,
under the name the hub counts downloads by) and README.md; LICENSE.md too where its weights have terms of their own.

Source: Hugging Face, "Model Cards", its specification modelcard.md, and "Integrate a library with the Hub".
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from indi.data.wording import count
from indi.errors import ConfigError, MissingExtraError, ModelError
from indi.metrics import METRICS
from indi.models.checkpoint import CALIBRATION_FILE, CARD_FILE, MODEL_FILE, Card, Model, save_model, write_text
from indi.process import DEFAULT_REALISM

PREFIX = "hf:"
CONFIG_FILE, README_FILE, LICENCE_FILE = "config.json", "README.md", "LICENSE.md"
_FILES = [MODEL_FILE, CARD_FILE, CONFIG_FILE, CALIBRATION_FILE]


def is_on_hub(model: str | Path) -> bool:
    """Return whether a model is named as one of the hub: hf:USER/NAME, or hf:USER/NAME@REVISION."""
    return isinstance(model, str) and model.startswith(PREFIX)


def fetch(model: str, *, revision: str | None = None, **options: Any) -> Path:
    """Return the folder of a model of the hub, fetched where it is not in the cache.

    Args:
        model: USER/NAME or USER/NAME@REVISION, hf: before it or not.
        revision: A branch, tag or commit, where the name has none.
        options: As huggingface_hub.snapshot_download, such as token, cache_dir, local_files_only.

    Raises:
        ConfigError: Two revisions are named.
        ModelError: There is no such model, or the hub cannot be reached.
        MissingExtraError: huggingface_hub cannot be imported.
    """
    hub = _hub()
    name, _, named = model.removeprefix(PREFIX).partition("@")
    if named and revision:
        raise ConfigError(f"{model}: revision is {revision} and the name has one too; give either")
    try:
        folder = hub.snapshot_download(
            name, revision=named or revision, allow_patterns=_FILES, library_name="indi", **options
        )
    except (OSError, ValueError) as error:  # what the hub's errors derive from
        raise ModelError(f"{model}: cannot be fetched ({_line(error)}); check the name and the network") from error
    return Path(folder)


def save_pretrained(
    model: Model,
    folder: str | Path,
    *,
    steps: int,
    name: str | None = None,
    about: Mapping[str, Any] | None = None,
    more: Sequence[str] = (),
) -> None:
    """Write a model as the hub wants it: weights, config.json and a README with what is known of it.

    Args:
        model: The model.
        folder: Where to.
        steps: That it is best with.
        name: USER/NAME on the hub, where it is known.
        about: What NAME.json says of a pretrained model (pretrained.py).
        more: Further paragraphs for its README.md.

    Raises:
        ImageError: The folder cannot be written.
    """
    folder = Path(folder)
    save_model(model, folder)
    write_text(folder / CONFIG_FILE, model.card.model_dump_json(indent=2) + "\n")
    write_text(folder / README_FILE, readme(model, steps=steps, name=name, about=about, more=more))
    if model.card.licence is not None:
        write_text(folder / LICENCE_FILE, model.card.licence + "\n")


def push(folder: Path, name: str, *, private: bool, token: str | None = None) -> str:
    """Put a folder that ``save_pretrained`` wrote on the hub; return its address.

    Args:
        folder: The folder.
        name: USER/NAME.
        private: Whether only its owner sees it, where it is new.
        token: Of the account; by default the one that is logged in.

    Raises:
        ModelError: The hub refuses, or cannot be reached.
        MissingExtraError: huggingface_hub cannot be imported.
    """
    api = _hub().HfApi(library_name="indi", token=token)
    try:
        address = api.create_repo(name, private=private, exist_ok=True)
        api.upload_folder(repo_id=name, folder_path=folder, commit_message="A model of indi")
    except Exception as error:  # of the hub or the library it speaks HTTP with, which is not always the same one
        raise ModelError(f"{name}: cannot be pushed ({_line(error)}); log in with hf auth login") from error
    return str(address)


def readme(
    model: Model,
    *,
    steps: int,
    name: str | None = None,
    about: Mapping[str, Any] | None = None,
    more: Sequence[str] = (),
) -> str:
    """Return the model card: what the hub reads, then what people do; arguments as ``save_pretrained``."""
    card = model.card
    tags = ["image-restoration", "indi", *([card.task] if card.task else [])]
    head = {"library_name": "indi", "pipeline_tag": "image-to-image", "tags": tags}
    head |= _terms(card) | _results(card.name, steps, about)
    lines = "\n".join(f"{name}: {json.dumps(value)}" for name, value in head.items())  # JSON is YAML
    place = PREFIX + name if name else "FOLDER"
    return f"---\n{lines}\n---\n\n{described(model, place, steps=steps, about=about, more=more)}"


def described(
    model: Model, place: str, *, steps: int, about: Mapping[str, Any] | None = None, more: Sequence[str] = ()
) -> str:
    """Return what people read of a model, as Markdown.

    Args:
        model: The model.
        place: What names it in a command.
        steps: As ``save_pretrained``.
        about: As ``save_pretrained``.
        more: As ``save_pretrained``.
    """
    card = model.card
    rows = {
        "method": card.method.name
        if card.method.build().draws
        else f"{card.method.name}, epsilon {card.method.epsilon:g}",
        "network": f"{card.network.name}, size {card.network.size}",
        "channels": card.channels,
        "task": card.task or "pairs",
        "trained on": f"{card.pairs} images, {card.iterations:,} iterations, {card.seconds / 60:.0f} minutes",
        "intensities": "normalised" if card.normalisation else "as the files have them",
    }
    if card.neighbours:
        planes = count(card.neighbours, "plane")
        rows["sees"] = f"{planes} before and after each, along {card.neighbours_axis}: it restores stacks"
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    rest = "".join(f"\n{paragraph}\n" for paragraph in (*_known(about), *more, *_licence(card)))
    return f"""# {card.name}

Restores images by InDI, Inversion by Direct Iteration (Delbracio and Milanfar, TMLR 2023, arXiv:2303.11435).

```sh
indi restore {"STACK" if card.neighbours else "IMAGE"} --model {place} {_dial(card, steps, about)}
```

| | |
|---|---|
{table}

It learned from the images it was trained on. On others it may do harm, and {_at_its_most_real(card)} it can add
detail that is likely, not known.
{rest}"""


def _at_its_most_real(card: Card) -> str:
    return "near realism 1" if card.method.build().draws else "at many steps"


def _dial(card: Card, steps: int, about: Mapping[str, Any] | None) -> str:
    """Return the option by which a user chooses between the least error and the most real."""
    realism = (about or {}).get("best_realism", DEFAULT_REALISM)
    return f"--realism {realism:g}" if card.method.build().draws else f"--steps {steps}"


def _terms(card: Card) -> dict[str, Any]:
    """Return what the hub reads of terms that weights have of their own."""
    if card.licence is None:
        return {}
    if card.licence == "MIT":  # which the hub knows
        return {"license": "mit"}
    return {"license": "other", "license_name": "non-commercial", "license_link": LICENCE_FILE}


def _licence(card: Card) -> Iterator[str]:
    if card.licence is not None:
        yield f"**Licence**: {card.licence}"


def _results(name: str, steps: int, about: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what the hub reads of a pretrained model alone: its figures at the steps it is best with."""
    if about is None:
        return {}
    results = [
        {
            "task": {"type": "image-to-image", "name": about["purpose"]},
            "dataset": {
                "type": re.sub(r"[^a-z0-9]+", "-", figure["set"].lower()),
                "name": f"{figure['set']}, {figure['kind']}",
            },
            "metrics": [
                {"type": metric, "name": f"{_title(metric)}, {_way(row)}", "value": round(row[metric], 4)}
                for metric in _metrics(row)
            ],
        }
        for figure in about["figures"]
        for row in figure["rows"]
        if row["steps"] == steps and row.get("realism") in (None, about.get("best_realism", DEFAULT_REALISM))
    ]
    return {"metrics": ["psnr", "ssim"], "model-index": [{"name": name, "results": results}]}


def _known(about: Mapping[str, Any] | None) -> Iterator[str]:
    """Yield the paragraphs that a pretrained model has beside: what stands in NAME.json."""
    if about is None:
        return
    titles = {"purpose": "For", "not_for": "Not for", "limits": "Limits", "data": "Data"}
    for key, title in titles.items():
        yield f"**{title}**: {about[key]}"
    for figure in about["figures"]:
        metrics = _metrics(figure["degraded"])
        lines = [("restored", *map(_title, metrics)), ("---",) * (len(metrics) + 1)]
        for first, row in [("degraded", figure["degraded"]), *((_way(row), row) for row in figure["rows"])]:
            lines.append((str(first), *(f"{row[metric]:.4g}" for metric in metrics)))
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        yield f"**{figure['set']}**: {figure['images']} images, {figure['kind']}.\n\n{table}"


def _way(row: Mapping[str, Any]) -> str:
    return f"realism {row['realism']:g}" if "realism" in row else f"steps {row['steps']}"


def _metrics(row: Mapping[str, Any]) -> list[str]:
    return [name for name in METRICS if row.get(name) is not None]


def _title(metric: str) -> str:
    return f"{METRICS[metric].label}{f' ({METRICS[metric].unit})' if METRICS[metric].unit else ''}"


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _hub() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise MissingExtraError("models of the hub need huggingface_hub; install indi[hub]") from error
    return huggingface_hub
