"""The command that opens the page: app."""

import signal
from itertools import chain, count
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from indi.app import HOST, PORT
from indi.cli.app import app as root
from indi.cli.options import Threads, Whole
from indi.cli.terminal import interrupt, on_signals, say
from indi.devices import set_threads
from indi.errors import ConfigError


@root.command
def app(
    *models: str,
    port: Whole = PORT,
    browser: Annotated[bool, Parameter(negative="--no-browser")] = True,
    threads: Threads = None,
) -> int:
    """Restore, train and measure in a browser, on this machine alone; needs indi[app].

    Args:
        models: run folders, model files or hf:USER/NAME to offer beside the pretrained models
        port: of this machine
        browser: open the page
    """
    from indi.app.page import serve
    from indi.models.pretrained import find_model, pretrained_names
    from indi.restoration.restorer import load

    set_threads(threads)
    served: dict[str, Path] = {}
    for model in models:
        if load(model).card.neighbours:
            raise ConfigError(f"{model}: sees neighbours in stacks, and the page takes images; use indi restore")
        if model not in pretrained_names():  # which are offered anyhow
            path = find_model(model)
            served[_free_name(_name_of(model, path), {*pretrained_names(), *served})] = path
    page = serve(served, port=port, show=browser)
    say(f"indi is at http://{HOST}:{port}; Ctrl-C ends it")
    with on_signals(interrupt, signal.SIGINT):  # which a shell lets programs in its background ignore
        page.block_thread()
    return 0


def _name_of(model: str, path: Path) -> str:
    """Return what a model is called: as on the hub, or as its folder or file."""
    from indi.models.hub import PREFIX, is_on_hub

    if is_on_hub(model):
        return model.removeprefix(PREFIX)
    return path.resolve().name if path.is_dir() else path.stem


def _free_name(name: str, taken: set[str]) -> str:
    """Return a name, with a number where another model is called so."""
    numbered = (f"{name}, {number}" for number in count(2))
    return next(each for each in chain([name], numbered) if each not in taken)
