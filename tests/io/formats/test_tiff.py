import json
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import ExifTags
from PIL import Image as Pillow

from image_makers import (
    HEIGHT,
    WIDTH,
    assert_same,
    camera_exif,
    little_memory,
    random_image,
    random_pixels,
    smooth_colour,
    stored,
)
from indi.errors import ImageError
from indi.io import Image, Metadata, Resolution, read, read_header, write
from indi.io.formats import tiff_write
from indi.io.formats.tags import LONG, SHORT, Encoding, Tree, pack_tree, read_start, read_tree

COLOUR = random_pixels("u2", 40, 50, 3)


def edited(path: Path, changes: Tree, without: tuple[int, ...] = ()) -> Path:
    """Give the TIFF a new directory at its end, with some tags changed."""
    data = path.read_bytes()
    encoding, offset = read_start(BytesIO(data))
    tree, _ = read_tree(BytesIO(data), encoding, offset)
    kept = {number: value for number, value in tree.items() if number not in without}
    data += bytes(len(data) % 2)
    head = encoding.start(len(data))
    return stored(path, head + data[len(head) :] + pack_tree(kept | changes, encoding, len(data)))


def shorts(number: int, *values: int) -> Tree:
    return {number: Encoding("<").tag(SHORT, *values)}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "zlib", "predictor": True},
        {"compression": "lzw"},
        {"compression": "zstd"},
        {"compression": "packbits"},
        {"compression": "zlib", "tile": (16, 32)},
        {"rowsperstrip": 7},
        {"bigtiff": True},
        {"byteorder": ">"},
        {"byteorder": ">", "compression": "zlib", "predictor": True},
        {"planarconfig": "separate"},
        {"planarconfig": "separate", "compression": "lzw"},
    ],
)
def test_every_layout_is_read_and_written_again(tmp_path: Path, options: dict[str, Any]) -> None:
    separate = "planarconfig" in options
    data = np.moveaxis(COLOUR, 2, 0) if separate else COLOUR
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="rgb", **options)
    image = read(tmp_path / "a.tif")
    assert_same(image, Image(COLOUR))
    write(tmp_path / "b.tif", image)
    assert_same(read(tmp_path / "b.tif"), image)
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        page = file.pages.first
        np.testing.assert_array_equal(file.asarray(), data)
        assert page.photometric == tifffile.PHOTOMETRIC.RGB
        assert page.planarconfig == (2 if separate else 1)
        assert page.compression == {None: 1, "lzw": 5, "zstd": 50000}.get(options.get("compression"), 8)
        assert file.byteorder == options.get("byteorder", "<")


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
@pytest.mark.parametrize(("channels", "alpha"), [(1, False), (1, True), (2, False), (3, True), (4, False), (9, True)])
def test_tifffile_reads_what_is_written(tmp_path: Path, dtype: str, channels: int, alpha: bool) -> None:
    image = random_image(dtype, channels, alpha)
    write(tmp_path / "a.tif", image)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        page = file.pages.first
        np.testing.assert_array_equal(page.asarray(), image.stacked())
        assert page.photometric == (2 if channels == 3 else 1)
        extra = [0] * (0 if channels == 3 else channels - 1) + [2] * alpha
        assert [int(kind) for kind in page.extrasamples] == extra


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_libtiff_reads_what_is_written(tmp_path: Path, dtype: str) -> None:
    image = random_image(dtype, 1)
    write(tmp_path / "a.tif", image)
    with Pillow.open(tmp_path / "a.tif") as picture:
        np.testing.assert_array_equal(np.asarray(picture), image.pixels)


@pytest.mark.parametrize("order", ["<", ">"])
def test_files_past_4_gb_become_bigtiff(tmp_path: Path, order: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff_write, "_MOST_CLASSIC_BYTES", 0)
    tifffile.imwrite(tmp_path / "a.tif", COLOUR, photometric="rgb", byteorder=order)
    image = read(tmp_path / "a.tif")
    write(tmp_path / "b.tif", image)
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        assert file.is_bigtiff
        np.testing.assert_array_equal(file.asarray(), COLOUR)
    assert_same(read(tmp_path / "b.tif"), image)


def test_metadata_of_a_microscope_returns(tmp_path: Path) -> None:
    description = "ImageJ=1.54\nunit=micron\nimages=1\n"
    tifffile.imwrite(
        tmp_path / "a.tif",
        COLOUR[..., 0],
        description=description,
        metadata=None,
        software="scope 7",
        resolution=(10.5, 9.25),
        resolutionunit="CENTIMETER",
        extratags=[(65000, "I", 3, (1, 2, 3), True)],
    )
    image = read(tmp_path / "a.tif")
    assert image.metadata.resolution == Resolution(10.5, 9.25, "cm")
    write(tmp_path / "b.tif", replace(image, pixels=np.invert(image.pixels)))
    with tifffile.TiffFile(tmp_path / "a.tif") as before, tifffile.TiffFile(tmp_path / "b.tif") as after:
        for tag in ("ImageDescription", "Software", "XResolution", "YResolution", "ResolutionUnit", 65000):
            assert after.pages.first.tags[tag].value == before.pages.first.tags[tag].value
    write(tmp_path / "c.png", image)
    with Pillow.open(tmp_path / "c.png") as picture:
        assert picture.getexif()[ExifTags.Base.ImageDescription] == description
        assert picture.info["dpi"] == pytest.approx((10.5 * 2.54, 9.25 * 2.54), abs=0.02)


def test_tifffiles_note_of_the_shape_is_not_passed_on(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", COLOUR, photometric="rgb", metadata={"stain": "DAPI"})
    image = read(tmp_path / "a.tif")
    write(tmp_path / "b.tif", replace(image, pixels=image.pixels[:5]))
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        assert json.loads(file.pages.first.description) == {"stain": "DAPI"}
        assert file.asarray().shape == (5, 50, 3)


def test_a_description_before_tifffiles_note_returns(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", COLOUR, photometric="rgb", description="well B2", metadata={"stain": "DAPI"})
    image = read(tmp_path / "a.tif")
    write(tmp_path / "b.tif", replace(image, pixels=image.pixels[:5]))
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        assert file.pages.first.description == "well B2"
        assert json.loads(file.pages.first.description1) == {"stain": "DAPI"}
        assert file.asarray().shape == (5, 50, 3)


def test_storage_tags_of_a_cameras_exif_do_not_get_into_the_way(tmp_path: Path) -> None:
    exif = camera_exif()
    exif[322] = 16  # TileWidth, nonsense beside strips
    exif[256] = 9999
    image = replace(random_image("u2", 3), metadata=Metadata(exif=exif.tobytes()[6:]))
    write(tmp_path / "a.tif", image)
    assert_same(read(tmp_path / "a.tif"), image)


def test_white_is_zero_is_turned(tmp_path: Path) -> None:
    pixels = random_pixels("u2", 6, 5)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="miniswhite")
    image = read(tmp_path / "a.tif")
    assert_same(image, Image(65535 - pixels.astype(np.uint16)))
    write(tmp_path / "b.tif", image)
    assert_same(read(tmp_path / "b.tif"), image)


@pytest.mark.parametrize("compression", ["raw", "group4", "tiff_lzw"])
def test_one_bit_becomes_0_and_255(tmp_path: Path, compression: str) -> None:
    bits = np.random.default_rng(0).random((9, 21)) < 0.5
    Pillow.fromarray(bits).save(tmp_path / "a.tif", compression=compression)
    assert_same(read(tmp_path / "a.tif"), Image(np.where(bits, 255, 0).astype(np.uint8)))


def test_jpeg_inside_is_read_as_rgb(tmp_path: Path) -> None:
    luma_and_colour = np.asarray(Pillow.fromarray(smooth_colour()).convert("YCbCr"))
    tifffile.imwrite(tmp_path / "a.tif", luma_and_colour, photometric="ycbcr", compression="jpeg")
    image = read(tmp_path / "a.tif")
    assert np.abs(image.pixels.astype(int) - smooth_colour()).mean() < 8
    with Pillow.open(tmp_path / "a.tif") as picture:
        np.testing.assert_array_equal(image.pixels, np.asarray(picture))
    write(tmp_path / "b.tif", image)
    assert_same(read(tmp_path / "b.tif"), image)


def test_premultiplied_alpha_stays_premultiplied_and_out_of_png(tmp_path: Path) -> None:
    data = random_pixels("u1", 8, 9, 4)
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="rgb", extrasamples=["assocalpha"])
    image = read(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.stacked(), data)
    write(tmp_path / "b.tif", image)
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        assert file.pages.first.extrasamples == (tifffile.EXTRASAMPLE.ASSOCALPHA,)
    with pytest.raises(ImageError, match=r"premultiplied alpha; write \.tif"):
        write(tmp_path / "b.png", image)


def test_alpha_between_channels_is_found(tmp_path: Path) -> None:
    data = random_pixels("u1", 8, 9, 5)
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="rgb", extrasamples=["unassalpha", "unspecified"])
    image = read(tmp_path / "a.tif")
    assert read_header(tmp_path / "a.tif").channels == image.channels == 4
    np.testing.assert_array_equal(image.pixels, data[..., [0, 1, 2, 4]])
    np.testing.assert_array_equal(image.alpha, data[..., 3])


def test_channels_without_colour_are_not_called_rgb_after(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", COLOUR, photometric="minisblack", planarconfig="contig")
    write(tmp_path / "b.tif", read(tmp_path / "a.tif"))
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        assert file.pages.first.photometric == tifffile.PHOTOMETRIC.MINISBLACK


@pytest.mark.parametrize("dtype", ["i8", "u8", "c8"])
def test_other_types_are_refused(tmp_path: Path, dtype: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((5, 5), dtype))
    for reader in (read, read_header):
        with pytest.raises(ImageError, match="convert it to 8 or 16 bit unsigned or 32-bit float first"):
            reader(tmp_path / "a.tif")


@pytest.mark.parametrize(("mode", "named"), [("CMYK", "CMYK TIFF"), ("LAB", "Lab TIFF"), ("P", "palette TIFF")])
def test_other_colours_are_refused(tmp_path: Path, mode: str, named: str) -> None:
    Pillow.fromarray(smooth_colour()).convert(mode).save(tmp_path / "a.tif")
    with pytest.raises(ImageError, match=named):
        read(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("options", "pages"), [({}, 9), ({"compression": "zlib"}, 9), ({"truncate": True}, 9), ({"imagej": True}, 9)]
)
def test_stacks_are_refused(tmp_path: Path, options: dict[str, Any], pages: int) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((9, 20, 30), np.uint8), photometric="minisblack", **options)
    for reader in (read, read_header):
        with pytest.raises(ImageError, match=f"holds {pages} pictures where a single one is needed"):
            reader(tmp_path / "a.tif")


def test_an_imagej_stack_behind_one_directory_is_refused(tmp_path: Path) -> None:
    note = "ImageJ=1.54\nimages=12\nslices=12\n"
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 4), np.uint8), description=note, metadata=None)
    with pytest.raises(ImageError, match="holds 12 pictures"):
        read(tmp_path / "a.tif")


def test_an_image_cut_out_by_another_program_is_no_stack(tmp_path: Path) -> None:
    note = json.dumps({"shape": [40, 40]})
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 4), np.uint8), description=note, metadata=None)
    assert read(tmp_path / "a.tif").pixels.shape == (4, 4)


@pytest.mark.parametrize("note", ['{"shape": 5}', '{"shape": ["a"]}', '{"shape": [', '{"shape": [9'])
def test_a_strange_note_of_the_shape_is_only_text(tmp_path: Path, note: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 4), np.uint8), description=note, metadata=None)
    assert read(tmp_path / "a.tif").channels == 1


def test_a_reduced_copy_is_no_page(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(COLOUR, photometric="rgb", metadata=None)
        writer.write(COLOUR[::4, ::4], photometric="rgb", subfiletype=1, metadata=None)
    assert_same(read(tmp_path / "a.tif"), Image(COLOUR))


def test_a_stack_cut_in_half_is_not_read_as_one_page(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif", random_pixels("u2", 8, 64, 64), photometric="minisblack", compression="zlib", tile=(16, 16)
    )
    data = (tmp_path / "a.tif").read_bytes()
    for share in (4, 3, 2):
        with pytest.raises(ImageError):
            read(stored(tmp_path / "b.tif", data[: len(data) // share]))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        (shorts(256, 0), "0 pixels"),
        (shorts(277, 0), "0 channels"),
        (shorts(284, 3), "planar kind 3"),
        (shorts(258, 8, 16, 8), "8/16-bit unsigned"),
        (shorts(258, 12, 12, 12), "12-bit unsigned"),
        (shorts(338, 1, 2), "of which 2 are extra"),
        (shorts(277, 100), "100 channels; 64 at most"),
        (shorts(273, 8), "3 pieces are needed, 1 are listed"),
        (shorts(279, 0, 0, 0), "empty pieces"),
        ({279: Encoding("<").tag(LONG, 2**31, 1, 1)}, "cut short"),
        (shorts(278, 0), "pieces of 0"),
        (shorts(262, 6), "colour kind 6"),
        (shorts(262, 0), "white-is-zero"),
        (shorts(259, 4711), "damaged TIFF"),
    ],
)
def test_impossible_directories_are_refused(tmp_path: Path, changes: Tree, named: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", COLOUR.astype(np.uint8), photometric="rgb", rowsperstrip=16, metadata=None)
    with pytest.raises(ImageError, match=named):
        read(edited(tmp_path / "a.tif", changes))


def test_two_alphas_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", random_pixels("u1", 8, 9, 5), photometric="rgb", extrasamples=[2, 2])
    with pytest.raises(ImageError, match="several alpha channels"):
        read(tmp_path / "a.tif")


def test_directories_in_a_circle_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", random_image("u1", 1))
    data = bytearray((tmp_path / "a.tif").read_bytes())
    encoding, offset = read_start(BytesIO(data))
    count = int.from_bytes(data[offset : offset + 2], "little")
    place = offset + 2 + 12 * count
    data[place : place + 4] = encoding.pack_word(offset)
    with pytest.raises(ImageError, match="circle"):
        read(stored(tmp_path / "a.tif", bytes(data)))


def test_bombs_are_refused_before_they_take_memory(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", random_image("u1", 1))
    encoding = Encoding("<")
    path = edited(tmp_path / "a.tif", {256: encoding.tag(LONG, 10**6), 257: encoding.tag(LONG, 10**6)})
    with little_memory(), pytest.raises(ImageError, match="claims 1,000,000,000,000 pixels"):
        read(path)
    changes: Tree = {256: encoding.tag(LONG, WIDTH), 257: encoding.tag(LONG, HEIGHT)}
    changes |= dict.fromkeys((322, 323), encoding.tag(LONG, 2**30)) | dict.fromkeys((324, 325), encoding.tag(LONG, 8))
    edited(path, changes, without=(273, 278, 279))
    with little_memory(), pytest.raises(ImageError, match=r"pieces of 1,073,741,824 x"):
        read(path)


@pytest.mark.parametrize("per_inch", [1e9, 2.0**31])
def test_a_resolution_that_no_tag_holds_is_left_out(tmp_path: Path, per_inch: float) -> None:
    image = random_image("u1", 1)
    write(tmp_path / "a.tif", replace(image, metadata=Metadata(resolution=Resolution(per_inch, per_inch, "inch"))))
    assert read(tmp_path / "a.tif").metadata.resolution is None
