"""What metadata say after enlarging, as Pillow and tifffile read it."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import ExifTags
from PIL import Image as Pillow
from PIL.TiffImagePlugin import IFDRational

from image_makers import camera_exif
from indi.io import Metadata, Resolution, read, write
from indi.io.formats.enlarged import enlarged
from indi.io.formats.tags import SHORT, Encoding, Tag, Tree, pack_block, pack_tree, read_block
from indi.restoration.outputs import Restoration

PIXELS = np.random.default_rng(0).integers(0, 256, (8, 12, 3), np.uint8)


def enlarged_file(source: Path, target: Path, factor: int) -> Path:
    write(target, Restoration(enlarged=factor).enlarge(read(source)))
    return target


def test_a_photograph_is_of_its_new_size(tmp_path: Path) -> None:
    exif = camera_exif()
    exif[ExifTags.Base.XResolution] = exif[ExifTags.Base.YResolution] = 300.0
    camera: dict[int, int | tuple[int, int] | IFDRational] = {
        ExifTags.Base.ExifImageWidth: 12,
        ExifTags.Base.ExifImageHeight: 8,
        ExifTags.Base.FocalPlaneXResolution: IFDRational(8193, 4),
        ExifTags.Base.SubjectLocation: (5, 3),
    }
    exif[ExifTags.Base.ImageWidth], exif[ExifTags.Base.ImageLength] = 12, 8
    exif.get_ifd(ExifTags.IFD.Exif).update(camera)
    Pillow.fromarray(PIXELS).save(tmp_path / "a.jpg", exif=exif, dpi=(300, 300))
    with Pillow.open(enlarged_file(tmp_path / "a.jpg", tmp_path / "b.jpg", 4)) as picture:
        assert picture.size == (48, 32)
        assert picture.info["dpi"] == (1200, 1200)
        found = picture.getexif()
        below = found.get_ifd(ExifTags.IFD.Exif)
        assert found[ExifTags.Base.XResolution] == found[ExifTags.Base.YResolution] == 1200
        assert (below[ExifTags.Base.ExifImageWidth], below[ExifTags.Base.ExifImageHeight]) == (48, 32)
        assert float(below[ExifTags.Base.FocalPlaneXResolution]) == pytest.approx(8193)
        assert below[ExifTags.Base.SubjectLocation] == (20, 12)
        assert (found[ExifTags.Base.ImageWidth], found[ExifTags.Base.ImageLength]) == (48, 32)
        assert (found[ExifTags.Base.Orientation], found[ExifTags.Base.ImageDescription]) == (6, "a barn")
        assert float(below[ExifTags.Base.ExposureTime]) == pytest.approx(0.008)


@pytest.mark.parametrize("order", ["<", ">"])
def test_pixels_of_a_microscope_become_smaller(tmp_path: Path, order: str) -> None:
    sizes = {"PhysicalSizeX": 0.2, "PhysicalSizeY": 0.25, "PhysicalSizeXUnit": "um"}
    options = {"byteorder": order, "resolution": (5e4, 4e4), "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(tmp_path / "a.ome.tif", PIXELS[..., 0], metadata={"axes": "YX", **sizes}, **options)
    with tifffile.TiffFile(enlarged_file(tmp_path / "a.ome.tif", tmp_path / "b.ome.tif", 2)) as file:
        assert file.series[0].shape == (16, 24)
        text = file.ome_metadata
        tags = file.pages[0].tags
        assert (tags["XResolution"].value, tags["YResolution"].value) == ((100000, 1), (80000, 1))
    assert text is not None
    for said in ('SizeX="24"', 'SizeY="16"', 'PhysicalSizeX="0.1"', 'PhysicalSizeY="0.125"', 'PhysicalSizeXUnit="um"'):
        assert said in text
    assert 'SizeC="1"' in text


@pytest.mark.parametrize("raster_type", [1, 2])
def test_a_map_stays_where_it_is(tmp_path: Path, raster_type: int) -> None:
    """A pixel's place in the world, by scale and tie point and by matrix: that of the pixel it was a part of.

    Places are at the corner of a pixel (1), or in its middle (2).
    """

    def finer(place: float) -> float:
        return 4 * place if raster_type == 1 else 4 * (place + 0.5) - 0.5

    scale, tie = (10.0, 20.0, 1.0), (3.0, 2.0, 0.0, 500000.0, 4600000.0, 7.0)
    matrix = np.array([[10, 0, 0, 499970], [0, -20, 0, 4600040], [0, 0, 1, 7], [0, 0, 0, 1.0]])
    geographic = [(33550, 12, 3, scale), (33922, 12, 6, tie), (34264, 12, 16, tuple(matrix.ravel()))]
    keys = (34735, 3, 8, (1, 1, 0, 1, 1025, 0, 1, raster_type))
    tifffile.imwrite(tmp_path / "a.tif", PIXELS[..., 0], extratags=[(*tag, True) for tag in (*geographic, keys)])
    with tifffile.TiffFile(enlarged_file(tmp_path / "a.tif", tmp_path / "b.tif", 4)) as file:
        tags = {code: np.array(file.pages[0].tags[code].value) for code, *_ in geographic}
    across, down, _ = tags[33550]
    column, row, _, east, north, height = tags[33922]
    assert (across, down, height) == (2.5, 5.0, 7.0)
    for pixel in ((0.0, 0.0), (12.0, 8.0)):
        before = (500000 + (pixel[0] - 3) * 10, 4600000 - (pixel[1] - 2) * 20)
        after = [finer(place) for place in pixel]
        assert (east + (after[0] - column) * across, north - (after[1] - row) * down) == before
        found = tags[34264].reshape(4, 4) @ [*after, 0, 1]
        assert tuple(found) == (*before, 7, 1)


@pytest.mark.parametrize("quote", ['"', "'"])
def test_what_xml_says_of_pixels_grows_and_shrinks_too(quote: str) -> None:
    xmp = b'<x exif:PixelXDimension="12" tiff:XResolution="300/1" a="5"><tiff:ImageLength>8</tiff:ImageLength></x>'
    ome = b'<OME><Pixels SizeX="12" SizeY="8" SizeZ="1" PhysicalSizeX="2e-1" PhysicalSizeZ="1"/></OME>'
    block = pack_block({270: Tag(2, len(ome), ome.replace(b'"', quote.encode()))}, "<")
    after = enlarged(Metadata(exif=block, xmp=xmp.replace(b'"', quote.encode())), 4)
    assert (after.xmp or b"").replace(quote.encode(), b'"') == (
        b'<x exif:PixelXDimension="48" tiff:XResolution="1200/1" a="5"><tiff:ImageLength>32</tiff:ImageLength></x>'
    )
    value = read_block(after.exif or b"")[0][270]
    assert isinstance(value, Tag)
    wanted = b'<OME><Pixels SizeX="48" SizeY="32" SizeZ="1" PhysicalSizeX="0.05" PhysicalSizeZ="1"/></OME>'
    assert (value.data.replace(quote.encode(), b'"'), value.count) == (wanted, len(wanted))


def test_a_thumbnail_goes_which_shows_what_was(tmp_path: Path) -> None:
    encoding = Encoding("<")
    first: Tree = {274: encoding.tag(SHORT, 6)}
    behind = 8 + len(pack_tree(first, encoding, 8))
    block = (
        encoding.start(8)
        + pack_tree(first, encoding, 8, behind)
        + pack_tree({259: encoding.tag(SHORT, 6)}, encoding, 0)
    )
    for factor, directories in ((1, 2), (4, 1)):
        exif = Pillow.Exif()
        exif.load(enlarged(Metadata(exif=block), factor).exif or b"")
        assert exif[ExifTags.Base.Orientation] == 6
        assert len(exif.get_ifd(ExifTags.IFD.IFD1)) == directories - 1


def test_what_does_not_grow_stays() -> None:
    exif = camera_exif().tobytes().removeprefix(b"Exif\0\0")
    before = Metadata(exif=exif, resolution=Resolution(3, 2, "aspect"), icc=b"profile")
    assert enlarged(before, 1) is before
    after = enlarged(before, 4)
    assert (after.resolution, after.icc) == (before.resolution, before.icc)
    broken = Metadata(exif=exif[:30])
    assert enlarged(broken, 4) == broken
    assert enlarged(Metadata(), 4) == Metadata()
    assert enlarged(Metadata(resolution=Resolution(3, 2, "cm")), 4).resolution == Resolution(12, 8, "cm")
