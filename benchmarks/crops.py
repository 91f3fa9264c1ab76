"""What a crop costs, by task, how many threads make how many, and how long training waits for them.

Everything is measured in turns within one run, and the best round of each counts. Time of the processor stands beside
that of the clock, since on a machine that does other work the clock tells of that too.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import torch

from indi import io as images
from indi.data import Crops, Pair, match_pairs
from indi.degradations import DEGRADATIONS
from indi.models.checkpoint import write_text
from indi.training.distributed import World
from indi.training.trainer import Trainer
from speed import BATCH, CARD, CHANNELS, CONFIG, textures

PAIRS = "pairs"
TASKS = (PAIRS, *DEGRADATIONS)
HERE = Path(__file__).resolve().parent


def crops_of(folder: Path, task: str, crop: int) -> Crops:
    """Return the crops of a task from a folder of clean images, which for pairs are their own partners."""
    pairs = match_pairs(folder, None).pairs
    if task == PAIRS:
        pairs = tuple(Pair(pair.name, pair.clean, pair.clean) for pair in pairs)
    return Crops(pairs, crop=crop, channels=CHANNELS, seed=0, task=None if task == PAIRS else task)


def costs(folder: Path, tasks: list[str], crop: int, batches: int) -> dict[str, float]:
    """Return the seconds of one core that a crop costs, by task."""
    torch.set_num_threads(1)
    found = {}
    for task in tasks:
        crops = crops_of(folder, task, crop)
        crops.batch(0, BATCH)  # decodes the images
        began = time.thread_time()
        for number in range(batches):
            crops.batch(number, BATCH)
        found[task] = (time.thread_time() - began) / (batches * BATCH)
    return found


def costs_elsewhere(source: Path, arguments: argparse.Namespace, folder: Path, crop: int) -> dict[str, float]:
    """Return the costs with the package of another folder, in a process of its own."""
    asked = [sys.executable, str(HERE / "crops.py"), "--costs-of", str(folder), "--crop", str(crop)]
    asked += ["--batches", str(arguments.batches), "--tasks", *arguments.tasks]
    environment = os.environ | {"PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(asked, env=environment, capture_output=True, text=True, check=True)
    answer: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return answer


def best(rounds: list[dict[str, float]]) -> dict[str, float]:
    """Return the least of each value over several rounds."""
    return {name: min(each[name] for each in rounds) for name in rounds[0]}


def rate(folder: Path, task: str, crop: int, makers: int, batches: int) -> tuple[float, float]:
    """Return the crops a second of so many makers, and the seconds of the processor that one costs."""
    with closing(crops_of(folder, task, crop).stream(0, BATCH, makers=makers)) as stream:
        for _ in range(makers + 3):  # decodes the images, and takes what was made ahead
            next(stream)
        began, spent = time.perf_counter(), time.process_time()
        for _ in range(batches):
            next(stream)
        count = batches * BATCH
        return count / (time.perf_counter() - began), (time.process_time() - spent) / count


def waiting(folder: Path, task: str, iterations: int) -> tuple[float, float]:
    """Return what share of an iteration of size small waits for its batch, and its seconds of the processor in all."""
    trainer = Trainer(CONFIG, CARD, folder / "no-run", World(0, 1, torch.device("cpu")))
    waited = 0.0
    with closing(crops_of(folder, task, CONFIG.data.crop).stream(0, BATCH)) as stream:
        trainer.learn(*next(stream)[1])  # builds kernels, and decodes the images
        began, spent = time.perf_counter(), time.process_time()
        for _ in range(iterations):
            asked = time.perf_counter()
            batch = next(stream)[1]
            waited += time.perf_counter() - asked
            trainer.learn(*batch)
        return waited / (time.perf_counter() - began), (time.process_time() - spent) / iterations


def measure(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Return all that was measured, and print it as tables."""
    ours = HERE.parent / "src"
    found: dict[str, Any] = {"date": date.today().isoformat(), "threads": arguments.threads, "costs": {}}
    for crop in arguments.crops:
        sources = {"now": ours} | ({} if arguments.before is None else {"before": arguments.before})
        rounds: dict[str, list[dict[str, float]]] = {name: [] for name in sources}
        for _ in range(arguments.rounds):
            for name, source in sources.items():
                rounds[name].append(costs_elsewhere(source, arguments, folder, crop))
        found["costs"][crop] = {name: best(each) for name, each in rounds.items()}
        print(f"\n| crops of {crop} px, ms of one core | {' | '.join(sources)} | times as fast |")
        print(f"|---|{'---|' * (len(sources) + 1)}")
        for task in arguments.tasks:
            values = [found["costs"][crop][name][task] for name in sources]
            cells = " | ".join(f"{1000 * value:.2f}" for value in values)
            print(f"| {task} | {cells} | {values[-1] / values[0]:.1f} |", flush=True)
    torch.set_num_threads(arguments.threads)
    print(f"\n| crops of {arguments.crops[0]} px a second, by makers | {' | '.join(map(str, arguments.makers))} |")
    print(f"|---|{'---|' * len(arguments.makers)}")
    found["rates"] = {}
    for task in arguments.tasks:
        rates = {}
        for makers in arguments.makers:
            rates[makers] = max(
                rate(folder, task, arguments.crops[0], makers, 4 * arguments.batches) for _ in range(arguments.rounds)
            )
        found["rates"][task] = rates
        cells = " | ".join(f"{each:.0f} ({1000 * cost:.2f} ms)" for each, cost in rates.values())
        print(f"| {task} | {cells} |", flush=True)
    found["waiting"] = {}
    print(f"\n| an iteration of size small, {arguments.threads} threads | waits | of its processor time for crops |")
    print("|---|---|---|")
    for task in arguments.tasks:
        waits, spent = waiting(folder, task, arguments.iterations)
        share = BATCH * found["rates"][task][1][1] / spent
        found["waiting"][task] = {"waits": waits, "share": share, "seconds": spent}
        print(f"| {task} | {waits:.1%} | {share:.1%} |", flush=True)
    if PAIRS in arguments.tasks:
        # Of a crop of one pixel nearly all is Python, where one thread works at a time.
        locked = min(costs(folder, [PAIRS], 1, arguments.batches)[PAIRS] for _ in range(arguments.rounds))
        cost = found["costs"][arguments.crops[0]]["now"][PAIRS]
        found["projection"] = min(arguments.cores / cost, 1 / locked)
        print(f"\npairs on {arguments.cores} cores: {found['projection']:.0f} crops a second at most")
    return found


def main() -> None:
    """Measure, print, and write down."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=TASKS)
    parser.add_argument("--crops", nargs="+", type=int, default=[64, 128], metavar="PX")
    parser.add_argument("--makers", nargs="+", type=int, default=[1, 2], help="begins with 1")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="that the network computes with")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batches", type=int, default=8, help="a round")
    parser.add_argument("--iterations", type=int, default=8, help="of training, to see how long it waits")
    parser.add_argument("--cores", type=int, default=16, help="of the machine that is projected to")
    parser.add_argument("--before", type=Path, metavar="SRC", help="src of another version, to compare costs with")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--costs-of", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--crop", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.costs_of is not None:
        print(json.dumps(costs(arguments.costs_of, arguments.tasks, arguments.crop, arguments.batches)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for number, texture in enumerate(textures(8, 256)):
            images.write(folder / f"{number}.png", images.Image(texture))
        found = measure(arguments, folder)
    if arguments.json is not None:
        write_text(arguments.json, json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
