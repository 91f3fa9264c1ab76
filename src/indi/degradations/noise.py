"""Noise: Gaussian, and that of a camera, which grows with the light."""

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from indi.degradations.draws import normal_like, uniform
from indi.degradations.gaussian import along_both, gaussian_line
from indi.degradations.jpeg import compress_jpeg
from indi.degradations.light import light_of, picture_of


def add_gaussian_noise(clean: Tensor, generator: Generator, *, sigma: float) -> Tensor:
    """Add white Gaussian noise of standard deviation ``sigma``, in intensities of [0, 1].

    The sum is neither clipped nor rounded, so the noise keeps its mean and variance at black and white too;
    this is the convention of published denoising figures.
    """
    return clean + sigma * normal_like(clean, generator)


def add_camera_noise(
    clean: Tensor, generator: Generator, *, shot: float, read: float, softness: float = 0.0, shared: float = 0.0
) -> Tensor:
    """Add signal-dependent noise of variance ``shot * clean + read``, neither clipped nor rounded.

    The Gaussian approximation of a sensor's Poisson and read-out noise: Foi, Trimeche, Katkovnik and
    Egiazarian, IEEE Transactions on Image Processing 17(10), 2008; of light, not yet of its picture (light.py). A
    camera then makes colours of its mosaic and smooths them, which spreads noise over neighbours and channels; its
    variance here stays as above.

    Args:
        clean: (C, H, W) float in [0, 1].
        generator: of the noise.
        shot: variance at white, of what grows with the signal.
        read: variance everywhere.
        softness: standard deviation, in pixels, of the Gaussian that the noise is smoothed by; 0 for white noise.
        shared: correlation of the noise between channels, 0 to 1.
    """
    # Resampled images undershoot black a little, and a variance cannot be negative.
    sigma = (shot * clean.clamp(min=0) + read).sqrt()
    return clean + sigma * _camera_normal(clean, generator, softness, shared)


def _camera_normal(clean: Tensor, generator: Generator, softness: float, shared: float) -> Tensor:
    """Return standard normal numbers of the shape of ``clean``, correlated between neighbours and channels."""
    if softness == 0 and shared == 0:
        return normal_like(clean, generator)
    channels, height, width = clean.shape
    reach = math.ceil(3 * softness)
    field = clean.new_empty(channels + 1, height + 2 * reach, width + 2 * reach)
    noise = normal_like(field, generator)
    noise = math.sqrt(shared) * noise[:1] + math.sqrt(1 - shared) * noise[1:]
    if reach == 0:
        return noise
    line = gaussian_line(softness, clean)
    return along_both(noise, line / line.norm())  # so that the variance stays 1


def add_sensor_noise(
    clean: Tensor, generator: Generator, *, shot: float, read: float, red: float, blue: float
) -> Tensor:
    """Add the noise of a sensor under a mosaic of colours, as the camera's processing leaves it in the photograph.

    The photograph is taken back to light at the sensor (light.py, and white balance); noise of variance
    ``shot * light + read`` falls on each pixel of a Bayer mosaic; the noise alone is interpolated to three colours, by
    which it spreads over neighbours and channels; white balance and the camera's curve follow. Detail stays as it is,
    since interpolation is linear and is not applied to it. A gray image has no mosaic, nor has one of under 3 px.

    Interpolation: Malvar, He and Cutler, "High-quality linear interpolation for demosaicing of Bayer-patterned color
    images", ICASSP 2004.

    Args:
        clean: (C, H, W) float in [0, 1].
        generator: of the noise, and of where the mosaic begins.
        shot: variance at the sensor's white, of what grows with the signal.
        read: variance everywhere.
        red: gain of the red channel in white balance, against green.
        blue: the same of the blue.
    """
    light = light_of(clean, contrast=True)
    if len(clean) != 3 or min(clean.shape[1:]) < 3:  # pixels, which is no mosaic
        return picture_of(add_camera_noise(light, generator, shot=shot, read=read), contrast=True)
    gains = torch.tensor([red, 1.0, blue], dtype=light.dtype, device=light.device)[:, None, None]
    down, right = torch.randint(2, (2,), generator=generator, device=generator.device).tolist()
    sensor = light / gains
    noise = (shot * sensor + read).sqrt() * normal_like(sensor[:1], generator)
    mosaic = torch.empty_like(noise[0])
    for row, column, channel in _BAYER:
        rows, columns = slice((row - down) % 2, None, 2), slice((column - right) % 2, None, 2)
        mosaic[rows, columns] = noise[channel, rows, columns]
    return picture_of(light + gains * _demosaiced(mosaic, down, right), contrast=True)


_BAYER = ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2))  # row, column, channel
# Malvar, He and Cutler's filters, in eighths: green at red or blue; a colour at green in its row, in its column; red at
# blue and blue at red.
_FILTERS = torch.tensor(
    [
        [[0, 0, -1, 0, 0], [0, 0, 2, 0, 0], [-1, 2, 4, 2, -1], [0, 0, 2, 0, 0], [0, 0, -1, 0, 0]],
        [[0, 0, 0.5, 0, 0], [0, -1, 0, -1, 0], [-1, 4, 5, 4, -1], [0, -1, 0, -1, 0], [0, 0, 0.5, 0, 0]],
        [[0, 0, -1, 0, 0], [0, -1, 4, -1, 0], [0.5, 0, 5, 0, 0.5], [0, -1, 4, -1, 0], [0, 0, -1, 0, 0]],
        [[0, 0, -1.5, 0, 0], [0, 2, 0, 2, 0], [-1.5, 0, 6, 0, -1.5], [0, 2, 0, 2, 0], [0, 0, -1.5, 0, 0]],
    ]
)


def _demosaiced(mosaic: Tensor, down: int, right: int) -> Tensor:
    """Return (3, H, W) from (H, W), whose mosaic begins ``down`` rows and ``right`` columns into its pattern."""
    padded = F.pad(mosaic[None, None], (2, 2, 2, 2), mode="reflect")
    green, row, column, other = F.conv2d(padded, _FILTERS[:, None].to(mosaic) / 8)[0]
    colours = torch.empty(3, *mosaic.shape, dtype=mosaic.dtype, device=mosaic.device)
    by_place = {
        (0, 0): (mosaic, green, other),
        (0, 1): (row, mosaic, column),
        (1, 0): (column, mosaic, row),
        (1, 1): (other, green, mosaic),
    }
    for (y, x), values in by_place.items():
        rows, columns = slice((y - down) % 2, None, 2), slice((x - right) % 2, None, 2)
        for channel, value in enumerate(values):
            colours[channel, rows, columns] = value[rows, columns]
    return colours


def camera_strength(generator: Generator, strongest: float = 0.012) -> tuple[float, float]:
    """Draw the shot and the read noise of a camera, on a line with some scatter: see `train_denoise`."""
    log_shot = uniform(math.log(1e-4), math.log(strongest), generator)
    log_read = 2.18 * log_shot + 1.2 + 0.26 * torch.randn((), generator=generator, device=generator.device).item()
    return math.exp(log_shot), math.exp(log_read)


def train_denoise(clean: Tensor, generator: Generator) -> Tensor:
    """Three crops in five get Gaussian noise of any strength up to 55 of 255, the others a camera's.

    Half of a camera's noise falls under its mosaic (`add_sensor_noise`), and a third of that is compressed afterwards,
    as cameras do, to JPEG of quality 75 to 95. The other half is white or soft, of one colour or of all, as cameras
    that smooth leave it: on PolyU's photographs neighbours were measured to correlate by 0.4 to 0.8 (softness 0.5 to
    1.1) and channels by 0.5 to 0.9. It is noise of the light, seen through the camera's curves, which make it largest
    at middle intensities: on PolyU, of its mean, 0.7 at black, 1.1 at middle and 0.5 at white, here 0.6, 1.2 and 0.4
    (benchmarks/camera_noise.py).

    Gaussian strengths: Zhang, Zuo, Chen, Meng and Zhang ("DnCNN"), IEEE Transactions on Image Processing
    26(7), 2017. Camera strengths: the sensor statistics of Brooks et al., "Unprocessing Images for Learned
    Raw Denoising", CVPR 2019, where read noise follows shot noise on a logarithmic line with some scatter.
    """
    if uniform(0, 1, generator) < 0.6:
        return add_gaussian_noise(clean, generator, sigma=uniform(0, 55 / 255, generator))
    shot, read = camera_strength(generator)
    if uniform(0, 1, generator) < 0.5:
        softness, shared = uniform(0, 1.1, generator), uniform(0, 0.9, generator)
        light = light_of(clean, contrast=True)
        noisy = add_camera_noise(light, generator, shot=shot, read=read, softness=softness, shared=shared)
        return picture_of(noisy, contrast=True)
    red, blue = uniform(1.2, 2.4, generator), uniform(1.2, 2.4, generator)
    noisy = add_sensor_noise(clean, generator, shot=shot, read=read, red=red, blue=blue)
    if len(clean) in (1, 3) and uniform(0, 1, generator) < 1 / 3:  # what JPEG holds
        subsampling = "4:4:4" if uniform(0, 1, generator) < 0.5 else "4:2:0"
        return compress_jpeg(noisy, quality=round(uniform(75, 95, generator)), subsampling=subsampling)
    return noisy


def test_denoise(clean: Tensor, generator: Generator) -> Tensor:
    """Gaussian noise of standard deviation 25 of 255."""
    return add_gaussian_noise(clean, generator, sigma=25 / 255)
