"""What --strength is worth: images of known damage, restored from several starts.

    python benchmarks/strength.py --clean DIR [--task denoise] [--images 4] --out DIR

PSNR in dB by damage and strength: of white noise by its deviation at one step and at five, of JPEG (4:2:0) by its
quality at one. As strength-TASK.json in the folder, of which ``tables.py`` makes a table.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import indi
from indi.degradations import compress_jpeg, seed_for
from indi.devices import set_threads
from indi.io import find_images, read, to_unit
from indi.metrics import psnr
from indi.models.checkpoint import write_text

Array = np.ndarray[Any, Any]


def noisy(clean: Array, deviation: int, seed: int) -> Array:
    """Return (H, W, C) with white noise of a deviation, of 255."""
    return clean + deviation / 255 * np.random.default_rng(seed).standard_normal(clean.shape, np.float32)


def compressed(clean: Array, quality: int, seed: int) -> Array:
    """Return (H, W, C) as JPEG keeps it."""
    planes = compress_jpeg(torch.from_numpy(np.moveaxis(clean, -1, 0).copy()), quality=quality, subsampling="4:2:0")
    return np.moveaxis(planes.numpy(), 0, -1)


@dataclass(frozen=True)
class Damage:
    """What a task is asked to fix: how much of it, how it is done, and the steps to fix it in."""

    what: str
    levels: tuple[int, ...]
    damaged: Callable[[Array, int, int], Array]
    steps: tuple[int, ...]


DAMAGES = {
    "denoise": Damage("noise", (0, 2, 5, 10, 25), noisy, (1, 5)),
    "jpeg": Damage("quality", (95, 92, 90, 88, 85, 75, 50), compressed, (1,)),
}
STRENGTHS = (0.05, 0.1, 0.2, 0.5, 1.0)


def decibels(restored: Array, clean: Array) -> float:
    """Return the PSNR of an image, 100 dB at the most so that a mean has a meaning."""
    batches = (torch.from_numpy(np.moveaxis(np.atleast_3d(image), -1, 0).copy())[None] for image in (restored, clean))
    return min(float(psnr(*batches)), 100.0)


def main() -> int:
    """Measure and write; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clean", type=Path, required=True, help="folder of clean images")
    parser.add_argument("--task", choices=DAMAGES, default="denoise")
    parser.add_argument("--images", type=int, default=4, help="evenly from the folder (default: 4)")
    parser.add_argument("--threads", type=int, help="default: all cores")
    parser.add_argument("--out", type=Path, required=True, help="folder for the figures")
    options = parser.parse_args()
    set_threads(options.threads)
    restorer, damage = indi.load(options.task), DAMAGES[options.task]
    files = find_images(options.clean)
    files = files[:: max(1, len(files) // options.images)][: options.images]
    rows = []
    for level in damage.levels:
        found: dict[str, list[float]] = {}
        for file in files:
            clean = to_unit(read(file).pixels)
            degraded = damage.damaged(clean, level, seed_for(file.stem, 0))
            found.setdefault("degraded", []).append(decibels(degraded, clean))
            for steps in damage.steps:
                for strength in STRENGTHS:
                    restored = restorer.restore(degraded, steps=steps, strength=strength)
                    found.setdefault(f"{steps}/{strength:g}", []).append(decibels(restored, clean))
        rows.append({"level": level, **{name: statistics.fmean(values) for name, values in found.items()}})
        print(f"{damage.what} {level}: {rows[-1]}", flush=True)
    about = {"task": options.task, "what": damage.what, "images": len(files)}
    result = {**about, "steps": damage.steps, "strengths": STRENGTHS, "rows": rows}
    write_text(options.out / f"strength-{options.task}.json", json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
