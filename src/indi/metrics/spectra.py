"""Metrics of Fourier spectra: how much there is at each spatial frequency, and up to which it is right.

Sources:
    Spectrum gap: Durall, Keuper and Keuper, "Watch your Up-Convolution", CVPR 2020, for the idea to compare
    azimuthally averaged power spectra of generated and real images.
    Fourier ring correlation: Saxton and Baumeister, Journal of Microscopy 127, 1982. Its limit of 1/2 against a clean
    image: Rosenthal and Henderson, Journal of Molecular Biology 333, 2003, where a correlation of 0.143 between two
    noisy halves is one of 1/2 with the truth.
"""

import math

import torch
from torch import Tensor

from indi.metrics.checks import checked, undefined

SIDE, RINGS = 32, 32  # least side in px; rings of equal width from 0 to Nyquist, 0.5 cycles/px
FRC_LIMIT = 0.5


def spectrum(restored: Tensor, clean: Tensor, *, data_range: float = 1.0) -> Tensor:
    """Return the gap between the radial power spectra in dB, 0 for equal ones; NaN where a side is under 32 px.

    The power of the Hann-windowed Fourier transform, summed over channels, is averaged over rings of radial
    frequency: 32 of equal width up to 0.5 cycles/px, without the lowest, which holds the mean. The gap is the
    mean over rings of |10 log10(restored / clean)|. Both powers get that of rounding to 8 bit on top, so that
    rings with nothing in them, whose ratio would be noise over noise, count little.

    Blur and noise both widen the gap, whereas texture that is right in kind but elsewhere does not. Phase does
    not count at all, so the gap alone says little about likeness.

    Raises:
        ShapeError: the tensors are not two (B, C, H, W) float tensors of one shape.
        ConfigError: ``data_range`` is not positive.
    """
    restored, clean = checked(restored, clean, data_range)
    channels, *sides = restored.shape[1:]
    if min(sides) < SIDE:
        return undefined(restored)
    rings = _Rings(*sides)
    # White noise of variance v has the power v times the sum of squares of the window at every frequency.
    rounding = channels * float(rings.window.square().sum()) * data_range**2 / (12 * 255**2)
    gaps = []
    for pair in zip(restored, clean, strict=True):
        levels = [10 * torch.log10(rings.product(spectra, spectra) + rounding) for spectra in map(rings.spectra, pair)]
        gaps.append(float((levels[0] - levels[1]).abs().mean()))
    return torch.tensor(gaps, dtype=torch.float64)


def frc(restored: Tensor, clean: Tensor, *, data_range: float = 1.0) -> Tensor:
    """Return up to which share of the Nyquist frequency restored and clean agree; NaN where a side is under 32 px.

    Higher is better, 1 where they agree throughout: it is the resolution of an image as microscopists give it. The
    Fourier ring correlation is the normalised product of both transforms over a ring of radial frequency, of the rings
    of ``spectrum``; the answer is where it first falls to 1/2, straight between the middles of rings. The lowest ring,
    which holds the mean, counts as right.

    Brightness and contrast do not count, not even that of a single frequency: a blurred image has lost nothing until
    noise or rounding covers it. Neither does what lies beyond the first fall. Images with a value that is NaN or
    infinite give NaN.

    Raises:
        ShapeError: the tensors are not two (B, C, H, W) float tensors of one shape.
        ConfigError: ``data_range`` is not positive.
    """
    restored, clean = checked(restored, clean, data_range)
    sides = restored.shape[2:]
    if min(sides) < SIDE:
        return undefined(restored)
    rings = _Rings(*sides)
    return torch.tensor([_limit(rings, *images) for images in zip(restored, clean, strict=True)], dtype=torch.float64)


def _limit(rings: "_Rings", restored: Tensor, clean: Tensor) -> float:
    ours, theirs = rings.spectra(restored), rings.spectra(clean)
    powers = rings.product(ours, ours) * rings.product(theirs, theirs)
    largest = max(float(image.abs().max()) for image in (restored, clean))
    nothing = (1e-12 * largest) ** 2 * rings.window.square().sum()  # below what rounding leaves of it in a ring
    equal = rings.product(ours - theirs, ours - theirs) <= nothing  # also where neither holds anything
    tiny = torch.finfo(torch.float64).tiny
    correlation = torch.where(equal, 1.0, rings.product(ours, theirs) / powers.sqrt().clamp(min=tiny))
    middles = [0.0, *((rings.numbers + 0.5) / RINGS).tolist()]
    values = [1.0, *correlation.tolist()]
    for low, high, before, after in zip(middles, middles[1:], values, values[1:], strict=False):
        if math.isnan(after):
            return math.nan
        if after < FRC_LIMIT:
            return float(low + (high - low) * (before - FRC_LIMIT) / (before - after))
    return 1.0


class _Rings:
    """The rings of radial frequency of a (height, width) image, without the lowest and the corners."""

    def __init__(self, height: int, width: int) -> None:
        rows, columns = torch.fft.fftfreq(height).double(), torch.fft.rfftfreq(width).double()
        ring = (torch.hypot(rows[:, None], columns) * (2 * RINGS)).long()
        # rfft2 leaves out the mirror images of all columns but the first and, of an even width, the last.
        weight = torch.full((height, len(columns)), 2.0, dtype=torch.float64)
        weight[:, 0] = 1
        if width % 2 == 0:
            weight[:, -1] = 1
        weight[(ring < 1) | (ring >= RINGS)] = 0
        self.window = torch.outer(*(torch.hann_window(side, dtype=torch.float64) for side in (height, width)))
        self._ring, self._weight = ring.clamp(max=RINGS).flatten(), weight.flatten()
        self._total = torch.bincount(self._ring, self._weight)
        self.numbers = self._total.nonzero()[:, 0]  # of the rings that hold a frequency

    def spectra(self, image: Tensor) -> Tensor:
        """Return the transforms of the windowed channels of (C, H, W), without their means."""
        image = image.double()  # in less, what rounding leaves of a flat image would count as content
        centred = image - image.mean(dim=(-2, -1), keepdim=True)
        spectra: Tensor = torch.fft.rfft2(centred * self.window)
        return spectra

    def product(self, one: Tensor, other: Tensor) -> Tensor:
        """Return the mean over each ring of the product of two images' transforms, summed over channels."""
        product = (one * other.conj()).real.sum(dim=0, dtype=torch.float64).flatten()
        means: Tensor = (torch.bincount(self._ring, product * self._weight) / self._total)[self.numbers]
        return means
