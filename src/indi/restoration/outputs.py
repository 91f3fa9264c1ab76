"""What is asked of a file that is restored, and what it becomes: names, pixels, maps and their picture."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from indi.data import enlarge
from indi.errors import ConfigError, ImageError
from indi.io import FLOAT_SUFFIXES, Image, from_unit, orientation, to_unit
from indi.io.formats.enlarged import enlarged
from indi.io.manifest import Manifest
from indi.io.maps import of_map
from indi.io.pixel_size import pixel_size
from indi.process.sampling import Sampling
from indi.restoration.inputs import Job
from indi.restoration.masks import Kept, read_mask
from indi.restoration.overlay import overlay, step_of
from indi.restoration.restorer import Pixels, Restorer
from indi.restoration.resuming import deciding
from indi.restoration.stacks import StackJob
from indi.restoration.uncertainty import Calibration, maps, names, scale_of


def parted(path: Path) -> tuple[str, str]:
    """Return the name of a file and its suffix, which may be of two parts, such as .ome.tif."""
    stem, suffix = path.stem, path.suffix
    return (stem[:-4], stem[-4:] + suffix) if stem.lower().endswith(".ome") and len(stem) > 4 else (stem, suffix)


@dataclass(frozen=True)
class Restoration:
    """What is asked of every file: how it is restored, and what is written.

    With ``samples`` each image gives NAME_s01, NAME_s02, …, their mean NAME_mean, and in float32, in counts,
    NAME_spread.tif, NAME_interval.tif where the model is calibrated for such restorations, NAME_invented.tif,
    NAME_trusted.tif where the calibration allows it (uncertainty.py), and a picture of the maps, NAME_overlay.png.
    One sample has no spread: it gives NAME_s01 alone. Alpha, colour profile and EXIF go over unchanged.

    Attributes:
        sampling: How each image is sampled.
        enlarged: How many times each image is enlarged first.
        axes: Of stacks, such as ZCYX, where the files do not know them or are wrong.
        quality: Of JPEG files, 1 to 100; by default about that of the input, 95 where it is no JPEG file.
        overwrite: Write over files that are there, whoever made them; never over an input.
    """

    sampling: Sampling = field(default_factory=Sampling)
    enlarged: int = 1
    axes: str | None = None
    quality: int | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        """Refuse a quality that JPEG does not have.

        Raises:
            ConfigError: The quality is out of range.
        """
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise ConfigError(f"quality is {self.quality}; JPEG has qualities from 1 to 100")

    def manifest(self, restorer: Restorer, calibration: Calibration | None, jobs: Sequence[Job]) -> Manifest:
        """Return what is known of earlier commands like this."""
        asked = deciding(restorer, self.sampling, calibration)
        asked |= {"enlarged": self.enlarged, "axes": self.axes}
        if self.quality is not None:  # what older manifests do not know
            asked["quality"] = self.quality
        return Manifest(asked, {job.source: job.mask for job in jobs if job.mask is not None})

    def targets(self, job: Job, calibration: Calibration | None) -> list[Path]:
        """Return the files that a job writes."""
        if self.sampling.samples is None:
            return [job.target]
        stem, suffix = parted(job.target)
        files = [f"{stem}_s{number:02d}{suffix}" for number in range(1, self.sampling.samples + 1)]
        for name in names(self.sampling.samples, calibration):
            # The mean is an image of the same kind, the other maps are floats.
            is_alike = name == "mean" or suffix.lower().endswith(tuple(FLOAT_SUFFIXES))
            files.append(f"{stem}_{name}{suffix if is_alike else '.tif'}")
        if self.sampling.samples > 1:
            files.append(f"{stem}_overlay.png")
        return [job.target.with_name(name) for name in files]

    def stack(self, job: Job, restorer: Restorer, calibration: Calibration | None) -> StackJob:
        """Return the restoration of a job whose file is a stack.

        Raises:
            ImageError: Stacks are not enlarged.
        """
        if self.enlarged != 1:
            raise ImageError(f"{job.source}: stacks are not enlarged; do so first, or leave out enlarge")
        drawn: Path | None = None
        targets = self.targets(job, calibration)
        if (self.sampling.samples or 1) > 1:
            *targets, drawn = targets
        card = restorer.card
        options = (card.channels, self.axes, card.apart, drawn, card.around, job.mask)
        return StackJob(job.source, tuple(targets), self.sampling, calibration, *options)

    def images(
        self,
        restorer: Restorer,
        image: Image,
        job: Job,
        calibration: Calibration | None,
        progress: Callable[[float], None] | None,
    ) -> list[Image]:
        """Return what the image of a job becomes, in the order of ``targets``."""
        kept = None
        if job.mask is not None:
            height, width = image.pixels.shape[:2]
            kept = read_mask(job.mask, (height, width), orientation(image.metadata.exif))
            kept = kept.repeat(self.enlarged, axis=0).repeat(self.enlarged, axis=1)
        image = self.enlarge(image)
        pixels = restorer.restore(image.pixels, sampling=self.sampling, progress=progress)
        return self.results(restorer, image, pixels, calibration, self.micrometres(job.source), kept=kept)

    def micrometres(self, source: Path) -> float | None:
        """Return the side of a pixel of the results, where a microscope noted that of the source."""
        size = pixel_size(source)
        return None if size is None else size / self.enlarged

    def enlarge(self, image: Image) -> Image:
        """Return the image as it is restored."""
        alpha = None if image.alpha is None else enlarge(image.alpha, self.enlarged)
        metadata = enlarged(image.metadata, self.enlarged)
        if self.quality is not None:
            metadata = replace(metadata, quality=self.quality)
        return replace(image, pixels=enlarge(image.pixels, self.enlarged), alpha=alpha, metadata=metadata)

    def results(
        self,
        restorer: Restorer,
        image: Image,
        pixels: Pixels,
        calibration: Calibration | None,
        micrometres: float | None = None,
        *,
        kept: Kept | None = None,
    ) -> list[Image]:
        """Return what is written of pixels that ``Restorer.restore`` gave, in the order of ``targets``.

        Where ``micrometres``, the side of a pixel, are known, the overlay has a scale bar. Where ``kept``, images have
        the pixels of ``image``, and maps are 0.
        """
        if self.sampling.samples is None:
            return [replace(image, pixels=_with_kept(pixels, image.pixels, kept))]
        if self.sampling.samples == 1:
            return [replace(image, pixels=_with_kept(pixels[0], image.pixels, kept))]
        planes = np.moveaxis(to_unit(pixels).reshape(*pixels.shape[:3], -1), -1, 1)
        found = maps(planes, restorer.least_spread, calibration, pixels.dtype)
        mean = _with_kept(_as_image(from_unit(found.pop("mean"), pixels.dtype)), image.pixels, kept)
        results = [replace(image, pixels=_with_kept(each, image.pixels, kept)) for each in (*pixels, mean)]
        if kept is not None:
            found = {name: np.where(kept, np.float32(0), values) for name, values in found.items()}
        for name, values in found.items():
            scale = scale_of(name, float(values.max()), pixels.dtype)
            results.append(Image(_as_image(values), metadata=of_map(image.metadata, scale)))
        step = step_of(*mean.shape[:2])
        drawn = {name: values[:, ::step, ::step] for name, values in found.items()}
        size = None if micrometres is None else step * micrometres
        return [*results, Image(overlay(mean[::step, ::step], drawn, calibration, micrometres=size))]


def _with_kept(restored: Pixels, image: Pixels, kept: Kept | None) -> Pixels:
    """Return restored pixels, but those of the image where a mask keeps them."""
    return restored if kept is None else np.where(kept if image.ndim == 2 else kept[..., None], image, restored)


def _as_image(planes: Pixels) -> Pixels:
    """Return (C, H, W) planes as the pixels of an image."""
    return np.moveaxis(planes, 0, -1) if len(planes) > 1 else planes[0]
