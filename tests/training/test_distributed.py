"""Two processes train what one does."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from indi.errors import ConfigError
from indi.models.checkpoint import load_model
from indi.process.path import draw_times
from indi.training.distributed import World
from problems import write_pairs

CPU = torch.device("cpu")
pytestmark = pytest.mark.medium

LOSSES = """
import json, sys, torch
from pathlib import Path
from indi.models.checkpoint import Card
from indi.config import Config
from indi.training.distributed import joined
from indi.training.trainer import Trainer

training = {"iterations": 20, "precision": "float32"}
config = Config.parse({"network": {"size": "tiny"}, "training": training}, source="test")
card = Card(version="0", name="test", method=config.method, network=config.network, channels=1)
with joined("cpu") as world:
    trainer = Trainer(config, card, Path("never-written"), world)
    trainer.parallel = world.wrapped(trainer.network.double())  # again: it keeps gradients in the type it first saw
    trainer.average.network.double()
    generator = torch.Generator().manual_seed(0)
    losses = []
    for _ in range(20):
        clean = torch.rand(8, 1, 32, 32, generator=generator, dtype=torch.float64)
        degraded = clean + 0.1 * torch.randn(clean.shape, generator=generator, dtype=torch.float64)
        share = world.share(8)
        losses.append(trainer.learn(clean[share], degraded[share])[0])
    if world.writes:
        Path(sys.argv[1]).write_text(json.dumps(losses))
"""

FIRST = """
import sys
from pathlib import Path
from indi.errors import DataError
from indi.training.distributed import joined

def fail():
    raise DataError("no pair")

with joined("cpu") as world:
    made = world.from_first(lambda: (world.rank, world.neighbours))
    try:
        world.from_first(fail)
    except DataError as error:
        Path(sys.argv[1], f"made-{world.rank}").write_text(f"{made} {error}")
"""


def together(*arguments: object, processes: int = 2) -> subprocess.CompletedProcess[str]:
    """Run a script, or indi, in processes that torchrun starts; without -- it takes --run for an option of its own."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command = [*torchrun, *(["-m"] if arguments[0] == "indi" else []), "--", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


def test_two_processes_have_the_losses_of_one(tmp_path: Path) -> None:
    script = tmp_path / "losses.py"
    script.write_text(LOSSES)
    done = subprocess.run([sys.executable, script, tmp_path / "one"], capture_output=True, text=True, check=True)
    done = together(script, tmp_path / "two")
    assert done.returncode == 0, done.stderr[-2000:]
    one, two = (json.loads((tmp_path / name).read_text()) for name in ("one", "two"))
    assert len(one) == 20
    assert len(set(one)) == 20
    assert two == pytest.approx(one, rel=1e-6)


def test_the_command_trains_in_two_processes_and_resumes(tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path / "data", count=6, size=(40, 48))
    folders = ["--clean", pairs["clean"], "--degraded", pairs["degraded"]]
    options = ["--size", "tiny", "--precision", "float32", "--threads", 1, "--checkpoint-every", 2]
    train: list[Any] = ["indi", "train", *folders, *options]
    done = together(*train, "--run", tmp_path / "two", "--iterations", 4)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stderr.count("4 iterations in") == 1  # one process speaks
    alone = [sys.executable, "-m", *map(str, train), "--run", str(tmp_path / "one"), "--iterations", "4"]
    subprocess.run(alone, check=True, timeout=240)
    more = ["--resume", "--iterations", "6", "--threads", "1"]
    done = together("indi", "train", "--run", tmp_path / "two", *more)
    assert done.returncode == 0, done.stderr[-2000:]
    subprocess.run([*alone[:4], "--run", str(tmp_path / "one"), *more], check=True, timeout=240)
    logs = [(tmp_path / run / "training.jsonl").read_text().splitlines() for run in ("one", "two")]
    losses = [[json.loads(line)["loss"] for line in log] for log in logs]
    assert len(losses[1]) == 6  # each iteration once
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)  # in float32
    weights = [load_model(tmp_path / run).network.state_dict() for run in ("one", "two")]
    for name, weight in weights[0].items():
        torch.testing.assert_close(weights[1][name], weight, atol=2e-3, rtol=0)


def test_a_batch_is_shared_evenly_or_refused() -> None:
    shares = [list(range(8))[World(rank, 4, CPU).share(8)] for rank in range(4)]
    assert sorted(number for share in shares for number in share) == list(range(8))
    assert [len(share) for share in shares] == [2] * 4
    with pytest.raises(ConfigError, match="a batch of 9 cannot be shared by 4"):
        World(0, 4, CPU).share(9)


def test_each_process_sees_all_times() -> None:
    times = draw_times(32, 0.5, torch.Generator().manual_seed(0))
    for rank in range(4):
        ours = times[World(rank, 4, CPU).share(32)]
        assert ours.min() < 0.3
        assert ours.max() == 1
        assert ours.mean().item() == pytest.approx(0.75, abs=0.1)


def test_the_first_process_reads_the_images_for_all_and_all_hear_of_what_is_wrong(tmp_path: Path) -> None:
    script = tmp_path / "first.py"
    script.write_text(FIRST)
    done = together(script, tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert {file.name: file.read_text() for file in tmp_path.glob("made*")} == {
        "made-0": "(0, 2) no pair",
        "made-1": "(0, 2) no pair",
    }


def test_a_world_of_one_changes_nothing() -> None:
    alone, value, network = World(0, 1, CPU), torch.tensor(2.0), torch.nn.Linear(1, 1)
    assert alone.mean(value) is value
    assert alone.first(3.0) == 3.0
    assert alone.wrapped(network) is network
    assert alone.from_first(lambda: network) is network
    assert alone.writes
