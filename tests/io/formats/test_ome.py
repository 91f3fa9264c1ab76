"""Descriptions of OME that are strange: understood, or left out, but never an error of another kind."""

import pytest

from indi.io.formats import ome

SPACE = 'xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"'


def described(pixels: str, blocks: str, inside: str = "") -> bytes:
    return f'<OME {SPACE} UUID="urn:uuid:1"><Image><Pixels {pixels}>{blocks}</Pixels></Image>{inside}</OME>'.encode()


OTHER = '<TiffData FirstZ="1" IFD="0"><UUID FileName="b.tif">urn:uuid:2</UUID></TiffData>'
PIXELS = 'DimensionOrder="XYZCT" SizeZ="2" SizeC="1" SizeT="1" Type="uint8"'


def test_a_description_of_one_file_stays_to_the_letter() -> None:
    text = described(PIXELS, '<TiffData IFD="0"><UUID FileName="a.tif">urn:uuid:1</UUID></TiffData>')
    assert ome.alone(text, "a.tif") == text
    assert ome.alone(text, "renamed.tif") == text


def test_of_a_set_stays_what_lies_in_this_file() -> None:
    own = '<TiffData FirstZ="0" IFD="0"><UUID FileName="a.tif">urn:uuid:1</UUID></TiffData>'
    text = ome.alone(described(PIXELS, own + OTHER, "<StructuredAnnotations/>"), "a.tif")
    assert text is not None
    assert b'SizeZ="1"' in text
    assert b"b.tif" not in text
    assert b"<StructuredAnnotations" in text


@pytest.mark.parametrize(
    "text",
    [
        described(PIXELS, OTHER),
        described('DimensionOrder="XYZZZ" SizeZ="2" SizeC="1" SizeT="1"', OTHER + '<TiffData IFD="0"/>'),
        described('DimensionOrder="XYZCT" SizeZ="0" SizeC="1" SizeT="1"', OTHER + '<TiffData FirstT="-9" IFD="0"/>'),
        described("", OTHER + '<TiffData IFD="0"/>'),
        described(PIXELS, OTHER + '<TiffData IFD="many"/>'),
        described(PIXELS, OTHER + '<TiffData IFD="0"/>', "<a>" * 5000 + "</a>" * 5000),
        f'<OME {SPACE}><BinaryOnly MetadataFile="a.companion.ome"/></OME>'.encode(),
    ],
)
def test_what_says_nothing_of_this_file_is_left_out(text: bytes) -> None:
    assert ome.alone(text, "a.tif") is None


def test_types_are_told_anew() -> None:
    assert ome.of_type(b'<Pixels Type="int16" SignificantBits="12"/>', "uint16") == b'<Pixels Type="uint16" />'
    assert ome.of_type(b'<Pixels Type="uint8"/>', "float32") == b'<Pixels Type="float"/>'
