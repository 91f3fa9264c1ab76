"""Stacks: every layout is read box by box and written again, with all that its directories say."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from indi.boxes import Box
from indi.errors import ImageError
from indi.images.tiff_stack import TiffStack, write_stack
from indi.images.tiff_write import Rows

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
        return np.stack([stack.samples(number, Box(0, 0, HEIGHT, WIDTH)) for number in range(len(stack.pages))])


def as_pictures(data: Array, options: dict[str, Any]) -> Array:
    if options.get("planarconfig") == "separate":
        return np.moveaxis(data, 1, -1)
    samples = data.shape[-1] if options.get("photometric") == "rgb" else 1
    return data.reshape(-1, HEIGHT, WIDTH, samples)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_boxes_are_those_of_the_array(tmp_path: Path, layout: str) -> None:
    pictures = made(tmp_path / "a.tif", layout)
    boxes = [Box(0, 0, HEIGHT, WIDTH), Box(3, 5, 4, 6), Box(10, 0, 20, WIDTH), Box(15, 30, HEIGHT, WIDTH)]
    with TiffStack(tmp_path / "a.tif") as stack:
        assert len(stack.pages) == len(pictures)
        for number, picture in enumerate(pictures):
            for box in boxes:
                found = stack.samples(number, box)
                assert found.dtype == picture.dtype
                np.testing.assert_array_equal(found, picture[box.top : box.bottom, box.left : box.right])


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
            dtype="float32",
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
        stack.write_like(tmp_path / "map.tif", lambda number: lambda a, b: data[number, a:b] / np.float32(1), "float32")
    with tifffile.TiffFile(tmp_path / "map.tif") as file:
        found = file.imagej_metadata or {}
        assert file.series[0].axes == "ZYX"
        assert not {"Ranges", "min", "max"} & set(found)
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
                        stack.samples(number, Box(0, 0, page.header.height, page.header.width))
        except ImageError:
            refused += 1
    assert refused > 0


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"none\.tif: cannot read: No such file"):
        TiffStack(tmp_path / "none.tif")
