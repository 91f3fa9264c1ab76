"""What a calibration shows: whether intervals hold what they say, and whether the spread ranks the errors."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from indi.io import write_atomic
from indi.report.drawing import ACCENT, INK, PALE, grid, picture
from indi.restoration.uncertainty import Calibration

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_calibration(calibration: Calibration, reliability: Sequence[tuple[float, float]], path: Path) -> None:
    """Draw coverage against the rate asked for, and the error as uncertain pixels are left out, as a PNG.

    Args:
        calibration: What was found.
        reliability: Rates asked for, and the shares that intervals held on scenes left out.
        path: The file.
    """

    def draw(figure: "Figure") -> None:
        left, right = figure.subplots(1, 2)
        for axes in (left, right):
            grid(axes)
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

    write_atomic(path, picture(draw, 8.4, 4.0))
