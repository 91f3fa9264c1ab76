"""Models and the state of a training run as files: safetensors and JSON, never pickle.

A model is one file that says all of itself: weights, and its card as JSON in the header. In a run
folder ``model.json`` repeats the card for people. The state that resuming needs is one file too, so
that no kill between two writes can leave halves that do not fit. A digest of both stands in the header, since
a flipped bit among weights is a number like any other; files without one, older or of other programs, load too.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from indi.config import MOST_NEIGHBOURS, MethodSettings, NetworkSettings, Settings
from indi.data.normalization import Normalisation
from indi.errors import ModelError
from indi.io import MAX_CHANNELS, atomic
from indi.io.neighbours import Neighbours
from indi.models.archive import FOREIGN_FILES, foreign, is_archive, unpacked
from indi.networks import NETWORKS, Network
from indi.plugins import loaded_plugins

MODEL_FILE = "model.safetensors"
CARD_FILE = "model.json"
STATE_FILE = "state.safetensors"
CALIBRATION_FILE = "calibration.json"
_KEY, _DIGEST_KEY = "indi", "digest"  # of the JSON in a safetensors header, and of the digest beside it
_WIDENED = (torch.float16, torch.bfloat16, torch.float32)  # types of weights that load into float32 without loss


class Card(Settings):
    """What a model is: enough to rebuild it and to use it rightly.

    Attributes:
        colour: Whether its three channels are red, green and blue. Older cards do not say.
        precision: What training computed in. Older cards do not say.
        licence: The terms of the weights, where they have some of their own; training from them passes these on.
        neighbours: Planes of a stack that it sees on each side of the one it restores, along ``neighbours_axis``.
        plugins: Those that were loaded when it was trained: its method or network may be a row of one.
    """

    format: Literal[1] = 1
    version: str
    name: str
    method: MethodSettings
    network: NetworkSettings
    channels: int = Field(ge=1, le=MAX_CHANNELS)
    task: str | None = None
    normalisation: Normalisation | None = None
    iterations: int = 0
    images_seen: int = 0
    seconds: float = 0.0
    pairs: int = 0
    licence: str | None = None
    colour: bool | None = None
    precision: str | None = None
    neighbours: int = Field(0, ge=0, le=MOST_NEIGHBOURS)
    neighbours_axis: str = "Z"
    plugins: tuple[str, ...] = ()

    @property
    def around(self) -> Neighbours:
        """Which planes of a stack it sees around the one that it restores."""
        return Neighbours(self.neighbours, self.neighbours_axis)

    @property
    def apart(self) -> bool:
        """Whether channels that are no colours, those of a microscope, are images of their own to this model."""
        made_of_photographs = self.channels == 3 and self.task is not None and self.normalisation is None
        return made_of_photographs if self.colour is None else self.colour


@dataclass(frozen=True)
class Model:
    """A network with its weights, and its card."""

    card: Card
    network: Network

    @classmethod
    def new(cls, card: Card, *, seed: int = 0) -> "Model":
        """Return an untrained model as the card describes it; the seed decides its weights."""
        inputs = card.method.build().inputs(card.channels, card.neighbours)
        with torch.random.fork_rng(devices=[]):  # layers draw from torch's own generator: lend it, give it back
            torch.manual_seed(seed)
            return cls(card, NETWORKS[card.network.name].of_size(inputs, card.channels, card.network.size))

    def fingerprint(self) -> str:
        """Return what tells the weights from others."""
        digest = hashlib.sha256()
        for name, tensor in self.network.state_dict().items():
            digest.update(name.encode() + tensor.float().cpu().numpy().tobytes())
        return digest.hexdigest()


def save_model(model: Model, folder: Path) -> None:
    """Write ``model.safetensors`` and ``model.json`` into a folder, each atomically.

    Raises:
        ImageError: The folder cannot be written.
    """
    card = model.card.model_dump_json(indent=2)
    write_tensors(folder / MODEL_FILE, dict(model.network.state_dict()), json.loads(card))
    write_text(folder / CARD_FILE, card + "\n")


def load_model(path: Path) -> Model:
    """Read a model from a run folder, a model file, or a package that indi exported, as a folder or an archive.

    Raises:
        ModelError: It is missing, damaged, of a newer format, or its weights do not fit or are not finite; or the
            package is another program's.
    """
    if is_archive(path):
        with unpacked(path, MODEL_FILE) as file:
            return _read_model(file)
    file = path / MODEL_FILE if path.is_dir() else path
    if path.is_dir() and not file.exists():
        if any((path / name).exists() for name in FOREIGN_FILES):
            raise ModelError(foreign(path))
        raise ModelError(f"{path}: no {MODEL_FILE} in this folder; train a run there, or give another")
    return _read_model(file)


def _read_model(file: Path) -> Model:
    tensors, card = read_tensors(file)
    try:
        model = Model.new(Card.model_validate(card))
    except ValidationError as error:
        missing = _missing_plugins(card)
        advice = "update indi, or retrain"
        if missing:
            advice = f"it was trained with plugins that are not loaded: {'; '.join(missing)}"
        raise ModelError(f"{file}: its card is not one that this version reads; {advice}") from error
    check_weights(tensors, model.network, file)
    if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
        raise ModelError(f"{file}: it holds weights that are not finite; go back to an earlier checkpoint")
    model.network.load_state_dict(tensors)
    model.network.requires_grad_(False).eval()
    return model


def _missing_plugins(card: object) -> list[str]:
    """Return the plugins that a card, of any content, names and that are not loaded."""
    plugins = card.get("plugins") if isinstance(card, dict) else None
    if not isinstance(plugins, list):
        return []
    return [name for name in plugins if isinstance(name, str) and name not in loaded_plugins()]


def check_weights(tensors: Mapping[str, Tensor], network: torch.nn.Module, file: Path) -> None:
    """Refuse weights that would not load into a network as they are: by name, shape and type.

    Raises:
        ModelError: They do not fit.
    """
    expected = network.state_dict()
    if {k: v.shape for k, v in tensors.items()} != {k: v.shape for k, v in expected.items()}:
        raise ModelError(f"{file}: its weights do not fit the network that it is for; the file was altered")
    for name, wanted in expected.items():
        found = tensors[name].dtype
        if found != wanted.dtype and not (wanted.dtype == torch.float32 and found in _WIDENED):
            is_, needs = (str(dtype).removeprefix("torch.") for dtype in (found, wanted.dtype))
            raise ModelError(f"{file}: its tensor {name} is {is_}, {needs} is needed; save it so, or retrain")


def write_tensors(path: Path, tensors: dict[str, Tensor], header: dict[str, Any]) -> None:
    """Write tensors and a JSON header as one safetensors file, atomically."""
    with atomic(path) as temporary:
        plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        text = json.dumps(header)
        # not save_file, whose files only their owner can read
        temporary.write_bytes(save(plain, metadata={_KEY: text, _DIGEST_KEY: _digest(plain, text)}))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read tensors and the JSON header that ``write_tensors`` wrote.

    Raises:
        ModelError: The file is missing, cut, altered, or another program's.
    """
    with _opened(path) as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata() or {}
        if _DIGEST_KEY in metadata and metadata[_DIGEST_KEY] != _digest(tensors, metadata[_KEY]):
            raise ModelError(f"{path}: damaged: its content differs from its digest; copy it again, or retrain")
        return tensors, _header(file)


def _digest(tensors: Mapping[str, Tensor], header: str) -> str:
    """Return the SHA-256 of a header and of tensors, with their names, types and shapes."""
    digest = hashlib.sha256(header.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def read_card(path: Path) -> Card:
    """Return the card of a model file, without its weights.

    Raises:
        ModelError: The file is missing, cut, or another program's.
    """
    with _opened(path) as file:
        return Card.model_validate(_header(file))


def _header(file: Any) -> dict[str, Any]:
    header: dict[str, Any] = json.loads((file.metadata() or {})[_KEY])
    return header


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Yield an open safetensors file, and say of the path what is wrong with it."""
    try:
        with path.open("rb"):  # safe_open calls a file that may not be read missing
            pass
        str(path).encode()  # safe_open says of a name that is not UTF-8 that the file is damaged
        with safe_open(path, framework="pt") as file:
            yield file
    except (FileNotFoundError, IsADirectoryError) as error:
        raise ModelError(f"{path}: no such model file; give a run folder or a model file") from error
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror or error}); check the file") from error
    except UnicodeEncodeError as error:
        raise ModelError(f"{str(path)!r}: the path is not UTF-8, which safetensors cannot open; rename it") from error
    except (SafetensorError, KeyError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: not a model of indi, or damaged; copy it again, or retrain") from error


def write_text(path: Path, text: str) -> None:
    """Write a text file, atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def cast_convolutions(network: torch.nn.Module, dtype: torch.dtype) -> torch.nn.Module:
    """Cast a network's convolutions, in place: the rest, which is small, stays in float32."""
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
            layer.to(dtype)
    return network
