"""The page: three tabs, laid out with gradio, bound to this machine alone."""

import os
import tempfile
import threading
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from indi.app import HOST, PORT, measure_tab, restore_tab, train_tab
from indi.app.guard import OnlyLocal
from indi.app.parts import QUIET, Updates, gradio
from indi.app.reading import READERS, UNPACKERS
from indi.app.session import Session, close_all
from indi.errors import ConfigError

MOST_BYTES = 500_000_000  # of an upload
_WAITING = 64  # requests in line; more are sent away
_DAY = 86_400  # seconds that uploads and results are kept, while the page runs
_LAST = 2.0  # seconds for connections to end
_CSS = """
.gradio-container {width: 100% !important; max-width: 1280px !important; margin: auto}
.strip .grid-container {grid-template-columns: repeat(auto-fill, minmax(104px, 1fr)) !important}
.strip .grid-wrap {padding-top: 2.2em; height: auto !important; min-height: 0 !important; max-height: none !important}
.strip .gallery-container:has(.preview) {min-height: 420px}
.drop .icon-wrap {display: none}
.sides > * {min-width: 0 !important}
@media (max-width: 760px) {.sides {flex-direction: column} .sides > * {width: 100%}}
.nothing {
    display: grid; place-items: center; min-height: 20em; padding: 1em; text-align: center;
    color: var(--body-text-color-subdued); border: 1px dashed var(--border-color-primary); border-radius: 8px
}
@media (max-width: 760px) {.nothing {min-height: 6em}}
.table-wrap {overflow-x: auto}
.status {min-height: 2.6em; padding: 0.2em 0}
.status progress {width: 100%; height: 0.5em; accent-color: #ea580c; appearance: none; border: 0}
.status progress::-webkit-progress-bar {background: var(--border-color-primary); border-radius: 4px}
.status progress::-webkit-progress-value {background: #ea580c; border-radius: 4px}
.status progress::-moz-progress-bar {background: #ea580c; border-radius: 4px}
.status .failed {color: #dc2626}
"""


def serve(models: Mapping[str, Path], *, port: int = PORT, show: bool = True) -> Any:
    """Serve the page in the background; return gradio's page, whose ``block_thread`` waits and ``close`` ends it.

    Args:
        models: Models beside the pretrained ones, by name.
        port: Of this machine.
        show: Open it in a browser.

    Raises:
        ConfigError: The port is taken.
        MissingExtraError: gradio cannot be imported.
    """
    gr = gradio()
    from starlette.middleware import Middleware

    own = tempfile.TemporaryDirectory(prefix="indi-app-", ignore_cleanup_errors=True)
    os.environ.setdefault("GRADIO_TEMP_DIR", own.name)  # uploads and results: they go when we do
    page = build(models)
    page.queue(max_size=_WAITING, api_open=False)
    try:
        page.launch(
            server_name=HOST,
            server_port=port,
            inbrowser=show,
            prevent_thread_lock=True,
            max_file_size=MOST_BYTES,
            theme=gr.themes.Base(
                primary_hue="orange", neutral_hue="slate", font=["system-ui", "sans-serif"], font_mono=["monospace"]
            ),
            css=_CSS,
            footer_links=[],
            quiet=True,
            share=False,
            ssr_mode=False,
            app_kwargs={"middleware": [Middleware(OnlyLocal)]},
            enable_monitoring=False,
        )
    except OSError as error:
        raise ConfigError(f"port {port} cannot be used; give another --port") from error
    page.own_folder = own
    page.block_thread = partial(_wait, page)
    return page


def _wait(page: Any) -> None:
    """Wait for Ctrl-C, and end at once, whatever is at work: it is of no use without the page."""
    try:
        while True:
            time.sleep(_DAY)
    except KeyboardInterrupt:
        # Its own close waits for open connections, and Python for the threads that restore.
        closing = threading.Thread(target=page.close, daemon=True)
        closing.start()
        READERS.close()
        UNPACKERS.close()
        close_all()
        closing.join(_LAST)
        page.own_folder.cleanup()
        os._exit(0)


def build(models: Mapping[str, Path]) -> Any:
    """Return the page, not served yet.

    Raises:
        MissingExtraError: gradio cannot be imported.
    """
    gr = gradio()
    known = Session(models)
    with gr.Blocks(title="indi", analytics_enabled=False, delete_cache=(_DAY, _DAY)) as page:
        # Without a time to live: gradio counts that from the last write, and lets go an hour after the page is closed.
        session = gr.State(None, delete_callback=lambda kept: kept and kept.close())
        page.load(partial(Session, models), None, session, api_visibility="private")
        gr.Markdown("# indi\nRestores images, towards one of the images they could have been.")
        with gr.Tab("Restore"):
            choice = restore_tab.lay_out(session, known)
        with gr.Tab("Train", render_children=True):
            trained = train_tab.lay_out(session)
        with gr.Tab("Measure", render_children=True):
            measured_choice = measure_tab.lay_out(session, known)
        trained.then(_offer, session, [choice, measured_choice], **QUIET)
    known.close()
    return page


def _offer(session: Session | None) -> Updates:
    """Offer what was trained, and choose it."""
    gr = gradio()
    names = session.models() if session is not None else []
    return tuple(gr.update(choices=names, value=names[0]) if names else gr.skip() for _ in range(2))
