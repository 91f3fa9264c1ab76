"""What --strength is worth: images with noise of known strength, restored from several starts of the walk.

    python benchmarks/strength.py --clean DIR [--model denoise] [--images 4] --out DIR

PSNR in dB at one step and at ten, by the deviation of the noise and by strength, as strength.json in the folder, of
which ``tables.py`` makes a table.
"""

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

import indi
from indi.checkpoint import write_text
from indi.degradations import seed_for
from indi.devices import set_threads
from indi.images import find_images, read, to_unit
from indi.metrics import psnr

DEVIATIONS = (0, 2, 5, 10, 25)  # of 255
STRENGTHS = (0.05, 0.1, 0.2, 0.5, 1.0)
STEPS = (1, 10)


def decibels(restored: np.ndarray[Any, Any], clean: np.ndarray[Any, Any]) -> float:
    """Return the PSNR of an image, 100 dB at the most so that a mean has a meaning."""
    batches = (torch.from_numpy(np.moveaxis(np.atleast_3d(image), -1, 0).copy())[None] for image in (restored, clean))
    return min(float(psnr(*batches)), 100.0)


def main() -> int:
    """Measure and write; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clean", type=Path, required=True, help="folder of clean images")
    parser.add_argument("--model", default="denoise")
    parser.add_argument("--images", type=int, default=4, help="evenly from the folder (default: 4)")
    parser.add_argument("--threads", type=int, help="default: all cores")
    parser.add_argument("--out", type=Path, required=True, help="folder for the figures")
    options = parser.parse_args()
    set_threads(options.threads)
    restorer = indi.load(options.model)
    files = find_images(options.clean)
    files = files[:: max(1, len(files) // options.images)][: options.images]
    rows = []
    for deviation in DEVIATIONS:
        found: dict[str, list[float]] = {}
        for file in files:
            clean = to_unit(read(file).pixels)
            random = np.random.default_rng(seed_for(file.stem, 0))
            noisy = clean + deviation / 255 * random.standard_normal(clean.shape, np.float32)
            found.setdefault("degraded", []).append(decibels(noisy, clean))
            for steps in STEPS:
                for strength in STRENGTHS:
                    restored = restorer.restore(noisy, steps=steps, strength=strength)
                    found.setdefault(f"{steps}/{strength:g}", []).append(decibels(restored, clean))
        rows.append({"deviation": deviation, **{name: statistics.fmean(values) for name, values in found.items()}})
        print(f"deviation {deviation}: {rows[-1]}", flush=True)
    result = {"model": options.model, "images": len(files), "steps": STEPS, "strengths": STRENGTHS, "rows": rows}
    write_text(options.out / "strength.json", json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
