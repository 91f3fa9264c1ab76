"""A strip over the dial of models that draw: a photograph degraded, restored at several settings, and as it was.

    python examples/dial.py --clean DIR --run RUN IMAGE [IMAGE ...] [--run RUN IMAGE ...] [--steps RUN ...] --out FILE

Each IMAGE of the folder DIR is degraded by the task that its RUN was trained for, in its test form, and shown at its
liveliest place. With --steps, a run of the method indi for each --run, its ten steps stand before the clean image.
"""

import argparse
from pathlib import Path
from typing import Any

import indi
from indi.data import Pair, load_test_pair
from indi.devices import set_threads
from indi.io import Image, from_unit, to_unit, write
from indi.io.display import Pixels, for_display
from indi.report.display import liveliest_window, sheet, titled

DIAL = (0.0, 0.6)
SIDE = 128  # pixels of what is shown, drawn twice as large


def row(file: Path, drawing: indi.Restorer, stepping: indi.Restorer | None) -> list[Pixels]:
    """Return what is shown of a photograph: degraded, over the dial, in ten steps of another run, and clean."""
    clean, degraded = load_test_pair(Pair(file.stem, file), channels=drawing.card.channels, task=drawing.card.task)
    images = [degraded, *(drawing.restore(degraded, realism=realism) for realism in DIAL)]
    images += [] if stepping is None else [stepping.restore(degraded, steps=10)]
    window = liveliest_window(clean, SIDE)
    return [for_display(from_unit(to_unit(image), clean.dtype)[window]) for image in (*images, clean)]


def main() -> int:
    """Draw the strip; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clean", type=Path, required=True, help="folder of clean photographs")
    parser.add_argument("--run", nargs="+", action="append", required=True, metavar=("RUN", "IMAGE"))
    parser.add_argument("--steps", nargs="+", default=[], metavar="RUN", help="runs of the method indi, to show beside")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    set_threads(None)
    rows: list[list[Pixels]] = []
    tasks: list[str] = []
    for number, (run, *names) in enumerate(options.run):
        drawing: Any = indi.load(run)
        stepping = indi.load(options.steps[number]) if options.steps else None
        rows += [row(options.clean / name, drawing, stepping) for name in names]
        tasks += [drawing.card.task] * len(names)
    dial = ["least error", *(f"realism {realism:g}" for realism in DIAL[1:])]
    headings = ("degraded", *dial, *(["InDI, 10 steps"] if options.steps else []), "clean")
    write(options.out, Image(titled(sheet(rows, enlarge=2), headings, tasks)))
    print(options.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
