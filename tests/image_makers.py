"""Images and files that several tests of this folder need."""

import struct
import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, ImageCms
from PIL import Image as Pillow

from indi.io import Image

HEIGHT, WIDTH = 13, 17


def random_pixels(dtype: npt.DTypeLike, *shape: int, seed: int = 0) -> npt.NDArray[np.generic]:
    generator = np.random.default_rng(seed)
    if np.dtype(dtype) == np.float32:
        return generator.normal(size=shape).astype(np.float32)
    return generator.integers(0, np.iinfo(np.dtype(dtype).name).max, shape, dtype=dtype, endpoint=True)


def random_image(dtype: npt.DTypeLike, channels: int, alpha: bool = False, seed: int = 0) -> Image:
    size = (HEIGHT, WIDTH)
    pixels = random_pixels(dtype, *size, *([channels] if channels > 1 else []), seed=seed)
    return Image(pixels, random_pixels(dtype, *size, seed=seed + 1) if alpha else None)


def smooth_colour() -> npt.NDArray[np.uint8]:
    """An image that JPEG holds well."""
    y, x = np.mgrid[0:40, 0:56]
    return np.stack([x * 4, y * 6, x + y], axis=2).astype(np.uint8)


def assert_same(first: Image, second: Image) -> None:
    assert first.pixels.dtype == second.pixels.dtype
    np.testing.assert_array_equal(first.pixels, second.pixels)
    assert (first.alpha is None) == (second.alpha is None)
    if first.alpha is not None and second.alpha is not None:
        assert first.alpha.dtype == second.alpha.dtype
        np.testing.assert_array_equal(first.alpha, second.alpha)


@cache
def srgb_profile() -> bytes:
    """The same bytes each time, though a profile holds the second it was made in."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def camera_exif() -> Pillow.Exif:
    exif = Pillow.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.ImageDescription] = "a barn"
    exif.get_ifd(ExifTags.IFD.Exif).update({ExifTags.Base.ExposureTime: 0.008, ExifTags.Base.MakerNote: b"m" * 90})
    exif.get_ifd(ExifTags.IFD.GPSInfo).update({1: "N", 2: (47.0, 11.0, 3.5)})
    return exif


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_bytes(width: int, height: int, depth: int, colour: int, rows: list[bytes], *extra: bytes) -> bytes:
    """A PNG from raw rows, with ``extra`` chunks before its pixels."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    data = png_chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + data + png_chunk(b"IEND", b"")


def stored(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@contextmanager
def little_memory(mebibytes: int = 4) -> Iterator[None]:
    """Fail where what is inside takes more memory at its peak."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < mebibytes * 2**20
    finally:
        tracemalloc.stop()
