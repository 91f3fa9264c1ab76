"""What is written of a TIFF file stands alone, says what was said, and says aloud what it cannot."""

import re
import struct
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile

from indi.io import read, write
from indi.io.image import MapScale
from indi.io.stacks import open_stack

Array = npt.NDArray[Any]
HEIGHT, WIDTH = 40, 48


def random(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(0, 65535, shape, dtype=np.uint16)


def copied(source: Path, target: Path, scale: MapScale | None = None) -> Path:
    """Write a stack again, inverted so that nothing can come from elsewhere."""
    with open_stack(source) as stack:

        def picture(number: int) -> Any:
            whole = tiff_box(stack, number)
            values = whole / np.float32(65535) if scale else np.invert(whole)
            return lambda start, stop: values[start:stop]

        stack.write_like(target, picture, scale)
    return target


def tiff_box(stack: Any, number: int) -> Array:
    from indi.io.region import Region

    header = stack.headers[number]
    pixels: Array = stack.pixels(number, Region(0, 0, header.height, header.width))
    return pixels


def metamorph(path: Path, pixels: Array) -> None:
    """Planes behind one directory, with a note whose values lie elsewhere in the file, as MetaMorph writes them."""
    count = len(pixels)
    notes = b"".join(struct.pack("<6I", number, 1, 0, 0, 0, 0) for number in range(count))
    data = bytearray(struct.pack("<2sHI", b"II", 42, 0) + pixels.tobytes() + notes)
    tags = [
        (256, 4, 1, WIDTH),
        (257, 4, 1, HEIGHT),
        (258, 3, 1, 16),
        (259, 3, 1, 1),
        (262, 3, 1, 1),
        (273, 4, 1, 8),
        (277, 3, 1, 1),
        (278, 4, 1, HEIGHT),
        (279, 4, 1, HEIGHT * WIDTH * 2),
        (33628, 4, 0, 0),
        (33629, 5, count, 8 + pixels.nbytes),
    ]
    place = len(data)
    data += struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    data[4:8] = struct.pack("<I", place)
    path.write_bytes(data)


def test_a_metamorph_stack_is_read_afterwards(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pixels = random(3, HEIGHT, WIDTH)
    metamorph(tmp_path / "a.tif", pixels)
    copied(tmp_path / "a.tif", tmp_path / "b.tif")
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        assert not file.is_stk
        np.testing.assert_array_equal(np.stack([page.asarray() for page in file.pages]), np.invert(pixels))
    copied(tmp_path / "b.tif", tmp_path / "c.tif")
    with open_stack(tmp_path / "c.tif") as stack:
        np.testing.assert_array_equal(tiff_box(stack, 2), pixels[2])
    assert "b.tif: written without notes of the microscope" in caplog.text


def of_set(folder: Path, names: list[str], planes: list[tuple[int, int]], pixels: Array) -> None:
    """Write files of an OME set, each of which describes all: plane (z, c) of each, one a file."""
    ids = [f"urn:uuid:{uuid.UUID(int=number + 1)}" for number in range(len(names))]
    depth, channels = (max(values) + 1 for values in zip(*planes, strict=True))
    blocks = "".join(
        f'<TiffData FirstZ="{z}" FirstC="{c}" FirstT="0" IFD="0" PlaneCount="1"><UUID FileName="{name}">{one}</UUID>'
        "</TiffData>"
        for name, one, (z, c) in zip(names, ids, planes, strict=True)
    )
    described = "".join(f'<Channel ID="Channel:0:{c}" Name="dye {c}" SamplesPerPixel="1"/>' for c in range(channels))
    for name, one, plane in zip(names, ids, pixels, strict=True):
        text = (
            f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="{one}"><Image ID="Image:0">'
            f'<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="{WIDTH}" SizeY="{HEIGHT}" '
            f'SizeZ="{depth}" SizeC="{channels}" SizeT="1" PhysicalSizeX="0.25">{described}{blocks}</Pixels>'
            "</Image></OME>"
        )
        tifffile.imwrite(folder / name, plane, photometric="minisblack", description=text, metadata=None)


@pytest.mark.parametrize("renamed", [False, True])
def test_a_file_of_an_ome_set_is_written_as_one_alone(tmp_path: Path, renamed: bool) -> None:
    planes = [(z, c) for c in range(2) for z in range(3)]
    pixels = random(6, HEIGHT, WIDTH)
    names = [f"z{z}c{c}.ome.tif" for z, c in planes]
    of_set(tmp_path, names, planes, pixels)
    source = tmp_path / names[4]
    if renamed:
        source = source.rename(tmp_path / "of another name.tif")
    image = read(source)
    write(tmp_path / "mean.ome.tif", image)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "mean.ome.tif"), pixels[4])
    with tifffile.TiffFile(tmp_path / "mean.ome.tif") as file:
        text = file.ome_metadata
        assert text is not None
    assert 'PhysicalSizeX="0.25"' in text
    assert "dye 1" in text
    assert "dye 0" not in text
    assert re.findall(r'Size([ZCT])="(\d+)"', text) == [("Z", "1"), ("C", "1"), ("T", "1")]


def test_planes_of_a_set_that_lie_in_one_file_keep_their_axes(tmp_path: Path) -> None:
    """Two files, of a channel each."""
    pixels = random(2, 3, HEIGHT, WIDTH)
    ids = [f"urn:uuid:{uuid.UUID(int=number + 1)}" for number in range(2)]
    blocks = "".join(
        f'<TiffData FirstC="{c}" FirstZ="0" FirstT="0" IFD="0" PlaneCount="3"><UUID FileName="c{c}.ome.tif">'
        f"{one}</UUID></TiffData>"
        for c, one in enumerate(ids)
    )
    for c, one in enumerate(ids):
        text = (
            f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="{one}"><Image ID="Image:0"><Pixels '
            f'DimensionOrder="XYZCT" Type="uint16" SizeX="{WIDTH}" SizeY="{HEIGHT}" SizeZ="3" SizeC="2" SizeT="1">'
            f'{blocks}<Plane TheZ="1" TheC="{c}" TheT="0" PositionZ="7"/></Pixels></Image></OME>'
        )
        path = tmp_path / f"c{c}.ome.tif"
        tifffile.imwrite(path, pixels[c], photometric="minisblack", description=text, metadata=None)
    with open_stack(tmp_path / "c1.ome.tif") as stack:
        assert (stack.axes, stack.places) == ("Z", (3,))
    copied(tmp_path / "c1.ome.tif", tmp_path / "out.ome.tif")
    with tifffile.TiffFile(tmp_path / "out.ome.tif") as file:
        assert file.series[0].axes == "ZYX"
        np.testing.assert_array_equal(file.asarray(), np.invert(pixels[1]))
        assert file.ome_metadata is not None
        assert 'TheZ="1" TheC="0"' in file.ome_metadata
    with open_stack(tmp_path / "out.ome.tif") as stack:
        assert (stack.axes, stack.places) == ("Z", (3,))


def test_what_a_companion_file_says_is_left_out_aloud(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:1">'
        '<BinaryOnly MetadataFile="a.companion.ome" UUID="urn:uuid:2"/></OME>'
    )
    pixels = random(HEIGHT, WIDTH)
    tifffile.imwrite(tmp_path / "a.ome.tif", pixels, description=text, metadata=None)
    write(tmp_path / "b.ome.tif", read(tmp_path / "a.ome.tif"))
    assert b"companion" not in (tmp_path / "b.ome.tif").read_bytes()
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "b.ome.tif"), pixels)
    assert "b.ome.tif: written without the description in another file of its set" in caplog.text


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("shape", [(HEIGHT, WIDTH), (HEIGHT, WIDTH, 3), (3, HEIGHT, WIDTH)])
def test_tiles_stay_and_levels_are_left_out_aloud(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, compression: str | None, shape: tuple[int, ...]
) -> None:
    pixels = random(*shape)
    kind = "rgb" if shape[-1] == 3 else "minisblack"
    options: dict[str, Any] = {"tile": (16, 32), "compression": compression, "photometric": kind}
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(pixels, subifds=1, metadata=None, **options)
        level = pixels[:, ::2, ::2] if len(shape) == 3 and kind != "rgb" else pixels[::2, ::2]
        writer.write(level, subfiletype=1, metadata=None, **options)
    if len(shape) == 3 and kind != "rgb":
        copied(tmp_path / "a.tif", tmp_path / "b.tif")
        copied(tmp_path / "b.tif", tmp_path / "c.tif")
    else:
        write(tmp_path / "c.tif", read(tmp_path / "a.tif"))
    with tifffile.TiffFile(tmp_path / "c.tif") as file:
        assert file.pages.first.tile[-2:] == (16, 32)
        np.testing.assert_array_equal(np.squeeze(np.stack([page.asarray() for page in file.pages])), pixels)
    assert ".tif: written without levels of lower resolution" in caplog.text


def test_labels_of_imagej_are_in_maps_too_without_ranges(tmp_path: Path) -> None:
    labels = ["c:1 DAPI", "c:2 GFP"]
    metadata = {"axes": "CYX", "Labels": labels, "Ranges": (0.0, 900.0, 10.0, 80.0), "Info": "a cell"}
    tifffile.imwrite(tmp_path / "a.tif", random(2, HEIGHT, WIDTH), imagej=True, metadata=metadata)
    for order in ("<", ">"):
        name = f"{order == '<'}.tif"
        tifffile.imwrite(tmp_path / name, random(2, HEIGHT, WIDTH), imagej=True, metadata=metadata, byteorder=order)
        copied(tmp_path / name, tmp_path / "b.tif", MapScale(1.0, "share"))
        with tifffile.TiffFile(tmp_path / "b.tif") as file:
            notes = file.imagej_metadata
            assert notes is not None
            assert notes["Labels"] == labels
            assert notes["Info"] == "a cell"
            assert "Ranges" not in notes
            assert file.asarray().dtype == np.float32
