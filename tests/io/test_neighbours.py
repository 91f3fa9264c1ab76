"""Which planes lie around one, along an axis of a stack."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from indi.errors import ImageError
from indi.io.neighbours import ALONE, Neighbours, first_along
from indi.io.stacks import open_stack


class Counted:
    """A stack of which only the counting is known."""

    path = Path("a.tif")

    def __init__(self, axes: str, places: tuple[int, ...]) -> None:
        self.axes, self.places = axes, places
        self.headers = ["alike"] * int(np.prod(places))


def test_planes_past_an_end_are_its_last() -> None:
    stack = Counted("Z", (5,))
    assert Neighbours(2, "Z").of(stack, 2) == (0, 1, 3, 4)  # type: ignore[arg-type]
    assert Neighbours(2, "Z").of(stack, 0) == (0, 0, 1, 2)  # type: ignore[arg-type]
    assert Neighbours(2, "Z").of(stack, 4) == (2, 3, 4, 4)  # type: ignore[arg-type]
    assert ALONE.of(Counted("I", (5,)), 3) == ()  # type: ignore[arg-type]


@given(st.tuples(*[st.integers(1, 4)] * 3), st.sampled_from("TZC"), st.integers(1, 3), st.data())
def test_they_differ_in_their_axis_alone(places: tuple[int, ...], axis: str, count: int, data: st.DataObject) -> None:
    stack = Counted("TZC", places)
    number = data.draw(st.integers(0, int(np.prod(places)) - 1))
    own = np.array(np.unravel_index(number, places))
    which = "TZC".index(axis)
    found = Neighbours(count, axis).of(stack, number)  # type: ignore[arg-type]
    offsets = [*range(-count, 0), *range(1, count + 1)]
    for other, by in zip(found, offsets, strict=True):
        place = np.array(np.unravel_index(other, places))
        assert place[which] == np.clip(own[which] + by, 0, places[which] - 1)
        assert (np.delete(place, which) == np.delete(own, which)).all()
    first = np.array(np.unravel_index(first_along(stack, number, axis), places))  # type: ignore[arg-type]
    assert first[which] == 0
    assert (np.delete(first, which) == np.delete(own, which)).all()


def test_axes_that_are_given_count(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((4, 16, 16), np.uint8), photometric="minisblack")
    with open_stack(path) as stack, pytest.raises(ImageError, match=r"a\.tif: no axis Z: .*by axes ZYX"):
        Neighbours(1, "Z").of(stack, 0)
    with open_stack(path, axes="ZYX") as stack:
        assert Neighbours(1, "Z").of(stack, 3) == (2, 3)
        with pytest.raises(ImageError, match="no axis T: its axes are Z"):
            Neighbours(1, "T").of(stack, 0)


def test_channels_that_are_pictures_have_neighbours_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, np.zeros((3, 2, 16, 16), np.uint8), metadata={"axes": "ZCYX"})
    with open_stack(path) as stack:  # of a gray model: each plane of each channel
        assert Neighbours(1, "Z").of(stack, 2) == (0, 4)
    with open_stack(path, channels=2) as stack:  # both channels are one picture
        assert Neighbours(1, "Z").of(stack, 1) == (0, 2)


@pytest.mark.parametrize("axes", ["TZYX", "ZCYX", "CZYX"])
def test_several_axes_that_are_given_count_where_the_file_counts_alike(tmp_path: Path, axes: str) -> None:
    data = np.zeros((2, 3, 16, 16), np.uint8)
    tifffile.imwrite(tmp_path / "knows.ome.tif", data, metadata={"axes": axes})
    tifffile.imwrite(tmp_path / "plain.tif", data, photometric="minisblack")
    with open_stack(tmp_path / "knows.ome.tif", axes=axes) as stack:
        assert (stack.axes, stack.places) == (axes[:2], (2, 3))
    with open_stack(tmp_path / "plain.tif", axes=axes) as stack, pytest.raises(ImageError, match="no axis Z"):
        Neighbours(1, "Z").of(stack, 0)


def test_of_several_axes_beside_channels_only_the_product_is_known(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((12, 16, 16), np.uint8), photometric="minisblack")
    with (
        open_stack(tmp_path / "a.tif", axes="CTZYX", channels=2) as stack,
        pytest.raises(ImageError, match="no axis Z: it does not say"),
    ):
        Neighbours(1, "Z").of(stack, 0)


def test_planes_of_another_size_are_no_neighbours(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for rows in (24, 20, 24):
            file.write(np.zeros((rows, 24), np.uint8), contiguous=False)
    with (
        open_stack(tmp_path / "a.tif", axes="ZYX") as stack,
        pytest.raises(ImageError, match=r"a\.tif: picture 2 has another size or type than picture 1"),
    ):
        Neighbours(1, "Z").of(stack, 0)
