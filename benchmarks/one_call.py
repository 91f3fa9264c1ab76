"""Other ways to one call: a model of small steps, taught to answer in one what it answers in many.

    python benchmarks/one_call.py --run RUN --out DIR [--iterations 600] [--steps 20]

starts from a run of the method indi, and trains its network further, in two ways that are published:

    reflow       pairs of a start y + eps n and where the teacher's --steps from there end; one call is to end
                 there at once. (Liu, Gong and Liu, "Flow Straight and Fast", ICLR 2023, arXiv:2209.03003.)
    consistency  the answer at a time t is to be the answer at an earlier time s of the same trajectory, down to the
                 clean image at 0. (Song, Dhariwal, Chen and Sutskever, "Consistency Models", ICML 2023,
                 arXiv:2303.01469, trained without a teacher; here from its weights.)

and measures both in one call, on the pairs that the run kept from training, beside the teacher over its steps.
``one-call.json`` in the folder holds the figures. docs/choose.md says why neither is in the library.
"""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor

import indi
from indi.config import Config, merged
from indi.data import Crops, match_pairs, split_pairs
from indi.devices import set_threads
from indi.models.checkpoint import load_model, save_model, write_text
from indi.process.objectives import OBJECTIVES, Answer, Examples, Objective
from indi.process.path import loss, uniform_times
from indi.process.samplers import trajectory
from indi.training.distributed import World
from indi.training.trainer import Trainer

GRID = 20  # consistency is asked for between neighbours of this grid of times


def reflow(teacher: Trainer, steps: int) -> Objective:
    """Return the objective that asks for the end of the teacher's trajectory from where this one starts."""
    network, path = teacher.average.network.eval(), teacher.method.path

    def objective(answer: Answer, examples: Examples, norm: int, generator: Generator) -> Tensor:
        def predict(state: Tensor, time: float) -> Tensor:
            return teacher.method.estimate(network, state, examples.degraded, torch.full((len(state),), time))

        # The state at t = 1 has its noise already: a path without any goes on from there.
        *_, last = trajectory(
            predict, replace(path, c=lambda t: 0.0 * t), examples.state, uniform_times(steps), noise=no_noise
        )
        return loss(answer(examples.state, examples.degraded, examples.t, None), last.image, norm)

    return objective


def consistency(student: Trainer) -> Objective:
    """Return the objective that asks for the averaged network's answer one time of the grid earlier."""

    def objective(answer: Answer, examples: Examples, norm: int, generator: Generator) -> Tensor:
        t = (examples.t * GRID).ceil().clamp(min=1) / GRID
        s = t - 1 / GRID
        share = (s / t).reshape(-1, 1, 1, 1)
        noise = torch.randn(examples.state.shape, generator=generator)
        state = student.method.path.state(examples.target, examples.degraded, t, noise)
        earlier = share * state + (1 - share) * examples.target  # the move of the path, with the clean image itself
        with torch.no_grad():
            target = student.method.estimate(student.average.network, earlier, examples.degraded, s)
        target = torch.where((s <= 1e-6).reshape(-1, 1, 1, 1), examples.target, target)
        return loss(answer(state, examples.degraded, t, None), target, norm)

    return objective


def no_noise(number: int) -> Tensor:
    """Refuse: nothing is drawn on a path without noise."""
    raise AssertionError(number)


def taught(way: str, options: argparse.Namespace) -> Path:
    """Train one of the two ways; return a run folder that ``indi.evaluate`` takes."""
    tree = Config.read(options.run / "config.json")
    budget = {"iterations": options.iterations, "learning_rate": 3e-4, "minutes": None}
    share = {"share_at_one": 1.0 if way == "reflow" else 0.0}
    config = Config.parse(merged(tree, {"training": budget, "method": share}), source="benchmark")
    teacher = load_model(options.run)
    out: Path = options.out / way
    card = teacher.card.model_copy(update={"name": way, "method": config.method})

    def trainer() -> Trainer:
        made = Trainer(config, card, out, World(0, 1, torch.device("cpu")))
        made.begin_from(teacher)
        return made

    student = trainer()
    objective = reflow(trainer(), options.steps) if way == "reflow" else consistency(student)
    OBJECTIVES[way] = objective
    student.method = replace(student.method, objective=way)
    data = config.data
    report = match_pairs(Path(str(data.clean)), None if data.degraded is None else Path(data.degraded))
    pairs, _ = split_pairs(report.pairs, validation=data.validation, seed=config.split_seed, group=data.group)
    crops = Crops(pairs, crop=data.crop, channels=card.channels, seed=config.training.seed, task=data.task)
    for number, batch in crops.stream(0, data.batch):
        if number == options.iterations:
            break
        value, _ = student.learn(*batch)
        if number % 100 == 0:
            print(f"{way}: iteration {number}, loss {value:.4f}", file=sys.stderr, flush=True)
    save_model(student.model(), out)
    for name in ("config.json", "split.json"):
        write_text(out / name, (options.run / name).read_text(encoding="utf-8"))
    return out


def main() -> int:
    """Teach, measure and write; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="a run of the method indi")
    parser.add_argument("--out", type=Path, required=True, help="folder for what is taught, and results")
    parser.add_argument("--iterations", type=int, default=600, help="of each training (default: 600)")
    parser.add_argument("--steps", type=int, default=20, help="of the teacher (default: 20)")
    parser.add_argument("--threads", type=int, help="default: all cores")
    options = parser.parse_args()
    set_threads(options.threads)
    measure: Callable[..., dict[str, Any]] = indi.evaluate
    results = {"teacher": measure(options.run, steps=[1, options.steps])["rows"]}
    for way in ("reflow", "consistency"):
        results[way] = measure(taught(way, options), steps=[1])["rows"]
        write_text(options.out / "one-call.json", json.dumps(results, indent=1) + "\n")
    for name, rows in results.items():
        for row in rows:
            print(f"{name:12} {row['steps']:3} steps: PSNR {row['psnr']:.2f} dB, swd {row['swd']:.2f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
