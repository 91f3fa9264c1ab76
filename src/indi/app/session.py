"""One visitor: a folder of their own, the models they can choose, and the work they asked for."""

import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from threading import Event
from unicodedata import normalize
from weakref import WeakSet

from indi.errors import ConfigError, ModelError
from indi.models.checkpoint import MODEL_FILE, read_card
from indi.models.pretrained import pretrained_file, pretrained_names
from indi.restoration.restorer import Restorer, load

_PATIENCE = 10  # seconds that new work waits for work of its kind that was dropped
_NAME = re.compile(r"[^\w. ()\[\]{}+,=@~%#!^-]")
_OPEN: "WeakSet[Session]" = WeakSet()


class Task:
    """Work that a visitor asked for: it waits for its turn, runs, and is done.

    Attributes:
        stopping: Set when it is to stop at a good place.
        done: Set when nothing comes of it any more.
        is_running: Whether its turn has come.
        is_unwanted: Whether what it has made so far is of no use either: nobody is to be told.
    """

    def __init__(self) -> None:
        self.stopping, self.done = Event(), Event()
        self.is_running = self.is_unwanted = False

    @property
    def is_active(self) -> bool:
        """Whether it runs, and something may come of it."""
        return self.is_running and not self.done.is_set()


class Session:
    """What belongs to one visitor, and goes with them.

    Args:
        served: Models beside the pretrained ones, that whoever started the app offers to all: names and paths.
    """

    def __init__(self, served: Mapping[str, Path]) -> None:
        self._own = tempfile.TemporaryDirectory(prefix="indi-app-", ignore_cleanup_errors=True)
        self.folder = Path(self._own.name)
        # The first is chosen until somebody chooses: what the command takes for photographs, then noise.
        pretrained = sorted(pretrained_names(), key=lambda name: (name != "photo", name != "denoise"))
        self._models: dict[str, Path] = {name: pretrained_file(name) for name in pretrained} | dict(served)
        self._tasks: dict[str, Task] = {}
        self._runs = 0
        _OPEN.add(self)

    def close(self) -> None:
        """Remove all that was theirs."""
        for kind in self._tasks:
            self.drop(kind)
        self._own.cleanup()

    def models(self) -> list[str]:
        """Return the names that can be chosen, those trained last first."""
        return list(reversed(self._models)) if self._runs else list(self._models)

    def add_model(self, run: Path) -> str:
        """Offer a trained run to this visitor; return its name."""
        self._runs += 1
        name = f"yours, {self._runs}"
        self._models[name] = run
        return name

    def restorer(self, name: str | None) -> Restorer:
        """Return the restorer of a name that can be chosen: nothing else is ever opened.

        Raises:
            ConfigError: It cannot be chosen.
        """
        if name not in self._models:
            raise ConfigError("choose a model first; train one if there is none")
        return _loaded(self._models[name])

    def draws(self, name: str | None) -> bool:
        """Return whether a model draws, and so has a dial of realism, without loading its weights.

        One that cannot be chosen or read does not: ``restorer`` says what is wrong with it.
        """
        if name not in self._models:
            return False
        path = self._models[name]
        try:
            return read_card(path / MODEL_FILE if path.is_dir() else path).method.build().draws
        except ModelError:
            return False

    def ask(self, kind: str) -> bool:
        """Put work of a kind in line; return False where such work runs already."""
        former = self._tasks.get(kind)
        if former is not None and former.is_active:
            if not former.is_unwanted:
                return False
            former.done.wait(_PATIENCE)
        self._tasks[kind] = Task()
        return True

    @contextmanager
    def working(self, kind: str) -> Iterator[Task]:
        """Take the turn of the work that was put in line, or of new work, and yield it; afterwards it is done."""
        task = self._tasks.get(kind)
        if task is None or task.is_running:
            task = self._tasks[kind] = Task()
        task.is_running = True
        try:
            yield task
        finally:
            task.done.set()

    def stop(self, kind: str) -> bool:
        """Ask work of a kind to stop at a good place; return whether there is any that waits or runs."""
        task = self._tasks.get(kind)
        if task is None or task.done.is_set():
            return False
        task.stopping.set()
        return True

    def drop(self, kind: str) -> None:
        """Stop work of a kind whose result nobody waits for any more."""
        if kind in self._tasks:
            self._tasks[kind].is_unwanted = True
            self.stop(kind)

    def new_folder(self, name: str) -> Path:
        """Return a new folder in the visitor's own."""
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.folder))

    @contextmanager
    def working_folder(self, name: str) -> Iterator[Path]:
        """Yield a new folder in the visitor's own; where the work in it fails, nothing of it stays."""
        folder = self.new_folder(name)
        try:
            yield folder
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise


def close_all() -> None:
    """Remove all that was of any visitor."""
    for session in list(_OPEN):
        session.close()


def safe_name(name: str) -> str:
    """Return the last part of a name, with nothing in it that a path or a page could take for more than a name."""
    last = normalize("NFC", re.split(r"[\\/]", name)[-1])  # some systems pack an accented letter as two characters
    return _NAME.sub("_", last).lstrip(".")[-100:] or "image"


@lru_cache(maxsize=4)
def _loaded(model: Path) -> Restorer:
    return load(model)
