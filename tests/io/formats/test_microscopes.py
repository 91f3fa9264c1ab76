"""CZI, LIF and ND2: files made by the library for the first, and here for the others, read by what is to read them."""

import struct
import sys
from collections.abc import Callable
from itertools import starmap
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile

from image_makers import random_pixels, stored
from indi.errors import ImageError, MissingExtraError
from indi.info import info
from indi.io import find_images, notes, read, read_headers, read_picture
from indi.io.region import Region
from indi.io.stacks import is_stack, open_stack
from indi.restoration.batch import plan, restore_files
from indi.restoration.restorer import Restorer
from problems import asking, tiny_model

Array = npt.NDArray[Any]
TIMES, DEPTH, CHANNELS, HEIGHT, WIDTH = 2, 3, 2, 40, 48
PLANES = random_pixels("u2", TIMES, DEPTH, CHANNELS, HEIGHT, WIDTH)


def czi(path: Path, planes: Array = PLANES, *, scenes: int = 1) -> None:
    """Write T, Z, C, Y, X[, 3]; more scenes lie beside the first, each of them a step darker."""
    library = pytest.importorskip("pylibCZIrw.czi")
    with library.create_czi(str(path), exist_ok=True) as file:
        for scene in range(scenes):
            for t, z, c in np.ndindex(*planes.shape[:3]):
                pixels = np.atleast_3d(planes[t, z, c] - scene)[..., ::-1]
                place = {"T": t, "Z": z, "C": c}
                file.write(np.ascontiguousarray(pixels), location=(100 * scene, 7), plane=place, scene=scene)
        file.write_metadata("cells", {0: "DAPI", 1: "GFP"}, scale_x=0.1e-6, scale_y=0.2e-6, scale_z=0.5e-6)


def lif(path: Path, planes: Array = PLANES, *, images: int = 1, upright: int = 0) -> None:
    """Write images of T, Z, C, Y, X as Leica does: a description in XML, then a block of memory each.

    Of the first ones, ``upright``, the lines are said to follow each other in z, and the planes in y.
    """
    steps = {"X": 1, "Y": WIDTH, "C": WIDTH * HEIGHT, "Z": CHANNELS * WIDTH * HEIGHT}
    steps["T"] = DEPTH * steps["Z"]
    described = "".join(
        f'<DimensionDescription DimID="{number}" NumberOfElements="{size}" Origin="0" Length="{(size - 1) * step}" '
        f'Unit="m" BitInc="0" BytesInc="{2 * steps[axis]}"/>'
        for axis, number, size, step in (
            ("X", 1, WIDTH, 1e-7),
            ("Y", 2, HEIGHT, 2e-7),
            ("Z", 3, DEPTH, 5e-7),
            ("T", 4, TIMES, 1.0),
        )
    )
    channels = "".join(
        f'<ChannelDescription DataType="0" ChannelTag="0" Resolution="16" NameOfMeasuredQuantity="" Min="0" Max="1" '
        f'Unit="" LUTName="Gray" IsLUTInverted="0" BytesInc="{2 * number * steps["C"]}" BitInc="0">'
        f"<ChannelProperty><Key>DyeName</Key><Value>{name}</Value></ChannelProperty></ChannelDescription>"
        for number, name in enumerate(("DAPI", "GFP"))
    )
    turned = described.replace('DimID="2"', 'DimID="Y"').replace('DimID="3"', 'DimID="2"').replace('"Y"', '"3"')
    elements = "".join(
        f'<Element Name="image {number}"><Data><Image><ImageDescription><Channels>{channels}</Channels>'
        f"<Dimensions>{turned if number < upright else described}</Dimensions></ImageDescription></Image></Data>"
        f'<Memory Size="{planes.nbytes}" MemoryBlockID="M{number}"/></Element>'
        for number in range(images)
    )
    header = f'<LMSDataContainerHeader Version="2"><Element Name="project"><Children>{elements}</Children></Element>'
    text = f"{header}</LMSDataContainerHeader>".encode("utf-16-le")
    data = struct.pack("<IIBI", 0x70, len(text) + 5, 0x2A, len(text) // 2) + text
    for number in range(images):
        name = f"M{number}".encode("utf-16-le")
        data += struct.pack("<IIBQBI", 0x70, 0, 0x2A, planes.nbytes, 0x2A, len(name) // 2) + name
        data += (planes - number).astype("<u2").tobytes()
    path.write_bytes(data)


def nd2(path: Path, loops: tuple[dict[str, Any], ...] | None = None, planes: Array = PLANES) -> None:
    """Write frames of C, Y, X as NIS-Elements does: chunks of settings in XML, of pixels, and a map of them."""
    time = {"eType": 1, "uLoopPars": {"uiCount": TIMES, "dStart": 0.0, "dPeriod": 9.0, "dDuration": 9.0}}
    depth = {"eType": 4, "uLoopPars": {"uiCount": DEPTH, "dZStep": 0.5}}
    outer, inner = loops or (time, depth)
    frames = planes.reshape(-1, CHANNELS, HEIGHT, WIDTH)
    attributes = {
        "uiWidth": WIDTH,
        "uiWidthBytes": 4 * WIDTH,
        "uiHeight": HEIGHT,
        "uiComp": CHANNELS,
        "eCompression": 2,
    }
    attributes |= {"uiBpcInMemory": 16, "uiBpcSignificant": 16, "uiSequenceCount": len(frames)}
    described = [{"sDescription": name, "pFluorescentProbe": {"m_uiColor": 1}} for name in ("DAPI", "GFP")]
    channels = {f"a{number}": channel for number, channel in enumerate(described)}
    picture = {"bCalibrated": 1, "dCalibration": 0.1, "sPicturePlanes": {"uiCount": CHANNELS, "sPlaneNew": channels}}
    chunks = {
        "ImageAttributes!": xml({"SLxImageAttributes": attributes}),
        "ImageMetadataSeq|0!": xml({"SLxPictureMetadata": picture}),
        "ImageMetadata!": xml({"SLxExperiment": {**outer, "ppNextLevelEx": {"a": inner}}}),
        **{f"ImageDataSeq|{n}!": np.moveaxis(frame, 0, -1).astype("<u2").tobytes() for n, frame in enumerate(frames)},
    }
    data = nd2_chunk("ND2 FILE SIGNATURE CHUNK NAME01!", b"Ver2.1".ljust(64, b"\0"), room=32).ljust(4096, b"\0")
    places = b""
    for name, content in chunks.items():
        places += name.encode() + struct.pack("<QQ", len(data), len(content))
        data += nd2_chunk(name, content) + bytes(-len(content) % 4096)
    end = b"ND2 CHUNK MAP SIGNATURE 0000001!" + struct.pack("<Q", len(data))
    path.write_bytes(data + nd2_chunk("ND2 FILEMAP SIGNATURE NAME 0001!", places + end))


def nd2_chunk(name: str, content: bytes, room: int = 4080) -> bytes:
    return struct.pack("<IIQ", 0x0ABECEDA, room, len(content)) + name.encode().ljust(room, b"\0") + content


def xml(tree: dict[str, Any]) -> bytes:
    kinds = {str: "CLxStringW", float: "double", int: "lx_uint32"}

    def inside(name: str, value: Any) -> str:
        if isinstance(value, dict):
            return f'<{name} runtype="CLxListVariant">{"".join(starmap(inside, value.items()))}</{name}>'
        return f'<{name} runtype="{kinds[type(value)]}" value="{value}"/>'

    body = "".join(starmap(inside, tree.items()))
    return f'<?xml version="1.0" encoding="UTF-8"?><variant version="1.0">{body}</variant>'.encode()


MAKERS: dict[str, Callable[[Path], None]] = {".czi": czi, ".lif": lif, ".nd2": nd2}
ACROSS = {".czi": 0.2, ".lif": 0.2, ".nd2": 0.1}  # µm of a pixel in y; ND2 has one size for x and y
NEEDED = {".czi": "pylibCZIrw.czi", ".lif": "liffile", ".nd2": "nd2"}


@pytest.fixture(params=MAKERS)
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    pytest.importorskip(NEEDED[request.param])
    path = tmp_path / f"a{request.param}"
    MAKERS[request.param](path)
    return path


@pytest.mark.parametrize(
    ("suffix", "start", "module", "package"),
    [
        (".czi", b"ZISRAWFILE", "pylibCZIrw.czi", "pylibCZIrw"),
        (".nd2", b"\xda\xce\xbe\n", "nd2", "nd2"),
        (".lif", b"\x70\0\0\0\1\2\3\4\x2a", "liffile", "liffile"),
    ],
)
def test_without_the_package_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, start: bytes, module: str, package: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    path = stored(tmp_path / f"a{suffix}", start + bytes(100))
    assert find_images(tmp_path) == [path]
    for reader in (read, read_headers, open_stack, info):
        with pytest.raises(MissingExtraError, match=rf"^{suffix[1:].upper()} files need {package}; install indi\[mic"):
            reader(path)
    assert is_stack(path, 10**9)
    assert notes(path) == {}


def test_planes_axes_and_notes(made: Path) -> None:
    assert is_stack(made, 10**9)
    assert read_headers(made)[0].dtype == np.uint16
    with open_stack(made) as stack:
        assert (stack.axes, stack.places) == ("TZC", (TIMES, DEPTH, CHANNELS))
        for number, plane in enumerate(PLANES.reshape(-1, HEIGHT, WIDTH)):
            for region in (Region(0, 0, HEIGHT, WIDTH), Region(5, 7, 30, 41)):
                np.testing.assert_array_equal(
                    stack.pixels(number, region), plane[region.top : region.bottom, region.left : region.right]
                )
    together = read_picture(made, 1, channels=CHANNELS)
    np.testing.assert_array_equal(together, np.moveaxis(PLANES[0, 1], 0, -1))
    facts = info(made)
    assert (facts["axes"], facts["pictures"]) == ({"T": TIMES, "Z": DEPTH, "C": CHANNELS}, 12)
    assert facts["channel_names"] == ["DAPI", "GFP"]
    sizes = facts["pixel_size"]
    assert [sizes[axis] for axis in "xyz"] == pytest.approx([0.1, ACROSS[made.suffix], 0.5])
    assert sizes["unit"] == "µm"


def test_it_is_restored_into_an_ome_tiff_that_says_the_same(made: Path, tmp_path: Path) -> None:
    restorer = Restorer(tiny_model(1, epsilon=0.05), precision="float32")
    jobs = plan([made], tmp_path / "out")
    (outcome,) = restore_files(restorer, jobs, asking(steps=1, samples=2))
    assert outcome.error is None
    assert [path.name for path in outcome.written][:3] == [f"a_{name}.ome.tif" for name in ("s01", "s02", "mean")]
    assert not list(made.parent.glob(".indi-*"))
    wanted = restorer.restore(PLANES[1, 2, 0], steps=1, samples=2, plane=10)
    for path, plane in zip(outcome.written[:2], wanted, strict=True):
        with tifffile.TiffFile(path) as file:
            assert (file.series[0].axes, file.series[0].shape) == ("TZCYX", PLANES.shape)
            np.testing.assert_array_equal(file.asarray()[1, 2, 0], plane)
    for path in outcome.written:
        facts = info(path)
        assert facts["axes"] == {"T": TIMES, "Z": DEPTH, "C": CHANNELS}
        assert facts["channel_names"] == ["DAPI", "GFP"]
        assert [facts["pixel_size"][axis] for axis in "xyz"] == pytest.approx([0.1, ACROSS[made.suffix], 0.5])
    assert info(outcome.written[3])["type"] == "float32"


@pytest.mark.parametrize("suffix", [".czi", ".lif"])
def test_scenes_and_images_of_a_project_follow_each_other(tmp_path: Path, suffix: str) -> None:
    if suffix == ".czi":
        czi(tmp_path / "a.czi", scenes=2)
    else:
        pytest.importorskip("liffile")
        lif(tmp_path / "a.lif", images=2)
    with open_stack(tmp_path / f"a{suffix}") as stack:
        assert (stack.axes, stack.places) == ("I", (24,))
        pixels = [stack.pixels(number, Region(0, 0, HEIGHT, WIDTH)) for number in range(24)]
        np.testing.assert_array_equal(pixels, np.concatenate([PLANES, PLANES - 1]).reshape(-1, HEIGHT, WIDTH))
        stack.write_like(tmp_path / "b.ome.tif", lambda number: lambda start, stop: pixels[number][start:stop])
    with tifffile.TiffFile(tmp_path / "b.ome.tif") as file:
        assert [series.shape for series in file.series] == [PLANES.shape] * 2
        np.testing.assert_array_equal(file.series[1].asarray(), PLANES - 1)


def test_an_image_of_a_project_that_is_no_stack_of_planes_is_left_out_aloud(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("liffile")
    lif(tmp_path / "a.lif", images=2, upright=1)
    for _ in range(2):
        with open_stack(tmp_path / "a.lif") as stack:
            np.testing.assert_array_equal(stack.pixels(3, Region(0, 0, HEIGHT, WIDTH)), PLANES[0, 1, 1] - 1)
    (line,) = caplog.messages
    assert line.endswith("a.lif: left out, as they are no planes in y and x: image 0")
    lif(tmp_path / "b.lif", upright=1)
    with pytest.raises(ImageError, match="LIF without an image"):
        open_stack(tmp_path / "b.lif")


def test_positions_of_the_stage_are_series(tmp_path: Path) -> None:
    pytest.importorskip("nd2")
    points = {f"a{number}": {"dPosX": 1.0, "dPosY": 2.0, "dPosZ": 3.0} for number in range(TIMES)}
    places = {"eType": 2, "uLoopPars": {"uiCount": TIMES, "Points": points}}
    nd2(tmp_path / "a.nd2", (places, {"eType": 4, "uLoopPars": {"uiCount": DEPTH, "dZStep": 0.5}}))
    with open_stack(tmp_path / "a.nd2") as stack:
        assert (stack.axes, stack.places) == ("I", (12,))
        found = [stack.pixels(number, Region(0, 0, HEIGHT, WIDTH)) for number in range(12)]
        np.testing.assert_array_equal(found, PLANES.reshape(-1, HEIGHT, WIDTH))
        stack.write_like(tmp_path / "b.ome.tif", lambda number: lambda start, stop: found[number][start:stop])
    with tifffile.TiffFile(tmp_path / "b.ome.tif") as file:
        assert [(series.axes, series.shape) for series in file.series] == [("ZCYX", PLANES.shape[1:])] * TIMES


def test_colours_of_czi_are_red_green_and_blue(tmp_path: Path) -> None:
    colour = random_pixels("u1", 1, 1, 1, HEIGHT, WIDTH, 3)
    czi(tmp_path / "a.czi", colour)
    np.testing.assert_array_equal(read(tmp_path / "a.czi").pixels, colour[0, 0, 0])
    with open_stack(tmp_path / "a.czi") as stack:
        stack.write_like(tmp_path / "b.tif", lambda number: lambda start, stop: colour[0, 0, 0, start:stop])
    np.testing.assert_array_equal(read(tmp_path / "b.tif").pixels, colour[0, 0, 0])


def test_a_cut_or_damaged_file_is_pixels_or_one_line(made: Path) -> None:
    whole, generator = made.read_bytes(), np.random.default_rng(0)

    def everything() -> list[Array]:
        with open_stack(made) as stack:
            headers = [each for each in stack.headers if each.height * each.width < 10**6]
            return [stack.pixels(number, Region(0, 0, h.height, h.width)) for number, h in enumerate(headers)]

    def refusal(data: bytes) -> str | None:
        made.write_bytes(data)
        try:
            found = everything()
        except ImageError as error:
            return str(error)
        assert len(data) == len(whole) or np.array_equal(found, PLANES.reshape(-1, HEIGHT, WIDTH))
        return None

    lengths = [20, 50, 300, len(whole) // 2, len(whole) - 3]
    cut = [refusal(whole[:length]) for length in lengths]
    assert all(cut[:-1])
    for _ in range(60):
        data = bytearray(whole)
        data[generator.integers(min(len(data), 3000))] = generator.integers(256)
        cut.append(refusal(bytes(data)))
    assert all(said is None or (said.startswith(str(made)) and "\n" not in said) for said in cut)
