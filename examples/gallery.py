"""The gallery of the README: what each model that ships makes of a photograph it has never seen.

    python examples/gallery.py [--out docs/images/gallery.png]

A row a model: the photograph degraded by the task's test form (as ``indi degrade`` does it), restored in one step and
in ten, and as it was. The photographs come with scikit-image and are in the public domain or CC0, as documented there.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import skimage.data
from numpy.typing import NDArray

import indi
from indi.devices import set_threads
from indi.display import sheet, titled
from indi.files import degrade_files, plan
from indi.images import Image, read, write
from indi.shipped import shipped_names

Pixels = NDArray[Any]

# Task -> a photograph, and the top left corner of what is shown of it.
SHOWN = {
    "denoise": ("chelsea", (50, 130)),
    "jpeg": ("astronaut", (20, 150)),
    "super-resolve-4x": ("chelsea", (40, 120)),
    "deblur-motion": ("rocket", (150, 260)),
    "deblur-defocus": ("coffee", (120, 180)),
}
SIDE = 160  # pixels of what is shown, drawn twice as large
STEPS = (1, 10)
HEADINGS = ("degraded", *(f"{n} step{'s' * (n > 1)}" for n in STEPS), "clean")


def row(task: str, folder: Path) -> list[Pixels]:
    """Return what is shown of a task: degraded, restored in each number of steps, clean."""
    name, (top, left) = SHOWN[task]
    clean = getattr(skimage.data, name)()
    file = folder / f"{name}.png"
    write(file, Image(clean))
    for outcome in degrade_files(plan([file], folder / task), task=task):
        if outcome.error:
            raise outcome.error
    degraded = read(folder / task / file.name).pixels
    restorer = indi.load(task)
    images = [degraded, *(restorer.restore(degraded, steps=steps) for steps in STEPS), clean]
    return [image[top : top + SIDE, left : left + SIDE] for image in images]


def main() -> int:
    """Draw the gallery; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/images/gallery.png"))
    out: Path = parser.parse_args().out
    set_threads(None)
    tasks = [task for task in SHOWN if task in shipped_names()]
    with tempfile.TemporaryDirectory() as folder:
        rows = [row(task, Path(folder)) for task in tasks]
    write(out, Image(titled(sheet(rows, enlarge=2), HEADINGS, tasks)))
    print(out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
