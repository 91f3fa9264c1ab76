"""How figures look, and labels that cover nothing; drawn without window system or global state."""

import io
import warnings
from collections.abc import Callable, Sequence
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, ACCENT, PALE = "#1f2430", "#c2410c", "#8a93a3"
STYLE: Any = {
    "font.size": 10,
    "text.color": INK,
    "text.parse_math": False,  # a name may hold a dollar sign
    "axes.edgecolor": PALE,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
}
_DISTANCES = (7, 16, 28, 40)  # of a label from its point, in points of 1/72 inch
_DIRECTIONS = ((1, 1), (-1, -1), (1, -1), (-1, 1), (0, 1), (0, -1), (1, 0), (-1, 0))


def picture(draw: Callable[["Figure"], None], width: float, height: float) -> bytes:
    """Return what ``draw`` draws as a PNG of so many inches, 150 pixels each."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # names in scripts that the font lacks
        figure = Figure(figsize=(width, height), layout="constrained")
        draw(figure)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=150, metadata={"Software": None})
    return buffer.getvalue()


def grid(axes: "Axes") -> None:
    """Give axes the pale grid of all our figures."""
    axes.grid(color=PALE, alpha=0.25, linewidth=0.8)


def label(axes: "Axes", points: Sequence[tuple[float, float]], labels: Sequence[str]) -> None:
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
                axes.annotate("", point, arrowprops={"arrowstyle": "-", "color": PALE, "linewidth": 0.7}, **place)
            break  # where there is no room at all, the table says it
