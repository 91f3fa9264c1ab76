import struct
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL.JpegImagePlugin import JpegImageFile

from image_makers import camera_exif, random_pixels, smooth_colour, srgb_profile, stored
from indi.errors import ImageError
from indi.io import Image, Metadata, Resolution, read, read_header, write
from indi.io.formats import jpeg


def jpeg_bytes(**options: object) -> bytes:
    stream = BytesIO()
    Pillow.fromarray(smooth_colour()).save(stream, "JPEG", **options)
    return stream.getvalue()


def with_segment(data: bytes, marker: int, content: bytes) -> bytes:
    return data[:2] + bytes((0xFF, marker)) + struct.pack(">H", len(content) + 2) + content + data[2:]


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"restart_marker_rows": 1}, {"subsampling": 2}, {"keep_rgb": True}]
)
def test_every_flavour_is_read_as_pillow_reads_it(tmp_path: Path, options: dict[str, object]) -> None:
    path = stored(tmp_path / "a.jpg", jpeg_bytes(**options))
    with Pillow.open(path) as picture:
        np.testing.assert_array_equal(read(path).pixels, np.asarray(picture))


def test_gray_is_gray(tmp_path: Path) -> None:
    write(tmp_path / "a.jpg", Image(smooth_colour()[..., 0]))
    assert read(tmp_path / "a.jpg").pixels.shape == smooth_colour().shape[:2]
    assert read_header(tmp_path / "a.jpg").channels == 1


def test_comments_iptc_and_resolution_return_into_a_jpeg(tmp_path: Path) -> None:
    iptc = b"Photoshop 3.0\x008BIM\4\4\0\0\0\0\0\0"
    data = with_segment(jpeg_bytes(comment=b"hello", dpi=(72, 36)), 0xED, iptc)
    image = read(stored(tmp_path / "a.jpg", data))
    assert image.metadata.resolution == Resolution(72, 36, "inch")
    write(tmp_path / "b.jpg", image)
    again = read(tmp_path / "b.jpg").metadata
    assert dict(again.jpeg_segments) == {0xFE: b"hello", 0xED: iptc}
    assert again.resolution == Resolution(72, 36, "inch")


def test_a_long_profile_is_cut_and_joined(tmp_path: Path) -> None:
    profile = srgb_profile() + bytes(150_000)
    image = read(stored(tmp_path / "a.jpg", jpeg_bytes(icc_profile=profile)))
    assert image.metadata.icc == profile
    write(tmp_path / "b.jpg", image)
    with Pillow.open(tmp_path / "b.jpg") as picture:
        assert picture.info["icc_profile"] == profile


def test_a_profile_with_a_part_missing_is_refused(tmp_path: Path) -> None:
    data = with_segment(jpeg_bytes(), 0xE2, b"ICC_PROFILE\0\1\2part")
    with pytest.raises(ImageError, match="colour profile is missing"):
        read(stored(tmp_path / "a.jpg", data))


def test_a_resolution_too_fine_for_jpeg_is_left_out(tmp_path: Path) -> None:
    image = read(stored(tmp_path / "a.jpg", jpeg_bytes()))
    fine = Image(image.pixels, None, image.metadata.__class__(resolution=Resolution(1e7, 1e7, "cm")))
    write(tmp_path / "b.jpg", fine)
    assert read(tmp_path / "b.jpg").metadata.resolution is None


def test_the_list_of_further_pictures_is_not_kept(tmp_path: Path) -> None:
    image = read(stored(tmp_path / "a.jpg", with_segment(jpeg_bytes(), 0xE2, b"MPF\0" + bytes(20)) + b"more"))
    assert image.metadata.jpeg_segments == ()


def test_cmyk_is_refused(tmp_path: Path) -> None:
    Pillow.fromarray(smooth_colour()).convert("CMYK").save(tmp_path / "a.jpg")
    for reader in (read, read_header):
        with pytest.raises(ImageError, match="CMYK JPEG: convert it to RGB first"):
            reader(tmp_path / "a.jpg")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({0: 0xC3}, "lossless JPEG"),
        ({3: 12}, "12-bit JPEG"),
        ({4: 0, 5: 0}, "a frame of 0 x 56"),
        ({8: 2}, "with 2 channels"),
    ],
)
def test_other_kinds_are_refused(tmp_path: Path, change: dict[int, int], named: str) -> None:
    data = bytearray(jpeg_bytes())
    frame = data.index(b"\xff\xc0") + 1
    for place, value in change.items():
        data[frame + place] = value
    with pytest.raises(ImageError, match=named):
        read(stored(tmp_path / "a.jpg", bytes(data)))


def test_a_thumbnails_end_does_not_count_as_the_end(tmp_path: Path) -> None:
    data = with_segment(jpeg_bytes(), 0xE1, b"Exif\0\0" + jpeg_bytes())
    with pytest.raises(ImageError, match="cut short"):
        read(stored(tmp_path / "a.jpg", data[:-2]))


def test_a_segment_without_length_is_refused(tmp_path: Path) -> None:
    data = jpeg_bytes()
    with pytest.raises(ImageError, match="shorter than its own length"):
        read(stored(tmp_path / "a.jpg", data[:2] + b"\xff\xe5\0\1" + data[2:]))


def test_too_many_pixels_a_side_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"65,500 pixels a side; write \.png or \.tif"):
        write(tmp_path / "a.jpg", Image(np.zeros((1, 65501), np.uint8)))
    assert list(tmp_path.iterdir()) == []


def test_scans_without_end_are_refused(tmp_path: Path) -> None:
    data = jpeg_bytes()
    scan = data.index(b"\xff\xda")
    with pytest.raises(ImageError, match="more than 200 scans"):
        read(stored(tmp_path / "a.jpg", data[:-2] + data[scan : scan + 14] * 300 + data[-2:]))


def test_fill_bytes_before_a_marker_are_allowed(tmp_path: Path) -> None:
    data = jpeg_bytes()
    filled = stored(tmp_path / "a.jpg", data[:2] + b"\xff\xff" + data[2:])
    plain = stored(tmp_path / "b.jpg", data)
    np.testing.assert_array_equal(read(filled).pixels, read(plain).pixels)


def test_a_damaged_exif_block_does_no_harm_between_jpegs(tmp_path: Path) -> None:
    broken = camera_exif().tobytes()[:40]
    image = read(stored(tmp_path / "a.jpg", with_segment(jpeg_bytes(), 0xE1, broken)))
    write(tmp_path / "b.jpg", image)
    assert read(tmp_path / "b.jpg").metadata.exif == broken.removeprefix(b"Exif\0\0")


@pytest.mark.parametrize("colour", [True, False])
def test_its_quality_is_told_and_kept(tmp_path: Path, colour: bool) -> None:
    pixels = random_pixels(np.uint8, *((24, 24, 3) if colour else (24, 24)))
    for quality in (25, 50, 75, 88, 95, 100):
        Pillow.fromarray(pixels).save(tmp_path / "a.jpg", quality=quality)
        assert quality_of(tmp_path / "a.jpg") == pytest.approx(quality, abs=1)
        write(tmp_path / "b.jpg", read(tmp_path / "a.jpg"))
        assert quality_of(tmp_path / "b.jpg") == pytest.approx(max(quality, 75), abs=1)
    Pillow.fromarray(pixels).save(tmp_path / "a.jpg", quality=10)
    assert quality_of(tmp_path / "a.jpg") < 25  # the table has reached its largest value in places
    Pillow.fromarray(pixels).save(tmp_path / "a.jpg", qtables=[[600] * 64, [600] * 64])  # in 16 bits
    assert quality_of(tmp_path / "a.jpg") == round(5000 * 3685 / 100 / (64 * 600))
    for asked, written in ((None, 95), (40, 40)):
        write(tmp_path / "b.jpg", Image(pixels, metadata=Metadata(quality=asked)))
        assert quality_of(tmp_path / "b.jpg") == pytest.approx(written, abs=1)


def quality_of(path: Path) -> int:
    return jpeg.quality(JpegImageFile(BytesIO(path.read_bytes())).quantization)


@pytest.mark.parametrize("stray", [b"\0", b"\xff", b"\xff\0\xff\0", bytes(40)])
def test_padding_between_two_segments_is_passed_over(tmp_path: Path, stray: bytes) -> None:
    Pillow.fromarray(smooth_colour()).save(tmp_path / "a.jpg")
    data = (tmp_path / "a.jpg").read_bytes()
    place = data.index(b"\xff\xdb")
    padded = read(stored(tmp_path / "b.jpg", data[:place] + stray + data[place:]))
    np.testing.assert_array_equal(padded.pixels, read(tmp_path / "a.jpg").pixels)


def test_other_bytes_between_two_segments_may_be_a_damaged_segment(tmp_path: Path) -> None:
    Pillow.fromarray(smooth_colour()).save(tmp_path / "a.jpg")
    data = (tmp_path / "a.jpg").read_bytes()
    with pytest.raises(ImageError, match="belong to no segment; copy it again"):
        read(stored(tmp_path / "b.jpg", data.replace(b"\xff\xdb", b"\xdb\xdb", 1)))


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}, {"optimize": True}])
def test_pillow_refuses_a_cut_anywhere_but_not_pixels_that_are_missing(options: dict[str, object]) -> None:
    """By which jpeg.py needs no check of its own for the one, but for the other."""
    data = jpeg_bytes(**options)
    for length in range(len(data)):
        with pytest.raises((OSError, SyntaxError)), Pillow.open(BytesIO(data[:length])) as picture:
            picture.load()
    with Pillow.open(BytesIO(data[:-10] + data[-2:])) as picture:
        picture.load()


@pytest.mark.parametrize(
    "options",
    [{}, {"progressive": True}, {"restart_marker_rows": 1}, {"restart_marker_blocks": 3}, {"subsampling": 2}],
)
def test_missing_pixels_are_refused_though_the_end_is_there(options: dict[str, object]) -> None:
    """Decoders fill in gray and say nothing. Bytes behind the cut may by chance look like what is filled in."""
    stream = BytesIO()
    Pillow.fromarray(random_pixels("uint8", 83, 67, 3)).save(stream, "JPEG", **options)
    whole = jpeg.decode(stream).pixels
    parts = list(jpeg._segments(stream))
    missed = refused = cuts = 0
    for place, (marker, _, scan) in enumerate(parts):
        for kept in range(1, len(scan), max(1, len(scan) // 25)) if marker == 0xDA else ():
            short = [part[2] if other != place else scan[:kept].rstrip(b"\xff") for other, part in enumerate(parts)]
            cut = [(jpeg._segment(*part[:2]), coded) for part, coded in zip(parts, short, strict=True)]
            cuts += 1
            try:
                missed += not np.array_equal(jpeg.decode(jpeg._stream(cut)).pixels, whole)
            except ImageError as error:
                refused += "a part of its pixels is missing" in str(error)
    assert cuts > 20
    assert missed <= 0.02 * cuts
    assert refused >= 0.95 * cuts


def test_what_is_lost_with_a_damaged_segment_is_refused_where_pillow_says_nothing(tmp_path: Path) -> None:
    lost = jpeg_bytes(comment=b"hello").replace(b"\xff\xfe", b"\0\0", 1)
    with Pillow.open(BytesIO(lost)) as picture:
        picture.load()
        assert "comment" not in picture.info
    with pytest.raises(ImageError, match="belong to no segment"):
        read(stored(tmp_path / "a.jpg", lost))
