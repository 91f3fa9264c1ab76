"""Put trained runs among the models that come with the package, and measure those.

    INDI_DATA=DIR python benchmarks/ship.py NAME [--run RUN --machine "WHAT IT WAS TRAINED ON" [--before RUN]]

With --run, the averaged weights of RUN become src/indi/models/weights/NAME.safetensors in float16; --before names the
runs that it went on from, as --from had it, the first of them first. Then the model is measured on the test images
under INDI_DATA, and its card NAME.json and the documents are written again. NAME is a task. A model with a dial is
measured over it, the others over steps.
"""

import argparse
import datetime
import json
import logging
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

import indi
import tables
from indi.degradations.photo import FORMS
from indi.devices import set_threads
from indi.errors import ConfigError
from indi.io import find_images, read
from indi.models.checkpoint import Card, load_model, write_tensors, write_text
from indi.models.pretrained import FREE, WEIGHTS, find_model
from indi.process import DEFAULT_REALISM, DEFAULT_SAMPLER, DEFAULT_STEPS

STEPS = (1, 5, 10, 20)
REALISM = (0.0, 0.3, 1.0)
METRICS = ("psnr", "psnr_y", "ssim", "ms_ssim", "swd", "spectrum", "stlpips", "grain")
PHOTOGRAPHS = (
    "155 parts of free photographs (CC0, CC BY, BSD, MIT, none of CC BY-SA; sources, authors and licences: NOTICE.md), "
    "shrunk 1.5 and 2 times, 2 % of them for previews alone; degraded by the task's training form"
)
BSDS = (
    "400 photographs of BSDS500 (its training and test images; Arbelaez, Maire, Fowlkes and Malik, TPAMI 2011), "
    "which are commonly stated to be for non-commercial research, 8 of them for previews alone; degraded by the task's "
    "training form"
)
LICENCES = {PHOTOGRAPHS: FREE, BSDS: (WEIGHTS / "LICENSE.md").read_text(encoding="utf-8").strip()}
LIMITS = (
    "Trained on photographs in 8 bit: other kinds of images, other or stronger damage (banding, coarse "
    "grain, single bad pixels), and dim 16-bit images may come out worse, even than they went in. "
)
NOT_FOR = (
    "Evidence, diagnosis, measuring, or telling who or what is to be seen: beyond the least error detail is likely, "
    "not known."
)


@dataclass(frozen=True)
class TestSet:
    """Images to measure on: clean ones that a task degrades, the model's own unless another is named, or pairs."""

    name: str
    clean: str
    degraded: str | None = None
    border: int = 0
    steps: tuple[int, ...] = STEPS
    task: str | None = None


@dataclass(frozen=True)
class Entry:
    """What is said of a model, and what it is measured on; the first set stands for it in lists."""

    purpose: str
    limits: str  # its own, beside those of all
    sets: list[TestSet] = field(default_factory=list)
    steps: int = DEFAULT_STEPS  # when none are asked for
    sampler: str = DEFAULT_SAMPLER
    data: str = BSDS
    best_realism: float = DEFAULT_REALISM  # of a model with a dial, when none is asked for


SHARP = "Images that are sharp already are changed visibly: keep it for those that are not."
CBSD68, KODAK = TestSet("CBSD68", "test/CBSD68"), TestSet("Kodak24", "test/Kodak24")
CITY100 = TestSet("City100, Nikon", "pairs/city100_nikon/clean", "pairs/city100_nikon/degraded", steps=(1, 10))
FREE_TEST = "free_test/images"
MODELS = {
    "photo": Entry(
        "photographs of unknown damage: noise, JPEG, a little blur, light sharpening, a change of size",
        "Strong blur, scratches, banding and pictures that were enlarged several times are beyond it.",
        [
            *(TestSet(f"free photographs, {form}", FREE_TEST, task=f"photo:{form}") for form in FORMS),
            TestSet("CBSD68, noise of 25", "test/CBSD68", task="denoise"),
            TestSet("PolyU", "pairs/polyu/clean", "pairs/polyu/degraded"),
        ],
        steps=1,
        data=PHOTOGRAPHS,
        best_realism=0.3,
    ),
    "denoise": Entry(
        "Gaussian and camera noise up to a deviation of 55 of 255, in colour and gray",
        "Images with hardly any noise lose a little: --strength 0.1 or 0.2 changes them less.",
        [CBSD68, TestSet("PolyU", "pairs/polyu/clean", "pairs/polyu/degraded", steps=(1, 5, 10))],
        steps=5,
        sampler="multistep",
    ),
    # For most of these ten steps leave grain, or bring the blocks back: swd takes either for detail, people do not.
    "jpeg": Entry(
        "JPEG blocks and ringing, quality 5 to 95",
        "From a quality of about 91 on it takes away more than it mends.",
        [TestSet("classic5", "test/classic5")],
        steps=1,
    ),
    "super-resolve-4x": Entry(
        "images enlarged 4 times (--enlarge 4)",
        "Images that are sharp already lose fine texture.",
        [TestSet("Set14", "test/Set14", border=4), CITY100],
        steps=1,
    ),
    "deblur-motion": Entry("blur of a camera that shook, up to 24 px", SHARP, [KODAK], steps=5),
    "deblur-defocus": Entry(
        "blur of a lens out of focus, up to 6 px", SHARP, [KODAK, CITY100], steps=1, sampler="multistep"
    ),
}


def ship(name: str, run: Path, machine: str, before: list[Path]) -> dict[str, Any]:
    """Write the weights of a run in half the size, and return what the card says of their making."""
    model = load_model(run)
    card = model.card.model_copy(update={"name": name, "licence": LICENCES[MODELS[name].data]})
    # float16 keeps 3 bits more than bfloat16, and no weight here comes near its limits.
    tensors = {k: v.half() if v.is_floating_point() else v for k, v in model.network.state_dict().items()}
    write_tensors(WEIGHTS / f"{name}.safetensors", tensors, card.model_dump(mode="json"))
    earlier = [{"task": each.card.task, **made(each.card)} for each in map(load_model, before)]
    return {**made(card), "before": earlier, "machine": machine, "date": datetime.date.today().isoformat()}


def made(card: Card) -> dict[str, Any]:
    """Return what went into a run."""
    return {key: getattr(card, key) for key in ("iterations", "images_seen", "seconds")}


def measured(name: str, test: TestSet, root: Path) -> dict[str, Any]:
    """Return a model's means on a test set by steps."""
    restorer = indi.load(WEIGHTS / f"{name}.safetensors")
    table = indi.evaluate(
        restorer,
        clean=root / test.clean,
        degraded=None if test.degraded is None else root / test.degraded,
        task=(test.task or name) if test.degraded is None else None,
        border=test.border,
        **({"realism": REALISM} if restorer.method.draws else {"steps": test.steps, "sampler": MODELS[name].sampler}),
        perceptual=True,
    )
    keep = ("steps", "realism", "network_calls", *METRICS, "seconds_per_megapixel")
    rows = [{key: row[key] for key in keep if key in row} for row in table["rows"]]
    degraded = {key: table["degraded"][key] for key in METRICS if key in table["degraded"]}
    kind = "real pairs" if test.degraded else "degraded by the test form of its task"
    images = table["settings"]["images"]
    return {"set": test.name, "kind": kind, "images": images, "border": test.border, "degraded": degraded, "rows": rows}


def unharmed(name: str, root: Path, steps: int) -> dict[str, Any]:
    """Return how close clean images come back, at the least error and unless asked: mean and least PSNR in dB."""
    restorer, files = indi.load(WEIGHTS / f"{name}.safetensors"), find_images(root / KODAK.clean)
    ways: list[dict[str, Any]] = [{"steps": count} for count in sorted({1, steps})]
    if restorer.method.draws:
        ways = [{"steps": 1, "realism": realism} for realism in sorted({0.0, MODELS[name].best_realism})]
    rows = []
    for way in ways:
        values = []
        for file in files:
            clean = read(file).pixels
            error = np.mean((restorer.restore(clean, sampler=MODELS[name].sampler, **way).astype(float) - clean) ** 2)
            values.append(20 * np.log10(255) - 10 * np.log10(max(float(error), 1e-10)))
        rows.append({**way, "psnr": float(np.mean(values)), "least": float(min(values))})
    return {"set": KODAK.name, "images": len(files), "rows": rows}


def check(name: str, run: Path | None, root: Path) -> None:
    """Refuse what would fail after the former weights are gone.

    Raises:
        ConfigError: The run is of another task, or a folder of images is not there.
    """
    if run is not None:
        card = load_model(run).card
        if card.task != name:
            raise ConfigError(f"{run}: a model of {card.task}; one of {name} is needed")
    for test in (KODAK, *MODELS[name].sets):
        for folder in (test.clean, test.degraded):
            if folder is not None and not (root / folder).is_dir():
                raise ConfigError(f"{root / folder}: no such folder; set INDI_DATA to that of the test images")


def main() -> int:
    """Ship and measure one model; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=MODELS)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--machine", help="what the run was trained on")
    parser.add_argument("--before", type=Path, action="append", default=[], help="what the run went on from")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--processes", type=int, default=1, help="test sets measured at once (default: 1)")
    options = parser.parse_args()
    if (options.run is None) != (options.machine is None):
        parser.error("give --run and --machine together")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    set_threads(options.threads)
    name, card = options.name, WEIGHTS / f"{options.name}.json"
    root, entry = Path(os.environ.get("INDI_DATA", "")), MODELS[options.name]
    check(name, options.run, root)
    if options.run is not None:
        card.unlink(missing_ok=True)  # what it says is not true of the new weights, which wait for theirs
        training = ship(name, options.run, options.machine, options.before)
    else:
        training = json.loads(card.read_text(encoding="utf-8"))["training"]
    about = {
        "fingerprint": load_model(WEIGHTS / f"{name}.safetensors").fingerprint(),
        "purpose": entry.purpose,
        "steps": entry.steps,
        "sampler": entry.sampler,
        **({"best_realism": entry.best_realism} if indi.load(WEIGHTS / f"{name}.safetensors").method.draws else {}),
        "data": entry.data,
        "recipe": name,
        "training": training,
        "limits": LIMITS + entry.limits,
        "not_for": NOT_FOR,
    }
    # A set a process: on one core each they take half as long as one after the other on two.
    spawned = get_context("spawn")
    with ProcessPoolExecutor(options.processes, spawned, set_threads, (options.threads,)) as pool:
        clean = pool.submit(unharmed, name, root, entry.steps)
        figures = [pool.submit(measured, name, test, root) for test in entry.sets]
        about |= {"clean": clean.result(), "figures": [each.result() for each in figures]}
    write_text(card, json.dumps(about, indent=1) + "\n")
    print(f"{find_model(name)}: {find_model(name).stat().st_size / 1e6:.1f} MB")
    tables.fill()
    return 0


if __name__ == "__main__":
    sys.exit(main())
