import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import PngImagePlugin

from image_makers import little_memory, png_bytes, png_chunk, random_image, random_pixels, smooth_colour, stored
from indi.errors import ImageError
from indi.io import Image, read, read_header, write

PALETTE = png_chunk(b"PLTE", bytes([10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120]))
ROW = bytes([0b00011011])  # 0, 1, 2, 3 in two bits each


def test_16_bit_colour_written_by_hand_is_read_exactly(tmp_path: Path) -> None:
    values = [1, 256, 65535, 12345, 54321, 0]
    image = read(stored(tmp_path / "a.png", png_bytes(2, 1, 16, 2, [struct.pack(">6H", *values)])))
    assert image.pixels.dtype == np.uint16
    assert image.pixels.ravel().tolist() == values


@pytest.mark.parametrize(
    ("depth", "values"), [(1, [0, 0, 0, 255, 255, 0, 255, 255]), (2, [0, 85, 170, 255]), (4, [17, 187])]
)
def test_few_bits_of_gray_span_eight(tmp_path: Path, depth: int, values: list[int]) -> None:
    image = read(stored(tmp_path / "a.png", png_bytes(8 // depth, 1, depth, 0, [ROW])))
    assert image.pixels.dtype == np.uint8
    assert image.pixels.tolist() == [values]


def test_palettes_become_colour_and_their_transparency_alpha(tmp_path: Path) -> None:
    plain = read(stored(tmp_path / "a.png", png_bytes(4, 1, 2, 3, [ROW], PALETTE)))
    assert plain.pixels.tolist() == [[[10, 20, 30], [40, 50, 60], [70, 80, 90], [100, 110, 120]]]
    assert plain.alpha is None
    header = read_header(tmp_path / "a.png")
    assert (header.channels, header.dtype) == (3, np.dtype(np.uint8))
    clear = read(stored(tmp_path / "b.png", png_bytes(4, 1, 2, 3, [ROW], PALETTE, png_chunk(b"tRNS", b"\0\x80"))))
    assert clear.alpha is not None
    assert clear.alpha.tolist() == [[0, 128, 255, 255]]
    np.testing.assert_array_equal(clear.pixels, plain.pixels)


def test_a_transparent_colour_becomes_alpha(tmp_path: Path) -> None:
    row, clear = struct.pack(">6H", 1, 2, 3, 4, 5, 6), png_chunk(b"tRNS", struct.pack(">3H", 1, 2, 3))
    image = read(stored(tmp_path / "a.png", png_bytes(2, 1, 16, 2, [row], clear)))
    assert image.alpha is not None
    assert image.alpha.tolist() == [[0, 65535]]
    assert image.pixels.tolist() == [[[1, 2, 3], [4, 5, 6]]]


def test_gamma_changes_no_pixel_and_is_kept(tmp_path: Path) -> None:
    gamma = png_chunk(b"gAMA", struct.pack(">I", 100000))
    row = bytes([0, 3, 128, 255])
    image = read(stored(tmp_path / "a.png", png_bytes(4, 1, 8, 0, [row], gamma)))
    assert image.pixels.tolist() == [list(row)]
    write(tmp_path / "b.png", image)
    assert gamma in (tmp_path / "b.png").read_bytes()


def test_text_is_kept_and_what_new_pixels_make_untrue_is_not(tmp_path: Path) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("Author", "me")
    text.add_itxt("Note", "grün", zip=True)
    Pillow.fromarray(smooth_colour()).save(tmp_path / "a.png", pnginfo=text, dpi=(96, 96))
    data = (tmp_path / "a.png").read_bytes()
    stale = png_chunk(b"bKGD", bytes(6)) + png_chunk(b"tIME", bytes(7))
    image = read(stored(tmp_path / "a.png", data[:33] + stale + data[33:]))
    write(tmp_path / "b.png", image)
    with Pillow.open(tmp_path / "b.png") as picture:
        picture.load()
        assert isinstance(picture, PngImagePlugin.PngImageFile)
        assert picture.text == {"Author": "me", "Note": "grün"}
        assert picture.info["dpi"] == pytest.approx((96, 96), abs=0.02)
    assert b"bKGD" not in (tmp_path / "b.png").read_bytes()
    assert b"tIME" not in (tmp_path / "b.png").read_bytes()


def test_interlaced_16_bit_is_read(tmp_path: Path) -> None:
    # Adam7 on 1 x 1 has a single pass, so the raw data is that of a plain file.
    data = bytearray(png_bytes(1, 1, 16, 0, [b"\x12\x34"]))
    data[28] = 1
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    assert read(stored(tmp_path / "a.png", bytes(data))).pixels.tolist() == [[0x1234]]


def test_animations_are_refused(tmp_path: Path) -> None:
    frames = [Pillow.fromarray(smooth_colour()), Pillow.fromarray(255 - smooth_colour())]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    with pytest.raises(ImageError, match="holds 2 pictures; single images only for now"):
        read(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("depth", "colour", "size"), [(3, 0, (1, 1)), (16, 3, (1, 1)), (8, 1, (1, 1)), (8, 0, (0, 1)), (8, 0, (1, 0))]
)
def test_impossible_headers_are_refused(tmp_path: Path, depth: int, colour: int, size: tuple[int, int]) -> None:
    with pytest.raises(ImageError, match="impossible values"):
        read_header(stored(tmp_path / "a.png", png_bytes(*size, depth, colour, [b"\0"])))


def test_a_wrong_checksum_is_refused(tmp_path: Path) -> None:
    data = bytearray(png_bytes(2, 1, 8, 0, [b"ab"]))
    data[-20] ^= 1
    with pytest.raises(ImageError, match="checksum of its IDAT"):
        read(stored(tmp_path / "a.png", bytes(data)))


@pytest.mark.parametrize("missing", [1, 5, 40])
def test_pixel_data_that_ends_early_is_refused(tmp_path: Path, missing: int) -> None:
    # All checksums are right; the packed pixels alone are short.
    rows = [random_pixels("u1", 20).tobytes()] * 20
    packed = zlib.compress(b"".join(b"\0" + row for row in rows))[:-missing]
    start = png_bytes(20, 20, 8, 0, [])[:33]
    data = start + png_chunk(b"IDAT", packed) + png_chunk(b"IEND", b"")
    with pytest.raises(ImageError, match="damaged PNG"):
        read(stored(tmp_path / "a.png", data))


@pytest.mark.medium
def test_a_profile_that_unpacks_without_end_is_refused(tmp_path: Path) -> None:
    bomb = png_chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(2**26 + 1)))
    with pytest.raises(ImageError, match="far too long"):
        read(stored(tmp_path / "a.png", png_bytes(1, 1, 8, 0, [b"\0"], bomb)))


def test_a_bomb_is_refused_before_it_takes_memory(tmp_path: Path) -> None:
    path = stored(tmp_path / "a.png", png_bytes(10**6, 10**6, 16, 2, [b""]))
    with little_memory(), pytest.raises(ImageError, match="claims 1,000,000,000,000 pixels"):
        read(path)


def test_an_unknown_chunk_that_pixels_need_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="unknown chunk b'ABCD'"):
        read(stored(tmp_path / "a.png", png_bytes(1, 1, 8, 0, [b"\0"], png_chunk(b"ABCD", b""))))


def test_other_readers_see_the_same_pixels(tmp_path: Path) -> None:
    for channels, alpha in [(1, False), (1, True), (3, False), (3, True)]:
        image = random_image("u1", channels, alpha)
        write(tmp_path / "a.png", image)
        with Pillow.open(tmp_path / "a.png") as picture:
            np.testing.assert_array_equal(np.asarray(picture), image.stacked())
    gray = Image(random_pixels("u2", 8, 9))
    write(tmp_path / "a.png", gray)
    with Pillow.open(tmp_path / "a.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), gray.pixels)


def test_a_png_of_an_app_is_called_what_it_is(tmp_path: Path) -> None:
    start, rest = png_bytes(4, 1, 8, 2, [bytes(12)])[:8], png_bytes(4, 1, 8, 2, [bytes(12)])[8:]
    file = stored(tmp_path / "a.png", start + png_chunk(b"CgBI", b"P\0 \2") + rest)
    with pytest.raises(ImageError, match=r"a.png: PNG of Apple's own kind \(CgBI\), .* save it as PNG"):
        read(file)
