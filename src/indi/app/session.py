"""One visitor: a folder of their own, the models they can choose, and whether they asked to stop."""

import re
import tempfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from threading import Event

from indi.errors import ConfigError
from indi.restoration import Restorer, load
from indi.shipped import shipped_names

_NAME = re.compile(r"[^\w. -]")


class Session:
    """What belongs to one visitor, and goes with them.

    Args:
        served: Models beside the shipped ones, that whoever started the app offers to all: names and paths.
    """

    def __init__(self, served: Mapping[str, Path]) -> None:
        self._own = tempfile.TemporaryDirectory(prefix="indi-app-", ignore_cleanup_errors=True)
        self.folder = Path(self._own.name)
        self._models: dict[str, Path | str] = {name: name for name in shipped_names()} | dict(served)
        self._stopping: dict[str, Event] = {}
        self._runs = 0

    def close(self) -> None:
        """Remove all that was theirs."""
        for work in list(self._stopping):
            self.stop(work)
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

    def begin(self, work: str) -> None:
        """Note that a kind of work was started."""
        self._stopping[work] = Event()

    def stop(self, work: str) -> None:
        """Ask a kind of work to stop at a good place, if it runs."""
        if work in self._stopping:
            self._stopping[work].set()

    def is_stopping(self, work: str) -> bool:
        """Return whether a kind of work is to stop."""
        return self._stopping[work].is_set()

    def new_folder(self, name: str) -> Path:
        """Return a new folder in the visitor's own."""
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.folder))


def safe_name(name: str) -> str:
    """Return the last part of a name, with nothing in it that a path or a page could take for more than a name."""
    last = re.split(r"[\\/]", name)[-1]
    return _NAME.sub("_", last).lstrip(".")[-100:] or "image"


@lru_cache(maxsize=4)
def _loaded(model: str | Path) -> Restorer:
    return load(model)
