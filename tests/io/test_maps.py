from indi.io.formats.tags import ASCII, SHORT, Encoding, Name, Tag, Tree, pack_block, read_block
from indi.io.image import MapScale, Metadata, Resolution
from indi.io.maps import of_map

COUNTS = MapScale(12.5, "counts")


def block(text: bytes) -> bytes:
    tree: Tree = {Name.DESCRIPTION: Tag(ASCII, len(text), text), Name.ORIENTATION: Encoding("<").tag(SHORT, 6)}
    return pack_block(tree | {305: Tag(ASCII, 5, b"prog\0")}, "<")


def test_a_map_keeps_the_place_of_pixels_and_names_of_channels() -> None:
    text = b'<OME><Pixels Type="uint16" SignificantBits="12" PhysicalSizeX="0.1"><Channel Name="GFP"/></Pixels></OME>\0'
    resolution = Resolution(1, 2, "cm")
    metadata = of_map(Metadata(icc=b"profile", exif=block(text), xmp=b"<x/>", resolution=resolution), COUNTS)
    assert (metadata.icc, metadata.xmp, metadata.resolution) == (None, None, resolution)
    assert metadata.exif is not None
    tree, _ = read_block(metadata.exif)
    assert sorted(tree) == [Name.DESCRIPTION, Name.ORIENTATION]
    found = tree[Name.DESCRIPTION]
    assert isinstance(found, Tag)
    assert found.data == b'<OME><Pixels Type="float"  PhysicalSizeX="0.1"><Channel Name="GFP"/></Pixels></OME>\0'
    assert found.count == len(found.data)


def test_a_map_has_a_range_to_show_and_a_unit_of_its_own() -> None:
    exif = of_map(Metadata(exif=block(b"ImageJ=1.54\nunit=um\nmin=3.0\nmax=90.0\n\0")), COUNTS).exif
    assert exif is not None
    found = read_block(exif)[0][Name.DESCRIPTION]
    assert isinstance(found, Tag)
    assert found.data == b"ImageJ=1.54\nunit=um\nmin=0.0\nmax=12.5\nvunit=counts\n\0"


def test_a_damaged_or_missing_block_says_nothing() -> None:
    for metadata in (Metadata(), Metadata(exif=b"II*\0nothing")):
        tree, _ = read_block(of_map(metadata, MapScale(1.0, "share")).exif or b"")
        assert list(tree) == [Name.DESCRIPTION]
        found = tree[Name.DESCRIPTION]
        assert isinstance(found, Tag)
        assert found.data == b"ImageJ=1.54\nmin=0.0\nmax=1\nvunit=share\n\0"


def test_what_somebody_wrote_stays() -> None:
    tree, _ = read_block(of_map(Metadata(exif=block(b"cells, day 3\0")), COUNTS).exif or b"")
    found = tree[Name.DESCRIPTION]
    assert isinstance(found, Tag)
    assert found.data == b"cells, day 3\0"
