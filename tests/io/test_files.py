import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import ExifTags, ImageOps
from PIL import Image as Pillow

from image_makers import (
    HEIGHT,
    WIDTH,
    assert_same,
    camera_exif,
    random_image,
    random_pixels,
    smooth_colour,
    srgb_profile,
)
from indi.errors import ImageError
from indi.io import (
    READABLE_SUFFIXES,
    WRITABLE_SUFFIXES,
    Image,
    Metadata,
    Resolution,
    find_images,
    read,
    read_header,
    write,
)


def one_line(caught: pytest.ExceptionInfo[ImageError], *parts: str) -> None:
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


@pytest.mark.parametrize("address", ["https://example.org/a.zarr", "s3://bucket/a.tif"])
def test_an_address_is_refused_as_one(address: str) -> None:
    with pytest.raises(ImageError, match="it is an address; copy it here, or mount where it lies"):
        read(address)


# Find.


def test_images_are_found_in_counting_order(tmp_path: Path) -> None:
    for name in ["10.png", "9.PNG", "a2.jpg", "a10.jpeg", "A1.tiff", "b.tif", ".hidden.png", "notes.txt", "c.xcf"]:
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    found = [path.name for path in find_images(tmp_path)]
    assert found == ["9.PNG", "10.png", "A1.tiff", "a2.jpg", "a10.jpeg", "b.tif"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.sets(st.from_regex(r"[a-c0-9]{1,6}", fullmatch=True), min_size=1, max_size=8), st.randoms())
def test_the_order_is_that_of_the_names_alone(tmp_path: Path, names: set[str], chance: object) -> None:
    folder = tmp_path / "some"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    shuffled = sorted(names)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    for name in shuffled:
        (folder / f"{name}.png").write_bytes(b"")
    found = [path.stem for path in find_images(folder)]
    assert sorted(found) == sorted(names)
    numbers = [int(name) for name in found if name.isdigit()]
    assert numbers == sorted(numbers)


def test_folders_without_images_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"")
    for folder, problem in [
        (tmp_path / "none", "no such folder"),
        (tmp_path / "a.txt", "it is a file"),
        (tmp_path, ".png"),
    ]:
        with pytest.raises(ImageError) as caught:
            find_images(folder)
        one_line(caught, str(folder), problem)


def test_the_suffixes_are_in_lower_case() -> None:
    written = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".avif"}
    assert written == WRITABLE_SUFFIXES
    assert written | {".gif", ".bmp", ".heic", ".heif", ".czi", ".nd2", ".lif"} == READABLE_SUFFIXES


# Round trips.


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("suffix", "dtype"), [(".png", "u1"), (".png", "u2"), (".tif", "u1"), (".tif", "u2"), (".tiff", "f4")]
)
def test_every_type_comes_back_bit_for_bit(tmp_path: Path, suffix: str, dtype: str, channels: int, alpha: bool) -> None:
    image = random_image(np.dtype(dtype), channels, alpha)
    path = tmp_path / f"new/a{suffix}"
    write(path, image)
    assert_same(read(path), image)
    header = read_header(path)
    assert (header.height, header.width, header.channels, header.dtype) == (HEIGHT, WIDTH, channels, np.dtype(dtype))


@pytest.mark.medium
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(
    st.sampled_from(["u1", "u2", "f4"]),
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(1, 64),
    st.booleans(),
    st.integers(0, 99),
)
def test_tiff_holds_any_size_and_channels(
    tmp_path: Path, dtype: str, height: int, width: int, channels: int, alpha: bool, seed: int
) -> None:
    shape = (height, width) if channels == 1 else (height, width, channels)
    covering = random_pixels(dtype, height, width, seed=seed + 1) if alpha else None
    image = Image(random_pixels(dtype, *shape, seed=seed), covering)
    write(tmp_path / "a.tif", image)
    assert_same(read(tmp_path / "a.tif"), image)


def test_a_dark_16_bit_image_stays_16_bit(tmp_path: Path) -> None:
    pixels = random_pixels("u1", 9, 9, 3).astype(np.uint16)
    for name in ("a.png", "a.tif"):
        write(tmp_path / name, Image(pixels))
        assert_same(read(tmp_path / name), Image(pixels))


def test_jpeg_is_close_and_keeps_full_colour_resolution(tmp_path: Path) -> None:
    pixels = smooth_colour()
    pixels[:, ::2, 0] = 200  # red stripes of one pixel, which halved colour would smear
    pixels[:, 1::2, 0] = 60
    write(tmp_path / "a.jpg", Image(pixels))
    restored = read(tmp_path / "a.jpg").pixels.astype(int)
    assert np.abs(restored - pixels).mean() < 4
    assert (restored[:, ::2, 0] - restored[:, 1::2, 0]).mean() > 120


def test_content_decides_not_the_suffix(tmp_path: Path) -> None:
    image = random_image("u2", 3)
    write(tmp_path / "a.png", image)
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    assert_same(read(tmp_path / "a.jpg"), image)


def test_capitals_and_text_paths_are_fine(tmp_path: Path) -> None:
    write(str(tmp_path / "A.PNG"), random_image("u1", 1))
    assert read(str(tmp_path / "A.PNG")).channels == 1


# Metadata.

FORMATS = (".jpg", ".png", ".tif")


@pytest.mark.parametrize("second", FORMATS)
@pytest.mark.parametrize("first", FORMATS)
def test_metadata_goes_from_any_format_to_any_other(tmp_path: Path, first: str, second: str) -> None:
    Pillow.fromarray(smooth_colour()).save(
        tmp_path / "camera.jpg", exif=camera_exif(), icc_profile=srgb_profile(), dpi=(300, 300), xmp=b"<x:xmpmeta/>"
    )
    source = read(tmp_path / "camera.jpg")
    write(tmp_path / f"a{first}", source)
    write(tmp_path / f"b{second}", read(tmp_path / f"a{first}"))

    again = read(tmp_path / f"b{second}").metadata
    assert again.icc == srgb_profile()
    assert again.xmp == b"<x:xmpmeta/>"
    assert again.resolution is not None
    assert again.resolution.per("inch") == pytest.approx((300, 300), abs=0.01)
    with Pillow.open(tmp_path / f"b{second}") as picture:  # another reader must find the same
        exif = picture.getexif()
        assert picture.info["icc_profile"] == srgb_profile()
        assert picture.info["dpi"] == pytest.approx((300, 300), abs=0.01)
        assert exif[ExifTags.Base.Orientation] == 6
        assert exif[ExifTags.Base.ImageDescription] == "a barn"
        assert exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ExposureTime] == 0.008
        assert exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.MakerNote] == b"m" * 90
        assert exif.get_ifd(ExifTags.IFD.GPSInfo)[2] == (47.0, 11.0, 3.5)
        shown = np.asarray(ImageOps.exif_transpose(picture))  # orientation 6: a quarter turn clockwise
        np.testing.assert_array_equal(shown, np.rot90(read(tmp_path / f"b{second}").pixels, -1))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bit_colour_keeps_its_metadata_too(tmp_path: Path, suffix: str) -> None:
    exif = camera_exif().tobytes().removeprefix(b"Exif\0\0")
    image = replace(
        random_image("u2", 3, alpha=True),
        metadata=Metadata(icc=srgb_profile(), exif=exif, resolution=Resolution(118, 59, "cm")),
    )
    write(tmp_path / f"a{suffix}", image)
    again = read(tmp_path / f"a{suffix}")
    assert_same(again, image)
    assert again.metadata.icc == srgb_profile()
    assert again.metadata.exif is not None
    loaded = Pillow.Exif()
    loaded.load(again.metadata.exif)
    assert loaded[ExifTags.Base.Orientation] == 6
    assert again.metadata.resolution is not None
    assert again.metadata.resolution.per("cm") == pytest.approx((118, 59))


def test_orientation_is_kept_and_pixels_are_as_stored(tmp_path: Path) -> None:
    exif = Pillow.Exif()
    exif[ExifTags.Base.Orientation] = 8
    Pillow.fromarray(smooth_colour()).save(tmp_path / "a.jpg", exif=exif)
    image = read(tmp_path / "a.jpg")
    assert image.pixels.shape == smooth_colour().shape
    write(tmp_path / "b.png", image)
    with Pillow.open(tmp_path / "b.png") as picture:
        assert picture.getexif()[ExifTags.Base.Orientation] == 8


def test_a_colour_profile_does_not_go_into_a_gray_file(tmp_path: Path) -> None:
    image = replace(random_image("u1", 1), metadata=Metadata(icc=srgb_profile()))
    for suffix in FORMATS:
        write(tmp_path / f"a{suffix}", image)
        assert read(tmp_path / f"a{suffix}").metadata.icc is None


# Refusals when writing.


@pytest.mark.parametrize(
    ("suffix", "dtype", "channels", "alpha", "named"),
    [
        (".jpg", "u2", 3, False, "uint16 pixels; write .png or .tif"),
        (".jpg", "f4", 1, False, "float32 pixels; write .tif"),
        (".jpg", "u1", 3, True, "alpha; write .png or .tif"),
        (".png", "f4", 3, False, "float32 pixels; write .tif"),
        (".png", "u1", 4, False, "4 channels; write .tif"),
        (".jpeg", "u1", 2, False, "2 channels; write .tif"),
        (".gif", "u1", 3, False, ".png"),
        ("", "u1", 3, False, ".png"),
    ],
)
def test_what_a_format_cannot_hold_is_refused(
    tmp_path: Path, suffix: str, dtype: str, channels: int, alpha: bool, named: str
) -> None:
    path = tmp_path / f"a{suffix}"
    with pytest.raises(ImageError) as caught:
        write(path, random_image(dtype, channels, alpha))
    one_line(caught, str(path), named)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_failed_write_leaves_the_old_file_alone(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ImageError) as caught:
        write(path, random_image("u1", 3))
    one_line(caught, str(path), "No space left")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_encoder_that_fails_leaves_no_file(tmp_path: Path) -> None:
    too_long = replace(random_image("u1", 3), metadata=Metadata(exif=bytes(70_000)))
    with pytest.raises(ImageError) as caught:
        write(tmp_path / "a.jpg", too_long)
    one_line(caught, str(tmp_path / "a.jpg"), "70,006 bytes", ".png or .tif")
    with pytest.raises(ImageError, match=r"EXIF block is damaged .* write \.png"):
        write(tmp_path / "a.tif", too_long)
    assert list(tmp_path.iterdir()) == []


def test_unwritable_places_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    for path in (tmp_path / "file" / "a.png", tmp_path / "folder.png"):
        with pytest.raises(ImageError) as caught:
            write(path, random_image("u1", 1))
        one_line(caught, str(path), "cannot write")


# Refusals when reading.


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", "empty"),
        (b"8BPS\0\1" + bytes(50), "not a PNG, JPEG, TIFF, WebP, AVIF, HEIF, GIF, BMP, CZI, ND2 or LIF"),
        (b"hello\nworld", "not a PNG, JPEG, TIFF, WebP, AVIF, HEIF, GIF, BMP, CZI, ND2 or LIF"),
        (b"GIF89a" + bytes(50), "damaged GIF"),
    ],
)
def test_files_of_another_kind_are_refused(tmp_path: Path, content: bytes, named: str) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    for reader in (read, read_header):
        with pytest.raises(ImageError) as caught:
            reader(path)
        one_line(caught, str(path), named)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="No such file"):
        read(tmp_path / "none.png")
    with pytest.raises(ImageError, match="it is a folder"):
        read(tmp_path)
    with pytest.raises(ImageError, match="zero character"):
        read("a\0.png")


def test_names_too_long_for_the_system_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 300 + ".png")
    for action in (lambda: read(path), lambda: write(path, random_image("u1", 1)), lambda: find_images(path)):
        with pytest.raises(ImageError) as caught:
            action()
        one_line(caught, str(path))


def test_a_folder_that_cannot_be_listed_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(ImageError) as caught:
        find_images(tmp_path)
    one_line(caught, str(tmp_path), "Permission denied")


def test_a_disk_that_fails_while_reading_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.png", random_image("u1", 3))
    for error, named in [(OSError(5, "Input/output error"), "Input/output error"), (MemoryError(), "memory")]:

        def fail(_: bytes, error: BaseException = error) -> None:
            raise error

        monkeypatch.setattr(imagecodecs, "png_decode", fail)
        with pytest.raises(ImageError) as caught:
            read(tmp_path / "a.png")
        one_line(caught, str(tmp_path / "a.png"), named)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_refused_rather_than_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(ImageError, match="not an ordinary file"):
        read(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_limit_of_pixels_can_be_moved(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    write(path, random_image("u1", 3))
    with pytest.raises(ImageError) as caught:
        read(path, max_pixels=HEIGHT * WIDTH - 1)
    one_line(caught, str(path), f"claims {HEIGHT * WIDTH} pixels", f"limit of {HEIGHT * WIDTH - 1}", "max_pixels")
    assert read(path, max_pixels=HEIGHT * WIDTH).channels == 3


def test_many_channels_count_as_more_pixels(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", random_image("u1", 9))
    with pytest.raises(ImageError, match=f"claims {3 * HEIGHT * WIDTH} pixels"):
        read(tmp_path / "a.tif", max_pixels=HEIGHT * WIDTH)


def test_pillows_own_limit_is_neither_used_nor_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pillow, "MAX_IMAGE_PIXELS", 10)
    for suffix in FORMATS:
        write(tmp_path / f"a{suffix}", random_image("u1", 3))
        assert read(tmp_path / f"a{suffix}").channels == 3
    assert Pillow.MAX_IMAGE_PIXELS == 10


def test_every_refusal_names_its_file_once(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(b"II*\0" + bytes(20))
    with pytest.raises(ImageError) as caught:
        read(path)
    assert len(re.findall(re.escape(str(path)), str(caught.value))) == 1


def test_reading_gives_arrays_of_ones_own(tmp_path: Path) -> None:
    for suffix in FORMATS:
        write(tmp_path / f"a{suffix}", random_image("u1", 3))
        pixels: npt.NDArray[np.generic] = read(tmp_path / f"a{suffix}").pixels
        assert pixels.flags.writeable
        assert pixels.flags.c_contiguous
        assert pixels.dtype.isnative
