"""What the weights of a pretrained model are worth as a start: the same training from them and from nothing.

    python benchmarks/head_start.py --clean DIR --degraded DIR --config w2s --out DIR

Each training is measured on the images that it kept from training, and the pretrained model as it is on the same ones.
As head-start.json in the folder, of which ``tables.py`` makes a table. What is trained is kept.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

import indi
from indi.devices import set_threads
from indi.evaluation.benchmark import find_test_pairs
from indi.models.checkpoint import write_text
from indi.models.pretrained import pretrained_names

ITERATIONS = (100, 500)  # of 16 crops
STEPS = (1, 10)


def copied(run: Path, folder: Path) -> Path:
    """Copy the pairs that a run kept from training, so that any model can be measured on them; return the folder."""
    for pair in find_test_pairs(run, clean=None, degraded=None, task=None).pairs:
        for side, file in zip(("clean", "degraded"), pair.files, strict=True):
            (folder / side).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, folder / side / file.name)
    return folder


def main() -> int:
    """Train, measure and write; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clean", type=Path, required=True, help="folder of clean images")
    parser.add_argument("--degraded", type=Path, required=True, help="folder of degraded images")
    parser.add_argument("--config", type=Path, help="settings, such as how images are split")
    parser.add_argument("--start", choices=pretrained_names(), default="denoise")
    parser.add_argument("--threads", type=int, help="default: all cores")
    parser.add_argument("--out", type=Path, required=True, help="folder for runs and figures")
    options = parser.parse_args()
    set_threads(options.threads)
    methods = {}
    for iterations in ITERATIONS:
        for name, start in (("nothing", None), (options.start, options.start)):
            run = options.out / f"{name}-{iterations}"
            for record in indi.train(
                run=run,
                clean=options.clean,
                degraded=options.degraded,
                config=options.config,
                iterations=iterations,
                start=start,
                resume=True,
            ):
                if record.iteration % 100 == 0:
                    print(f"from {name}: {record.iteration} of {iterations}", flush=True)
            methods[f"{iterations:,} iterations from {name}"] = {"rows": indi.evaluate(run, steps=STEPS)["rows"]}
    kept = copied(run, options.out / "kept")
    pretrained = indi.evaluate(options.start, clean=kept / "clean", degraded=kept / "degraded", steps=STEPS)
    methods[f"{options.start} as it comes"] = {"rows": pretrained["rows"]}
    result = {"images": pretrained["settings"]["images"], "degraded": pretrained["degraded"], "methods": methods}
    write_text(options.out / "head-start.json", json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
