"""Every method learns: the trainer asks the network for what the method's estimate of clean is made from."""

from pathlib import Path

import pytest
import torch

from indi.config import Config
from indi.models.checkpoint import Card
from indi.process.methods import METHODS
from indi.training.distributed import World
from indi.training.trainer import Trainer
from indi.version import __version__


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
    trainer = Trainer(config, card, Path("never-written"), World(0, 1, torch.device("cpu")))
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
