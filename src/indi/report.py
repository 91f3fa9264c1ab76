"""Figures and one self-contained HTML page: what a person looks at after an evaluation."""

import base64
import html
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from indi.checkpoint import write_text
from indi.images import from_unit, to_unit, write_atomic
from indi.metrics import METRICS
from indi.version import __version__

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Pixels = NDArray[np.generic]
_INK, _ACCENT, _PALE = "#1f2430", "#c2410c", "#9aa3b2"


@dataclass(frozen=True)
class Strip:
    """One image over steps: (label, (h, w, 3) uint8, metrics) for each panel, and the clean crop."""

    file: str
    panels: list[tuple[str, Pixels, Mapping[str, float | None]]]
    clean: Pixels


def for_display(image: Pixels) -> Pixels:
    """Return (H, W, 3) uint8 of any image: gray repeated, the first three of more channels, the first of two."""
    planes = np.atleast_3d(to_unit(image))
    colour = planes[..., :3] if planes.shape[-1] >= 3 else planes[..., :1].repeat(3, axis=-1)
    return from_unit(colour, np.dtype(np.uint8))


def draw_curve(table: Mapping[str, Any], path: Path) -> None:
    """Draw distortion against perception, a point a number of steps, as a PNG."""
    write_atomic(path, _png(_curve(table)))


def write_report(table: Mapping[str, Any], strips: Sequence[Strip], out: Path) -> None:
    """Write report.html into ``out``: the table, the curve and the strips, readable offline."""
    figures = [_png(_curve(table)), *(_png(_strip(strip)) for strip in strips)]
    write_text(out / "report.html", _page(table, figures, [strip.file for strip in strips]))


def write_strip(strips: Sequence[Strip], path: Path) -> None:
    """Write the strips, one below the other, as a PNG."""
    write_atomic(path, _png(_strip(*strips)))


def table_rows(table: Mapping[str, Any]) -> Iterator[list[str]]:
    """Yield the table as text: the header, the degraded image, then a row a number of steps."""
    names = [
        name for name in METRICS if table["degraded"][name] is not None or table["rows"][0][name] is not None
    ]
    yield ["steps", "calls", *(METRICS[name].label for name in names), "s / MP"]
    yield ["degraded", "", *(_number(name, table["degraded"][name]) for name in names), ""]
    for row in table["rows"]:
        values = [_number(name, row[name]) for name in names]
        yield [str(row["steps"]), str(row["network_calls"]), *values, f"{row['seconds_per_megapixel']:.2f}"]


def _number(name: str, value: float | None) -> str:
    digits = {"ssim": 4, "ms_ssim": 4}.get(name, 2)
    return "–" if value is None else f"{value:.{digits}f}"


@contextmanager
def _plotting() -> Iterator[Any]:
    """Give matplotlib's Figure class: no window system, no global state."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    style = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "text.color": _INK}
    with mpl.rc_context({**style, "axes.edgecolor": _PALE, "xtick.color": _INK, "ytick.color": _INK}):
        yield Figure


def _curve(table: Mapping[str, Any]) -> "Figure":
    with _plotting() as figure_class:
        figure: Figure = figure_class(figsize=(6.2, 4.0), layout="constrained")
        axes = figure.subplots()
        rows = [row for row in table["rows"] if row["psnr"] is not None and row["swd"] is not None]
        psnr, swd = [row["psnr"] for row in rows], [row["swd"] for row in rows]
        axes.plot(psnr, swd, color=_ACCENT, marker="o", linewidth=1.5)
        for row in rows:
            axes.annotate(
                f"{row['steps']} step{'s' if row['steps'] > 1 else ''}",
                (row["psnr"], row["swd"]),
                xytext=(6, 6),
                textcoords="offset points",
            )
        axes.set_xlabel("PSNR in dB: higher is less distortion →")
        axes.set_ylabel("← lower looks more real: swd")
        axes.margins(0.15)
        axes.set_title(f"{table['model']}: what each step buys", loc="left", fontweight="bold")
        return figure


def _strip(*strips: Strip) -> "Figure":
    columns = max(len(strip.panels) for strip in strips) + 1
    with _plotting() as figure_class:
        figure: Figure = figure_class(figsize=(2.0 * columns, 2.35 * len(strips)), layout="constrained")
        grid = figure.subplots(len(strips), columns, squeeze=False)
        for line, strip in zip(grid, strips, strict=True):
            panels: list[tuple[str, Pixels, Mapping[str, float | None]]] = [
                *strip.panels,
                ("clean", strip.clean, {}),
            ]
            for axes in line:
                axes.set_axis_off()
            for axes, (label, image, metrics) in zip(line, panels, strict=False):
                axes.imshow(image, interpolation="nearest")
                value = metrics.get("psnr")
                axes.set_title(label if value is None else f"{label}  {value:.2f} dB", fontsize=8)
        return figure


def _png(figure: "Figure") -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150, metadata={"Software": None})
    return buffer.getvalue()


def _page(table: Mapping[str, Any], figures: Sequence[bytes], files: Sequence[str]) -> str:
    header, *rows = table_rows(table)
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    curve, *strips = (base64.b64encode(figure).decode() for figure in figures)
    pictures = "".join(
        f'<figure><img alt="{html.escape(file)} over steps" src="data:image/png;base64,{strip}">'
        f"<figcaption>{html.escape(file)}: whole-image PSNR above each crop</figcaption></figure>"
        for file, strip in zip(files, strips, strict=True)
    )
    settings = "".join(
        f"<dt>{html.escape(name)}</dt><dd>{html.escape(str(value))}</dd>"
        for name, value in table["settings"].items()
    )
    title = html.escape(f"{table['model']} ({table['method']})")
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>
:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; }}
img {{ max-width: 100%; background: #fff; border-radius: 4px; }}
figure {{ margin: 1.5rem 0; overflow-x: auto; }} figcaption {{ opacity: .7; font-size: .85rem; }}
.scroll {{ overflow-x: auto; }} table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
th, td {{ padding: .3rem .9rem; text-align: right; border-bottom: 1px solid #8884; white-space: nowrap; }}
dl {{ display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; font-size: .85rem; }}
dt {{ opacity: .7; }} dd {{ margin: 0; overflow-wrap: anywhere; }}
</style></head><body>
<h1>{title}</h1>
<p>Mean over {table["settings"]["images"]} images. PSNR and SSIM measure distortion: one step is best there, since it
answers with the average of all plausible images. <code>swd</code>, the distance between the statistics of
restored and clean detail, measures what that average loses: lower looks more real.</p>
<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>
<figure><img alt="PSNR against swd over steps" src="data:image/png;base64,{curve}"></figure>
{pictures}
<h2>Settings</h2><dl>{settings}</dl>
<p><small>indi {html.escape(__version__)}</small></p>
</body></html>
"""
