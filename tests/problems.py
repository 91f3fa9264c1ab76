"""Problems whose exact answer is known: what the process and the samplers are held against."""

import importlib
import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from indi.config import MethodSettings, NetworkSettings
from indi.io import Image, Metadata, write
from indi.models.checkpoint import Card, Model, load_model, write_tensors, write_text
from indi.networks import Network
from indi.process.sampling import Sampling
from indi.restoration.outputs import Restoration
from indi.restoration.uncertainty import Calibration

_N = TypeVar("_N", bound=Network)


def asking(**options: Any) -> Restoration:
    """Return what is asked of files, from the options of both kinds by name."""
    files = {name: options.pop(name) for name in ("enlarged", "axes", "quality", "overwrite") if name in options}
    return Restoration(Sampling(**options), **files)


@dataclass(frozen=True)
class Gaussian:
    """x ~ N(0, clean^2), y = x + noise n, so x_t = x + t noise n and F is linear in the state.

    With ``epsilon``, x_t gets t epsilon n' on top: the two noises add in squares.
    """

    clean: float = 1.0
    noise: float = 2.0
    epsilon: float = 0.0

    def predict(self, state: Tensor, t: float) -> Tensor:
        variance = t**2 * (self.noise**2 + self.epsilon**2)
        return state * self.clean**2 / (self.clean**2 + variance)

    def restored(self, y: Tensor, time: float = 0.0) -> Tensor:
        """Return the exact solution of Eq. (3) at ``time``: y scaled to the spread of x_t."""
        spread = math.hypot(self.clean, time * math.hypot(self.noise, self.epsilon))
        return y * spread / math.hypot(self.clean, self.noise, self.epsilon)

    def pairs(self, count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        clean = self.clean * torch.randn(count, 1, 1, 1, generator=generator, dtype=torch.float64)
        noise = torch.randn(count, 1, 1, 1, generator=generator, dtype=torch.float64)
        return clean, clean + self.noise * noise


def no_noise(number: int) -> Tensor:
    raise AssertionError(f"draw {number} was asked for on a path without noise")


def awake(network: _N, seed: int = 0) -> _N:
    """Return the network with weights in its zero layers too, as after training."""
    generator = torch.Generator().manual_seed(seed)
    for weight in network.parameters():
        if not weight.any():
            nn.init.normal_(weight, std=0.05, generator=generator)
    return network.requires_grad_(False)


def tiny_calibration(**values: Any) -> Calibration:
    """Return a calibration of eight samples of ten steps, with other values by name."""
    made: dict[str, Any] = {
        "weights": "mine",
        "rate": 0.9,
        "factor": 3.0,
        "plain": 3.0,
        "guaranteed": None,
        "least": 0.001,
        "samples": 8,
        "steps": 10,
        "times": "uniform",
        "sampler": "euler",
        "scenes": 3,
        "pixels": 100,
        "half_width": 0.1,
        "check": {},
        "sparsification": {},
    }
    return Calibration(**made | values)


def tiny_model(channels: int = 1, seed: int = 0, **method: object) -> Model:
    """Return an untrained model with all its layers awake: it changes images, and depends on the time."""
    torch.manual_seed(seed)
    card = Card(
        version="0",
        name="tiny",
        method=MethodSettings.model_validate(method),
        network=NetworkSettings(size="tiny"),
        channels=channels,
    )
    model = Model.new(card)
    awake(model.network, seed)
    return model


def seeing(count: int = 1, channels: int = 1, axis: str = "Z", **method: Any) -> Model:
    """Return such a model that sees so many planes on each side."""
    card = tiny_model(channels, **method).card.model_copy(update={"neighbours": count, "neighbours_axis": axis})
    model = Model.new(card)
    awake(model.network)
    return model


def write_pairs(folder: Path, count: int = 4, size: tuple[int, int] = (40, 48), channels: int = 1) -> dict[str, Path]:
    """Write pairs of smooth random images, the degraded ones darker; return the two folders."""
    generator = np.random.default_rng(0)
    folders = {"clean": folder / "clean", "degraded": folder / "degraded"}
    for number in range(count):
        coarse = torch.from_numpy(generator.random((1, channels, 6, 6)))
        planes = functional.interpolate(coarse, size=size, mode="bicubic", antialias=False)[0].clamp(0.3, 1).numpy()
        image = np.moveaxis(planes, 0, -1) if channels > 1 else planes[0]
        for name, scale in (("clean", 255), ("degraded", 180)):
            pixels = np.rint(image * scale).astype(np.uint8)
            write(folders[name] / f"{number}.png", Image(pixels, None, Metadata()))
    return folders


def hide_perceptual(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the packages of all perceptual metrics."""
    module = importlib.import_module("indi.metrics.stlpips")
    monkeypatch.setitem(sys.modules, "piq", None)
    monkeypatch.setattr(module, "_PACKAGE", "no_such_package")
    module.load.cache_clear()


def ship(model: Model, name: str, folder: Path) -> None:
    """Write a model as those that come with the package lie: NAME.safetensors in float16, NAME.json."""
    tensors = {k: v.half() if v.is_floating_point() else v for k, v in model.network.state_dict().items()}
    card = model.card.model_copy(update={"name": name, "task": name})
    write_tensors(folder / f"{name}.safetensors", tensors, card.model_dump(mode="json"))
    rows = [
        {"steps": steps, "psnr": 20.0 + steps, "psnr_y": 30.0 + steps, "swd": 9.0, "seconds_per_megapixel": 1.2}
        for steps in (0, 1, 3)
    ]
    figures = [{"set": "none", "images": 2, "border": 0, "degraded": rows[0], "rows": rows[1:]}]
    about = {"purpose": "for tests", "data": "none", "steps": 3, "figures": figures}
    about["fingerprint"] = load_model(folder / f"{name}.safetensors").fingerprint()
    write_text(folder / f"{name}.json", json.dumps(about))
