"""Write files all or nothing: a reader sees the old file or the whole new one, never a part."""

import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from errno import ENOTDIR
from pathlib import Path

from indi.errors import IndiError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_DAY = 86_400  # seconds
_LEFT = re.compile(r"\.indi-(?:[0-9a-f]{12}){1,2}(?:\.[A-Za-z0-9]+)?")
_MARKED = len(".indi-") + 23  # letters of a name from which on it has a mark
_cleared: set[Path] = set()
_mark: ContextVar[str] = ContextVar("mark", default="")


def temporary_beside(path: Path, suffix: str) -> Path:
    """Return a hidden name, used by nothing else, for what is to replace ``path``."""
    return path.parent / f".indi-{_mark.get()}{secrets.token_hex(6)}{suffix}"


@contextmanager
def marked(mark: str) -> Iterator[None]:
    """Begin the temporary names inside the block with a mark, by which those of a killed process can be found."""
    before = _mark.set(mark)
    try:
        yield
    finally:
        _mark.reset(before)


def remove_marked(folders: Iterable[Path], mark: str) -> None:
    """Remove what lies under temporary names with this mark; who is still writing there gets an error."""
    for folder in folders:
        for found in folder.glob(f".indi-{mark}*"):
            if found.is_dir():
                shutil.rmtree(found, ignore_errors=True)
            else:
                with suppress(OSError):
                    found.unlink()


@contextmanager
def _locked(temporary: Path) -> Iterator[None]:
    """Hold a lock on a temporary file within the block, by which others see that it is no leftover.

    It gets its name with the lock on it: without one, another process could take it for a leftover.
    """
    if fcntl is None:
        yield
        return
    nameless = temporary.with_name(temporary.name.replace(".indi-", ".indi~", 1))
    descriptor = os.open(nameless, os.O_CREAT | os.O_WRONLY, 0o666)
    try:
        with suppress(OSError):  # some network file systems have none; there only age tells
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        nameless.replace(temporary)
        yield
    finally:
        os.close(descriptor)
        with suppress(OSError):  # where it could not be renamed
            nameless.unlink(missing_ok=True)


def _remove_left(folder: Path) -> None:
    """Remove, once a process, the temporary files that killed commands left in a folder."""
    if folder in _cleared:
        return
    _cleared.add(folder)
    for found in folder.glob(".indi-*"):
        if _LEFT.fullmatch(found.name) and _is_left(found):
            with suppress(OSError):
                found.unlink()


def _is_left(path: Path) -> bool:
    """Return whether nobody writes a temporary file any more: nobody has its lock, or it is a day old."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return False
        if time.time() - path.lstat().st_mtime > _DAY:
            return True
        if len(path.name) > _MARKED:  # of a cluster, whose other machines may not share locks
            return False
        if fcntl is None:
            return False
        descriptor = os.open(path, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        finally:
            os.close(descriptor)
    except OSError:
        return False
    return True


@contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; what is written there replaces ``path`` when the block ends.

    The folders above ``path`` are made. When the block raises, ``path`` stays as it was and the temporary
    file is removed. The temporary name is hidden and keeps the suffix, by which writers may choose a format.

    Raises:
        IndiError: the folder or the file cannot be written (no permission, disk full, something in the way).
    """
    path = Path(path)
    if "\0" in path.name:
        raise IndiError(f"{path!r}: cannot write: a file name cannot hold a zero character; choose another name")
    temporary = temporary_beside(path, path.suffix)
    try:
        if path.is_dir():
            raise IndiError(f"{path}: cannot write: it is a folder; give the name of a file")
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_left(path.parent)
        try:
            with _locked(temporary):
                yield temporary
                _flush(temporary)
                temporary.replace(path)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
        _flush_folder(path.parent)
    except OSError as error:
        reason = error.strerror or str(error)
        raise IndiError(f"{path}: cannot write: {reason}; choose another place or make this one usable") from error


def check_place(folder: Path) -> None:
    """See whether files could be written into a folder, which need not be there yet, and leave nothing behind.

    Raises:
        IndiError: they could not.
    """
    place = folder.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    trial = temporary_beside(place / folder.name, "")
    try:
        if not place.is_dir():
            raise NotADirectoryError(ENOTDIR, os.strerror(ENOTDIR))
        trial.touch(exist_ok=False)
    except OSError as error:
        reason = error.strerror or str(error)
        raise IndiError(f"{folder}: cannot write: {reason}; choose another place or make this one usable") from error
    finally:
        with suppress(OSError):
            trial.unlink(missing_ok=True)


def write_atomic(path: str | os.PathLike[str], data: bytes) -> None:
    """Write ``data`` to ``path``, all or nothing.

    Raises:
        IndiError: the folder or the file cannot be written.
    """
    with atomic(path) as temporary:
        temporary.write_bytes(data)


def _flush(file: Path) -> None:
    """Wait until the bytes are on the disk; else, after a power cut, the new name may hold nothing."""
    with file.open("rb+") as stream:
        os.fsync(stream.fileno())


def _flush_folder(folder: Path) -> None:
    if os.name != "posix":  # elsewhere a folder cannot be opened as a file
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems refuse; the rename itself is done
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
