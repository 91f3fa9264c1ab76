"""What each choice of the method is worth: one setting changed at a time, everything else equal.

    python benchmarks/ablations.py --clean DIR --degraded DIR --out DIR
    python benchmarks/ablations.py --clean DIR --task super-resolve-4x --test-clean DIR --out DIR

trains a model of size tiny for each row of ``CELLS``, all for the same number of iterations, and measures each over
steps; then samples from the first of them and one with more noise on other grids of times and with other samplers.
``ablations.json`` in the folder holds the figures, in three parts that ``tables.py`` makes tables of: trained, grids
and samplers, as far as it has come. What is finished is kept: after an interruption the same command goes on. With
--only "base" "squared error" --seeds 3, those rows alone, their first part as mean and spread over three trainings
on one split.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import indi
from indi.devices import set_threads
from indi.evaluation.comparison_run import mean_rows, spread_rows
from indi.models.checkpoint import CARD_FILE, write_text

ITERATIONS = 3500  # of 16 crops: three minutes of size tiny on two cores at 312 crops a second
STEPS = (1, 2, 5, 10, 20)
CALLS = (1, 3, 5, 9, 19)  # numbers of network calls that every sampler can make: Heun's are odd

# Name of a model -> what differs from the defaults of config.py, which the first row states.
BASE: dict[str, Any] = {
    "method": {"epsilon": 0.01, "noise": "constant", "conditioned": False, "share_at_one": 0.5},
    "training": {"norm": 1},
}
CELLS: dict[str, dict[str, Any]] = {
    "base": {},
    "epsilon 0": {"method": {"epsilon": 0.0}},
    "epsilon 0.005": {"method": {"epsilon": 0.005}},
    "epsilon 0.025": {"method": {"epsilon": 0.025}},
    "epsilon 0.05": {"method": {"epsilon": 0.05}},
    "epsilon 0.1": {"method": {"epsilon": 0.1}},
    "conditioned, epsilon 0.01": {"method": {"conditioned": True}},
    "conditioned, epsilon 0.05": {"method": {"conditioned": True, "epsilon": 0.05}},
    "Brownian, epsilon 0.05": {"method": {"noise": "brownian", "epsilon": 0.05}},
    "squared error": {"training": {"norm": 2}},
    "share of t = 1: 0": {"method": {"share_at_one": 0.0}},
    "share of t = 1: 0.25": {"method": {"share_at_one": 0.25}},
    "share of t = 1: 0.75": {"method": {"share_at_one": 0.75}},
    "share of t = 1: 0.75, squared error": {"method": {"share_at_one": 0.75}, "training": {"norm": 2}},
}
SAMPLED = ("base", "epsilon 0.05")  # the models that other grids and samplers are tried on


def settings(name: str, data: dict[str, Any]) -> dict[str, Any]:
    """Return the whole tree of settings of a cell."""
    method = BASE["method"] | CELLS[name].get("method", {})
    training = BASE["training"] | CELLS[name].get("training", {})
    return {"method": method, "training": training, "network": {"size": "tiny"}, "data": data}


def trained(name: str, seed: int, run: Path, options: argparse.Namespace) -> Path:
    """Train a cell, unless it is trained; return its run folder."""
    card = run / CARD_FILE
    if card.exists() and json.loads(card.read_text(encoding="utf-8"))["iterations"] >= options.iterations:
        return run
    data = {"validation": options.validation, "split_seed": options.seed, "group": options.group}
    pairs = {"clean": options.clean, "degraded": options.degraded, "task": options.task}
    records = indi.train(
        run=run, **pairs, config=settings(name, data), iterations=options.iterations, seed=seed, resume=True
    )
    for record in records:
        if record.iteration % 500 == 0:
            done = f"{name}, seed {seed}: iteration {record.iteration}, loss {record.loss:.4f}"
            say(f"{done}, {record.crops_per_second:.0f} crops/s")
    return run


def samplings(name: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield ways of sampling from a model: the part of the result, the line in it, options of ``indi.evaluate``."""
    yield "trained", name, {"steps": STEPS}
    if name in SAMPLED:
        yield "grids", f"{name}, uniform", {"steps": STEPS}  # the one above, which is not measured again
        yield "grids", f"{name}, geometric", {"steps": STEPS, "times": "geometric"}
        yield "samplers", f"{name}, euler", {"steps": CALLS}
        yield "samplers", f"{name}, heun", {"steps": [(calls + 1) // 2 for calls in CALLS], "sampler": "heun"}
        yield "samplers", f"{name}, multistep", {"steps": CALLS, "sampler": "multistep"}


def measured(line: str, sampling: dict[str, Any], run: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Measure a model sampled one way, unless it is measured; return its table without the single images."""
    how = "-".join(str(value) for value in sampling.values() if isinstance(value, str)) or "plain"
    kept = options.out / "measured" / f"{run.name}-{how}-{len(sampling['steps'])}-{max(sampling['steps'])}.json"
    if kept.exists():
        return dict(json.loads(kept.read_text(encoding="utf-8")))
    test: dict[str, Any] = {}
    if options.test_clean:
        test = {"clean": options.test_clean, "degraded": options.test_degraded}
        test["task"] = None if options.test_degraded else options.task
    say(f"{line}: measuring")
    table = indi.evaluate(run, **test, **sampling)
    del table["per_image"]
    write_text(kept, json.dumps(table, indent=1) + "\n")
    return table


def over_seeds(tables: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the means of a line over its seeds and, of several, their spread."""
    if len(tables) == 1:
        return tables[0]
    rows = list(zip(*(table["rows"] for table in tables), strict=True))
    spread = [{"steps": row[0]["steps"], **spread_rows(row)} for row in rows]
    return tables[0] | {"rows": [mean_rows(row) for row in rows], "spread": spread}


def say(text: str) -> None:
    """Print a line with the time of day."""
    print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)


def main() -> int:
    """Train, measure and write; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clean", required=True, help="folder of clean images to train on")
    parser.add_argument("--degraded", help="folder of degraded images, or else --task")
    parser.add_argument("--task", help="makes the degraded images")
    parser.add_argument("--test-clean", help="folder of clean images to test on; default: those kept for validation")
    parser.add_argument("--test-degraded", help="their degraded images; default: --task makes them")
    parser.add_argument("--validation", type=float, default=0.25, help="share kept for validation (default: 0.25)")
    parser.add_argument("--group", help="pattern that names an image's scene")
    parser.add_argument("--iterations", type=int, default=ITERATIONS, help=f"of each model (default: {ITERATIONS})")
    parser.add_argument("--only", nargs="+", choices=CELLS, default=list(CELLS), metavar="ROW", help="rows of CELLS")
    parser.add_argument("--seed", type=int, default=0, help="of the split, and of the first training of a row")
    parser.add_argument("--seeds", type=int, default=1, help="trainings a row (default: 1)")
    parser.add_argument("--threads", type=int, help="default: all cores")
    parser.add_argument("--out", type=Path, required=True, help="folder for runs and results")
    options = parser.parse_args()
    threads = set_threads(options.threads)
    models = len(options.only) * options.seeds
    say(
        f"{models} models of {options.iterations} iterations, on {threads} threads: at 300 crops a second on two "
        f"cores {models * options.iterations * 16 / 300 / 60:.0f} minutes, and the measuring"
    )
    results: dict[str, dict[str, Any]] = {}
    for name in options.only:
        tables: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for seed in range(options.seed, options.seed + options.seeds):
            folder = f"{list(CELLS).index(name):02d}" + ("" if seed == options.seed else f"-s{seed}")
            run = trained(name, seed, options.out / folder, options)
            for part, line, sampling in samplings(name):
                if part == "trained" or seed == options.seed:
                    tables.setdefault((part, line), []).append(measured(line, sampling, run, options))
        for (part, line), found in tables.items():
            results.setdefault(part, {})[line] = over_seeds(found)
        write_text(options.out / "ablations.json", json.dumps(results, indent=1) + "\n")  # so far
    say(f"figures: {options.out / 'ablations.json'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
