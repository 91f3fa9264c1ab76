"""What the pictures of a TIFF file are counted by, from the descriptions of OME, ImageJ and others, by tifffile."""

import math
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from indi.io.image import MAX_PLANES

Counting = tuple[str, tuple[int, ...], Sequence[int]]
"""Axes, slowest first; how many pictures along each; and of each picture, so counted, how many lie before it."""


def counted(decoder: Any, places: Sequence[int], *, contiguous: bool) -> Counting:
    """Return what the pictures are counted by; I, as they lie in the file, where nothing says so.

    Args:
        decoder: tifffile's, open.
        places: Where among all directories that of each picture is.
        contiguous: Whether the pictures lie behind one directory.
    """
    count = len(places)
    with suppress(Exception):  # whatever is wrong with a description, the pictures are there
        series = _series(decoder)
        sizes = {letter: size for letter, size in zip(series.axes, series.shape, strict=True) if letter not in "YXS"}
        if len(sizes) == sum(letter not in "YXS" for letter in series.axes) and math.prod(sizes.values()) == count:
            index = {place: index for index, place in enumerate(places)}
            order = range(count) if contiguous else [index[series[one].index] for one in range(count)]
            if len({*order}) == count:
                return "".join(sizes), tuple(sizes.values()), order
    return uncounted(count)


def uncounted(count: int) -> Counting:
    """Return pictures as they lie in the file."""
    return "I", (count,), range(count)


def _series(decoder: Any) -> Any:
    """Return what tifffile takes for the first series; it lists each picture that Micro-Manager claims."""
    if decoder.is_mmstack:
        notes = decoder.micromanager_metadata
        claims = [notes["Summary"].get(name, 1) for name in ("Channels", "Slices", "Positions", "Frames")]
        found = (notes["IndexMap"][:, :4].max(axis=0).astype(int) + 1).tolist()
        if max(math.prod(map(int, claims)), math.prod(found), *found) > MAX_PLANES:
            raise ValueError("claims too many pictures")
    return decoder.series[0]
