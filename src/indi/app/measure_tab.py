"""The tab that measures a model on pairs, and shows what each number of steps, or each realism, buys."""

import re
from collections.abc import Iterator
from typing import Any

from indi.app import measuring
from indi.app.parts import QUIET, Updates, archives, buttons, connect, gradio, pairs, status, waiting_for
from indi.app.session import Session, Task
from indi.errors import ConfigError
from indi.evaluation.evaluate import DIAL


def lay_out(session: Any, known: Session) -> Any:
    """Lay out the tab for the models that are known at first; return the choice of models."""
    gr = gradio()
    names = known.models()
    first = names[0] if names else None
    draws = known.draws(first)
    with gr.Row(elem_classes="sides"):
        with gr.Column(scale=2, min_width=300):
            gr.Markdown("Pairs that the model was not trained on: what does each setting of its dial buy?")
            model = gr.Dropdown(names, value=first, label="Model")
            sources = pairs()
            steps = gr.Textbox("1, 2, 5, 10, 20", label="Numbers of steps", visible=not draws)
            dial = ", ".join(f"{realism:g}" for realism in DIAL)
            over = gr.Markdown(f"This model needs one step. It is measured at realism {dial}.", visible=draws)
            start, stop = buttons("Measure", "Stop")
            line = gr.HTML(status(0, ""))
            report = gr.File(label="Report, one page that opens offline", interactive=False, visible=False)
        with gr.Column(scale=5, min_width=320):
            nothing = waiting_for("The curve of error against texture, and the table, come here.")
            curve = gr.Image(show_label=False, interactive=False, buttons=["fullscreen", "download"], visible=False)
            table = gr.Dataframe(label="Means over the images", interactive=False, visible=False)
    model.change(_fit, [session, model], [steps, over], **QUIET)
    outputs = [line, nothing, table, curve, report]
    connect("measure", _measure, session, start, stop, [model, *sources, steps], outputs, at_once=1)
    return model


def _measure(
    session: Session, work: Task, model: str | None, clean: str | None, source: str, degraded: str | None, steps: str
) -> Iterator[Updates]:
    gr = gradio()
    folders = archives(clean, source, degraded)
    numbers = None if session.draws(model) else _numbers(steps)
    for now in measuring.measure(session, work, model, *folders, steps=numbers):
        line, skip = status(now.share, now.note), gr.skip()
        if now.report is None:
            yield line, skip, skip, skip, skip
            continue
        head, *rows = now.table
        table = gr.update(value={"headers": head, "data": rows}, visible=True)
        curve, report = (gr.update(value=str(path), visible=True) for path in (now.curve, now.report))
        yield line, gr.update(visible=False), table, curve, report


def _fit(session: Session | None, name: str | None) -> Updates:
    """Ask for numbers of steps where a model takes several; where it draws, say what it is measured at."""
    gr = gradio()
    draws = session is not None and session.draws(name)
    return gr.update(visible=not draws), gr.update(visible=draws)


def _numbers(steps: str) -> tuple[int, ...]:
    if not re.fullmatch(r"\s*\d{1,3}(\s*,\s*\d{1,3})*\s*", steps):
        raise ConfigError("numbers of steps: give whole numbers with commas between")
    return tuple(int(number) for number in steps.split(","))
