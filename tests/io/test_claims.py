"""Small files that claim much: refused at once, before memory is taken."""

import json
import struct
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from image_makers import little_memory, png_bytes, png_chunk, smooth_colour, stored
from indi.errors import ImageError
from indi.io import read, read_headers, read_picture
from indi.io.stacks import open_stack

BILLION = 10**9
IMAGE = np.zeros((16, 16), np.uint8)


def entry(number: int, kind: int, count: int, value: int) -> bytes:
    return struct.pack("<HHII", number, kind, count, value)


def pointers_to_pointers(path: Path) -> None:
    """1000 EXIF directories that are one, each of 1000 that are one: a million directories of 36 kB."""
    count = 1000
    sizes = [2 + 12 * length + 4 for length in (9 + count, count, count)]
    first, second = 8 + sizes[0], 8 + sizes[0] + sizes[1]
    pixels = second + sizes[2]
    known = ((256, 8), (257, 8), (258, 8), (259, 1), (262, 1), (273, pixels), (277, 1), (278, 8), (279, 64))
    tags = b"".join(entry(number, 4, 1, value) for number, value in known)
    path.write_bytes(
        struct.pack("<2sHI", b"II", 42, 8)
        + struct.pack("<H", len(known) + count)
        + tags
        + entry(34665, 4, 1, first) * count
        + bytes(4)
        + struct.pack("<H", count)
        + entry(34665, 4, 1, second) * count
        + bytes(4)
        + struct.pack("<H", count)
        + entry(40000, 3, 1, 1) * count
        + bytes(4 + 64)
    )


def values_shared_by_directories(path: Path) -> None:
    """Each of 500 directories has a description of its own length, and all of them lie upon each other."""
    text = b"x" * 200_000
    tags = b"".join(entry(*tag) for tag in ((256, 3, 1, 1), (257, 3, 1, 1), (258, 3, 1, 8), (270, 2, len(text), 8)))
    data = struct.pack("<2sHI", b"II", 42, 8 + len(text)) + text
    for _ in range(500):
        following = len(data) + 2 + len(tags) + 4
        data += struct.pack("<H", 4) + tags + struct.pack("<I", following)
    path.write_bytes(data)


def ome(path: Path, attributes: str = 'SizeZ="2"', inside: str = "", block: str = "") -> None:
    text = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
        '<Pixels DimensionOrder="XYZCT" Type="uint8" SizeX="16" SizeY="16" SizeC="1" SizeT="1" '
        f"{attributes}><TiffData {block}/></Pixels></Image>{inside}</OME>"
    )
    tifffile.imwrite(path, np.zeros((2, 16, 16), np.uint8), photometric="minisblack", description=text, metadata=None)


def imagej(path: Path, note: str) -> None:
    tifffile.imwrite(path, IMAGE, description=f"ImageJ=1.53k\nimages={note}\n", metadata=None)


def shaped(path: Path) -> None:
    note = '{"shape": [' + "9" * 4000 + ", 16, 16]}"
    tifffile.imwrite(path, IMAGE, description=note, metadata=None)


def volume(path: Path, shape: list[int], chunks: list[int]) -> None:
    path.mkdir()
    array = {"shape": shape, "chunks": chunks, "dtype": "|u1", "compressor": None, "fill_value": 0, "order": "C"}
    (path / ".zarray").write_text(json.dumps({"zarr_format": 2, "filters": None, **array}))


def huge_png(path: Path) -> None:
    row = b"\0" * 40
    data = png_bytes(20000, 20000, 16, 6, [row], png_chunk(b"tEXt", b"a\0b"))
    path.write_bytes(data)


def chunk_longer_than_the_file(path: Path) -> None:
    path.write_bytes(png_bytes(1, 1, 8, 0, [b"\0"])[:33] + struct.pack(">I", 2**32 - 1) + b"tEXt")


def jpeg(path: Path, size: tuple[int, int], scans: int = 0) -> None:
    Pillow.fromarray(smooth_colour()).save(path, "JPEG", progressive=True)
    data = bytearray(path.read_bytes())
    frame = data.index(b"\xff\xc2")
    data[frame + 5 : frame + 9] = struct.pack(">HH", *size)
    empty = bytes.fromhex("ffda000801010000 3f00")
    path.write_bytes(data[:-2] + empty * scans + bytes(300_000 if scans else 0) + data[-2:])


FILES: dict[str, tuple[str, Callable[[Path], None]]] = {
    "imagej": ("a.tif", lambda path: imagej(path, str(BILLION - 1))),
    "imagej, fewer": ("a.tif", lambda path: imagej(path, "1000000")),
    "shaped": ("a.tif", shaped),
    "pointers": ("a.tif", pointers_to_pointers),
    "descriptions": ("a.tif", values_shared_by_directories),
    "ome, planes": ("a.tif", lambda path: ome(path, f'SizeZ="{BILLION}"', block='IFD="0"')),
    "ome, count": ("a.tif", lambda path: ome(path, block=f'IFD="0" PlaneCount="{BILLION}"')),
    "ome, place": ("a.tif", lambda path: ome(path, f'SizeZ="{BILLION}"', block=f'FirstZ="{BILLION - 1}" IFD="0"')),
    "ome, modulo": (
        "a.tif",
        lambda path: ome(
            path,
            inside='<StructuredAnnotations><XMLAnnotation ID="a" Namespace="x/modulo"><Value><Modulo>'
            f'<ModuloAlongZ Type="phase" Start="0" End="{BILLION}" Step="1"/>'
            "</Modulo></Value></XMLAnnotation></StructuredAnnotations>",
        ),
    ),
    "zarr, planes": ("a.zarr", lambda path: volume(path, [10**12, 8, 8], [1, 8, 8])),
    "zarr, fewer": ("a.zarr", lambda path: volume(path, [10**8, 8, 8], [1, 8, 8])),
    "zarr, chunks": ("a.zarr", lambda path: volume(path, [1, 10**6, 10**6], [1, 10**6, 10**6])),
    "png": ("a.png", huge_png),
    "png, chunk": ("a.png", chunk_longer_than_the_file),
    "jpeg": ("a.jpg", lambda path: jpeg(path, (20000, 20000))),
    "jpeg, scans": ("a.jpg", lambda path: jpeg(path, (12000, 12000), scans=150)),
}


def opened(path: Path) -> None:
    read_headers(path, channels=3)
    if path.is_file():
        read(path)


@pytest.mark.parametrize("kind", FILES)
def test_a_small_file_that_claims_much_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    name, make = FILES[kind]
    path = tmp_path / name
    make(path)
    began = time.perf_counter()
    with little_memory(64), pytest.raises(ImageError) as caught:
        opened(path)
    assert time.perf_counter() - began < 5
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_plane_too_large_for_memory_is_refused_where_it_is_read_whole(tmp_path: Path) -> None:
    volume(tmp_path / "a.zarr", [2, 10**5, 10**5], [1, 1024, 1024])
    assert len(read_headers(tmp_path / "a.zarr")) == 2
    with pytest.raises(ImageError, match="above the limit"):
        read_picture(tmp_path / "a.zarr", 0)


def test_tags_that_many_directories_share_are_read(tmp_path: Path) -> None:
    """Some programs store a profile once for all pages."""
    profile = b"p" * 3000
    tags = ((256, 3, 1, 1), (257, 3, 1, 1), (258, 3, 1, 8), (273, 4, 1, 8), (279, 4, 1, 1), (34675, 7, len(profile), 8))
    data = struct.pack("<2sHI", b"II", 42, 8 + len(profile)) + profile
    for page in range(300):
        following = len(data) + 2 + 12 * len(tags) + 4 if page < 299 else 0
        data += struct.pack("<H", len(tags)) + b"".join(entry(*tag) for tag in tags) + struct.pack("<I", following)
    with open_stack(stored(tmp_path / "a.tif", data)) as stack:
        assert len(stack.headers) == 300
