"""The gallery of the README: what the models that ship make of photographs that none of them has seen.

    python examples/gallery.py --clean DIR [--images 15] [--out docs/images/gallery.png]

A row a kind of damage: a photograph of DIR degraded in the task's test form, restored with the least error, restored as
the command does it unless asked otherwise, and as it was. None is chosen against the average: of --images photographs
it is the one whose PSNR at the least error is nearest to the median, which is printed and written beside the picture.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

import indi
from indi.data import Pair, load_test_pair
from indi.devices import set_threads
from indi.io import Image, find_images, from_unit, to_unit, write
from indi.io.display import Pixels, for_display
from indi.metrics import psnr
from indi.models.checkpoint import write_text
from indi.models.pretrained import pretrained_names
from indi.report.display import liveliest_window, sheet, titled

TASKS = ("photo:phone", "photo:chat", "photo:scan", "denoise", "jpeg", "super-resolve-4x", "deblur-defocus")
SIDE = 176  # pixels of what is shown, drawn twice as large
HEADINGS = ("degraded", "least error", "recommended", "clean")


def closeness(image: Pixels, clean: Pixels) -> float:
    """Return the PSNR of two images in dB."""
    one, two = (torch.from_numpy(np.moveaxis(to_unit(each), -1, 0))[None] for each in (image, clean))
    return psnr(one, two).item()


def row(task: str, files: list[Path]) -> tuple[list[Pixels], str]:
    """Return what is shown of a task, degraded, least error, recommended, clean, and what is said of it."""
    restorer = indi.load(task.partition(":")[0])
    least = {"realism": 0.0} if restorer.method.draws else {"steps": 1}
    found = []
    for file in files:
        clean, degraded = load_test_pair(Pair(file.stem, file), channels=3, task=task)
        restored = from_unit(to_unit(restorer.restore(degraded, **least)), clean.dtype)
        found.append((closeness(restored, clean), closeness(from_unit(to_unit(degraded), clean.dtype), clean), file))
    median = float(np.median([value for value, *_ in found]))
    value, before, file = min(found, key=lambda each: abs(each[0] - median))
    clean, degraded = load_test_pair(Pair(file.stem, file), channels=3, task=task)
    images = [degraded, restorer.restore(degraded, **least), restorer.restore(degraded), clean]
    window = liveliest_window(clean, SIDE)
    said = f"{task}: {file.stem}, {before:.2f} dB, least error {value:.2f} dB; median of {len(files)}: {median:.2f} dB"
    return [for_display(from_unit(to_unit(image), clean.dtype)[window]) for image in images], said


def main() -> int:
    """Draw the gallery; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clean", type=Path, required=True, help="folder of clean photographs")
    parser.add_argument("--images", type=int, default=15, help="how many of them (default: 15)")
    parser.add_argument("--out", type=Path, default=Path("docs/images/gallery.png"))
    options = parser.parse_args()
    set_threads(None)
    files = find_images(options.clean)
    files = files[:: max(len(files) // options.images, 1)][: options.images]
    tasks = [task for task in TASKS if task.partition(":")[0] in pretrained_names()]
    rows, lines = [], []
    for task in tasks:
        panels, said = row(task, files)
        rows.append(panels)
        lines.append(said)
        print(said, flush=True)
    write(options.out, Image(titled(sheet(rows, enlarge=2), HEADINGS, [task.replace(":", ", ") for task in tasks])))
    write_text(options.out.with_suffix(".txt"), "\n".join(lines) + "\n")
    print(options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
