"""The formats that Pillow decodes: WebP, AVIF, GIF and BMP."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from image_makers import assert_same, camera_exif, random_image, random_pixels, smooth_colour, srgb_profile
from indi.errors import ImageError
from indi.io import Image, Metadata, read, read_header, write

METADATA = Metadata(icc=srgb_profile(), exif=camera_exif().tobytes()[6:], xmp=b"<x/>")
COLOUR = smooth_colour()


def saved(path: Path, picture: Pillow.Image, **options: Any) -> Image:
    picture.save(path, **options)
    image, header = read(path), read_header(path)
    assert (header.height, header.width) == image.pixels.shape[:2]
    assert (header.channels, header.dtype) == (image.channels, image.pixels.dtype)
    return image


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("alpha", [False, True])
def test_webp_without_a_quality_is_exact(tmp_path: Path, channels: int, alpha: bool) -> None:
    image = random_image("u1", channels, alpha)
    write(tmp_path / "a.webp", image)
    again = read(tmp_path / "a.webp")
    pixels = again.pixels if channels == 3 else again.pixels[..., 0]  # WebP has no gray: three equal channels
    assert_same(Image(pixels, again.alpha), image)


@pytest.mark.parametrize("suffix", [".webp", ".avif"])
def test_a_quality_makes_files_smaller_and_metadata_return(tmp_path: Path, suffix: str) -> None:
    sizes = []
    for quality in (90, 30):
        path = tmp_path / f"{quality}{suffix}"
        write(path, Image(COLOUR, None, Metadata(METADATA.icc, METADATA.exif, METADATA.xmp, quality=quality)))
        again = read(path)
        assert np.abs(again.pixels.astype(int) - COLOUR).mean() < 6
        assert (again.metadata.icc, again.metadata.exif, again.metadata.xmp) == (
            METADATA.icc,
            METADATA.exif,
            METADATA.xmp,
        )
        sizes.append(path.stat().st_size)
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("suffix", [".webp", ".avif"])
def test_alpha_returns(tmp_path: Path, suffix: str) -> None:
    alpha = random_pixels("u1", *COLOUR.shape[:2])
    write(tmp_path / f"a{suffix}", Image(COLOUR, alpha))
    found = read(tmp_path / f"a{suffix}").alpha
    assert found is not None
    assert np.abs(found.astype(int) - alpha).max() <= (0 if suffix == ".webp" else 4)


@pytest.mark.parametrize("suffix", [".webp", ".avif"])
def test_what_they_cannot_hold_is_refused(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(ImageError, match=r"cannot hold uint16 pixels; write \.png or \.tif instead"):
        write(tmp_path / f"a{suffix}", random_image("u2", 3))
    with pytest.raises(ImageError, match=r"cannot hold 5 channels; write \.tif instead"):
        write(tmp_path / f"a{suffix}", random_image("u1", 5))
    assert list(tmp_path.iterdir()) == []


def test_avif_of_more_than_8_bit_is_refused(tmp_path: Path) -> None:
    from imagecodecs import avif_encode

    (tmp_path / "a.avif").write_bytes(avif_encode(np.right_shift(np.asarray(COLOUR, np.uint16), 1), bitspersample=10))
    with pytest.raises(ImageError, match="AVIF of more than 8 bit, which would be lost"):
        read(tmp_path / "a.avif")


@pytest.mark.parametrize("suffix", [".gif", ".bmp"])
def test_palettes_become_colour_or_gray(tmp_path: Path, suffix: str) -> None:
    picture = Pillow.fromarray(COLOUR).quantize(50)
    np.testing.assert_array_equal(saved(tmp_path / f"a{suffix}", picture).pixels, np.asarray(picture.convert("RGB")))
    gray = random_pixels("u1", 20, 24)
    np.testing.assert_array_equal(saved(tmp_path / f"b{suffix}", Pillow.fromarray(gray)).pixels, gray)
    is_white = np.greater(gray, 100)
    bits = Pillow.fromarray(is_white)
    np.testing.assert_array_equal(saved(tmp_path / f"c{suffix}", bits).pixels, np.where(is_white, 255, 0))


def test_a_transparent_colour_of_gif_becomes_alpha(tmp_path: Path) -> None:
    picture = Pillow.fromarray(COLOUR).quantize(16)
    image = saved(tmp_path / "a.gif", picture, transparency=3)
    assert image.alpha is not None
    assert set(np.unique(image.alpha)) == {0, 255}


def test_bmp_has_colour_and_resolution(tmp_path: Path) -> None:
    image = saved(tmp_path / "a.bmp", Pillow.fromarray(COLOUR), dpi=(300, 300))
    np.testing.assert_array_equal(image.pixels, COLOUR)
    assert image.metadata.resolution is not None
    assert image.metadata.resolution.x == pytest.approx(300, abs=0.1)


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".avif"])
def test_animations_are_refused(tmp_path: Path, suffix: str) -> None:
    frames = [Pillow.fromarray(np.roll(COLOUR, 9 * number, axis=1)) for number in range(3)]
    frames[0].save(tmp_path / f"a{suffix}", save_all=True, append_images=frames[1:])
    with pytest.raises(ImageError, match=r"animated \w+: it holds 3 pictures; single images only for now"):
        read_header(tmp_path / f"a{suffix}")


def test_a_small_file_of_a_huge_picture_is_refused(tmp_path: Path) -> None:
    Pillow.fromarray(COLOUR).save(tmp_path / "a.bmp")
    data = bytearray((tmp_path / "a.bmp").read_bytes())
    data[18:26] = (12000).to_bytes(4, "little") * 2
    (tmp_path / "a.bmp").write_bytes(data)
    with pytest.raises(ImageError, match=r"BMP that claims 144,000,000 pixels in [0-9,]+ bytes; save it as PNG first"):
        read(tmp_path / "a.bmp")
