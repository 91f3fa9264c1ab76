"""A microscope's frames restored in every way we know, channel by channel, and how far intervals can be trusted.

    pip install bm3d
    INDI_DATA=DIR python benchmarks/microscopy.py --out DIR [--size small] [--iterations 5000]

On W2S (one frame against the mean of 400): trains InDI and a one-step U-Net of the same network, pairs and budget on
half of the fields of view, and measures them on the other half. Of InDI one step, ten steps, and the mean of eight
walks of ten steps. The eight also make intervals: calibrated on half of the fields left out and tested on the other
half, over many random halvings.

The classical denoiser beside them is BM3D (Dabov, Foi, Katkovnik and Egiazarian, IEEE TIP 16, 2007) of intensities
whose noise was made even by the generalised Anscombe transform, with its unbiased inverse (Makitalo and Foi, IEEE TIP
22, 2013). It is told the noise of each frame, photons and camera, as fitted with the clean image at hand: nobody knows
it better.

``microscopy.json`` in the folder holds the figures; ``tables.py`` makes tables of them. What is trained is kept.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import indi
from indi.config import RATE, RECIPES, Config, merged
from indi.data import Pair, load_test_pair, scenes_of
from indi.devices import set_threads
from indi.evaluation.benchmark import find_test_pairs
from indi.evaluation.scenes import Scene, check, guaranteed_factor, plain_factor, sparsification
from indi.io import to_unit
from indi.metrics import measure
from indi.models.checkpoint import write_text

RECIPE = RECIPES / "w2s.toml"
METHODS = ("indi", "regression")
STEPS, SAMPLES, SPLITS = 10, 8, 50
METRICS = ("psnr", "ssim", "frc", "swd")

Pixels = NDArray[Any]


def trained(method: str, options: argparse.Namespace) -> Path:
    """Train one of the methods, unless it is trained; return its run folder."""
    run: Path = options.out / "runs" / method
    pairs = Path(os.environ["INDI_DATA"]) / "pairs" / "w2s"
    settings = merged(Config.read(RECIPE), {"data": {"validation": 0.5}, "network": {"size": options.size}})
    for record in indi.train(
        run=run,
        clean=pairs / "clean",
        degraded=pairs / "degraded",
        method=method,
        config=settings,
        iterations=options.iterations,
        resume=True,
    ):
        if record.iteration % 500 == 0:
            say(f"{method}: iteration {record.iteration}, {record.crops_per_second:.0f} crops/s")
    return run


def channel(pair: Pair) -> str:
    """Return the channel of a frame, the last part of its name."""
    return Path(pair.name).stem.rpartition("_")[2]


def noise_model(clean: Pixels, image: Pixels) -> tuple[float, float]:
    """Return the gain and the variance of the dark: the noise has the variance gain * clean + dark."""
    signal = np.stack([clean.ravel(), np.ones(clean.size)], axis=1)
    gain, dark = np.linalg.lstsq(signal, np.square(image - clean).ravel(), rcond=None)[0]
    return max(float(gain), 1e-6), max(float(dark), 0.0)


def classical(image: Pixels, gain: float, dark: float) -> Pixels:
    """Return an image restored by BM3D between the generalised Anscombe transform and its closed-form inverse."""
    import bm3d

    camera = dark / gain**2  # in photons squared
    even = 2 * np.sqrt(np.maximum(image / gain + 3 / 8 + camera, 0))
    low, high = float(even.min()), float(even.max())
    flat = bm3d.bm3d((even - low) / (high - low), 1 / (high - low)) * (high - low) + low
    flat = np.maximum(flat, 2 * np.sqrt(3 / 8 + camera))
    root = np.sqrt(1.5)
    photons = flat**2 / 4 + root / 4 / flat - 11 / 8 / flat**2 + 5 / 8 * root / flat**3 - 1 / 8 - camera
    answer: Pixels = np.clip(photons * gain, 0, 1).astype(np.float32)
    return answer


def answers(restorers: dict[str, indi.Restorer], image: Pixels) -> Iterator[tuple[str, Pixels]]:
    """Yield each way of restoring by a network: its name, and the image or the samples."""
    yield "U-Net in one step", restorers["regression"].restore(image, steps=1)
    yield "InDI, 1 step", restorers["indi"].restore(image, steps=1)
    yield f"InDI, {STEPS} steps", restorers["indi"].restore(image, steps=STEPS, samples=SAMPLES)


def values(image: Pixels, clean: Pixels) -> dict[str, float]:
    """Return the metrics of a restored image."""
    batches = (torch.from_numpy(pixels.copy())[None, None] for pixels in (image, clean))
    found = measure(*batches)
    return {name: value for name in METRICS if (value := found[name][0]) is not None}


def main() -> int:
    """Train, measure and write; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for runs and results")
    parser.add_argument("--size", default="small", help="of the network (default: small)")
    parser.add_argument("--iterations", type=int, default=5000, help="of each training (default: 5000)")
    parser.add_argument("--threads", type=int, help="default: all cores")
    options = parser.parse_args()
    set_threads(options.threads)
    restorers = {method: indi.load(trained(method, options)) for method in METHODS}
    run = options.out / "runs" / "indi"
    kept = find_test_pairs(run, clean=None, degraded=None, task=None)
    scene_of = scenes_of(kept.pairs, Config.parse(Config.read(run / "config.json"), source=str(run)).data.group)
    scenes = {name: Scene() for name in dict.fromkeys(scene_of.values())}
    rows: dict[str, dict[str, list[dict[str, float]]]] = {}
    for number, pair in enumerate(kept.pairs, start=1):
        clean, image = (to_unit(pixels) for pixels in load_test_pair(pair, channels=1, task=None))
        baseline = classical(image, *noise_model(clean, image))
        found = {"degraded": image, "BM3D": baseline, **dict(answers(restorers, image))}
        samples = found[f"InDI, {STEPS} steps"]
        found[f"InDI, {STEPS} steps"] = samples[0]
        mean, spread = samples.mean(axis=0, dtype=np.float64), samples.std(axis=0, dtype=np.float64)
        found[f"InDI, mean of {SAMPLES} x {STEPS} steps"] = mean.astype(np.float32)
        scenes[scene_of[pair]].add(np.abs(clean - mean), spread, restorers["indi"].least_spread)
        for name, answer in found.items():
            rows.setdefault(name, {}).setdefault(channel(pair), []).append(values(answer, clean))
        say(f"{number} of {len(kept.pairs)}: {pair.name}")

    ours = list(scenes.values())
    results = {
        "settings": {
            "size": options.size,
            "iterations": options.iterations,
            "frames": len(kept.pairs),
            "fields": len(ours),
            "steps": STEPS,
            "samples": SAMPLES,
        },
        "ways": {
            name: {one: means(found) for one, found in channels.items()}
            | {"all": means([one for found in channels.values() for one in found])}
            for name, channels in rows.items()
        },
        "coverage": {
            "rate": RATE,
            "plain": plain_factor(ours, RATE),
            "guaranteed": guaranteed_factor(ours, RATE),
            "check": check(ours, RATE, splits=SPLITS),
            "sparsification": sparsification(ours),
        },
    }
    write_text(options.out / "microscopy.json", json.dumps(results, indent=1) + "\n")
    say(f"figures: {options.out / 'microscopy.json'}")
    return 0


def means(found: list[dict[str, float]]) -> dict[str, float]:
    """Return the mean of each metric."""
    known = {name: [one[name] for one in found if name in one] for name in METRICS}
    return {name: statistics.fmean(values) for name, values in known.items() if values}


def say(text: str) -> None:
    """Print a line with the time of day."""
    print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
