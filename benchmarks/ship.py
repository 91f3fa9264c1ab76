"""Put trained runs among the models that come with the package, and measure those.

    INDI_DATA=DIR python benchmarks/ship.py NAME [--run RUN --machine "WHAT IT WAS TRAINED ON" [--before RUN]]

With --run, the averaged weights of RUN become src/indi/weights/NAME.safetensors in float16; --before names the runs
that it went on from, as --from had it, the first of them first. Then the model is measured on the test images under
INDI_DATA, and its card NAME.json and the documents are written anew. NAME is a task.
"""

import argparse
import datetime
import json
import logging
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import indi
import tables
from indi.checkpoint import Card, load_model, write_tensors, write_text
from indi.devices import set_threads
from indi.images import find_images, read
from indi.shipped import WEIGHTS, find_model
from indi.walks import DEFAULT_STEPS

STEPS = (1, 5, 10, 20)
METRICS = ("psnr", "psnr_y", "ssim", "ms_ssim", "swd", "spectrum")
DATA = (
    "400 photographs of BSDS500 (its training and test images; Arbelaez, Maire, Fowlkes and Malik, TPAMI 2011), "
    "which are commonly stated to be for non-commercial research; degraded by the task's training form"
)
LICENCE = (
    "The weights may be used for research and other non-commercial work, as is commonly stated of the photographs they "
    "were trained on; whether their terms reach further than that is not settled. The code is under the MIT licence."
)
LIMITS = (
    "Trained on photographs of 481 x 321 px in 8 bit: other kinds of images, other or stronger damage (banding, coarse "
    "grain, single bad pixels), and dim 16-bit images may come out worse, even than they went in. Images that are "
    "hardly damaged lose a little: --strength 0.1 or 0.2 changes them less."
)
NOT_FOR = (
    "Evidence, diagnosis, measuring, or telling who or what is to be seen: more than one step adds detail that is "
    "likely, not known."
)


@dataclass(frozen=True)
class TestSet:
    """Images to measure on: clean ones that the task degrades, or pairs."""

    name: str
    clean: str
    degraded: str | None = None
    border: int = 0
    steps: tuple[int, ...] = STEPS


@dataclass(frozen=True)
class Entry:
    """What is said of a model, and what it is measured on; the first set stands for it in lists."""

    purpose: str
    sets: list[TestSet] = field(default_factory=list)
    steps: int = DEFAULT_STEPS  # when none are asked for


CBSD68, KODAK = TestSet("CBSD68", "test/CBSD68"), TestSet("Kodak24", "test/Kodak24")
CITY100 = TestSet("City100, Nikon", "pairs/city100_nikon/clean", "pairs/city100_nikon/degraded", steps=(1, 10))
MODELS = {
    "denoise": Entry(
        "Gaussian and camera noise up to a deviation of 55 of 255, in colour and gray",
        [CBSD68, TestSet("PolyU", "pairs/polyu/clean", "pairs/polyu/degraded", steps=(1, 10))],
    ),
    # For most of these ten steps leave grain, or bring the blocks back: swd takes either for detail, people do not.
    "jpeg": Entry("JPEG blocks and ringing, quality 5 to 95", [TestSet("classic5", "test/classic5")], steps=1),
    "super-resolve-4x": Entry(
        "images enlarged 4 times (--enlarge 4)", [TestSet("Set14", "test/Set14", border=4), CITY100], steps=1
    ),
    "deblur-motion": Entry("blur of a camera that shook, up to 24 px", [KODAK], steps=5),
    "deblur-defocus": Entry("blur of a lens out of focus, up to 6 px", [KODAK, CITY100], steps=1),
}


def ship(name: str, run: Path, machine: str, before: list[Path]) -> dict[str, Any]:
    """Write the weights of a run in half the size, and return what the card says of their making."""
    model = load_model(run)
    card = model.card.model_copy(update={"name": name})
    # float16 keeps 3 bits more than bfloat16, and no weight here comes near its limits.
    tensors = {key: tensor.half() for key, tensor in model.network.state_dict().items()}
    write_tensors(WEIGHTS / f"{name}.safetensors", tensors, card.model_dump(mode="json"))
    earlier = [{"task": each.card.task, **made(each.card)} for each in map(load_model, before)]
    return {**made(card), "before": earlier, "machine": machine, "date": datetime.date.today().isoformat()}


def made(card: Card) -> dict[str, Any]:
    """Return what went into a run."""
    return {key: getattr(card, key) for key in ("iterations", "images_seen", "seconds")}


def measured(name: str, test: TestSet, root: Path) -> dict[str, Any]:
    """Return a model's means on a test set by steps."""
    table = indi.evaluate(
        WEIGHTS / f"{name}.safetensors",
        clean=root / test.clean,
        degraded=None if test.degraded is None else root / test.degraded,
        task=name if test.degraded is None else None,
        border=test.border,
        steps=test.steps,
    )
    keep = ("steps", "network_calls", *METRICS)
    rows = [{key: row[key] for key in keep} for row in table["rows"]]
    degraded = {key: table["degraded"][key] for key in METRICS}
    kind = "real pairs" if test.degraded else "degraded by the task's test form"
    images = table["settings"]["images"]
    return {"set": test.name, "kind": kind, "images": images, "border": test.border, "degraded": degraded, "rows": rows}


def unharmed(name: str, root: Path) -> dict[str, Any]:
    """Return how close clean images come back in one step: mean and least PSNR in dB."""
    restorer, values = indi.load(WEIGHTS / f"{name}.safetensors"), []
    for file in find_images(root / KODAK.clean):
        clean = read(file).pixels
        error = np.mean((restorer.restore(clean, steps=1).astype(float) - clean) ** 2)
        values.append(20 * np.log10(255) - 10 * np.log10(max(float(error), 1e-10)))
    return {"set": KODAK.name, "images": len(values), "psnr": float(np.mean(values)), "least": float(min(values))}


def main() -> int:
    """Ship and measure one model; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=MODELS)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--machine", help="what the run was trained on")
    parser.add_argument("--before", type=Path, action="append", default=[], help="what the run went on from")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    if (options.run is None) != (options.machine is None):
        parser.error("give --run and --machine together")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    set_threads(options.threads)
    name, card = options.name, WEIGHTS / f"{options.name}.json"
    if options.run is not None:
        card.unlink(missing_ok=True)  # what it says is not true of the new weights, which wait for theirs
        training = ship(name, options.run, options.machine, options.before)
    else:
        training = json.loads(card.read_text(encoding="utf-8"))["training"]
    root, entry = Path(os.environ["INDI_DATA"]), MODELS[name]
    about = {
        "purpose": entry.purpose,
        "steps": entry.steps,
        "data": DATA,
        "licence": LICENCE,
        "recipe": f"recipes/{name}.toml",
        "training": training,
        "limits": LIMITS,
        "not_for": NOT_FOR,
        "clean": unharmed(name, root),
        "figures": [measured(name, test, root) for test in entry.sets],
    }
    write_text(card, json.dumps(about, indent=1) + "\n")
    print(f"{find_model(name)}: {find_model(name).stat().st_size / 1e6:.1f} MB")
    tables.fill()
    return 0


if __name__ == "__main__":
    sys.exit(main())
