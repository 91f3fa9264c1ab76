"""What is odd about folders and stacks, and is said before training: what is passed over, and sides that differ."""

from collections.abc import Iterable
from pathlib import Path

from indi import io as images
from indi.data.loading import Pair
from indi.errors import IndiError
from indi.io.stacks import open_stack


def passed_over(folder: Path) -> list[Path]:
    """Return what of a folder is not read, and would be missed later; hidden files and folders are not meant."""
    return sorted(path for path in folder.iterdir() if kind_of(path))


def kind_of(path: Path) -> str:
    """Return what to call a file that is passed over; nothing where it is an image, hidden or a folder."""
    if path.name.startswith(".") or path.is_dir():
        return ""
    if not path.exists():
        return "link to nowhere"
    suffix = path.suffix.lower()
    return "" if suffix in images.READABLE_SUFFIXES else suffix or "file without suffix"


def stack_warnings(pairs: Iterable[Pair]) -> list[str]:
    """Say where the two stacks of a pair do not count the same: by other axes, or by channels in another order."""
    found = []
    for clean, degraded in dict.fromkeys(pair.files for pair in pairs if pair.picture is not None and pair.degraded):
        ours, theirs = _axes(clean), _axes(degraded)
        if ours != theirs and "I" not in ours + theirs:
            found.append(f"{clean} counts its pictures by {ours}, {degraded} by {theirs}; check the axes of both")
            continue
        ours_named, theirs_named = _channels(clean), _channels(degraded)
        if ours_named != theirs_named and sorted(ours_named) == sorted(theirs_named):
            said = f"{', '.join(ours_named)} and {', '.join(theirs_named)}"
            found.append(f"{clean} and {degraded} have their channels in different order: {said}; bring them into one")
    return found


def _axes(file: Path) -> str:
    """Return what the pictures of a stack are counted by where there are several; I where nothing says so."""
    try:
        with open_stack(file) as stack:
            return "".join(axis for axis, count in zip(stack.axes, stack.places, strict=True) if count > 1)
    except IndiError:
        return "I"


def _channels(file: Path) -> list[str]:
    """Return the names of a stack's channels, as its microscope noted them; none where it did not."""
    names: list[str] = images.notes(file).get("channel_names", [])
    return names
