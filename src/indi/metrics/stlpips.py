"""Shift-tolerant LPIPS: how unlike two images look to a network that a shift by a pixel hardly troubles.

The network is written here. Its weights are those of the package ``stlpips_pytorch``, which brings them along, so that
nothing is fetched; the file is read without importing the package, whose code needs torchvision and more.

Source: Ghildyal and Liu, "Shift-tolerant Perceptual Similarity Metric", ECCV 2022, arXiv:2207.13686: the version of it
with AlexNet. It is LPIPS (Zhang, Isola, Efros, Shechtman and Wang, CVPR 2018) with a network that blurs before it
leaves out pixels (Zhang, ICML 2019) and steps over none in its first convolution.
"""

import hashlib
import io
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from indi.errors import MissingExtraError, ModelError
from indi.metrics.checks import checked, rgb, undefined, visible

_PACKAGE, _FILE = "stlpips_pytorch", Path("weights", "vST0.0", "alex_shift_tolerant.pth")
# A cut file is a common accident, and other weights are another metric.
_SHA256 = "b356b382f96010f77d085ee8343ecd9fd322d0a56e8de2b2d0549fafcad8b9ee"
_CHANNELS_AT_A_TIME = 16  # of the first layer, which works at full resolution; keeps the working memory small
_ROWS_AT_A_TIME = 64


def stlpips(restored: Tensor, clean: Tensor, *, data_range: float = 1.0) -> Tensor:
    """Return shift-tolerant LPIPS, 0 for identical images; NaN where a side is under 32 px or there is no colour.

    Lower is better. Gray images are given to the network as three equal channels; images of 2 or of more than 3
    channels have no value. Intensities beyond the range, which no file holds, are clipped. It needs about 450 bytes of
    memory a pixel.

    Raises:
        ShapeError: the tensors are not two (B, C, H, W) float tensors of one shape.
        ConfigError: ``data_range`` is not positive.
        MissingExtraError: stlpips_pytorch is not installed.
        ModelError: its weights are not there, or are not those of the source.
    """
    restored, clean = checked(restored, clean, data_range)
    values = undefined(restored)
    if visible(restored):
        weights = load()
        for index in range(len(restored)):  # one by one: activations of a batch of large images are larger still
            images = (rgb(part[index : index + 1], data_range) for part in (restored, clean))
            values[index] = _distance(weights, *images)
    return values


@cache
def load() -> dict[str, Tensor]:
    """Return the weights by name, read once.

    Raises:
        MissingExtraError: stlpips_pytorch is not installed.
        ModelError: its weights are not there, or are not those of the source.
    """
    package = find_spec(_PACKAGE)
    if package is None or not package.submodule_search_locations:
        raise MissingExtraError(f'ST-LPIPS: {_PACKAGE} is not installed; pip install "indi[perceptual]"')
    file = Path(package.submodule_search_locations[0]) / _FILE
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ModelError(f"ST-LPIPS: {file} cannot be read ({error.strerror}); install {_PACKAGE} again") from error
    if hashlib.sha256(content).hexdigest() != _SHA256:
        raise ModelError(f"ST-LPIPS: {file} is damaged, or holds other weights; install {_PACKAGE} again")
    weights: dict[str, Tensor] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    return weights


@torch.no_grad()
def _distance(weights: dict[str, Tensor], one: Tensor, other: Tensor) -> float:
    """Return the distance of two (1, 3, H, W) images in [0, 1]: a weighted sum over the features of five layers.

    At each place features count by their direction alone; the squares of the differences are averaged over places.
    """
    total = 0.0
    for layer, maps in enumerate(zip(_features(weights, one), _features(weights, other), strict=True)):
        linear = weights[f"lin{layer}.model.1.weight"]
        places = maps[0][0, 0].numel()
        for parts in zip(*(torch.split(features, _ROWS_AT_A_TIME, dim=2) for features in maps), strict=True):
            first, second = (part / (part.norm(dim=1, keepdim=True) + 1e-10) for part in parts)
            squares = first.sub_(second).square_()
            total += float(F.conv2d(squares, linear).sum(dtype=torch.float64)) / places
    return total


def _features(weights: dict[str, Tensor], image: Tensor) -> Iterator[Tensor]:
    """Yield what each of AlexNet's five convolutions finds in a (1, 3, H, W) image in [0, 1], after its ReLU."""
    maps = (2 * image - 1 - weights["scaling_layer.shift"]) / weights["scaling_layer.scale"]
    # Each channel is blurred for itself, so that the first layer, at full resolution, can be made piece by piece.
    first = (torch.split(weights[f"net.slice1.0.{part}"], _CHANNELS_AT_A_TIME) for part in ("weight", "bias"))
    halved = [_halved(F.conv2d(maps, weight, bias, padding=2)) for weight, bias in zip(*first, strict=True)]
    maps = torch.cat(halved, dim=1).relu_()
    del halved
    yield maps
    for name, reach, smaller in (
        ("slice2.5", 2, True),
        ("slice3.9", 1, True),
        ("slice4.11", 1, False),
        ("slice5.13", 1, False),
    ):
        if smaller:
            maps = _halved(F.max_pool2d(maps, 3, stride=1))
        maps = F.conv2d(maps, weights[f"net.{name}.weight"], weights[f"net.{name}.bias"], padding=reach).relu_()
        yield maps


def _halved(maps: Tensor) -> Tensor:
    """Return every second pixel of (1, C, H, W) maps, blurred by 1 2 1 along both axes, two mirrored pixels around."""
    channels = maps.shape[1]
    line = torch.tensor([0.25, 0.5, 0.25])
    blur = torch.outer(line, line).expand(channels, 1, 3, 3)
    return F.conv2d(F.pad(maps, [2] * 4, mode="reflect"), blur, stride=2, groups=channels)
