"""The restorer: a model, ready to restore images of any size."""

import copy
import itertools
import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from numbers import Real
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from indi.devices import Precision, choose_device, choose_precision
from indi.errors import ConfigError, ShapeError
from indi.io import fit_channels, from_unit, to_unit
from indi.io.foreign import as_pixels
from indi.io.region import Box
from indi.models import hub
from indi.models.checkpoint import CALIBRATION_FILE, Card, Model, cast_convolutions, load_model, write_text
from indi.models.pretrained import about_weights, existing_model
from indi.networks import Network
from indi.plugins import load_plugins
from indi.process.noise import normal
from indi.process.objectives import Draw
from indi.process.path import scaled_times
from indi.process.samplers import SAMPLERS, State, walk
from indi.process.walks import DEFAULT_REALISM, DEFAULT_SAMPLER, DEFAULT_STEPS, Walk
from indi.restoration.intensities import warn_of_intensities
from indi.restoration.sweep import sweep
from indi.restoration.tiling import Call, Progress, TiledCall, part_of, tiled
from indi.restoration.uncertainty import LEAST, Calibration, read_calibration, told

Pixels = NDArray[Any]

log = logging.getLogger("indi")

DEFAULT_TILE = 1024


class Restorer:
    """Restores images with a trained model.

    Attributes:
        model: The model.
        calibration: How wide intervals must be, where the run folder says so.
        best_steps, best_sampler, best_realism: Taken unless others are asked for, where the model is shipped with such
            advice.

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
        if tile < 1:
            raise ConfigError(f"tile is {tile}; give a side of 1 pixel or more")
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
        network = _ready(model.network, self.precision, self.device)
        halo, stride = model.network.halo, model.network.stride
        # One that looks at the whole image has no halo: its tiles would not fit together.
        self._network: Call = network
        self._tiled: TiledCall | None = None
        if halo is not None:
            self._network = self._tiled = tiled(network, tile=tile, halo=halo, stride=stride)
        self._piecewise = None if halo is None else (network, -(-tile // stride) * stride, halo, stride)

    @property
    def default_steps(self) -> int:
        """Steps when none are asked for: 1 for a method that needs only one, or what a shipped model is best with."""
        return 1 if self.method.one_step or self.method.draws else self.best_steps or DEFAULT_STEPS

    @property
    def default_sampler(self) -> str:
        """The sampler when none is asked for: euler, or what a shipped model is best with."""
        return self.best_sampler or DEFAULT_SAMPLER

    @property
    def default_realism(self) -> float:
        """The realism of a single image when none is asked for: 0.6, or what a shipped model is best with."""
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
        steps: int | None = None,
        samples: int | None = None,
        seed: int = 0,
        times: str | Sequence[float] = "uniform",
        sampler: str | None = None,
        strength: float = 1.0,
        realism: float | None = None,
        plane: int = 0,
        progress: Progress | None = None,
    ) -> Pixels:
        """Restore one image of any size.

        Args:
            image: (H, W) or (H, W, C); uint8 and uint16 span their type, float32 is in [0, 1] unless the
                model was trained with a normalisation. An image of Pillow and a tensor of such a shape and type are
                taken too.
            steps: Moves of the walk: 1 is the least error, more are sharper. A model that draws needs 1.
            samples: How many restorations; None is one, without the first axis.
            seed: Of the noise; the same seed gives the same image.
            times: uniform, geometric, power, or a list of times from 1 down to 0.
            sampler: euler, heun or multistep; None is euler, or what a shipped model is best with.
            strength: Below 1 for damage that is milder than most in training: the walk begins nearer to clean, changes
                less and adds less noise of its own.
            realism: Of a model that draws (method distributional): 0 is the least error, 1 a draw from all clean images
                that fit, in between a draw that deviates from the least error so much less. None is 0.6 for one image,
                or what a shipped model is best with; 1 for samples.
            plane: Which picture of a stack this is, so that each has noise of its own.
            progress: Called with the share that is done, tile by tile. What it raises ends the work.

        Returns:
            The restored image, of the shape and type of ``image``; with ``samples`` (K, H, W[, C]).

        Raises:
            ConfigError: Steps, times, sampler or samples are not ones there are, or samples would all be equal.
            ImageError: The type is another, or a pixel is not finite; or it is no image, but a list or a path, say.
            ShapeError: The image is empty, not 2-D, or its channels do not fit the model.
        """
        image = as_pixels(image)
        how = self.walk(steps, samples=samples, times=times, sampler=sampler, strength=strength, realism=realism)
        results = []
        for sample in range(samples or 1):
            told = part_of(progress, sample, samples or 1)
            *_, last = self.trajectory(image, how, seed=seed, sample=sample, plane=plane, progress=told)
            results.append(self.pixels(last.image, like=image))
        return np.stack(results) if samples is not None else results[0]

    def walk(
        self,
        steps: int | None,
        *,
        samples: int | None,
        times: str | Sequence[float],
        sampler: str | None,
        strength: float = 1.0,
        realism: float | None = None,
    ) -> Walk:
        """Return the walk that the options of ``restore`` ask for.

        Raises:
            ConfigError: They are not ones there are, or samples would all be equal.
        """
        if samples is not None and samples < 1:
            raise ConfigError(f"samples is {samples}; give 1 or more")
        how = Walk(
            self.default_steps if steps is None else steps,
            times,
            sampler or self.default_sampler,
            strength,
            self._realism(realism, samples),
        )
        moments = self._times(how)
        scaled = scaled_times(moments, how.strength)
        if samples is not None and samples > 1 and not how.realism:
            if how.realism == 0:
                raise ConfigError("at realism 0 samples would all be equal; leave one of the two out")
            if not self.method.path_of(moments).draws(scaled):
                advice = "take more steps" if self.method.path.draws(scaled) else "leave out samples"
                raise ConfigError(f"this walk draws no noise, so samples would all be equal; {advice}")
        return how

    def _realism(self, realism: float | None, samples: int | None) -> float | None:
        """Return the dial of a model that draws, None for any other.

        Raises:
            ConfigError: It is out of range, or the model has none.
        """
        if not self.method.draws:
            if realism is not None:
                name = self.card.method.name
                raise ConfigError(
                    f"this model is of the method {name}, which has no dial of realism; use steps instead"
                )
            return None
        if realism is None:
            return self.default_realism if samples is None else 1.0
        if isinstance(realism, bool) or not isinstance(realism, Real) or not 0 <= realism <= 1:
            raise ConfigError(f"realism is {realism!r}; give 0, the least error, to 1, a draw from all that fits")
        return float(realism)

    def trajectory(
        self,
        image: Pixels,
        how: Walk,
        *,
        seed: int = 0,
        sample: int = 0,
        plane: int = 0,
        progress: Progress | None = None,
    ) -> Iterator[State]:
        """Yield the states of one restoration, from the degraded image at t = 1 to the answer at 0.

        Each state's image is (1, C, H, W) float32 on the restorer's device; ``pixels`` brings it back. ``progress`` is
        called as by ``restore``.

        Raises:
            ConfigError, ImageError, ShapeError: As ``restore``.
        """
        image = as_pixels(image)
        times = self._times(how)
        degraded = self.unit(image)
        warn_of_intensities(degraded, image.dtype, self.card, self._warned)
        whole = Box(0, 0, *degraded.shape[2:])
        if progress is not None:
            progress(0.0)
        calls = (len(times) - 2) * SAMPLERS[how.sampler].depth + 1  # the last move, which ends at 0, needs one
        network = self._network if progress is None else self._told(progress, calls)

        def noise(number: int) -> Tensor:
            return self._noise(number, whole, seed, sample, plane)

        moves = itertools.count(1)  # of a model that draws each is one call, with the noise of its number
        yield from walk(
            lambda state, time: self._estimate(network, state, degraded, time, how, partial(noise, next(moves))),
            self.method.path_of(times),
            degraded,
            times,
            draw=noise,
            sampler=SAMPLERS[how.sampler],
            strength=how.strength,
        )

    def sweep(
        self,
        read: Callable[[Box], Pixels],
        size: tuple[int, int],
        how: Walk,
        *,
        finished: Callable[[Box, Pixels], None],
        folder: Path,
        seed: int = 0,
        sample: int = 0,
        plane: int = 0,
    ) -> Iterator[float]:
        """Restore an image that memory does not hold; yield the share that is done, tile by tile.

        Args:
            read: Returns a box of the image, as ``restore`` takes images.
            size: Height and width.
            how: The walk.
            finished: Called with each tile of the answer, of the type and layout of the image.
            folder: Where the states lie meanwhile: two to four times the image in float32.
            seed: As ``restore``.
            sample: Which restoration of the image this is, from 0.
            plane: As ``restore``.

        Raises:
            ConfigError, ImageError, ShapeError: As ``restore``; or the network looks at the whole image; or the disk is
                full.
        """
        if self._piecewise is None:
            raise ConfigError(f"{self.card.name} looks at the whole image, which does not fit in memory; cut it up")
        network, tile, halo, stride = self._piecewise
        # A piece is a tile with its surroundings: one call, cut up only where memory runs out.
        call = tiled(network, tile=2 * (tile + halo) + tile, halo=halo, stride=stride)
        template = read(Box(0, 0, 1, 1))
        moments = self._times(how)
        yield from sweep(
            lambda state, degraded, time, noise: self._estimate(call, state, degraded, time, how, noise),
            self.method.path_of(moments),
            lambda box: self.unit(read(box)),
            (self.card.channels, *size),
            moments,
            draw=lambda number, box: self._noise(number, box, seed, sample, plane),
            sampler=SAMPLERS[how.sampler],
            strength=how.strength,
            tile=tile,
            halo=halo,
            folder=folder,
            finished=lambda box, image: finished(box, self.pixels(image, like=template)),
        )

    def calibration_for(self, how: Walk, samples: int) -> Calibration | None:
        """Return the calibration where it fits such restorations; where it does not, say why."""
        if self.calibration is None:
            return None
        times = how.times if isinstance(how.times, str) else list(how.times)
        misfit = self.calibration.misfit(
            weights=self.fingerprint,
            samples=samples,
            steps=how.steps,
            times=times,
            sampler=how.sampler,
            strength=how.strength,
            realism=how.realism,
        )
        if misfit is not None:
            log.warning("no intervals: %s", misfit)
        elif self.calibration.guaranteed is None:
            log.info("intervals are plain: %d scenes were too few for a guarantee", self.calibration.scenes)
        return self.calibration if misfit is None else None

    def _times(self, how: Walk) -> list[float]:
        times = how.grid()
        name = self.card.method.name
        if self.method.one_step and len(times) > 2:
            raise ConfigError(f"this model was trained by {name}, which has one step; give steps 1")
        if self.method.one_step and how.strength != 1:
            raise ConfigError(f"this model was trained by {name}, which knows full damage alone; leave strength at 1")
        if self.method.draws and how.sampler != DEFAULT_SAMPLER:
            raise ConfigError(f"this model was trained by {name}, which draws anew in each call; use {DEFAULT_SAMPLER}")
        return times

    def _told(self, progress: Progress, calls: int) -> Call:
        """Return the network, which tells its progress over so many calls."""
        network, finished = self._tiled, 0

        def call(inputs: Tensor, t: Tensor) -> Tensor:
            nonlocal finished
            if network is None:
                output = self._network(inputs, t)
                progress((finished + 1) / calls)
            else:
                output = network(inputs, t, progress=part_of(progress, finished, calls))
            finished += 1
            return output

        return call

    def _estimate(
        self, network: Call, state: Tensor, degraded: Tensor, time: float, how: Walk, noise: Callable[[], Tensor]
    ) -> Tensor:
        t = torch.full((len(state),), time, dtype=torch.float32, device=self.device)
        draw = None if how.realism is None else Draw.of(state, how.realism, noise)
        return self.method.estimate(network, state, degraded, t, draw)

    def _noise(self, number: int, box: Box, seed: int, sample: int, plane: int) -> Tensor:
        noise = normal(
            seed,
            channels=self.card.channels,
            height=box.height,
            width=box.width,
            sample=sample,
            draw=number,
            plane=plane,
            top=box.top,
            left=box.left,
        )
        return noise[None].to(self.device)

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        *,
        revision: str | None = None,
        token: str | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        **options: Any,
    ) -> Self:
        """Return the restorer of a folder that ``save_pretrained`` wrote, or of USER/NAME on the Hugging Face hub.

        Args:
            name: A folder; else the name of a model on the hub, USER/NAME or USER/NAME@REVISION, which is fetched.
            revision: A branch, tag or commit on the hub; by default the latest.
            token: Of an account that may see the model; by default the one that is logged in.
            cache_dir: Where fetched models are kept; by default where huggingface_hub keeps them.
            local_files_only: Whether to take what is kept there, and never reach for the hub.
            options: As ``Restorer``.

        Raises:
            ConfigError: Two revisions are named.
            ModelError: There is no such model, or it is damaged.
            MissingExtraError: The hub is meant, and huggingface_hub cannot be imported.
        """
        load_plugins()
        where = {"token": token, "cache_dir": cache_dir, "local_files_only": local_files_only}
        path = Path(name) if Path(name).is_dir() else hub.fetch(str(name), revision=revision, **where)
        restorer = cls(load_model(path), **options)
        restorer.calibration = read_calibration(path)
        return restorer

    def save_pretrained(self, folder: str | Path, *, name: str | None = None) -> None:
        """Write the model as the Hugging Face hub wants it: weights, config.json, README.md.

        What is known of a shipped model goes with it, and so do terms that its weights have of their own.

        Args:
            folder: Where to.
            name: USER/NAME on the hub, for the README to say.

        Raises:
            ImageError: The folder cannot be written.
        """
        about = about_weights(self.model)
        steps = (about or {}).get("steps", self.default_steps)
        more = [] if self.calibration is None else [told(self.calibration)]
        hub.save_pretrained(self.model, folder, steps=steps, name=name, about=about, more=more)
        if self.calibration is not None:
            write_text(Path(folder) / CALIBRATION_FILE, self.calibration.model_dump_json(indent=1) + "\n")

    def push_to_hub(self, name: str, *, private: bool = False, token: str | None = None) -> str:
        """Put the model on the Hugging Face hub as USER/NAME; return its address.

        Args:
            name: USER/NAME.
            private: Whether only its owner sees it, where it is new.
            token: Of the account; by default the one that is logged in.

        Raises:
            ModelError: The hub refuses, or cannot be reached.
            MissingExtraError: huggingface_hub cannot be imported.
        """
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder, name=name)
            return hub.push(Path(folder), name, private=private, token=token)

    def unit(self, image: Pixels) -> Tensor:
        """Return an image as the network sees it: (1, C, H, W) float32 on the device, normalised or in [0, 1]."""
        if image.ndim not in (2, 3) or image.size == 0:
            raise ShapeError(f"image has shape {image.shape}; give (H, W) or (H, W, C), not empty")
        pixels = fit_channels(to_unit(image), self.card.channels, what="this image")
        planes = pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)
        unit = torch.from_numpy(np.ascontiguousarray(planes))[None].to(self.device)
        normalisation = self.card.normalisation
        return unit if normalisation is None else normalisation.degraded.apply(unit)

    def pixels(self, restored: Tensor, *, like: Pixels) -> Pixels:
        """Return a state's image as pixels of the type and layout of ``like``."""
        if self.card.normalisation is not None:
            restored = self.card.normalisation.clean.undo(restored)
        planes = restored[0].cpu().numpy()
        channels = 1 if like.ndim == 2 else like.shape[-1]
        if channels == 1 < len(planes):  # a gray image through a colour model
            planes = planes.mean(axis=0, keepdims=True)
        elif channels > 1 == len(planes):  # colour that is gray everywhere, through a gray model
            planes = planes.repeat(channels, axis=0)
        values = planes[0] if like.ndim == 2 else np.moveaxis(planes, 0, -1)
        return from_unit(values, like.dtype)


def _ready(network: Network, precision: torch.dtype, device: torch.device) -> Call:
    """Return a copy of a network as restoring calls it: its layers as in use, its convolutions in a precision."""
    ready = copy.deepcopy(network).eval().to(device)
    if precision == torch.float32 or network.may_be_cast:
        return cast_convolutions(ready, precision)

    def call(inputs: Tensor, t: Tensor) -> Tensor:
        with torch.autocast(device.type, dtype=precision):
            output: Tensor = ready(inputs, t)
        return output

    return call


def load(model: str | Path, **options: object) -> Restorer:
    """Return the restorer of a shipped name, a run folder, a model file or hf:USER/NAME; options as ``Restorer``.

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
