"""What files and folders are to be worked on, and where the results go."""

import glob
import logging
from collections import Counter
from collections.abc import Container, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from indi.data import few
from indi.data.remarks import kind_of
from indi.errors import ConfigError, ImageError, IndiError
from indi.io import (
    IMAGE_SUFFIXES,
    VOLUME_SUFFIXES,
    WRITABLE_SUFFIXES,
    find_images,
    is_volume,
    name_of_result,
)
from indi.io.manifest import results_in
from indi.restoration.masks import Masks

log = logging.getLogger("indi")

_KINDS = 8  # of files, named in a line, and files of a kind


@dataclass(frozen=True)
class Job:
    """One image to work on: where it is, the file to write (samples add to its name), and where it is to stay as it is.

    A folder that cannot be used is a job too, with the error, so that it is reported among the rest.
    """

    source: Path
    target: Path
    error: IndiError | None = None
    mask: Path | None = None


def plan(
    inputs: Sequence[str | Path], out: str | Path, *, recursive: bool = False, mask: Path | None = None
) -> list[Job]:
    """Return the jobs for files and folders: outputs keep the inputs' names.

    What earlier commands made of files beside it is no input, unless it is named itself.

    Args:
        inputs: Image files; folders whose images are meant; or patterns of such, which shells of Windows leave as they
            are.
        out: A folder; or, with an image suffix and one input file, the file to write. A name with an image suffix is no
            folder unless that folder is there.
        recursive: Take the folders below too, and keep the tree of them.
        mask: Of all images, or a folder of masks with their names; a mask is no input.

    Raises:
        ImageError: There is no such mask.
        ConfigError: Nothing to do, a kind of file that is not written, several inputs would be written to one file, or
            an input is its own mask.
    """
    out = Path(out)
    found: list[tuple[Path, Path]] = []  # inputs, and the folders of their results
    unusable: list[Job] = []
    for item in (path for each in inputs for path in expanded(Path(each))):
        if not item.is_dir() or is_volume(item):
            found.append((item, out))
            continue
        for folder in _tree(item, out) if recursive else [item]:
            try:
                images = _images(folder, recursive=recursive)
            except ImageError as error:
                if folder == item:  # others need not hold any
                    unusable.append(Job(item, out, error))
                continue
            found += [(image, out / folder.relative_to(item)) for image in images]
    if recursive and found:  # the images may all lie in folders below
        unusable = [job for job in unusable if not any(source.is_relative_to(job.source) for source, _ in found)]
    with_mask, found = found, [pair for pair in found if mask is None or pair[0].resolve() != mask.resolve()]
    if mask is not None and with_mask and not found:
        raise ConfigError(_both(mask))
    if not found and not unusable:
        raise ConfigError("no input; give image files or folders")
    masks = None if mask is None else _masks(mask, inputs, recursive)
    if out.suffix.lower() in IMAGE_SUFFIXES - WRITABLE_SUFFIXES and not out.is_dir():  # whoever names one means a file
        raise ConfigError(f"{out}: {out.suffix} files are not written; use {', '.join(sorted(WRITABLE_SUFFIXES))}")
    names_a_file = out.suffix.lower() in WRITABLE_SUFFIXES and not out.is_dir()
    names_a_volume = out.suffix.lower() in VOLUME_SUFFIXES
    if names_a_file or (names_a_volume and (len(found) == 1 or not out.is_dir() or is_volume(out))):
        if len(found) > 1:
            raise ConfigError(f"{out}: names one file, and there are {len(found)} inputs; give --out a folder")
        return [_masked(Job(source, out), masks) for source, _ in found] + unusable
    jobs = [_masked(Job(source, folder / name_of_result(source)), masks) for source, folder in found]
    for target, count in Counter(job.target for job in jobs).most_common(1):
        if count > 1:
            message = f"{count} inputs are named {target.name} and would be written to one file"
            raise ConfigError(f"{message}; give them one at a time")
    return jobs + unusable


def _masks(mask: Path, inputs: Sequence[str | Path], recursive: bool) -> Masks:
    """Return the masks.

    Raises:
        ImageError: There are none.
        ConfigError: Their names do not tell which image they are of.
    """
    masks = Masks(mask)
    if masks.are_many and recursive:
        raise ConfigError(f"{mask}: masks go by name, which images of several folders may share; leave out --recursive")
    if any(Path(item).resolve() == mask.resolve() for item in inputs):
        raise ConfigError(_both(mask))
    return masks


def _both(path: Path) -> str:
    return f"{path}: is given as input and as mask; give two paths"


def _masked(job: Job, masks: Masks | None) -> Job:
    """Return the job with its mask, or with the error that it has none.

    Raises:
        ConfigError: It is the input itself.
    """
    if masks is None:
        return job
    try:
        mask = masks.of(job.source)
    except ImageError as error:
        return replace(job, error=error)
    if mask.resolve() == job.source.resolve():
        raise ConfigError(_both(mask))
    return replace(job, mask=mask)


def expanded(item: Path) -> list[Path]:
    """Return what a pattern stands for; itself, where it is none, or nothing matches."""
    if not glob.has_magic(str(item)) or item.exists():
        return [item]
    matches = glob.glob(str(item), recursive=True)  # noqa: PTH207 - Path.glob takes no absolute patterns
    return sorted(map(Path, matches)) or [item]


def _tree(folder: Path, out: Path) -> Iterator[Path]:
    """Yield a folder and those below it, but hidden ones, volumes, links, and that of the results."""
    yield folder
    try:
        below = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError:  # said where its images are looked for
        return
    for path in below:
        if not path.is_symlink() and not is_volume(path) and path.resolve() != out.resolve():
            yield from _tree(path, out)


def _images(folder: Path, *, recursive: bool) -> list[Path]:
    """Return the images of a folder; say what of it is passed over, which would be missed later.

    Raises:
        ImageError: There are none.
    """
    made = results_in(folder)
    if kinds := passed_over(folder, made, recursive=recursive):
        most = sorted(kinds.items(), key=lambda kind: -len(kind[1]))[:_KINDS]
        named = ", ".join(f"{len(names)} {kind} ({few(names, shown=_KINDS)})" for kind, names in most)
        log.info("%s: passed over: %s%s", folder, named, ", …" if len(kinds) > _KINDS else "")
    return [image for image in find_images(folder, volumes=True) if image.name not in made]


def passed_over(folder: Path, made: Container[str] = (), *, recursive: bool = False) -> dict[str, list[str]]:
    """Return the names of what in a folder is no image, or ``made`` by an earlier command, by what to call them."""
    kinds: dict[str, list[str]] = {}
    with suppress(OSError):  # said where the images are looked for
        for path in sorted(folder.iterdir()):
            if kind := "made by indi" if path.name in made else _kind(path, recursive=recursive):
                kinds.setdefault(kind, []).append(path.name)
    return kinds


def _kind(path: Path, *, recursive: bool) -> str:
    """Return what to call what is passed over; nothing where it is an image, hidden, or looked into."""
    if path.is_dir() and not path.name.startswith(".") and not is_volume(path):
        return "" if recursive and not path.is_symlink() else "folder"
    return kind_of(path)
