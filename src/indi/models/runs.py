"""The folder of a run: its files, which images were trained on, and who may write there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from filelock import FileLock, Timeout
from pydantic import Field, ValidationError

from indi.config import Config, DataSettings, Settings
from indi.errors import ConfigError, IndiError, ModelError, TrainingError
from indi.models.checkpoint import write_text

CONFIG_FILE = "config.json"
LOG_FILE = "training.jsonl"
PREVIEWS = "previews"
SPLIT_FILE = "split.json"
_LOCK_FILE = ".lock"


class Split(Settings):
    """Which pairs are trained on, and which are kept for validation.

    Attributes:
        training, validation: Their names.
        digests: What tells the pixels of each pair's files from others, by its name; runs of older versions have none.
    """

    training: tuple[str, ...]
    validation: tuple[str, ...]
    digests: dict[str, tuple[str, ...]] = Field(default_factory=dict)

    @classmethod
    def read(cls, run: Path) -> Self | None:
        """Return the split of a run folder, None where there is none.

        Raises:
            ModelError: It is damaged.
        """
        file = run / SPLIT_FILE
        if not file.is_file():
            return None
        try:
            return cls.model_validate(Config.read(file))
        except (ConfigError, ValidationError) as error:
            advice = "put a copy of it back, or begin a new run with --from this one"
            raise ModelError(f"{file}: damaged; name the folders to measure on; to train on, {advice}") from error

    def write(self, run: Path) -> None:
        """Write it into a run folder."""
        write_text(run / SPLIT_FILE, self.model_dump_json(indent=1) + "\n")


def settings_of_data(run: Path) -> DataSettings | None:
    """Return the settings of a run's data; None for what is no run, as a folder for the hub, which has its own config.

    Raises:
        ConfigError: They are damaged.
    """
    file = run / CONFIG_FILE
    is_run = file.is_file() and (run / SPLIT_FILE).is_file()
    return Config.parse(Config.read(file), source=str(file)).data if is_run else None


@contextmanager
def held(run: Path) -> Iterator[None]:
    """Hold a run folder for one training alone; made if it is not there, and gone again if it stays empty.

    The system lets go of it where the process is killed.

    Raises:
        TrainingError: Another training holds it.
        IndiError: It cannot be written.
    """
    made = [folder for folder in (run, *run.parents) if not folder.exists()]
    lock = FileLock(run / _LOCK_FILE, thread_local=False)  # a generator may be closed in another thread
    try:
        run.mkdir(parents=True, exist_ok=True)
        with suppress(NotImplementedError):  # a file system without locks: go on, as well as may be
            lock.acquire(blocking=False)
    except Timeout:
        raise TrainingError(f"{run}: another training writes there; wait for its end, or give another folder") from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise IndiError(f"{run}: cannot write: {reason}; choose another place or make this one usable") from error
    try:
        yield
    finally:
        if os.name == "posix":  # before it is let go of: afterwards it may be another's
            (run / _LOCK_FILE).unlink(missing_ok=True)
        lock.release()
        if os.name != "posix":  # where an open file cannot be removed: another's stays
            with suppress(OSError):
                (run / _LOCK_FILE).unlink(missing_ok=True)
        for folder in made:
            with suppress(OSError):  # it holds something, as it should
                folder.rmdir()
