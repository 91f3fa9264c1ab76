"""First a model that ships, then pairs of folders become one; about four minutes on 2 cores.

It restores a photograph with the pretrained model for noise. Then it writes pairs as a user would have them, trains on
some, restores others that it has never seen, and measures what each number of steps buys:

    python examples/demo.py [--minutes 3] [--out demo]

The photographs are in the public domain or CC0, as scikit-image documents for each of them.
"""

import argparse
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

import indi
from indi.devices import set_threads
from indi.evaluation.benchmark import find_test_pairs
from indi.evaluation.evaluate import Evaluation
from indi.io import Image, read, write
from indi.report import table_rows
from indi.report.display import liveliest_window, sheet
from indi.restoration.batch import degrade_files, plan

TASK = "denoise"
STEPS = (1, 2, 5, 10, 20)
TRAINING = ("astronaut", "brick", "camera", "grass", "gravel", "hubble_deep_field", "immunohistochemistry", "rocket")
TESTING = ("chelsea", "coffee")
MARK = ".indi-demo"  # in a folder that the demo made, and may make again
SHOWN = 160  # pixels, side of what the picture shows
SIDE = 512  # the largest photographs are cut, so that none outweighs the others


def write_pairs(names: tuple[str, ...], folder: Path) -> dict[str, Any]:
    """Write each photograph to clean/ and what the task makes of it to degraded/; return both folders."""
    folders: dict[str, Any] = {"clean": folder / "clean", "degraded": folder / "degraded"}
    for name in names:
        photograph = getattr(skimage.data, name)()[:SIDE, :SIDE]
        pixels = np.repeat(photograph[..., None], 3, axis=-1) if photograph.ndim == 2 else photograph
        write(folders["clean"] / f"{name}.png", Image(pixels))
    for outcome in degrade_files(plan([folders["clean"]], folders["degraded"]), task=TASK):
        if outcome.error:
            raise outcome.error
    return folders


def main() -> int:
    """Run the demo; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=3.0, help="of training (default: 3)")
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder for all it writes (default: demo)")
    options = parser.parse_args()
    began = time.perf_counter()
    console = Console(highlight=False)
    out: Path = options.out
    set_threads(None)
    if out.exists():
        if not (out / MARK).exists():
            parser.error(f"{out} is there already and not of this demo; give another --out")
        shutil.rmtree(out)
    out.mkdir(parents=True)
    (out / MARK).touch()

    test = write_pairs(TESTING, out / "test")
    console.print(f"1  indi restore … --model {TASK}: a model that ships, and a photograph with noise")
    console.print(f"picture: {draw(indi.load(TASK), TESTING[0], test, out / 'shipped.png')}")

    console.print(f"2  pairs: {len(TRAINING)} photographs to train on, {len(TESTING)} to test on ({TASK})")
    training = write_pairs(TRAINING, out / "training")

    console.print(f"3  indi train --clean … --degraded … --minutes {options.minutes:g}")
    with bar(console) as progress:
        shown = progress.add_task("reading images", total=None)
        for record in indi.train(**training, run=out / "run", minutes=options.minutes):
            loss = f"loss {record.loss:.4f}, {record.crops_per_second:.0f} crops/s"
            progress.update(shown, total=1.0, completed=record.progress, description=loss)

    console.print("4  indi evaluate --clean … --degraded …: photographs it has never seen")
    restorer, report = indi.load(out / "run"), out / "report"
    found = find_test_pairs(None, **test, task=None)
    evaluation = Evaluation(restorer, *found, steps=STEPS)
    with bar(console) as progress:
        total = len(found.pairs) * (1 + len(STEPS))
        measured = list(progress.track(evaluation.measurements(), total=total, description="measuring"))
    rows = table_rows(evaluation.write(report, measured))
    table = Table(*next(rows), box=None, pad_edge=False)
    for column in table.columns:
        column.justify = "right"
    for row in rows:
        table.add_row(*row)
    console.print(table)
    console.print("swd is the distance between the statistics of restored and clean detail: lower looks more real.")

    for name in TESTING:
        console.print(f"picture: {draw(restorer, name, test, out / f'{name}.png')}")
    console.print(f"report:  {report / 'report.html'}\nall in {(time.perf_counter() - began) / 60:.1f} minutes")
    return 0


def bar(console: Console) -> Progress:
    """Return a progress bar that goes when it is done."""
    return Progress(
        TextColumn("   {task.description}"), BarColumn(), TimeRemainingColumn(), console=console, transient=True
    )


def draw(restorer: indi.Restorer, name: str, folders: dict[str, Path], path: Path) -> Path:
    """Write degraded | 1 step | 20 steps | clean for the liveliest part of an image, twice as large; return where."""
    clean, degraded = (read(folders[side] / f"{name}.png").pixels for side in ("clean", "degraded"))
    window = liveliest_window(clean, SHOWN)
    restored = [restorer.restore(degraded, steps=steps) for steps in (1, 20)]
    write(path, Image(sheet([[image[window] for image in (degraded, *restored, clean)]], enlarge=2)))
    return path


if __name__ == "__main__":
    sys.exit(main())
