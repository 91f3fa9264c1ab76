"""One call of a model as a module with one input: for programs that have no loop over times.

It is the restoration of one step from t = 1: clean = F(degraded, 1), without the noise that a trajectory starts with. A
model that draws is called at realism 0, its answer of least error. A draw needs noise, and no graph can make it as
indi does, from the seed and the place in the whole image: a program that cuts images into tiles shows the graph one
tile, so the noise of two tiles would not fit together, and each runtime would draw another.
"""

import copy

import torch
from torch import Tensor, nn

from indi.data.normalization import Normalisation
from indi.errors import ConfigError
from indi.models.checkpoint import Model
from indi.process.objectives import Draw


class OneCall(nn.Module):
    """A model as restored = module(degraded), (B, C, H, W) float32 of any B, H and W.

    Args:
        model: The model.
        scales: What intensities the module itself brings to the network's and back; None where the caller does.
    """

    def __init__(self, model: Model, scales: Normalisation | None = None) -> None:
        super().__init__()
        self.network = copy.deepcopy(model.network).float().cpu().eval()
        self.method = model.card.method.build()
        self.scales = scales

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the restored images of the one input."""
        (degraded,) = inputs
        if self.scales is not None:
            degraded = self.scales.degraded.apply(degraded)
        zeros = torch.zeros_like(
            degraded[:, 0, 0, 0]
        )  # a number an image, of any batch: a traced length would be fixed
        draw = Draw(torch.zeros_like(degraded), zeros) if self.method.draws else None
        restored = self.method.estimate(self.network, degraded, degraded, zeros + 1, draw)
        return restored if self.scales is None else self.scales.clean.undo(restored)


def halo_of(model: Model) -> int:
    """Return how far a model sees, in pixels, where one call of it restores and tiles of it fit together.

    Raises:
        ConfigError: It restores in no single call, sees planes around each, or looks at the whole image.
    """
    name, method = model.card.name, model.card.method
    if float(method.build().path.b(1.0)) != 1:
        raise ConfigError(f"{name}: method {method.name} starts at noise, so one call restores nothing; use --to onnx")
    if model.card.neighbours:
        raise ConfigError(f"{name}: sees the planes around each, where these programs hand it one; use --to onnx")
    if model.network.halo is None:
        raise ConfigError(f"{name}: its network looks at the whole image, so tiles do not fit together; use --to onnx")
    return model.network.halo
