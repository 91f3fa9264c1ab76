"""What a network that draws buys: one call over its dial against the paper's small steps, at equal minutes.

    python benchmarks/distributional.py --clean DIR --degraded DIR --out DIR [--group PATTERN]
    python benchmarks/distributional.py --clean DIR --task super-resolve-4x --test-clean DIR --out DIR

1. Measures what an iteration costs each method, in turns, so that the ratios hold on a machine that is not quiet.
2. Trains InDI for --iterations, the method distributional (and on pairs regression) for as many as take the same time.
3. Measures InDI over steps, the other over its dial, and the mean of eight draws; each with stlpips where the extra
   ``perceptual`` is there.
4. Of 19 draws at realism 1: how often their range holds the clean value (nominally 18 of 20), and their spread over
   their skill, the root of the mean variance over the root mean square error of their mean, both corrected for so few.
5. Of pairs: intervals of eight samples as ``indi calibrate`` makes them, of InDI's ten steps and of draws.
6. Of a task: what is left on flat images, as a deviation in 255ths.

``distributional.json`` in the folder holds the figures, as far as it has come; what is trained is kept.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import indi
from indi.config import RATE, Config
from indi.data import Crops, Pair, count, load_test_pair, match_pairs, scenes_of
from indi.degradations import degradation
from indi.devices import set_threads
from indi.errors import MissingExtraError
from indi.evaluation.benchmark import find_test_pairs
from indi.evaluation.scenes import Scene, check, guaranteed_factor, plain_factor
from indi.io import to_unit
from indi.metrics import METRICS, PERCEPTUAL, measure
from indi.models.checkpoint import CARD_FILE, Card, write_text
from indi.restoration.restorer import Restorer
from indi.training.distributed import World
from indi.training.trainer import Trainer

METHODS = ("indi", "regression", "distributional")
STEPS, DIAL = (1, 2, 5, 10, 20), (0.0, 0.25, 0.5, 0.6, 0.75, 1.0)
SAMPLES, DRAWS = 8, 19
FLAT = (0.1, 0.3, 0.5, 0.8)

Pixels = NDArray[Any]


def settings(method: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return the tree of settings of a training."""
    data = {"group": options.group, "validation": 0.2 if options.test_clean is None else 0.02}
    return {"method": {"name": method}, "network": {"size": options.size}, "data": data}


def seconds_an_iteration(options: argparse.Namespace, *, rounds: int = 6, iterations: int = 10) -> dict[str, float]:
    """Return the median time of an iteration of each method, of rounds in turns."""
    report = match_pairs(options.clean, options.degraded)
    trainers: dict[str, Trainer] = {}
    times: dict[str, list[float]] = {method: [] for method in METHODS}
    for method in METHODS:
        config = Config.parse(settings(method, options) | {"training": {"iterations": 1000}}, source="benchmark")
        card = Card(version="0", name=method, method=config.method, network=config.network, channels=report.channels)
        trainers[method] = Trainer(config, card, Path("no-files"), World(0, 1, torch.device("cpu")))
    crops = Crops(report.pairs, crop=64, channels=report.channels, seed=0, task=options.task)
    batches = [crops.batch(number, config.data.batch) for number in range(iterations)]
    for _ in range(rounds):
        for method, trainer in trainers.items():
            began = time.perf_counter()
            for batch in batches:
                trainer.learn(*batch)
            times[method].append((time.perf_counter() - began) / iterations)
    return {method: statistics.median(some[1:]) for method, some in times.items()}


def trained(method: str, iterations: int, options: argparse.Namespace) -> Path:
    """Train a method, unless it is trained; return its run folder."""
    run: Path = options.out / "runs" / method
    if (run / CARD_FILE).exists() and json.loads((run / CARD_FILE).read_text())["iterations"] >= iterations:
        return run
    pairs = {"clean": options.clean, "degraded": options.degraded, "task": options.task}
    for record in indi.train(
        run=run, **pairs, config=settings(method, options), iterations=iterations, seed=options.seed, resume=True
    ):
        if record.iteration % 500 == 0:
            say(f"{method}: iteration {record.iteration}, {record.crops_per_second:.0f} crops/s")
    return run


def metrics_here() -> dict[str, Any]:
    """Return the metrics to measure: stlpips where it can be had."""
    chosen = {name: METRICS[name] for name in ("psnr", "psnr_y", "swd", "spectrum", "grain")}
    try:
        PERCEPTUAL["stlpips"](torch.rand(1, 3, 64, 64), torch.rand(1, 3, 64, 64))
    except MissingExtraError as error:
        say(str(error))
        return chosen
    return chosen | {"stlpips": PERCEPTUAL["stlpips"]}


def ways() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield each way of restoring: its name, the method, and options of ``Restorer.restore``."""
    yield "regression", "regression", {}
    for steps in STEPS:
        yield f"InDI, {count(steps, 'step')}", "indi", {"steps": steps}
    for realism in DIAL:
        yield f"one call, realism {realism:g}", "distributional", {"realism": realism}
    yield "5 calls, realism 1", "distributional", {"realism": 1.0, "steps": 5}
    yield f"mean of {SAMPLES} draws", "distributional", {"realism": 1.0, "samples": SAMPLES}


def batch(image: Pixels) -> torch.Tensor:
    """Return an image as a batch of one, in units of its range."""
    return torch.from_numpy(np.moveaxis(np.atleast_3d(to_unit(image)), -1, 0).copy())[None]


def quality(restorers: dict[str, Restorer], pairs: list[Pair], task: str | None) -> dict[str, dict[str, float | None]]:
    """Return the mean of each metric over the pairs, by way of restoring."""
    metrics = metrics_here()
    rows: dict[str, dict[str, list[float]]] = {}
    for number, pair in enumerate(pairs, start=1):
        clean, degraded = load_test_pair(pair, channels=restorers["indi"].card.channels, task=task)
        answers: dict[str, Pixels] = {"degraded": degraded}
        for name, method, how in ways():
            if method not in restorers:
                continue
            restored = to_unit(restorers[method].restore(degraded, **how))
            answers[name] = restored.mean(axis=0) if "samples" in how else restored
        for name, answer in answers.items():
            found = measure(batch(to_unit(answer).clip(0, 1)), batch(clean), metrics=metrics)
            for metric, values in found.items():
                if values[0] is not None:
                    rows.setdefault(name, {}).setdefault(metric, []).append(values[0])
        say(f"measured {number} of {len(pairs)}: {pair.name}")
    return {name: {metric: statistics.fmean(some) for metric, some in row.items()} for name, row in rows.items()}


def honesty(restorer: Restorer, pairs: list[Pair], task: str | None) -> dict[str, float]:
    """Return how often the range of 19 draws at realism 1 holds the clean value, and their spread over their skill."""
    held, variances, errors = [], [], []
    for pair in pairs:
        clean, degraded = load_test_pair(pair, channels=restorer.card.channels, task=task)
        draws = to_unit(restorer.restore(degraded, samples=DRAWS, realism=1.0))
        truth = to_unit(clean)
        held.append(float(((truth >= draws.min(axis=0)) & (truth <= draws.max(axis=0))).mean()))
        variances.append(float(draws.var(axis=0, ddof=1, dtype=np.float64).mean()))
        errors.append(float(np.square(draws.mean(axis=0, dtype=np.float64) - truth).mean()))
    skill = statistics.fmean(errors)
    spread = statistics.fmean(variances) * (1 + 1 / DRAWS)
    return {"coverage": statistics.fmean(held), "spread_over_skill": (spread / skill) ** 0.5}


def intervals(
    restorers: dict[str, Restorer], pairs: list[Pair], task: str | None, group: str | None
) -> dict[str, dict[str, Any]]:
    """Return the half widths of calibrated intervals, in 255ths, of InDI's ten steps and of draws."""
    found: dict[str, dict[str, Any]] = {}
    hows: dict[str, dict[str, Any]] = {"indi": {"steps": 10}, "distributional": {"realism": 1.0}}
    for method, how in hows.items():
        restorer = restorers[method]
        scene_of = scenes_of(pairs, group)
        scenes = {name: Scene() for name in dict.fromkeys(scene_of.values())}
        for pair in pairs:
            clean, degraded = load_test_pair(pair, channels=restorer.card.channels, task=task)
            samples = to_unit(restorer.restore(degraded, samples=SAMPLES, **how))
            mean, spread = samples.mean(axis=0, dtype=np.float64), samples.std(axis=0, dtype=np.float64)
            scenes[scene_of[pair]].add(np.abs(to_unit(clean) - mean), spread, restorer.least_spread)
        ours = list(scenes.values())
        width = 255 * sum(scene.widths for scene in ours) / sum(scene.pixels for scene in ours)
        guaranteed = guaranteed_factor(ours, RATE)
        found[method] = {
            "scenes": len(ours),
            "plain_factor": plain_factor(ours, RATE),
            "plain_half_width": width * plain_factor(ours, RATE),
            "guaranteed_half_width": None if guaranteed is None else width * guaranteed,
            "check": check(ours, RATE),
        }
        say(f"intervals of {method}: {found[method]['plain_half_width']:.2f} of 255")
    return found


def flat(restorers: dict[str, Restorer], task: str) -> dict[str, float]:
    """Return the largest deviation that is left on flat images of several brightnesses, in 255ths, by way."""
    found: dict[str, float] = {}
    channels = restorers["indi"].card.channels
    for number, level in enumerate(FLAT):
        clean = torch.full((channels, 160, 160), level)
        degraded = degradation(task).test(clean, torch.Generator().manual_seed(number))
        image = np.moveaxis(degraded.numpy(), 0, -1) if channels > 1 else degraded[0].numpy()
        for name, method, how in ways():
            if method in restorers and "samples" not in how:
                inner = restorers[method].restore(image, **how)[32:-32, 32:-32]
                found[name] = max(found.get(name, 0.0), float(255 * inner.std(axis=(0, 1)).max()))
    return found


def main() -> int:
    """Train, measure and write; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clean", type=Path, required=True, help="clean images to train on")
    parser.add_argument("--degraded", type=Path, help="their degraded ones; or else a task")
    parser.add_argument("--task", help="makes the degraded images")
    parser.add_argument("--test-clean", type=Path, help="with a task: clean images to measure on")
    parser.add_argument("--group", help="pattern whose match names an image's scene")
    parser.add_argument("--out", type=Path, required=True, help="folder for runs and results")
    parser.add_argument("--size", default="tiny", help="of the network (default: tiny)")
    parser.add_argument("--iterations", type=int, default=5850, help="of InDI (default: 5850, 5 min on two cores)")
    parser.add_argument("--only", choices=METHODS, help="train this one and stop")
    parser.add_argument("--images", type=int, help="measure on about so many of the test images, evenly taken")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, help="default: all cores")
    options = parser.parse_args()
    set_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / "distributional.json"
    results: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}

    def keep(**part: Any) -> None:
        results.update(part)
        write_text(file, json.dumps(results, indent=1) + "\n")

    if "seconds_an_iteration" not in results:
        keep(seconds_an_iteration=seconds_an_iteration(options))
    cost = results["seconds_an_iteration"]
    iterations = {method: round(options.iterations * cost["indi"] / cost[method]) for method in METHODS}
    say(f"iterations in equal time: {iterations}")
    keep(settings={name: getattr(options, name) for name in ("task", "size", "seed")}, iterations=iterations)
    methods = [method for method in METHODS if method != "regression" or options.task is None]
    runs = {
        method: trained(method, iterations[method], options) for method in methods if options.only in (None, method)
    }
    if options.only:
        return 0
    restorers = {method: indi.load(run) for method, run in runs.items()}
    if options.test_clean is not None:
        found = find_test_pairs(None, clean=options.test_clean, degraded=None, task=options.task)
    else:
        found = find_test_pairs(runs["indi"], clean=None, degraded=None, task=None)
    pairs = list(found.pairs[:: max(1, len(found.pairs) // options.images)]) if options.images else list(found.pairs)
    works: dict[str, Callable[[], Any]] = {
        "quality": lambda: quality(restorers, pairs, options.task),
        "honesty": lambda: honesty(restorers["distributional"], pairs, options.task),
        "intervals": lambda: {} if options.task else intervals(restorers, pairs, None, options.group),
        "flat": lambda: flat(restorers, options.task) if options.task else {},
    }
    for name, work in works.items():
        if name not in results:
            keep(**{name: work()})
    for name, row in results["quality"].items():
        print(f"{name:26}", "  ".join(f"{metric} {value:.3f}" for metric, value in row.items()))
    print({name: results[name] for name in ("honesty", "intervals", "flat")})
    return 0


def say(text: str) -> None:
    """Write a line on how far it is."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
