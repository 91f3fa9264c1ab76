"""Light on a sensor, and the picture that a camera makes of it for the eye.

The curves are those of Brooks et al., "Unprocessing Images for Learned Raw Denoising", CVPR 2019: gamma 2.2, by which
also the makers of GoPro (Nah, Kim and Lee, CVPR 2017) undo the camera's curve, then 3 v^2 - 2 v^3 for contrast.
"""

import math

from torch import Tensor

_GAMMA = 2.2


def light_of(picture: Tensor, *, contrast: bool = False) -> Tensor:
    """Return the light behind intensities of [0, 1], clipped to it; ``contrast`` undoes that curve too."""
    picture = picture.clamp(0, 1)
    if contrast:
        picture = (0.5 - ((1 - 2 * picture).asin() / 3).sin()).clamp(0, 1)
    light: Tensor = picture**_GAMMA
    return light


def picture_of(light: Tensor, *, contrast: bool = False) -> Tensor:
    """Return the picture of light, clipped at black, and with ``contrast`` at white, where that curve ends."""
    picture = light.clamp(0, 1 if contrast else math.inf) ** (1 / _GAMMA)
    return picture**2 * (3 - 2 * picture) if contrast else picture
