"""What a calibration shows: whether intervals hold what they say, and whether the spread ranks the errors."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from indi.io import write_atomic
from indi.report.drawing import ACCENT, INK, PALE, grid, picture
from indi.restoration.uncertainty import Calibration

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_calibration(calibration: Calibration, reliability: Sequence[tuple[float, float]], path: Path) -> None:
    """Draw coverage against the rate asked for and by intensity, and the error as uncertain pixels are left out: a PNG.

    Args:
        calibration: What was found.
        reliability: Rates asked for, and the shares that intervals held on scenes left out.
        path: The file.
    """

    def draw(figure: "Figure") -> None:
        left, *middle, right = figure.subplots(1, 3 if calibration.classes else 2)
        for axes in (left, *middle, right):
            grid(axes)
        for axes in middle:
            _draw_classes(axes, calibration)
        left.set_title("Do intervals hold?", loc="left", fontweight="bold", pad=10)
        left.set_xlabel("share asked for")
        left.set_ylabel("share held, on scenes left out")
        left.plot([0, 1], [0, 1], color=PALE, linewidth=1, linestyle="--")
        if reliability:
            left.plot(*zip(*reliability, strict=True), color=ACCENT, marker="o", markersize=4, linewidth=1.6)
        else:
            left.text(0.5, 0.5, "one scene alone cannot tell", ha="center", color=INK)
        left.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")

        found = calibration.sparsification
        right.set_title("Does the spread know the errors?", loc="left", fontweight="bold", pad=10)
        right.set_xlabel("share of pixels left out")
        right.set_ylabel("error of the rest, against that of all")
        right.axhline(1, color=PALE, linewidth=1, linestyle="--")
        lines = [("by_spread", "largest spread first", ACCENT), ("at_best", "largest error first", PALE)]
        for name, label, colour in lines:
            right.plot(found["left_out"], found[name], color=colour, linewidth=1.6, label=label)
        right.set(xlim=(0, 1), ylim=(0, None))
        right.legend(frameon=False, loc="lower left")

    write_atomic(path, picture(draw, 12.4 if calibration.classes else 8.4, 4.0))


def _draw_classes(axes: "Axes", calibration: Calibration) -> None:
    """Draw what intervals hold by intensity, beside what one factor for all intensities holds."""
    ways = [("one_factor", "one factor for all, plain", PALE, "s"), ("plain", "one each, plain", ACCENT, "o")]
    if calibration.guaranteed is not None:
        ways.append(("guaranteed", "one each, guaranteed", INK, "^"))
    found = calibration.check["classes"]
    places = range(len(found))
    axes.set_title("Do they hold where it is bright?", loc="left", fontweight="bold", pad=10)
    axes.set_xlabel("intensity of the restored mean, from dark to bright:\nshare of the pixels")
    axes.set_ylabel("share held, on scenes left out")
    axes.axhline(calibration.rate, color=PALE, linewidth=1, linestyle="--")
    for name, label, colour, marker in ways:
        shares = [np.nan if one[name] is None else one[name] for one in found]
        axes.plot(places, shares, color=colour, marker=marker, markersize=5, linewidth=1.2, label=label)
    axes.set_xticks(places, [f"{one.pixels / calibration.pixels:.0%}" for one in calibration.classes])
    axes.set_ylim(None, 1)
    axes.legend(frameon=False)
