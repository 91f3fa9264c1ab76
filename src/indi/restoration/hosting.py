"""Restorers in the form that the Hugging Face hub wants, from there and to there."""

import tempfile
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Self

from indi.models import hub
from indi.models.checkpoint import CALIBRATION_FILE, Model, load_model, write_text
from indi.models.pretrained import about_weights
from indi.plugins import load_plugins
from indi.restoration.uncertainty import Calibration, read_calibration, told


class Hosted(ABC):
    """What ``Restorer`` does with the hub."""

    model: Model
    calibration: Calibration | None

    @abstractmethod
    def __init__(self, model: Model, **options: Any) -> None:
        """As ``Restorer``."""

    @property
    @abstractmethod
    def default_steps(self) -> int:
        """As ``Restorer.default_steps``."""

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        *,
        revision: str | None = None,
        token: str | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        **options: Any,
    ) -> Self:
        """Return the restorer of a folder that ``save_pretrained`` wrote, or of USER/NAME on the Hugging Face hub.

        Args:
            name: A folder; else the name of a model on the hub, USER/NAME or USER/NAME@REVISION, which is fetched.
            revision: A branch, tag or commit on the hub; by default the latest.
            token: Of an account that may see the model; by default the one that is logged in.
            cache_dir: Where fetched models are kept; by default where huggingface_hub keeps them.
            local_files_only: Whether to take what is kept there, and never reach for the hub.
            options: As ``Restorer``.

        Raises:
            ConfigError: Two revisions are named.
            ModelError: There is no such model, or it is damaged.
            MissingExtraError: The hub is meant, and huggingface_hub cannot be imported.
        """
        load_plugins()
        where = {"token": token, "cache_dir": cache_dir, "local_files_only": local_files_only}
        path = Path(name) if Path(name).is_dir() else hub.fetch(str(name), revision=revision, **where)
        restorer = cls(load_model(path), **options)
        restorer.calibration = read_calibration(path)
        return restorer

    def save_pretrained(self, folder: str | Path, *, name: str | None = None) -> None:
        """Write the model as the Hugging Face hub wants it: weights, config.json, README.md.

        What is known of a pretrained model goes with it, and so do terms that its weights have of their own.

        Args:
            folder: Where to.
            name: USER/NAME on the hub, for the README to say.

        Raises:
            ImageError: The folder cannot be written.
        """
        about = about_weights(self.model)
        steps = (about or {}).get("steps", self.default_steps)
        more = [] if self.calibration is None else [told(self.calibration)]
        hub.save_pretrained(self.model, folder, steps=steps, name=name, about=about, more=more)
        if self.calibration is not None:
            write_text(Path(folder) / CALIBRATION_FILE, self.calibration.model_dump_json(indent=1) + "\n")

    def push_to_hub(self, name: str, *, private: bool = False, token: str | None = None) -> str:
        """Put the model on the Hugging Face hub as USER/NAME; return its address.

        Args:
            name: USER/NAME.
            private: Whether only its owner sees it, where it is new.
            token: Of the account; by default the one that is logged in.

        Raises:
            ModelError: The hub refuses, or cannot be reached.
            MissingExtraError: huggingface_hub cannot be imported.
        """
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder, name=name)
            return hub.push(Path(folder), name, private=private, token=token)
