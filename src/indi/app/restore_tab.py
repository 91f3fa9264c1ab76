"""The tab that restores one image, and shows how."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from indi.app import restoring
from indi.app.parts import QUIET, Updates, buttons, connect, gradio, guarded, purpose, said, status, waiting_for
from indi.app.session import Session, Task
from indi.errors import ConfigError
from indi.io import READABLE_SUFFIXES, WRITABLE_NAMES
from indi.models.pretrained import best_realism, best_steps
from indi.process import DEFAULT_STEPS

_KIND = "restore"
_EXAMPLE = Path(__file__).parent / "example.jpg"  # a dog by a telephone in poor light; CC0, from gb82-image-set
_READ_AT_ONCE = 8
_OPTIONS = {"steps": int, "samples": int, "seed": int, "realism": float, "strength": float}  # in the order of inputs
_BEGIN = "Drop an image to begin."
_STRIP: dict[str, Any] = {"height": "auto", "elem_classes": "strip", "buttons": ["fullscreen"]}


def lay_out(session: Any, known: Session) -> Any:
    """Lay out the tab for the models that are known at first; return the choice of models."""
    gr = gradio()
    names = known.models()
    first = names[0] if names else None
    draws = known.draws(first)
    with gr.Row(elem_classes="sides"):
        with gr.Column(scale=2, min_width=300):
            upload = gr.File(
                label=", ".join(WRITABLE_NAMES),
                file_types=sorted(READABLE_SUFFIXES),
                height=140,
                elem_classes="drop",
            )
            example = gr.Button("Try it on a photograph", size="sm", variant="secondary")
            model = gr.Dropdown(names, value=first, label="Model", info=purpose(first))
            steps = gr.Slider(
                1,
                restoring.MOST_STEPS,
                best_steps(first or "") or DEFAULT_STEPS,
                step=1,
                label="Steps",
                info="1: least error, a little soft. 10 and more: textures that look real, at some error.",
                visible=not draws,
            )
            realism = gr.Slider(
                0,
                1,
                best_realism(first or ""),
                step=0.05,
                label="Realism",
                info="0: least error, a little soft. 1: detail that looks real, at some error.",
                visible=draws,
            )
            with gr.Accordion("More", open=False):
                samples = gr.Slider(1, restoring.MOST_SAMPLES, 1, step=1, label="Samples", info=_several(draws))
                strength = gr.Slider(
                    0.05,
                    1,
                    1,
                    step=0.05,
                    label="Strength",
                    info="below 1 for mild degradation: it changes less",
                    visible=not draws,
                )
                enlarged = gr.Radio([1, 2, 4], value=1, label="Enlarge first")
                seed = gr.Number(0, precision=0, label="Seed", minimum=0)
            start, stop = buttons("Restore", "Stop")
            line = gr.HTML(status(0, _BEGIN))
            files = gr.File(
                label="Download, in the format and bit depth of the upload",
                file_count="multiple",
                interactive=False,
                visible=False,
            )
        with gr.Column(scale=5, min_width=320):
            nothing = waiting_for("Before and after come here, under one slider.")
            slider = gr.ImageSlider(
                label="Before and after", max_height=720, interactive=False, buttons=["fullscreen"], visible=False
            )
            steps_shown = gr.Gallery(label="Step by step", columns=6, visible=False, **_STRIP)
            with gr.Row(visible=False) as several:
                singles = gr.Gallery(label="Samples", columns=4, **_STRIP)
                with gr.Column(min_width=240):
                    spread = gr.Image(
                        label="Spread of the samples", height=240, buttons=["fullscreen"], interactive=False
                    )
                    legend = gr.HTML()
    pictures = [slider, nothing, steps_shown, several]
    # Several at once: a file that takes long to read is not to keep other visitors from theirs.
    upload.upload(
        guarded(7)(_look), [session, upload], [line, files, *pictures, upload], concurrency_limit=_READ_AT_ONCE, **QUIET
    )
    example.click(_example, session, upload, **QUIET).then(
        guarded(7)(_look), [session, upload], [line, files, *pictures, upload], **QUIET
    )
    upload.clear(_forget, session, [line, files, *pictures], queue=False, **QUIET)
    model.change(_fit, [session, model], [model, steps, realism, samples, strength, enlarged], **QUIET)
    inputs = [upload, model, enlarged, steps, samples, seed, realism, strength]
    outputs = [line, slider, steps_shown, several, singles, spread, legend, files]
    connect(_KIND, _restore, session, start, stop, inputs, outputs, at_once=2)
    return model


def _example(session: Session | None) -> str | None:
    """Return a copy of the photograph that comes with the page: what visitors give lies in their own folder too."""
    return None if session is None else str(shutil.copy(_EXAMPLE, session.folder))


def _look(session: Session, upload: str | None) -> Iterator[Updates]:
    gr = gradio()
    if upload is None:
        return
    session.drop(_KIND)
    hidden = gr.update(visible=False)
    skip = gr.skip()
    yield status(0, "reading"), hidden, skip, skip, hidden, hidden, skip
    try:
        before, height, width = restoring.look(session, Path(upload))
    except Exception as error:  # the place is free for another file
        yield status(0, said(error), failed=True), hidden, hidden, gr.update(visible=True), hidden, hidden, None
        return
    text = f"{width} x {height} pixels. Choose a model, then restore."
    picture = gr.update(value=(str(before), str(before)), visible=True)
    yield status(0, text), hidden, picture, hidden, hidden, hidden, skip


def _forget(session: Session | None) -> Updates:
    if session is not None:
        session.drop(_KIND)
    gr = gradio()
    hidden = gr.update(visible=False)
    return status(0, _BEGIN), hidden, hidden, gr.update(visible=True), hidden, hidden


def _restore(
    session: Session,
    task: Task,
    upload: str | None,
    model: str | None,
    enlarged: int,
    *options: float,
) -> Iterator[Updates]:
    gr = gradio()
    if upload is None:
        raise ConfigError("drop an image first")
    skip, hidden = gr.skip(), gr.update(visible=False)
    shown = -1  # steps that the page has
    for now in restoring.restore(
        session,
        task,
        Path(upload),
        model,
        enlarged=int(enlarged or 1),
        **{name: kind(value or 0) for (name, kind), value in zip(_OPTIONS.items(), options, strict=True)},
    ):
        taken = skip if len(now.steps) == shown else _strip(now.steps)
        shown = len(now.steps)
        line = status(now.share, now.note)
        if now.spread is None:
            several, singles, spread, legend = hidden, skip, skip, skip
        else:
            several, singles = gr.update(visible=True), [(str(path), text) for path, text in now.samples]
            spread, legend = str(now.spread[0]), now.spread[1]
        after = skip if now.after is None else (str(now.before), str(now.after))
        files = gr.update(value=[str(path) for path in now.files], visible=True) if now.files else hidden
        yield line, after, taken, several, singles, spread, legend, files


def _strip(pictures: tuple[restoring.Shown, ...]) -> Any:
    return gradio().update(value=[(str(path), text) for path, text in pictures], visible=bool(pictures))


def _fit(session: Session | None, name: str | None) -> Updates:
    """Say what a model is for, set what it expects, and show its dial: realism where it draws, else steps."""
    gr = gradio()
    draws = session is not None and session.draws(name)
    steps = gr.update(value=best_steps(name or "") or DEFAULT_STEPS, visible=not draws)
    realism = gr.update(value=best_realism(name or ""), visible=draws)
    samples, strength = gr.update(info=_several(draws)), gr.update(visible=not draws)
    return gr.update(info=purpose(name)), steps, realism, samples, strength, 4 if name == "super-resolve-4x" else 1


def _several(draws: bool) -> str:
    """Return what several samples are for."""
    return f"several show where the model guesses{'; at realism 1 in full' if draws else ''}"
