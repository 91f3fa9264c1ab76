"""Networks of one's own whose layers behave otherwise in training than in use, or do not take bfloat16."""

import itertools
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import indi
from indi import plugins
from indi.config import MethodSettings, NetworkSettings
from indi.models.checkpoint import Card, Model, load_model, read_tensors
from indi.networks import NETWORKS
from indi.plugins import load_plugins
from indi.restoration.restorer import Restorer
from indi.training.run import train
from problems import write_pairs

LAYERS = {
    "batch": "torch.nn.BatchNorm2d(width)",
    "layer": "torch.nn.GroupNorm(1, width)",  # a layer norm over channels and image
    "channels": "LastNorm(width)",
    "dropout": "torch.nn.Dropout(0.5)",
    "wide": "Wide()",
}
PLUGIN = """
import torch
from indi.networks import NETWORKS, Network


class LastNorm(torch.nn.LayerNorm):
    def forward(self, x):
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class Wide(torch.nn.Module):
    def forward(self, x):
        return x.float().tanh()


def network(make):
    class Foreign(Network):
        sizes = {"tiny": 8}

        def __init__(self, channels_in, channels_out, width):
            super().__init__()
            self.stride, self.halo = 1, 2
            self.layers = torch.nn.Sequential(
                torch.nn.Conv2d(channels_in, width, 3, padding=1),
                make(width),
                torch.nn.Conv2d(width, channels_out, 3, padding=1),
            )

        @classmethod
        def of_size(cls, channels_in, channels_out, size):
            return cls(channels_in, channels_out, cls.sizes[size])

        def forward(self, inputs, t):
            return self.layers(inputs) * t[:, None, None, None]

    return Foreign


""" + "".join(f"NETWORKS[{name!r}] = network(lambda width: {layer})\n" for name, layer in LAYERS.items())


@pytest.fixture(scope="module", autouse=True)
def _registered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    file = tmp_path_factory.mktemp("plugin") / "foreign.py"
    file.write_text(PLUGIN)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(plugins.VARIABLE, str(file))
        load_plugins()
        yield
    plugins._begun.discard(file.resolve())
    for name in LAYERS:
        del NETWORKS[name]


def settings(name: str, **training: Any) -> dict[str, Any]:
    return {
        "network": {"name": name, "size": "tiny"},
        "data": {"crop": 16, "batch": 4, "validation": 0.25},
        "training": {"checkpoint_every": 3, "preview_steps": 2, **training},
    }


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", LAYERS)
def test_each_trains_previews_and_restores(tmp_path: Path, name: str, precision: Any) -> None:
    pairs: dict[str, Any] = dict(write_pairs(tmp_path, count=4))
    *_, last = train(**pairs, run=tmp_path / "run", iterations=4, config=settings(name), precision=precision)
    assert last.psnr is not None
    image = np.random.default_rng(0).integers(0, 255, (30, 30), np.uint8)
    assert indi.load(tmp_path / "run", precision=precision).restore(image, steps=2).shape == image.shape


@pytest.mark.parametrize("name", LAYERS)
def test_a_stopped_run_goes_on_as_if_it_had_not_been(tmp_path: Path, name: str) -> None:
    """Dropout draws the same again, statistics of batches go on."""
    pairs: dict[str, Any] = dict(write_pairs(tmp_path, count=4))
    begun = {**pairs, "iterations": 6, "config": settings(name)}
    list(train(**begun, run=tmp_path / "whole"))
    with closing(train(**begun, run=tmp_path / "broken")) as stream:
        list(itertools.islice(stream, 4))
    torch.rand(7)
    list(train(run=tmp_path / "broken", resume=True))
    whole, broken = (read_tensors(tmp_path / run / "state.safetensors")[0] for run in ("whole", "broken"))
    assert all(torch.equal(whole[tensor], broken[tensor]) for tensor in whole)


def test_the_model_holds_the_statistics_of_batches(tmp_path: Path) -> None:
    pairs: dict[str, Any] = dict(write_pairs(tmp_path, count=4))
    list(train(**pairs, run=tmp_path / "run", iterations=4, config=settings("batch")))
    state = load_model(tmp_path / "run").network.state_dict()
    trained, _ = read_tensors(tmp_path / "run" / "state.safetensors")
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        assert torch.equal(state[f"layers.1.{name}"], trained[f"network.layers.1.{name}"])
    assert state["layers.1.num_batches_tracked"] == 4
    assert state["layers.1.running_mean"].any()


def test_a_batch_that_is_not_finite_leaves_no_trace_in_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from indi.training.trainer import Trainer

    step = Trainer.step

    def broken(self: Trainer, clean: torch.Tensor, degraded: torch.Tensor) -> None:
        step(self, clean, degraded * (float("nan") if self.iteration == 1 else 1))

    monkeypatch.setattr(Trainer, "step", broken)
    pairs: dict[str, Any] = dict(write_pairs(tmp_path, count=4))
    *_, last = train(**pairs, run=tmp_path / "run", iterations=4, config=settings("batch"))
    assert last.skipped == 1
    assert load_model(tmp_path / "run").network.state_dict()["layers.1.num_batches_tracked"] == 3


@pytest.mark.parametrize("name", ["batch", "dropout"])
def test_an_untrained_model_restores_as_in_use(name: str) -> None:
    card = Card(
        version="0",
        name=name,
        method=MethodSettings(name="regression"),
        network=NetworkSettings(name=name, size="tiny"),
        channels=1,
    )
    model = Model.new(card)
    restorer, image = Restorer(model, precision="float32"), np.random.default_rng(0).random((30, 30)).astype(np.float32)
    np.testing.assert_array_equal(restorer.restore(image), restorer.restore(image))
    model.network.eval()
    np.testing.assert_array_equal(restorer.restore(image), Restorer(model, precision="float32").restore(image))
    assert not any(buffer.any() for key, buffer in model.network.named_buffers() if "mean" in key)
