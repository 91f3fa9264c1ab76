"""Damaged files of every kind, by the hundred: an answer or one of the project's own errors, soon and in little memory.

``make fuzz`` tries many more: INDI_FUZZ says how many of each kind.
"""

import json
import os
import resource
import shutil
import struct
import sys
import time
import warnings
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from indi.errors import IndiError
from indi.io import Image, Metadata, orientation, read, read_headers, read_picture, write
from indi.io.formats.enlarged import enlarged
from indi.io.image import MapScale
from indi.io.maps import of_map
from indi.io.region import Region
from indi.io.stacks import is_stack, open_stack
from indi.models.checkpoint import load_model, read_card, save_model
from problems import tiny_model

TIMES = int(os.environ.get("INDI_FUZZ", "12"))
MEBIBYTES, SECONDS = 1024, 5
LARGEST = 2**22  # pixels that are asked for
EXTREMES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1)
VALUES: tuple[Any, ...] = (None, -1, 0, 10**9, 10**400, 1e308, float("nan"), "", "x" * 9, [], [[]], {}, {"a": {}}, True)

GRAY = np.add.outer(np.arange(20), np.arange(24)).astype(np.uint8)
COLOUR = np.stack([GRAY, GRAY * 5, 255 - GRAY], axis=2)
DEEP = COLOUR.astype(np.uint16) * 255
EXIF = Pillow.Exif()
EXIF.update({274: 6, 270: "a barn", 305: "a camera"})
EXIF.get_ifd(34665).update({33434: 0.008, 37500: b"m" * 40})
ABOUT = Metadata(exif=EXIF.tobytes()[6:], xmp=b"<x/>")

Make = Callable[[Path], None]


def saved(**options: Any) -> Make:
    return lambda path: Pillow.fromarray(COLOUR).save(path, **options)


def tiff(data: Any, **options: Any) -> Make:
    return lambda path: tifffile.imwrite(path, data, **options)


OME: dict[str, Any] = {"ome": True, "metadata": {"axes": "ZCYX", "Channel": {"Name": ["a", "b", "c"]}}}
FILES: dict[str, Make] = {
    "8.png": lambda path: write(path, Image(COLOUR, GRAY, ABOUT)),
    "16.png": lambda path: write(path, Image(DEEP, None, ABOUT)),
    "palette.png": lambda path: Pillow.fromarray(COLOUR).quantize(9).save(path, transparency=3),
    "a.jpg": lambda path: write(path, Image(COLOUR, None, ABOUT)),
    "progressive.jpg": saved(progressive=True),
    "a.webp": lambda path: write(path, Image(COLOUR, GRAY, ABOUT)),
    "a.avif": lambda path: write(path, Image(COLOUR, None, ABOUT)),
    "a.gif": lambda path: Pillow.fromarray(COLOUR).quantize(9).save(path, transparency=3),
    "a.bmp": saved(),
    "palette.bmp": lambda path: Pillow.fromarray(COLOUR).quantize(9).save(path),
    "plain.tif": tiff(DEEP, photometric="rgb"),
    "deflate.tif": lambda path: write(path, Image(DEEP, None, ABOUT)),
    "tiles.tif": tiff(DEEP, photometric="rgb", tile=(16, 16), compression="lzw", predictor=True),
    "jpeg.tif": tiff(COLOUR, photometric="ycbcr", compression="jpeg"),
    "float.tif": tiff(DEEP[..., 0].astype("f8"), compression="zstd"),
    "big.tif": tiff(DEEP, photometric="rgb", bigtiff=True, byteorder=">"),
    "imagej.tif": tiff(np.stack([DEEP[..., 0]] * 6), imagej=True, metadata={"axes": "ZYX", "Labels": ["a"] * 6}),
    "ome.tif": tiff(np.zeros((2, 3, 20, 24), np.uint8), photometric="minisblack", compression="zlib", **OME),
    "shaped.tif": tiff(np.zeros((4, 20, 24), np.uint8), photometric="minisblack", truncate=True),
}


def mutated(data: bytes, random: np.random.Generator) -> bytes:
    """Return a file with a few of its bytes changed, moved, lost or repeated; more often at its start."""
    changed = bytearray(data)
    for _ in range(random.integers(1, 5)):
        length = max(len(changed), 1)
        place = int(random.integers(min(length, 256) if random.random() < 0.4 else length))
        match random.integers(7):
            case 0:
                changed[place : place + 1] = bytes([random.integers(256)])
            case 1:
                changed[place : place + 1] = bytes([changed[place] ^ 1 << int(random.integers(8))]) if changed else b""
            case 2 | 3:
                size = int(random.choice([1, 2, 4, 8]))
                value = int(random.choice(EXTREMES)) % 256**size
                changed[place : place + size] = value.to_bytes(size, "big" if random.random() < 0.5 else "little")
            case 4:
                del changed[place : place + int(random.integers(1, 40))]
            case 5:
                changed[place:place] = changed[place : place + int(random.integers(1, 40))]
            case 6 if random.random() < 0.3:
                del changed[place:]
    return bytes(changed)


def with_checksums(data: bytes) -> bytes:
    """Return a PNG whose chunks have the checksums of what is in them, as an attacker would see to."""
    changed, place = bytearray(data), 8
    while place + 12 <= len(changed):
        end = place + 8 + int.from_bytes(changed[place : place + 4], "big")
        if end + 4 > len(changed):
            break
        changed[end : end + 4] = struct.pack(">I", zlib.crc32(changed[place + 4 : end]))
        place = end + 4
    return bytes(changed)


def looked_at(path: Path) -> None:
    """Do with an image file all that is done with any."""
    is_stack(path, 2**25)
    read_headers(path, channels=3, apart=True)
    headers = read_headers(path, channels=3)
    if path.suffix == ".tif" and headers[0].height * headers[0].width < LARGEST:
        read_picture(path, len(headers) - 1, channels=3)
        with open_stack(path) as stack:
            header = stack.headers[0]
            stack.pixels(0, Region(header.height // 2, 0, header.height, header.width))
    if len(headers) == 1:
        image = read(path, max_pixels=LARGEST)
        orientation(image.metadata.exif)
        write(path.with_name("out.tif"), Image(image.pixels, image.alpha, enlarged(image.metadata, 2)))
        write(
            path.with_name("map.tif"),
            Image(image.pixels.astype("f4"), None, of_map(image.metadata, MapScale(1.0, "counts"))),
        )


def tried(act: Callable[[], object], what: Path) -> None:
    """Fail on any error but the project's own, and on what takes long or much memory."""
    began, before, said = time.perf_counter(), peak(), ""
    try:
        act()
    except IndiError as error:
        said = str(error)
    assert "\n" not in said
    assert time.perf_counter() - began < SECONDS, what
    assert peak() - before < MEBIBYTES, what


def peak() -> float:
    """Return the most memory that this process has taken, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


@pytest.fixture(autouse=True)
def _quiet() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of decoders, on what is damaged
        yield


@pytest.mark.parametrize("name", FILES)
def test_damaged_images(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    FILES[name](path)
    looked_at(path)
    whole, random = path.read_bytes(), np.random.default_rng(zlib.crc32(name.encode()))
    for _ in range(TIMES):
        data = mutated(whole, random)
        is_png = name.endswith(".png") and random.random() < 0.8
        path.write_bytes(with_checksums(data) if is_png else data)
        tried(partial(looked_at, path), path)


def replaced(value: Any, random: np.random.Generator) -> Any:
    """Return a tree of JSON with one of its values replaced by one that nobody means."""
    if isinstance(value, dict | list) and value and random.random() < 0.9:
        copy = value.copy()
        key = list(value)[random.integers(len(value))] if isinstance(value, dict) else int(random.integers(len(value)))
        if isinstance(copy, dict) and random.random() < 0.1:
            copy[f"{key}s"] = copy.pop(key)
        else:
            copy[key] = replaced(value[key], random)
        return copy
    return VALUES[random.integers(len(VALUES))]


@pytest.mark.medium
@pytest.mark.parametrize("version", [2, 3])
def test_damaged_volumes(tmp_path: Path, version: Any) -> None:
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(str(tmp_path / "whole.zarr"), mode="w", zarr_format=version)
    axes = [{"name": name} for name in "zyx"]
    image = {"version": "0.4", "axes": axes, "datasets": [{"path": "0"}]}
    group.attrs.update({"multiscales": [image]} if version == 2 else {"ome": {"multiscales": [image]}})
    array = group.create_array("0", shape=(3, 20, 24), chunks=(1, 16, 16), dtype="u2")
    array[:] = np.stack([DEEP[..., 0]] * 3)
    random = np.random.default_rng(version)
    files = sorted(path.relative_to(tmp_path / "whole.zarr") for path in (tmp_path / "whole.zarr").rglob("*.*"))
    files += [Path(f"0/c/0/0/{n}") if version == 3 else Path(f"0/0.0.{n}") for n in (0, 1)]
    files = [file for file in files if (tmp_path / "whole.zarr" / file).is_file()]
    for number in range(2 * TIMES):
        volume = tmp_path / f"{number}.zarr"
        shutil.copytree(tmp_path / "whole.zarr", volume)
        file = volume / files[random.integers(len(files))]
        data = file.read_bytes()
        is_text = data[:1] == b"{" and random.random() < 0.7
        file.write_bytes(json.dumps(replaced(json.loads(data), random)).encode() if is_text else mutated(data, random))
        tried(partial(volume_looked_at, volume), volume)
        shutil.rmtree(volume)


def volume_looked_at(path: Path) -> None:
    headers = read_headers(path, channels=3)
    if headers[0].height * headers[0].width < LARGEST:
        read_picture(path, len(headers) - 1)


def test_damaged_models(tmp_path: Path) -> None:
    save_model(tiny_model(1, epsilon=0.1), tmp_path)
    path = tmp_path / "model.safetensors"
    whole, random = path.read_bytes(), np.random.default_rng(0)
    length = int.from_bytes(whole[:8], "little")
    head = json.loads(whole[8 : 8 + length])
    for number in range(5 * TIMES):
        data = mutated(whole, random)
        if number % 3:
            changed = replaced(head, random)
            if number % 3 == 1:
                card = replaced(json.loads(head["__metadata__"]["indi"]), random)
                changed = head | {"__metadata__": {"indi": json.dumps(card)}}
            text = json.dumps(changed).encode()
            data = struct.pack("<Q", len(text)) + text + whole[8 + length :]
        path.write_bytes(data)
        for load in (load_model, read_card):
            tried(partial(load, path), path)
