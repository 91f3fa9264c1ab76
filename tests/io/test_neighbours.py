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
    with open_stack(path) as stack, pytest.raises(ImageError, match=r"a\.tif: no axis Z: .*axes, such as ZYX"):
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
