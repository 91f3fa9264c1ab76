"""Levels of lower resolution: closed forms, odd sizes, and block by block as at once."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indi.io.formats.pyramid import are_blocks, blocks, fill_level


class Chunked(np.ndarray[Any, Any]):
    """An array in files of chunks or shards, as those of zarr are; it notes what is written."""

    chunks: tuple[int, ...]
    shards: tuple[int, ...] | None = None
    written: list[Any]

    def __setitem__(self, part: Any, values: Any) -> None:
        self.written.append(part)
        super().__setitem__(part, values)


def filled(fine: Any, shape: tuple[int, ...], factors: tuple[int, ...], sides: tuple[int, ...] | None = None) -> Any:
    coarse = np.zeros(shape, fine.dtype).view(Chunked)
    coarse.chunks, coarse.written = sides or shape, []
    assert are_blocks(shape, fine.shape, factors)
    fill_level(coarse, fine, factors)
    files = [
        tuple(part.start // side for part, side in zip(each, coarse.chunks, strict=True)) for each in coarse.written
    ]
    assert (
        len(files) == len(set(files)) == np.prod([-(-n // side) for n, side in zip(shape, coarse.chunks, strict=True)])
    )
    return np.asarray(coarse)


def test_a_level_is_the_mean_over_blocks() -> None:
    fine = np.arange(2 * 4 * 6, dtype=np.float32).reshape(2, 4, 6)
    by_two = filled(fine, (2, 2, 3), (1, 2, 2))
    np.testing.assert_array_equal(by_two, fine[:, ::2, ::2] + 3.5)  # half a column and half a row of 6 further on
    np.testing.assert_array_equal(filled(fine, (1, 2, 3), (2, 2, 2)), by_two.mean(axis=0, keepdims=True))  # depth too
    np.testing.assert_array_equal(filled(fine, (2, 4, 6), (1, 1, 1)), fine)


@pytest.mark.parametrize(
    ("length", "factor", "wanted"), [(3, 2, [0.5, 2.5, 4.0]), (2, 2, [0.5, 2.5]), (2, 4, [1.5, 4.0]), (1, 5, [2.0])]
)
def test_an_odd_edge_is_repeated_or_left_out(length: int, factor: int, wanted: list[float]) -> None:
    ramp = np.broadcast_to(np.arange(5, dtype=np.float32), (2, 5))
    np.testing.assert_array_equal(filled(ramp, (2, length), (1, factor)), [wanted, wanted])


def test_a_part_of_the_image_is_no_level_of_it() -> None:
    assert are_blocks((50, 34), (100, 67), (2, 2))
    assert are_blocks((50, 33), (100, 67), (2, 2))
    assert not are_blocks((67, 67), (100, 100), (1, 1))
    assert not are_blocks((50, 32), (100, 67), (2, 2))
    assert not are_blocks((5,), (5,), (0,))


def test_whole_numbers_are_rounded_and_keep_their_range() -> None:
    full = np.full((4, 4), 65535, np.uint16)
    assert (filled(full, (2, 2), (2, 2)) == 65535).all()
    assert filled(np.array([[0, 0], [0, 3]], np.uint8), (1, 1), (2, 2)) == 1  # 0.75


SIZES = st.integers(1, 9)


@pytest.mark.medium
@given(st.tuples(SIZES, SIZES, SIZES), st.tuples(*[st.integers(1, 3)] * 3), st.tuples(*[st.integers(1, 4)] * 3))
def test_file_by_file_it_is_what_it_is_at_once(
    shape: tuple[int, ...], factors: tuple[int, ...], sides: tuple[int, ...]
) -> None:
    fine = np.random.default_rng(0).random(shape).astype(np.float32)
    coarse = tuple(-(-n // f) for n, f in zip(shape, factors, strict=True))
    level = filled(fine, coarse, factors, sides)
    np.testing.assert_array_equal(level, filled(fine, coarse, factors))
    assert fine.min() <= level.min()
    assert level.max() <= fine.max()


def test_parts_lie_on_their_grid() -> None:
    assert list(blocks((3, 5), (2, 4))) == [
        *[
            (slice(0, 2), slice(0, 4)),
            (slice(0, 2), slice(4, 5)),
            (slice(2, 3), slice(0, 4)),
            (slice(2, 3), slice(4, 5)),
        ]
    ]
