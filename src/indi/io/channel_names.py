"""What the channels of a picture are called, where a microscope's file says so."""

from pathlib import Path

import numpy as np

from indi.errors import IndiError
from indi.io.formats.registry import notes
from indi.io.stacks import open_stack


def channel_names(
    path: Path, picture: int | None = None, *, channels: int = 1, axes: str | None = None, apart: bool = False
) -> list[str]:
    """Return what a file calls the channels of one of its pictures; nothing where it names none, or others.

    Args:
        path: The file.
        picture: Which of its pictures, from 0, where it is a stack.
        channels: Of the model; see ``stacks.open_stack``.
        axes: Of the stack; see there.
        apart: Whether channels are pictures of their own; see there.
    """
    names: list[str] = notes(path).get("channel_names", [])
    if not names:
        return []
    try:
        with open_stack(path, channels=channels, axes=axes, apart=apart) as stack:
            in_picture = stack.headers[picture or 0].channels
            along = dict(zip(stack.axes, stack.places, strict=True))
            if in_picture == 1 < len(names) == along.get("C") and axes is None:
                return [names[np.unravel_index(picture or 0, stack.places)[stack.axes.index("C")]]]
    except IndiError:  # others say what is wrong with the file
        return []
    return names if in_picture == len(names) else []
