"""Preview pictures: what the network in training makes of a few validation images."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from indi.config import Config
from indi.data import Pair, load_test_neighbours, load_test_pair
from indi.devices import Precision
from indi.io import Image, to_unit, write
from indi.io.channel_names import channel_names
from indi.io.display import for_display, named, scale_bar, stretch_of, with_line
from indi.io.pixel_size import pixel_size
from indi.metrics import psnr
from indi.models.checkpoint import Model
from indi.report import steps_label
from indi.report.display import liveliest_window, sheet, titled
from indi.restoration.restorer import Pixels, Restorer

_ROWS = 4
_SIDE = 128
_MOST_DECIBELS = 100.0  # of equal images, whose PSNR is infinite, so that a mean has a meaning


class Preview:
    """A fixed set of small validation crops: degraded | one step | several steps | clean, a row each.

    Of a model that draws the two between are its two ends: realism 0 and 1.
    """

    def __init__(self, pairs: Sequence[Pair], config: Config, channels: int) -> None:
        method = config.method.build()
        self._ways: dict[str, dict[str, Any]] = {"1": {"steps": 1}}
        if method.draws:
            self._ways = {f"realism {dial:g}": {"realism": dial} for dial in (0.0, 1.0)}
        elif not method.one_step:
            self._ways[str(config.training.preview_steps)] = {"steps": config.training.preview_steps}
        self._seed = config.training.seed
        crops = []
        self._names: list[str] = []
        self._sizes: list[float | None] = []
        self._channels: list[list[str]] = []
        for pair in pairs[:: max(1, len(pairs) // _ROWS)][:_ROWS]:
            how: dict[str, Any] = {"channels": channels, "task": config.data.task, "resample": config.data.resample}
            clean, degraded = load_test_pair(pair, **how)
            window = liveliest_window(clean, _SIDE)
            around = [plane[window] for plane in load_test_neighbours(pair, **how)]
            crops.append((clean[window], degraded[window], around))
            self._names.append(pair.name)
            self._sizes.append(pixel_size(pair.clean))
            self._channels.append(
                channel_names(pair.clean, pair.picture, channels=channels, axes=pair.axes, apart=pair.apart)
            )
        self._crops = crops
        self._range = _range_of([clean for clean, *_ in crops])

    def draw(self, model: Model, iteration: int, folder: Path, dtype: torch.dtype) -> dict[str, float]:
        """Write the picture and return the mean PSNR in dB by steps or realism, and of the degraded crops as "0"."""
        device = next(model.network.parameters()).device
        precision: Precision = "bfloat16" if dtype == torch.bfloat16 else "float32"
        restorer = Restorer(model, device=str(device), precision=precision)
        rows, values = [], []
        for (clean, degraded, around), size, names in zip(self._crops, self._sizes, self._channels, strict=True):
            restored = [
                restorer.restore(degraded, around=around, seed=self._seed, **way) for way in self._ways.values()
            ]
            values.append([self._decibels(image, clean) for image in (degraded, *restored)])
            stretch = stretch_of(clean)
            shown = [for_display(image, stretch) for image in (degraded, *restored, clean)]
            rows.append([*shown[:-1], named(scale_bar(shown[-1], size), names)])
        ways = [steps_label(int(name)) if name.isdecimal() else name for name in self._ways]
        picture = titled(sheet(rows), ["degraded", *ways, "clean"], self._names)
        if any(stretch_of(clean) for clean, *_ in self._crops):
            picture = with_line(picture, "black to white: 0.5 to 99.8 % of the clean image")
        write(folder / f"{iteration:07d}.png", Image(picture))
        means = np.mean(values, axis=0)
        return {name: float(mean) for name, mean in zip(("0", *self._ways), means, strict=True)}

    def _decibels(self, image: Pixels, clean: Pixels) -> float:
        """Return the PSNR: of whole numbers and floats in [0, 1] against 1, of other floats against their range."""
        planes = (np.atleast_3d(to_unit(part)).copy() for part in (image, clean))
        ours, wanted = (torch.from_numpy(part).permute(2, 0, 1)[None] for part in planes)
        value_range = self._range if clean.dtype.kind == "f" else None
        ours = ours.clamp(0, 1) if value_range is None else ours
        return min(float(psnr(ours, wanted, data_range=value_range or 1.0).item()), _MOST_DECIBELS)


def _range_of(images: Sequence[Pixels]) -> float | None:
    """Return the range of floats that are not all in [0, 1]; None where they are, or there are none."""
    floats = [image for image in images if image.dtype.kind == "f"]
    if not floats:
        return None
    low, high = min(float(image.min()) for image in floats), max(float(image.max()) for image in floats)
    return None if (low >= 0 and high <= 1) or high == low else high - low
