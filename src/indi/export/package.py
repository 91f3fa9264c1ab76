"""Packages of several files, as a folder or as one archive: whole or not at all, and never over what is not ours."""

import shutil
import zipfile
from collections.abc import Iterator, Set
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from indi.errors import ConfigError, IndiError
from indi.io.atomic import atomic, temporary_beside


@contextmanager
def package(path: Path, suffix: str, *, marks: Set[str], files: Set[str], inside: str = "") -> Iterator[Path]:
    """Yield an empty folder; what is written there becomes the package when the block ends.

    Args:
        path: The package: an archive where its name ends in ``suffix``, else a folder.
        suffix: Of archives, which are ZIP.
        marks: Names of files that a package of this kind has where indi wrote it, which may be replaced.
        files: Names of all files that it may have.
        inside: The folder within an archive that all files lie in; none where it is empty.

    Raises:
        ConfigError: Something else lies at ``path``.
        IndiError: It cannot be written.
    """
    is_archive = path.suffix.lower() == suffix
    _check_ours(path, marks, files)
    temporary = temporary_beside(path.absolute(), "")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        if is_archive:
            with atomic(path) as archive:
                _pack(temporary, archive, inside)
        else:
            _replace(temporary, path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise IndiError(f"{path}: cannot write: {reason}; choose another place or make this one usable") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _check_ours(path: Path, marks: Set[str], files: Set[str]) -> None:
    """Refuse a place where something lies that is neither an empty folder nor a package of indi's."""
    names = {file.name for file in path.iterdir()} if path.is_dir() else _archived_names(path)
    is_free = not path.exists() or (path.is_dir() and not names) or marks <= names <= files
    if not is_free:
        raise ConfigError(f"{path}: exists and is not a package that indi exported; choose another --out or remove it")


def _archived_names(path: Path) -> set[str]:
    """Return the names of the files in an archive, without their folders; none where it is not a ZIP archive."""
    with suppress(OSError, zipfile.BadZipFile), zipfile.ZipFile(path) as archive:
        return {PurePosixPath(name).name for name in archive.namelist()}
    return set()


def _pack(folder: Path, archive: Path, inside: str) -> None:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for file in sorted(folder.iterdir()):
            packed.write(file, str(PurePosixPath(inside, file.name)))


def _replace(folder: Path, path: Path) -> None:
    """Put a folder in place of what lies at ``path``, which comes back where that fails."""
    before = temporary_beside(path, "")
    if path.exists():
        path.rename(before)
    try:
        folder.rename(path)
    except OSError:
        if before.exists():
            before.rename(path)
        raise
    shutil.rmtree(before, ignore_errors=True)
