"""Uploaded archives of images, unpacked so that nothing leaves its folder and nothing grows without bound.

Each image is decoded once where its archive is unpacked, in a process that can be ended (reading.py): one that takes
too long, or that a codec dies of, is found there, before training or measuring reads it again.
"""

import re
import zipfile
from contextlib import suppress
from pathlib import Path

from indi.app.session import safe_name
from indi.errors import DataError, IndiError
from indi.io import READABLE_SUFFIXES, read, read_headers, read_picture

MOST_FILES = 5000
MOST_BYTES = 2**30  # unpacked, an archive
MOST_PIXELS = 40_000_000  # of a picture
MOST_TOGETHER = 500_000_000  # pixels of all pictures; small files can claim any number of them
_CHUNK = 2**20
# What zipfile raises of damaged archives; RuntimeError of encrypted ones, and of compressions that it does not know.
_UNREADABLE = (zipfile.BadZipFile, zipfile.LargeZipFile, RuntimeError, EOFError, OSError)


def unpack(archive: Path, folder: Path) -> int:
    """Unpack the images of a ZIP archive into one folder, whatever folders it has inside; return how many.

    All are read in full. What cannot be read is left for those to say who read it again.

    Raises:
        DataError: It is no ZIP archive, is damaged or encrypted, holds no images, two of one name, or too much.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        return _unpack(archive, folder)
    except BaseException:  # nothing of a refused archive stays
        for path in folder.iterdir():
            path.unlink()
        raise


def _unpack(archive: Path, folder: Path) -> int:
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [member for member in opened.infolist() if _is_image(member)]
            if not members:
                raise DataError(f"{archive.name}: holds no images; put PNG, JPEG or TIFF files into it")
            if len(members) > MOST_FILES:
                raise DataError(f"{archive.name}: holds {len(members):,} images; give {MOST_FILES:,} at most")
            room, pixels = MOST_BYTES, 0
            for member in members:
                path = folder / safe_name(member.filename)
                room = _unpack_one(opened, member, path, room, archive.name)
                pixels += _pixels(path)
                if pixels > MOST_TOGETHER:
                    raise DataError(f"{archive.name}: holds more than {MOST_TOGETHER // 10**6} megapixels; give less")
                _decode(path)
    except _UNREADABLE as error:
        reason = " ".join(str(error).split())[:100]
        raise DataError(f"{archive.name}: cannot be unpacked ({reason}); give a plain ZIP archive") from error
    return len(members)


def _is_image(member: zipfile.ZipInfo) -> bool:
    parts = re.split(r"[\\/]", member.filename)
    is_hidden = parts[-1].startswith(".") or "__MACOSX" in parts
    return not member.is_dir() and not is_hidden and Path(parts[-1]).suffix.lower() in READABLE_SUFFIXES


def _unpack_one(opened: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path, room: int, name: str) -> int:
    """Write one file; return the bytes that the rest may have. What a header claims of its size is not believed."""
    if path.exists():
        raise DataError(f"{name}: holds two images named {path.name}; give each a name of its own")
    with opened.open(member) as source, path.open("xb") as target:
        while chunk := source.read(_CHUNK):
            room -= len(chunk)
            if room < 0:
                raise DataError(f"{name}: holds more than {MOST_BYTES // 2**30} GiB unpacked; give fewer images")
            target.write(chunk)
    return room


def _pixels(path: Path) -> int:
    """Return how many pixels a file claims; one that cannot be read is for those to remark on who want to."""
    try:
        headers = read_headers(path)
    except IndiError:
        return 0
    sizes = [header.height * header.width * -(-header.channels // 4) for header in headers]
    if max(sizes) > MOST_PIXELS:
        size = max(sizes) / 1e6
        raise DataError(f"{path.name}: {size:,.0f} megapixels; pictures of up to {MOST_PIXELS // 10**6} are taken here")
    return sum(sizes)


def _decode(path: Path) -> None:
    with suppress(IndiError):
        pictures = len(read_headers(path))
        for number in range(pictures) if pictures > 1 else ():
            read_picture(path, number)
        if pictures == 1:
            read(path)
