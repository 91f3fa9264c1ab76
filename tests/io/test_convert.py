import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from indi.errors import ImageError
from indi.io import fit_channels, from_unit, to_unit


@pytest.mark.parametrize(("dtype", "top"), [(np.uint8, 255), (np.uint16, 65535)])
def test_every_integer_comes_back(dtype: npt.DTypeLike, top: int) -> None:
    values = np.arange(top + 1, dtype=dtype).reshape(16, -1)
    unit = to_unit(values)
    assert unit.dtype == np.float32
    assert (unit.min(), unit.max()) == (0, 1)
    back = from_unit(unit, dtype)
    assert back.dtype == values.dtype
    np.testing.assert_array_equal(back, values)


def test_bit_depth_is_not_guessed_from_the_maximum() -> None:
    assert to_unit(np.array([[255]], np.uint16))[0, 0] == np.float32(255 / 65535)


def test_rounding_goes_to_the_nearest_and_clips() -> None:
    values = np.array([-1, 0.49 / 255, 0.51 / 255, 254.49 / 255, 254.51 / 255, 3], np.float64)
    np.testing.assert_array_equal(from_unit(values, np.uint8), [0, 0, 1, 254, 255, 255])


@given(arrays(np.float32, 20, elements=st.floats(-0.5, 1.5, width=32)), st.sampled_from([255, 65535]))
def test_an_integer_is_never_half_a_step_off(values: npt.NDArray[np.float32], top: int) -> None:
    stored = from_unit(values, np.uint8 if top == 255 else np.uint16)
    exact = np.clip(values.astype(np.float64), 0, 1) * top
    assert np.abs(stored - exact).max() <= 0.5 + 0.01  # float32 has 2**-24 of 65535, under 0.01


def test_half_precision_reaches_the_top_of_16_bit() -> None:
    assert from_unit(np.ones(1, np.float16), np.uint16)[0] == 65535


def test_floats_pass_unclipped() -> None:
    values = np.array([-2, 0.3, 7], np.float32)
    np.testing.assert_array_equal(to_unit(values), values)
    np.testing.assert_array_equal(from_unit(values, np.float32), values)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_counted_and_refused(bad: float) -> None:
    values = np.zeros((3, 4), np.float32)
    values[0, :2] = bad
    for convert in (lambda: to_unit(values), lambda: from_unit(values, np.uint8)):
        with pytest.raises(ImageError, match="2 of 12 pixel values"):
            convert()


def test_other_types_are_refused() -> None:
    with pytest.raises(ImageError, match="int32"):
        to_unit(np.zeros((2, 2), np.int32))
    with pytest.raises(ImageError, match="int16"):
        from_unit(np.zeros(2, np.float32), np.int16)


def test_gray_becomes_colour_and_colour_without_colour_becomes_gray() -> None:
    gray = np.arange(6, dtype=np.uint16).reshape(2, 3)
    colour = fit_channels(gray, 3, what="a.png")
    assert colour.shape == (2, 3, 3)
    for channel in range(3):
        np.testing.assert_array_equal(colour[..., channel], gray)
    np.testing.assert_array_equal(fit_channels(colour, 1, what="a.png"), gray)


def test_channels_that_fit_are_not_touched() -> None:
    pixels = np.zeros((2, 3, 5), np.uint8)
    assert fit_channels(pixels, 5, what="a.png") is pixels


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_colour_is_not_thrown_away(channel: int) -> None:
    colour = np.full((2, 2, 3), 9, np.uint8)
    colour[1, 1, channel] += 1
    with pytest.raises(ImageError, match=r"a\.png: it is in colour"):
        fit_channels(colour, 1, what="a.png")


@pytest.mark.parametrize(("found", "wanted"), [(1, 5), (5, 1), (3, 4), (4, 3)])
def test_no_other_conversion_is_made(found: int, wanted: int) -> None:
    pixels = np.zeros((2, 2) if found == 1 else (2, 2, found), np.uint8)
    with pytest.raises(ImageError, match=rf"a\.png: channels do not fit: it has {found}, {wanted} needed"):
        fit_channels(pixels, wanted, what="a.png")
