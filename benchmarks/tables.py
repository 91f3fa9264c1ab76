"""Write the tables of the documents from the measured figures in docs/results, so that no number is typed.

    python benchmarks/tables.py [FILE NAME]

keeps the figures of FILE, if one is given, as docs/results/NAME.json, and fills the tables.
A table stands between ``<!-- table FILE METRIC METRIC -->`` and ``<!-- end -->``: a row a method or model, a column a
number of network calls, both metrics in each cell. FILE is the compare.json of ``indi compare``, or NAME.json:PART for
a part of the ablations.json of ``ablations.py``. ``<!-- across NAME,NAME CALLS METRIC METRIC -->`` has a column
for each of several files, without their .json. ``<!-- ways FILE METRIC METRIC -->`` has a column for each channel of
the microscopy.json of ``microscopy.py``, ``<!-- coverage FILE -->`` tells of its intervals,
``<!-- strength FILE -->`` is for a strength-TASK.json of ``strength.py`` and ``<!-- scale FILE -->`` for the JSON of
``memory.py``. ``<!-- dial FILE METRIC METRIC -->`` has a row for each way of restoring of a distributional.json of
``distributional.py``, and ``<!-- draws FILE FILE -->`` a column for each of several: what its draws and their intervals
are worth. ``<!-- peers FILE METRIC METRIC -->`` has a row for each restorer of the JSON of ``peers.py``, and
``<!-- everyday FILE -->`` a row for each kind of damage of that of ``everyday.py``. ``<!-- neighbours FILE -->`` is for
a neighbours-NAME.json of ``neighbours.py``. ``<!-- toy FILE -->`` begins the
table of a toy.json of ``indi toy``; ``<!-- models -->`` has a row for each test set of each pretrained model, with
``first`` for the first set of each, and ``<!-- cards -->`` all of their cards.
A test holds the documents to the files.
"""

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from indi.models.pretrained import pretrained_models, usual_way
from indi.report import metric_text, row_label
from indi.report.toy import exact_error

ROOT = Path(__file__).parent.parent
DOCUMENTS = ("README.md", "docs/results.md", "docs/choose.md", "docs/models.md", "docs/scale.md")
_STEPS, _CORES = (1, 5, 10), 64  # what a terapixel is reckoned for
_TABLE = re.compile(r"(<!-- (?:table|toy) (\S+)((?: \w+)*) -->\n).*?(<!-- end -->)", re.DOTALL)
_OTHERS = re.compile(
    r"(<!-- (ways|coverage|strength|scale|dial|peers|everyday|neighbours) (\S+)((?: \w+)*) -->\n).*?(<!-- end -->)",
    re.DOTALL,
)
_DRAWS = re.compile(r"(<!-- draws ((?:\S+\.json ?)+) -->\n).*?(<!-- end -->)", re.DOTALL)
_ACROSS = re.compile(r"(<!-- across (\S+) (\S+)((?: \w+)+) -->\n).*?(<!-- end -->)", re.DOTALL)
_MODELS = re.compile(r"(<!-- models( first)? -->\n).*?(<!-- end -->)", re.DOTALL)
_CARDS = re.compile(r"(<!-- cards -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(text: str, folder: Path) -> str:
    """Return a document with its tables made again from the files in ``folder``."""

    def table(found: re.Match[str]) -> str:
        name, _, part = found[2].partition(":")
        values = json.loads((folder / name).read_text(encoding="utf-8"))
        values = {"methods": values[part]} if part else values
        lines = _lines(values, found[3].split()) if found[3] else _toy_lines(values)
        return found[1] + "\n".join(lines) + "\n" + found[4]

    def across(found: re.Match[str]) -> str:
        files = {
            name: json.loads((folder / f"{name}.json").read_text(encoding="utf-8")) for name in found[2].split(",")
        }
        calls = [int(number) for number in found[3].split(",")]
        return found[1] + "\n".join(_across_lines(files, calls, found[4].split())) + "\n" + found[5]

    def others(found: re.Match[str]) -> str:
        values = json.loads((folder / found[3]).read_text(encoding="utf-8"))
        lines = {
            "ways": lambda: _ways_lines(values, found[4].split()),
            "coverage": lambda: _coverage_lines(values["coverage"]),
            "dial": lambda: _dial_lines(values, found[4].split()),
            "strength": lambda: _strength_lines(values),
            "scale": lambda: _scale_lines(values),
            "peers": lambda: _peers_lines(values, found[4].split()),
            "everyday": lambda: _everyday_lines(values),
            "neighbours": lambda: _neighbours_lines(values),
        }[found[2]]()
        return found[1] + "\n".join(lines) + "\n" + found[5]

    def draws(found: re.Match[str]) -> str:
        names = found[2].split()
        files = {name: json.loads((folder / name).read_text(encoding="utf-8")) for name in names}
        return found[1] + "\n".join(_draws_lines(files)) + "\n" + found[3]

    def models(found: re.Match[str]) -> str:
        return found[1] + "\n".join(_model_lines(sets=1 if found[2] else None)) + "\n" + found[3]

    def cards(found: re.Match[str]) -> str:
        return found[1] + "\n".join(_card_lines()) + "\n" + found[2]

    for pattern, lines in (
        (_TABLE, table),
        (_ACROSS, across),
        (_OTHERS, others),
        (_DRAWS, draws),
        (_MODELS, models),
        (_CARDS, cards),
    ):
        text = pattern.sub(lines, text)
    return text


def _model_lines(sets: int | None) -> Iterator[str]:
    if not pretrained_models():
        yield "*None comes with this version yet: the recipes train them.*"
        return
    yield "| model | measured on | degraded | least error | by default | default |"
    yield "|---" * 6 + "|"
    for model in pretrained_models():
        way = usual_way(model)
        for figures in model["figures"][:sets]:
            # Super-resolution is published on luma, without a border.
            psnr = "psnr_y" if figures["border"] else "psnr"
            usual = next((row for row in figures["rows"] if way.items() <= row.items()), None)
            cells = [
                "" if row is None else _cell(row, {}, [psnr, "swd"])
                for row in (figures["degraded"], figures["rows"][0], usual)
            ]
            pairs = ", real pairs" if figures["kind"] == "real pairs" else ""
            luma = ", luma" if figures["border"] else ""
            where = f"{figures['set']} ({figures['images']} images{pairs}{luma})"
            yield "| " + " | ".join([f"`{model['name']}`", where, *cells, row_label(**way)]) + " |"


def _card_lines() -> Iterator[str]:
    for model in pretrained_models():
        made = model["training"]
        before = made.get("before", [])
        seconds = sum(each["seconds"] for each in (made, *before))
        hours = f"{seconds / 3600:.1f} hours in all on {made['machine']}, {made['date']}"
        earlier = "".join(f", after {each['iterations']:,} of `{each['task']}`" for each in before)
        crops = f"{made['iterations']:,} iterations, {made['images_seen']:,} crops{earlier}"
        recipe = f"[{model['recipe']}.toml](../src/indi/recipes/{model['recipe']}.toml)"
        clean = model["clean"]
        yield f"\n### {model['name']}\n"
        yield f"- **For**: {model['purpose']}; {row_label(**usual_way(model))} by default."
        if model["realism"] is None:
            yield f"- **Sampler**: {model['sampler']} by default, and in the tables."
        yield f"- **Network**: size {model['size']}, colour; gray images are served too."
        yield f"- **Data**: {model['data']}."
        yield f"- **Training**: {recipe}; {crops}; {hours}."
        kept = "; ".join(
            f"with {row_label(row['steps'], row.get('realism'))} within {row['psnr']:.1f} dB of themselves, at the "
            f"least {row['least']:.1f} dB"
            for row in clean["rows"]
        )
        yield f"- **Clean images** ({clean['images']} of {clean['set']}) come back {kept}."
        yield f"- **Limits**: {model['limits']}"
        yield f"- **Not for**: {model['not_for']}"
        yield f"- **Licence**: {model['licence']}\n"
        for figures in model["figures"]:
            border = f", without a border of {figures['border']} px" if figures["border"] else ""
            yield f"{figures['set']}: {figures['images']} images, {figures['kind']}{border}.\n"
            names = [name for name, value in figures["degraded"].items() if value is not None]
            yield "| | " + " | ".join(names) + " |"
            yield "|---" * (1 + len(names)) + "|"
            for row in ({"steps": 0, **figures["degraded"]}, *figures["rows"]):
                label = row_label(row["steps"], row.get("realism"))
                yield "| " + " | ".join([label, *(metric_text(name, row.get(name)) for name in names)]) + " |"
            yield ""


def _lines(values: Mapping[str, Any], metrics: list[str]) -> Iterator[str]:
    rows = list(_rows(values))
    calls = sorted({number for _, cells in rows for number in cells})
    yield "| " + " | ".join(["", *map(str, calls)]) + " |"
    yield "|---" * (1 + len(calls)) + "|"
    if "degraded" in values:
        rows.insert(0, ("degraded", {calls[0]: (values["degraded"], {})}))
    for name, cells in rows:
        texts = [_cell(*cells[number], metrics) if number in cells else "" for number in calls]
        yield "| " + " | ".join([name, *texts]) + " |"


def _across_lines(files: Mapping[str, Any], calls: list[int], metrics: list[str]) -> Iterator[str]:
    """Yield a row a method and a column a file, with a few numbers of calls in each cell."""
    yield "| | " + " | ".join(files) + " |"
    yield "|---" * (1 + len(files)) + "|"
    for method in next(iter(files.values()))["methods"]:
        cells = []
        for values in files.values():
            at = dict(_rows(values))[method]
            cells.append(", ".join(_cell(*at[number], metrics) for number in calls if number in at))
        yield "| " + " | ".join([f"`{method}`", *cells]) + " |"


def _ways_lines(values: Mapping[str, Any], metrics: list[str]) -> Iterator[str]:
    """Yield a row a way of restoring and a column a channel."""
    channels = list(next(iter(values["ways"].values())))
    yield "| | " + " | ".join(f"channel {name}" if name != "all" else "all" for name in channels) + " |"
    yield "|---" * (1 + len(channels)) + "|"
    for way, found in values["ways"].items():
        yield "| " + " | ".join([way, *(_cell(found[name], {}, metrics) for name in channels)]) + " |"


def _coverage_lines(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"| of {found['rate']:.0%} asked for | held by fields left out | factor |"
    yield "|---|---|---|"
    for name in ("plain", "guaranteed"):
        held = found["check"][name]
        yield f"| {name} | {held['mean']:.1%} ± {held['deviation']:.1%} | {found[name]:.2f} |"


def _strength_lines(values: Mapping[str, Any]) -> Iterator[str]:
    """Yield a row a level of damage and a column a strength, with all numbers of steps in each cell."""
    yield f"| {values['what']} | degraded | " + " | ".join(f"{strength:g}" for strength in values["strengths"]) + " |"
    yield "|---" * (2 + len(values["strengths"])) + "|"
    for row in values["rows"]:
        cells = [
            " / ".join(f"{row[f'{steps}/{strength:g}']:.2f}" for steps in values["steps"])
            for strength in values["strengths"]
        ]
        degraded = "none" if row["level"] == 0 else f"{row['degraded']:.2f}"
        yield "| " + " | ".join([str(row["level"]), degraded, *cells]) + " |"


def _scale_lines(values: Mapping[str, Any]) -> Iterator[str]:
    """Yield what each picture took, and what a terapixel would take at the rate of the largest."""
    threads = values["threads"]
    yield "| picture | steps | peak memory | time | megapixels a second, step and core |"
    yield "|---" * 5 + "|"
    for row in values["rows"]:
        rate = row["megapixels"] * row["steps"] / row["seconds"] / threads
        hours = f"{row['seconds'] / 60:.0f} min on {threads} core{'s' * (threads > 1)}"
        yield f"| {row['megapixels']:.0f} MP | {row['steps']} | {row['peak_gib']:.2f} GiB | {hours} | {rate:.2f} |"
    yield ""
    yield "| a terapixel, extrapolated | " + " | ".join(f"{n} step{'s' * (n > 1)}" for n in _STEPS) + " |"
    yield "|---" * (1 + len(_STEPS)) + "|"
    hours_of_core = [1e6 * n / rate / 3600 for n in _STEPS]
    yield "| hours of one core | " + " | ".join(f"{hours:,.0f}" for hours in hours_of_core) + " |"
    days = [hours / 24 / _CORES for hours in hours_of_core]
    yield f"| days of a machine of {_CORES} cores | " + " | ".join(f"{each:.1f}" for each in days) + " |"


def _dial_lines(values: Mapping[str, Any], metrics: list[str]) -> Iterator[str]:
    metrics = [name for name in metrics if any(name in row for row in values["quality"].values())]
    yield "| | " + " | ".join(metrics) + " |"
    yield "|---" * (1 + len(metrics)) + "|"
    for name, row in values["quality"].items():
        yield f"| {name} | " + " | ".join(metric_text(metric, row.get(metric)) for metric in metrics) + " |"


def _peers_lines(values: Mapping[str, Any], metrics: list[str]) -> Iterator[str]:
    """Yield a row a restorer; of a peer that was told several deviations of the noise the best by PSNR."""
    rows: list[Mapping[str, Any]] = []
    best: dict[str, Mapping[str, Any]] = {}
    for row in values["rows"]:
        if "sigma" in row:
            best[row["name"]] = max(row, best.get(row["name"], row), key=lambda each: each["psnr"])
        else:
            rows.append(row)
    yield "| | " + " | ".join(metrics) + " | s / megapixel |"
    yield "|---" * (2 + len(metrics)) + "|"
    for row in (*rows, *best.values()):
        ways = {"realism": "realism {:g}", "steps": "steps {:g}", "sigma": "told a deviation of {:g}"}
        way = "".join(f", {text.format(row[key])}" for key, text in ways.items() if key in row)
        seconds = f"{row['seconds_per_megapixel']:.1f}" if row["name"] != "degraded" else ""
        cells = [metric_text(metric, row.get(metric)) for metric in metrics]
        yield "| " + " | ".join([row["name"] + way, *cells, seconds]) + " |"


def _everyday_lines(values: Mapping[str, Any]) -> Iterator[str]:
    yield "| damage | before | restored | at the least |"
    yield "|---|---|---|---|"
    for row in values["rows"]:
        before = "none" if row["before"] > 99 else f"{row['before']:.2f}"
        yield f"| {row['damage']} | {before} | {row['after']:.2f} | {row['least']:.2f} |"


def _neighbours_lines(values: Mapping[str, Any]) -> Iterator[str]:
    ways = list(next(iter(values.values()))["gap_along_z"])
    yield f"| planes on each side | PSNR, realism 0 | {' | '.join(f'gap along z, {way}' for way in ways)} |"
    yield "|---" * (2 + len(ways)) + "|"
    for count, found in values.items():
        gaps = " | ".join(f"{found['gap_along_z'][way]:.2f}" for way in ways)
        yield f"| {count} | {found['psnr']:.2f} | {gaps} |"


def _draws_lines(files: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield what draws are worth, a column a file."""
    yield "| | " + " | ".join(Path(name).stem.removeprefix("distributional-") for name in files) + " |"
    yield "|---" * (1 + len(files)) + "|"

    def line(name: str, text: Callable[[Mapping[str, Any]], str]) -> str:
        return f"| {name} | " + " | ".join(map(text, files.values())) + " |"

    def cost(values: Mapping[str, Any]) -> str:
        seconds = values["seconds_an_iteration"]
        return f"{seconds['distributional'] / seconds['indi']:.2f}"

    def width(method: str) -> Callable[[Mapping[str, Any]], str]:
        def text(values: Mapping[str, Any]) -> str:
            found = values["intervals"].get(method, {}).get("plain_half_width")
            return "-" if found is None else f"{found:.2f}"

        return text

    def flat(*names: str) -> Callable[[Mapping[str, Any]], str]:
        return lambda values: " / ".join(f"{values['flat'][n]:.2f}" if values["flat"] else "-" for n in names)

    yield line(
        "iterations of InDI / in the same time",
        lambda v: f"{v['iterations']['indi']:,} / {v['iterations']['distributional']:,}",
    )
    yield line("an iteration, in those of InDI", cost)
    yield line("spread over skill of 19 draws (1: honest)", lambda v: f"{v['honesty']['spread_over_skill']:.2f}")
    yield line("their range holds the clean value (nominal 90 %)", lambda v: f"{v['honesty']['coverage']:.1%}")
    yield line("half width of plain 90 % intervals in 255ths, InDI's ten steps", width("indi"))
    yield line("the same of draws", width("distributional"))
    ways = ("InDI, 1 step", "InDI, 10 steps")
    yield line("left on flat images, in 255ths: InDI, 1 / 10 steps", flat(*ways))
    dial = ("one call, realism 0", "one call, realism 0.6", "one call, realism 1")
    yield line("the same of one call, realism 0 / 0.6 / 1", flat(*dial))


def _toy_lines(values: Mapping[str, Any]) -> Iterator[str]:
    yield "| | " + " | ".join(f"{name}: error | hit" for name in ("set 1", "set 2")) + " |"
    yield "|---" * 5 + "|"
    sets = [values["set1"], values["set2"]]
    cells = [f"{part['regression']['mse']:.2f} | {part['regression']['hit']:.1%}" for part in sets]
    yield "| regression | " + " | ".join(cells) + " |"
    draws = [(part["distributional"], exact_error(part)) for part in sets]
    cells = [f"{drawn['mse']:.2f} ({error:.2f}) | {drawn['hit']:.1%} ({1:.1%})" for drawn, error in draws]
    yield "| one call, drawn | " + " | ".join(cells) + " |"
    for rows in zip(*(part["rows"] for part in sets), strict=True):
        cells = [
            f"{row['mse']:.2f} ({row['mse_closed_form']:.2f}) | {row['hit']:.1%} ({row['hit_closed_form']:.1%})"
            for row in rows
        ]
        yield f"| {rows[0]['steps']} | " + " | ".join(cells) + " |"


def _rows(values: Mapping[str, Any]) -> Iterator[tuple[str, dict[int, tuple[Mapping[str, Any], Mapping[str, Any]]]]]:
    """Yield each line of a table: its name, and by network calls its metrics and their spread over seeds."""
    for name, result in values["methods"].items():
        spreads = result.get("spread", [{}] * len(result["rows"]))
        yield name, {row["network_calls"]: (row, spread) for row, spread in zip(result["rows"], spreads, strict=True)}


def _cell(row: Mapping[str, Any], spread: Mapping[str, Any], metrics: list[str]) -> str:
    parts = []
    for name in metrics:
        some = spread.get(name)
        parts.append(metric_text(name, row.get(name)) + ("" if some is None else f" ± {metric_text(name, some)}"))
    return " / ".join(parts)


def kept(values: Any) -> Any:
    """Return what a file of figures holds without its single images, and with the last two parts of paths."""
    if isinstance(values, dict):
        return {name: kept(value) for name, value in values.items() if name != "per_image"}
    if isinstance(values, list):
        return [kept(value) for value in values]
    is_path = isinstance(values, str) and Path(values).is_absolute()
    return "/".join(Path(values).parts[-2:]) if is_path else values


def fill() -> None:
    """Fill the tables of all documents."""
    for name in DOCUMENTS:
        file = ROOT / name
        file.write_text(filled(file.read_text(encoding="utf-8"), ROOT / "docs" / "results"), encoding="utf-8")


def main() -> int:
    """Keep figures and fill the tables; return the exit code."""
    if len(sys.argv) == 3:
        figures = kept(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
        file = ROOT / "docs" / "results" / f"{sys.argv[2]}.json"
        file.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    fill()
    return 0


if __name__ == "__main__":
    sys.exit(main())
