import numpy as np
import numpy.typing as npt
import pytest

from indi.errors import ImageError
from indi.io import Image, Metadata, Resolution


def test_channels_do_not_count_alpha() -> None:
    gray, alpha = np.zeros((2, 3), np.uint8), np.ones((2, 3), np.uint8)
    assert Image(gray, alpha).channels == 1
    assert Image(np.zeros((2, 3, 5), np.uint8), alpha).channels == 5


@pytest.mark.parametrize("shape", [(3,), (2, 3, 1), (2, 3, 65), (0, 3), (2, 0, 3), (2, 2, 2, 2)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageError, match="shape"):
        Image(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int16, np.uint32, np.bool_])
def test_other_types_are_refused(dtype: type) -> None:
    with pytest.raises(ImageError, match=np.dtype(dtype).name):
        Image(np.zeros((2, 2), dtype))


@pytest.mark.parametrize("alpha", [np.zeros((3, 2), np.uint8), np.zeros((2, 3), np.uint16)])
def test_alpha_must_match(alpha: npt.NDArray[np.generic]) -> None:
    with pytest.raises(ImageError, match="alpha"):
        Image(np.zeros((2, 3), np.uint8), alpha)


@pytest.mark.parametrize(("space", "channels", "fits"), [(b"GRAY", 1, True), (b"GRAY", 3, False), (b"RGB ", 1, False)])
def test_a_profile_of_another_kind_does_not_fit(space: bytes, channels: int, fits: bool) -> None:
    profile = bytes(16) + space + bytes(108)
    image = Image(np.zeros((2, 2) if channels == 1 else (2, 2, 3), np.uint8), None, Metadata(icc=profile))
    assert image.fitting_icc == (profile if fits else None)


def test_resolution_changes_units() -> None:
    assert Resolution(300, 150, "inch").per("metre") == pytest.approx((11811.02, 5905.51), abs=0.01)
    assert Resolution(10, 20, "cm").per("metre") == (1000, 2000)
    assert Resolution(2, 1, "aspect").per("cm") is None
    assert Resolution(2, 1, "aspect").per("aspect") == (2, 1)
