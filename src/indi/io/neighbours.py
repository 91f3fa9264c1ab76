"""The planes of a stack that lie around one, along an axis of it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from indi.errors import ImageError

if TYPE_CHECKING:  # settings hold neighbours: formats are no part of them
    from indi.io.formats.format import Stack


@dataclass(frozen=True)
class Neighbours:
    """Which planes of a stack a model sees around the one that it restores.

    Attributes:
        count: On each side; 0 for none.
        axis: The letter of the axis along which they lie, such as Z or T.
    """

    count: int = 0
    axis: str = "Z"

    def of(self, stack: "Stack", number: int) -> tuple[int, ...]:
        """Return the numbers of these pictures, 2 ``count``, in their order; at an end of the stack its last again.

        Raises:
            ImageError: The stack has no such axis, or one of them has another size or type.
        """
        if self.count == 0:
            return ()
        places = self.places(*_along(stack, number, self.axis))
        found = tuple(_moved(stack, number, self.axis, place) for place in places)
        for other in found:
            if stack.headers[other] != stack.headers[number]:
                which = f"picture {other + 1} has another size or type than picture {number + 1}"
                raise ImageError(f"{stack.path}: {which}, whose neighbour it is; give a stack of pictures alike")
        return found

    def places(self, place: int, size: int) -> list[int]:
        """Return the places around one of ``size`` along the axis, in their order; past an end the last again."""
        offsets = [*range(-self.count, 0), *range(1, self.count + 1)]
        return [min(max(place + by, 0), size - 1) for by in offsets]


ALONE = Neighbours()


def first_along(stack: "Stack", number: int, axis: str) -> int:
    """Return the first of the pictures that lie along an axis with this one.

    Raises:
        ImageError: The stack has no such axis.
    """
    _along(stack, number, axis)
    return _moved(stack, number, axis, 0)


def _along(stack: "Stack", number: int, axis: str) -> tuple[int, int]:
    """Return which along an axis a picture is, and how many there are."""
    if stack.axes.count(axis) != 1:
        found = f"its axes are {stack.axes}" if stack.axes.strip("IQ") else "it does not say what its pictures are"
        raise ImageError(
            f"{stack.path}: no axis {axis}: {found}; where they lie along {axis} alone, say so by axes {axis}YX, else "
            "save it with its axes"
        )
    which = stack.axes.index(axis)
    return int(np.unravel_index(number, stack.places)[which]), stack.places[which]


def _moved(stack: "Stack", number: int, axis: str, to: int) -> int:
    """Return the picture that lies elsewhere along an axis."""
    place = list(np.unravel_index(number, stack.places))
    place[stack.axes.index(axis)] = np.intp(to)
    return int(np.ravel_multi_index(place, stack.places))
