"""How a degraded image is made from a clean one: the tasks that need no recorded pairs.

Every degradation is a pure function ``(clean, generator) -> degraded``: clean is (C, H, W) float32 with
intensities in [0, 1], degraded has the same shape and dtype, and all randomness comes from the generator (on
the device of clean).

``DEGRADATIONS`` lists them by task name, each in two forms: ``train`` draws a new strength each time, from
none at all, so that a restorer learns to leave alone what is clean; ``test`` is the fixed form behind published
figures, where only noise, path and direction are drawn. Give ``test`` a generator seeded by `seed_for`, and a
file is degraded alike whatever the order of files.
"""

import hashlib
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from torch import Generator, Tensor

from indi.degradations import blur, jpeg, noise, photo, photons, resolution
from indi.degradations.blur import defocus, disc_kernel, shake, shake_kernel
from indi.degradations.jpeg import compress_jpeg
from indi.degradations.noise import add_camera_noise, add_gaussian_noise, add_sensor_noise
from indi.degradations.photons import add_photon_noise
from indi.degradations.resolution import shrink_and_enlarge
from indi.errors import ConfigError

__all__ = [
    "DEGRADATIONS",
    "Degradation",
    "add_camera_noise",
    "add_gaussian_noise",
    "add_photon_noise",
    "add_sensor_noise",
    "check_planes",
    "compress_jpeg",
    "defocus",
    "degradation",
    "disc_kernel",
    "seed_for",
    "shake",
    "shake_kernel",
    "shrink_and_enlarge",
]

Degrade = Callable[[Tensor, Generator], Tensor]


@dataclass(frozen=True)
class Degradation:
    """One task: what is done to a clean image, in its two forms.

    Attributes:
        name: the task name, as the command line takes it.
        description: one line for a person.
        train: the randomised form for training.
        test: the fixed form for comparisons.
        reach: how far beyond a pixel it looks, in pixels, where that is too far to let a crop's edge stand for it:
            crops are degraded with as much around them.
        train_inside: ``train`` of an image of which so many px on each side are there to be looked at only: returns
            the middle of what ``train`` makes. None where that saves no work.
        planewise: whether channels are degraded each alone, with one strength: those of several planes may be given.
        forms: fixed forms with a name of their own, ``TASK:FORM``, for comparisons.
    """

    name: str
    description: str
    train: Degrade
    test: Degrade
    reach: int = 0
    train_inside: Callable[[Tensor, Generator, int], Tensor] | None = None
    planewise: bool = False
    forms: Mapping[str, Degrade] = field(default_factory=dict)

    def train_crop(self, wide: Tensor, generator: Generator) -> Tensor:
        """Return a crop, degraded for training, from that crop with ``reach`` px more on each side."""
        if self.train_inside is not None:
            return self.train_inside(wide, generator, self.reach)
        height, width = (side - self.reach for side in wide.shape[-2:])
        return self.train(wide, generator)[..., self.reach : height, self.reach : width]


def check_planes(task: str) -> None:
    """Refuse a task that cannot degrade several planes of a stack with one strength.

    Raises:
        ConfigError: It cannot, or there is no such task.
    """
    if not degradation(task).planewise:
        able = ", ".join(name for name, each in DEGRADATIONS.items() if each.planewise)
        raise ConfigError(f"task {task!r} makes no stacks of planes; tasks that do: {able}; or give degraded stacks")


def seed_for(name: str, seed: int) -> int:
    """Return a seed in [0, 2^63) that depends on a file's name and on ``seed`` alone.

    Accented letters count the same however the file system composes them.
    """
    text = f"{seed}/{unicodedata.normalize('NFC', name)}"
    return int.from_bytes(hashlib.sha256(text.encode(errors="surrogateescape")).digest()[:8], "big") >> 1


DEGRADATIONS: dict[str, Degradation] = {  # add a degradation here, and its name in cli/options.py
    "photo": Degradation(
        "photo",
        "photographs of unknown damage: noise, JPEG, blur, sharpening, resizing; phone, chat or scan in tests",
        train=photo.train_photo,
        test=photo.test_photo,
        reach=photo.REACH,
        forms=photo.FORMS,
    ),
    "denoise": Degradation(
        "denoise",
        "noise: Gaussian or a camera's in training, Gaussian of sigma 25 of 255 in tests",
        train=noise.train_denoise,
        test=noise.test_denoise,
    ),
    "denoise-photons": Degradation(
        "denoise-photons",
        "microscopes: Poisson noise of 30 to 3,000 photons at white in training, of 200 in tests, and that of reading",
        train=photons.train_denoise_photons,
        test=photons.test_denoise_photons,
        planewise=True,
    ),
    "deblur-motion": Degradation(
        "deblur-motion",
        "a camera that shook, along random paths of up to 24 px in training, of 12 px in tests",
        train=blur.train_deblur_motion,
        test=blur.test_deblur_motion,
        reach=blur.REACH,
        train_inside=blur.train_deblur_motion,
    ),
    "deblur-defocus": Degradation(
        "deblur-defocus",
        "a lens out of focus: discs of up to 6 px radius in training, from 1 to 4 px across the image in tests",
        train=blur.train_deblur_defocus,
        test=blur.test_deblur_defocus,
        reach=blur.REACH,
        train_inside=blur.train_deblur_defocus,
    ),
    "super-resolve-4x": Degradation(
        "super-resolve-4x",
        "a quarter of the size by antialiased bicubic (in training now and then more), in 8 bit, and back by bicubic",
        train=resolution.train_super_resolve_4x,
        test=resolution.test_super_resolve_4x,
    ),
    "jpeg": Degradation(
        "jpeg",
        "JPEG compression of quality 5 to 95 in training, 10 in tests",
        train=jpeg.train_jpeg,
        test=jpeg.test_jpeg,
    ),
}


def degradation(task: str) -> Degradation:
    """Return the degradation of a task by name, or with one of its fixed forms as its test: ``photo:phone``.

    Raises:
        ConfigError: there is no such task or form.
    """
    name, colon, form = task.partition(":")
    if name not in DEGRADATIONS:
        raise ConfigError(f"there is no task {name!r}; choose from {', '.join(DEGRADATIONS)}")
    found = DEGRADATIONS[name]
    if not colon:
        return found
    if form not in found.forms:
        forms = ", ".join(f"{name}:{each}" for each in found.forms) or "none"
        raise ConfigError(f"task {name!r} has no form {form!r}; its forms: {forms}")
    return replace(found, test=found.forms[form])
