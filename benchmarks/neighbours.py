"""What planes before and after are worth to a model of stacks, on a real volume with photon noise made for it.

    INDI_DATA=DIR python benchmarks/neighbours.py nuclei_cells3d --out DIR [--iterations 2000] [--counts 0 1 2]

A clean stack of DIR/volumes is cut across into a part to train on and one to test on, with a gap between. Models that
see so many planes on each side are trained alike on the noise of photon counts (task denoise-photons), and restore the
test part, degraded in its fixed form: the PSNR at realism 0, against the range of the clean part; and of draws at
realism 1 how far their spectrum along z is from that of the clean part, with noise of their own in each plane and with
noise that planes share. ``neighbours-NAME.json`` in the folder holds the figures; what is trained is kept.
"""

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

import indi
from indi.data import load_test_neighbours, load_test_pair, match_pairs
from indi.devices import set_threads
from indi.io import to_unit
from indi.models.checkpoint import write_text
from indi.process.sampling import Sampling

TASK, GAP = "denoise-photons", 16  # px between the parts

Pixels = NDArray[Any]


def cut(source: Path, out: Path) -> tuple[Path, Path]:
    """Write the two parts of a stack, as large as its type can hold; return their folders."""
    stack = tifffile.imread(source)
    stack = (stack / stack.max() * np.iinfo(stack.dtype).max).round().astype(stack.dtype)
    middle = stack.shape[2] * 2 // 3
    folders = (out / "train", out / "test")
    for folder, part in zip(folders, (stack[..., : middle - GAP], stack[..., middle:]), strict=True):
        folder.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(folder / f"{source.stem}.tif", part, imagej=True, metadata={"axes": "ZYX"})
    return folders


def trained(run: Path, clean: Path, count: int, options: argparse.Namespace) -> Path:
    """Train a model that sees so many planes on each side, unless it is trained; return its run folder."""
    for _ in indi.train(
        run=run,
        clean=clean,
        task=TASK,
        method="distributional",
        size=options.size,
        neighbours=count,
        signal=options.signal,
        normalise="deviation",
        validation=0,
        iterations=options.iterations,
        resume=run.exists(),
    ):
        pass
    return run


def spectrum_gap(restored: Pixels, clean: Pixels) -> float:
    """Return how far two stacks (Z, Y, X) are apart in power along z: the mean over frequencies, in dB."""
    power = [(np.abs(np.fft.rfft(stack, axis=0)[1:]) ** 2).mean(axis=(1, 2)) for stack in (restored, clean)]
    return float(np.abs(10 * np.log10(power[0] / power[1])).mean())


def measured(run: Path, folder: Path) -> dict[str, Any]:
    """Return the figures of one model."""
    restorer = indi.load(run)
    pairs = match_pairs(folder, None, channels=1, neighbours=restorer.card.around).pairs
    how: dict[str, Any] = {"channels": 1, "task": TASK}
    stack = [(load_test_pair(pair, **how), load_test_neighbours(pair, **how)) for pair in pairs]
    clean, degraded = (np.stack([to_unit(planes[side]) for planes, _ in stack]) for side in (0, 1))

    def restored(*, shared: bool = False, **sampling: Any) -> Pixels:
        asked = Sampling(**sampling)
        return np.stack(
            [
                restorer.restore(plane, sampling=asked, around=around, plane=0 if shared else number)
                for number, ((_, plane), around) in enumerate(stack)
            ]
        )

    def decibels(image: Pixels) -> float:
        return float(10 * np.log10(np.ptp(clean) ** 2 / np.mean((image - clean) ** 2)))

    began = time.perf_counter()
    least = restored(realism=0.0)
    seconds = time.perf_counter() - began
    return {
        "iterations": restorer.card.iterations,
        "training_seconds": restorer.card.seconds,
        "degraded_psnr": decibels(degraded),
        "psnr": decibels(least),
        "seconds_per_megapixel": seconds / clean.size * 1e6,
        "gap_along_z": {
            "realism 0": spectrum_gap(least, clean),
            "realism 1": spectrum_gap(restored(realism=1.0), clean),
            "realism 1, noise shared": spectrum_gap(restored(realism=1.0, shared=True), clean),
            "degraded": spectrum_gap(degraded, clean),
        },
    }


def main() -> None:
    """Train, measure, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="of a stack in DIR/volumes, without suffix")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--iterations", type=int, default=2000)
    parser.add_argument("--counts", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--signal", type=float, default=0.0, help="share of crops that lie where there is signal")
    parser.add_argument("--size", default="tiny")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    set_threads(options.threads)
    folders = cut(Path(os.environ["INDI_DATA"]) / "volumes" / f"{options.name}.tif", options.out / options.name)
    found = {}
    for count in options.counts:
        run = trained(options.out / options.name / f"run-{count}", folders[0], count, options)
        found[count] = measured(run, folders[1])
        print(f"{count} planes on each side:", json.dumps(found[count]), flush=True)
    write_text(options.out / f"neighbours-{options.name}.json", json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
