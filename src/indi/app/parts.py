"""What the tabs of the page share: the line that says how far work is, its buttons, and where pairs come from."""

import html
import logging
import re
from collections.abc import Callable, Iterator
from functools import partial, wraps
from pathlib import Path
from typing import Any

from indi.app.session import Session
from indi.degradations import DEGRADATIONS
from indi.errors import ConfigError, IndiError, MissingExtraError
from indi.models.pretrained import pretrained_models
from indi.restoration.tiling import is_out_of_memory

log = logging.getLogger("indi")

_PAIRS = "an archive"
_FOLDERS = re.compile(r"(?:[A-Za-z]:)?(?:[\\/][^\\/:\s]+)+[\\/]")
_TWICE = re.compile(r"^(?:(.+?): )(?=\1: )")
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}

Updates = tuple[Any, ...]
Work = Callable[..., Iterator[Updates]]  # (session, task, inputs...): what becomes of the outputs, the status first


def gradio() -> Any:
    """Return gradio.

    Raises:
        MissingExtraError: It cannot be imported.
    """
    try:
        import gradio
    except ImportError as error:
        raise MissingExtraError("the app needs gradio; install indi[app]") from error
    return gradio


def status(share: float, note: str, *, failed: bool = False) -> str:
    """Return the line that says how far something is."""
    if failed:
        return f'<div class="status" role="alert"><span class="failed">{html.escape(note)}</span></div>'
    bar = f'<progress max="1" value="{share:.3f}"></progress>' if share else ""
    return f'<div class="status" role="status">{bar}{html.escape(note)}</div>'


def purpose(name: str | None) -> str:
    """Return what a pretrained model is for."""
    if name is None:
        return "none yet: train one"
    return {model["name"]: str(model["purpose"]) for model in pretrained_models()}.get(name, "")


def buttons(start: str, stop: str) -> tuple[Any, Any]:
    """Lay out the two buttons of some work."""
    gr = gradio()
    with gr.Row():
        return gr.Button(start, variant="primary", min_width=96, size="md"), gr.Button(stop, min_width=96, size="md")


def connect(
    kind: str, work: Work, session: Any, start: Any, stop: Any, inputs: list[Any], outputs: list[Any], *, at_once: int
) -> Any:
    """Let one button put work in line, which shows in the first output, and another stop it; return the event."""
    line = outputs[0]
    asked = start.click(partial(_ask, kind), session, line, queue=False, **QUIET)
    limits: dict[str, Any] = {"concurrency_id": kind, "concurrency_limit": at_once}
    done = asked.then(in_turn(kind, work, len(outputs)), [session, *inputs], outputs, **limits, **QUIET)
    stop.click(partial(_stop, kind), session, line, queue=False, **QUIET)
    return done


def in_turn(kind: str, work: Work, outputs: int) -> Work:
    """Return what does work of a kind in its turn, and says in the first output what went wrong."""

    @guarded(outputs)
    def taken(session: Session, *inputs: Any) -> Iterator[Updates]:
        with session.working(kind) as task:
            if task.stopping.is_set():
                yield status(0, "stopped before it began"), *[gradio().skip()] * (outputs - 1)
                return
            for updates in work(session, task, *inputs):
                if task.is_unwanted:  # gradio sends the last word once more at the end: it is to be none
                    yield (gradio().skip(),) * outputs
                    return
                yield updates

    return taken


def guarded(outputs: int) -> Callable[[Work], Work]:
    """Return what turns mistakes of a visitor into a sentence in the first output, and our bugs into an apology."""

    def decorate(work: Work) -> Work:
        @wraps(work)
        def guard(*inputs: Any) -> Iterator[Updates]:
            try:
                if not isinstance(inputs[0], Session):
                    raise ConfigError("this page is not ready, or was left for too long; load it again")
                yield from work(*inputs)
                return
            except Exception as error:
                message = said(error)
            yield status(0, message, failed=True), *[gradio().skip()] * (outputs - 1)

        return guard

    return decorate


def said(error: Exception) -> str:
    """Return what a visitor is told of an error: no folder of this machine, and a name once."""
    if isinstance(error, IndiError):
        return _TWICE.sub("", _FOLDERS.sub("", str(error)))
    return "does not fit in memory: give a smaller image" if is_out_of_memory(error) else _bug(error)


def _bug(error: BaseException) -> str:
    log.error("the app failed", exc_info=error)
    return "something went wrong that should not have; where indi app runs it says what"


def _ask(kind: str, session: Session | None) -> Any:
    is_new = isinstance(session, Session) and session.ask(kind)
    return status(0, "waiting for its turn") if is_new else gradio().skip()


def _stop(kind: str, session: Session | None) -> Any:
    stops = isinstance(session, Session) and session.stop(kind)
    return status(0, "stopping") if stops else gradio().skip()


def pairs() -> list[Any]:
    """Lay out where pairs come from: an archive of clean images, and one of degraded ones or a task that makes them."""
    gr = gradio()
    clean = gr.File(label="Clean images (ZIP)", file_types=[".zip"], height=120, elem_classes="drop")
    source = gr.Dropdown([_PAIRS, *DEGRADATIONS], value=_PAIRS, label="Degraded images come from")
    degraded = gr.File(label="Degraded images (ZIP)", file_types=[".zip"], height=120, elem_classes="drop")
    source.change(lambda chosen: gr.update(visible=chosen == _PAIRS), source, degraded, **QUIET)
    return [clean, source, degraded]


def archives(clean: str | None, source: str, degraded: str | None) -> tuple[Path, Path | None, str | None]:
    """Return where clean and degraded images come from, and the task that makes the latter otherwise.

    Raises:
        ConfigError: They are not all there.
    """
    if clean is None or (source == _PAIRS and degraded is None):
        raise ConfigError("drop the archives first")
    if source == _PAIRS:
        return Path(clean), Path(str(degraded)), None
    if source not in DEGRADATIONS:
        raise ConfigError("choose where the degraded images come from")
    return Path(clean), None, source


def waiting_for(what: str) -> Any:
    """Lay out what stands where results will be."""
    return gradio().HTML(f'<div class="nothing">{html.escape(what)}</div>')
