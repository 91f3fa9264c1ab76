"""Where the time of training goes: crops a second, how long it waits for them, and the largest operations."""

import argparse
import json
import time
from contextlib import closing
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from indi.config import Config
from indi.data import Crops, match_pairs
from indi.devices import choose_device
from indi.models.checkpoint import Card, write_text
from indi.training.distributed import World
from indi.training.feeding import fed
from indi.training.trainer import Trainer
from indi.version import __version__

WARM_UP = 5  # iterations, which build kernels and decode images


def main() -> None:
    """Train, then train under the profiler, and write both down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clean", type=Path, required=True, help="folder of clean images")
    parser.add_argument("--task", default="photo")
    parser.add_argument("--size", default="base")
    parser.add_argument("--crop", type=int, default=128)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--iterations", type=int, default=100)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, required=True, help="of the figures, .json, and the operations, .txt")
    asked = parser.parse_args()
    config = Config.parse(
        {
            "method": {"name": "distributional"},
            "network": {"size": asked.size},
            "data": {"crop": asked.crop, "batch": asked.batch},
            "training": {"iterations": 10**6},
        },
        source="profile",
    )
    device = choose_device(asked.device)
    card = Card(version=__version__, name="profile", method=config.method, network=config.network, channels=3)
    trainer = Trainer(config, card, asked.out.parent / "no-run", World(0, 1, device))
    pairs = match_pairs(asked.clean, None, channels=3).pairs
    crops = Crops(pairs, crop=asked.crop, channels=3, seed=0, task=asked.task)
    with closing(fed(crops, trainer, slice(None))) as batches:

        def iterate(count: int) -> tuple[float, float]:
            """Return the seconds of so many iterations, and of these in waiting for crops."""
            waited, began = 0.0, time.perf_counter()
            for _ in range(count):
                before = time.perf_counter()
                batch = next(batches)
                waited += time.perf_counter() - before
                trainer.step(*batch)
                if trainer.is_due():
                    trainer.read()
            if trainer.unread:
                trainer.read()
            return time.perf_counter() - began, waited

        iterate(WARM_UP)
        seconds, waited = iterate(asked.iterations)
        activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
        with profile(activities=activities) as profiler:
            iterate(min(asked.iterations, 10))
    figures = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "arithmetic": str(trainer.arithmetic),
        "crops_per_second": asked.iterations * asked.batch / seconds,
        "waiting": waited / seconds,
    }
    write_text(asked.out.with_suffix(".json"), json.dumps(figures, indent=1) + "\n")
    order = "self_cuda_time_total" if device.type == "cuda" else "self_cpu_time_total"
    write_text(asked.out.with_suffix(".txt"), profiler.key_averages().table(sort_by=order, row_limit=30) + "\n")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
