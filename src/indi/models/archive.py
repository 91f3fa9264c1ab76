"""Models inside archives: packages for other programs, which carry indi's own model file along."""

import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from indi.errors import ModelError

FOREIGN_FILES = ("bioimageio.yaml", "rdf.yaml")  # what describes a package of the BioImage Model Zoo
# What zipfile says of archives that are cut, altered, encrypted, or packed in a way it does not know.
_DAMAGE = (OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError)
_MAGIC = b"PK\3\4"


def is_archive(path: Path) -> bool:
    """Return whether a path is a file that begins as ZIP archives do; no model file begins so."""
    with suppress(OSError), path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC
    return False


def foreign(path: Path) -> str:
    """Return what is said of a package that indi did not write."""
    return f"{path}: not a package that indi exported, so it holds no model of indi; run it with its own program"


@contextmanager
def unpacked(path: Path, name: str) -> Iterator[Path]:
    """Yield a file of an archive's top folder, as a temporary file.

    Raises:
        ModelError: The archive has no such file, is damaged, or the block says so of the file.
    """
    with tempfile.TemporaryDirectory(prefix="indi-") as folder:
        file = Path(folder) / name
        try:
            with zipfile.ZipFile(path) as archive:
                if name not in archive.namelist():
                    raise ModelError(foreign(path))
                with archive.open(name) as source, file.open("wb") as target:
                    shutil.copyfileobj(source, target)
        except _DAMAGE as error:
            raise ModelError(f"{path}: cannot be unpacked ({error}); copy it again, or export it again") from error
        try:
            yield file
        except ModelError as error:
            raise ModelError(str(error).replace(str(file), f"{path}: {name}")) from error
