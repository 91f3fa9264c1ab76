"""HEIF is read by pillow-heif, an optional package."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags
from PIL import Image as Pillow

from image_makers import random_pixels, smooth_colour, srgb_profile, stored
from indi.errors import ImageError, MissingExtraError
from indi.io import Image, find_images, orientation, read, read_header, write
from indi.restoration.batch import plan
from indi.restoration.inputs import Job

COLOUR = smooth_colour()
START = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"


def made(path: Path, pixels: np.ndarray, mode: str, **options: object) -> Path:
    pillow_heif = pytest.importorskip("pillow_heif")
    height, width = pixels.shape[:2]
    with path.open("wb") as file:
        pillow_heif.encode(mode, (width, height), pixels.tobytes(), file, quality=-1, chroma="444", **options)
    return path


def test_without_the_package_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    path = stored(tmp_path / "a.heic", START + bytes(40))
    for reader in (read, read_header):
        with pytest.raises(MissingExtraError, match=r"a\.heic: HEIF images need pillow-heif; install indi\[heif\]$"):
            reader(path)


def test_it_is_found_known_by_its_content_and_becomes_a_png(tmp_path: Path) -> None:
    path = stored(tmp_path / "a.HEIC", START)
    assert find_images(tmp_path) == [path]
    assert plan([path], tmp_path / "out") == [Job(path, tmp_path / "out" / "a.png")]
    with pytest.raises(ImageError, match=r"no image format that is written has this suffix"):
        write(path, Image(COLOUR))


@pytest.mark.parametrize("alpha", [False, True])
def test_pixels_alpha_and_metadata(tmp_path: Path, alpha: bool) -> None:
    exif = Pillow.Exif()
    exif[ExifTags.Base.Orientation], exif[ExifTags.Base.ImageDescription] = 6, "a barn"
    samples = np.dstack([COLOUR, random_pixels("u1", *COLOUR.shape[:2])]) if alpha else COLOUR
    mode = "RGBA" if alpha else "RGB"
    path = made(tmp_path / "a.heic", samples, mode, exif=exif.tobytes(), xmp=b"<x/>", icc_profile=srgb_profile())
    image, header = read(path), read_header(path)
    upright = np.rot90(COLOUR, -1)
    assert (header.height, header.width, header.channels, header.dtype) == (*upright.shape, np.uint8)
    assert np.abs(image.pixels.astype(int) - upright).max() <= 4  # but for the rounding of YCbCr
    assert (image.alpha is not None) == alpha
    assert (image.metadata.xmp, image.metadata.icc) == (b"<x/>", srgb_profile())
    write(tmp_path / "b.png", image)
    with Pillow.open(tmp_path / "b.png") as picture:
        assert picture.getexif()[ExifTags.Base.ImageDescription] == "a barn"
    assert orientation(image.metadata.exif) == 1  # pillow-heif has turned them


def test_ten_bits_stay(tmp_path: Path) -> None:
    deep = random_pixels("u2", 20, 24, 3)
    image = read(made(tmp_path / "a.heic", deep, "RGB;16"))
    assert image.pixels.dtype == np.uint16
    assert np.median(np.abs(image.pixels.astype(int) - deep)) < 2**8


def test_gray_stays_gray(tmp_path: Path) -> None:
    gray = COLOUR[..., 0]
    image = read(made(tmp_path / "a.heic", np.ascontiguousarray(gray), "L"))
    assert (image.channels, image.pixels.shape) == (1, gray.shape)
    assert np.abs(image.pixels.astype(int) - gray).max() <= 1


def test_a_cut_or_damaged_file_is_an_image_or_one_line(tmp_path: Path) -> None:
    whole, path = made(tmp_path / "a.heic", COLOUR, "RGB").read_bytes(), tmp_path / "a.heic"
    for length in np.linspace(30, len(whole) - 1, 40).astype(int):
        path.write_bytes(whole[:length])
        with pytest.raises(ImageError) as caught:
            read(path)
        assert str(caught.value).startswith(str(path))
        assert "\n" not in str(caught.value)
    generator, refusals = np.random.default_rng(0), [""]
    for _ in range(100):
        data = bytearray(whole)
        data[generator.integers(len(data))] = generator.integers(256)
        path.write_bytes(data)
        try:
            assert read(path, max_pixels=2**24).pixels.size
        except ImageError as error:
            refusals.append(str(error))
    assert not any("\n" in refusal for refusal in refusals)
