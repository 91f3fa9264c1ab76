"""One figure and one self-contained HTML page: what a person looks at after an evaluation."""

import base64
import html
import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from indi.images import write_atomic
from indi.metrics import METRICS
from indi.version import __version__

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Pixels = NDArray[Any]
_INK, _ACCENT, _PALE = "#1f2430", "#c2410c", "#8a93a3"
_DISTANCES = (7, 16, 28, 40)  # of a label from its point, in points of 1/72 inch
_DIRECTIONS = ((1, 1), (-1, -1), (1, -1), (-1, 1), (0, 1), (0, -1), (1, 0), (-1, 0))
_DIGITS = {"ssim": 4, "ms_ssim": 4}  # two for all others


@dataclass(frozen=True)
class Strip:
    """One image over steps: (label, (h, w, 3) uint8, metrics) for each panel, and the clean crop."""

    file: str
    panels: list[tuple[str, Pixels, Mapping[str, float | None]]]
    clean: Pixels


def draw_curve(table: Mapping[str, Any], path: Path) -> None:
    """Draw distortion against perception, a point a number of steps, as a PNG.

    The degraded image is a point too where it does not squeeze the others together.
    """
    write_atomic(path, _curve(table))


def write_report(table: Mapping[str, Any], strips: Sequence[Strip], out: Path) -> None:
    """Write report.html into ``out``: the table, the curve and the strips, in one file that needs no other."""
    page = _page(table, strips).encode("utf-8", "backslashreplace")  # a file name may hold what is no character
    write_atomic(out / "report.html", page)


def table_rows(table: Mapping[str, Any]) -> Iterator[list[str]]:
    """Yield the table as text: the header, the degraded image, then a row a number of steps."""
    names = _known_metrics(table)
    yield ["steps", "calls", *(_header(name) for name in names), "s/MP"]
    yield ["degraded", "", *(_text(name, table["degraded"][name]) for name in names), ""]
    for row in table["rows"]:
        values = [_text(name, row[name]) for name in names]
        yield [str(row["steps"]), str(row["network_calls"]), *values, f"{row['seconds_per_megapixel']:.2f}"]


def steps_label(steps: int) -> str:
    """Return "degraded", "1 step" or "5 steps"."""
    return "degraded" if steps == 0 else _counted(steps, "step")


def _known_metrics(table: Mapping[str, Any]) -> list[str]:
    """Return the metrics that have a meaning for these images."""
    return [name for name in METRICS if any(row[name] is not None for row in (table["degraded"], *table["rows"]))]


def _header(name: str) -> str:
    metric = METRICS[name]
    label = name if name == "swd" else metric.label
    return f"{label} ({metric.unit})" if metric.unit else label


def _text(name: str, value: float | None) -> str:
    return "-" if value is None else f"{value:.{_DIGITS.get(name, 2)}f}"


def _curve(table: Mapping[str, Any]) -> bytes:
    """Return the curve as a PNG; drawn without window system or global state."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    style: Any = {
        "font.size": 10,
        "text.color": _INK,
        "text.parse_math": False,  # a name may hold a dollar sign
        "axes.edgecolor": _PALE,
        "axes.labelcolor": _INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "xtick.color": _INK,
        "ytick.color": _INK,
        "xtick.labelsize": 9,
        "ytick.labelsize": 9,
    }
    with mpl.rc_context(style), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # names in scripts that the font lacks
        figure = Figure(figsize=(6.4, 4.2), layout="constrained")
        axes = figure.subplots()
        axes.set_xlabel("PSNR in dB (to the right: less error)")
        axes.set_ylabel("swd (downwards: looks more real)")
        axes.set_title(f"{table['model']}: what each step buys", loc="left", fontweight="bold", pad=12)
        axes.grid(color=_PALE, alpha=0.25, linewidth=0.8)
        axes.margins(0.14)
        _draw_points(figure, axes, table)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=150, metadata={"Software": None})
    return buffer.getvalue()


def _draw_points(figure: "Figure", axes: "Axes", table: Mapping[str, Any]) -> None:
    rows = [row for row in table["rows"] if row["psnr"] is not None and row["swd"] is not None]
    if not rows:
        axes.text(0.5, 0.5, "swd or PSNR has no value for these images", transform=axes.transAxes, ha="center")
        return
    points = [(row["psnr"], row["swd"]) for row in rows]
    labels = [steps_label(row["steps"]) if index == 0 else str(row["steps"]) for index, row in enumerate(rows)]
    axes.plot(*zip(*points, strict=True), color=_ACCENT, marker="o", markersize=6, linewidth=1.6, zorder=3)
    degraded = (table["degraded"]["psnr"], table["degraded"]["swd"])
    if all(_fits(value, axis) for value, axis in zip(degraded, zip(*points, strict=True), strict=True)):
        axes.plot(*degraded, color=_PALE, marker="s", markersize=6, linestyle="none", zorder=3)
        points, labels = [*points, degraded], [*labels, "degraded"]
    figure.draw_without_rendering()  # places cannot be asked for before the layout is settled
    _label(axes, points, labels)


def _fits(value: float | None, others: Sequence[float]) -> bool:
    """Return whether the axis of the others need not grow to more than twice its length for this value."""
    low, high = min(others), max(others)
    return value is not None and (low == high or 2 * low - high <= value <= 2 * high - low)


def _label(axes: "Axes", points: Sequence[tuple[float, float]], labels: Sequence[str]) -> None:
    """Write each label beside its point, at the nearest place where it covers neither line nor label."""
    from matplotlib.transforms import Bbox

    places = axes.transData.transform(points)
    ends = list(pairwise(places)) or [(places[0], places[0])]
    line = np.concatenate([np.linspace(start, end, 60) for start, end in ends])
    taken = [Bbox([place - 4, place + 4]) for place in (*line, *places)]
    for point, label in zip(points, labels, strict=True):
        for distance, (right, up) in product(_DISTANCES, _DIRECTIONS):
            place: Any = {"xytext": (right * distance, up * distance), "textcoords": "offset points"}
            text = axes.annotate(label, point, ha=("center", "left", "right")[right], va="center", **place)
            box = text.get_window_extent()
            if box.count_overlaps(taken):
                text.remove()
                continue
            taken.append(box)
            if distance > _DISTANCES[0]:
                axes.annotate("", point, arrowprops={"arrowstyle": "-", "color": _PALE, "linewidth": 0.7}, **place)
            break  # where there is no room at all, the table says it


def _page(table: Mapping[str, Any], strips: Sequence[Strip]) -> str:
    title = html.escape(f"{table['model']} ({table['method']})")
    settings = "".join(
        f"<dt>{html.escape(name)}</dt><dd>{html.escape(str(value))}</dd>"
        for name, value in table["settings"].items()
        if value is not None
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>
:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.55 system-ui, sans-serif; margin: 2.5rem auto; max-width: 62rem; padding: 0 1.2rem; }}
h1 {{ font-size: 1.6rem; margin-bottom: .3rem; }} h2 {{ font-size: 1.15rem; margin: 2.2rem 0 .5rem; }}
h3 {{ font-size: 1rem; margin: 1.2rem 0 .4rem; overflow-wrap: anywhere; }}
.scroll {{ overflow-x: auto; }} .quiet {{ opacity: .72; font-size: .9rem; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
th, td {{ padding: .35rem .9rem; text-align: right; border-bottom: 1px solid #8885; white-space: nowrap; }}
th {{ font-weight: 600; }} .best {{ font-weight: 700; }}
.curve {{ width: 100%; max-width: 44rem; background: #fff; border-radius: 6px; }}
.strip {{ display: flex; gap: .6rem; padding-bottom: .5rem; }} .strip figure {{ margin: 0; flex: none; }}
.strip img {{ display: block; width: 11rem; image-rendering: pixelated; border-radius: 3px; }}
figcaption {{ font-size: .85rem; line-height: 1.35; padding-top: .3rem; }}
dl {{ display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1.2rem; font-size: .9rem; }}
dt {{ opacity: .72; }} dd {{ margin: 0; overflow-wrap: anywhere; }}
</style></head><body>
<h1>{title}</h1>
<p class="quiet">Mean over {_counted(table["settings"]["images"], "image")}.</p>
<div class="scroll">{_html_table(table)}</div>
<p>PSNR and SSIM measure error, where few steps do well: they answer with the average of all plausible images.
<code>swd</code> compares the texture of restored and clean, which that average lacks: lower looks more real.
The best value of each measure is bold.</p>
<img class="curve" alt="PSNR against swd over steps" src="{_inline(_curve(table))}">
<h2>Images</h2>
<p class="quiet">Crops at their most detailed place; the figures are those of the whole image.</p>
{"".join(_html_strip(strip) for strip in strips)}
<h2>Settings</h2><dl>{settings}</dl>
<p class="quiet">indi {html.escape(__version__)}</p>
</body></html>
"""


def _html_table(table: Mapping[str, Any]) -> str:
    header, degraded, *rows = table_rows(table)
    best = set(_best_cells(table))
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    body = "".join(f"<td>{html.escape(cell)}</td>" for cell in degraded) + "</tr>"
    for number, row in enumerate(rows):
        cells = ((' class="best"' if (number, column) in best else "", cell) for column, cell in enumerate(row))
        body += "<tr>" + "".join(f"<td{mark}>{html.escape(cell)}</td>" for mark, cell in cells) + "</tr>"
    return f"<table><thead><tr>{head}</tr></thead><tbody><tr>{body}</tbody></table>"


def _best_cells(table: Mapping[str, Any]) -> Iterator[tuple[int, int]]:
    """Yield (row, column) of the best value of each metric, all of them where several read the same."""
    for column, name in enumerate(_known_metrics(table), start=2):
        values = [row[name] for row in table["rows"]]
        known = [value for value in values if value is not None]
        if len(known) > 1:
            best = _text(name, max(known) if METRICS[name].higher_is_better else min(known))
            yield from ((row, column) for row, value in enumerate(values) if _text(name, value) == best)


def _html_strip(strip: Strip) -> str:
    figures = "".join(
        f'<figure><img alt="{html.escape(label)}" src="{_inline(_png(pixels))}">'
        f"<figcaption><b>{html.escape(label)}</b><br>{_caption(metrics)}</figcaption></figure>"
        for label, pixels, metrics in (*strip.panels, ("clean", strip.clean, {}))
    )
    return f'<h3>{html.escape(strip.file)}</h3><div class="scroll strip">{figures}</div>'


def _caption(metrics: Mapping[str, float | None]) -> str:
    forms = {"psnr": "{:.2f} dB", "swd": "swd {:.1f}"}
    known = {name: metrics.get(name) for name in forms}
    return " &middot; ".join(forms[name].format(value) for name, value in known.items() if value is not None)


def _png(pixels: Pixels) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _inline(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
