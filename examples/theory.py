"""The figures of docs/theory.md, from the library's own process, samplers and toy sets; no training, a few seconds.

    python examples/theory.py [--out docs/images]

theory-points.png   one step, two and twenty on the paper's first toy set
theory-weights.png  what a state is made of, step by step
theory-paths.png    one degraded value, and the trajectories that each method makes from it
"""

import argparse
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from indi.io import write_atomic
from indi.process import path as process
from indi.process.path import Path as Way
from indi.process.samplers import Predict, trajectory
from indi.report.drawing import ACCENT, INK, PALE, grid, picture
from indi.toy import SET1, states

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STEPS = "#0e7490"
ENDS = ("#0e7490", "#7c3aed", "#c2410c", "#4d7c0f")  # of the four clean points, as in the animation of indi toy
SHADES = ("#a5d8e6", "#6dbdd3", "#3a9cb8", "#0e7490", "#0a4f63")  # of the estimates, the later the darker
WIDTH, TEXT = 7.2, 15  # inches and points: text is then read on a telephone, where the figure is a third as large
COLOURS = 64  # of a figure, which keeps its file small


def no_noise(number: int) -> Tensor:
    """Refuse: a path with epsilon 0 draws none."""
    raise AssertionError(f"draw {number} of a path without noise")


def draw_points(figure: "Figure") -> None:
    """Draw 400 degraded points on their way to the four clean ones, in 1, 2 and 20 steps: a row each."""
    _, degraded = SET1.draw(400, torch.Generator().manual_seed(0))
    corners = np.array([(-1, -1), (-1, 1), (1, -1), (1, 1)])
    titles = {1.0: "degraded\nt = 1", 0.5: "half-way\nt = 0.5", 0.0: "restored\nt = 0"}
    trajectories = {}
    for steps in (1, 2, 20):
        times = process.uniform_times(steps)
        trajectories[steps] = dict(zip(times, states(SET1.predict, degraded, times), strict=True))
    ends = points_of(trajectories[20][0.0])
    colours = [ENDS[corner] for corner in np.abs(ends[:, None] - corners).sum(axis=2).argmin(axis=1)]
    led_to = ("averages of\nthe four", "still between", "all on one\nof the four")
    planes = figure.subplots(len(trajectories), len(titles), sharex=True, sharey=True)
    for row, (steps, states_by_time) in enumerate(trajectories.items()):
        planes[row, 0].set_ylabel(f"{steps} step{'s' * (steps > 1)}", fontsize=TEXT, fontweight="bold", labelpad=10)
        for axes, (time, title) in zip(planes[row], titles.items(), strict=True):
            axes.set(xlim=(-3.4, 3.4), ylim=(-3.4, 3.4), aspect="equal", xticks=(), yticks=())
            axes.spines[:].set_visible(True)
            if row == 0:
                axes.set_title(title, fontsize=TEXT)
            axes.plot(*corners.T, "o", markersize=17, markerfacecolor="none", markeredgecolor=INK, zorder=5)
            if time in states_by_time:
                axes.scatter(*points_of(states_by_time[time]).T, s=16, c=colours, alpha=0.75, linewidths=0)
            else:
                axes.text(0, 0, "not\nvisited", ha="center", va="center", color=PALE, fontsize=TEXT)
        planes[row, -1].text(0, -3.1, led_to[row], ha="center", va="bottom", fontsize=TEXT)


def points_of(images: Tensor) -> NDArray[np.float32]:
    """Return points, (B, 2), of images of two channels and one pixel."""
    return images.flatten(1).numpy()


def weights(steps: int) -> NDArray[np.float64]:
    """Return what each state is made of, (steps + 1, steps + 1): the degraded image, then each estimate.

    A step is a weighted sum, so a trajectory through unit vectors in place of images tells the weights: the degraded
    image is the first of them, and the estimate of step k the one after the k-th.
    """
    units = torch.eye(steps + 1, dtype=torch.float64)
    estimates = iter(units[1:])
    times = process.uniform_times(steps)
    path = process.indi(epsilon=0.0)
    states_by_time = trajectory(lambda state, time: next(estimates), path, units[0], times, noise=no_noise)
    return torch.stack([state.image for state in states_by_time]).numpy()


def draw_weights(figure: "Figure") -> None:
    """Draw the weights of five steps, a bar a time."""
    times, made_of = process.uniform_times(len(SHADES)), weights(len(SHADES))
    axes = figure.subplots()
    for part, colour in enumerate(("#d4d8df", *SHADES)):
        foot = made_of[:, :part].sum(axis=1)
        axes.bar(range(len(times)), made_of[:, part], bottom=foot, width=0.86, color=colour, edgecolor="white")
        name = "y" if part == 0 else f"F({times[part - 1]:.1g})"
        for place, (low, share) in enumerate(zip(foot, made_of[:, part], strict=True)):
            if share > 0.07:
                ink = "white" if part > 2 else INK
                axes.text(place, low + share / 2, name, ha="center", va="center", color=ink, fontsize=TEXT - 1)
    axes.set_xticks(range(len(times)), [f"{time:.1g}" for time in times], fontsize=TEXT)
    axes.set_yticks((0, 0.5, 1), ("0", "½", "1"), fontsize=TEXT)
    axes.set_xlabel("time t of the state", fontsize=TEXT)
    axes.set_ylabel("weight in the state", fontsize=TEXT)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


def either(path: Way) -> Predict:
    """Return E[clean | state] where clean is -1 or 1, equally likely, and the degraded value is always 0."""

    def predict(state: Tensor, t: float) -> Tensor:
        a, c = float(path.a(t)), float(path.c(t))
        return torch.tanh(a * state / c**2) if c else 0 * state

    return predict


def trajectories_of(path: Way, count: int = 24, steps: int = 60) -> tuple[list[float], NDArray[np.float64]]:
    """Return the times and the trajectories, (steps + 1, count), from one degraded value by one method."""
    evenly = torch.special.ndtri((torch.arange(count, dtype=torch.float64) + 0.5) / count)
    generator = torch.Generator().manual_seed(0)

    def draw(number: int) -> Tensor:
        return evenly if number == 0 else torch.randn(count, generator=generator, dtype=torch.float64)

    times = process.uniform_times(steps)
    states_by_time = trajectory(either(path), path, torch.zeros(count, dtype=torch.float64), times, noise=draw)
    return times, torch.stack([state.image for state in states_by_time]).numpy()


def draw_paths(figure: "Figure") -> None:
    """Draw the trajectories of four methods from one degraded value, a panel each."""
    methods = {
        "InDI (and flow matching)": process.indi(0.5),
        "InDI, Brownian noise": process.indi(0.5, "brownian"),
        "Brownian bridge": process.bridge(0.5),
        "diffusion": process.diffusion(),
    }
    planes = figure.subplots(2, 2, sharex=True, sharey=True)
    for axes, (title, path) in zip(planes.flat, methods.items(), strict=True):
        times, states_by_time = trajectories_of(path)
        on_top: Any = {"linestyle": "none", "marker": "o", "color": INK, "zorder": 5, "clip_on": False}
        degraded = axes.plot([1], [0], markersize=9, label="degraded", **on_top)
        several = axes.plot(times, states_by_time, color=STEPS, linewidth=1.1, alpha=0.7, label="small steps")
        one = axes.plot([1, 0], [0, 0], color=ACCENT, linewidth=2.4, linestyle=(0, (3, 1.5)), label="one step")
        clean = axes.plot([0, 0], [-1, 1], markersize=13, markerfacecolor="none", label="clean", **on_top)
        axes.set_title(title, fontsize=TEXT, loc="left")
        axes.set_xlim(1.03, -0.05)
        axes.set_xticks((1, 0.5, 0), ("t = 1", "0.5", "0"))
        axes.set_yticks((-1, 0, 1))
        axes.tick_params(length=0, labelsize=TEXT - 1)
        grid(axes)
    place: Any = {"loc": "outside upper center", "ncols": 4, "columnspacing": 1.2, "handletextpad": 0.5}
    figure.legend(handles=[*degraded, several[0], *one, *clean], frameon=False, fontsize=TEXT, **place)


FIGURES: dict[str, tuple[Callable[["Figure"], None], float]] = {  # name -> what draws it, and its height in inches
    "theory-points.png": (draw_points, 7.6),
    "theory-weights.png": (draw_weights, 4.6),
    "theory-paths.png": (draw_paths, 6.4),
}


def main(arguments: list[str] | None = None) -> int:
    """Draw the figures; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    out: Path = parser.parse_args(arguments).out
    out.mkdir(parents=True, exist_ok=True)
    for name, (draw, height) in FIGURES.items():
        drawn: Any = Image.open(io.BytesIO(picture(draw, WIDTH, height))).convert("RGB")
        small = io.BytesIO()
        drawn.quantize(COLOURS, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
        write_atomic(out / name, small.getvalue())
        print(out / name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
