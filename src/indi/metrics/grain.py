"""A metric that grain cannot fool: whether the fine structure of a restored image stands where the clean one has some.

Detail stands where detail is, grain stands everywhere. Metrics that compare how much fine structure there is, wherever
it lies, take one for the other: noise of the right strength on a blurred image narrows ``swd`` and the spectrum gap.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from indi.metrics.checks import checked, undefined
from indi.metrics.texture import bands

GRAIN_SIDE, GRAIN_WINDOW = 32, 7  # px: the least side; the window, on each level
GRAIN_TOLERANCE = 2.0  # times the clean energy: what detail that is off by a pixel or two stays below


def grain(restored: Tensor, clean: Tensor, *, data_range: float = 1.0) -> Tensor:
    """Return the share of local fine structure beyond the clean image's, 0 to 1; NaN where a side is under 32 px.

    Lower is better, 0 where nowhere is too much. On each of the three band-pass levels of the pyramid of ``swd`` the
    energy (the mean square, summed over channels) of both images is taken in 7 x 7 windows, one around each pixel. Of
    the restored energy, what exceeds twice the clean energy is the excess; its share, 0 where there is none, is
    averaged over all windows. The answer is that of the worst level, so that fine and coarse grain count alike. The
    share is of the restored energy and that of rounding to 8 bit, so that less than rounding counts little.

    It looks one way: what is missing is not its business. A blurred image is near 0, as is one whose detail is off by
    a pixel or a little too strong. Nor does it ask what detail looks like: grain passes on texture that is as strong,
    and a clean image that is grainy itself excuses as much grain. More noise does not make an image better, but for
    the chance by which noise cancels what it meets.

    Raises:
        ShapeError: the tensors are not two (B, C, H, W) float tensors of one shape.
        ConfigError: ``data_range`` is not positive.
    """
    restored, clean = checked(restored, clean, data_range)
    if min(restored.shape[-2:]) < GRAIN_SIDE:
        return undefined(restored)
    rounding = restored.shape[1] / (12 * 255**2)
    values = undefined(restored)
    for index, images in enumerate(zip(restored.float(), clean.float(), strict=True)):
        levels = zip(*(bands(image / data_range) for image in images), strict=True)
        shares = [_share(_energies(ours), _energies(theirs), rounding) for ours, theirs in levels]
        values[index] = torch.stack(shares).amax()  # unlike max, it keeps a NaN
    return values


def _energies(band: Tensor) -> Tensor:
    """Return the energy around each pixel of a (1, C, H, W) band: (1, H, W); at the edges of what the window has."""
    squares = band.square().sum(dim=1)
    reach = GRAIN_WINDOW // 2
    return F.avg_pool2d(squares, GRAIN_WINDOW, stride=1, padding=reach, count_include_pad=False)


def _share(restored: Tensor, clean: Tensor, rounding: float) -> Tensor:
    """Return the mean over windows of the share of restored energy that is excess."""
    excess = (restored - GRAIN_TOLERANCE * clean).clamp(min=0)
    return (excess / (restored + rounding)).mean(dtype=torch.float64)
