"""The metrics of perception rank what a person ranks, on photographs that none of them was made for."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from indi.io import read, to_unit
from indi.metrics import METRICS, Metric, Niqe, with_niqe


def photograph(file: Path) -> Tensor:
    return torch.from_numpy(np.moveaxis(to_unit(read(file).pixels), -1, 0).copy())[None]


def blurred(image: Tensor, sigma: float) -> Tensor:
    offsets = torch.arange(-8, 9, dtype=image.dtype)
    kernel = torch.softmax(-(offsets**2) / (2 * sigma**2), dim=0)
    planes = F.pad(image, [8] * 4, mode="reflect").transpose(0, 1)
    return F.conv2d(F.conv2d(planes, kernel.reshape(1, 1, -1, 1)), kernel.reshape(1, 1, 1, -1)).transpose(0, 1)


def noisy(image: Tensor, sigma: float) -> Tensor:
    return image + sigma * torch.randn(image.shape, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def metrics(real_data: Path) -> dict[str, Metric]:
    files = sorted((real_data / "train" / "BSDS500_train").glob("*.jpg"))[:12]
    return with_niqe(METRICS, Niqe.fit(photograph(file) for file in files))


@pytest.mark.parametrize("name", ["swd", "spectrum", "niqe"])
@pytest.mark.parametrize("file", ["kodim03.png", "kodim19.png"])
def test_worse_is_worse(real_data: Path, metrics: dict[str, Metric], name: str, file: str) -> None:
    clean = photograph(real_data / "test" / "Kodak24" / file)
    for damaged in (
        [clean, blurred(clean, 1.0), blurred(clean, 2.0), blurred(clean, 4.0)],
        [clean, noisy(clean, 0.03), noisy(clean, 0.06), noisy(clean, 0.12)],
    ):
        values = [metrics[name](image, clean).item() for image in damaged]
        assert values == sorted(values), values
        assert len(set(values)) == 4
