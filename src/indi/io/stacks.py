"""Files of many pictures, or of one too large for memory, whatever their format."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from indi.errors import ConfigError, ImageError, IndiError
from indi.io.convert import Array
from indi.io.formats.format import ReadRows, Stack
from indi.io.formats.registry import format_of, opened
from indi.io.image import Header, MapScale
from indi.io.region import Region

__all__ = ["ReadRows", "Stack", "is_stack", "open_stack"]


def open_stack(path: Path, *, channels: int = 1, axes: str | None = None, apart: bool = False) -> Stack:
    """Open a file or a folder of many pictures, or of one too large for memory.

    Args:
        path: Where it lies.
        channels: Of the model. Gray pictures along a C axis of that length are one picture of as many channels.
        axes: The axes, such as ZCYX, of the pictures as they lie in the file, where it does not know them or is wrong.
        apart: Each channel is a gray picture of its own, whatever the model has. Colours, which are samples of a pixel
            that the file calls RGB, stay together.

    Raises:
        ConfigError: ``axes`` are none.
        ImageError: It is missing, damaged, cut short, or of a kind that is refused; or the axes do not fit it.
        MissingExtraError: Its format needs a package that cannot be imported.
    """
    format_ = format_of(path)
    if format_.open_stack is None:
        raise ImageError(f"{path}: {format_.name} files hold no stacks; save it as TIFF")
    stack = format_.open_stack(path, axes is None)
    try:
        along = _places(stack, axes, channels)
        if axes is not None:
            letters = axes.upper().removesuffix("YX")
            stack.axes, stack.places = _counted(format_.open_stack, path, letters, len(stack.headers))
        if apart:
            return ChannelsApart(stack) if any(header.apart for header in stack.headers) else stack
        in_channels = channels > 1 and stack.headers[0].channels == 1 and along.get("C") == channels
        return ChannelsTogether(stack, along) if in_channels else stack
    except BaseException:
        stack.close()
        raise


def _places(stack: Stack, axes: str | None, channels: int) -> dict[str, int]:
    """Return how many pictures there are along each axis, slowest first."""
    if axes is None:
        return dict(zip(stack.axes, stack.places, strict=True))
    letters = axes.upper()
    leading = letters.removesuffix("YX")
    if leading in ("", letters) or len(set(letters)) < len(letters) or not letters.isalpha():
        raise ConfigError(f"axes are {axes!r}; give different letters that end in YX, such as ZCYX")
    count = len(stack.headers)
    if "C" not in leading or len(leading) == 1:
        return {leading: count}
    if leading[0] != "C" and leading[-1] != "C":
        raise ConfigError(f"axes are {axes!r}; where they are given, C must come first or right before YX")
    if count % channels:
        raise ImageError(f"{stack.path}: {count} pictures are no whole number of {channels} channels; check the axes")
    rest = {leading.replace("C", ""): count // channels}
    return {"C": channels, **rest} if leading[0] == "C" else {**rest, "C": channels}


def _counted(
    opening: Callable[[Path, bool], Stack], path: Path, letters: str, count: int
) -> tuple[str, tuple[int, ...]]:
    """Return axes that are given, and how many pictures there are along each: of several only the file can know."""
    if len(letters) == 1:
        return letters, (count,)
    with opening(path, True) as stack:
        is_known = len(stack.places) == len(letters) and stack.axes in (letters, "I" * len(letters))
        return (letters, stack.places) if is_known else ("I", (count,))


class ChannelsTogether(Stack):
    """A stack whose channels, which lie in pictures of their own, make one picture each; see ``Stack``."""

    def __init__(self, stack: Stack, along: dict[str, int]) -> None:
        self._stack = stack
        self.path, self.suffixes = stack.path, stack.suffixes
        letters = list(along)
        numbers = np.arange(len(stack.headers)).reshape(list(along.values()))
        self._parts = np.moveaxis(numbers, letters.index("C"), -1).reshape(-1, along["C"])
        rest = {letter: count for letter, count in along.items() if letter != "C"}
        is_known = all(len(letter) == 1 for letter in rest)  # of several that were given only the product is
        self.axes, self.places = "".join(rest) if is_known else "I", tuple(rest.values())
        headers = [[stack.headers[int(part)] for part in parts] for parts in self._parts]
        if any(header != parts[0] for parts in headers for header in parts):
            raise ImageError(f"{stack.path}: channels of one picture differ in size or type; check the axes")
        firsts = [parts[0] for parts in headers]
        self.headers: Sequence[Header] = [replace(header, channels=along["C"], apart=True) for header in firsts]

    def close(self) -> None:
        """Close the file."""
        self._stack.close()

    def pixels(self, number: int, region: Region) -> Array:
        """Return a region of a picture, (height, width, C)."""
        return np.stack([self._stack.pixels(int(part), region) for part in self._parts[number]], axis=-1)

    def write_like(self, path: Path, picture: Callable[[int], ReadRows], scale: MapScale | None = None) -> None:
        """Write the channels of new pictures to where they lie in this stack."""
        place = {int(part): divmod(index, self._parts.shape[1]) for index, part in enumerate(self._parts.ravel())}

        def of_channel(part: int) -> ReadRows:
            number, channel = place[part]
            rows = picture(number)
            return lambda start, stop: np.ascontiguousarray(rows(start, stop)[..., channel])

        self._stack.write_like(path, of_channel, scale)


class ChannelsApart(Stack):
    """A stack of which each channel is a picture of its own, but for those of colours; see ``Stack``."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self.path, self.suffixes = stack.path, stack.suffixes
        self._parts: list[tuple[int, int | None]] = [
            (number, channel)
            for number, header in enumerate(stack.headers)
            for channel in (range(header.channels) if header.apart else [None])
        ]
        whole = stack.headers
        self.headers: Sequence[Header] = [
            whole[number] if channel is None else replace(whole[number], channels=1, apart=False)
            for number, channel in self._parts
        ]
        count = len(self._parts) // len(whole)
        is_even = all(header.apart and header.channels == count for header in whole)
        self.axes, self.places = (f"{stack.axes}C", (*stack.places, count)) if is_even else ("I", (len(self._parts),))

    def close(self) -> None:
        """Close the file."""
        self._stack.close()

    def pixels(self, number: int, region: Region) -> Array:
        """Return a region of a channel, (height, width), or of a picture in colour."""
        picture, channel = self._parts[number]
        values = self._stack.pixels(picture, region)
        return values if channel is None else np.ascontiguousarray(values[..., channel])

    def write_like(self, path: Path, picture: Callable[[int], ReadRows], scale: MapScale | None = None) -> None:
        """Write new channels to the pictures that they are of in this stack."""
        numbers: dict[int, list[int]] = {}
        for number, (whole, _) in enumerate(self._parts):
            numbers.setdefault(whole, []).append(number)

        def of_picture(whole: int) -> ReadRows:
            channels = [picture(number) for number in numbers[whole]]
            if self._parts[numbers[whole][0]][1] is None:
                return channels[0]
            return lambda start, stop: np.stack([rows(start, stop) for rows in channels], axis=-1)

        self._stack.write_like(path, of_picture, scale)


def is_stack(path: Path, in_memory: int) -> bool:
    """Return whether a path holds several pictures, or channels that may be, or one of more values than ``in_memory``.

    What cannot be read holds none: whoever reads it says why.
    """
    try:
        format_ = format_of(path)
        if format_.open_stack is None or format_.headers is None:
            return format_.open_stack is not None
        with opened(path) as file:
            header, *others = format_.headers(file)
        if others or header.apart or header.height * header.width * header.channels <= in_memory:
            return bool(others) or header.apart
        with format_.open_stack(path, True):
            return True
    except IndiError:
        return False
