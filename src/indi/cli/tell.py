"""Commands about models as such: models, info, export."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from indi.checkpoint import load_model
from indi.cli.app import app
from indi.cli.options import Json, Model
from indi.cli.terminal import complain, print_json, print_table, printable, say
from indi.errors import IndiError
from indi.export import export as export_model
from indi.images.atomic import check_place
from indi.info import info as facts_about
from indi.inputs import expanded
from indi.report import counted
from indi.shipped import find_model, shipped_models


@app.command
def models(*, json: Json = False) -> int:
    """List the models that come with the package."""
    shipped = shipped_models()
    if json:
        print_json({"models": shipped})
    elif not shipped:
        print("no models come with this version; train one with indi train")
    else:
        print_table([["name", "measured on", "before", "1 step", "unless asked", "for"], *map(_line, shipped)])
        for licence in {model["licence"] for model in shipped} - {None}:
            print(licence)
    return 0


def _line(model: dict[str, Any]) -> list[str]:
    """Return the cells of a model: what it is called, what it reaches on its first test set, what it is for."""
    first, steps = model["figures"][0], model["steps"]
    # Super-resolution is published on luma, without a border.
    where, metric = (f"{first['set']}, luma", "psnr_y") if first["border"] else (first["set"], "psnr")
    best = next(row for row in first["rows"] if row["steps"] == steps)
    before, one, unasked = (f"{row[metric]:.2f} dB" for row in (first["degraded"], first["rows"][0], best))
    return [model["name"], where, before, one, f"{unasked}, {counted(steps, 'step')}", model["purpose"]]


@app.command
def info(path: Path, /, *more: Path, json: Json = False) -> int:
    """Say what runs, models or images are.

    Args:
        path: a run folder, a model file, a shipped model's name or an image
        more: others; of several JSON is one object with a list of them, under "paths"
    """
    paths = [each for item in (path, *more) for each in expanded(item)]
    found, failed = [], False
    for each in paths:
        try:
            found.append(facts_about(each))
        except IndiError as error:
            if len(paths) == 1:
                raise
            complain(error)
            failed = True
    if json:
        print_json({"paths": found} if len(paths) > 1 else found[0])
        return 2 if failed else 0
    for number, facts in enumerate(found):
        if number:
            print()
        lines = dict(_flat(facts))
        for name, value in lines.items():
            print(f"{name:>{max(map(len, lines))}}  {printable(str(value))}")
    return 2 if failed else 0


@app.command
def export(*, model: Model, out: Path = Path("model.onnx")) -> int:
    """Write a model as ONNX, for onnxruntime, OpenVINO and others; needs indi[export].

    Args:
        out: the file, NAME.onnx
    """
    check_place(out.parent)
    loaded = load_model(find_model(model))
    say("exporting, which takes a while")
    export_model(loaded, out)
    say(f"exported: {out}")
    return 0


def _flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield the leaves of a tree with dotted names."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
