"""The toy sets as people look at them: the paper's Figure 1, its animation, and the table."""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from indi.report.drawing import ACCENT, INK, PALE, STYLE, grid, picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Points = NDArray[np.float32]
_WALK = "#0e7490"
_ENDS = ("#0e7490", "#7c3aed", "#c2410c", "#4d7c0f")  # of the four clean points, in the animation
_LIMITS = ((3.4, 3.4), (2.8, 1.6))  # of the two sets: half the width and half the height that is shown
_CLEAN = np.array([(-1, -1), (-1, 1), (1, -1), (1, 1)])
_SETS = {"set1": "set 1", "set2": "set 2"}


@dataclass(frozen=True)
class ToyPanel:
    """Points in the plane, x and y: a cloud, walks through it, and what one step makes of their starts.

    Attributes:
        cloud: Degraded points, (N, 2).
        walks: The states of K walks, (moments, K, 2), from degraded to restored.
        regression: Where one step leads from the K starts, (K, 2).
    """

    cloud: Points
    walks: Points
    regression: Points


def toy_rows(table: Mapping[str, Any]) -> Iterator[list[str]]:
    """Yield the table as text: the header, then a row a number of steps for each set."""
    yield ["", "steps", "mse", "mse exact", "hit", "hit exact"]
    for name, title in _SETS.items():
        regression = table[name]["regression"]
        yield [title, "regression", f"{regression['mse']:.2f}", "-", f"{100 * regression['hit']:.1f} %", "-"]
        for row in table[name]["rows"]:
            errors = [f"{row[key]:.2f}" for key in ("mse", "mse_closed_form")]
            hits = [f"{100 * row[key]:.1f} %" for key in ("hit", "hit_closed_form")]
            yield [title, str(row["steps"]), *errors, *hits]


def draw_toy_figure(panels: Sequence[ToyPanel], table: Mapping[str, Any]) -> bytes:
    """Return the figure as a PNG.

    Args:
        panels: Set 1 in closed form and as trained, set 2 likewise, then set 2 without noise.
        table: What toy.json holds.
    """

    def draw(figure: "Figure") -> None:
        figure.suptitle(
            "One step answers with the average of what could be behind it. Small steps walk to one of them.",
            x=0.012,
            ha="left",
            fontsize=13,
            fontweight="bold",
        )
        cells = figure.add_gridspec(2, 3, height_ratios=(1, 0.68))
        titles = (
            "Set 1, noise added: exact answer",
            "Set 1: trained network",
            "Set 2, height lost, then noise: exact answer",
            "Set 2: trained network",
            "Set 2 without noise: one start, one end",
        )
        for number, (panel, title) in enumerate(zip(panels, titles, strict=True)):
            row, column = divmod(number, 2) if number < 4 else (1, 2)
            axes = figure.add_subplot(cells[row, column])
            _plane(axes, row, title)
            _draw_walks(axes, panel)
        figure.axes[-1].text(0, 0.5, "every draw of a side\ngoes the same way", ha="center", va="center", color=PALE)
        _draw_hits(figure, cells[0, 2], table)
        handles, labels = figure.axes[0].get_legend_handles_labels()
        place: Any = {"loc": "outside lower center", "ncols": len(labels), "handletextpad": 0.4}
        legend = figure.legend(handles, labels, frameon=False, **place)
        legend.get_lines()[0].set_alpha(0.7)  # one pale point alone would not be seen

    return picture(draw, 12, 8.2)


def _plane(axes: "Axes", row: int, title: str) -> None:
    width, height = _LIMITS[row]
    axes.set(xlim=(-width, width), ylim=(-height, height), aspect="equal", xticks=(-1, 1), yticks=(-1, 1))
    axes.set_title(title, loc="left", fontsize=10.5)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelcolor=PALE)
    grid(axes)


def _draw_walks(axes: "Axes", panel: ToyPanel) -> None:
    dots: Any = {"linestyle": "none", "markeredgewidth": 0}
    axes.plot(*panel.cloud.T, marker="o", markersize=3, color=PALE, alpha=0.22, label="degraded", **dots)
    axes.plot(*panel.walks[0].T, marker="o", markersize=4.5, color=INK, label="20 starts", **dots)
    for number, walk in enumerate(panel.walks.swapaxes(0, 1)):
        label = "small steps" if number == 0 else None
        axes.plot(*walk.T, marker="o", markersize=2.2, color=_WALK, linewidth=0.9, alpha=0.85, label=label)
    axes.plot(*panel.regression.T, marker="o", markersize=5.5, color=ACCENT, zorder=4, label="one step", **dots)
    axes.plot(
        *_CLEAN.T,
        marker="o",
        markersize=13,
        linestyle="none",
        markerfacecolor="none",
        markeredgecolor=INK,
        markeredgewidth=1.6,
        zorder=5,
        label="clean",
    )


def _draw_hits(figure: "Figure", cell: Any, table: Mapping[str, Any]) -> None:
    """Draw what each number of steps buys, and its price, over one axis of steps."""
    upper, lower = cell.subgridspec(2, 1, hspace=0.12).subplots(sharex=True)
    for (name, title), colour in zip(_SETS.items(), (_WALK, "#7c3aed"), strict=True):
        rows = table[name]["rows"]
        places = range(len(rows))
        for axes, key, scale in ((upper, "hit", 100), (lower, "mse", 1)):
            axes.plot(places, [scale * row[f"{key}_closed_form"] for row in rows], color=colour, alpha=0.45)
            values = [scale * row[key] for row in rows]
            axes.plot(places, values, marker="o", linestyle="none", color=colour, label=title)
    upper.set_title("Steps reach the clean points (%) …", loc="left", fontsize=10.5)
    lower.set_title("… at the price of squared error", loc="left", fontsize=10.5)
    lower.set_xticks(range(len(rows)), [str(row["steps"]) for row in rows])
    lower.set_xlabel("steps (line: exact answer, dots: trained network)")
    lower.set_ylim(0, 2.2)
    upper.set_ylim(-4, 104)
    upper.legend(frameon=False, loc="lower right")
    for axes in (upper, lower):
        grid(axes)
        axes.tick_params(length=0)


def draw_toy_animation(panels: Sequence[ToyPanel]) -> bytes:
    """Return draws of both sets on their way from degraded to restored, as a GIF that loops.

    Args:
        panels: Set 1 and set 2, with a walk for each draw.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 5.8), dpi=100, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        ratios = [height / width for width, height in _LIMITS]
        planes = figure.subplots(2, 2, height_ratios=ratios)
        figure.suptitle("One step answers with an average. Small steps choose.", fontsize=12, fontweight="bold")
        moving = []
        for row, panel in enumerate(panels):
            ways = {"one step": np.stack([panel.walks[0], panel.regression]), "small steps": panel.walks}
            for axes, (title, path) in zip(planes[row], ways.items(), strict=True):
                _plane(axes, row, f"Set {row + 1}: {title}")
                axes.plot(*panel.cloud.T, "o", markersize=3, markeredgewidth=0, color=PALE, alpha=0.15)
                axes.plot(*_CLEAN.T, "o", markersize=15, markerfacecolor="none", markeredgecolor=INK, zorder=5)
                ends = np.abs(panel.walks[-1][:, None] - _CLEAN).sum(axis=2).argmin(axis=1)
                colours = [_ENDS[end] for end in ends]
                dots = axes.scatter(*path[0].T, s=14, c=colours, alpha=0.8, linewidths=0, animated=True)
                moving.append((axes, dots, path))
        canvas.draw()  # type: ignore[no-untyped-call]
        background = canvas.copy_from_bbox(figure.bbox)  # type: ignore[no-untyped-call]
        frames = []
        for share in _pace():
            canvas.restore_region(background)  # type: ignore[no-untyped-call]
            for axes, dots, path in moving:
                dots.set_offsets(_between(path, share))
                axes.draw_artist(dots)
            pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
            frames.append(Image.fromarray(pixels[..., :3].copy()))
    palette = frames[len(frames) // 2].quantize(64, dither=Image.Dither.NONE)
    frames = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    pauses = [900, *[60] * (len(frames) - 2), 1800]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], duration=pauses, loop=0, optimize=True)
    return buffer.getvalue()


def _pace(frames: int = 45) -> NDArray[np.float64]:
    """Return the share of the way at each frame: slow at both ends."""
    share = np.linspace(0, 1, frames)
    return share * share * (3 - 2 * share)


def _between(path: Points, share: float) -> Points:
    """Return the points at a share of the way, on straight lines between the moments of ``path``."""
    place = share * (len(path) - 1)
    before = min(int(place), len(path) - 2)
    weight = np.float32(place - before)
    moved: Points = path[before] + weight * (path[before + 1] - path[before])
    return moved
