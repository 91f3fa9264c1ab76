import struct
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageCms

from image_makers import png_bytes, png_chunk, stored
from indi.io import read, write
from indi.io.formats.gamma import profile_of

LINEAR = struct.pack(">I", 100_000)
WIDE = struct.pack(">8I", 31270, 32900, 70800, 29200, 17000, 79700, 13100, 4600)  # of Rec. 2020


def shown(icc: bytes, pixel: tuple[int, ...]) -> list[int]:
    """Return the pixel as sRGB, as a viewer that knows profiles shows it."""
    image = Pillow.new("L" if len(pixel) == 1 else "RGB", (1, 1), pixel)
    profile = ImageCms.ImageCmsProfile(BytesIO(icc))
    converted = ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    assert converted is not None
    return np.asarray(converted).ravel().tolist()


def srgb(linear: tuple[int, ...]) -> list[float]:
    values = np.array(linear) / 255
    curve = np.where(values <= 0.0031308, 12.92 * values, 1.055 * values ** (1 / 2.4) - 0.055)
    return [float(value) for value in 255 * curve]


@pytest.mark.parametrize("pixel", [(128,), (128, 20, 200), (255, 255, 255), (3, 250, 90)])
def test_linear_values_are_shown_as_what_they_are(pixel: tuple[int, ...]) -> None:
    icc = profile_of(LINEAR, None, gray=len(pixel) == 1)
    assert icc is not None
    assert shown(icc, pixel) == pytest.approx(srgb(pixel * 3 if len(pixel) == 1 else pixel), abs=1.5)


def test_white_stays_white_with_other_primaries_and_green_is_greener() -> None:
    icc = profile_of(LINEAR, WIDE, gray=False)
    assert icc is not None
    assert shown(icc, (255, 255, 255)) == pytest.approx([255, 255, 255], abs=1)
    assert shown(icc, (60, 120, 60))[1] > srgb((60, 120, 60))[1]


@pytest.mark.parametrize("gamma", [45455, 45400, 0, 2**31])
def test_what_is_about_srgb_or_impossible_needs_no_profile(gamma: int) -> None:
    assert profile_of(struct.pack(">I", gamma), None, gray=False) is None
    assert profile_of(LINEAR, bytes(32), gray=False) is None
    assert profile_of(None, None, gray=False) is None


@pytest.mark.parametrize("suffix", [".tif", ".jpg", ".png"])
def test_a_linear_png_looks_the_same_in_any_format(tmp_path: Path, suffix: str) -> None:
    data = png_bytes(2, 1, 8, 2, [bytes((128, 20, 200)) * 2], png_chunk(b"gAMA", LINEAR))
    image = read(stored(tmp_path / "a.png", data))
    write(tmp_path / f"b{suffix}", image)
    if suffix == ".png":
        assert png_chunk(b"gAMA", LINEAR) in (tmp_path / "b.png").read_bytes()
        return
    again = read(tmp_path / f"b{suffix}")
    assert again.metadata.icc is not None
    assert shown(again.metadata.icc, (128, 20, 200)) == pytest.approx(srgb((128, 20, 200)), abs=1.5)


def test_a_png_that_says_srgb_gets_no_profile(tmp_path: Path) -> None:
    chunks = png_chunk(b"gAMA", LINEAR) + png_chunk(b"sRGB", b"\0")
    write(tmp_path / "b.tif", read(stored(tmp_path / "a.png", png_bytes(1, 1, 8, 2, [b"abc"], chunks))))
    assert read(tmp_path / "b.tif").metadata.icc is None
