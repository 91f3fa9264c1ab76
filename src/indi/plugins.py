"""Your own rows in every process: plugins are imported before models are looked for.

A plugin is a package whose entry points of the group ``indi.plugins`` name modules, or a Python file that INDI_PLUGINS
names. The command line imports them before it runs a command and ``indi.load`` before it loads, so that the workers of
Dask and the processes of torchrun know the rows too, where they are installed or their environment names the files.
"""

import os
import sys
import traceback
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from threading import RLock

from indi.errors import ConfigError

VARIABLE, GROUP = "INDI_PLUGINS", "indi.plugins"
_begun: set[Path | str] = set()  # files, and entry points as cards name them
_LOCK = RLock()  # a thread waits until another has them imported; a plugin that loads a model does not wait for itself


def load_plugins() -> None:
    """Import what installed packages offer, then the files that INDI_PLUGINS names, each once in a process.

    Between files stands os.pathsep.

    Raises:
        ConfigError: One is missing, or fails.
    """
    files = [Path(name).resolve() for name in os.environ.get(VARIABLE, "").split(os.pathsep) if name]
    plugins: list[EntryPoint | Path] = [*_installed(), *files]
    with _LOCK:
        for plugin in plugins:
            key = plugin if isinstance(plugin, Path) else _name(plugin)
            if key not in _begun:
                _begun.add(key)
                try:
                    _import(plugin) if isinstance(plugin, Path) else _load(plugin)
                except ConfigError:
                    _begun.discard(key)
                    raise


def loaded_plugins() -> tuple[str, ...]:
    """Return the names of the plugins imported so far, as cards record them: files, and packages with versions."""
    return tuple(sorted(each.name if isinstance(each, Path) else each for each in _begun))


@cache
def _installed() -> tuple[EntryPoint, ...]:
    return tuple(sorted(entry_points(group=GROUP), key=_name))


def _name(entry: EntryPoint) -> str:
    """Return what an entry point is called: its package, the version of that, and its own name."""
    return f"{entry.dist.name} {entry.dist.version}: {entry.name}" if entry.dist else entry.name


def _load(entry: EntryPoint) -> None:
    try:
        entry.load()
    except (Exception, SystemExit) as error:
        advice = "update that package, or uninstall it"
        raise ConfigError(f"plugin {_name(entry)} ({entry.value}): {_what(error)}; {advice}") from error


def _import(file: Path) -> None:
    spec = spec_from_file_location(f"indi_plugin_{file.stem}", file)
    if spec is None or spec.loader is None or not file.is_file():
        raise ConfigError(f"{VARIABLE}: {file}: there is no such Python file; fix the path, or leave it out")
    sys.modules[spec.name] = module = module_from_spec(spec)  # where dataclasses look for it
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
        where = f", line {lines[-1]}" if lines else ""
        raise ConfigError(f"{VARIABLE}: {file}{where}: {_what(error)}; fix the file, or leave it out") from error


def _what(error: BaseException) -> str:
    """Return what happened, on one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())
