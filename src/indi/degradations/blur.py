"""Blur: of a camera that shook, and of a lens out of focus.

Light adds up on the sensor, before the camera makes a picture of it: both blur light (light.py). A little noise
comes on top.
"""

import math
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from indi.degradations.draws import normal_like, uniform
from indi.degradations.light import light_of, picture_of
from indi.degradations.mirror import mirrored
from indi.degradations.noise import add_gaussian_noise

LONGEST_SHAKE = 24.0  # px
LARGEST_RADIUS = 6.0  # px
REACH = 14  # px that the longest and the largest look at beyond a pixel

_NOISE = 0.01  # in intensities, the most in training
_POINTS = 96  # of a trajectory


def shake(clean: Tensor, generator: Generator, *, length: float, around: int = 0) -> Tensor:
    """Blur (C, H, W) by the path of a camera that shook while the shutter was open; edges are mirrored.

    Args:
        clean: float in [0, 1].
        generator: of the path.
        length: of the path, in px.
        around: px on each side that are there to be looked at only, and are left out of the answer.
    """
    kernel = shake_kernel(length, generator)
    light, margin = _with_margin(light_of(clean), len(kernel) // 2, around)
    return picture_of(_filtered(light, kernel, margin))


def shake_kernel(length: float, generator: Generator) -> Tensor:
    """Return a random path of ``length`` px as a kernel of sum 1 with its centre of gravity in the middle.

    A path at constant speed whose heading drifts, and now and then jerks; how much is drawn too, from nearly
    straight to curled. In the manner of Boracchi and Foi, "Modeling the performance of image restoration from
    motion blur", IEEE Transactions on Image Processing 21(8), 2012.

    Returns:
        (K, K) float32 on the CPU, K odd: twice ``length`` / 2 rounded up, and 3.
    """
    device = generator.device
    drift = 0.35 * uniform(0, 1, generator) ** 2  # radians a point
    normal = torch.randn(_POINTS, generator=generator, device=device)
    jerk, by = (torch.rand(_POINTS, generator=generator, device=device) for _ in range(2))
    turns = drift * _array(normal) + (_array(jerk) < 1 / _POINTS) * (2 * _array(by) - 1) * math.pi
    heading = turns.cumsum() + uniform(0, 2 * math.pi, generator)
    path = np.stack([np.sin(heading), np.cos(heading)]).cumsum(axis=1) * (length / (_POINTS - 1))
    path -= path.mean(axis=1, keepdims=True)

    middle = math.ceil(length / 2) + 1
    side = 2 * middle + 1
    corner = np.floor(path + middle)
    (down, right), (row, column) = path + middle - corner, corner.astype(np.int64)
    first = row * side + column
    places = np.concatenate([first, first + 1, first + side, first + side + 1])  # the four pixels around each point
    weights = np.concatenate([(1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right])
    kernel = np.bincount(places, weights, minlength=side**2) / _POINTS
    return torch.from_numpy(kernel.astype(np.float32).reshape(side, side))


def defocus(clean: Tensor, *, radius: Tensor, around: int = 0) -> Tensor:
    """Blur each pixel of (C, H, W) by a disc of its own radius, as a scene at several depths; edges are mirrored.

    Between whole radii the blurred images are mixed.

    Args:
        clean: float in [0, 1].
        radius: (H, W), in px; 0 leaves a pixel as it is.
        around: px on each side that are there to be looked at only, and are left out of the answer.
    """
    radius = _middle(radius, around)
    lowest, highest = (value.item() for value in radius.aminmax())
    radii = range(math.floor(lowest), math.ceil(highest) + 1)
    light, margin = _with_margin(light_of(clean), len(_quarter_disc(radii[-1])) - 1, around)
    blurred = _by_discs(light, radii, margin)
    if len(blurred) == 1:
        return picture_of(blurred[0])
    shares = ((1 - (radius - whole).abs()).clamp(min=0) for whole in radii)
    mixed = [share * image for share, image in zip(shares, blurred, strict=True)]
    return picture_of(sum(mixed[1:], mixed[0]))


def disc_kernel(radius: float) -> Tensor:
    """Return a disc with a soft edge, 1 px and a quarter of the radius wide: (K, K) float32 of sum 1, K odd."""
    softness = 1 + radius / 4
    reach = math.ceil(radius + softness / 2 - 1)
    line = torch.arange(-reach, reach + 1)
    kernel = ((radius - torch.hypot(line[:, None].float(), line.float())) / softness + 0.5).clamp(0, 1)
    return kernel / kernel.sum()


def train_deblur_motion(clean: Tensor, generator: Generator, around: int = 0) -> Tensor:
    """Paths up to 24 px long, and now and then none, then noise of up to 0.01."""
    length = max(0.0, uniform(-2, LONGEST_SHAKE, generator))
    blurred = shake(clean, generator, length=length, around=around)
    sigma = uniform(0, _NOISE, generator)
    return blurred + sigma * _middle(normal_like(clean, generator), around)


def test_deblur_motion(clean: Tensor, generator: Generator) -> Tensor:
    """A path of 12 px, another for each image, then noise of 0.005."""
    return add_gaussian_noise(shake(clean, generator, length=LONGEST_SHAKE / 2), generator, sigma=_NOISE / 2)


def train_deblur_defocus(clean: Tensor, generator: Generator, around: int = 0) -> Tensor:
    """Radii up to 6 px that change by up to a quarter within the crop, and now and then 0, then noise of up to 0.01."""
    middle = max(0.0, uniform(-0.5, LARGEST_RADIUS / 1.25, generator))
    radius = _slope(clean, middle, 0.25 * middle * uniform(0, 1, generator), generator)
    sigma = uniform(0, _NOISE, generator)
    return defocus(clean, radius=radius, around=around) + sigma * _middle(normal_like(clean, generator), around)


def test_deblur_defocus(clean: Tensor, generator: Generator) -> Tensor:
    """Radii from 1 px on one side to 4 px on the other, in a direction of its own for each image; noise of 0.005."""
    return add_gaussian_noise(defocus(clean, radius=_slope(clean, 2.5, 1.5, generator)), generator, sigma=_NOISE / 2)


def _slope(clean: Tensor, middle: float, change: float, generator: Generator) -> Tensor:
    """Return (H, W) values of a plane that leans in a random direction: ``middle`` +- ``change`` at its corners."""
    direction = uniform(0, 2 * math.pi, generator)
    down, right = math.sin(direction), math.cos(direction)
    rows, columns = (torch.linspace(-1, 1, side, device=clean.device) for side in clean.shape[-2:])
    return middle + change * (down * rows[:, None] + right * columns) / (abs(down) + abs(right))


def _filtered(image: Tensor, kernel: Tensor, margin: int) -> Tensor:
    """Correlate each channel of (C, H, W) with an odd kernel; ``margin`` px on each side are left out of the answer.

    Moved images are added up, one for each value that is not 0: a path has few of them.
    """
    first = margin - len(kernel) // 2
    height, width = (side - 2 * margin for side in image.shape[-2:])
    result = torch.zeros_like(_middle(image, margin), memory_format=torch.contiguous_format)
    weights = kernel.numpy()
    for row, column in np.argwhere(weights).tolist():
        top, left = first + row, first + column
        result.add_(image[:, top : top + height, left : left + width], alpha=float(weights[row, column]))
    return result


def _by_discs(image: Tensor, radii: range, margin: int) -> list[Tensor]:
    """Correlate as `_filtered` with the disc of each radius, which looks the same upside down and mirrored.

    So rows that lie as far up as down are added first, once for all discs, and columns last.
    """
    height, width = (side - 2 * margin for side in image.shape[-2:])
    reach = len(_quarter_disc(radii[-1])) - 1
    image, margin = _middle(image, margin - reach), reach
    rows = [image[:, place : place + height] for place in range(2 * margin + 1)]
    folded = torch.stack([rows[margin], *(rows[margin - far] + rows[margin + far] for far in range(1, reach + 1))])
    results = []
    for radius in radii:
        quarter = _quarter_disc(radius).to(image)
        columns = (quarter @ folded[: len(quarter)].flatten(1)).reshape(-1, *folded.shape[1:])
        result = columns[0, ..., margin : margin + width].clone()
        for far in range(1, len(quarter)):
            for left in (margin - far, margin + far):
                result += columns[far, ..., left : left + width]
        results.append(result)
    return results


@lru_cache(maxsize=32)
def _quarter_disc(radius: int) -> Tensor:
    """Return the lower right quarter of a disc, its middle row and column included."""
    kernel = disc_kernel(radius)
    return kernel[len(kernel) // 2 :, len(kernel) // 2 :].contiguous()


def _with_margin(image: Tensor, reach: int, around: int) -> tuple[Tensor, int]:
    """Return (C, H, W) with ``reach`` px on each side of what is wanted, mirrored where it has less, and how many."""
    lacking = reach - around
    if lacking <= 0:
        return image, around
    rows, columns = (mirrored(torch.arange(-lacking, side + lacking), side) for side in image.shape[-2:])
    return image.index_select(1, rows.to(image.device)).index_select(2, columns.to(image.device)), reach


def _middle(image: Tensor, around: int) -> Tensor:
    """Return (..., H, W) without ``around`` px on each side."""
    return image[..., around : image.shape[-2] - around, around : image.shape[-1] - around]


def _array(values: Tensor) -> NDArray[np.float64]:
    return values.double().cpu().numpy()
