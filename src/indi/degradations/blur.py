"""Blur: of a camera that shook, and of a lens out of focus.

Light adds up on the sensor, before the camera makes a picture of it: both blur light (light.py). A little noise
comes on top.
"""

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from indi.degradations.draws import uniform
from indi.degradations.light import light_of, picture_of
from indi.degradations.mirror import mirrored
from indi.degradations.noise import add_gaussian_noise

LONGEST_SHAKE = 24.0  # px
LARGEST_RADIUS = 6.0  # px
REACH = 14  # px that the longest and the largest look at beyond a pixel

_NOISE = 0.01  # in intensities, the most in training
_POINTS = 96  # of a trajectory


def shake(clean: Tensor, generator: Generator, *, length: float) -> Tensor:
    """Blur (C, H, W) by the path of a camera that shook while the shutter was open; edges are mirrored.

    Args:
        clean: float in [0, 1].
        generator: of the path.
        length: of the path, in px.
    """
    return picture_of(_filtered(light_of(clean), shake_kernel(length, generator)))


def shake_kernel(length: float, generator: Generator) -> Tensor:
    """Return a random path of ``length`` px as a kernel of sum 1 with its centre of gravity in the middle.

    A walk at constant speed whose heading drifts, and now and then jerks; how much is drawn too, from nearly
    straight to curled. In the manner of Boracchi and Foi, "Modeling the performance of image restoration from
    motion blur", IEEE Transactions on Image Processing 21(8), 2012.

    Returns:
        (K, K) float32, K odd: twice ``length`` / 2 rounded up, and 3.
    """
    device = generator.device
    drift = 0.35 * uniform(0, 1, generator) ** 2  # radians a point
    turns = drift * torch.randn(_POINTS, generator=generator, device=device)
    jerks = torch.rand(_POINTS, generator=generator, device=device) < 1 / _POINTS
    turns += jerks * (2 * torch.rand(_POINTS, generator=generator, device=device) - 1) * math.pi
    heading = turns.cumsum(0) + uniform(0, 2 * math.pi, generator)
    path = torch.stack([heading.sin(), heading.cos()]).cumsum(1) * (length / (_POINTS - 1))
    path = path - path.mean(dim=1, keepdim=True)

    middle = math.ceil(length / 2) + 1
    place = path + middle
    corner, part = place.floor(), place - place.floor()
    kernel = torch.zeros((2 * middle + 1) ** 2, device=device)
    for down in (0, 1):  # each point's weight goes to the four pixels around it
        for right in (0, 1):
            weight = (part[0] if down else 1 - part[0]) * (part[1] if right else 1 - part[1])
            index = (corner[0] + down) * (2 * middle + 1) + corner[1] + right
            kernel.index_add_(0, index.long(), weight)
    return (kernel / _POINTS).reshape(2 * middle + 1, 2 * middle + 1)


def defocus(clean: Tensor, *, radius: Tensor) -> Tensor:
    """Blur each pixel of (C, H, W) by a disc of its own radius, as a scene at several depths; edges are mirrored.

    Between whole radii the blurred images are mixed.

    Args:
        clean: float in [0, 1].
        radius: (H, W), in px; 0 leaves a pixel as it is.
    """
    light = light_of(clean)
    result = torch.zeros_like(light)
    for whole in range(math.floor(radius.min().item()), math.ceil(radius.max().item()) + 1):
        share = (1 - (radius - whole).abs()).clamp(min=0)
        result += share * _filtered(light, disc_kernel(whole).to(light.device))
    return picture_of(result)


def disc_kernel(radius: float) -> Tensor:
    """Return a disc with a soft edge, 1 px and a quarter of the radius wide: (K, K) float32 of sum 1, K odd."""
    softness = 1 + radius / 4
    reach = math.ceil(radius + softness / 2 - 1)
    line = torch.arange(-reach, reach + 1)
    kernel = ((radius - torch.hypot(line[:, None].float(), line.float())) / softness + 0.5).clamp(0, 1)
    return kernel / kernel.sum()


def train_deblur_motion(clean: Tensor, generator: Generator) -> Tensor:
    """Paths up to 24 px long, and now and then none, then noise of up to 0.01."""
    blurred = shake(clean, generator, length=max(0.0, uniform(-2, LONGEST_SHAKE, generator)))
    return add_gaussian_noise(blurred, generator, sigma=uniform(0, _NOISE, generator))


def test_deblur_motion(clean: Tensor, generator: Generator) -> Tensor:
    """A path of 12 px, another for each image, then noise of 0.005."""
    return add_gaussian_noise(shake(clean, generator, length=LONGEST_SHAKE / 2), generator, sigma=_NOISE / 2)


def train_deblur_defocus(clean: Tensor, generator: Generator) -> Tensor:
    """Radii up to 6 px that change by up to a quarter within the crop, and now and then 0, then noise of up to 0.01."""
    middle = max(0.0, uniform(-0.5, LARGEST_RADIUS / 1.25, generator))
    blurred = defocus(clean, radius=_slope(clean, middle, 0.25 * middle * uniform(0, 1, generator), generator))
    return add_gaussian_noise(blurred, generator, sigma=uniform(0, _NOISE, generator))


def test_deblur_defocus(clean: Tensor, generator: Generator) -> Tensor:
    """Radii from 1 px on one side to 4 px on the other, in a direction of its own for each image; noise of 0.005."""
    return add_gaussian_noise(defocus(clean, radius=_slope(clean, 2.5, 1.5, generator)), generator, sigma=_NOISE / 2)


def _slope(clean: Tensor, middle: float, change: float, generator: Generator) -> Tensor:
    """Return (H, W) values of a plane that leans in a random direction: ``middle`` +- ``change`` at its corners."""
    direction = uniform(0, 2 * math.pi, generator)
    down, right = math.sin(direction), math.cos(direction)
    rows, columns = (torch.linspace(-1, 1, side, device=clean.device) for side in clean.shape[-2:])
    return middle + change * (down * rows[:, None] + right * columns) / (abs(down) + abs(right))


def _filtered(image: Tensor, kernel: Tensor) -> Tensor:
    """Correlate each channel of (C, H, W) with an odd kernel, the image mirrored at its edges, edge included."""
    if kernel.numel() == 1:
        return image
    reach = len(kernel) // 2
    rows, columns = (mirrored(torch.arange(-reach, side + reach), side) for side in image.shape[-2:])
    padded = image[:, rows.to(image.device)[:, None], columns.to(image.device)]
    return F.conv2d(padded[:, None], kernel[None, None].to(image))[:, 0]
