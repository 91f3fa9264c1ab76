"""The page: what is where, and which button does what. Laid out with gradio, bound to this machine alone."""

import html
import logging
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial, wraps
from pathlib import Path
from typing import Any

from indi.app import measuring, restoring, training
from indi.app.session import Session
from indi.degradations import DEGRADATIONS
from indi.display import for_display
from indi.errors import ConfigError, IndiError, MissingExtraError
from indi.images import READABLE_SUFFIXES, read
from indi.restoration import DEFAULT_STEPS
from indi.shipped import best_steps, shipped_models
from indi.tiling import is_out_of_memory

log = logging.getLogger("indi")

HOST, PORT = "127.0.0.1", 7860
MOST_BYTES = 500_000_000  # of an upload
_WAITING = 64  # requests in line; more are sent away
_IDLE = 3600  # seconds until what a visitor left is removed
_PAIRS, _MADE = "an archive", {name: each.description for name, each in DEGRADATIONS.items()}
_CSS = """
.gradio-container {max-width: 1280px !important; margin: auto}
.strip .grid-container {grid-template-columns: repeat(auto-fill, minmax(104px, 1fr)) !important}
@media (max-width: 760px) {.sides {flex-direction: column} .sides > * {min-width: 0 !important}}
.status {min-height: 2.6em; padding: 0.2em 0}
.status progress {width: 100%; height: 0.5em; accent-color: #ea580c; appearance: none; border: 0}
.status progress::-webkit-progress-bar {background: var(--border-color-primary); border-radius: 4px}
.status progress::-webkit-progress-value {background: #ea580c; border-radius: 4px}
.status progress::-moz-progress-bar {background: #ea580c; border-radius: 4px}
.status .failed {color: #dc2626}
"""
_FOLDERS = re.compile(r"(?:[A-Za-z]:)?(?:[\\/][^\\/:\s]+)+[\\/]")

Updates = tuple[Any, ...]
Work = Callable[..., Iterator[Updates]]


def serve(models: Mapping[str, Path], *, port: int = PORT, show: bool = True, block: bool = True) -> Any:
    """Serve the page until it is interrupted.

    Args:
        models: Models beside the shipped ones, by name.
        port: Of this machine.
        show: Open it in a browser.
        block: Wait; otherwise return gradio's page, whose ``close`` ends it.

    Raises:
        ConfigError: The port is taken.
        MissingExtraError: gradio cannot be imported.
    """
    gr = _gradio()
    own = tempfile.TemporaryDirectory(prefix="indi-app-", ignore_cleanup_errors=True)
    os.environ.setdefault("GRADIO_TEMP_DIR", own.name)  # uploads and results: they go when we do
    page = build(models)
    page.queue(max_size=_WAITING, api_open=False)
    try:
        page.launch(
            server_name=HOST,
            server_port=port,
            inbrowser=show,
            prevent_thread_lock=not block,
            max_file_size=MOST_BYTES,
            theme=gr.themes.Base(
                primary_hue="orange", neutral_hue="slate", font=["system-ui", "sans-serif"], font_mono=["monospace"]
            ),
            css=_CSS,
            footer_links=[],
            quiet=True,
            share=False,
            ssr_mode=False,
            enable_monitoring=False,
        )
        if not block:
            page.own_folder = own
    except OSError as error:
        raise ConfigError(f"port {port} cannot be used; give another --port") from error
    return page


def build(models: Mapping[str, Path]) -> Any:
    """Return the page, not served yet.

    Raises:
        MissingExtraError: gradio cannot be imported.
    """
    gr = _gradio()
    known = Session(models)
    names = known.models()
    known.close()
    with gr.Blocks(title="indi", analytics_enabled=False, delete_cache=(_IDLE, _IDLE)) as page:
        session = gr.State(None, time_to_live=_IDLE, delete_callback=lambda kept: kept and kept.close())
        page.load(partial(Session, models), None, session, api_visibility="private")
        gr.Markdown("# indi\nRestores images in small steps, towards one of the images they could have been.")
        with gr.Tab("Restore"):
            choice = _restore_tab(gr, session, names)
        with gr.Tab("Train", render_children=True):
            trained = _train_tab(gr, session)
        with gr.Tab("Measure", render_children=True):
            measured_choice = _measure_tab(gr, session, names)
        trained.then(_offer, session, [choice, measured_choice], api_visibility="private")
    return page


def _restore_tab(gr: Any, session: Any, names: list[str]) -> Any:
    with gr.Row(elem_classes="sides"):
        with gr.Column(scale=1, min_width=300):
            upload = gr.File(label="Image: PNG, JPEG or TIFF", file_types=sorted(READABLE_SUFFIXES), height=140)
            model = gr.Dropdown(names, value=names[0] if names else None, label="Model", info=_purpose(names[:1]))
            steps = gr.Slider(
                1,
                restoring.MOST_STEPS,
                DEFAULT_STEPS,
                step=1,
                label="Steps",
                info="1: least error, a little soft. 10 and more: textures that look real, at some error.",
            )
            with gr.Accordion("More", open=False):
                samples = gr.Slider(
                    1, restoring.MOST_SAMPLES, 1, step=1, label="Samples", info="several show where the model guesses"
                )
                strength = gr.Slider(
                    0.05, 1, 1, step=0.05, label="Strength", info="below 1 for mild damage: it changes less"
                )
                enlarged = gr.Radio([1, 2, 4], value=1, label="Enlarge first")
                seed = gr.Number(0, precision=0, label="Seed", minimum=0)
            with gr.Row():
                start = gr.Button("Restore", variant="primary")
                stop = gr.Button("Stop")
            status = gr.HTML(_status(0, "Drop an image to begin."))
        with gr.Column(scale=3, min_width=320):
            slider = gr.ImageSlider(label="Before and after", format="png", max_height=720, interactive=False)
            files = gr.File(
                label="Download, in the format and bit depth of the upload", file_count="multiple", interactive=False
            )
            walk = gr.Gallery(label="The walk, step by step", columns=6, height=290, format="png", elem_classes="strip")
            with gr.Row(visible=False) as several:
                singles = gr.Gallery(label="Samples", columns=4, height=240, format="png", elem_classes="strip")
                spread = gr.Image(label="Where they differ", format="png", height=240)
    shown = [status, slider, walk, several, singles, spread, files]
    upload.upload(
        _peek,
        [session, upload],
        [status, slider, walk, several, files],
        show_progress="hidden",
        api_visibility="private",
    )
    model.change(_fit, model, [model, steps, enlarged], api_visibility="private")
    start.click(
        _restore,
        [session, upload, model, steps, samples, strength, enlarged, seed],
        shown,
        show_progress="hidden",
        api_visibility="private",
        concurrency_id="restore",
        concurrency_limit=2,
    )
    stop.click(partial(_stop, restoring.WORK), session, None, queue=False, api_visibility="private")
    return model


def _train_tab(gr: Any, session: Any) -> Any:
    with gr.Row(elem_classes="sides"):
        with gr.Column(scale=1, min_width=300):
            gr.Markdown("Two ZIP archives of images: clean and degraded, with the same names in both.")
            clean, source, degraded = _pairs(gr)
            minutes = gr.Slider(1, training.MOST_MINUTES, 10, step=1, label="Minutes")
            size = gr.Radio(["tiny", "small"], value="tiny", label="Network", info="small: better after half an hour")
            with gr.Row():
                start = gr.Button("Train", variant="primary")
                stop = gr.Button("Stop and keep")
            status = gr.HTML(_status(0, ""))
            file = gr.File(label="Weights, for indi restore --model", interactive=False)
        with gr.Column(scale=3, min_width=320):
            losses = gr.LinePlot(x="iteration", y="loss", title="Loss", height=260)
            preview = gr.Image(label="Degraded, 1 step, 10 steps, clean", format="png", interactive=False)
    trained = start.click(
        _train,
        [session, clean, source, degraded, minutes, size],
        [status, losses, preview, file],
        show_progress="hidden",
        api_visibility="private",
        concurrency_id="train",
        concurrency_limit=1,
    )
    stop.click(partial(_stop, training.WORK), session, None, queue=False, api_visibility="private")
    return trained


def _measure_tab(gr: Any, session: Any, names: list[str]) -> Any:
    with gr.Row(elem_classes="sides"):
        with gr.Column(scale=1, min_width=300):
            gr.Markdown("Pairs that the model was not trained on: what does each number of steps buy?")
            model = gr.Dropdown(names, value=names[0] if names else None, label="Model")
            clean, source, degraded = _pairs(gr)
            steps = gr.Textbox("1, 2, 5, 10, 20", label="Numbers of steps")
            with gr.Row():
                start = gr.Button("Measure", variant="primary")
                stop = gr.Button("Stop")
            status = gr.HTML(_status(0, ""))
            report = gr.File(label="Report, one page that opens offline", interactive=False)
        with gr.Column(scale=3, min_width=320):
            curve = gr.Image(label="Perception against distortion", format="png", interactive=False)
            table = gr.Dataframe(label="Means over the images", interactive=False, wrap=True)
    start.click(
        _measure,
        [session, model, clean, source, degraded, steps],
        [status, table, curve, report],
        show_progress="hidden",
        api_visibility="private",
        concurrency_id="measure",
        concurrency_limit=1,
    )
    stop.click(partial(_stop, measuring.WORK), session, None, queue=False, api_visibility="private")
    return model


def _pairs(gr: Any) -> tuple[Any, Any, Any]:
    """Lay out where pairs come from: an archive of clean images, and one of degraded ones or a task that makes them."""
    clean = gr.File(label="Clean images (ZIP)", file_types=[".zip"], height=120)
    choices = [(_PAIRS, _PAIRS), *((text, name) for name, text in _MADE.items())]
    source = gr.Dropdown(choices, value=_PAIRS, label="Degraded images come from")
    degraded = gr.File(label="Degraded images (ZIP)", file_types=[".zip"], height=120)
    source.change(lambda chosen: gr.update(visible=chosen == _PAIRS), source, degraded, api_visibility="private")
    return clean, source, degraded


def _guarded(outputs: int) -> Callable[[Work], Work]:
    """Return what turns mistakes of a visitor into a sentence in the first output, and our bugs into an apology."""

    def decorate(work: Work) -> Work:
        @wraps(work)
        def guarded(*inputs: Any) -> Iterator[Updates]:
            try:
                if not isinstance(inputs[0], Session):
                    raise ConfigError("this page is not ready, or has been open for too long; load it again")
                yield from work(*inputs)
                return
            except IndiError as error:
                message = _FOLDERS.sub("", str(error))
            except Exception as error:
                memory = is_out_of_memory(error)
                message = "does not fit in memory: give a smaller image" if memory else _bug(error)
            yield _status(0, message, failed=True), *[_gradio().skip()] * (outputs - 1)

        return guarded

    return decorate


def _bug(error: BaseException) -> str:
    log.error("the app failed", exc_info=error)
    return "something went wrong that should not have; where indi app runs it says what"


@_guarded(outputs=5)
def _peek(session: Session, upload: str | None) -> Iterator[Updates]:
    gr = _gradio()
    if upload is None:
        return
    image = for_display(read(upload, max_pixels=restoring.MOST_PIXELS).pixels)
    height, width = image.shape[:2]
    text = f"{width} x {height} pixels. Choose a model and steps, then restore."
    yield _status(0, text), (image, image), None, gr.update(visible=False), None


@_guarded(outputs=7)
def _restore(
    session: Session,
    upload: str | None,
    model: str | None,
    steps: int,
    samples: int,
    strength: float,
    enlarged: int,
    seed: int,
) -> Iterator[Updates]:
    gr = _gradio()
    if upload is None:
        raise ConfigError("drop an image first")
    skip = gr.skip()
    for now in restoring.restore(
        session,
        Path(upload),
        model,
        steps=int(steps),
        samples=int(samples),
        enlarged=int(enlarged or 1),
        strength=float(strength),
        seed=int(seed or 0),
    ):
        status = _status(now.share, now.note)
        if not now.files:  # whole images are sent once, at the end
            yield status, skip, list(now.walk), gr.update(visible=False), skip, skip, skip
            continue
        several = gr.update(visible=bool(now.samples))
        files = [str(path) for path in now.files]
        yield status, (now.before, now.after), list(now.walk), several, list(now.samples), now.spread, files


@_guarded(outputs=4)
def _train(
    session: Session, clean: str | None, source: str, degraded: str | None, minutes: float, size: str
) -> Iterator[Updates]:
    import pandas

    gr = _gradio()
    folders = _archives(clean, source, degraded)
    for now in training.train(session, *folders, minutes=minutes, size=size):
        skip = gr.skip()
        curve = pandas.DataFrame(now.losses, columns=["iteration", "loss"]) if now.losses else skip
        preview = skip if now.preview is None else str(now.preview)
        yield _status(now.share, now.note), curve, preview, skip if now.file is None else str(now.file)


@_guarded(outputs=4)
def _measure(
    session: Session, model: str | None, clean: str | None, source: str, degraded: str | None, steps: str
) -> Iterator[Updates]:
    gr = _gradio()
    folders = _archives(clean, source, degraded)
    if not re.fullmatch(r"\s*\d{1,3}(\s*,\s*\d{1,3})*\s*", steps):
        raise ConfigError("numbers of steps: give whole numbers with commas between")
    numbers = tuple(int(number) for number in steps.split(","))
    for now in measuring.measure(session, model, *folders, steps=numbers):
        status, skip = _status(now.share, now.note), gr.skip()
        if now.report is None:
            yield status, skip, skip, skip
        else:
            head, *rows = now.table
            yield status, {"headers": head, "data": rows}, str(now.curve), str(now.report)


def _archives(clean: str | None, source: str, degraded: str | None) -> tuple[Path, Path | None, str | None]:
    """Return where clean and degraded images come from, and the task that makes the latter otherwise."""
    if clean is None or (source == _PAIRS and degraded is None):
        raise ConfigError("drop the archives first")
    if source == _PAIRS:
        return Path(clean), Path(str(degraded)), None
    if source not in _MADE:
        raise ConfigError("choose where the degraded images come from")
    return Path(clean), None, source


def _stop(work: str, session: Session) -> None:
    session.stop(work)


def _offer(session: Session) -> Updates:
    """Offer what was trained, and choose it."""
    names = session.models()
    first = names[0] if names else None
    return tuple(_gradio().update(choices=names, value=first) for _ in range(2))  # gradio takes each apart


def _fit(name: str | None) -> Updates:
    """Say what a model is for, and set what it expects."""
    steps = best_steps(name or "") or DEFAULT_STEPS
    return _gradio().update(info=_purpose([name or ""])), steps, 4 if name == "super-resolve-4x" else 1


def _purpose(names: list[str]) -> str:
    if not names:
        return "none yet: train one"
    return {model["name"]: str(model["purpose"]) for model in shipped_models()}.get(names[0], "")


def _status(share: float, note: str, *, failed: bool = False) -> str:
    """Return the line that says how far something is."""
    if failed:
        return f'<div class="status" role="alert"><span class="failed">{html.escape(note)}</span></div>'
    bar = f'<progress max="1" value="{share:.3f}"></progress>' if share else ""
    return f'<div class="status" role="status">{bar}{html.escape(note)}</div>'


def _gradio() -> Any:
    try:
        import gradio
    except ImportError as error:
        raise MissingExtraError("the app needs gradio; install indi[app]") from error
    return gradio
