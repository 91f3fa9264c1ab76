"""Every method learns: the trainer asks the network for what the method's estimate of clean is made from."""

import gc
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from indi.config import Config
from indi.errors import TrainingError
from indi.models.checkpoint import STATE_FILE, Card, load_model
from indi.process.methods import METHODS
from indi.training import trainer as trainer_module
from indi.training.distributed import World
from indi.training.fitting import fitting_crops
from indi.training.trainer import Trainer
from indi.version import __version__

CPU = torch.device("cpu")


def trainer_of(run: Path, seed: int = 0, **training: Any) -> Trainer:
    training = {"iterations": 100, "precision": "float32", "seed": seed} | training
    config = Config.parse({"network": {"size": "tiny"}, "training": training}, source="test")
    card = Card(version=__version__, name="test", method=config.method, network=config.network, channels=1)
    return Trainer(config, card, run, World(0, 1, CPU))


def batches(count: int, side: int = 24) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    cleans = [torch.rand(4, 1, side, side, generator=generator) for _ in range(count)]
    return [(clean, clean / 2 + 0.1) for clean in cleans]


@pytest.mark.medium
@pytest.mark.parametrize("norm", [1, 2])
@pytest.mark.parametrize("name", sorted(METHODS))
def test_the_estimate_comes_to_be_clean(name: str, norm: int) -> None:
    """Pairs (x, x / 2 + 0.1): clean can be told from degraded, so a network that learns finds it at every time."""
    config = Config.parse(
        {
            "method": {"name": name, "epsilon": 0.01},
            "network": {"name": "mlp", "size": "tiny"},
            "training": {
                "iterations": 1000,
                "learning_rate": 0.01,
                "norm": norm,
                "precision": "float32",
                "average": 0.9,
            },
        },
        source="test",
    )
    card = Card(version=__version__, name=name, method=config.method, network=config.network, channels=1)
    trainer = Trainer(config, card, Path("never-written"), World(0, 1, CPU))
    generator = torch.Generator().manual_seed(0)

    def pairs(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        clean = torch.rand(count, 1, 1, 1, generator=generator)
        return clean, clean / 2 + 0.1

    for _ in range(1000):
        trainer.learn(*pairs(128))
    method, network = trainer.method, trainer.model().network
    clean, degraded = pairs(500)
    noise = torch.randn(clean.shape, generator=generator)
    for time in (1.0,) if method.one_step else (1.0, 0.6, 0.3):
        t = torch.full((500,), time)
        state = method.path.state(clean, degraded, t, noise)
        with torch.no_grad():
            error = (method.estimate(network, state, degraded, t) - clean).abs().mean().item()
        assert error < 0.05, time  # the clean values themselves are 0.25 from their mean, on average


# What is left on an accelerator, shown on the CPU


def test_losses_that_are_read_later_are_those_of_each_iteration(tmp_path: Path) -> None:
    """Both ways skip what is not finite, and leave the same weights and averages up to rounding."""
    each, later = trainer_of(tmp_path), trainer_of(tmp_path)
    later.reads_each = False
    given = batches(12)
    for number in (3, 4):
        given[number][0][0, 0, 0, 0] = math.nan
    wanted, due = [], []
    for batch in given:
        each.step(*batch)
        assert each.is_due()
        wanted += each.read()
        later.step(*batch)
        due.append(later.is_due())
    found = later.read()
    assert not any(due)
    assert [taken.iteration for taken in found] == list(range(1, 13))
    assert [taken.skipped for taken in found] == [taken.skipped for taken in wanted] == [0, 0, 0, 1, *[2] * 8]
    assert [taken.rate for taken in found] == [taken.rate for taken in wanted]
    losses = ([taken.loss for taken in part] for part in (found, wanted))
    assert next(losses) == pytest.approx(next(losses), rel=1e-4, nan_ok=True)
    for one, two in ((each.network, later.network), (each.average.network, later.average.network)):
        for name, weight in one.state_dict().items():
            torch.testing.assert_close(two.state_dict()[name], weight, rtol=0, atol=1e-5)
    steps = {int(state["step"]) for state in later.optimiser.state.values()}
    assert steps == {10}


def test_losses_are_read_before_a_checkpoint_and_never_too_late(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path, checkpoint_every=5)
    trainer.reads_each = False
    due = []
    for batch in batches(6):
        trainer.step(*batch)
        due.append(trainer.is_due())
        if due[-1]:
            trainer.read()
    assert due == [False] * 4 + [True, False]
    trainer = trainer_of(tmp_path)
    trainer.reads_each = False
    due = []
    for batch in batches(trainer_module._UNREAD):
        trainer.step(*batch)
        due.append(trainer.is_due())
    assert due == [False] * (trainer_module._UNREAD - 1) + [True]


def test_what_stays_not_finite_ends_a_run_also_where_it_is_read_later(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path)
    trainer.reads_each = False
    for clean, degraded in batches(14):
        trainer.step(clean * math.nan, degraded)
    with pytest.raises(TrainingError, match=r"10 times in a row at iteration 10;.*learning_rate"):
        trainer.read()


def test_float16_is_scaled_and_the_scale_is_resumed(tmp_path: Path) -> None:
    def in_float16() -> Trainer:
        trainer = trainer_of(tmp_path, learning_rate=3e-3)
        trainer.arithmetic = replace(trainer.arithmetic, dtype=torch.float16)
        trainer.scaler = trainer_module._scaler(trainer.arithmetic)
        return trainer

    trainer, given = in_float16(), batches(23, side=16)
    losses = [trainer.learn(*batch)[0] for batch in given[:20]]
    assert sum(losses[-3:]) < 0.8 * sum(losses[:3])
    assert trainer.scaler is not None
    assert trainer.scaler.get_scale() > 1
    trainer.save()
    assert load_model(tmp_path).card.iterations == 20
    resumed = trainer_of(tmp_path, learning_rate=3e-3)
    resumed.resume()
    assert resumed.dtype == torch.float16
    assert resumed.card.precision == "float16"
    assert [resumed.learn(*batch) for batch in given[20:]] == [trainer.learn(*batch) for batch in given[20:]]
    assert resumed.scaler is not None
    assert resumed.scaler.state_dict() == trainer.scaler.state_dict()


# Memory


class Narrow(nn.Module):
    """A network with room for so many values only."""

    def __init__(self, network: nn.Module, room: int) -> None:
        super().__init__()
        self.network, self.room = network, room

    def forward(self, images: Tensor, *others: Tensor) -> Tensor:
        if images.numel() > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        answer: Tensor = self.network(images, *others)
        return answer


@pytest.mark.parametrize(
    ("room", "advice"),
    [
        (3 * 48**2, "start a new run with data.batch = 2, which does"),
        (30**2, "start a new run with data.batch = 1 and data.crop = 24, which does"),
        (9, "nor does one crop of 16 px; free memory, or use a smaller size"),
    ],
)
def test_a_batch_that_does_not_fit_says_which_one_would(tmp_path: Path, room: int, advice: str) -> None:
    trainer = trainer_of(tmp_path)
    trainer.network = trainer.parallel = Narrow(trainer.network, room)
    before = [weight.clone() for weight in trainer.network.parameters()]
    with pytest.raises(TrainingError, match="a batch of 4 crops of 48 px does not fit in memory") as caught:
        trainer.step(*batches(1, side=48)[0])
    assert str(caught.value).endswith(advice)
    assert all(torch.equal(one, two) for one, two in zip(before, trainer.network.parameters(), strict=True))
    assert trainer.iteration == 0


def test_an_error_that_is_not_of_memory_stays_as_it_is(tmp_path: Path) -> None:
    clean, degraded = batches(1)[0]

    def broken(clean: Tensor, degraded: Tensor) -> None:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        fitting_crops(MemoryError(), broken, clean, degraded)
    trainer = trainer_of(tmp_path)
    with pytest.raises(Exception, match="must have one shape"):
        trainer.step(clean, degraded[..., :8])


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs a system that tells what is mapped")
def test_a_resumed_run_does_not_hold_its_state_file(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path)
    trainer.learn(*batches(1)[0])
    trainer.save()
    resumed = trainer_of(tmp_path)
    resumed.resume()
    gc.collect()
    assert STATE_FILE not in Path("/proc/self/maps").read_text()
    assert resumed.learn(*batches(1)[0]) == trainer.learn(*batches(1)[0])
