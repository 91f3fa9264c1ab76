"""How far the samplers come with as many network calls: a pretrained model on images that its task degrades.

    python benchmarks/samplers.py --task denoise --clean DIR --out DIR

As samplers-TASK.json in the folder, of which ``tables.py`` makes a table.
"""

import argparse
import json
import sys
from pathlib import Path

import indi
from indi.devices import set_threads
from indi.models.checkpoint import write_text
from indi.models.pretrained import pretrained_names

SAMPLERS = ("euler", "multistep")  # whose steps are one call each
STEPS = (1, 2, 5, 10)


def main() -> int:
    """Measure and write; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=pretrained_names(), default="denoise")
    parser.add_argument("--clean", type=Path, required=True, help="folder of clean images")
    parser.add_argument("--threads", type=int, help="default: all cores")
    parser.add_argument("--out", type=Path, required=True, help="folder for the figures")
    options = parser.parse_args()
    set_threads(options.threads)
    tables = {
        sampler: indi.evaluate(options.task, clean=options.clean, task=options.task, steps=STEPS, sampler=sampler)
        for sampler in SAMPLERS
    }
    methods = {sampler: {"rows": table["rows"]} for sampler, table in tables.items()}
    path = options.out / f"samplers-{options.task}.json"
    write_text(path, json.dumps({"task": options.task, "methods": methods}, indent=1) + "\n")
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
