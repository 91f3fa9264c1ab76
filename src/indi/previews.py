"""Preview pictures: what the network in training makes of a few validation images."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from indi.checkpoint import Model
from indi.config import Config
from indi.data import Pair, load_test_pair
from indi.devices import Precision
from indi.display import liveliest_window, sheet
from indi.images import Image, to_unit, write
from indi.metrics import psnr
from indi.restoration import Pixels, Restorer

_ROWS = 4
_SIDE = 128
_MOST_DECIBELS = 100.0  # of equal images, whose PSNR is infinite, so that a mean has a meaning


class Preview:
    """A fixed set of small validation crops: degraded | one step | several steps | clean, a row each."""

    def __init__(self, pairs: Sequence[Pair], config: Config, channels: int) -> None:
        self._steps = (1,) if config.method.build().one_step else (1, config.training.preview_steps)
        self._seed = config.training.seed
        crops = []
        for pair in pairs[:: max(1, len(pairs) // _ROWS)][:_ROWS]:
            clean, degraded = load_test_pair(
                pair, channels=channels, task=config.data.task, resample=config.data.resample
            )
            window = liveliest_window(clean, _SIDE)
            crops.append((clean[window], degraded[window]))
        self._crops = crops
        self._range = _range_of([clean for clean, _ in crops])

    def draw(self, model: Model, iteration: int, folder: Path, dtype: torch.dtype) -> dict[str, float]:
        """Write the picture and return the mean PSNR in dB by steps, and of the degraded crops as "0"."""
        device = next(model.network.parameters()).device
        precision: Precision = "float32" if dtype == torch.float32 else "bfloat16"
        restorer = Restorer(model, device=str(device), precision=precision)
        rows, values = [], []
        for clean, degraded in self._crops:
            restored = [restorer.restore(degraded, steps=steps, seed=self._seed) for steps in self._steps]
            values.append([self._decibels(image, clean) for image in (degraded, *restored)])
            rows.append([degraded, *restored, clean])
        write(folder / f"{iteration:07d}.png", Image(sheet(rows)))
        means = np.mean(values, axis=0)
        return {str(steps): float(mean) for steps, mean in zip((0, *self._steps), means, strict=True)}

    def _decibels(self, image: Pixels, clean: Pixels) -> float:
        """Return the PSNR: of whole numbers and floats in [0, 1] against 1, of other floats against their range."""
        ours, wanted = (
            torch.from_numpy(np.atleast_3d(to_unit(part)).copy()).permute(2, 0, 1) for part in (image, clean)
        )
        ours = ours.clamp(0, 1) if self._range is None else ours
        value = psnr(ours[None], wanted[None], data_range=self._range or 1.0)
        return min(float(value.item()), _MOST_DECIBELS)


def _range_of(images: Sequence[Pixels]) -> float | None:
    """Return the range of floats that are not in [0, 1]; None for all others."""
    low, high = min(float(image.min()) for image in images), max(float(image.max()) for image in images)
    is_other = images[0].dtype.kind == "f" and (low < 0 or high > 1) and high > low
    return high - low if is_other else None
