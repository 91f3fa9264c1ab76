"""Levels of lower resolution: closed forms, odd sizes, and rows at a time as at once."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indi.images.levels import fill_level


class Chunked(np.ndarray[Any, Any]):
    """An array with chunks of so many rows, as those of zarr have."""

    rows = 2

    @property
    def chunks(self) -> tuple[int, ...]:
        return (1,) * (self.ndim - 2) + (self.rows, self.shape[-1])


def filled(fine: Any, shape: tuple[int, ...], rows: int = 2) -> Any:
    coarse = np.zeros(shape, fine.dtype).view(Chunked)
    coarse.rows = rows
    fill_level(coarse, fine)
    return np.asarray(coarse)


def test_a_level_is_the_mean_over_blocks() -> None:
    fine = np.arange(2 * 4 * 6, dtype=np.float32).reshape(2, 4, 6)
    by_two = filled(fine, (2, 2, 3))
    np.testing.assert_array_equal(by_two, fine[:, ::2, ::2] + 3.5)  # half a column and half a row of 6 further on
    np.testing.assert_array_equal(filled(fine, (1, 2, 3)), by_two.mean(axis=0, keepdims=True))  # depth too
    np.testing.assert_array_equal(filled(fine, (2, 4, 6)), fine)


@pytest.mark.parametrize(
    ("length", "wanted"),
    [(4, [0.0, 1.0, 2.0, 3.0]), (3, [0.5, 2.5, 4.0]), (2, [0.5, 2.5]), (1, [2.0])],  # by 1, 2, 2 and 5
)
def test_an_odd_edge_is_repeated_or_left_out(length: int, wanted: list[float]) -> None:
    ramp = np.broadcast_to(np.arange(5, dtype=np.float32), (2, 5))
    np.testing.assert_array_equal(filled(ramp, (2, length)), [wanted, wanted])


def test_whole_numbers_are_rounded_and_keep_their_range() -> None:
    full = np.full((4, 4), 65535, np.uint16)
    assert (filled(full, (2, 2)) == 65535).all()
    assert filled(np.array([[0, 0], [0, 3]], np.uint8), (1, 1)) == 1  # 0.75


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 3), st.integers(1, 4))
def test_by_bands_it_is_what_it_is_at_once(height: int, width: int, factor: int, rows: int) -> None:
    fine = np.random.default_rng(0).random((2, height, width)).astype(np.float32)
    shape = (2, -(-height // factor), -(-width // factor))
    level = filled(fine, shape, rows)
    np.testing.assert_array_equal(level, filled(fine, shape, rows=100))
    assert fine.min() <= level.min()
    assert level.max() <= fine.max()
