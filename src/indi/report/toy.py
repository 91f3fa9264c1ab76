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
_STEPS = "#0e7490"
_DRAWN = "#4d7c0f"
_ENDS = ("#0e7490", "#7c3aed", "#c2410c", "#4d7c0f")  # of the four clean points, in the animation
_FRAMES = 45  # of the animation
_LIMITS = ((3.4, 3.4), (2.8, 1.6))  # of the two sets: half the width and half the height that is shown
_CLEAN = np.array([(-1, -1), (-1, 1), (1, -1), (1, 1)])
_SETS = {"set1": "set 1", "set2": "set 2"}


@dataclass(frozen=True)
class ToyPanel:
    """Points in the plane, x and y: a cloud, trajectories through it, and what one step makes of their starts.

    Attributes:
        cloud: Degraded points, (N, 2).
        trajectories: The states of K restorations, (times, K, 2), from degraded to restored.
        regression: Where one step leads from the K starts, (K, 2).
        drawn: Where calls of a sampler lead from them, (calls, K, 2), if there is one.
    """

    cloud: Points
    trajectories: Points
    regression: Points
    drawn: Points | None = None


def toy_rows(table: Mapping[str, Any]) -> Iterator[list[str]]:
    """Yield the table as text: the header, then a row a number of steps for each set."""
    yield ["", "steps", "mse", "mse exact", "hit", "hit exact"]
    for name, title in _SETS.items():
        regression = table[name]["regression"]
        yield [title, "regression", f"{regression['mse']:.2f}", "-", f"{100 * regression['hit']:.1f} %", "-"]
        drawn = table[name]["distributional"]
        errors = [f"{error:.2f}" for error in (drawn["mse"], exact_error(table[name]))]
        yield [title, "1 drawn", *errors, f"{100 * drawn['hit']:.1f} %", f"{100:.1f} %"]
        for row in table[name]["rows"]:
            errors = [f"{row[key]:.2f}" for key in ("mse", "mse_closed_form")]
            hits = [f"{100 * row[key]:.1f} %" for key in ("hit", "hit_closed_form")]
            yield [title, str(row["steps"]), *errors, *hits]


def exact_error(part: Mapping[str, Any]) -> float:
    """Return the squared error of an exact draw, twice the least, from one set's part of toy.json."""
    least: float = part["rows"][0]["mse_closed_form"]  # of one step
    return 2 * least


def draw_toy_figure(panels: Sequence[ToyPanel], table: Mapping[str, Any]) -> bytes:
    """Return the figure as a PNG.

    Args:
        panels: Set 1 in closed form and as trained, set 2 likewise, then set 2 without noise.
        table: What toy.json holds.
    """

    def draw(figure: "Figure") -> None:
        figure.suptitle(
            "One step averages all that fits. Small steps come to one of them; a sampler draws one in a single call.",
            x=0.012,
            ha="left",
            fontsize=13,
            fontweight="bold",
        )
        cells = figure.add_gridspec(3, 3, height_ratios=(1, 0.62, 0.62))
        titles = ("Set 1, noise added", "Set 2, height lost, then noise")
        for row, (exact, trained) in enumerate((panels[:2], panels[2:4])):
            assert trained.drawn is not None
            drawn = f"Set {row + 1}: a sampler, {len(trained.drawn)} calls from each start"
            ways = {
                f"{titles[row]}: exact answer": (_draw_trajectories, exact),
                f"Set {row + 1}: trained network": (_draw_trajectories, trained),
                drawn: (_draw_calls, trained),
            }
            for column, (title, (draw_panel, panel)) in enumerate(ways.items()):
                axes = figure.add_subplot(cells[row, column])
                _plane(axes, row, title)
                draw_panel(axes, panel)
        axes = figure.add_subplot(cells[2, 0])
        _plane(axes, 1, "Set 2 without noise: one start, one end")
        _draw_trajectories(axes, panels[4])
        axes.text(0, 0.5, "every draw of a side\ngoes the same way", ha="center", va="center", color=PALE)
        _draw_hits(figure, cells[2, 1:], table)
        found = dict(zip(*reversed(figure.axes[0].get_legend_handles_labels()), strict=True))
        found |= dict(zip(*reversed(figure.axes[2].get_legend_handles_labels()), strict=True))
        labels, handles = list(found), list(found.values())
        place: Any = {"loc": "outside lower center", "ncols": len(labels), "handletextpad": 0.4}
        legend = figure.legend(handles, labels, frameon=False, **place)
        legend.get_lines()[0].set_alpha(0.7)  # one pale point alone would not be seen

    return picture(draw, 12, 10.6)


def _plane(axes: "Axes", row: int, title: str) -> None:
    width, height = _LIMITS[row]
    axes.set(xlim=(-width, width), ylim=(-height, height), aspect="equal", xticks=(-1, 1), yticks=(-1, 1))
    axes.set_title(title, loc="left", fontsize=10.5)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelcolor=PALE)
    grid(axes)


def _draw_trajectories(axes: "Axes", panel: ToyPanel) -> None:
    _draw_starts(axes, panel)
    for number, states in enumerate(panel.trajectories.swapaxes(0, 1)):
        label = "small steps" if number == 0 else None
        axes.plot(*states.T, marker="o", markersize=2.2, color=_STEPS, linewidth=0.9, alpha=0.85, label=label)
    dots: Any = {"linestyle": "none", "markeredgewidth": 0}
    axes.plot(*panel.regression.T, marker="o", markersize=5.5, color=ACCENT, zorder=4, label="one step", **dots)
    _draw_clean(axes)


def _draw_calls(axes: "Axes", panel: ToyPanel) -> None:
    """Draw a line from each start to each of its draws: where there are many, they grow dark."""
    assert panel.drawn is not None
    _draw_starts(axes, panel)
    for draws in panel.drawn:
        lines = np.stack([panel.trajectories[0], draws])
        axes.plot(lines[..., 0], lines[..., 1], color=_DRAWN, linewidth=0.9, alpha=0.16)
    dots: Any = {"linestyle": "none", "markeredgewidth": 0}
    axes.plot(*panel.drawn.reshape(-1, 2).T, marker="o", markersize=4, color=_DRAWN, label="one call, drawn", **dots)
    _draw_clean(axes)


def _draw_starts(axes: "Axes", panel: ToyPanel) -> None:
    dots: Any = {"linestyle": "none", "markeredgewidth": 0}
    axes.plot(*panel.cloud.T, marker="o", markersize=3, color=PALE, alpha=0.22, label="degraded", **dots)
    axes.plot(*panel.trajectories[0].T, marker="o", markersize=4.5, color=INK, label="20 starts", **dots)


def _draw_clean(axes: "Axes") -> None:
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
    left, right = cell.subgridspec(1, 2).subplots()
    for (name, title), colour in zip(_SETS.items(), (_STEPS, "#7c3aed"), strict=True):
        rows = table[name]["rows"]
        places = range(len(rows))
        for axes, key, scale in ((left, "hit", 100), (right, "mse", 1)):
            axes.plot(places, [scale * row[f"{key}_closed_form"] for row in rows], color=colour, alpha=0.45)
            values = [scale * row[key] for row in rows]
            axes.plot(places, values, marker="o", linestyle="none", color=colour, label=title)
            drawn = scale * table[name]["distributional"][key]
            label = f"{title}: one call, drawn"
            axes.plot(
                0, drawn, marker="D", markersize=8, linestyle="none", markerfacecolor="none", color=colour, label=label
            )
    left.set_title("Steps reach the clean points (%) …", loc="left", fontsize=10.5)
    right.set_title("… at the price of squared error", loc="left", fontsize=10.5)
    left.set_ylim(-4, 108)
    right.set_ylim(0, 3)
    left.legend(frameon=False, loc="lower right")
    for axes in (left, right):
        axes.set_xticks(range(len(rows)), [str(row["steps"]) for row in rows])
        axes.set_xlabel("steps (line: exact answer, dots: trained network)")
        grid(axes)
        axes.tick_params(length=0)


def draw_toy_animation(panels: Sequence[ToyPanel]) -> bytes:
    """Return draws of both sets on their way from degraded to restored, as a GIF that loops.

    Args:
        panels: Set 1 and set 2, with a trajectory for each draw.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.8, 5.4), dpi=100, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        ratios = [height / width for width, height in _LIMITS]
        planes = figure.subplots(2, 3, height_ratios=ratios)
        figure.suptitle(
            "One step answers with an average. Small steps choose, and a sampler draws in one call.",
            fontsize=12,
            fontweight="bold",
        )
        moving = []
        for row, panel in enumerate(panels):
            assert panel.drawn is not None
            one_step, drawn = (np.stack([panel.trajectories[0], ends]) for ends in (panel.regression, panel.drawn[0]))
            ways = {  # and what the colours tell: where it ends, or where small steps would
                "one step": (one_step, panel.trajectories),
                "small steps": (panel.trajectories, panel.trajectories),
                "one call, drawn": (drawn, drawn),
            }
            for axes, (title, (path, told)) in zip(planes[row], ways.items(), strict=True):
                _plane(axes, row, f"Set {row + 1}: {title}")
                axes.plot(*panel.cloud.T, "o", markersize=3, markeredgewidth=0, color=PALE, alpha=0.15)
                axes.plot(*_CLEAN.T, "o", markersize=15, markerfacecolor="none", markeredgecolor=INK, zorder=5)
                ends = np.abs(told[-1][:, None] - _CLEAN).sum(axis=2).argmin(axis=1)
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


def _pace() -> NDArray[np.float64]:
    """Return the share of the way at each frame: slow at both ends."""
    share = np.linspace(0, 1, _FRAMES)
    return share * share * (3 - 2 * share)


def _between(path: Points, share: float) -> Points:
    """Return the points at a share of the way, on straight lines between the times of ``path``."""
    place = share * (len(path) - 1)
    before = min(int(place), len(path) - 2)
    weight = np.float32(place - before)
    moved: Points = path[before] + weight * (path[before + 1] - path[before])
    return moved
