"""How noise depends on intensity: that of a camera's photographs, and that which denoise is trained on.

    python benchmarks/camera_noise.py --clean polyu/clean --degraded polyu/degraded [--every 4]

Prints the deviation at black, at middle and at white as a share of the mean over all intensities: for the pairs the
median over images, for the training form at three strengths of shot noise.
"""

import argparse
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from indi.data import match_pairs
from indi.degradations import add_camera_noise
from indi.degradations.light import light_of, picture_of
from indi.io import read

Array = np.ndarray[Any, Any]

EDGES = np.linspace(0, 256, 17)
SHOTS = (1e-4, 1e-3, 1e-2)
FEWEST = 3000  # values that a deviation is taken of
PIXELS = 20_000


def measured(clean: Path, degraded: Path) -> Array:
    """Return the deviation of a pair's noise in each range of intensities, NaN where there are few."""
    values, noisy = (read(file).pixels.astype(float) for file in (clean, degraded))
    found = []
    for low, high in pairwise(EDGES):
        inside = (values >= low) & (values < high)
        found.append((noisy - values)[inside].std() if inside.sum() > FEWEST else np.nan)
    return np.array(found)


def trained(shot: float) -> Array:
    """Return the deviation of the training form in the middle of each range, for a strength of shot noise."""
    middles = torch.from_numpy((EDGES[:-1] + EDGES[1:]) / 2 / 255).float()
    clean = middles[None, :, None].expand(1, -1, PIXELS)
    read_noise = float(np.exp(2.18 * np.log(shot) + 1.2))
    generator = torch.Generator().manual_seed(0)
    light = add_camera_noise(light_of(clean, contrast=True), generator, shot=shot, read=read_noise)
    return picture_of(light, contrast=True).std(dim=2)[0].numpy()


def line(name: str, shares: Array) -> str:
    """Return black, middle and white in words."""
    black, white = shares[0], shares[-1]
    return f"{name}: black {black:.2f}, middle {shares[7:9].mean():.2f}, white {white:.2f}"


def main() -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clean", type=Path, required=True)
    parser.add_argument("--degraded", type=Path, required=True)
    parser.add_argument("--every", type=int, default=4, help="take every so many pairs (default: 4)")
    options = parser.parse_args()
    pairs = match_pairs(options.clean, options.degraded).pairs[:: options.every]
    found = np.array([measured(pair.clean, pair.degraded) for pair in pairs if pair.degraded is not None])
    print(line(f"{len(found)} pairs", np.nanmedian(found / np.nanmean(found, axis=1, keepdims=True), axis=0)))
    for shot in SHOTS:
        deviations = trained(shot)
        print(line(f"shot noise {shot:g}", deviations / deviations.mean()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
