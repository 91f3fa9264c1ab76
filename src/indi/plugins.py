"""Your own rows in every process: the Python files that INDI_PLUGINS names are imported before models are looked for.

The command line imports them at its start and ``indi.load`` before it loads, so that the workers of Dask and the
processes of torchrun know the rows too, where their environment names the files.
"""

import os
import sys
import traceback
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from threading import RLock

from indi.errors import ConfigError

VARIABLE = "INDI_PLUGINS"
_begun: set[Path] = set()
_LOCK = RLock()  # a thread waits until another has them imported; a plugin that loads a model does not wait for itself


def load_plugins() -> None:
    """Import the files that INDI_PLUGINS names, os.pathsep between them, each once in a process.

    Raises:
        ConfigError: One is missing, or fails.
    """
    with _LOCK:
        for name in filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)):
            file = Path(name).resolve()
            if file not in _begun:
                _begun.add(file)
                try:
                    _import(file)
                except ConfigError:
                    _begun.discard(file)
                    raise


def _import(file: Path) -> None:
    spec = spec_from_file_location(f"indi_plugin_{file.stem}", file)
    if spec is None or spec.loader is None or not file.is_file():
        raise ConfigError(f"{VARIABLE}: {file}: there is no such Python file; mend the path, or leave it out")
    sys.modules[spec.name] = module = module_from_spec(spec)  # where dataclasses look for it
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
        where = f", line {lines[-1]}" if lines else ""
        what = " ".join(f"{type(error).__name__}: {error}".split())
        raise ConfigError(f"{VARIABLE}: {file}{where}: {what}; mend the file, or leave it out") from error
