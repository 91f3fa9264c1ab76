"""Metrics that look through networks of standard weights: LPIPS, DISTS, FID and KID, as piq computes them.

They need the extra ``perceptual``, and their first use fetches the weights from the network; nothing here does
either before it is called. Gray images are given to the networks as three equal channels; images of 2 or of more
than 3 channels have no value. Intensities beyond the range, which no file holds, are clipped.

Sources:
    LPIPS: Zhang, Isola, Efros, Shechtman and Wang, CVPR 2018. The version with VGG16, not the one with AlexNet.
    DISTS: Ding, Ma, Wang and Simoncelli, IEEE TPAMI 44(5), 2022.
    FID: Heusel, Ramsauer, Unterthiner, Nessler and Hochreiter, NeurIPS 2017.
    KID: Binkowski, Sutherland, Arbel and Gretton, ICLR 2018.
"""

import contextlib
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor

from indi.errors import MissingExtraError, ModelError
from indi.metrics.checks import checked, checked_alone, rgb, undefined, visible


def lpips(restored: Tensor, clean: Tensor, *, data_range: float = 1.0) -> Tensor:
    """Return LPIPS with VGG16, 0 for identical images; NaN where a side is under 32 px or there is no colour.

    Raises:
        ShapeError: the tensors are not two (B, C, H, W) float tensors of one shape.
        ConfigError: ``data_range`` is not positive.
        MissingExtraError: piq is not installed, or cannot be imported.
        ModelError: the weights are not here and could not be fetched.
    """
    return _distances("LPIPS", restored, clean, data_range)


def dists(restored: Tensor, clean: Tensor, *, data_range: float = 1.0) -> Tensor:
    """Return DISTS, 0 for identical images; NaN where a side is under 32 px or there is no colour.

    As its authors do, images whose shorter side is above 256 px are brought to that size first.

    Raises:
        ShapeError: the tensors are not two (B, C, H, W) float tensors of one shape.
        ConfigError: ``data_range`` is not positive.
        MissingExtraError: piq is not installed, or cannot be imported.
        ModelError: the weights are not here and could not be fetched.
    """
    return _distances("DISTS", restored, clean, data_range)


def inception_features(images: Tensor, *, data_range: float = 1.0) -> Tensor:
    """Return what FID and KID compare: (B, 2048) float32 of Inception v3; (0, 2048) of images it cannot be shown.

    Args:
        images: (B, C, H, W) float, intensities spanning ``data_range``.
        data_range: the peak, in the images' unit.

    Raises:
        ShapeError: ``images`` is not a (B, C, H, W) float tensor.
        ConfigError: ``data_range`` is not positive.
        MissingExtraError: piq is not installed, or cannot be imported.
        ModelError: the weights are not here and could not be fetched.
    """
    images = checked_alone(images, data_range)
    if not visible(images):
        return torch.empty(0, 2048)
    with _as_a_guest():
        return torch.cat([_network("InceptionV3")(rgb(image[None], data_range))[0].flatten(1) for image in images])


def fid(restored: Tensor, clean: Tensor) -> Tensor:
    """Return the Fréchet Inception distance of two sets of images, a float64 scalar; NaN for fewer than 2 each.

    It is strongly biased upwards for few images: published figures are of 10,000 and more. Compare sets of the same
    size only, and for fewer than some thousand images rather trust `kid`.

    Args:
        restored: (N, 2048) of `inception_features`.
        clean: (M, 2048), likewise.

    Raises:
        MissingExtraError: piq is not installed, or cannot be imported.
    """
    return _set_distance("FID", restored, clean)


def kid(restored: Tensor, clean: Tensor) -> Tensor:
    """Return the kernel Inception distance of two sets of images, a float64 scalar; NaN for fewer than 2 each.

    Its estimate is unbiased, and therefore can be negative, but of few images it is noisy. All images count at once,
    where others average over subsets.

    Args:
        restored: (N, 2048) of `inception_features`.
        clean: (N, 2048), likewise.

    Raises:
        MissingExtraError: piq is not installed, or cannot be imported.
    """
    return _set_distance("KID", restored, clean)


def prepare(*names: str) -> None:
    """Load networks by name, or all, so that what is missing is said now.

    Args:
        names: Of LPIPS, DISTS and InceptionV3, which is for FID and KID.

    Raises:
        MissingExtraError: piq is not installed, or cannot be imported.
        ModelError: weights are not here and could not be fetched.
    """
    for name in names or _NETWORKS:
        _network(name)


_NETWORKS: dict[str, Callable[[Any], Any]] = {
    "LPIPS": lambda piq: piq.LPIPS(reduction="none"),
    "DISTS": lambda piq: piq.DISTS(reduction="none"),
    "InceptionV3": lambda piq: piq.feature_extractors.InceptionV3(),
}


def _piq() -> Any:
    try:
        import piq
        import piq.feature_extractors
    except (ImportError, RuntimeError, OSError) as error:  # RuntimeError: a torchvision of another torch
        raise MissingExtraError(
            f"perceptual metrics: piq cannot be imported ({_one_line(error)}); "
            'pip install "indi[perceptual]", with the torchvision that fits the installed torch'
        ) from error
    return piq


@cache
def _network(name: str) -> Any:
    piq = _piq()
    try:
        with _as_a_guest():
            return _NETWORKS[name](piq).eval()
    except (RuntimeError, OSError) as error:  # URLError is an OSError; a cut file fails its hash
        raise ModelError(
            f"{name}: no standard weights in {torch.hub.get_dir()} ({_one_line(error)}); "
            "the first use fetches them from the network: connect it once, or copy them there"
        ) from error


@contextlib.contextmanager
def _as_a_guest() -> Iterator[None]:
    """Keep a library's prints off stdout, its warnings off stderr and its hands off the caller's random numbers."""
    with (
        contextlib.redirect_stdout(sys.stderr),
        warnings.catch_warnings(),
        torch.random.fork_rng(devices=[]),
        torch.no_grad(),
    ):
        warnings.simplefilter("ignore")
        yield


def _distances(name: str, restored: Tensor, clean: Tensor, data_range: float) -> Tensor:
    restored, clean = checked(restored, clean, data_range)
    values = undefined(restored)
    if visible(restored):
        with _as_a_guest():
            for index in range(len(restored)):  # one by one: activations of a batch of large images are larger still
                pair = (rgb(images[index : index + 1], data_range) for images in (restored, clean))
                values[index] = _network(name)(*pair).item()
    return values


def _set_distance(name: str, restored: Tensor, clean: Tensor) -> Tensor:
    if min(len(restored), len(clean)) < 2:
        return torch.tensor(float("nan"), dtype=torch.float64)
    with _as_a_guest():
        value: Tensor = getattr(_piq(), name)()(restored.double(), clean.double())
    return value.double()


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
