"""What an evaluation shows: distortion against perception, and one HTML page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from indi.io import write_atomic
from indi.report.drawing import ACCENT, PALE, grid, label, picture
from indi.report.page import Strip, figure_tag, page_of, settings_list, strip_tags
from indi.report.tables import (
    CROPS,
    EXPLAINED,
    best_rows,
    has_dial,
    html_table,
    known_metrics,
    means_tags,
    row_label,
    table_rows,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_curve(table: Mapping[str, Any], path: Path) -> None:
    """Draw distortion against perception, a point a number of steps, as a PNG.

    The degraded image is a point too where it does not squeeze the others together.
    """
    write_atomic(path, _curve(table))


def write_report(table: Mapping[str, Any], strips: Sequence[Strip], out: Path) -> None:
    """Write report.html into ``out``: the table, the curve and the strips, in one file that needs no other."""
    head, *body = table_rows(table)
    names = known_metrics([table["degraded"], *table["rows"]])
    first = head.index("calls") + 1
    best = {(row + 1, column) for column, name in enumerate(names, first) for row in best_rows(name, table["rows"])}
    page = page_of(
        f"{table['model']} ({table['method']})",
        f"""{means_tags(table["settings"])}
{html_table(head, body, best)}
<p>{EXPLAINED} The best value of each measure is bold.</p>
{figure_tag(f"PSNR against swd over {'realism' if has_dial(table['rows']) else 'steps'}", _curve(table))}
<h2>Images</h2>
<p class="quiet">{CROPS}</p>
{"".join(strip_tags(strip) for strip in strips)}
{settings_list(table["settings"])}""",
    )
    write_atomic(out / "report.html", page)


def _curve(table: Mapping[str, Any]) -> bytes:
    """Return the curve as a PNG."""

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        axes.set_xlabel("PSNR in dB (to the right: less error)")
        axes.set_ylabel("swd (downwards: looks more real)")
        buys = "realism" if has_dial(table["rows"]) else "each step"
        axes.set_title(f"{table['model']}: what {buys} buys", loc="left", fontweight="bold", pad=12)
        grid(axes)
        axes.margins(0.14)
        _draw_points(figure, axes, table)

    return picture(draw, 6.4, 4.2)


def _draw_points(figure: "Figure", axes: "Axes", table: Mapping[str, Any]) -> None:
    rows = [row for row in table["rows"] if row["psnr"] is not None and row["swd"] is not None]
    if not rows:
        axes.text(0.5, 0.5, "swd or PSNR has no value for these images", transform=axes.transAxes, ha="center")
        return
    points = [(row["psnr"], row["swd"]) for row in rows]
    labels = [_label(row, index == 0) for index, row in enumerate(rows)]
    axes.plot(*zip(*points, strict=True), color=ACCENT, marker="o", markersize=6, linewidth=1.6, zorder=3)
    degraded = (table["degraded"]["psnr"], table["degraded"]["swd"])
    if all(_fits(value, axis) for value, axis in zip(degraded, zip(*points, strict=True), strict=True)):
        axes.plot(*degraded, color=PALE, marker="s", markersize=6, linestyle="none", zorder=3)
        points, labels = [*points, degraded], [*labels, "degraded"]
    figure.draw_without_rendering()  # places cannot be asked for before the layout is settled
    label(axes, points, labels)


def _label(row: Mapping[str, Any], is_first: bool) -> str:
    """Return what stands beside a point: the first in words, of the others the number."""
    realism = row.get("realism")
    if is_first or (realism is not None and row["steps"] > 1):
        return row_label(row["steps"], realism)
    return str(row["steps"]) if realism is None else f"{realism:g}"


def _fits(value: float | None, others: Sequence[float]) -> bool:
    """Return whether the axis of the others need not grow to more than twice its length for this value."""
    low, high = min(others), max(others)
    return value is not None and (low == high or 2 * low - high <= value <= 2 * high - low)
