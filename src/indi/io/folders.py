"""What lies below a folder."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from indi.errors import ImageError


def files_below(folder: Path | str, within: str = "") -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield the files below a folder in the order of their names, with their paths within it.

    Links are followed; one that leads nowhere is passed over.

    Raises:
        OSError: A folder cannot be read.
    """
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.is_dir():
                yield from files_below(entry.path, f"{within}{entry.name}/")
            elif entry.is_file():
                yield f"{within}{entry.name}", entry


def fingerprint(folder: Path) -> str:
    """Return a digest of the names, sizes and times of change of all files below a folder.

    Raises:
        ImageError: A folder cannot be read.
    """
    digest = hashlib.sha256()
    try:
        for name, entry in files_below(folder):
            status = entry.stat()
            digest.update(os.fsencode(name) + f"\0{status.st_size} {status.st_mtime_ns}\0".encode())
    except OSError as error:
        raise ImageError(f"{folder}: cannot read: {error.strerror or error}; check the permissions") from error
    return digest.hexdigest()
