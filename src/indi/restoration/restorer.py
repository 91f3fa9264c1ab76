"""The restorer: a model, ready to restore images of any size."""

import logging
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from indi.config import DEFAULT_TILE
from indi.devices import Precision, choose_device, choose_precision
from indi.errors import ConfigError
from indi.io.foreign import as_pixels
from indi.io.region import Region
from indi.models import hub
from indi.models.checkpoint import Card, Model, load_model
from indi.models.pretrained import about_weights, existing_model
from indi.plugins import load_plugins
from indi.process import DEFAULT_REALISM, DEFAULT_SAMPLER, DEFAULT_STEPS, samplers
from indi.process.noise import normal
from indi.process.objectives import Draw
from indi.process.samplers import SAMPLERS, InMemory, Sampler, State, Store
from indi.process.sampling import Sampling
from indi.restoration.arrays import pixels_of, seen
from indi.restoration.calls import ready, reporting, whole
from indi.restoration.fit import check_fit
from indi.restoration.hosting import Hosted
from indi.restoration.intensities import warn_of_intensities
from indi.restoration.state import TilesOnDisk, Tiling
from indi.restoration.tiling import Call, Progress, TiledCall, part_of, tiled
from indi.restoration.uncertainty import LEAST, Calibration, read_calibration

Pixels = NDArray[Any]

log = logging.getLogger("indi")


class Restorer(Hosted):
    """Restores images with a trained model.

    Attributes:
        model: The model.
        calibration: How wide intervals must be, where the run folder says so.
        best_steps, best_sampler, best_realism: The defaults of a pretrained model, where it has some.

    Args:
        model: The model (``indi.load`` finds it by name, run folder or file).
        device: auto, cpu, cuda or mps.
        precision: auto, float32 or bfloat16, of the convolutions; the image itself is always float32.
        tile: Side of a tile's core in pixels; larger than the image: one piece.

    Raises:
        DeviceError: The device is not there.
    """

    def __init__(
        self,
        model: Model,
        *,
        device: str = "auto",
        precision: Precision = "auto",
        tile: int = DEFAULT_TILE,
    ) -> None:
        if tile < 1 or tile % 1:
            raise ConfigError(f"tile is {tile}; give a side in whole pixels, 1 or more")
        self.model = model
        self.card: Card = model.card
        self.calibration: Calibration | None = None
        advised = about_weights(model) or {}
        self.best_steps: int | None = advised.get("steps")
        self.best_sampler: str | None = advised.get("sampler")
        self.best_realism: float | None = advised.get("best_realism")
        self._warned: set[str] = set()  # what was warned of
        self.method = model.card.method.build()
        self.device = choose_device(device)
        self.precision = choose_precision(precision, self.device)
        network = ready(model.network, self.precision, self.device)
        halo, stride = model.network.halo, model.network.stride
        # One that looks at the whole image has no halo: its tiles would not fit together.
        self._network: TiledCall = whole(network)
        if halo is not None:
            self._network = tiled(network, tile=tile, halo=halo, stride=stride)
        self._piecewise = None if halo is None else (network, Tiling(-(-tile // stride) * stride, halo), stride)

    @property
    def default_steps(self) -> int:
        """Steps by default: 1 for a method that needs only one, or what a pretrained model is best with."""
        return 1 if self.method.one_step or self.method.draws else self.best_steps or DEFAULT_STEPS

    @property
    def default_sampler(self) -> str:
        """The sampler when none is asked for: euler, or what a pretrained model is best with."""
        return self.best_sampler or DEFAULT_SAMPLER

    @property
    def default_realism(self) -> float:
        """The realism of a single image when none is asked for: 0.6, or what a pretrained model is best with."""
        return DEFAULT_REALISM if self.best_realism is None else self.best_realism

    @cached_property
    def fingerprint(self) -> str:
        """What tells the model's weights from others."""
        return self.model.fingerprint()

    @property
    def least_spread(self) -> float:
        """The least spread of samples that counts, in intensities of the files' range: the noise of the model's own."""
        normalisation = self.card.normalisation
        scale = 1.0 if normalisation is None else sum(normalisation.clean.scale) / len(normalisation.clean.scale)
        return max(0.0 if self.method.draws else self.card.method.epsilon, LEAST) * scale

    def restore(
        self,
        image: Pixels,
        *,
        sampling: Sampling | None = None,
        around: Sequence[Pixels] = (),
        plane: int = 0,
        progress: Progress | None = None,
        **options: Any,
    ) -> Pixels:
        """Restore one image of any size.

        Args:
            image: (H, W) or (H, W, C); uint8 and uint16 span their type, float32 is in [0, 1] unless the
                model was trained with a normalisation. An image of Pillow and a tensor of such a shape and type are
                taken too.
            sampling: How: steps, samples, seed and the rest of ``Sampling``.
            around: Of a model that sees n neighbours, the n planes before and the n after, in their order, each as
                ``image``; past an end of the stack its last one.
            plane: Which plane of a stack this is, so that each has noise of its own.
            progress: Called with the share that is done, tile by tile. What it raises ends the work.
            options: Parts of ``sampling`` by name, in place of its own: ``restore(image, steps=10, seed=1)``.

        Returns:
            The restored image, of the shape and type of ``image``; with ``samples`` (K, H, W[, C]).

        Raises:
            ConfigError: An option is invalid, does not fit the model, or all samples would be equal.
            ImageError: The type is another, or a pixel is not finite; or it is no image, but a list or a path, say.
            ShapeError: The image is empty, not 2-D, or its channels do not fit the model; or planes are missing.
        """
        image = as_pixels(image)
        sampling = self.resolve((sampling or Sampling()).with_options(**options))
        count = sampling.samples or 1
        results = []
        for sample in range(count):
            part = part_of(progress, sample, count)
            *_, last = self.trajectory(image, sampling, around=around, sample=sample, plane=plane, progress=part)
            results.append(self.pixels(last.image, like=image))
        return results[0] if sampling.samples is None else np.stack(results)

    def resolve(self, sampling: Sampling) -> Sampling:
        """Return the sampling with what the model is best with in place of None.

        Raises:
            ConfigError: The model cannot sample so, or all samples would be equal.
        """
        realism = sampling.realism
        if realism is None and self.method.draws:
            realism = self.default_realism if sampling.samples is None else 1.0
        resolved = replace(
            sampling,
            steps=sampling.steps or self.default_steps,
            sampler=sampling.sampler or self.default_sampler,
            realism=realism,
        )
        check_fit(resolved, self.method, self.card.method.name)
        return resolved

    def trajectory(
        self,
        image: Pixels,
        sampling: Sampling,
        *,
        around: Sequence[Pixels] = (),
        sample: int = 0,
        plane: int = 0,
        progress: Progress | None = None,
    ) -> Iterator[State[Region]]:
        """Yield the states of one restoration, from the degraded image at t = 1 to the answer at 0.

        Each state's image is (1, C, H, W) float32 on the restorer's device; ``pixels`` brings it back.

        Args:
            image: As ``restore``.
            sampling: How.
            around: As ``restore``.
            sample: Which restoration of the image this is, from 0.
            plane: As ``restore``.
            progress: As ``restore``.

        Raises:
            ConfigError, ImageError, ShapeError: As ``restore``.
        """
        image, sampling = as_pixels(image), self.resolve(sampling)
        degraded = self.unit(image, around)
        warn_of_intensities(degraded, image.dtype, self.card, self._warned)
        everywhere = Region(0, 0, *degraded.shape[2:])
        network: Call = self._network
        if progress is not None:
            progress(0.0)
            network = reporting(self._network, progress, _network_calls(sampling))
        yield from self._states(network, InMemory(degraded, everywhere, self.card.channels), sampling, sample, plane)

    def restore_tiles(
        self,
        read: Callable[[Region], Pixels],
        size: tuple[int, int],
        sampling: Sampling,
        *,
        folder: Path,
        around: Callable[[Region], Sequence[Pixels]] | None = None,
        sample: int = 0,
        plane: int = 0,
    ) -> Generator[tuple[float, Region, Pixels | None], None, None]:
        """Restore an image that memory does not hold; the states lie on disk (state.py).

        Args:
            read: Returns a region of the image, as ``restore`` takes images.
            size: Height and width.
            sampling: How.
            folder: Where the states lie meanwhile: two to four times the image in float32.
            around: Returns a region of the planes around it, as ``restore``.
            sample: As ``trajectory``.
            plane: As ``restore``.

        Yields:
            The share that is done, a tile, and at its end the answer, of the type and layout of the image, else None.

        Raises:
            ConfigError, ImageError, ShapeError: As ``restore``; or the network looks at the whole image; or the disk is
                full.
        """
        if self._piecewise is None:
            raise ConfigError(f"{self.card.name} looks at the whole image, which does not fit in memory; cut it up")
        network, tiling, stride = self._piecewise
        sampling = self.resolve(sampling)
        # A view is a tile with its surroundings: one call, cut up only where memory runs out.
        view = tiling.side + 2 * _sampler(sampling).depth * tiling.halo
        call = tiled(network, tile=view, halo=tiling.halo, stride=stride)
        template = read(Region(0, 0, 1, 1))
        shape = (self.card.channels, *size)

        def degraded(region: Region) -> Tensor:
            return self.unit(read(region), around(region) if around is not None else ())

        with TilesOnDisk(degraded, shape, tiling, _sampler(sampling), folder) as store:
            count = len(store.regions)
            states = self._states(call, store, sampling, sample, plane)
            for done, state in enumerate(states, start=1 - count):
                answer = self.pixels(state.image, like=template) if state.time == 0 else None
                yield max(done, 0) / (count * (len(sampling.grid()) - 1)), state.region, answer

    def _states(
        self, network: Call, store: Store[Region], sampling: Sampling, sample: int, plane: int
    ) -> Iterator[State[Region]]:
        times = sampling.grid()

        def predict(state: Tensor, degraded: Tensor, time: float, draw: Callable[[], Tensor]) -> Tensor:
            t = torch.full((len(state),), time, dtype=torch.float32, device=self.device)
            drawn = None if sampling.realism is None else Draw.of(state, sampling.realism, draw)
            return self.method.estimate(network, state, degraded, t, drawn)

        return samplers.sample(
            predict,
            self.method.path_of(times),
            store,
            times,
            noise=lambda number, region: self._noise(number, region, sampling.seed, sample, plane),
            sampler=_sampler(sampling),
            strength=sampling.strength,
        )

    def calibration_for(self, sampling: Sampling) -> Calibration | None:
        """Return the calibration where it fits such restorations; where it does not, say why."""
        if self.calibration is None or (sampling.samples or 1) == 1:
            return None
        misfit = self.calibration.misfit(self.fingerprint, self.resolve(sampling))
        if misfit is not None:
            log.warning("no intervals: %s", misfit)
        elif self.calibration.guaranteed is None:
            log.info("intervals are plain: %d scenes were too few for a guarantee", self.calibration.scenes)
        return self.calibration if misfit is None else None

    def _noise(self, number: int, region: Region, seed: int, sample: int, plane: int) -> Tensor:
        noise = normal(
            seed,
            channels=self.card.channels,
            size=(region.height, region.width),
            at=(region.top, region.left),
            sample=sample,
            draw=number,
            plane=plane,
        )
        return noise[None].to(self.device)

    def unit(self, image: Pixels, around: Sequence[Pixels] = ()) -> Tensor:
        """Return images as the network sees them: (1, C, H, W) float32 on the device, normalised or in [0, 1]."""
        return seen(image, around, self.card).to(self.device)

    def pixels(self, restored: Tensor, *, like: Pixels) -> Pixels:
        """Return a state's image as pixels of the type and layout of ``like``."""
        return pixels_of(restored, self.card, like=like)


def _sampler(sampling: Sampling) -> Sampler:
    return SAMPLERS[sampling.sampler or DEFAULT_SAMPLER]


def _network_calls(sampling: Sampling) -> int:
    """Return how many a restoration takes: the last step, which ends at 0, needs one."""
    return (len(sampling.grid()) - 2) * _sampler(sampling).depth + 1


def load(model: str | Path, **options: object) -> Restorer:
    """Return the restorer of a pretrained model, a run folder, a model file or hf:USER/NAME; options as ``Restorer``.

    A package that indi exported for the BioImage Model Zoo is a model too, as a folder or an archive.

    Raises:
        ModelError: There is no such model, or it is damaged.
    """
    if hub.is_on_hub(model):
        return Restorer.from_pretrained(model, **options)  # type: ignore[arg-type]
    load_plugins()  # workers of Dask begin here: the network of a run may be one of the user's own
    path = existing_model(model)
    restorer = Restorer(load_model(path), **options)  # type: ignore[arg-type]
    restorer.calibration = read_calibration(path)
    return restorer
