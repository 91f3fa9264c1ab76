"""The command that opens the page: app."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from indi.app.page import HOST, PORT, serve
from indi.cli.app import app as root
from indi.cli.options import Threads, Whole
from indi.cli.terminal import say
from indi.devices import set_threads
from indi.restoration import load
from indi.shipped import find_model


@root.command
def app(
    *models: Path,
    port: Whole = PORT,
    browser: Annotated[bool, Parameter(negative="--no-browser")] = True,
    threads: Threads = None,
) -> int:
    """Restore, train and measure in a browser, on this machine alone; needs indi[app].

    Args:
        models: run folders or model files to offer beside the shipped models
        port: of this machine
        browser: open the page
    """
    set_threads(threads)
    served = {}
    for model in models:
        load(model)
        served[model.stem] = find_model(model)
    page = serve(served, port=port, show=browser)
    say(f"indi is at http://{HOST}:{port}; Ctrl-C ends it")
    page.block_thread()
    return 0
