"""Commands about models as such: models, info, export."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from indi.cli.app import app
from indi.cli.options import ExportTo, Json, Model
from indi.cli.terminal import complain, print_json, print_table, printable, say
from indi.errors import IndiError

_SHOWN = 20  # images of a folder, a line each


@app.command
def models(*, json: Json = False) -> int:
    """List the models that come with the package."""
    from indi.models.pretrained import FREE, pretrained_models

    pretrained = pretrained_models()
    if json:
        print_json({"models": pretrained})
    elif not pretrained:
        print("no models come with this version; train one with indi train")
    else:
        heads = [
            "name",
            "measured on",
            "before",
            "least error",
            "by default",
            "time a megapixel",
            "may be used",
            "for",
        ]
        print_table([heads, *map(_line, pretrained)])
        for licence in {model["licence"] for model in pretrained} - {None, FREE}:
            print(f"limited: {licence}")
    return 0


def _line(model: dict[str, Any]) -> list[str]:
    """Return the cells of a model: name, what it reaches on its first test set, how fast, terms, purpose."""
    from indi.data import count
    from indi.models.pretrained import FREE, usual_way

    first, way = model["figures"][0], usual_way(model)
    # Super-resolution is published on luma, without a border.
    where, metric = (f"{first['set']}, luma", "psnr_y") if first["border"] else (first["set"], "psnr")
    best = next(row for row in first["rows"] if way.items() <= row.items())
    before, least, default = (f"{row[metric]:.2f} dB" for row in (first["degraded"], first["rows"][0], best))
    how = f"realism {way['realism']:g}" if "realism" in way else count(way["steps"], "step")
    seconds = best.get("seconds_per_megapixel")
    time = "" if seconds is None else f"{seconds:.1f} s"
    terms = "for anything" if model["licence"] == FREE else "limited"
    return [model["name"], where, before, least, f"{default}, {how}", time, terms, model["purpose"]]


@app.command
def info(path: str, /, *more: str, json: Json = False) -> int:
    """Say what runs, models, images or folders of images are.

    Args:
        path: a run folder, a model file, a pretrained model's name, an image or a folder of images
        more: others; of several JSON is one object with a list of them, under "paths"
    """
    from indi.info import info as facts_about
    from indi.restoration.inputs import expanded

    paths: list[str | Path] = []
    for item in (path, *more):  # a name of a pretrained model is no path
        matches = expanded(Path(item))
        paths += [item] if matches == [Path(item)] else matches
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
        if facts["kind"] == "images":
            _show_images(facts)
            continue
        lines = dict(_flat(facts))
        for name, value in lines.items():
            print(f"{name:>{max(map(len, lines))}}  {printable(str(value))}")
    return 2 if failed else 0


@app.command
def export(
    *,
    model: Model,
    to: Annotated[
        ExportTo,
        Parameter(
            help="onnx, for onnxruntime, OpenVINO and others; bioimageio, for deepImageJ, ilastik and napari; "
            "darktable, for its neural restore; needs indi[export], or indi[bioimageio]"
        ),
    ] = "onnx",
    out: Annotated[
        Path | None,
        Parameter(
            help="the file NAME.onnx, or a package as a folder or an archive: NAME.zip of bioimageio, NAME.dtmodel of "
            "darktable; by default model.onnx, model.zip or denoise-model.dtmodel"
        ),
    ] = None,
) -> int:
    """Write a model for other programs: ONNX, the BioImage Model Zoo, darktable."""
    from indi.export.targets import TARGETS
    from indi.io.atomic import check_place
    from indi.models.checkpoint import load_model
    from indi.models.pretrained import find_model

    target = TARGETS[to]
    out = target.place if out is None else out
    check_place(out.parent)
    loaded = load_model(find_model(model))
    say("exporting, which takes a while")
    target.export(loaded, out)
    say(f"exported: {out}")
    return 0


def _show_images(facts: dict[str, Any]) -> None:
    """Print the first images of a folder, a line each, and what all of them are."""
    from indi.data import count, few

    files = facts["files"]
    print_table([["name", "height x width", "axes", "channels", "type", "pixel size"], *map(_row, files[:_SHOWN])])
    if len(files) > _SHOWN:
        print(f"and {len(files) - _SHOWN} more")
    for name in ("sizes", "channels", "types"):
        print(f"{name}: {few(f'{value} ({number})' for value, number in facts[name].items())}")
    damaged = f", {facts['damaged']} of them damaged" if facts["damaged"] else ""
    print(f"{printable(facts['path'])}: {count(facts['images'], 'image')}{damaged}")
    for kind, names in facts["passed_over"].items():
        print(printable(f"passed over: {len(names)} {kind} ({few(names)})"))


def _row(file: dict[str, Any]) -> list[str]:
    """Return the cells of an image of a folder; what its file does not say stays empty."""
    name = printable(file["name"])
    if "damage" in file:
        return [name, printable(file["damage"]), "", "", "", ""]
    axes = " ".join(f"{axis}={length}" for axis, length in file.get("axes", {}).items())
    size = file.get("pixel_size", {})
    sides = " x ".join(f"{size[axis]:.4g}" for axis in "zyx" if axis in size)
    return [
        name,
        f"{file['height']} x {file['width']}",
        axes,
        str(file["channels"]),
        file["type"],
        f"{sides} {size['unit']}" if sides else "",
    ]


def _flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield the leaves of a tree with dotted names."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
