"""The tab that trains on pairs, and shows how it learns."""

from collections.abc import Iterator
from typing import Any

from indi.app import training
from indi.app.parts import Updates, archives, buttons, connect, gradio, pairs, status, waiting_for
from indi.app.session import Session, Task
from indi.config import MethodSettings

_METHODS = [  # what the visitor gets, and the method that gives it
    ("One call with a dial of realism (distributional)", "distributional"),
    ("Small steps (InDI)", "indi"),
]


def lay_out(session: Any) -> Any:
    """Lay out the tab; return the event of a training that ended."""
    gr = gradio()
    with gr.Row(elem_classes="sides"):
        with gr.Column(scale=2, min_width=300):
            gr.Markdown("Two ZIP archives of images: clean and degraded, with the same names in both.")
            sources = pairs()
            minutes = gr.Slider(1, training.MOST_MINUTES, 10, step=1, label="Minutes")
            size = gr.Radio(["tiny", "small"], value="tiny", label="Network", info="small: better after half an hour")
            method = gr.Radio(
                _METHODS,
                value=MethodSettings().name,
                label="How the model restores",
                info="Both go from least error to detail that looks real: by a dial, or by the number of steps.",
            )
            start, stop = buttons("Train", "Stop and keep")
            line = gr.HTML(status(0, ""))
            file = gr.File(label="Weights, for indi restore --model", interactive=False, visible=False)
        with gr.Column(scale=5, min_width=320):
            nothing = waiting_for("The loss and previews of the training come here.")
            losses = gr.LinePlot(x="iteration", y="loss", title="Loss", height=260, visible=False)
            preview = gr.Image(interactive=False, buttons=["fullscreen"], visible=False)
    outputs = [line, nothing, losses, preview, file]
    return connect("train", _train, session, start, stop, [*sources, minutes, size, method], outputs, at_once=1)


def _train(
    session: Session,
    work: Task,
    clean: str | None,
    source: str,
    degraded: str | None,
    minutes: float,
    size: str,
    method: str,
) -> Iterator[Updates]:
    import pandas

    gr = gradio()
    skip = gr.skip()
    draws = MethodSettings(name=method).build().draws
    label = f"Degraded, {'realism 0, realism 1' if draws else '1 step, 10 steps'}, clean"
    folders = archives(clean, source, degraded)
    for now in training.train(session, work, *folders, minutes=minutes, size=size, method=method):
        curve = preview = file = nothing = skip
        if now.losses:
            nothing = gr.update(visible=False)
            curve = gr.update(value=pandas.DataFrame(now.losses, columns=["iteration", "loss"]), visible=True)
        if now.preview is not None:
            preview = gr.update(value=str(now.preview), label=label, visible=True)
        if now.file is not None:
            file = gr.update(value=str(now.file), visible=True)
        yield status(now.share, now.note), nothing, curve, preview, file
