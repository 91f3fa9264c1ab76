"""On an accelerator the same is computed as on the CPU, up to rounding; skipped where there is none."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from indi.config import Config
from indi.models.checkpoint import Card
from indi.restoration.restorer import Restorer
from indi.training.distributed import World
from indi.training.feeding import Copier, one_ahead
from indi.training.trainer import Taken, Trainer
from indi.version import __version__
from problems import tiny_model

Losses = list[Taken]
DEVICES = ["cuda"] * torch.cuda.is_available() + ["mps"] * torch.backends.mps.is_available()

pytestmark = pytest.mark.skipif(not DEVICES, reason="needs an accelerator")
DEVICE = torch.device(DEVICES[0] if DEVICES else "cpu")


def trained(run: Path, device: torch.device, iterations: int, precision: str = "float32") -> tuple[Trainer, Losses]:
    training = {"iterations": 40, "precision": precision}
    config = Config.parse({"network": {"size": "tiny"}, "training": training}, source="test")
    card = Card(version=__version__, name="test", method=config.method, network=config.network, channels=3)
    trainer = Trainer(config, card, run, World(0, 1, device))
    if (run / "state.safetensors").exists():
        trainer.resume()
    taken = []
    for number in range(trainer.iteration, iterations):
        generator = torch.Generator().manual_seed(number)
        clean = torch.rand(8, 3, 32, 32, generator=generator)
        trainer.step(clean, clean / 2 + 0.1)
        if trainer.is_due() or number == iterations - 1:
            taken += trainer.read()
    return trainer, taken


def test_training_has_the_losses_of_the_cpu(tmp_path: Path) -> None:
    there, here = (trained(tmp_path / "none", device, 20)[1] for device in (DEVICE, torch.device("cpu")))
    assert [taken.loss for taken in there] == pytest.approx([taken.loss for taken in here], rel=1e-2)


def test_a_resumed_run_goes_on_as_an_uninterrupted_one(tmp_path: Path) -> None:
    whole = trained(tmp_path / "none", DEVICE, 30)[1]
    trained(tmp_path / "run", DEVICE, 20)[0].save()
    rest = trained(tmp_path / "run", DEVICE, 30)[1]
    assert [taken.loss for taken in rest] == pytest.approx([taken.loss for taken in whole[20:]], rel=1e-2)


def test_training_in_the_precision_of_the_device_learns(tmp_path: Path) -> None:
    taken = trained(tmp_path / "none", DEVICE, 40, precision="auto")[1]
    assert sum(each.loss for each in taken[-5:]) < 0.7 * sum(each.loss for each in taken[:5])


def test_restoring_gives_the_image_of_the_cpu() -> None:
    model, image = tiny_model(channels=3), torch.rand(70, 90, 3, generator=torch.Generator().manual_seed(0)).numpy()
    there, here = (
        torch.from_numpy(Restorer(model, device=device, precision="float32").restore(image, steps=2))
        for device in (DEVICE.type, "cpu")
    )
    torch.testing.assert_close(there, here, atol=1e-3, rtol=0)


@pytest.mark.skipif(DEVICE.type != "cuda", reason="needs CUDA")
def test_batches_that_are_copied_ahead_arrive_whole() -> None:
    def pinned(value: float) -> Tensor:
        return torch.full((64, 3, 64, 64), float(value)).pin_memory()

    batches = ((pinned(number), pinned(-number)) for number in range(9))
    for number, (clean, degraded) in enumerate(one_ahead(batches, Copier(DEVICE))):
        assert (clean == number).all()
        assert (degraded == -number).all()
