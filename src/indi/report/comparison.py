"""What a comparison of methods shows: quality against network calls, and one HTML page."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from indi.data import count
from indi.io import write_atomic
from indi.process.methods import METHODS
from indi.report.drawing import PALE, grid, picture
from indi.report.page import Strip, figure_tag, page_of, settings_list, strip_tags
from indi.report.tables import (
    CROPS,
    EXPLAINED,
    best_rows,
    has_dial,
    header,
    html_table,
    known_metrics,
    means_tags,
    metric_text,
    realism_text,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Of a palette that people who confuse red and green can read (Okabe and Ito, 2008), with a mark each.
_LOOKS = (
    ("#d55e00", "o"),
    ("#333333", "*"),
    ("#0072b2", "s"),
    ("#009e73", "^"),
    ("#cc79a7", "D"),
    ("#e69f00", "v"),
    ("#999999", "P"),
)
_SHOWN_DECIBELS = 8.0  # below the best
_FEW = 5  # images


def write_comparison(table: Mapping[str, Any], strips: Mapping[str, Sequence[Strip]], out: Path) -> None:
    """Write compare.png and report.html into ``out``.

    Args:
        table: The content of compare.json.
        strips: The images to show, by method, the same images in the same order.
        out: The folder.
    """
    drawn = _curves(table)
    write_atomic(out / "compare.png", drawn)
    write_atomic(out / "report.html", _page(table, strips, drawn))


def comparison_rows(table: Mapping[str, Any]) -> Iterator[list[str]]:
    """Yield the table as text: the header, the degraded image, then a row for each method and number of calls."""
    names = known_metrics([table["degraded"], *_rows(table)])
    dial = has_dial(_rows(table))
    yield ["method", "calls", *(["realism"] if dial else []), *map(header, names), "s/MP"]
    yield ["degraded", "", *([""] if dial else []), *(metric_text(n, table["degraded"][n]) for n in names), ""]
    for method, result in table["methods"].items():
        for row, spread in _with_spreads(result):
            values = [_with_spread(name, row[name], spread.get(name)) for name in names]
            setting = [method, str(row["network_calls"]), *([realism_text(row)] if dial else [])]
            yield [*setting, *values, f"{row['seconds_per_megapixel']:.2f}"]


def _rows(table: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [row for result in table["methods"].values() for row in result["rows"]]


def _with_spreads(result: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Yield each row of a method with its spread over seeds, which is empty for one seed."""
    yield from zip(result["rows"], result.get("spread", [{}] * len(result["rows"])), strict=True)


def _with_spread(name: str, value: float | None, spread: float | None) -> str:
    return metric_text(name, value) if spread is None else f"{metric_text(name, value)} ± {metric_text(name, spread)}"


def _curves(table: Mapping[str, Any]) -> bytes:
    """Return the figure as a PNG: two metrics over calls, and one against the other."""

    def draw(figure: "Figure") -> None:
        from matplotlib.ticker import LogLocator, NullFormatter

        panels = figure.subplot_mosaic([["plane", "psnr"], ["plane", "swd"]], width_ratios=[1.5, 1])
        plane, error, texture = panels["plane"], panels["psnr"], panels["swd"]
        for method, result in table["methods"].items():
            _draw_method(plane, error, texture, method, result)
        plane.set_xlabel("PSNR in dB (to the right: less error)")
        plane.set_ylabel("swd (downwards: looks more real)")
        plane.set_title("What each method buys with its network calls", loc="left", fontweight="bold", pad=12)
        plane.legend(frameon=False)
        calls = sorted({row["network_calls"] for row in _rows(table)})
        for axes, name in ((error, "PSNR in dB"), (texture, "swd")):
            axes.set_xscale("log")
            axes.set_xticks(calls, [str(number) for number in calls])
            axes.minorticks_off()
            axes.set_ylabel(name)
        texture.set_xlabel("network calls")
        for axes in (plane, texture):
            axes.set_yscale("log")  # texture is compared as how many times as far
            axes.yaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter(NullFormatter())
        _frame(table, plane, error, texture)
        for axes in (plane, error, texture):
            grid(axes)

    return picture(draw, 9.6, 5.0)


def _draw_method(plane: "Axes", error: "Axes", texture: "Axes", method: str, result: Mapping[str, Any]) -> None:
    # By its place in the table of methods, so that a method looks alike in all reports.
    colour, mark = _LOOKS[list(METHODS).index(method) % len(_LOOKS)] if method in METHODS else _LOOKS[-1]
    points = [
        (row, spread) for row, spread in _with_spreads(result) if row["psnr"] is not None and row["swd"] is not None
    ]
    if not points:
        return
    style: Any = {"color": colour, "marker": mark, "markersize": 12 if mark == "*" else 6, "linewidth": 1.5}
    style |= {"capsize": 2, "elinewidth": 0.8}
    # Over calls a model that draws shows its draws, over the dial its one call.
    dial = has_dial([row for row, _ in points])
    over_dial = [(row, spread) for row, spread in points if not dial or row["steps"] == points[0][0]["steps"]]
    over_calls = [(row, spread) for row, spread in points if row.get("realism") in (None, 1)]
    psnr, swd, psnr_spread, swd_spread = _columns(over_dial)
    plane.errorbar(psnr, swd, xerr=psnr_spread, yerr=swd_spread, label=method, **style)
    for index in {0, len(over_dial) - 1}:  # where lines begin and end is what a reader looks for first
        row = over_dial[index][0]
        end = f"realism {row['realism']:g}" if dial else str(row["network_calls"])
        place: Any = {"xytext": (6, 5), "textcoords": "offset points", "annotation_clip": True}
        plane.annotate(end, (psnr[index], swd[index]), color=colour, **place)
    if over_calls:
        calls = [row["network_calls"] for row, _ in over_calls]
        psnr, swd, psnr_spread, swd_spread = _columns(over_calls)
        error.errorbar(calls, psnr, yerr=psnr_spread, **style)
        texture.errorbar(calls, swd, yerr=swd_spread, **style)


def _columns(points: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> tuple[Any, ...]:
    """Return PSNR and swd of rows, and their spreads over seeds, None where there are none."""
    values = [[row[name] for row, _ in points] for name in ("psnr", "swd")]
    spreads = [[spread.get(name) for _, spread in points] for name in ("psnr", "swd")]
    return *values, *(None if None in some else some for some in spreads)


def _frame(table: Mapping[str, Any], plane: "Axes", error: "Axes", texture: "Axes") -> None:
    """Cut the axes where a method far behind would squeeze all others, and say which; show where degraded lies."""
    rows = [row for row in _rows(table) if row["psnr"] is not None and row["swd"] is not None]
    if not rows:
        return
    floor = max(row["psnr"] for row in rows) - _SHOWN_DECIBELS
    left_out = [
        method for method, result in table["methods"].items() if any(_below(row, floor) for row in result["rows"])
    ]
    if left_out:
        highest = max(row["swd"] for row in rows if not _below(row, floor))
        plane.set_xlim(left=floor)
        error.set_ylim(bottom=floor)
        for axes in (plane, texture):
            axes.set_ylim(top=1.3 * highest)
        note = f"{', '.join(left_out)}: in part below {floor:.1f} dB, see the table"
        plane.text(0.02, 0.02, note, transform=plane.transAxes, fontsize=9)
    degraded = table["degraded"]["psnr"]
    if degraded is not None and error.get_ylim()[0] <= degraded <= error.get_ylim()[1]:
        error.axhline(degraded, color=PALE, linestyle="--", linewidth=1)
        error.annotate(
            "degraded", (1, degraded), xycoords=("axes fraction", "data"), ha="right", va="bottom", color=PALE
        )


def _below(row: Mapping[str, Any], floor: float) -> bool:
    return row["psnr"] is not None and row["psnr"] < floor


def _page(table: Mapping[str, Any], strips: Mapping[str, Sequence[Strip]], drawn: bytes) -> bytes:
    settings = table["settings"]
    seeds = len(settings["seeds"])
    spread = (
        f", and its standard deviation over {seeds} trainings on one split"
        if seeds > 1
        else ", of one seed: small differences mean nothing"
    )
    return page_of(
        f"{', '.join(table['methods'])} compared",
        f"""{means_tags(settings, spread)}
<p class="quiet">The same network, pairs and budget of training for each, and the settings of InDI where a method has
use for them: a regression has no noise, diffusion has its own and always sees the degraded image beside it.</p>
{_warnings(table)}
{figure_tag("PSNR and swd over network calls, by method", drawn)}
<p>The figures beside a line count its network calls. {EXPLAINED} The best value of each measure is bold.</p>
{_quality(table)}
<h2>Training</h2>
{_training(table)}
<h2>Images</h2>
<p class="quiet">{CROPS}</p>
{"".join(strip_tags(strip) for strip in _by_image(strips))}
{settings_list(settings)}""",
    )


def _warnings(table: Mapping[str, Any]) -> str:
    """Return what a reader should not overlook, as HTML."""
    found = []
    images = table["settings"]["images"]
    if images < _FEW:
        found.append(
            f"{count(images, 'image')} to test on {'is' if images == 1 else 'are'} too few to tell methods apart."
        )
    reached = [row["psnr"] for row in _rows(table) if row["psnr"] is not None]
    degraded = table["degraded"]["psnr"]
    if reached and degraded is not None and max(reached) <= degraded:
        found.append("No method brings PSNR above that of the degraded images: they were trained too briefly.")
    return "".join(f"<p><b>{text}</b></p>" for text in found)


def _quality(table: Mapping[str, Any]) -> str:
    head, *body = comparison_rows(table)
    names = known_metrics([table["degraded"], *_rows(table)])
    first = 3 if has_dial(_rows(table)) else 2
    best = {(row + 1, column) for column, name in enumerate(names, first) for row in best_rows(name, _rows(table))}
    return html_table(head, body, best)


def _training(table: Mapping[str, Any]) -> str:
    body = []
    for method, result in table["methods"].items():
        cost = result["train"]
        body.append([method, *(f"{cost[name]:.0f}" for name in ("seconds", "iterations", "crops_per_second"))])
        body[-1].append(f"{cost['parameters'] / 1e6:.2f}")
    return html_table(["method", "seconds", "iterations", "crops/s", "million weights"], body, set())


def _by_image(strips: Mapping[str, Sequence[Strip]]) -> Iterator[Strip]:
    """Yield the strips image by image, so that methods stand below each other."""
    for some in zip(*strips.values(), strict=True):
        for method, strip in zip(strips, some, strict=True):
            yield Strip(f"{strip.file}: {method}", strip.panels, strip.clean)
