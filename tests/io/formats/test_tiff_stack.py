"""Stacks: every layout is read region by region and written again, with all that its directories say."""

import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Picture

from indi.errors import ImageError
from indi.io import read, read_headers, write
from indi.io.formats.tiff_stack import TiffStack, write_stack
from indi.io.formats.tiff_write import Rows
from indi.io.image import MapScale
from indi.io.region import Region
from indi.io.stacks import is_stack, open_stack

Array = npt.NDArray[Any]
HEIGHT, WIDTH = 37, 45


def random(*shape: int, dtype: str = "uint16") -> Array:
    values = np.random.default_rng(0).random(shape)
    return values.astype(np.float32) if dtype == "float32" else (values * np.iinfo(dtype).max).astype(dtype)


OME = {"axes": "TCYX", "PhysicalSizeX": 0.11, "PhysicalSizeXUnit": "µm", "Channel": {"Name": ["DAPI", "GFP"]}}
# name -> shape, options of tifffile
LAYOUTS: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "plain": ((3, HEIGHT, WIDTH), {}),
    "lzw": ((3, HEIGHT, WIDTH), {"compression": "lzw", "rowsperstrip": 5}),
    "deflate with differences": ((3, HEIGHT, WIDTH), {"compression": "zlib", "predictor": True}),
    "tiles": ((3, HEIGHT, WIDTH), {"tile": (16, 32), "compression": "zlib"}),
    "plain tiles": ((3, HEIGHT, WIDTH), {"tile": (16, 16)}),
    "plain tiles wider than the picture": ((3, HEIGHT, WIDTH), {"tile": (16, 64)}),
    "one plain tile": ((3, HEIGHT, WIDTH), {"tile": (64, 48)}),
    "big": ((3, HEIGHT, WIDTH), {"bigtiff": True}),
    "high byte first": ((3, HEIGHT, WIDTH), {"byteorder": ">", "compression": "zlib", "predictor": True}),
    "high byte first, plain": ((3, HEIGHT, WIDTH), {"byteorder": ">"}),
    "ImageJ": (
        (2, 3, 2, HEIGHT, WIDTH),
        {"imagej": True, "metadata": {"axes": "TZCYX", "spacing": 0.3, "unit": "um", "Labels": ["a"] * 12}},
    ),
    "OME": ((2, 2, HEIGHT, WIDTH), {"ome": True, "metadata": OME}),
    "OME, compressed": ((2, 2, HEIGHT, WIDTH), {"ome": True, "metadata": OME, "compression": "zlib"}),
    "colour": ((2, HEIGHT, WIDTH, 3), {"photometric": "rgb"}),
    "colour planes": ((2, 3, HEIGHT, WIDTH), {"photometric": "rgb", "planarconfig": "separate"}),
    "alpha": ((2, HEIGHT, WIDTH, 4), {"photometric": "rgb", "extrasamples": ["unassalpha"], "compression": "zlib"}),
    "one behind one directory": ((4, HEIGHT, WIDTH), {"truncate": True, "metadata": {"axes": "ZYX"}}),
    "a single picture": ((HEIGHT, WIDTH), {"compression": "zlib"}),
}


def made(path: Path, layout: str, dtype: str = "uint16") -> Array:
    """Write a stack and return it as (pictures, height, width, samples)."""
    shape, options = LAYOUTS[layout]
    data = random(*shape, dtype=dtype)
    tifffile.imwrite(path, data, **{"photometric": "minisblack", **options})
    return as_pictures(data, options)


def read_all(path: Path) -> Array:
    with TiffStack(path) as stack:
        return np.stack([stack.samples(number, Region(0, 0, HEIGHT, WIDTH)) for number in range(len(stack.pages))])


def as_pictures(data: Array, options: dict[str, Any]) -> Array:
    if options.get("planarconfig") == "separate":
        return np.moveaxis(data, 1, -1)
    samples = data.shape[-1] if options.get("photometric") == "rgb" else 1
    return data.reshape(-1, HEIGHT, WIDTH, samples)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_boxes_are_those_of_the_array(tmp_path: Path, layout: str) -> None:
    pictures = made(tmp_path / "a.tif", layout)
    regions = [Region(0, 0, HEIGHT, WIDTH), Region(3, 5, 4, 6), Region(10, 0, 20, WIDTH), Region(15, 30, HEIGHT, WIDTH)]
    with TiffStack(tmp_path / "a.tif") as stack:
        assert len(stack.pages) == len(pictures)
        for number, picture in enumerate(pictures):
            for region in regions:
                found = stack.samples(number, region)
                assert found.dtype == picture.dtype
                np.testing.assert_array_equal(found, picture[region.top : region.bottom, region.left : region.right])


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_it_is_written_again_with_all_that_it_said(tmp_path: Path, layout: str, dtype: str) -> None:
    pictures = made(tmp_path / "a.tif", layout, dtype)
    new = pictures[::-1].copy()

    def picture(number: int) -> Rows:
        return Rows(new[number].shape, new.dtype, lambda start, stop: new[number][start:stop])

    with TiffStack(tmp_path / "a.tif") as stack:
        write_stack(tmp_path / "b.tif", stack, picture)
    with tifffile.TiffFile(tmp_path / "a.tif") as before, tifffile.TiffFile(tmp_path / "b.tif") as after:
        np.testing.assert_array_equal(as_pictures(after.asarray(), LAYOUTS[layout][1]), new)
        assert after.series[0].axes == before.series[0].axes
        assert after.series[0].shape == before.series[0].shape
        assert after.imagej_metadata == before.imagej_metadata
        assert after.ome_metadata == before.ome_metadata
        assert after.shaped_metadata == before.shaped_metadata
        assert after.byteorder == before.byteorder
        assert after.is_bigtiff == before.is_bigtiff
        assert after.pages.first.compression in (before.pages.first.compression, 8)
        for name in ("XResolution", "Software", "ExtraSamples"):
            values = [file.pages.first.tags.valueof(name) for file in (before, after)]
            assert values[0] == values[1], name


def test_a_description_and_tifffiles_note_of_the_shape_both_stay(tmp_path: Path) -> None:
    series = np.zeros((3, 2, 20, 30), np.uint16)
    tifffile.imwrite(
        tmp_path / "a.tif", series, photometric="minisblack", description="well B2", metadata={"axes": "TCYX"}
    )
    with TiffStack(tmp_path / "a.tif") as stack:
        assert stack.axes == "TC"
        stack.write_like(
            tmp_path / "b.tif", lambda number: lambda start, stop: series.reshape(-1, 20, 30)[number, start:stop]
        )
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        assert file.pages.first.description == "well B2"
        assert (file.series[0].axes, file.series[0].shape) == ("TCYX", series.shape)


def test_a_map_of_another_type_keeps_the_axes(tmp_path: Path) -> None:
    pictures = made(tmp_path / "a.tif", "OME").astype(np.float32) / 65535
    with TiffStack(tmp_path / "a.tif") as stack:
        write_stack(
            tmp_path / "b.tif",
            stack,
            lambda number: Rows(pictures[number].shape, pictures.dtype, lambda a, b: pictures[number][a:b]),
            scale=MapScale(1.0, "share"),
        )
    with tifffile.TiffFile(tmp_path / "b.tif") as after:
        assert after.series[0].axes == "TCYX"
        assert after.series[0].dtype == np.float32
        assert 'Type="float"' in (after.ome_metadata or "")
        assert "GFP" in (after.ome_metadata or "")
        np.testing.assert_array_equal(after.asarray().reshape(pictures.shape), pictures)


def test_a_map_does_not_inherit_the_range_to_show(tmp_path: Path) -> None:
    data = random(4, HEIGHT, WIDTH)
    metadata = {"axes": "ZYX", "Ranges": (200.0, 1500.0), "min": 200.0, "max": 1500.0, "unit": "um", "spacing": 0.3}
    tifffile.imwrite(tmp_path / "a.tif", data, imagej=True, metadata=metadata)
    with TiffStack(tmp_path / "a.tif") as stack:
        stack.write_like(
            tmp_path / "map.tif", lambda number: lambda a, b: data[number, a:b] / np.float32(1), MapScale(9.0, "counts")
        )
    with tifffile.TiffFile(tmp_path / "map.tif") as file:
        found = file.imagej_metadata or {}
        assert file.series[0].axes == "ZYX"
        assert "Ranges" not in found
        assert (found["min"], found["max"], found["vunit"]) == (0, 9, "counts")
        assert found["spacing"] == 0.3


@pytest.mark.parametrize("layout", ["plain", "lzw", "tiles", "ImageJ", "OME", "one behind one directory"])
@settings(deadline=None, max_examples=25)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_cut_stack_is_an_error(tmp_path_factory: pytest.TempPathFactory, layout: str, share: float) -> None:
    folder = tmp_path_factory.mktemp("cut")
    pictures = made(folder / "a.tif", layout)
    data = (folder / "a.tif").read_bytes()
    (folder / "b.tif").write_bytes(data[: int(len(data) * share)])
    if share < 0.9:
        with pytest.raises(ImageError, match=r"b\.tif"):
            read_all(folder / "b.tif")
    else:  # what follows the last pixel can go without a loss
        with suppress(ImageError):
            np.testing.assert_array_equal(read_all(folder / "b.tif"), pictures)


@pytest.mark.medium
def test_bytes_that_are_wrong_are_an_error_or_pixels(tmp_path: Path) -> None:
    made(tmp_path / "a.tif", "lzw")
    data = bytearray((tmp_path / "a.tif").read_bytes())
    generator = np.random.default_rng(0)
    refused = 0
    for _ in range(150):
        changed = bytearray(data)
        changed[int(generator.integers(len(data)))] ^= 1 << int(generator.integers(8))
        (tmp_path / "b.tif").write_bytes(changed)
        try:
            with TiffStack(tmp_path / "b.tif") as stack:
                for number, page in enumerate(stack.pages):
                    if page.header.height * page.header.width < 10**7:
                        stack.samples(number, Region(0, 0, page.header.height, page.header.width))
        except ImageError:
            refused += 1
    assert refused > 0


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"none\.tif: cannot read: No such file"):
        TiffStack(tmp_path / "none.tif")


def chain_cut(path: Path, left: int) -> Path:
    """End the chain of directories behind the first few."""
    with tifffile.TiffFile(path) as file:
        offset, tags = file.pages[left - 1].offset, len(file.pages[left - 1].tags)
    data = bytearray(path.read_bytes())
    place = offset + 2 + 12 * tags
    data[place : place + 4] = bytes(4)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(("kind", "left"), [("ome", 5), ("ome", 1), ("imagej", 5), ("shaped", 5)])
def test_fewer_pages_than_are_described_are_an_error(tmp_path: Path, kind: str, left: int) -> None:
    data = random(10, HEIGHT, WIDTH)
    options: dict[str, Any] = {"photometric": "minisblack", "metadata": {"axes": "TYX"}, kind: True}
    tifffile.imwrite(tmp_path / "a.tif", data, **options)
    path = chain_cut(tmp_path / "a.tif", left)
    assert not is_stack(path, 10**9)  # else nobody hears why
    for reader in (read, read_headers, TiffStack):
        with pytest.raises(ImageError, match=rf"TIFF cut short: 10 pictures are described, {left} are there"):
            reader(path)


def ome(*blocks: str, root: str = "", sizes: str = 'SizeZ="3" SizeC="1" SizeT="2"') -> str:
    pixels = f'<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="{WIDTH}" SizeY="{HEIGHT}" {sizes}>'
    space = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
    return f'<OME xmlns="{space}" {root}><Image ID="Image:0">{pixels}{"".join(blocks)}</Pixels></Image></OME>'


def in_file(name: str, uuid: str, of_block: str) -> str:
    return f'<TiffData {of_block}><UUID FileName="{name}">{uuid}</UUID></TiffData>'


@pytest.mark.parametrize(
    ("text", "described"),
    [
        (ome("<TiffData/>"), 6),
        (ome('<TiffData PlaneCount="6"/>'), 6),
        (ome('<TiffData NumPlanes="6"/>'), 6),
        (ome('<TiffData IFD="4"/>'), 5),
        (ome(*[f'<TiffData IFD="{ifd}" FirstZ="{ifd % 3}" FirstT="{ifd // 3}"/>' for ifd in range(6)]), 6),
        (ome(in_file("a.tif", "u1", 'IFD="5"')), 6),
        (ome(in_file("before.tif", "u1", 'IFD="5"'), root='UUID="u1"'), 6),
        (ome(in_file("a.tif", "u1", 'IFD="1"'), in_file("b.tif", "u2", 'IFD="5"'), root='UUID="u1"'), 2),
        (ome(in_file("b.tif", "u2", 'PlaneCount="6"'), root='UUID="u1"'), 0),
        (ome(*[in_file("a.tif", "u1", 'FirstT="0"'), in_file("b.tif", "u2", 'FirstT="1"')]), 1),
        (ome('<TiffData IFD="0"/>', '<TiffData IFD="9" FirstZ="7"/>'), 1),  # ImageJ leaves such when it crops
        (ome('<TiffData IFD="0" PlaneCount="99"/>'), 6),
        (ome('<Channel SamplesPerPixel="3"/>', "<TiffData/>", sizes='SizeZ="4" SizeC="3" SizeT="1"'), 4),
        (ome('<TiffData IFD="3"><UUID FileName="b.tif"/></TiffData>'), 0),
        (ome(), 0),
        (ome("<TiffData"), 0),
        (ome('<TiffData IFD="many"/>'), 0),
    ],
)
def test_planes_that_ome_says_are_in_this_file_must_be_there(tmp_path: Path, text: str, described: int) -> None:
    for there in (2, max(described, 1), max(described - 1, 1)):
        with tifffile.TiffWriter(tmp_path / "a.tif") as file:
            for number, picture in enumerate(random(there, HEIGHT, WIDTH)):
                file.write(picture, description=None if number else text, metadata=None, contiguous=False)
        if there < described:
            with pytest.raises(ImageError, match=f"{described} pictures are described, {there} are there"):
                TiffStack(tmp_path / "a.tif")
        else:
            assert len(read_all(tmp_path / "a.tif")) == there


def test_no_picture_is_lost_behind_one_directory_of_several(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif", shaped=True) as file:
        file.write(random(HEIGHT, WIDTH), photometric="minisblack", contiguous=False)
        file.write(random(6, HEIGHT, WIDTH), photometric="minisblack", truncate=True)
    with tifffile.TiffWriter(tmp_path / "b.tif") as file:
        for _ in range(2):
            file.write(random(2, 32, 32, 32), photometric="minisblack", volumetric=True, tile=(16, 16, 16))
    for name, planes in (("a.tif", 6), ("b.tif", 32)):
        for reader in (read, read_headers, TiffStack):
            with pytest.raises(ImageError, match=f"TIFF of {planes} pictures behind one directory of several; save"):
                reader(tmp_path / name)


@pytest.mark.parametrize("tile", [(3, 64, 48), (3, 32, 48), (1, 16, 48)])
def test_volumes_of_tiles_in_depth_are_refused(tmp_path: Path, tile: tuple[int, int, int]) -> None:
    tifffile.imwrite(tmp_path / "a.tif", random(3, 64, 48), tile=tile, volumetric=True, photometric="minisblack")
    with pytest.raises(ImageError, match="TIFF of 3 pictures as one volume; save it as a plain stack"):
        open_stack(tmp_path / "a.tif")


def test_each_series_is_whole(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif", shaped=True) as file:
        for count in (2, 3):
            file.write(random(count, HEIGHT, WIDTH), photometric="minisblack", contiguous=False)
    assert len(read_all(tmp_path / "a.tif")) == 5
    with pytest.raises(ImageError, match="3 pictures are described, 2 are there"):
        TiffStack(chain_cut(tmp_path / "a.tif", 4))


def test_a_description_copied_to_each_page_counts_once(tmp_path: Path) -> None:
    note = "ImageJ=1.54\nimages=3\nslices=3\n"
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for picture in random(3, HEIGHT, WIDTH):
            file.write(picture, description=note, metadata=None, contiguous=False)
    assert len(read_all(tmp_path / "a.tif")) == 3


@pytest.mark.parametrize("kind", ["cut", "1 bit", "compressed behind one directory"])
def test_what_is_wrong_with_a_stack_is_said(tmp_path: Path, kind: str) -> None:
    if kind == "cut":
        pixels = random(5, HEIGHT, WIDTH)
        tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack", compression="zlib")
        data = (tmp_path / "a.tif").read_bytes()
        with tifffile.TiffFile(tmp_path / "a.tif") as file:
            last = file.pages[4]
            place = last.tags["StripOffsets"].valueoffset
        changed = bytearray(data)
        changed[place : place + 4] = len(data).to_bytes(4, "little")
        (tmp_path / "a.tif").write_bytes(changed)
        says = "TIFF cut short: a part of its pixels is missing"
    elif kind == "1 bit":
        tifffile.imwrite(tmp_path / "a.tif", random(3, HEIGHT, WIDTH) > 9000, photometric="minisblack")
        says = "stack of 1-bit pictures; convert it to 8 bit first"
    else:
        note = "ImageJ=1.54\nimages=12\nslices=12\n"
        tifffile.imwrite(tmp_path / "a.tif", random(40, 40), description=note, metadata=None, compression="zlib")
        says = "TIFF of 12 pictures behind one directory, compressed; save it as a plain stack"
    assert is_stack(tmp_path / "a.tif", 10**9)
    with pytest.raises(ImageError, match=says):
        open_stack(tmp_path / "a.tif")


def test_a_large_1_bit_picture_is_no_stack(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", random(HEIGHT, WIDTH) > 9000, photometric="minisblack")
    assert not is_stack(tmp_path / "a.tif", 10)
    assert read(tmp_path / "a.tif").pixels.shape == (HEIGHT, WIDTH)


@pytest.mark.parametrize("pages", [1, 3])
def test_gray_values_that_imagej_shows_in_colours_are_gray(tmp_path: Path, pages: int) -> None:
    data = random(pages, HEIGHT, WIDTH, dtype="uint8")
    table = np.stack([np.zeros(256), np.arange(256) * 257, np.minimum(np.arange(256) * 514, 65535)]).astype(np.uint16)
    quantised = np.random.default_rng(1).integers(0, 65536, (3, 256), np.uint16)
    options: dict[str, Any] = {"photometric": "palette", "metadata": None, "contiguous": False}
    imagej = f"ImageJ=1.54\nimages={pages}\n"
    for name, note, options["colormap"] in (
        ("a.tif", imagej, table),
        ("b.tif", "of a scanner", table),
        ("quantised.tif", imagej, quantised),
    ):
        with tifffile.TiffWriter(tmp_path / name) as file:
            for number, picture in enumerate(data):
                file.write(picture, description=None if number else note, **options)
    for name in ("b.tif", "quantised.tif"):
        with pytest.raises(ImageError, match="palette TIFF; convert it to gray or RGB first"):
            read_headers(tmp_path / name)
    if pages == 1:
        image = read(tmp_path / "a.tif")
        np.testing.assert_array_equal(image.pixels, data[0])
        write(tmp_path / "c.tif", image)
    else:
        with TiffStack(tmp_path / "a.tif") as stack:
            np.testing.assert_array_equal(read_all(tmp_path / "a.tif")[..., 0], data)
            stack.write_like(tmp_path / "c.tif", lambda number: lambda start, stop: data[number, start:stop])
            stack.write_like(
                tmp_path / "d.tif",
                lambda number: lambda a, b: data[number, a:b] / np.float32(255),
                MapScale(1.0, "share"),
            )
        with tifffile.TiffFile(tmp_path / "d.tif") as file:
            assert "ColorMap" not in file.pages.first.tags
    with tifffile.TiffFile(tmp_path / "c.tif") as file:
        np.testing.assert_array_equal(file.asarray().reshape(data.shape), data)
        np.testing.assert_array_equal(np.reshape(file.pages.first.tags["ColorMap"].value, (3, 256)), table)
    with Picture.open(tmp_path / "c.tif") as picture:
        np.testing.assert_array_equal(np.asarray(picture), data[0])


@pytest.mark.parametrize("rows", [None, 5])
def test_bits_that_lie_the_other_way_round_are_turned(tmp_path: Path, rows: int | None) -> None:
    """FillOrder 2, as fax machines and some cameras write: the same picture alone and in a stack."""
    pictures = random(2, HEIGHT, WIDTH, dtype="uint8")
    turned = np.packbits(np.unpackbits(pictures[..., None], axis=-1), axis=-1, bitorder="little")[..., 0]
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:  # which does not write the tag: another becomes it
        for picture in turned:
            file.write(picture, extratags=[(265, "H", 1, 2, True)], rowsperstrip=rows, metadata=None, contiguous=False)
    data = (tmp_path / "a.tif").read_bytes()
    other, fill_order = (struct.pack("<HHI", tag, 3, 1) for tag in (265, 266))
    assert data.count(other) == 2
    (tmp_path / "a.tif").write_bytes(data.replace(other, fill_order))
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif", key=0), pictures[0])
    np.testing.assert_array_equal(read_all(tmp_path / "a.tif")[..., 0], pictures)


def test_a_note_of_imagej_on_a_later_page_counts_nothing(tmp_path: Path) -> None:
    """As Bio-Formats leaves it in what it makes of ImageJ's stacks."""
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for number in range(3):
            note = "ImageJ=1.53c\nimages=15\nslices=15" if number == 1 else ""
            file.write(np.full((32, 32), number, np.uint16), description=note, contiguous=False, metadata=None)
    with open_stack(tmp_path / "a.tif") as stack:
        assert [int(stack.pixels(number, Region(0, 0, 1, 1))[0, 0]) for number in range(3)] == [0, 1, 2]
